"""One start of one engine: from a specification to a process that has answered, or to the reason why not."""

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.engines import orphans
from whisper_desktop.engines.command import (
    HOST,
    child_command,
    child_environment,
    child_folder,
    engine_flags,
)
from whisper_desktop.engines.diagnosis import diagnose, explain
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.find import NotUsable, ask
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.process import EngineProcess, spawn
from whisper_desktop.engines.readiness import prove
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

_PORT_TRIES = 3


class Launch:
    """One start. `process` is there as soon as something runs, so that whoever cancels `run` can end it."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        http: "Http",
        log: EngineLog,
        deadlines: Deadlines,
    ) -> None:
        self.process: EngineProcess | None = None
        self._spec = spec
        self._http = http
        self._log = log
        self._deadlines = deadlines
        self._mark = log.count
        self._port = spec.port
        self._record: Path | None = None

    async def run(self) -> EngineAddress:
        """Start and prove. Raises `EngineError`, with nothing left running."""
        await asyncio.to_thread(check_files, self._spec)
        flags = await self._known_flags()
        for tries_left in reversed(range(_PORT_TRIES)):
            port = self._spec.port or free_port()
            try:
                return await self._try(port, flags)
            except EngineError as error:
                await self.stop()
                # Between choosing a free port and listening on it, another program can take it.
                taken = error.cause in ("port_taken", "foreign_server")
                if not (taken and self._spec.port is None and tries_left):
                    raise
                self._log.note(f"port {port} was taken meanwhile; trying another one")
        raise AssertionError("the last try returns or raises")

    async def stop(self) -> bool:
        """End the process if there is one; False when it cannot be ended."""
        process = self.process
        if process is None:
            return True
        if await process.stop(self._deadlines) is None:
            return False
        self.process = None
        orphans.forget(self._record)
        return True

    async def ended(self) -> EngineError:
        """Why the process has ended, after it has."""
        assert self.process is not None
        code = await self.process.finish(self._deadlines)
        orphans.forget(self._record)
        evidence = Evidence(code, self._log.since(self._mark), port=self._port)
        return diagnose(self._spec, evidence)

    async def _known_flags(self) -> frozenset[str] | None:
        if self._spec.binary is None:
            return None
        try:
            return (await ask(self._spec.binary, self._deadlines)).flags
        except NotUsable as error:
            raise explain("binary_wrong", self._spec, detail=str(error)) from None

    async def _try(self, port: int, known_flags: frozenset[str] | None) -> EngineAddress:
        key, nonce = secrets.token_hex(32), secrets.token_hex(8)
        self._port = port
        self._mark = self._log.count
        self._log.hide([key])
        command = child_command(
            self._spec, engine_flags(self._spec, port, known_flags), owner_pid=os.getpid(), nonce=nonce
        )
        self._log.note(f"starting {self._spec.id} on port {port}: {' '.join(command)}")
        try:
            process = await spawn(
                command,
                env=child_environment(os.environ, api_key=key, nonce=nonce),
                folder=child_folder(),
                log=self._log,
            )
        except OSError as error:
            raise explain("cannot_spawn", self._spec, detail=f"The system says: {error.strerror}.") from None
        self.process = process
        self._record = orphans.remember(self._spec.id, process.pid, nonce)
        address = EngineAddress(f"http://{HOST}:{port}", key, self._spec.alias)
        proof = asyncio.create_task(
            prove(
                self._http,
                self._spec,
                address,
                port=port,
                pid=process.pid,
                log=self._log,
                deadlines=self._deadlines,
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
