"""A model server that costs almost nothing: it answers with bytes that were built before anybody asked.

It is a program of its own, so that what it costs is not counted as the client's. It reads a request only as
far as it must to answer the right one, speaks the OpenAI dialect, and listens on one port for each behaviour:

- `good` answers. The model `chunks-2000` streams 2,000 text deltas, as fast as the socket takes them;
  `trickle-2000` writes them one by one.
- `unavailable` says 503, `dies` closes the connection after the headers of a stream, `silent` never answers.

`python -m tests.benchmarks._fast_server` prints the ports as one line of JSON and ends with its input.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from typing import ClassVar

_MODEL = re.compile(rb'"model"\s*:\s*"(\w+)-(\d+)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_SHORT_STREAM = 5
_PACE_S = 50e-6  # Slow enough that a client is done with a chunk before the next one comes.
_WORD = "word"


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


MODELS = _response(
    "200 OK", json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()
)
COMPLETION = _response(
    "200 OK",
    json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }
    ).encode(),
)
UNAVAILABLE = _response("503 Service Unavailable", b'{"error":{"message":"Server is busy","code":503}}')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


@cache
def events(count: int) -> tuple[bytes, ...]:
    """The server-sent events of an answer with `count` text deltas."""
    deltas = (_event({"content": f" {_WORD}{number}"}) for number in range(count))
    role = _event({"role": "assistant", "content": ""})
    return (role, *deltas, _event({}, "stop"), b"data: [DONE]\n\n")


@cache
def _pieces(count: int) -> tuple[bytes, ...]:
    return tuple(f"{len(event):x}\r\n".encode() + event + b"\r\n" for event in events(count))


@cache
def _whole_stream(count: int) -> bytes:
    return STREAM_HEAD + b"".join(_pieces(count)) + STREAM_END


class _Connection(asyncio.Protocol):
    """One connection; `answer` is called with the body of each whole request."""

    open: ClassVar[set["_Connection"]] = set()

    def __init__(self, answer: Callable[["_Connection", bytes, bytes], None]) -> None:
        self._answer = answer
        self._received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return
        self._received = b""
        self._answer(self, head, body)

    def trickle(self, pieces: tuple[bytes, ...], number: int = 0, due: float = 0.0) -> None:
        """One piece after the other, `_PACE_S` apart."""
        if self.transport.is_closing():
            return
        now = time.perf_counter()
        if now >= due:
            self.transport.write(pieces[number])
            number, due = number + 1, now + _PACE_S
        if number < len(pieces):
            # Not `call_later`: timers are a thousandth of a second coarse.
            asyncio.get_running_loop().call_soon(self.trickle, pieces, number, due)


def _good(connection: _Connection, head: bytes, body: bytes) -> None:
    if head.startswith(b"GET"):
        connection.transport.write(MODELS)
        return
    if _STREAM.search(body) is None:
        connection.transport.write(COMPLETION)
        return
    asked = _MODEL.search(body)
    if asked is None:
        connection.transport.write(_whole_stream(_SHORT_STREAM))
    elif asked[1] == b"trickle":
        connection.trickle((STREAM_HEAD, *_pieces(int(asked[2])), STREAM_END))
    else:
        connection.transport.write(_whole_stream(int(asked[2])))


def _unavailable(connection: _Connection, head: bytes, body: bytes) -> None:
    connection.transport.write(MODELS if head.startswith(b"GET") else UNAVAILABLE)


def _dies(connection: _Connection, head: bytes, body: bytes) -> None:
    if head.startswith(b"GET"):
        connection.transport.write(MODELS)
        return
    connection.transport.write(STREAM_HEAD)
    connection.transport.close()


def _silent(connection: _Connection, head: bytes, body: bytes) -> None:
    if head.startswith(b"GET"):
        connection.transport.write(MODELS)


BEHAVIOURS = {"good": _good, "unavailable": _unavailable, "dies": _dies, "silent": _silent}


async def main() -> None:
    """Listen until the input ends."""
    loop = asyncio.get_running_loop()
    ports: dict[str, int] = {}
    for name, answer in BEHAVIOURS.items():
        server = await loop.create_server(partial(_Connection, answer), "127.0.0.1", 0)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
