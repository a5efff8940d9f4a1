"""The installed builds: which is in use, which is kept, and that nothing in use is ever deleted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.builds.programs import placed, program
from whisper_desktop.engines.builds import keep
from whisper_desktop.errors import EngineError


@pytest.fixture(autouse=True)
def folder() -> Iterator[Path]:
    with keep.changing() as folder:
        yield folder


def build(name: str, *, used: bool = True) -> Path:
    """Installs a build, and uses it; returns its folder."""
    return placed(name, used=used).folder


def names() -> set[str]:
    return {build.name for build in keep.installed()}


def in_use() -> tuple[str, str]:
    current, previous = keep.current(), keep.previous()
    return current.name if current else "", previous.name if previous else ""


def test_exactly_the_previous_build_is_kept() -> None:
    for name in ("b1", "b2", "b3"):
        build(name)
        keep.prune()
    assert names() == {"b2", "b3"}
    assert in_use() == ("b3", "b2")


def test_going_back_swaps_the_two() -> None:
    with pytest.raises(EngineError, match="no previous build"):
        keep.rollback()
    build("b1")
    build("b2")
    assert keep.rollback().name == "b1"
    assert in_use() == ("b1", "b2")
    assert keep.rollback().name == "b2"


def test_using_the_one_in_use_keeps_the_previous_one() -> None:
    build("b1")
    build("b2")
    keep.switch_to("b2")
    assert in_use() == ("b2", "b1")


def test_a_build_that_is_not_there_is_not_used() -> None:
    build("b1")
    for name in ("b2", "", ".", "..", "../b1", "b1/build", "/etc", ".new-b1"):
        with pytest.raises(EngineError, match="Installed are: b1"):
            keep.switch_to(name)
    assert in_use() == ("b1", "")


def test_removing_the_current_build_brings_back_the_previous_one() -> None:
    build("b1")
    build("b2")
    keep.remove("b2")
    assert (names(), in_use()) == ({"b1"}, ("b1", ""))
    keep.remove("b1")
    assert (names(), in_use()) == (set(), ("", ""))
    with pytest.raises(EngineError, match="None is installed"):
        keep.remove("b1")


@pytest.mark.parametrize("told", [False, True], ids=["executed", "told to execute"])
def test_a_build_that_runs_is_not_deleted(told: bool) -> None:
    folder = build("b1")
    inside = folder / "build" / "bin" / "llama-server"
    if told:  # a script's process executes its interpreter
        command = [sys.executable, "-c", "input()", str(inside)]
    else:
        inside.unlink()
        inside.write_bytes(Path("/bin/cat").read_bytes())
        inside.chmod(0o755)
        command = [str(inside)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
        assert keep.used_by(folder) == [running.pid]
        with pytest.raises(EngineError, match=f"process {running.pid}"):
            keep.remove("b1")
        build("b2")
        build("b3")
        keep.prune()
        assert names() == {"b1", "b2", "b3"}
        running.terminate()
    keep.prune()
    assert names() == {"b2", "b3"}


def test_a_neighbour_with_a_longer_name_does_not_count_as_in_use() -> None:
    longer = build("b1-more")
    with subprocess.Popen(
        [sys.executable, "-c", "input()", str(longer / "x")], stdin=subprocess.PIPE
    ) as other:
        assert keep.used_by(build("b1")) == []
        other.terminate()


def test_only_one_at_a_time_changes_builds() -> None:
    def another() -> None:
        with keep.changing():
            raise AssertionError("it was let in")

    with pytest.raises(EngineError, match="cannot be changed right now"):
        another()


def test_a_folder_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / "other"))
    (tmp_path / "other" / "data").mkdir(parents=True)
    (tmp_path / "other" / "data" / "engines").write_text("a file in the way")
    with pytest.raises(EngineError, match="File exists"), keep.changing():
        raise AssertionError("it was let in")
    assert keep.installed() == ()
    assert keep.current() is None


def test_what_an_interrupted_installation_left_is_removed_and_never_used(folder: Path) -> None:
    build("b1")
    left = keep.unfinished(folder, "b2")
    binary = program(left / "build")
    keep.describe_in(left, version="b2", variant="cpu", says="1", binary=binary)
    (folder / keep.DOWNLOADS).mkdir()
    for name in ("mine.zip", "mine.zip.part", "old.zip.part"):
        (folder / keep.DOWNLOADS / name).touch()
    (folder / keep.DOWNLOADS / "a folder").mkdir()
    (folder / keep.DOWNLOADS / "a link").symlink_to(folder)
    assert names() == {"b1"}
    keep.clean_up(folder, ["mine.zip"])
    assert not left.exists()
    assert sorted(os.listdir(folder / keep.DOWNLOADS)) == ["mine.zip", "mine.zip.part"]
    assert names() == {"b1"}
    keep.clean_up(folder)
    assert os.listdir(folder / keep.DOWNLOADS) == []


def test_a_build_of_the_same_name_is_replaced_as_a_whole(folder: Path) -> None:
    (build("b1") / "old").touch()
    again = build("b1")
    assert not (again / "old").exists()
    assert in_use() == ("b1", "")
    keep.clean_up(folder)
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["b1"]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        json.dumps({"version": "1", "variant": "cpu", "says": "1"}).encode(),
        json.dumps({"version": 1, "variant": "cpu", "says": "1", "binary": "build/llama-server"}).encode(),
        json.dumps({"version": "1", "variant": "c", "says": "1", "binary": "../../../outside"}).encode(),
        json.dumps({"version": "1", "variant": "c", "says": "1", "binary": "/bin/sh"}).encode(),
    ],
)
def test_a_folder_that_is_no_build_is_passed_over(manifest: bytes, folder: Path) -> None:
    program(folder.parent.parent, name="outside")
    (build("b1") / "build.json").write_bytes(manifest)
    assert keep.installed() == ()
    assert keep.current() is None


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"current": 7}', b'{"current": "../b1"}', b'{"current": ""}', b"\xff"]
)
def test_a_broken_pointer_means_that_none_is_in_use(text: bytes, folder: Path) -> None:
    build("b1")
    (folder / "in-use.json").write_bytes(text)
    assert keep.current() is None
    assert names() == {"b1"}
