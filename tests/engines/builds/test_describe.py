"""What a llama-server says of itself, and programs that are none."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.builds.programs import program
from tests.engines.conftest import gone, until
from whisper_desktop.engines.builds.answers import Binary, mark_of, recall, remember
from whisper_desktop.engines.builds.describe import (
    Device,
    NotUsable,
    ask,
    devices,
    flags_in,
    parse,
    parse_devices,
)
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.settings.paths import cache_dir
from whisper_desktop.values import Deadlines

HELP = """----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-m,    --model FNAME                    model path to load
--repack, -nr, --no-repack              whether to enable weight repacking (default: enabled)
-lm,   --load-mode MODE                 model loading mode (default: auto)
                                        - mmap: memory-map the model, see also --mlock
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM, either an exact number,
--poll <0...100>                        use polling level to wait for work (0 - no polling, default: 50)
--port PORT                             port to listen (default: 8080), not --reuse-port
"""

MIB = 2**20
ROOT = Path(__file__).resolve().parents[3]


def test_flags_are_read_from_the_start_of_the_helps_entries() -> None:
    assert flags_in(HELP) == {
        *("-h", "--help", "--usage", "-c", "--ctx-size", "-m", "--model", "--repack", "-nr", "--no-repack"),
        *("-lm", "--load-mode", "-ngl", "--gpu-layers", "--n-gpu-layers", "--poll", "--port"),
    }  # fmt: skip


def test_a_version_without_words_is_unknown() -> None:
    assert parse("hello", HELP).version == "unknown"
    assert parse("version: 0.5.0-dev (build 1)\nbuilt with", HELP).version == "0.5.0-dev (build 1)"


def test_another_programs_help_is_not_a_llama_servers() -> None:
    with pytest.raises(NotUsable):
        parse("version: 1", "usage: ls [OPTION]... [FILE]...\n-a, --all    do not ignore entries")


@pytest.mark.reference_engine
async def test_the_reference_engine_tells_its_version_and_flags(reference: EngineSpec) -> None:
    assert reference.binary is not None
    found = await ask(reference.binary, Deadlines())
    assert "build" in found.version
    assert {"-m", "-a", "-c", "--host", "--port", "-np", "-t", "-ngl", "-lm", "--metrics"} <= found.flags
    assert "--no-mmap" not in found.flags
    assert (
        await devices(reference.binary, Deadlines()) == ()
    )  # this computer may have a card; the build uses none


async def test_a_program_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    text = f"#!/bin/sh\necho $1 >> {asked}\ncat <<'E'\nversion: 1\n{HELP}E\n"
    binary = program(tmp_path, text)
    for _ in range(3):
        assert (await ask(binary, Deadlines())).version == "1"
    assert sorted(asked.read_text().split()) == ["--help", "--version"]
    program(tmp_path, text.replace("version: 1", "version: 2 "))
    assert (await ask(binary, Deadlines())).version == "2"


async def test_a_program_that_never_answers_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    binary = program(tmp_path, f"#!/bin/sh\nsleep 60 &\necho $$ $! > {pids}\nwait\n")
    with pytest.raises(NotUsable, match="did not answer"):
        await ask(binary, replace(Deadlines(), engine_ask=0.5))
    started = [int(word) for word in pids.read_text().split()]
    assert len(started) == 2
    assert await until(lambda: all(gone(pid) for pid in started), 2)


def asking_process(binary: Path) -> "subprocess.Popen[bytes]":
    """A program of ours that asks this one, and does nothing else."""
    code = (
        "import asyncio, sys; from pathlib import Path; from whisper_desktop.values import Deadlines\n"
        "from whisper_desktop.engines.builds.describe import ask\n"
        "asyncio.run(ask(Path(sys.argv[1]), Deadlines()))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(binary)], cwd=ROOT)


async def test_a_program_that_is_being_asked_ends_when_we_are_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    binary = program(tmp_path, f"#!/bin/sh\necho $$ >> {pids}\nexec sleep 60\n")
    with asking_process(binary) as owner:
        both = await until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 20)
        owner.kill()
    assert both, "it was asked for its version and its help"
    assert await until(lambda: all(gone(int(pid)) for pid in pids.read_text().split()), 2)


async def test_a_program_that_prints_without_an_end_is_ended_at_once(tmp_path: Path) -> None:
    binary = program(tmp_path, "#!/bin/sh\nexec yes\n")
    async with asyncio.timeout(30):
        with pytest.raises(NotUsable, match="without an end"):
            await ask(binary, replace(Deadlines(), engine_ask=600.0))


async def test_a_program_that_cannot_start_says_what_the_system_said(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match="The system says: Exec format error"):
        await ask(program(tmp_path, "\x7fELF for another processor"), Deadlines())
    with pytest.raises(NotUsable, match="No such file"):
        await ask(tmp_path / "nothing", Deadlines())


async def test_what_a_program_complains_about_is_passed_on(tmp_path: Path) -> None:
    complaint = "llama-server: error while loading shared libraries: libcudart.so.13: cannot open"
    with pytest.raises(NotUsable, match=r"It says: .*libcudart\.so\.13"):
        await ask(program(tmp_path, f"#!/bin/sh\necho {complaint!r} >&2\nexit 127\n"), Deadlines())


def test_graphics_cards_are_read_as_llama_cpp_prints_them() -> None:
    text = (
        "ggml_cuda_init: found 1 CUDA devices (Total VRAM: 24080 MiB):\n"
        "  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes, VRAM: 24080 MiB\n"
        "load_backend: loaded CUDA backend from /opt/libggml-cuda.so\n"
        "Available devices:\n"
        "  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23000 MiB free)\n"
        "  Vulkan1: AMD Radeon 780M (RADV PHOENIX) (16000 MiB, 15000 MiB free)\n"
        "  BLAS: Accelerate (0 MiB, 0 MiB free)\n"
    )
    assert parse_devices(text) == (
        Device("CUDA0", "NVIDIA GeForce RTX 4090", 24080 * MIB, 23000 * MIB),
        Device("Vulkan1", "AMD Radeon 780M (RADV PHOENIX)", 16000 * MIB, 15000 * MIB),
    )
    assert parse_devices("Available devices:\n  (none)\n") == ()
    assert parse_devices(f"  CUDA0: a card ({'9' * 400} MiB, 1 MiB free)\n") == ()


async def test_graphics_cards_are_asked_for_once(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    text = f"#!/bin/sh\necho $1 >> {asked}\necho '  Vulkan0: a card (10 MiB, 4 MiB free)'\n"
    binary = program(tmp_path, text)
    for _ in range(2):
        card = Device("Vulkan0", "a card", 10 * MIB, 4 * MIB)
        assert await devices(binary, Deadlines()) == (card,)
    assert asked.read_text().split() == ["--list-devices"]


async def test_another_file_with_the_same_name_size_and_time_is_asked_again(tmp_path: Path) -> None:
    """Files from an archive keep their time, so a build that replaces another one may look like it."""

    def text(version: str) -> str:
        return f"#!/bin/sh\ncat <<'E'\nversion: {version}\n{HELP}E\n"

    for version in ("1", "2"):
        binary = program(tmp_path, text(version))
        os.utime(binary, ns=(10**18, 10**18))
        assert (await ask(binary, Deadlines())).version == version


# --- Kept between runs ------------------------------------------------------------------------------------


def large(folder: Path, text: str = "#!/bin/sh\n", name: str = "llama-server") -> Path:
    """As large as a program that is no launcher of another one."""
    return program(folder, f"{text}exit\n#{'x' * 1_000_000}", name)


async def test_what_a_program_told_in_an_earlier_run_is_not_asked_again(tmp_path: Path) -> None:
    binary = large(tmp_path, "#!/bin/sh\necho hello\n")
    told = Binary("from an earlier run", frozenset({"--port"}))
    remember(mark_of(binary), told)
    assert await ask(binary, Deadlines()) == told
    with pytest.raises(NotUsable):
        await ask(large(tmp_path, "#!/bin/sh\necho another\n"), Deadlines())


async def test_what_a_program_tells_is_kept_for_the_next_run(tmp_path: Path) -> None:
    binary = large(tmp_path, f"#!/bin/sh\ncat <<'E'\nversion: 1\n{HELP}E\n")
    told = await ask(binary, Deadlines())
    assert told.version == "1"
    assert recall(mark_of(binary)) == told


async def test_what_may_start_another_program_is_asked_in_each_run(tmp_path: Path) -> None:
    script = program(tmp_path, f"#!/bin/sh\ncat <<'E'\nversion: 1\n{HELP}E\n")
    assert recall(mark_of(script)) is None
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "llama-server"
    link.symlink_to(large(tmp_path, name="launcher-of-everything"))
    for each in (script, link):
        remember(mark_of(each), Binary("1", frozenset()))
        assert recall(mark_of(each)) is None


def test_as_many_programs_are_kept_as_a_person_may_have(tmp_path: Path) -> None:
    binaries = [large(tmp_path / str(number)) for number in range(9)]
    for number, binary in enumerate(binaries):
        remember(mark_of(binary), Binary(str(number), frozenset()))
    kept = [recall(mark_of(binary)) for binary in binaries]
    assert [each.version if each else None for each in kept] == [None, *"12345678"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[[]]", '[{"mark": ["/x", 1, 2]}]', "[" * 9_000, "\udc80"])
def test_a_file_that_is_not_ours_any_more_tells_nothing(tmp_path: Path, text: str) -> None:
    binary = large(tmp_path)
    remember(mark_of(binary), Binary("1", frozenset()))
    (file,) = cache_dir().glob("*.json")
    file.write_text(text, errors="surrogateescape")
    assert recall(mark_of(binary)) is None
    remember(mark_of(binary), Binary("2", frozenset()))
    assert recall(mark_of(binary)) == Binary("2", frozenset())
