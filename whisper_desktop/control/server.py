"""The owner's side of the socket: reads verbs, answers them, stops an answer when its asker goes away."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from whisper_desktop.control import codec
from whisper_desktop.control.address import remove_socket, socket_address
from whisper_desktop.control.core import PROTOCOL, AskRequest
from whisper_desktop.control.local import LocalCore
from whisper_desktop.errors import ControlError, WhisperError
from whisper_desktop.values import Message, Reach


class ControlServer:
    """Serves one `LocalCore`. `on_handover` is called when a desktop wants to be the owner instead."""

    def __init__(self, core: LocalCore, token: str, *, on_handover: Callable[[], None]) -> None:
        self._core = core
        self._token = token
        self._on_handover = on_handover
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The lock is ours, so a socket file that lies here belongs to nobody."""
        address = socket_address()
        if sys.platform == "win32":  # written from the documentation, never run
            loop: Any = asyncio.get_running_loop()

            def protocol() -> asyncio.StreamReaderProtocol:
                reader = asyncio.StreamReader(limit=codec.MAX_LINE)
                return asyncio.StreamReaderProtocol(reader, self._accept)

            await loop.start_serving_pipe(protocol, address)
        else:
            remove_socket()
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._accept, address, limit=codec.MAX_LINE)
            finally:
                os.umask(before)

    async def stop(self) -> None:
        """Close the socket and everyone on it."""
        if self._server is not None:
            self._server.close()
            self._server = None
            remove_socket()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ControlError, ValueError, asyncio.CancelledError):
            pass  # whoever asked has gone, or does not speak our language: nothing to tell anybody
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = codec.from_line(await reader.readline())
        if hello.get("token") != self._token or hello.get("protocol") != PROTOCOL:
            writer.write(codec.to_line({"id": 0, "error": codec.error_to_json(_STRANGER)}))
            await writer.drain()
            return
        writer.write(codec.to_line({"id": 0, "ok": {"pid": os.getpid(), "desktop": self._core.has_desktop}}))
        running: dict[object, asyncio.Task[None]] = {}
        try:
            while line := await reader.readline():
                request = codec.from_line(line)
                number = request.get("id")
                if request.get("verb") == "cancel":
                    if task := running.pop(number, None):
                        task.cancel()
                    continue
                task = asyncio.create_task(self._answer(request, writer))
                running[number] = task
                task.add_done_callback(partial(_forget, running, number))
        finally:
            for task in list(running.values()):
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        number = request.get("id")
        try:
            if request.get("verb") == "ask":
                async with aclosing(self._core.ask(_ask_request(request.get("args", {})))) as events:
                    async for event in events:
                        writer.write(codec.to_line({"id": number, "event": codec.value_to_json(event)}))
                        await writer.drain()
                result: object = None
            else:
                result = await self._do(str(request.get("verb")), request.get("args", {}))
            reply: dict[str, object] = {"id": number, "ok": result}
        except WhisperError as error:
            reply = {"id": number, "error": codec.error_to_json(error)}
        except ConnectionError:
            return
        writer.write(codec.to_line(reply))
        with suppress(ConnectionError):
            await writer.drain()

    async def _do(self, verb: str, args: dict[str, Any]) -> object:
        core = self._core
        if verb == "engine.status":
            status = await core.engine_status()
            return codec.value_to_json(status) if status else None
        if verb == "engine.start":
            return codec.value_to_json(await core.engine_start())
        if verb == "engine.stop":
            await core.engine_stop()
            return None
        if verb == "engine.log":
            return await core.engine_log(int(args.get("lines", 200)))
        if verb == "reload":
            await core.reload()
            return None
        if verb == "show":
            return await core.show(str(args.get("window", "chat")))
        if verb == "handover":
            if core.has_desktop:
                return False
            self._on_handover()
            return True
        raise ControlError(f"The running app does not know the verb “{verb}”.", "", "Update and restart it.")


_STRANGER = ControlError(
    "The running app did not accept this program.",
    "It is another version, or the run folder was changed.",
    "Quit it from its tray menu and start again.",
)


def _forget(running: dict[object, asyncio.Task[None]], number: object, _: asyncio.Task[None]) -> None:
    running.pop(number, None)


def _ask_request(args: dict[str, Any]) -> AskRequest:
    messages = tuple(codec.value_from_json(item) for item in args.get("messages", []))
    if not all(isinstance(message, Message) for message in messages):
        raise ControlError("A question on the control socket held something that is not a message.")
    reach = args.get("reach")
    return AskRequest(
        messages,
        guide=bool(args.get("guide")),
        backend=args.get("backend"),
        model=args.get("model"),
        reach=Reach(reach) if reach else None,
    )
