"""The edge: reads files below a root, and runs programs with a hard time limit.

Everything else in this room is a pure function of what is read here. Answers are bounded in size and time,
because a vendor's tool may print without end or never return.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from whisper_desktop.language import tr
from whisper_desktop.machine.findings import ProbeFailed

# What a vendor's tool needs to find its libraries. Nothing else: no keys, no proxies.
_CHILD_ENV = ("PATH", "LD_LIBRARY_PATH", "HOME", "SYSTEMROOT", "WINDIR", "SYSTEMDRIVE", "TEMP", "TMP")
_OUTPUT_LIMIT = 200_000
_FILE_LIMIT = 4_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed on standard output, and its exit code (negative: ended by that signal)."""

    text: str
    code: int


@dataclass(frozen=True)
class Host:
    """This computer, or in tests a folder that looks like one."""

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def path(self, path: str) -> Path:
        """The place of an absolute path below the root."""
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str | None:
        """The stripped content of a file, or None where it is missing, unreadable or empty."""
        try:
            with self.path(path).open("rb") as file:
                content = file.read(_FILE_LIMIT).decode("utf-8", "replace").strip()
        except OSError:
            return None
        return content or None

    def number(self, path: str) -> int | None:
        """The whole number in a file, or None."""
        content = self.text(path)
        return int(content) if content is not None and content.isdecimal() else None

    def names(self, directory: str) -> tuple[str, ...]:
        """The names in a directory, sorted; none where it cannot be read."""
        try:
            return tuple(sorted(os.listdir(self.path(directory))))
        except OSError:
            return ()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def program(self, name: str, *places: str) -> str | None:
        """Where a program is: on PATH, else at the first of `places` that exists."""
        found = shutil.which(name, path=self.env.get("PATH", os.defpath))
        return found or next((place for place in places if os.access(place, os.X_OK)), None)

    def run(self, command: Sequence[str], *, timeout: float) -> Output:
        """Run a program to its end, or kill it and everything it started after `timeout` seconds.

        Raises `ProbeFailed` when it cannot be started, does not end in time, or prints without end.
        """
        until = time.monotonic() + timeout
        environment = {name: self.env[name] for name in _CHILD_ENV if name in self.env}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment | {"LC_ALL": "C"},
                bufsize=0,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise ProbeFailed(tr("could not be started: {part}", part=error.strerror or error)) from error
        assert process.stdout is not None
        reader = _Reader(process.stdout)
        reader.join(timeout)
        try:
            if reader.is_alive():
                raise ProbeFailed(tr("did not answer within {timeout:g} s", timeout=timeout))
            if reader.overflowed:
                raise ProbeFailed(tr("printed without end"))
            code = process.wait(max(0.0, until - time.monotonic()))
        except (ProbeFailed, subprocess.TimeoutExpired) as error:
            _kill(process)
            if isinstance(error, ProbeFailed):
                raise
            raise ProbeFailed(tr("did not end within {timeout:g} s", timeout=timeout)) from None
        return Output(bytes(reader.content).decode("utf-8", "replace"), code)


class _Reader(threading.Thread):
    """Reads a pipe to its end, or up to the limit, and owns it.

    A thread, because Windows cannot wait on a pipe; a daemon, because a grandchild that escaped the kill may
    hold the pipe open, and then this thread and the pipe are simply left to it.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True, name="machine-probe-output")
        self._pipe = pipe
        self.content = bytearray()
        self.overflowed = False
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := self._pipe.read(65536):
                self.content += chunk
                if len(self.content) > _OUTPUT_LIMIT:
                    self.overflowed = True
                    return


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a program and its children now.

    One that hangs inside its driver cannot be reaped before the driver lets go; nobody waits for that.
    """
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(0.2)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        return
