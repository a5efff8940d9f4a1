"""When the app dies, however it dies, nothing of ours stays behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import gone, until
from whisper_desktop.engines import orphans
from whisper_desktop.engines.command import child_command, child_environment, child_folder, engine_flags
from whisper_desktop.engines.launch import free_port
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.settings.paths import run_dir

ROOT = Path(__file__).parents[2]


Owner = tuple["subprocess.Popen[str]", int]


@contextmanager
def owning(spec: EngineSpec, moment: str) -> Iterator[Owner]:
    """A program that owns an engine which loads, idles or answers, and the engine's process id."""
    words = [str(spec.model_path), *([str(spec.binary)] if spec.binary else []), *spec.extra_args]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.owner_program", moment, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield process, json.loads(line)["pid"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("moment", ["loading", "idle", "answering"])
async def test_kill_9_of_the_owner_leaves_no_process(moment: str, spec: EngineSpec) -> None:
    """S15: gone within a second, with both real engines."""
    with owning(spec, moment) as (process, engine_pid):
        family = psutil.Process(process.pid).children(recursive=True)
        assert engine_pid in [child.pid for child in family]
        process.kill()
        assert await until(lambda: all(gone(child.pid) for child in family), 1)


async def test_kill_9_of_the_owner_of_a_program_that_hangs_leaves_no_process(
    scripted: Callable[..., EngineSpec],
) -> None:
    """S15: in the middle of a load that takes for ever, signals ignored."""
    with owning(scripted("ignore-term", "hang"), "loading") as (process, engine_pid):
        process.kill()
        assert await until(lambda: gone(engine_pid), 1)


@pytest.fixture
def owner(spec: EngineSpec) -> Iterator[Owner]:
    """A program that owns an engine which answers."""
    with owning(spec, "answering") as both:
        yield both


async def test_the_record_of_a_killed_run_is_cleaned_up_by_the_next(owner: Owner) -> None:
    """S24: while its owner lives, another program of ours leaves it alone."""
    process, engine_pid = owner
    assert len(list(run_dir().glob("engine-*.json"))) == 1
    assert orphans.end_orphans() == ()
    assert not gone(engine_pid), "its owner lives"
    process.kill()
    await asyncio.to_thread(process.wait)
    orphans.end_orphans()
    assert list(run_dir().glob("engine-*.json")) == []
    assert await until(lambda: gone(engine_pid), 2)


def _run(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=child_folder(),
        env=child_environment(os.environ, api_key="k", nonce="n"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.parametrize("mode", ["builtin", "stay"])
async def test_the_end_of_standard_input_ends_child_and_binary(
    mode: str, builtin: EngineSpec, tmp_path: Path
) -> None:
    """What binds a child to its owner on every system, tried here without the kernel's death signal."""
    script = tmp_path / "sleeper"
    script.write_text("#!/bin/sh\necho serving\nsleep 60\n")
    script.chmod(0o755)
    command = child_command(builtin, engine_flags(builtin, free_port()), owner_pid=os.getpid(), nonce="n")
    at = command.index("builtin")
    command[at:] = [mode, str(script)] if mode == "stay" else command[at:]
    child = _run(command)
    assert child.stdout is not None
    assert child.stdin is not None
    with child.stdout as output:
        for line in output:
            if b"listening on" in line or b"serving" in line:
                break
        family = [child.pid, *(one.pid for one in psutil.Process(child.pid).children(recursive=True))]
        child.stdin.close()
        code = await asyncio.to_thread(child.wait, 2)
    assert code == -signal.SIGKILL
    assert await until(lambda: all(gone(pid) for pid in family), 2)
