"""The way into a llama-server on Linux: short, and bound to who started it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.engines.command import child_command
from whisper_desktop.engines.spec import EngineSpec

SPEC = EngineSpec(Path("/m.gguf"), "m", n_ctx=0, binary=Path(sys.executable))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the child stays and waits")


def become(
    spec: EngineSpec, *flags: str, owner: int | None = None, python: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    program, *rest = child_command(spec, list(flags), owner_pid=owner or os.getpid(), nonce="n")
    return subprocess.run([program, *python, *rest], capture_output=True, text=True, timeout=30)


def test_it_becomes_the_program_and_ends_as_that_ends() -> None:
    assert become(SPEC, "-c", "raise SystemExit(7)").returncode == 7


def test_one_whose_owner_has_gone_starts_nothing() -> None:
    done = become(SPEC, "-c", "print('started')", owner=1)
    assert (done.returncode, "has ended" in done.stderr, done.stdout) == (1, True, "")


def test_what_cannot_be_run_is_named() -> None:
    done = become(replace(SPEC, binary=Path("/nowhere/llama-server")))
    assert done.returncode == 127
    assert "whisper: cannot run '/nowhere/llama-server': No such file or directory" in done.stderr


def test_it_loads_next_to_nothing_because_every_start_waits_for_it() -> None:
    binary = Path("/bin/true")
    listed = become(replace(SPEC, binary=binary), python=("-X", "importtime")).stderr
    loaded = {line.rpartition("|")[2].strip() for line in listed.splitlines()}
    assert "ctypes" in loaded
    assert not {"site", "runpy", "enum", "re", "typing", "signal", "threading", "whisper_desktop"} & loaded


def test_a_frozen_program_becomes_it_through_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys.executable", "/opt/whisper/whisper")
    command = child_command(
        replace(SPEC, binary=Path("/opt/llama-server")), ["-c", "1"], owner_pid=1, nonce="n"
    )
    assert command == [
        *("/opt/whisper/whisper", "--engine-child", "1", "n", "exec", "/opt/llama-server", "-c", "1")
    ]
