"""The other side of the socket: the owner's verbs, from a program that is not the owner."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from whisper_desktop.control import codec
from whisper_desktop.control.address import read_record, socket_address
from whisper_desktop.control.core import PROTOCOL, AskRequest
from whisper_desktop.errors import ControlError
from whisper_desktop.values import Deadlines, EngineStatus, StreamEvent


class RemoteCore:
    """`Core` over the socket. One reader task hands each line to the call it belongs to."""

    is_owner = False

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desktop: bool, deadlines: Deadlines
    ) -> None:
        self.has_desktop = desktop
        self._reader = reader
        self._writer = writer
        self._deadlines = deadlines
        self._waiting: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self._next = 1
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, deadlines: Deadlines) -> "RemoteCore | None":
        """The running owner, or None when there is none. Raises `ControlError` when it refuses us."""
        record = read_record()
        if record is None:
            return None
        try:
            reader, writer = await asyncio.wait_for(_open(socket_address()), deadlines.control_connect)
        except (OSError, TimeoutError):
            return None
        try:
            writer.write(codec.to_line({"id": 0, "protocol": PROTOCOL, "token": record.token}))
            line = await asyncio.wait_for(reader.readline(), deadlines.control_reply)
            answer = codec.from_line(line)
        except (OSError, TimeoutError, ControlError):
            writer.close()
            return None
        if "error" in answer:
            writer.close()
            raise codec.error_from_json(answer["error"])
        return cls(reader, writer, bool(answer["ok"].get("desktop")), deadlines)

    @property
    def alive(self) -> bool:
        """Whether the owner is still on the line."""
        return not self._task.done()

    async def ask(self, request: AskRequest) -> AsyncGenerator[StreamEvent, None]:
        args = {
            "messages": [codec.value_to_json(message) for message in request.messages],
            "guide": request.guide,
            "backend": request.backend,
            "model": request.model,
            "reach": request.reach.value if request.reach else None,
        }
        number, answers = self._send("ask", args)
        ended = False
        try:
            while True:
                answer = await answers.get()
                if answer is None:
                    ended = True
                    raise _gone()
                if "event" in answer:
                    yield codec.value_from_json(answer["event"])
                    continue
                ended = True
                if "error" in answer:
                    raise codec.error_from_json(answer["error"])
                return
        finally:
            self._waiting.pop(number, None)
            if not ended and not self._writer.is_closing():
                self._writer.write(codec.to_line({"id": number, "verb": "cancel"}))

    async def engine_status(self) -> EngineStatus | None:
        answer = await self._call("engine.status")
        return codec.value_from_json(answer) if answer else None

    async def engine_start(self) -> EngineStatus:
        answer = await self._call("engine.start", timeout=self._deadlines.engine_start)
        status = codec.value_from_json(answer)
        assert isinstance(status, EngineStatus)
        return status

    async def engine_stop(self) -> None:
        await self._call("engine.stop")

    async def engine_log(self, lines: int) -> list[str]:
        return [str(line) for line in await self._call("engine.log", {"lines": lines})]

    async def reload(self) -> None:
        await self._call("reload")

    async def show(self, window: str) -> bool:
        return bool(await self._call("show", {"window": window}))

    async def handover(self) -> bool:
        """Ask the owner to make room for a desktop; False when it is one itself."""
        return bool(await self._call("handover"))

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()

    def _send(self, verb: str, args: dict[str, Any]) -> tuple[int, "asyncio.Queue[dict[str, Any] | None]"]:
        if self._task.done():
            raise _gone()
        number, self._next = self._next, self._next + 1
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._waiting[number] = queue
        self._writer.write(codec.to_line({"id": number, "verb": verb, "args": args}))
        return number, queue

    async def _call(self, verb: str, args: dict[str, Any] | None = None, timeout: float | None = None) -> Any:
        number, queue = self._send(verb, args or {})
        try:
            answer = await asyncio.wait_for(queue.get(), timeout or self._deadlines.control_reply)
        except TimeoutError:
            raise ControlError(
                "The running app did not answer in time.",
                "It may be busy or stuck.",
                "Quit it and start again.",
            ) from None
        finally:
            self._waiting.pop(number, None)
        if answer is None:
            raise _gone()
        if "error" in answer:
            raise codec.error_from_json(answer["error"])
        return answer.get("ok")

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = codec.from_line(line)
                if queue := self._waiting.get(int(answer.get("id", 0))):
                    queue.put_nowait(answer)
        except (OSError, ValueError, ControlError):
            pass  # told to every waiting call below
        finally:
            for queue in self._waiting.values():
                queue.put_nowait(None)


def _gone() -> ControlError:
    return ControlError(
        "The running app has gone away.", "It was closed or it crashed.", "Ask again; a new one is started."
    )


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if sys.platform == "win32":  # written from the documentation, never run
        loop: Any = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=codec.MAX_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_pipe_connection(lambda: protocol, address)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
    else:  # noqa: RET505 (the type checker needs both branches)
        return await asyncio.open_unix_connection(address, limit=codec.MAX_LINE)
