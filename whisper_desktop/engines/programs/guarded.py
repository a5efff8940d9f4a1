"""A program of another maker that we run: bound to us, or on purpose left to live on its own.

Both run under a `guard`, which ends them with everything they started. Bound, the guard ends with us, however
we end. On its own it lives until somebody stops it, and is recorded by whoever started it (see `started`).
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from whisper_desktop.engines import orphans
from whisper_desktop.engines.command import child_folder, own_program
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.process import EngineProcess, spawn
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines

FLAG = "--program-guard"
"""What a frozen build, which has no Python to run a file with, is started with for a guard."""

_LINES = 200
_READ_BYTES = 64 * 1024


class Lifetime(Enum):
    """Whose life a program that we start shares."""

    OURS = "ours"
    ITS_OWN = "its_own"


@dataclass(frozen=True, slots=True)
class Display:
    """The virtual display that a program needs: the Xvfb to run, and a private folder for its cookie."""

    xvfb: Path
    folder: Path


class Guarded(Protocol):
    """A program that we started. `pid` is its guard's."""

    @property
    def pid(self) -> int: ...

    @property
    def alive(self) -> bool: ...

    @property
    def lifetime(self) -> Lifetime: ...

    async def lines(self, deadlines: Deadlines) -> list[str]:
        """What it printed, after it has ended."""
        ...

    async def stop(self, deadlines: Deadlines) -> bool:
        """End it and all it started; False when the system does not let go of it."""
        ...


async def start(
    name: str,
    command: Sequence[str],
    *,
    lifetime: Lifetime,
    env: Mapping[str, str],
    log: Path,
    display: Display | None = None,
) -> Guarded:
    """Start a program; what it prints goes to the file `log`. Raises `OSError`.

    For one that is to end with us, call it from a thread that lives as long as the program should.
    """
    nonce = secrets.token_hex(8)
    if lifetime is Lifetime.ITS_OWN:
        return _Alone(_spawn_alone(_guard(0, nonce, display, command), env, log), log)
    lines = EngineLog(log)
    command = _guard(os.getpid(), nonce, display, command)
    process = await spawn(command, env=env, folder=child_folder(), log=lines)
    return _Bound(process, lines, orphans.remember(name, process.pid, nonce))


def _guard(owner: int, nonce: str, display: Display | None, command: Sequence[str]) -> list[str]:
    program = [*own_program(), FLAG]
    if not getattr(sys, "frozen", False):
        # -P keeps the file's own folder off the import path; -S and -E: it needs the standard library alone.
        program = [sys.executable, "-P", "-S", "-E", str(Path(__file__).with_name("guard.py"))]
    shown = [] if display is None else ["--display", str(display.xvfb), "--folder", str(display.folder)]
    return [*program, str(owner), nonce, *shown, "--", *command]


class _Bound:
    """It ends with us."""

    lifetime = Lifetime.OURS

    def __init__(self, process: EngineProcess, log: EngineLog, record: Path | None) -> None:
        self._process = process
        self._log = log
        self._record = record

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.alive

    async def lines(self, deadlines: Deadlines) -> list[str]:
        await self._process.finish(deadlines)
        self._let_go()
        return self._log.tail(_LINES)

    async def stop(self, deadlines: Deadlines) -> bool:
        if await self._process.stop(deadlines) is None:
            return False
        self._let_go()
        return True

    def _let_go(self) -> None:
        orphans.forget(self._record)
        self._log.close()


class _Alone:
    """It lives on. Its guard is our child only until we end."""

    lifetime = Lifetime.ITS_OWN

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self._log = log
        self._started = orphans.start_identity(pid) or ""

    @property
    def alive(self) -> bool:
        self._reap()
        return orphans.start_identity(self.pid) == self._started != ""

    async def lines(self, deadlines: Deadlines) -> list[str]:
        with self._log.open("rb") as file:
            return file.read(_READ_BYTES).decode("utf-8", "replace").splitlines()[-_LINES:]

    async def stop(self, deadlines: Deadlines) -> bool:
        ended = await end(self.pid, self._started, deadlines)
        self._reap()
        return ended

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def _spawn_alone(command: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Not `subprocess`: that expects to outlive what it starts."""
    if sys.platform == "win32":
        raise OSError(tr("There is no guard for programs on Windows."))
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    return os.posix_spawn(command[0], list(command), dict(env), file_actions=files, setsid=True)


async def end(pid: int, started: str, deadlines: Deadlines) -> bool:
    """Ask a guard to end, and wait; False when it does not. It is asked only while it is the process that was
    started: `started` is that one's `start_identity`.
    """
    if orphans.start_identity(pid) != started:
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    until = loop.time() + deadlines.engine_stop_kill
    while orphans.start_identity(pid) == started:
        if loop.time() > until:
            return False
        await asyncio.sleep(deadlines.engine_poll)
    return True
