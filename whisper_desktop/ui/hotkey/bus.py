"""A connection to the session bus that asks, hears signals, and says when it has ended. On the core loop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import DBusConnection, open_dbus_connection
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

_ANSWER = 10.0  # seconds for a call: who is asked may have to be started first
_MOST_WAITING = 64  # signals


class BusError(Exception):
    """There is no bus, nobody answers on it, or it has ended."""


class Bus:
    """`signals` brings what was asked for by `listen`, and None when the bus has ended."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self.signals: asyncio.Queue[Message | None] = asyncio.Queue()

    async def call(self, address: DBusAddress, method: str, signature: str, *arguments: object) -> Any:  # noqa: ANN401
        """What a method returns, as a tuple. Raises `BusError`, also for an error that it answers."""
        return await self._ask(new_method_call(address, method, signature, arguments))

    async def listen(self, rule: MatchRule) -> None:
        """From now on such signals come. Raises `BusError`."""
        await self._ask(message_bus.AddMatch(rule))

    async def _ask(self, message: Message) -> Any:  # noqa: ANN401 - what comes depends on who is asked
        serial = next(self._connection.outgoing_serial)
        answer = self._answers[serial] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_ANSWER):
                await self._connection.send(message, serial=serial)
                return unwrap_msg(await answer)
        except (OSError, TimeoutError, DBusErrorResponse) as error:
            raise BusError(repr(error)) from None
        finally:
            del self._answers[serial]

    async def read(self) -> None:
        """Hand out what comes until the bus ends."""
        try:
            while True:
                message = await self._connection.receive()
                header = message.header
                answer = self._answers.get(header.fields.get(HeaderFields.reply_serial, -1))
                if answer is not None and not answer.done():
                    answer.set_result(message)
                elif header.message_type is MessageType.signal and self.signals.qsize() < _MOST_WAITING:
                    self.signals.put_nowait(message)
        except (EOFError, OSError, ValueError):
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the bus has ended"))
            self.signals.put_nowait(None)


@asynccontextmanager
async def session_bus() -> AsyncGenerator[Bus, None]:
    """A connection of one's own. Raises `BusError` where there is no bus."""
    try:
        async with asyncio.timeout(_ANSWER):
            connection = await open_dbus_connection(bus="SESSION")
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, AuthenticationError) as error:
        raise BusError(repr(error)) from None
    bus = Bus(connection)
    reading = asyncio.create_task(bus.read())
    try:
        yield bus
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        with suppress(OSError):
            await connection.close()
