"""One child process of ours: started bound to us, its output always drained, ended for certain."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from whisper_desktop.engines.log import EngineLog
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    import psutil


class EngineProcess(asyncio.SubprocessProtocol):
    """A running child, leader of its own process group. Make one with `spawn`.

    `exited` is the exit code (negative: the signal); await it shielded or with `asyncio.wait`.
    A protocol rather than asyncio's streams: output is drained without a reader task, and the exit is seen
    even while a grandchild holds the pipe open.
    """

    def __init__(self, log: EngineLog) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._log = log
        self._output_ended = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._job: object = None
        self._descendants: list[psutil.Process] = []

    @property
    def pid(self) -> int:
        """The child's process id, which is also its process group's."""
        assert self._transport is not None
        return self._transport.get_pid()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended, as far as we were told."""
        return self._transport is not None and not self.exited.done()

    # --- what asyncio tells us ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._log.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._log.end()
            self._output_ended.set()

    def process_exited(self) -> None:
        assert self._transport is not None
        code = self._transport.get_returncode()
        if not self.exited.done():
            self.exited.set_result(-1 if code is None else code)

    # --- what we do ---------------------------------------------------------------------------------------

    async def finish(self, deadlines: Deadlines) -> int:
        """After the exit: read the rest of the output, end what the child left behind, close the pipes."""
        code = await asyncio.shield(self.exited)
        assert self._transport is not None
        if self._transport.is_closing():
            return code  # done before: its process id may belong to somebody else by now
        self._signal_group(_KILL)
        self._end_descendants()
        try:
            async with asyncio.timeout(deadlines.drain):
                await self._output_ended.wait()
        except TimeoutError:
            self._log.note(tr("the output was still held open by another process and was let go"))
        self._transport.close()
        return code

    async def stop(self, deadlines: Deadlines, *, command: bytes = b"") -> int | None:
        """End it: ask, insist, kill. Returns the exit code, or None when not even the last ended it in time.

        `command` is how it is asked on its standard input instead of by a signal. To insist matters while
        another program's answer is being written: llama-server would wait for that answer's next ping, and
        ends at once when it gets a second signal. It has nothing to save.
        """
        await self._find_descendants()
        loop = asyncio.get_running_loop()
        started = loop.time()
        grace = deadlines.engine_stop_grace
        asked: tuple[tuple[signal.Signals | bytes, float], ...] = ((_TERMINATE, grace),)
        if command:
            asked = ((command, grace), (_TERMINATE, grace + deadlines.engine_poll))
        steps = (
            *asked,
            (_TERMINATE, deadlines.engine_stop_term),
            (_KILL, deadlines.engine_stop_kill),
        )
        for step, until in steps:
            if self.exited.done():
                break
            if isinstance(step, bytes):
                self._write(step)
            else:
                self._signal_group(step)
            await asyncio.wait({self.exited}, timeout=max(0.0, started + until - loop.time()))
        return await self._finished(deadlines)

    async def end_now(self, deadlines: Deadlines) -> int | None:
        """Kill it as `stop` does at last, for one that hangs; returns what that returns."""
        await self._find_descendants()
        self.end_tree()
        await asyncio.wait({self.exited}, timeout=deadlines.engine_stop_kill - deadlines.engine_stop_term)
        return await self._finished(deadlines)

    async def _finished(self, deadlines: Deadlines) -> int | None:
        return await self.finish(deadlines) if self.exited.done() else None

    def end_tree(self) -> None:
        """Kill it and everything it started; its exit is still to come."""
        self._signal_group(_KILL)

    async def _find_descendants(self) -> None:
        """Note what it has started: some may be in groups of their own, and once it has ended, nothing tells
        whose they were. (Windows' job knows them all.)
        """
        if sys.platform != "win32" and not self.exited.done():
            found = await asyncio.to_thread(_descendants_of, self.pid)
            if not self.exited.done():  # else the id may have been somebody else's when we looked
                self._descendants = found

    def _end_descendants(self) -> None:
        """Kill those that were noted and still live; psutil compares when they were started."""
        if not self._descendants:
            return
        import psutil

        for each in self._descendants:
            with contextlib.suppress(psutil.Error):
                each.kill()
        self._descendants = []

    def _write(self, words: bytes) -> None:
        """Write to its standard input."""
        pipe = self._transport.get_pipe_transport(0) if self._transport is not None else None
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(words)

    def kill(self) -> None:
        """End it and everything it started, at once, without waiting: for when nobody can wait any more."""
        self._log = EngineLog(None)  # its last words would open a file that nobody closes
        if self._transport is not None and not self._transport.is_closing():
            self._signal_group(_KILL)
            self._transport.close()

    def _signal_group(self, number: signal.Signals) -> None:
        if sys.platform == "win32":
            # There are no signals here, and an engine has nothing to save: closing the job ends them all.
            if self.alive and self._transport is not None:
                self._transport.kill()
            if self._job is not None:
                self._job.close()
                self._job = None
            return
        # PermissionError is what macOS says of a group that holds only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def bind_to_us(self) -> None:
        """Windows: put it into a job that ends with us. Elsewhere the child binds itself (see `child`)."""
        if sys.platform == "win32":
            from whisper_desktop.engines.windows_job import KillOnCloseJob

            self._job = KillOnCloseJob(self.pid)


_TERMINATE = signal.SIGTERM
_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


async def spawn(
    command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: EngineLog
) -> EngineProcess:
    """Start `command` with its output going to `log`. Raises `OSError` when the system refuses.

    Call it from a thread that lives as long as the child should: on Linux the child dies with it.
    """
    loop = asyncio.get_running_loop()
    process = EngineProcess(log)
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    await loop.subprocess_exec(
        lambda: process,
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=folder,
        start_new_session=True,
        creationflags=flags,
    )
    process.bind_to_us()
    return process


def _descendants_of(pid: int) -> "list[psutil.Process]":
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and everything it started have used so far, and have resident."""

    cpu_seconds: float
    memory_bytes: int


def usage_of(pid: int) -> Usage | None:
    """What a process and everything it started take; None when it is gone. Blocks for a few milliseconds."""
    import psutil

    cpu, memory = 0.0, 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            try:
                with one.oneshot():
                    times = one.cpu_times()
                    cpu += times.user + times.system
                    memory += one.memory_info().rss
            except psutil.NoSuchProcess:
                if one.pid == pid:
                    raise
    except psutil.Error:
        return None
    return Usage(cpu, memory)


def memory_of(pid: int) -> int | None:
    """Resident memory, in bytes, of a process and everything it started; None when it is gone."""
    usage = usage_of(pid)
    return usage.memory_bytes if usage is not None else None
