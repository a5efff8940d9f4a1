"""Installing builds, from real archives over real sockets: used only once it has answered, or not at all."""

import asyncio
import os
import sys
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engines.builds.forge import Forge, computer
from tests.engines.builds.programs import placed, working_server
from tests.engines.conftest import MakeEngine, gone, until
from whisper_desktop.engines.builds import keep
from whisper_desktop.engines.builds.assets import Choice, best_choices, named_choice
from whisper_desktop.engines.builds.found import find_binary
from whisper_desktop.engines.builds.install import Step, check_links, install, try_out
from whisper_desktop.engines.builds.keep import Build
from whisper_desktop.engines.builds.releases import Asset, Release, newest_releases
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError, TransferError, WhisperError
from whisper_desktop.values import GIB, Deadlines, EngineState, GpuInfo
from whisper_desktop.wire.http import Http

QUICK = replace(Deadlines(), engine_start=0.5, engine_stall=0.5)
CARD = GpuInfo("NVIDIA", "NVIDIA GeForce RTX 4090", 24 * GIB, driver="550.1")
MIB = 2**20


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


Put = Callable[..., Coroutine[Any, Any, Build]]


@pytest.fixture
def put(forge: Forge, http: Http) -> Put:
    """`await put()` installs the newest of what the forge has; `variant=` and `card=` choose."""

    async def install_it(
        *,
        variant: str = "",
        card: GpuInfo | None = None,
        deadlines: Deadlines = Deadlines(),
        steps: list[Step] | None = None,
        **more: Any,
    ) -> Build:
        choice = await chosen(forge, http, variant, card)
        collect = [] if steps is None else steps
        return await install(choice, http=http, deadlines=deadlines, on_step=collect.append, **more)

    return install_it


async def chosen(forge: Forge, http: Http, variant: str = "", card: GpuInfo | None = None) -> Choice:
    releases = await newest_releases(http, forge.index)
    here = computer(*([card] if card else []))
    choice = named_choice(releases, here, variant) if variant else best_choices(releases, here, card)[0]
    assert choice is not None
    return choice


def there(*names: str, text: str = "") -> list[Build]:
    """Builds that are installed already and work, the last of them in use."""
    with keep.changing():
        return [placed(name, text or working_server()) for name in names]


def left_over() -> list[str]:
    """What lies in the folder besides builds, the pointer and the lock; partial downloads with their path."""
    folder = keep.builds_dir()
    known = {build.name for build in keep.installed()} | {"in-use.json", "settings.lock", keep.DOWNLOADS}
    downloads = folder / keep.DOWNLOADS
    return sorted(set(os.listdir(folder)) - known) + sorted(
        os.listdir(downloads) if downloads.is_dir() else []
    )


def in_use() -> tuple[str, str]:
    current, previous = keep.current(), keep.previous()
    return current.name if current else "", previous.name if previous else ""


# --- It works ---------------------------------------------------------------------------------------------


async def test_a_build_is_downloaded_tried_and_used(forge: Forge, put: Put, tmp_path: Path) -> None:
    forge.publish("b100")
    steps: list[Step] = []
    build = await put(steps=steps)
    assert (build.name, build.version, build.variant) == ("b100-cpu", "b100", "cpu")
    assert build.says == "b100 (scripted)"
    assert find_binary(None, str(tmp_path)) == build.binary
    assert os.access(build.binary, os.X_OK)
    phases = [step.phase for step in steps]
    assert list(dict.fromkeys(phases)) == ["download", "unpack", "try"]
    downloads = [step for step in steps if step.phase == "download"]
    assert downloads[-1].done == downloads[-1].total
    assert left_over() == []


@pytest.mark.reference_engine
async def test_the_real_llama_server_is_installed_from_an_archive(
    forge: Forge, put: Put, reference: EngineSpec, start: MakeEngine
) -> None:
    assert reference.binary is not None
    forge.publish("b100", text=reference.binary.read_bytes())
    build = await put()
    assert "build" in build.says
    engine = start(replace(reference, binary=build.binary))
    assert (await engine.ensure_ready()).model == "tiny"
    assert keep.used_by(build.folder) == [engine.status().pid]


async def test_an_upgrade_keeps_exactly_the_build_before(forge: Forge, put: Put) -> None:
    there("b100-cpu", "b101-cpu")
    forge.publish("b102")
    await put()
    assert in_use() == ("b102-cpu", "b101-cpu")
    assert {build.name for build in keep.installed()} == {"b102-cpu", "b101-cpu"}


async def test_a_build_that_is_there_and_works_is_not_downloaded_again(forge: Forge, put: Put) -> None:
    there("b100-cpu", "b101-cpu")
    forge.publish("b100")
    forge.server.set_fault("error_500")
    assert (await put()).name == "b100-cpu"
    assert in_use() == ("b100-cpu", "b101-cpu")


async def test_a_build_that_was_damaged_since_is_downloaded_again(forge: Forge, put: Put) -> None:
    (before,) = there("b100-cpu")
    before.binary.write_text("#!/bin/sh\nexit 1\n")
    forge.publish("b100")
    build = await put()
    assert build.name == before.name
    assert "scripted" in build.binary.read_text()
    assert left_over() == []


async def test_nvidias_libraries_come_to_lie_beside_the_program(forge: Forge, put: Put) -> None:
    """They are packed in a folder of their own, where nothing looks for them."""
    forge.publish("b100", "cuda-12.8", text=with_card())
    forge.publish_runtime("b100", "12.8")
    build = await put(card=CARD)
    assert build.variant == "cuda-12.8"
    assert (build.binary.parent / "libcudart.so.12").read_bytes() == b"\x7fELF"
    assert (build.binary.parent / "LICENSE").read_bytes() == b"MIT"  # the build's own is kept


async def test_links_among_those_libraries_stay_links_to_them_and_none_leads_out(
    forge: Forge, put: Put, tmp_path: Path
) -> None:
    """A link that was right deep in an archive leads elsewhere from beside the program."""
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    deep = "/".join("d" * 12)
    links: dict[str, bytes | str] = {
        "lib64/libcublas.so.13": b"\x7fELF cublas",
        "lib/libcublas.so": "../lib64/libcublas.so.13",
        "lib/libcublas.so.13": "../lib64/libcublas.so.13",
        "more": "lib64",
        f"{deep}/libout.so": f"{'../' * 11}{outside.relative_to('/')}",
    }
    forge.publish("b100", "cuda-12.8", text=with_card())
    forge.publish_runtime("b100", "12.8", links)
    build = await put(card=CARD)
    beside = build.binary.parent
    assert sorted(os.listdir(beside)) == [
        "LICENSE",
        "libcublas.so",
        "libcublas.so.13",
        "libcudart.so.12",
        "llama-server",
    ]
    assert (beside / "libcublas.so").is_symlink()
    assert (beside / "libcublas.so").read_bytes() == b"\x7fELF cublas"
    assert all(path.resolve().is_relative_to(build.folder) for path in build.folder.rglob("*"))


def test_a_folder_with_a_link_that_leads_out_is_no_build(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "inside").symlink_to("../build")
    check_links(tmp_path / "build")
    (tmp_path / "build" / "libcudart.so.12").symlink_to("../../elsewhere")
    with pytest.raises(TransferError, match=r"“libcudart\.so\.12” in it leads out"):
        check_links(tmp_path / "build")


def with_card() -> str:
    lines = working_server().split("\n")
    found = "  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23000 MiB free)"
    lines.insert(1, f'[ "$1" = --list-devices ] && echo "Available devices:\n{found}" && exit')
    lines.insert(1, '[ "$1" = --help ] && echo "--list-devices    print devices"')
    return "\n".join(lines)


async def test_a_download_that_breaks_off_goes_on_where_it_was(forge: Forge, put: Put) -> None:
    forge.publish("b100", text=working_server() + "#" + os.urandom(2 * MIB).hex())
    forge.server.set_fault("cut_mid_stream", MIB, count=1)
    await put()
    assert 0 < gone_on_from(forge) <= MIB


async def test_an_installation_that_was_cancelled_is_gone_on_with_by_the_next(forge: Forge, put: Put) -> None:
    forge.publish("b100", text=working_server() + "#" + os.urandom(2 * MIB).hex())
    forge.server.set_fault("slow", 2 * MIB, count=1)
    steps: list[Step] = []
    working = asyncio.create_task(put(steps=steps))
    assert await until(lambda: any(step.done for step in steps), 5)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert in_use() == ("", "")
    (part, *_) = left_over()
    assert ".part" in part
    assert (await put()).name == "b100-cpu"
    assert 0 < gone_on_from(forge) < 4 * MIB
    assert left_over() == []


def gone_on_from(forge: Forge) -> int:
    """The byte from which the last request asked for the rest of an archive; 0 where it asked for all."""
    asked = [entry for entry in forge.server.requests() if "/release-assets/" in entry["path"]]
    return int(asked[-1]["headers"].get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


async def test_a_mirror_is_asked_instead_and_checked_against_the_list(forge: Forge, put: Put) -> None:
    forge.publish("b100")
    base = f"{forge.server.url}/{forge.repo}/releases/download"
    await put(mirrors=[base])
    asked = [entry["path"] for entry in forge.server.requests()]
    assert any(path.startswith(f"/{forge.repo}/releases/download/b100/") for path in asked)


async def test_an_engine_that_runs_keeps_its_build_through_upgrades(
    forge: Forge, put: Put, start: MakeEngine, builtin: EngineSpec
) -> None:
    # Without `exec` the script's own process stays, as a real llama-server's does.
    first, _ = there("b100-cpu", "b101-cpu", text=working_server().replace("exec ", ""))
    engine = start(replace(builtin, binary=first.binary))
    await engine.ensure_ready()
    forge.publish("b102")
    await put()
    assert engine.status().state is EngineState.READY
    assert first.binary.exists()
    with pytest.raises(EngineError, match="is running"):
        keep.remove(first.name)
    await engine.stop()
    keep.prune()
    assert not first.folder.exists()


async def test_the_loop_touches_no_file_while_it_installs(forge: Forge, put: Put) -> None:
    """Disks can take seconds: everything else that this app does would stand still."""
    there("b100-cpu", "b101-cpu", "b102-cpu")
    forge.publish("b103")
    touched: list[str] = []
    loop, folder = threading.get_ident(), str(keep.builds_dir())

    def notice(event: str, args: tuple[object, ...]) -> None:
        is_ours = watching and threading.get_ident() == loop
        if is_ours and event.startswith(("os.", "open", "shutil.")) and folder in str(args):
            touched.append(f"{event} {args}")

    watching = True
    sys.addaudithook(notice)
    try:
        await put()
    finally:
        watching = False  # it cannot be taken away again
    assert touched == []


# --- It does not, and what was in use stays in use --------------------------------------------------------


async def fails(put: Put, words: str, **more: Any) -> EngineError:
    """The error of an installation over b1, which stays in use and alone."""
    with pytest.raises(EngineError, match=words) as caught:
        await put(**more)
    assert in_use() == ("b1-cpu", "")
    assert [build.name for build in keep.installed()] == ["b1-cpu"]
    assert "was not installed" in caught.value.title
    assert "b1-cpu stays in use" in caught.value.next_step
    return caught.value


@pytest.fixture
def before() -> None:
    """b1 is installed and in use."""
    there("b1-cpu")


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (working_server(behave="no-answer"), "the cache is broken"),
        (working_server(behave="hang"), "did not"),
        ("#!/bin/sh\necho hello\n", "It says: hello"),
        ("#!/bin/sh\nexec yes\n", "without an end"),
        (
            "#!/bin/sh\necho 'libvulkan.so.1: cannot open shared object file' >&2; exit 127\n",
            r"libvulkan\.so\.1",
        ),
        ("\x7fELF of another processor", "Exec format error"),
    ],
    ids=["cannot answer", "hangs", "another program", "floods", "lacks a library", "another processor"],
)
async def test_a_build_that_does_not_answer_is_not_used(
    forge: Forge, put: Put, text: str, words: str
) -> None:
    forge.publish("b2", text=text)
    await fails(put, words, deadlines=QUICK if "hang" in text else Deadlines())
    assert left_over() == []
    assert forge.server.requests()  # and it was really fetched


@pytest.mark.usefixtures("before")
async def test_a_build_for_a_card_that_sees_none_is_not_used(forge: Forge, put: Put) -> None:
    lines = working_server().split("\n")
    lines.insert(1, '[ "$1" = --list-devices ] && echo "Available devices:\n  (none)" && exit')
    lines.insert(1, '[ "$1" = --help ] && echo "--list-devices    print devices"')
    forge.publish("b2", "vulkan", text="\n".join(lines))
    error = await fails(put, "sees no graphics card", variant="vulkan")
    assert error.cause == "build_no_card"
    assert "--variant cpu" in error.next_step


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("fault", ["wrong_digest", "other_bytes"])
async def test_an_archive_that_is_not_the_listed_one_is_not_unpacked(
    forge: Forge, put: Put, fault: str
) -> None:
    forge.publish("b2")
    forge.server.set_fault(fault)
    await fails(put, "checksum")


@pytest.mark.usefixtures("before")
async def test_an_archive_that_leads_out_of_its_folder_writes_nothing(
    forge: Forge, put: Put, tmp_path: Path
) -> None:
    evil, victim = tmp_path / "evil.tar.gz", tmp_path / "victim"
    with tarfile.open(evil, "w:gz") as tar:
        link = tarfile.TarInfo("llama-b2/out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("llama-b2/out/victim"))
    forge.publish_file("b2", evil)
    await fails(put, "unpacked")
    assert not victim.exists()
    assert left_over() == []


@pytest.mark.usefixtures("before")
async def test_an_archive_without_a_llama_server_is_no_build(forge: Forge, put: Put, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("llama-b2/readme"))
    forge.publish_file("b2", tmp_path / "empty.tar.gz")
    await fails(put, "no llama-server in the archive")


@pytest.mark.usefixtures("before")
async def test_nobody_there_to_download_from(forge: Forge, put: Put, http: Http) -> None:
    forge.publish("b2")
    await fails(put, "b2", mirrors=["http://127.0.0.1:9/nobody"], deadlines=Deadlines().scaled(0.02))


@pytest.mark.usefixtures("before")
async def test_a_full_disk_is_seen_before_the_download(http: Http) -> None:
    huge = Choice(
        Release("b2", ()), "cpu", (Asset("a.zip", "http://127.0.0.1:9/a.zip", 10**15, "0" * 64),), ""
    )
    with pytest.raises(EngineError, match="not enough room on the disk") as caught:
        await install(huge, http=http, deadlines=Deadlines())
    assert "b1-cpu stays in use" in caught.value.next_step
    assert in_use() == ("b1-cpu", "")


async def test_of_two_installations_at_once_the_second_is_sent_away(forge: Forge, put: Put) -> None:
    forge.publish("b100", text=working_server() + "#" + os.urandom(2 * MIB).hex())
    forge.server.set_fault("slow", 8 * MIB)
    steps: list[Step] = []
    first = asyncio.create_task(put(steps=steps))
    assert await until(lambda: bool(steps), 5)
    with pytest.raises(EngineError, match="cannot be changed right now"):
        await put()
    assert (await first).name == "b100-cpu"
    assert in_use() == ("b100-cpu", "")


async def test_cancelling_the_trial_leaves_no_process_and_no_folder(
    forge: Forge, put: Put, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = working_server(behave="hang").replace("exec ", f'[ "$1" = --help ] || echo $$ >> {pids}\nexec ', 1)
    forge.publish("b100", text=text)
    steps: list[Step] = []
    working = asyncio.create_task(put(steps=steps))
    assert await until(pids.exists, 10)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert (in_use(), left_over()) == (("", ""), [])


async def test_the_trial_never_disturbs_another_engines_log(http: Http, tmp_path: Path) -> None:
    from whisper_desktop.settings.paths import log_dir

    program = tmp_path / "llama-server"
    program.write_text(working_server())
    program.chmod(0o755)
    await try_out(program, http=http, deadlines=Deadlines(), needs_card=False)
    assert [path.name for path in log_dir().glob("engine-*")] == ["engine-new_build.log"]


async def test_errors_are_whole_sentences_and_the_next_build_is_installed(forge: Forge, put: Put) -> None:
    forge.publish("b2", text="#!/bin/sh\necho hello\n")
    with pytest.raises(WhisperError) as caught:
        await put()
    said = caught.value
    assert said.title == "The build b2-cpu was not installed."
    assert said.detail == (
        "Its llama-server cannot be used. "
        "Its help does not list the options of a llama-server. It says: hello."
    )
    assert said.next_step.endswith("Nothing was changed.")
    forge.publish("b3")
    assert (await put()).name == "b3-cpu"
