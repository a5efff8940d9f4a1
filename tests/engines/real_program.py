"""Programs of llama.cpp, started by hand: the reference llama-server, and its worker for other computers."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from whisper_desktop.engines.command import ENGINE_CHILD, own_program, scrubbed

PATIENCE_S = 30.0


class Program:
    """One that runs, with all that it prints in a file. It ends with us, however we end."""

    def __init__(self, binary: Path, *flags: str, log: Path) -> None:
        serve = "exec" if sys.platform == "linux" else "stay"
        bound = [*own_program(), ENGINE_CHILD, str(os.getpid()), "test", serve]
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*bound, str(binary), *flags],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=scrubbed(os.environ),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def children(self) -> list[int]:
        """The processes that it started and that live."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

    def wait_for(self, words: str) -> None:
        """Return when it has printed these words."""
        self.wait_until(lambda: words in self.log(), f"printed {words!r}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return when the condition is true; fails when it ends before, or takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it has ended with {self.process.returncode}: {self.log()}"
            assert time.monotonic() < deadline, f"it has not {what}: {self.log()}"
            time.sleep(0.005)

    def ended(self) -> int:
        """Its exit code, waited for."""
        return self.process.wait(PATIENCE_S)

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        self.process.send_signal(number)

    def end(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        assert self.process.stdin is not None
        self.process.stdin.close()
