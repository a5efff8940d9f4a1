"""The real program for tests: as processes, in a home of its own, on a pseudo-terminal where needed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.worlds import closed_port

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "whisper_desktop")
PATIENCE_S = 30.0  # how long a test waits for what should be there at once, on a busy machine


@dataclass(frozen=True)
class Result:
    """What a finished program left. `err` and `out` are text; `raw` is standard output as bytes."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.raw)


class Running:
    """A program that runs; what it prints is read with deadlines."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        out: int,
        terminal: int | None = None,
        slave: int | None = None,
    ) -> None:
        self.process = process
        self.pid = process.pid
        self._out = out
        self._terminal = terminal
        self._slave = slave
        self.seen = ""

    def expect(self, text: str) -> str:
        """Reads until `text` has been printed, and returns everything up to there that was not yet taken."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            left = until - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} was not printed, but: {self.seen!r}")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def rest(self) -> str:
        """Everything until the end of the output."""
        while self._read(PATIENCE_S):
            pass
        return self.seen

    def _read(self, seconds: float) -> bool:
        if not select.select([self._out], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._out, 65536)
        except OSError:  # a pseudo-terminal whose program has ended says EIO
            data = b""
        self.seen += data.decode("utf-8", "replace")
        self._leave_terminal()
        return bool(data)

    def _leave_terminal(self) -> None:
        """The program has opened its terminal; as long as we had it open too, it would never hang up."""
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def type(self, text: str) -> None:
        """Types into the terminal: "\\x03" is Ctrl-C, "\\x04" Ctrl-D."""
        assert self._terminal is not None
        os.write(self._terminal, text.encode())

    def interrupt_until(self, text: str) -> str:
        """Presses Ctrl-C until `text` has been printed: readline misses one that comes with its prompt."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.seen and time.monotonic() < until:
            self.type("\x03")
            while text not in self.seen and self._read(2.0):
                pass
        return self.expect(text)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Ends what still runs, and the files with it."""
        if self.process.poll() is None:
            self.kill()
        self._leave_terminal()
        if self.process.stdin is not None:
            self.process.stdin.close()
        os.close(self._out)


class Program:
    """`whisper-desktop` in a home of its own. The big servers are looked for on ports that are closed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if name not in ("DISPLAY", "WAYLAND_DISPLAY")
            },
            "WHISPER_HOME": str(home),
            "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
            "WHISPER_LLM__LMSTUDIO__PORT": str(closed_port()),
            "WHISPER_LLM__LLAMACPP__PORT": str(closed_port()),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PYTHONUNBUFFERED": "",
            "TERM": "xterm",
        }
        self._running: list[Running] = []

    def run(
        self, *args: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None, shell: str = ""
    ) -> Result:
        """Runs one command to its end. `shell` is a script in which "$@" is the command."""
        command: list[str | bytes] = [*COMMAND, *args]
        if shell:
            command = ["bash", "-c", shell, "bash", *command]
        done = subprocess.run(
            command, input=stdin, capture_output=True, env={**self.env, **(env or {})}, cwd=ROOT, timeout=60
        )
        result = Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))
        assert "Traceback" not in result.err, result.err
        assert b"Traceback" not in result.raw, result.raw
        return result

    def start(self, *args: str, env: Mapping[str, str] | None = None, open_input: bool = False) -> Running:
        """Starts a command whose output (both kinds) comes through a pipe.

        With `open_input`, so does its input, and nothing ever comes through it.
        """
        out, into = os.pipe()
        process = subprocess.Popen(
            [*COMMAND, *args],
            stdin=subprocess.PIPE if open_input else subprocess.DEVNULL,
            stdout=into,
            stderr=into,
            env={**self.env, **(env or {})},
            cwd=ROOT,
        )
        os.close(into)
        return self._kept(Running(process, out))

    def terminal(self, *args: str, env: Mapping[str, str] | None = None) -> Running:
        """Starts a command on a pseudo-terminal of its own, as a person does."""
        master, slave = os.openpty()
        name = os.ttyname(slave)
        # A session's leader gets the first terminal that it opens as its own: then Ctrl-C is a real SIGINT.
        process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" <"$0" >"$0" 2>&1', name, *COMMAND, *args],
            env={**self.env, **(env or {})},
            cwd=ROOT,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self._kept(Running(process, master, master, slave))

    def _kept(self, running: Running) -> Running:
        self._running.append(running)
        return running

    def owner_pid(self) -> int | None:
        """The process that owns the engine now."""
        try:
            return int(json.loads((self.home / "run" / "owner.json").read_text())["pid"])
        except OSError:
            return None

    def stop_all(self) -> None:
        """Ends everything, owners in the background too."""
        for running in self._running:
            running.close()
        pid = self.owner_pid()
        if pid is not None and pid != os.getpid() and psutil.pid_exists(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program in a fresh home."""
    home = tmp_path / "whisper-home"
    started = Program(home)
    try:
        yield started
    finally:
        started.stop_all()


def engines_of(home: Path) -> list[int]:
    """The process ids of the engines that are recorded and alive in this home."""
    pids = [json.loads(path.read_text())["pid"] for path in (home / "run").glob("engine-*.json")]
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within this time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not is_alive(pid):
            return True
        time.sleep(0.01)
    return False
