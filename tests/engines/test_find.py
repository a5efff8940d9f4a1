"""Finding a llama-server and reading what it can do."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import gone, until
from whisper_desktop.engines.find import NotUsable, ask, find_binary, flags_in, parse
from whisper_desktop.engines.spec import EngineSpec
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


def program(folder: Path, text: str, name: str = "llama-server") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_what_is_set_wins_over_path_even_when_it_is_not_there(tmp_path: Path) -> None:
    program(tmp_path, "")
    assert find_binary("/none/llama-server", str(tmp_path)) == Path("/none/llama-server")


def test_a_folder_that_is_set_means_the_program_in_it(tmp_path: Path) -> None:
    assert find_binary(tmp_path) == tmp_path / "llama-server"


def test_without_a_setting_path_is_searched(tmp_path: Path) -> None:
    assert find_binary(None, str(tmp_path)) is None
    found = program(tmp_path, "")
    assert find_binary("  ", str(tmp_path)) == found


def test_a_home_folder_is_understood() -> None:
    assert find_binary("~/bin/llama-server") == Path(os.environ["HOME"], "bin/llama-server")


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


async def test_a_program_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    text = f"#!/bin/sh\necho $1 >> {asked}\ncat <<'E'\nversion: 1\n{HELP}E\n"
    binary = program(tmp_path, text)
    for _ in range(3):
        assert (await ask(binary, Deadlines())).version == "1"
    assert asked.read_text().split() == ["--version", "--help"]
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
