"""One start of one engine: from a specification to a process that has answered, or to the reason why not."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.engines import child_mode, orphans
from whisper_desktop.engines.builds.describe import NotUsable, ask
from whisper_desktop.engines.command import (
    HOST,
    child_command,
    child_environment,
    child_folder,
    engine_flags,
)
from whisper_desktop.engines.diagnosis import diagnose, explain
from whisper_desktop.engines.evidence import Before, forbids_port, gather, port_error
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.log_lines import served
from whisper_desktop.engines.memory import resident
from whisper_desktop.engines.outcome import Outcome, read_outcome, warning_of
from whisper_desktop.engines.process import EngineProcess, memory_of, spawn
from whisper_desktop.engines.readiness import Progress, prove
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

_PORT_TRIES = 3
_OF_THE_PORT = ("port_taken", "foreign_server")

DescribeOwner = Callable[[int], str]
"""Who has a port, as a sentence; "" where nobody can say. It may block."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a start reads: the model and the program, each as identity, size and moments of change."""

    model: tuple[int, ...] | None
    binary: tuple[int, ...] | None


def files_of(spec: EngineSpec) -> Files:
    """The files of `spec` as they are now. It may block on the disk."""
    return Files(_mark(spec.model_path), _mark(spec.binary) if spec.binary is not None else None)


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The change time besides: to allow reading changes nothing else.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Launch:
    """One start. `process` is there as soon as something runs, so that whoever cancels `run` can end it.

    `files` are what it found, `outcome` and `warning` what came of it, `before` the kernel's counts at a
    moment at which it certainly lived.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        http: "Http",
        log: EngineLog,
        deadlines: Deadlines,
        describe_owner: DescribeOwner,
    ) -> None:
        self.spec = spec
        self.process: EngineProcess | None = None
        self.files: Files | None = None
        self.outcome: Outcome | None = None
        self.warning = ""
        self.before = self._lately = Before(None, None)
        self._http = http
        self._log = log
        self._deadlines = deadlines
        self._describe_owner = describe_owner
        self._mark = log.count
        self._port = spec.port
        self._record: Path | None = None
        self._progress: Progress | None = None
        self._has_child_mode = False
        self._listens = False  # to commands on its standard input
        self._proved = False
        self._stopping = False
        self._told_by_others = False
        self._leaving: asyncio.Task[None] | None = None
        self._memory: int | None = None  # at the last look

    async def run(self) -> EngineAddress:
        """Start and prove. Raises `EngineError`; then `process` is None unless it cannot be ended."""
        try:
            return await self._run()
        except EngineError as error:
            if error.cause not in _OF_THE_PORT or self._port is None:
                raise
            who = await asyncio.to_thread(self._describe_owner, self._port)
            raise EngineError(
                error.title,
                f"{error.detail} {who}".strip(),
                error.next_step,
                cause=error.cause,
                repairs=error.repairs,
            ) from None

    async def _run(self) -> EngineAddress:
        await asyncio.to_thread(self._look_at_files)
        flags = await self._known_flags()
        for tries_left in reversed(range(_PORT_TRIES)):
            port = self.spec.port or free_port()
            try:
                address = await self._try(port, flags)
                break
            except EngineError as error:
                if not await self.stop():
                    raise explain("cannot_stop", self.spec) from error
                # Between choosing a free port and listening on it, another program can take it.
                taken = error.cause in (*_OF_THE_PORT, "port_forbidden")  # Windows keeps some for itself
                if not (taken and self.spec.port is None and tries_left):
                    raise
                self._log.note(tr("port {port} was taken meanwhile; trying another one", port=port))
        self._proved = True
        self.outcome = await self._read_outcome()
        self.warning = warning_of(self.spec, self.outcome)
        if self.warning:
            self._log.note(self.warning)
        if self.memory is None:  # nobody waits for this, and it never raises
            asyncio.get_running_loop().run_in_executor(None, self._look_at_memory)
        return address

    @property
    def loaded(self) -> float | None:
        """How much of the model is loaded, from 0 to 1, as far as the engine tells."""
        return self._progress.loaded if self._progress is not None else None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs, as far as we were told."""
        return self.process.pid if self.process is not None and self.process.alive else None

    @property
    def memory(self) -> int | None:
        """Bytes that are resident: now, or at the last look where only a slow one tells."""
        pid = self.pid
        if pid is None:
            return None
        now = resident(pid)
        return self._memory if now is None else now

    async def _read_outcome(self) -> Outcome:
        """What its log says of the load. A thread of the engine writes that, and may still be at it when
        the first question is answered: what comes after the load shows that it is through.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + self._deadlines.drain
        while not served(lines := self._log.since(self._mark)) and clock() < until:
            await self._log.wait_for_more(until - clock())
        return await asyncio.to_thread(read_outcome, lines)

    def _look_at_memory(self) -> None:
        pid = self.pid
        self._memory = memory_of(pid) if pid is not None else None

    def saw(self, memory: int | None) -> None:
        """Note how much memory (bytes) the process has, and that it lives as far as we were told."""
        self._memory = memory
        if self._progress is not None:
            self._progress.see((), memory)
        if self.process is not None:
            # It may have been ended a moment ago, and these counts hold that; those before do not.
            self.before, self._lately = self._lately, Before.now(self.process.pid)

    async def stop(self) -> bool:
        """End the process if there is one; False when it cannot be ended."""
        self._stopping = True
        if self.process is None:
            return True
        command = child_mode.EXIT if self._listens else b""
        return self._is_gone(await self.process.stop(self._deadlines, command=command))

    async def end_now(self) -> bool:
        """Kill a process that hangs; False when it cannot be ended."""
        self._stopping = True
        return self.process is None or self._is_gone(await self.process.end_now(self._deadlines))

    def kill(self) -> None:
        """Kill the process without waiting: for when nobody can wait any more."""
        if self.process is not None:
            self.process.kill()

    async def ended(self) -> EngineError:
        """Why the process has ended, after it has."""
        assert self.process is not None
        code = await self.process.finish(self._deadlines)
        orphans.forget(self._record)
        return await self._diagnosis(-signal.SIGTERM if self._told_by_others else code)

    async def hung(self, why: str) -> EngineError:
        """Why a process that still runs is of no use; `why` is the watchdog's sentence."""
        return await self._diagnosis(None, why)

    def _is_gone(self, code: int | None) -> bool:
        if code is None:
            return False
        self.process = None
        orphans.forget(self._record)
        return True

    async def _diagnosis(self, code: int | None, stuck: str = "") -> EngineError:
        return await asyncio.to_thread(self._diagnose, code, stuck)

    def _diagnose(self, code: int | None, stuck: str) -> EngineError:
        evidence = gather(
            self.before,
            code=code,
            lines=self._log.since(self._mark),
            port=self._port,
            ready=self._proved,
            peak_bytes=self._progress.peak_bytes if self._progress is not None else None,
            stuck=stuck,
            model=self.spec.model_path,
        )
        return diagnose(self.spec, evidence)

    def _look_at_files(self) -> None:
        self.files = files_of(self.spec)
        check_files(self.spec)

    async def _known_flags(self) -> frozenset[str] | None:
        if self.spec.binary is None:
            return None
        self._has_child_mode = await asyncio.to_thread(child_mode.is_spoken_by, self.spec.binary)
        try:
            return (await ask(self.spec.binary, self._deadlines)).flags
        except NotUsable as error:
            raise explain("binary_wrong", self.spec, detail=str(error)) from None

    async def _try(self, port: int, known_flags: frozenset[str] | None) -> EngineAddress:
        key, nonce = secrets.token_hex(32), secrets.token_hex(8)
        self._port, self._stopping, self._listens = port, False, False
        self._progress = progress = Progress(self._deadlines)
        self._mark = self._log.count
        self._log.hide([key])
        self._log.listen((child_mode.STATE, child_mode.LEAVING), self._hears)
        command = child_command(
            self.spec, engine_flags(self.spec, port, known_flags), owner_pid=os.getpid(), nonce=nonce
        )
        environment = child_environment(os.environ, api_key=key, nonce=nonce)
        if self._has_child_mode:
            environment[child_mode.VARIABLE] = child_mode.VALUE
        self._log.note(
            tr(
                "starting {spec_id} on port {port}: {items}",
                spec_id=self.spec.id,
                port=port,
                items=" ".join(command),
            )
        )
        self.before = Before.now()
        try:
            process = await spawn(command, env=environment, folder=child_folder(), log=self._log)
        except OSError as error:
            raise explain(
                "cannot_spawn", self.spec, detail=tr("The system says: {strerror}.", strerror=error.strerror)
            ) from None
        self.process = process
        self.before = self._lately = Before.now(process.pid)
        self._record = orphans.remember(self.spec.id, process.pid, nonce)
        address = EngineAddress(f"http://{HOST}:{port}", key, self.spec.alias)
        proof = asyncio.create_task(
            prove(
                self._http,
                self.spec,
                address,
                port=port,
                pid=process.pid,
                log=self._log,
                deadlines=self._deadlines,
                progress=progress,
            )
        )
        try:
            waited: set[asyncio.Future[None] | asyncio.Future[int]] = {proof, process.exited}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if process.alive and proof.exception() is not None:
                # A connection breaks a moment before the end of the process is known.
                await asyncio.wait({process.exited}, timeout=self._deadlines.drain)
            if not process.alive:
                raise await self.ended()
            await proof
        finally:
            proof.cancel()
            with contextlib.suppress(asyncio.CancelledError, EngineError):
                await proof
        return address

    def _hears(self, line: str) -> bool:
        """What it says in child mode; True where that is no part of the log."""
        if line.startswith(child_mode.STATE):
            loaded = child_mode.load_progress(line)
            if loaded is not None and self._progress is not None:
                self._progress.see_loaded(loaded)
            if self._has_child_mode and child_mode.says_ready(line):
                self._listens = True
            return True
        checked = self._leaving is not None and not self._leaving.done()
        if self._listens and not checked and child_mode.says_leaving(line):
            self._leaving = asyncio.create_task(self._end_if_it_leaves())
        return False

    async def _end_if_it_leaves(self) -> None:
        """Kill it once it listens no more: others have told it to end, and now it would wait for ever.

        One that goes on listening has only printed what its model wrote, or what stands in its file: it
        listens before it reads that.
        """
        for _ in range(round(self._deadlines.engine_stop_grace / self._deadlines.engine_poll)):
            if self._stopping or self.pid is None or self._port is None or self.process is None:
                return
            if is_free(self._port):
                self._told_by_others = True
                self.process.end_tree()
                return
            await asyncio.sleep(self._deadlines.engine_poll)


def check_files(spec: EngineSpec) -> None:
    """Raise `EngineError` for what can be told before anything runs. It may block on the disk."""
    if spec.port is not None and not 1 <= spec.port <= 65535:
        raise explain(
            "bad_flag", spec, detail=tr("{port} is not a port; ports go from 1 to 65535.", port=spec.port)
        )
    if spec.threads < 1 or spec.n_ctx < 0:
        raise explain("bad_flag", spec, detail=tr("It needs a thread, and a context that is not negative."))
    if spec.binary is not None:
        _check_program(spec, spec.binary)
    if spec.port is not None and not is_free(spec.port):
        cause = "port_forbidden" if forbids_port(port_error(spec.port)) else "port_taken"
        raise explain(cause, spec, port=spec.port)
    try:
        mode = spec.model_path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise explain("not_a_model", spec)
        if not stat.S_ISREG(mode):  # to open a pipe is to wait for somebody who writes into it
            raise explain("model_unreadable", spec, detail=tr("It is a pipe or a device, not a file."))
        with spec.model_path.open("rb"):
            pass
    except FileNotFoundError:
        raise explain("model_missing", spec) from None
    except OSError as error:
        raise explain(
            "model_unreadable", spec, detail=tr("The system says: {strerror}.", strerror=error.strerror)
        ) from None


def _check_program(spec: EngineSpec, binary: Path) -> None:
    try:
        mode = binary.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise explain("binary_missing", spec) from None
    except OSError as error:
        raise explain(
            "binary_not_executable", spec, detail=tr("The system says: {strerror}.", strerror=error.strerror)
        ) from None
    if not stat.S_ISREG(mode) or not os.access(binary, os.X_OK):
        raise explain("binary_not_executable", spec, detail=tr("It is not a program, or not allowed to run."))


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of loopback at this moment."""
    return port_error(port) is None


def free_port() -> int:
    """A port of loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
