"""One start of one engine: from a specification to a process that has answered, or to the reason why not."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
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
from whisper_desktop.engines.evidence import Before, gather
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.outcome import Outcome, read_outcome, warning_of
from whisper_desktop.engines.process import EngineProcess, spawn
from whisper_desktop.engines.readiness import Progress, prove
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

_PORT_TRIES = 3


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
        stat = path.stat()
    except OSError:
        return None
    # The change time besides: to allow reading changes nothing else.
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class Launch:
    """One start. `process` is there as soon as something runs, so that whoever cancels `run` can end it.

    `files` are what it found, `outcome` and `warning` what came of it, `before` the kernel's counts when it
    was last seen alive.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        http: "Http",
        log: EngineLog,
        deadlines: Deadlines,
    ) -> None:
        self.spec = spec
        self.process: EngineProcess | None = None
        self.files: Files | None = None
        self.outcome: Outcome | None = None
        self.warning = ""
        self.before = Before(None, None)
        self._http = http
        self._log = log
        self._deadlines = deadlines
        self._mark = log.count
        self._port = spec.port
        self._record: Path | None = None
        self._progress: Progress | None = None
        self._has_child_mode = False
        self._listens = False  # to commands on its standard input
        self._proved = False
        self._stopping = False
        self._told_by_others = False

    async def run(self) -> EngineAddress:
        """Start and prove. Raises `EngineError`; then `process` is None unless it cannot be ended."""
        self.files = await asyncio.to_thread(files_of, self.spec)
        await asyncio.to_thread(check_files, self.spec)
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
                taken = error.cause in ("port_taken", "foreign_server")
                if not (taken and self.spec.port is None and tries_left):
                    raise
                self._log.note(f"port {port} was taken meanwhile; trying another one")
        self._proved = True
        self.outcome = read_outcome(self._log.since(self._mark))
        self.warning = warning_of(self.spec, self.outcome)
        if self.warning:
            self._log.note(self.warning)
        return address

    @property
    def loaded(self) -> float | None:
        """How much of the model is loaded, from 0 to 1, as far as the engine tells."""
        return self._progress.loaded if self._progress is not None else None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs, as far as we were told."""
        return self.process.pid if self.process is not None and self.process.alive else None

    def saw(self, memory: int | None) -> None:
        """Note how much memory (bytes) the process has, and that it lives at this moment."""
        if self._progress is not None:
            self._progress.see((), memory)
        if self.process is not None:
            self.before = Before.now(self.process.pid)

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
        evidence = await asyncio.to_thread(
            gather,
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
        self._log.note(f"starting {self.spec.id} on port {port}: {' '.join(command)}")
        self.before = Before.now()
        try:
            process = await spawn(command, env=environment, folder=child_folder(), log=self._log)
        except OSError as error:
            raise explain("cannot_spawn", self.spec, detail=f"The system says: {error.strerror}.") from None
        self.process = process
        self.before = Before.now(process.pid)
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
        if self._listens and not self._stopping and self.process is not None:
            self._told_by_others = True  # and now it would wait for ever
            self.process.end_tree()
        return False


def check_files(spec: EngineSpec) -> None:
    """Raise `EngineError` for what can be told before anything runs. It may block on the disk."""
    if spec.port is not None and not 1 <= spec.port <= 65535:
        raise explain("bad_flag", spec, detail=f"{spec.port} is not a port; ports go from 1 to 65535.")
    if spec.threads < 1 or spec.n_ctx < 0:
        raise explain("bad_flag", spec, detail="It needs a thread, and a context that is not negative.")
    if spec.binary is not None:
        if not spec.binary.exists():
            raise explain("binary_missing", spec)
        if not spec.binary.is_file() or not os.access(spec.binary, os.X_OK):
            raise explain("binary_not_executable", spec, detail="It is not a program, or not allowed to run.")
    if spec.port is not None and not is_free(spec.port):
        raise explain("port_taken", spec, port=spec.port)
    if spec.model_path.is_dir():
        raise explain("not_a_model", spec)
    try:
        with spec.model_path.open("rb"):
            pass
    except FileNotFoundError:
        raise explain("model_missing", spec) from None
    except OSError as error:
        raise explain("model_unreadable", spec, detail=f"The system says: {error.strerror}.") from None


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of loopback at this moment."""
    with socket.socket() as probe:
        if os.name == "posix":  # as servers do: connections that are only fading out do not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
