"""The guard: it ends a program with all it started, whoever asks, and reports how that ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import gone
from whisper_desktop.engines.programs import guard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no guard on Windows")

GUARD = (sys.executable, "-P", "-S", "-E", guard.__file__)


class Guard:
    """A guard with a shell script below it, which has said that it runs."""

    def __init__(self, script: str, *, owner: int | None = None) -> None:
        command = [*GUARD, str(os.getpid() if owner is None else owner), "nonce", "--", "sh", "-c", script]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said to people."""
        code = self.process.wait(20)  # not `communicate`, which would close its input first
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@pytest.fixture
def guarded() -> Iterator[list[Guard]]:
    """Guards that end with the test."""
    started: list[Guard] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate()


def run(guarded: list[Guard], script: str, *, owner: int | None = None) -> Guard:
    guarded.append(Guard(script, owner=owner))
    return guarded[-1]


def test_it_ends_with_the_programs_own_code(guarded: list[Guard]) -> None:
    assert run(guarded, "exit 7").end()[0] == 7
    assert run(guarded, "kill -9 $$").end()[0] == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_end_it_ends_the_program(guarded: list[Guard], number: signal.Signals) -> None:
    told = run(guarded, "echo $$; exec sleep 60")
    pid = int(told.line())
    told.process.send_signal(number)
    assert told.end()[0] == 128 + signal.SIGTERM
    assert gone(pid)


def test_the_end_of_standard_input_means_that_the_owner_is_gone(guarded: list[Guard]) -> None:
    watching = run(guarded, "echo $$; exec sleep 60")
    pid = int(watching.line())
    watching.close_input()
    assert watching.end()[0] == 128 + signal.SIGTERM
    assert gone(pid)


def test_without_an_owner_nobody_is_watched(guarded: list[Guard]) -> None:
    alone = run(guarded, "echo started; sleep 0.3; exit 5", owner=0)
    alone.line()
    alone.close_input()
    assert alone.end()[0] == 5


def test_an_owner_that_is_not_its_parent_has_gone_already(guarded: list[Guard]) -> None:
    code, err = run(guarded, "echo started", owner=1).end()
    assert (code, err) == (1, "whisper: the program that started this one has ended\n")


def test_a_program_that_does_not_listen_is_killed_within_two_seconds(guarded: list[Guard]) -> None:
    stubborn = run(guarded, "trap '' TERM; echo $$; while :; do sleep 0.2; done")
    pid = int(stubborn.line())
    began = time.monotonic()
    stubborn.process.terminate()
    assert stubborn.end()[0] == 128 + signal.SIGKILL
    assert time.monotonic() - began < 2
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans over")
def test_what_left_the_programs_group_ends_with_it(guarded: list[Guard], tmp_path: Path) -> None:
    daemon = run(guarded, f"setsid sh -c 'echo $$ > {tmp_path}/pid; echo up; exec sleep 60' & wait")
    daemon.line()
    pid = int((tmp_path / "pid").read_text())
    daemon.process.terminate()
    daemon.end()
    assert gone(pid)


_STARTS_MORE = """
import os, time
gone, program = os.pipe()
for number in range(40):
    if os.fork() == 0:
        os.setsid()
        os.closerange(1, 3)
        os.close(program)
        os.read(gone, 1)
        time.sleep(number / 2000)
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
        os._exit(0)
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans over")
def test_what_is_started_while_all_is_being_ended_ends_with_it(guarded: list[Guard]) -> None:
    """Helpers that notice the end of the program, and each start another one within the next 20 ms."""
    mark = f"whisper-test-{os.getpid()}"
    busy = run(guarded, f"exec {sys.executable} -S -E -c '{_STARTS_MORE}' {mark}")
    busy.line()
    busy.process.terminate()
    busy.end()

    def left() -> list[int]:
        found = psutil.process_iter(["pid", "cmdline", "status"])
        return [
            each.pid
            for each in found
            if mark in (each.info["cmdline"] or ()) and each.info["status"] != psutil.STATUS_ZOMBIE
        ]

    until = time.monotonic() + 2
    while left() and time.monotonic() < until:
        time.sleep(0.02)
    survivors = left()
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert survivors == []


def test_a_program_that_cannot_be_run_is_named() -> None:
    done = subprocess.run([*GUARD, "0", "nonce", "--", "/nowhere/lm-studio"], capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == "whisper: cannot run '/nowhere/lm-studio': No such file or directory\n"


@pytest.mark.parametrize(
    "words", [[], ["0", "nonce"], ["x", "nonce", "--", "true"], ["0", "n", "--y", "--", "true"]]
)
def test_a_command_line_that_is_none_runs_nothing(words: list[str]) -> None:
    done = subprocess.run([*GUARD, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr[:13]) == (2, "usage: guard ")
