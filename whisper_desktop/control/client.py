"""The other side of the socket: the owner's verbs, from a program that is not the owner."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

from whisper_desktop.control import codec
from whisper_desktop.control.address import read_record, socket_address
from whisper_desktop.control.core import PROTOCOL, AskRequest
from whisper_desktop.errors import ControlError, OwnerGone
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, EngineStatus, StreamEvent

log = logging.getLogger(__name__)

_LONGEST_TOKEN = 300  # characters

_Answers = asyncio.Queue[dict[str, Any] | None]


class RemoteCore:
    """`Core` over the socket. One reader task hands each line to the call it belongs to.

    However long a verb takes, the owner must be alive: when nothing comes for `control_reply` seconds it is
    asked for a sign of life, and where none comes `ControlError` says so.
    """

    is_owner = False

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        owner: dict[str, Any],
        deadlines: Deadlines,
    ) -> None:
        self.has_desktop = bool(owner.get("desktop"))
        self._newer = bool(owner.get("shows_values"))  # the versions before say nothing of it
        self._reader = reader
        self._writer = writer
        self._deadlines = deadlines
        self._waiting: dict[int, _Answers] = {}
        self._next = 1
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, deadlines: Deadlines) -> "RemoteCore | None":
        """The running owner, or None when there is none, or it is just coming or going.

        Raises `ControlError` when it refuses us or does not answer.
        """
        record = read_record()
        if record is None:
            return None
        try:
            async with asyncio.timeout(deadlines.control_connect):
                reader, writer = await _open(socket_address())
        except (OSError, TimeoutError):
            return None
        try:
            writer.write(codec.to_line({"id": 0, "protocol": PROTOCOL, "token": record.token}))
            async with asyncio.timeout(deadlines.control_reply):
                answer = codec.from_line(await reader.readline())
            if "error" in answer and read_record() == record:
                raise codec.error_from_json(answer["error"])
            if isinstance(answer.get("ok"), dict):
                return cls(reader, writer, answer["ok"], deadlines)
        except TimeoutError:
            writer.close()
            raise _stuck() from None
        except (OSError, ValueError):
            log.info("The owner hung up at once")
        except ControlError:
            writer.close()
            raise
        writer.close()
        return None

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
            while not ended:
                answer = await self._next_answer(answers, patient=True)
                ended = "event" not in answer
                if "error" in answer:
                    raise codec.error_from_json(answer["error"])
                if not ended:
                    yield codec.value_from_json(answer["event"])
        finally:
            self._waiting.pop(number, None)
            if not ended and self.alive:
                self._writer.write(codec.to_line({"id": number, "verb": "cancel"}))

    async def engine_status(self) -> EngineStatus | None:
        answer = await self._call("engine.status")
        return self._status(answer) if answer is not None else None

    async def engine_start(self) -> EngineStatus:
        return self._status(await self._call("engine.start", patient=True))

    async def engine_stop(self) -> None:
        await self._call("engine.stop")

    async def engine_sleep(self) -> bool:
        return bool(await self._call("engine.sleep"))

    async def engine_repair(self, repair: str) -> None:
        await self._call("engine.repair", {"repair": repair})

    async def engine_log(self, lines: int) -> list[str]:
        return [str(line) for line in await self._call("engine.log", {"lines": lines})]

    async def reload(self) -> None:
        await self._call("reload")

    async def show(self, window: str, value: str = "", *, say: str = "") -> bool:
        if not self._newer and (window, value) != ("chat", ""):
            # A version from before would take another window for it.
            raise ControlError(
                tr("The running app is an older version that cannot open this."),
                tr("It was started before the app was updated."),
                tr("Quit it from its tray menu and start again."),
            )
        args = {"window": window, "value": value, "say": say, "token": activation_token()}
        return bool(await self._call("show", args))

    async def conversations_changed(self, ids: Sequence[str]) -> None:
        if not self._newer:
            return  # it knows no kept conversations, so it shows none that could be old
        await self._call("conversations.changed", {"ids": list(ids)})

    async def handover(self) -> bool:
        """Ask the owner to make room for a desktop; False when it is one itself."""
        return bool(await self._call("handover"))

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()

    @staticmethod
    def _status(answer: object) -> EngineStatus:
        status = codec.value_from_json(answer)
        if not isinstance(status, EngineStatus):
            raise codec.not_understood()
        return status

    def _send(self, verb: str, args: dict[str, Any]) -> tuple[int, _Answers]:
        if not self.alive:
            raise _gone()
        number, self._next = self._next, self._next + 1
        line = codec.to_line({"id": number, "verb": verb, "args": args})
        if len(line) > codec.MAX_LINE:
            raise ControlError(
                tr("The conversation is too long to be handed to the running app."),
                tr(
                    "It takes {size} MB, and {most} MB are the most.",
                    size=round(len(line) / 1e6),
                    most=round(codec.MAX_LINE / 1e6),
                ),
                tr("Begin a new one."),
            )
        answers: _Answers = asyncio.Queue()
        self._waiting[number] = answers
        self._writer.write(line)
        return number, answers

    async def _call(self, verb: str, args: dict[str, Any] | None = None, *, patient: bool = False) -> Any:
        number, answers = self._send(verb, args or {})
        try:
            answer = await self._next_answer(answers, patient=patient)
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise codec.error_from_json(answer["error"])
        return answer.get("ok")

    async def _next_answer(self, answers: _Answers, *, patient: bool) -> dict[str, Any]:
        """The next line for one call. `patient`: it may take as long as the owner shows signs of life."""
        while True:
            try:
                async with asyncio.timeout(self._deadlines.control_reply):
                    answer = await answers.get()
            except TimeoutError:
                if not patient:
                    raise _stuck() from None
                await self._call("ping")
                continue
            if answer is None:
                raise _gone()
            return answer

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = codec.from_line(line)
                number = answer.get("id")
                if isinstance(number, int) and (answers := self._waiting.get(number)):
                    answers.put_nowait(answer)
        except (OSError, ValueError, ControlError) as error:
            log.info("The line to the owner broke: %s", error)  # told to every waiting call below
        finally:
            for answers in self._waiting.values():
                answers.put_nowait(None)


def activation_token() -> str:
    """What this program was started with to bring a window to the front: the XDG activation protocol's token,
    or the id of the startup notification protocol."""
    token = os.environ.get("XDG_ACTIVATION_TOKEN") or os.environ.get("DESKTOP_STARTUP_ID") or ""
    return token if len(token) <= _LONGEST_TOKEN and token.isprintable() else ""


def _gone() -> OwnerGone:
    return OwnerGone(
        tr("The program that ran the engine has gone away."),
        tr("It was closed, or it crashed."),
        tr("Ask again; another one takes its place."),
    )


def _stuck() -> ControlError:
    return ControlError(
        tr("The running app does not answer."),
        tr("It is busy or stuck."),
        tr("Quit it (its tray menu, or your system's task list) and start again."),
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
