"""What a hostile or broken program may do on the socket, and what it gets for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.control.asking import socket_file
from whisper_desktop.app import App
from whisper_desktop.control import Front
from whisper_desktop.control.address import read_record, socket_address
from whisper_desktop.control.client import RemoteCore
from whisper_desktop.control.codec import MAX_LINE
from whisper_desktop.control.core import PROTOCOL
from whisper_desktop.errors import ControlError
from whisper_desktop.values import Deadlines

DEADLINES = Deadlines(control_reply=0.5)


@pytest.fixture
async def owner() -> AsyncIterator[Front]:
    """A running owner; after the test it must still answer a well-behaved program."""
    async with Front(lambda: App(overrides={"llm.stub": True}, deadlines=DEADLINES)) as front:
        await front.core()
        yield front
        remote = await RemoteCore.connect(Deadlines())
        assert remote is not None
        assert await remote.engine_status() is None
        await remote.close()


class Line:
    """A raw connection that says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, *, greet: bool = True) -> "Line":
        line = cls(*await asyncio.open_unix_connection(socket_address(), limit=MAX_LINE))
        if greet:
            record = read_record()
            assert record is not None
            await line.say({"id": 0, "protocol": PROTOCOL, "token": record.token})
            assert "ok" in await line.hear()
        return line

    async def say(self, data: object) -> None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self._writer.write(raw + b"\n")
        await self._writer.drain()

    async def pour(self, piece: bytes, *, times: int) -> None:
        """Send pieces that never end a line."""
        for _ in range(times):
            self._writer.write(piece)
            await self._writer.drain()

    async def hear(self) -> dict[str, Any]:
        """The next line; {} when the other side has hung up."""
        try:
            line = await asyncio.wait_for(self._reader.readline(), 10)
        except ConnectionError:
            line = b""
        heard: dict[str, Any] = json.loads(line) if line else {}
        return heard

    def close(self) -> None:
        self._writer.close()


@pytest.mark.parametrize(
    "hello",
    [
        {"id": 0, "protocol": PROTOCOL, "token": "wrong"},
        {"id": 0, "protocol": PROTOCOL, "token": "\ud800"},
        {"id": 0, "protocol": PROTOCOL},
        {"id": 0, "token": None, "protocol": 99},
    ],
)
async def test_a_stranger_is_refused(owner: Front, hello: object) -> None:
    line = await Line.open(greet=False)
    await line.say(hello)
    assert "did not accept" in (await line.hear())["error"]["title"]
    assert await line.hear() == {}
    line.close()


async def test_the_wrong_token_is_told_to_the_person(owner: Front) -> None:
    right = socket_file().with_name("owner.json")
    wrong = right.with_name("wrong.json")
    wrong.write_text('{"pid": 1, "token": "another"}')
    swap(str(right), str(wrong))
    with pytest.raises(ControlError, match="did not accept"):
        await RemoteCore.connect(DEADLINES)
    swap(str(right), str(wrong))


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"7",
        {"verb": "engine.stop"},
        {"id": [], "verb": "engine.stop"},
        {"id": "1", "verb": "engine.stop"},
    ],
)
@pytest.mark.parametrize("greeted", [False, True])
async def test_a_line_that_is_none_ends_only_that_connection(
    owner: Front, garbage: object, greeted: bool
) -> None:
    line = await Line.open(greet=greeted)
    await line.say(garbage)
    assert "ok" not in await line.hear()
    assert await line.hear() == {}
    line.close()


async def test_a_line_without_an_end_is_cut_off(owner: Front) -> None:
    line = await Line.open()
    piece = b"a" * 1_000_000
    with pytest.raises(ConnectionError):
        await line.pour(piece, times=3 * MAX_LINE // len(piece))
    line.close()


async def test_who_says_nothing_is_hung_up_on(owner: Front) -> None:
    line = await Line.open(greet=False)
    assert await line.hear() == {}
    line.close()


@pytest.mark.parametrize(
    "request_",
    [
        {"id": 1, "verb": "nonsense"},
        {"id": 1, "verb": ["ask"]},
        {"id": 1, "verb": "ask"},
        {"id": 1, "verb": "ask", "args": []},
        {"id": 1, "verb": "ask", "args": "text"},
        {"id": 1, "verb": "ask", "args": {"messages": 7}},
        {"id": 1, "verb": "ask", "args": {"messages": [{"type": "Message"}]}},
        {"id": 1, "verb": "ask", "args": {"messages": [{"type": {}, "value": 1}]}},
        {"id": 1, "verb": "ask", "args": {"messages": [{"type": "TextDelta", "value": {"text": "x"}}]}},
        {
            "id": 1,
            "verb": "ask",
            "args": {
                "messages": [{"type": "Message", "value": {"role": "user", "content": "x"}}],
                "reach": "mars",
            },
        },
        {
            "id": 1,
            "verb": "ask",
            "args": {
                "messages": [{"type": "Message", "value": {"role": "user", "content": "x"}}],
                "model": 7,
            },
        },
    ],
)
async def test_a_verb_that_cannot_be_understood_is_an_error_and_the_line_stays(
    owner: Front, request_: object
) -> None:
    line = await Line.open()
    await line.say(request_)
    answer = await line.hear()
    assert (answer["id"], answer["error"]["type"]) == (1, "ControlError")
    assert "mistake" not in answer["error"]["detail"]
    await line.say({"id": 2, "verb": "cancel"})
    await line.say({"id": 3, "verb": "engine.log", "args": {"lines": "many"}})
    assert (await line.hear())["id"] == 3
    line.close()


def swap(one: str, other: str) -> None:
    """Exchanges two files."""
    aside = f"{one}-aside"
    Path(one).rename(aside)
    Path(other).rename(one)
    Path(aside).rename(other)


async def test_an_owner_that_accepts_and_says_nothing_is_told_as_one(owner: Front) -> None:
    silent = f"{socket_address()}-silent"
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    listener = await asyncio.start_unix_server(say_nothing, silent)
    swap(socket_address(), silent)
    try:
        with pytest.raises(ControlError, match="does not answer"):
            await RemoteCore.connect(DEADLINES)
    finally:
        ended.set()
        swap(socket_address(), silent)
        listener.close()
