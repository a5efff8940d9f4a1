"""Other libraries over our connections: httpx's own client, real sockets."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.guarded_transport import GuardedTransport
from whisper_desktop.wire.http import Http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    ours = Http()
    yield ours
    assert ours.under_way == 0
    await ours.aclose()


@contextlib.asynccontextmanager
async def answering(response: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives one answer on each connection; its address, and the requests it saw."""
    seen: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        seen.append(head + await reader.readexactly(length))
        writer.write(response)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


async def test_a_request_of_httpx_is_sent_as_it_is_and_answered(http: Http) -> None:
    packed = gzip.compress(b'{"a":1}')
    response = b"HTTP/1.1 201 Created\r\nX-Thing: A\r\nContent-Encoding: gzip\r\n\r\n" + packed
    async with (
        answering(response) as (url, seen),
        httpx.AsyncClient(transport=GuardedTransport(http, allowed=Reach.THIS_MACHINE)) as client,
    ):
        headers = {"x-own": "B", "accept-encoding": "something"}
        answer = await client.post(f"{url}/x?y=1", json={"q": 2}, headers=headers)
    assert (answer.status_code, answer.headers["x-thing"], answer.json()) == (201, "A", {"a": 1})
    assert seen[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"x-own: b\r\n" in seen[0].lower()
    # What we can unpack is for us to say.
    assert b"accept-encoding: identity\r\n" in seen[0].lower()
    assert seen[0].endswith(b'{"q":2}')


async def test_what_goes_too_far_is_refused_for_httpx_too(http: Http) -> None:
    async with httpx.AsyncClient(transport=GuardedTransport(http, allowed=Reach.MY_NETWORK)) as client:
        with pytest.raises(ConsentRequired):
            await client.get("http://far.example")


async def test_a_failure_is_one_that_httpx_knows_and_says_more_as_its_cause(http: Http) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    async with httpx.AsyncClient(transport=GuardedTransport(http, allowed=Reach.THIS_MACHINE)) as client:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(httpx.ConnectError) as refused:
                await client.get(f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with answering(cut) as (url, _seen):
            with pytest.raises(httpx.ReadError) as broken:
                await client.get(url)
    causes = [refused.value.__cause__, broken.value.__cause__]
    assert [cause.kind for cause in causes if isinstance(cause, BackendError)] == [
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.STREAM_CUT,
    ]


async def test_leaving_a_stream_of_httpx_lets_go_of_the_connection(http: Http) -> None:
    async with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart") as (url, _seen),
        httpx.AsyncClient(transport=GuardedTransport(http, allowed=Reach.THIS_MACHINE)) as client,
    ):
        async with client.stream("GET", url) as answer:
            assert await anext(answer.aiter_raw()) == b"part"
            assert http.under_way == 1
        assert http.under_way == 0
