"""The owner's side of the socket: reads verbs, answers them, stops an answer when its asker goes away.

Whoever connects says first who it is; then every line is a verb with a number of its own, and any number of
them may run side by side. A line that is not one of ours ends the connection, and nothing else.
"""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from whisper_desktop.control import codec
from whisper_desktop.control.address import remove_socket, socket_address
from whisper_desktop.control.core import PROTOCOL, AskRequest
from whisper_desktop.control.local import LocalCore
from whisper_desktop.errors import ControlError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, Message, Reach

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64  # verbs of one connection: no program of ours needs more than a few


class ControlServer:
    """Serves one `LocalCore`. `on_handover` is called when a desktop wants to be the owner instead."""

    def __init__(
        self, core: LocalCore, token: str, deadlines: Deadlines, *, on_handover: Callable[[], None]
    ) -> None:
        self._core = core
        self._token = token
        self._deadlines = deadlines
        self._on_handover = on_handover
        self._server: asyncio.AbstractServer | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def start(self) -> None:
        """Listen. The lock is ours, so a socket file that lies here belongs to nobody."""
        address = socket_address()
        if sys.platform == "win32":  # written from the documentation, never run
            loop: Any = asyncio.get_running_loop()

            def protocol() -> asyncio.StreamReaderProtocol:
                reader = asyncio.StreamReader(limit=codec.MAX_LINE)
                return asyncio.StreamReaderProtocol(reader, self._accept)

            (self._server,) = await loop.start_serving_pipe(protocol, address)
        else:
            listener = socket.socket(socket.AF_UNIX)
            try:
                remove_socket()
                listener.bind(address)
                os.chmod(address, 0o600)  # nobody can connect before it listens
                self._server = await asyncio.start_unix_server(
                    self._accept, sock=listener, limit=codec.MAX_LINE
                )
            except OSError as error:
                listener.close()
                raise ControlError(
                    tr("The socket {address} cannot be used.", address=address),
                    tr("The system says: {words}.", words=error.strerror),
                    tr("Free the way, or set WHISPER_HOME to a folder that can be written to."),
                ) from error

    def stop_listening(self) -> None:
        """Take no new connections. Those that stand go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
            remove_socket()

    async def stop(self) -> None:
        """Stop listening, let the replies that are due leave, and hang up."""
        self.stop_listening()
        due = {task for connection in self._connections.values() for task in connection.running.values()}
        if due:
            await asyncio.wait(due, timeout=self._deadlines.shutdown)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self._core, reader, writer, self._deadlines, self._on_handover)
        self._connections[task] = connection
        try:
            if await connection.greet(self._token):
                await connection.converse()
        except asyncio.CancelledError:
            pass  # `stop` hangs up
        except (OSError, ControlError, ValueError, TimeoutError) as error:
            # Whoever asked has gone, or does not speak our language: nobody is left to be told.
            log.info("A connection ended: %s", error)
        finally:
            self._connections.pop(task, None)
            await connection.end()


class _Connection:
    """One program on the line. `running` are the verbs that are being answered, by their number."""

    def __init__(
        self,
        core: LocalCore,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deadlines: Deadlines,
        on_handover: Callable[[], None],
    ) -> None:
        self._core = core
        self._reader = reader
        self._writer = writer
        self._deadlines = deadlines
        self._on_handover = on_handover
        self.running: dict[int, asyncio.Task[None]] = {}

    async def greet(self, token: str) -> bool:
        """Whether the other side says in time that it is a program of the same user and version."""
        async with asyncio.timeout(self._deadlines.control_reply):
            hello = codec.from_line(await self._reader.readline())
        given = str(hello.get("token")).encode("utf-8", "replace")
        if not secrets.compare_digest(given, token.encode()) or hello.get("protocol") != PROTOCOL:
            await self._send({"id": 0, "error": codec.error_to_json(_stranger())})
            return False
        about = {"pid": os.getpid(), "desktop": self._core.has_desktop, "shows_values": True}
        await self._send({"id": 0, "ok": about})
        return True

    async def converse(self) -> None:
        """Take verbs until the other side hangs up. Raises `ControlError` for a line that is none."""
        while line := await self._reader.readline():
            request = codec.from_line(line)
            number = request.get("id")
            if not isinstance(number, int):
                raise ControlError(tr("A verb on the control socket had no number."))
            if request.get("verb") == "cancel":
                if task := self.running.get(number):
                    task.cancel()
            elif number in self.running or len(self.running) >= _MOST_AT_ONCE:
                raise ControlError(tr("A program sent more verbs than can be told apart."))
            else:
                self._begin(number, request)

    def _begin(self, number: int, request: dict[str, Any]) -> None:
        task = asyncio.create_task(self._answer(number, request))
        self.running[number] = task
        task.add_done_callback(lambda _: self.running.pop(number, None))

    async def end(self) -> None:
        """Stop what is being answered, and hang up."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._writer.close()

    async def _answer(self, number: int, request: dict[str, Any]) -> None:
        verb, args = str(request.get("verb")), request.get("args") or {}
        try:
            if not isinstance(args, dict):
                raise ControlError(
                    tr("The verb “{verb}” came with something that is not its arguments.", verb=verb)
                )
            reply: dict[str, object] = {"id": number, "ok": await self._do(number, verb, args)}
        except WhisperError as error:
            reply = {"id": number, "error": codec.error_to_json(error)}
        except (OSError, TimeoutError):
            return  # the asker has gone, or takes nothing any more
        except Exception:
            log.exception("A mistake in the verb %s", verb)
            reply = {"id": number, "error": codec.error_to_json(_our_mistake())}
        try:
            await self._send(reply)
        except (OSError, TimeoutError):
            return
        if verb == "handover" and reply.get("ok"):
            self._on_handover()

    async def _do(self, number: int, verb: str, args: dict[str, Any]) -> object:
        core = self._core
        if verb == "ping":
            return None
        if verb == "ask":
            async with aclosing(core.ask(_ask_request(args))) as events:
                async for event in events:
                    await self._send({"id": number, "event": codec.value_to_json(event)})
            return None
        if verb == "engine.status":
            status = await core.engine_status()
            return codec.value_to_json(status) if status else None
        if verb == "engine.start":
            return codec.value_to_json(await core.engine_start())
        if verb == "engine.stop":
            await core.engine_stop()
            return None
        if verb == "engine.sleep":
            return await core.engine_sleep()
        if verb == "engine.repair":
            await core.engine_repair(str(args.get("repair", "")))
            return None
        if verb == "engine.log":
            lines = args.get("lines")
            return await core.engine_log(lines if isinstance(lines, int) else 200)
        if verb == "reload":
            await core.reload()
            return None
        if verb == "show":
            window, value, say, token = (
                _text(args.get(name, usual))
                for name, usual in (("window", "chat"), ("value", ""), ("say", ""), ("token", ""))
            )
            return await core.show(window, value, say=say, token=token)
        if verb == "conversations.changed":
            ids = args.get("ids")
            await core.conversations_changed([_text(each) for each in ids] if isinstance(ids, list) else [])
            return None
        if verb == "handover":
            return not core.has_desktop
        raise ControlError(
            tr("The running app does not know the verb “{verb}”.", verb=verb),
            tr("It is another version."),
            tr("Restart it."),
        )

    async def _send(self, data: dict[str, object]) -> None:
        """One line. Raises `TimeoutError` when the other side takes nothing for as long as a stall may be."""
        if self._writer.is_closing():
            raise ConnectionResetError("the other side has hung up")
        self._writer.write(codec.to_line(data))
        async with asyncio.timeout(self._deadlines.stall):
            await self._writer.drain()


def _stranger() -> ControlError:
    return ControlError(
        tr("The running app did not accept this program."),
        tr("It is another version, or the run folder was changed."),
        tr("Quit it from its tray menu and start again."),
    )


def _our_mistake() -> ControlError:
    return ControlError(
        tr("Something went wrong inside the running app."),
        tr("It is our mistake."),
        tr("The details are in its log; try again."),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ControlError(
            tr("The running app did not understand what is to be shown or was changed."),
            tr("It is another version."),
            tr("Restart it."),
        )
    return value


def _ask_request(args: dict[str, Any]) -> AskRequest:
    messages, reach = args.get("messages"), args.get("reach")
    backend, model = args.get("backend"), args.get("model")
    try:
        values = tuple(codec.value_from_json(item) for item in messages or ())
        allowed = Reach(reach) if reach is not None else None
    except (TypeError, ValueError):
        raise _not_a_question() from None
    texts = (text is None or isinstance(text, str) for text in (backend, model))
    if not values or not all(isinstance(message, Message) for message in values) or not all(texts):
        raise _not_a_question()
    return AskRequest(values, guide=bool(args.get("guide")), backend=backend, model=model, reach=allowed)


def _not_a_question() -> ControlError:
    return ControlError(
        tr("The running app did not understand the question."),
        tr("It is another version."),
        tr("Restart it."),
    )
