"""Unpacking: good archives come out as they are, evil and broken ones leave nothing, anywhere."""

import contextlib
import gzip
import ntpath
import os
import posixpath
import shutil
import stat
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engines.builds.archives import (
    Item,
    file,
    folder,
    link,
    make,
    make_tar,
    make_zip,
    mark_encrypted,
    program,
    release,
    tar_bytes,
    twin,
)
from whisper_desktop.engines.builds.archive import unpack
from whisper_desktop.engines.builds.tree import Kind, Tree, Unsafe, parts_of
from whisper_desktop.errors import TransferError

MIB = 2**20
BOTH = pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
posix = pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")


def unpacked(archive: Path, into: Path, most_bytes: int = 64 * MIB, most_files: int = 1000) -> Path:
    unpack(archive, into, most_bytes=most_bytes, most_files=most_files)
    return into


def everything_in(base: Path) -> list[str]:
    return sorted(str(path.relative_to(base)) for path in base.rglob("*"))


def refusal(tmp_path: Path, archive: Path, most_bytes: int = 64 * MIB, most_files: int = 1000) -> str:
    """What is said about an archive that is refused, once it is sure that nothing was left of it anywhere."""
    before = everything_in(tmp_path)
    with pytest.raises(TransferError) as caught:
        unpacked(archive, tmp_path / "out" / "build", most_bytes, most_files)
    (tmp_path / "out").rmdir()  # only empty
    assert everything_in(tmp_path) == before
    assert archive.name in caught.value.title
    assert caught.value.next_step
    return caught.value.detail


# --- good ones --------------------------------------------------------------------------------------------


@posix
@BOTH
def test_a_release_comes_out_with_its_programs_and_the_chains_of_its_libraries(
    tmp_path: Path, ending: str
) -> None:
    out = unpacked(make(tmp_path / f"llama{ending}", release()), tmp_path / "out")
    base = out / "llama-b100"
    assert os.access(base / "llama-server", os.X_OK)
    assert not os.access(base / "LICENSE", os.X_OK)
    assert (base / "LICENSE").read_bytes() == b"MIT License\n" * 20
    assert os.readlink(base / "libllama.so") == "libllama.so.0"
    assert (base / "libllama.so").read_bytes() == (base / "libllama.so.0.0.100").read_bytes()
    assert len(everything_in(out)) == 9


@BOTH
def test_large_files_come_out_whole(tmp_path: Path, ending: str) -> None:
    data = os.urandom(3 * MIB + 17)
    out = unpacked(make(tmp_path / f"a{ending}", [file("deep/down/a.bin", data)]), tmp_path / "out")
    assert (out / "deep/down/a.bin").read_bytes() == data


@BOTH
def test_names_in_all_languages_and_a_leading_dot_are_fine(tmp_path: Path, ending: str) -> None:
    names = ["./größe/模型.gguf", "./.hidden", "./a b (1).txt", "./console.txt"]
    out = unpacked(make(tmp_path / f"a{ending}", [file(name) for name in names]), tmp_path / "out")
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        name[2:] for name in names
    }


@posix
@BOTH
def test_links_may_lead_anywhere_inside_in_any_order(tmp_path: Path, ending: str) -> None:
    items = [
        link("bin/lib", "../lib"),
        link("first", "bin/lib/deep/../a"),
        link("nowhere", "lib/missing"),
        file("lib/a", b"inside"),
        folder("lib/deep"),
    ]
    out = unpacked(make(tmp_path / f"a{ending}", items), tmp_path / "out")
    assert (out / "first").read_bytes() == b"inside"


@posix
@BOTH
def test_special_permissions_owners_and_times_are_not_kept(tmp_path: Path, ending: str) -> None:
    out = unpacked(
        make(tmp_path / f"a{ending}", [file("a", mode=0o7777), file("b", mode=0o6600)]), tmp_path / "o"
    )
    assert stat.S_IMODE((out / "a").stat().st_mode) & 0o7022 == 0
    assert os.access(out / "a", os.X_OK)
    assert stat.S_IMODE((out / "b").stat().st_mode) & 0o7111 == 0


def test_a_file_under_two_names_is_there_twice(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", [program("d/a", b"same"), twin("d/b", "d/a")])
    out = unpacked(archive, tmp_path / "out")
    (out / "d/a").write_bytes(b"changed")
    assert (out / "d/b").read_bytes() == b"same"


def test_an_empty_folder_is_used_and_a_full_one_left_alone(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [file("a")])
    out = tmp_path / "out"
    out.mkdir()
    unpacked(archive, out)
    with pytest.raises(TransferError, match="not an empty folder"):
        unpacked(archive, out)
    assert everything_in(out) == ["a"]


def test_a_folder_that_was_there_stays_there_empty(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(TransferError):
        unpacked(make_zip(tmp_path / "a.zip", [file("d/a"), file("b"), file("../c")]), out)
    assert everything_in(tmp_path) == ["a.zip", "out"]


# --- evil ones --------------------------------------------------------------------------------------------

NAMES = {
    "/etc/passwd": "absolute",
    "//server/share": "absolute",
    "../outside": "leads out",
    "a/../../outside": "leads out",
    "a/b/../c": "leads out",
    "C:/windows/x": "all systems",
    "C:x": "all systems",
    "file:stream": "all systems",
    "..\\outside": "all systems",
    "a\\b": "all systems",
    "what?": "all systems",
    "dot.": "all systems",
    "space ": "all systems",
    "folder./x": "all systems",
    "CON": "device",
    "aux.txt": "device",
    "lib/nul .so": "device",
    "com¹": "device",
    "new\nline": "nobody can see",
    "escape\x1b[2J": "nobody can see",
    "exe\u202egpj.sh": "nobody can see",
    "zero\u200bwidth": "nobody can see",
    "x" * 256: "too long",
    "ö" * 128: "too long",
    "/".join("a" * 40): "too long",
    ("y" * 200 + "/") * 6 + "z": "too long",
}


@BOTH
@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:24] for name in NAMES])
def test_a_name_that_leads_elsewhere_somewhere_is_refused(tmp_path: Path, ending: str, name: str) -> None:
    archive = make(tmp_path / f"a{ending}", [file("good"), file(name)])
    said = refusal(tmp_path, archive)
    assert NAMES[name] in said
    assert said.isprintable()


def test_a_name_with_a_nul_is_refused_as_a_whole(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [file("good.txt@.exe")])
    archive.write_bytes(archive.read_bytes().replace(b"good.txt@.exe", b"good.txt\0.exe"))
    assert "nobody can see" in refusal(tmp_path, archive)


LINKS: dict[str, list[Item]] = {
    "out": [link("a", "../outside")],
    "absolute": [link("a", "/etc/passwd")],
    "windows": [link("a", "C:/windows")],
    "backslash": [link("a", "..\\..\\x")],
    "empty": [link("a", "")],
    "deep": [link("d/e/a", "../../../x")],
    "by way of another": [link("d/up", ".."), link("a", "d/up/../x")],
    "by way of a later one": [link("a", "d/up/../x"), link("d/up", "..")],
    "by way of another spelling": [link("d/Up", ".."), link("a", "D/uP/../x")],
    "in a circle": [link("a", "b"), link("b", "a")],
    "to itself": [link("a", "a")],
    "growing": [link("a", "a/a")],
    "too long": [link("a", "x/" * 600)],
}


@BOTH
@pytest.mark.parametrize("items", LINKS.values(), ids=LINKS)
def test_a_link_that_leads_out_is_refused(tmp_path: Path, ending: str, items: Sequence[Item]) -> None:
    refusal(tmp_path, make(tmp_path / f"a{ending}", items))


IN_THE_WAY: dict[str, list[Item]] = {
    "a file through a link": [link("a", "d"), folder("d"), file("a/x")],
    "a file in place of a link": [link("a", "b"), file("a")],
    "a link in place of a file": [file("a"), link("a", "b")],
    "a link in place of a folder": [file("a/b"), link("a", "c")],
    "a folder in place of a file": [file("a"), folder("a")],
    "a file below a file": [file("a"), file("a/b")],
    "one name twice": [file("a"), file("a", b"y")],
    "another case": [file("README"), file("readme")],
    "a folder in another case": [file("Lib/a"), file("lib/b")],
    "a link in another case": [link("Data", "d"), file("data/x")],
    "two forms of one letter": [file("\u00e9"), file("e\u0301")],
    "a ligature": [file("ﬁle"), file("file")],
}


@BOTH
@pytest.mark.parametrize("items", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_is_in_the_way_of_something_else_is_refused(
    tmp_path: Path, ending: str, items: Sequence[Item]
) -> None:
    refusal(tmp_path, make(tmp_path / f"a{ending}", items))


def test_a_file_that_would_be_the_folder_itself_is_refused(tmp_path: Path) -> None:
    assert "no name" in refusal(tmp_path, make_tar(tmp_path / "a.tar.gz", [file("./")]))


@posix
def test_nothing_is_written_through_a_link_also_for_a_moment(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = [link("a", str(outside)), file("a/x"), link("b", "../../outside"), file("b/y")]
    for items in (evil[:2], evil[2:]):
        refusal(tmp_path, make_tar(tmp_path / "a.tar.gz", items))
    assert everything_in(outside) == []


@BOTH
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_devices_and_pipes_are_refused(tmp_path: Path, ending: str, kind: str) -> None:
    archive = make(tmp_path / f"a{ending}", [file("good"), Item("pipe", kind=kind)])
    assert "special file" in refusal(tmp_path, archive)


@pytest.mark.parametrize("target", ["missing", "../x", "/etc/passwd", "b", "d", "l"])
def test_another_name_of_what_is_no_file_of_this_archive_is_refused(tmp_path: Path, target: str) -> None:
    items = [folder("d"), file("a"), link("l", "a"), twin("b", target)]
    refusal(tmp_path, make_tar(tmp_path / "a.tar.gz", items))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    assert "encrypted" in refusal(tmp_path, mark_encrypted(make_zip(tmp_path / "a.zip", [file("a")])))


# --- bombs ------------------------------------------------------------------------------------------------


@BOTH
def test_more_bytes_than_expected_are_refused(tmp_path: Path, ending: str) -> None:
    archive = make(tmp_path / f"a{ending}", [file(name, os.urandom(1000)) for name in "abc"])
    assert "larger" in refusal(tmp_path, archive, most_bytes=2999)
    unpacked(archive, tmp_path / "out", most_bytes=3000)


@BOTH
def test_more_entries_than_expected_are_refused(tmp_path: Path, ending: str) -> None:
    archive = make(tmp_path / f"a{ending}", [file(name) for name in "abc"])
    assert "more files" in refusal(tmp_path, archive, most_files=2)
    unpacked(archive, tmp_path / "out", most_files=3)


@BOTH
def test_a_little_that_becomes_a_lot_is_refused(tmp_path: Path, ending: str) -> None:
    archive = make(tmp_path / f"a{ending}", [file("a", bytes(20 * MIB))])
    assert archive.stat().st_size < MIB / 10
    assert "larger" in refusal(tmp_path, archive)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [file("a", bytes(5000))])
    data = archive.read_bytes()
    archive.write_bytes(data.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refusal(tmp_path, archive)


def test_a_tar_that_announces_more_than_there_is_room_for_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    info = tarfile.TarInfo("a")
    info.size = 2**50
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    assert "larger" in refusal(tmp_path, archive)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.type = kind
    info.size = 32 * MIB
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(info.tobuf() + b"a" * info.size + bytes(1024), 1))
    tracemalloc.start()
    try:
        assert "larger" in refusal(tmp_path, archive)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def test_a_table_of_contents_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [file(f"{'n' * 60000}{number}", b"") for number in range(80)])
    assert "larger" in refusal(tmp_path, archive)


# --- broken ones ------------------------------------------------------------------------------------------


@BOTH
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    archive = make(tmp_path / f"a{ending}", release())
    whole = archive.read_bytes()
    archive.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "damaged" in refusal(tmp_path, archive)


@BOTH
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_an_archive_with_a_wrong_byte_comes_out_as_it_was_or_not_at_all(
    tmp_path: Path, ending: str, place: float, flipped: int
) -> None:
    items = [file("d/a", bytes(range(256)) * 8), program("d/b"), folder("e")]
    archive = make(tmp_path / f"a{ending}", items)
    data = bytearray(archive.read_bytes())
    data[int(place * len(data))] ^= flipped
    archive.write_bytes(data)
    try:
        out = unpacked(archive, tmp_path / "out")
    except TransferError:
        assert everything_in(tmp_path) == [archive.name]
        return
    # What no checksum covers may differ: permissions, and in a zip the names of empty things.
    contents = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert set(contents) <= {item.data for item in items}
    shutil.rmtree(out)


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes([file("a", b"x" * 512), file("b", b"y" * 512)]))
    data[1024 + 5] ^= 1
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(data))
    assert "damaged" in refusal(tmp_path, archive)


@pytest.mark.parametrize("data", [b"", b"P", b"PK", b"<html>no</html>", b"\x1f\x8b", b"MZ" + bytes(100)])
def test_what_is_no_archive_is_said_to_be_damaged(tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(data)
    assert "damaged" in refusal(tmp_path, archive)


@posix
def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    archive = make_zip(tmp_path / "a.zip", [file("a")])
    with pytest.raises(TransferError, match="could not be written to the disk.*Not a directory"):
        unpacked(archive, tmp_path / "file" / "out")


# --- properties -------------------------------------------------------------------------------------------

PART = st.text(
    st.sampled_from("aAbBéß.. /\\:~\x00\x1f\u202e\u200bＡ．\udcff") | st.characters(), min_size=1, max_size=6
) | st.sampled_from(["..", ".", "con", "COM1.x", "a", "b"])
NAME = st.lists(PART, min_size=1, max_size=4).map("/".join)


@settings(max_examples=300)
@given(NAME)
def test_no_name_that_is_taken_leads_out_on_any_system(name: str) -> None:
    try:
        parts = parts_of(name)
    except Unsafe:
        return
    joined = "/".join(parts)
    assert posixpath.normpath(posixpath.join("/base", joined)) == posixpath.join("/base", joined).rstrip("/")
    windows = ntpath.normpath(ntpath.join("C:\\base", joined))
    assert windows == "\\".join(["C:\\base", *parts])
    assert joined.isprintable() or all(not char.isascii() for char in joined if not char.isprintable())


ITEM = st.one_of(
    st.builds(file, NAME),
    st.builds(folder, NAME),
    st.builds(link, NAME, NAME | st.just("/etc")),
    st.builds(twin, NAME, NAME),
)


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="the first releases of Python 3.11")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ITEM, min_size=1, max_size=5))
def test_all_that_the_filter_of_tarfile_refuses_is_refused(tmp_path: Path, items: list[Item]) -> None:
    archive = tmp_path / "a.tar.gz"
    try:
        make_tar(archive, items)
    except ValueError:
        return
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                tarfile.data_filter(member, str(theirs))
        taken = True
    except (tarfile.TarError, ValueError):
        taken = False
    finally:
        theirs.rmdir()
    try:
        out = unpacked(archive, tmp_path / "out")
    except TransferError:
        assert everything_in(tmp_path) == ["a.tar.gz"]
        return
    assert taken
    for path in out.rglob("*"):
        assert path.is_symlink() or path.resolve().is_relative_to(out.resolve())
        if path.is_symlink():
            with contextlib.suppress(OSError, RuntimeError):
                assert path.resolve().is_relative_to(out.resolve())
    shutil.rmtree(out)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["..", "../x", "a", "b/..", "c/../..", "d/b"]))
)
def test_a_link_is_taken_only_where_the_kernel_would_end_inside(links: dict[str, str]) -> None:
    tree = Tree()
    for name, target in links.items():
        tree.add(("f", name), Kind.LINK, target)
    for name in links:
        try:
            tree.check_link(("f", name))
        except Unsafe:
            continue
        assert _followed(["f", name], links, 0) is not None


def _followed(path: list[str], links: dict[str, str], hops: int) -> list[str] | None:
    """Where a path ends, component by component as a kernel walks; None outside, or in a circle."""
    if hops > 100:
        return None
    here: list[str] = []
    for place, part in enumerate(path):
        if part == "..":
            if not here:
                return None
            here.pop()
            continue
        if here == ["f"] and part in links:
            rest = path[place + 1 :]
            return _followed([*here, *links[part].split("/"), *rest], links, hops + 1)
        here.append(part)
    return here
