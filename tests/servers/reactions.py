"""What a test server does about a request, as values, and how it is played, faults included."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.servers.faults import Fault
from tests.servers.http_wire import Reply

JSON_TYPE = {"Content-Type": "application/json"}
HTML_PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>It works!</body></html>"
BROKEN_JSON = b'{"choices":[{"message":{"role":"assi'
BROKEN_SSE = (
    b'data: {"choices":[{"delta":{"content":"Hel\n\n'
    b"data: this is not json\n\n"
    b"data: [1,2\n\n"
    b"\xff\xfe\x00\x01 nonsense\n\n"
)
BROKEN_NDJSON = b'{"message":{"content":"Hel\nthis is not json\n\xff\xfe\x00\x01\n'


@dataclass(frozen=True)
class Response:
    """A whole response. `broken` is what is said instead when generation fails half way."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0
    tokens: int = 0
    broken: "Response | None" = None


@dataclass(frozen=True)
class Stream:
    """A streamed response in pieces: `opening`, one piece for each token, `closing`, then `done`.

    `error` are the pieces of this dialect's in-band error (none: it just ends). `at_end` runs once
    everything was sent.
    """

    headers: Mapping[str, str]
    opening: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    closing: tuple[bytes, ...]
    done: bytes = b""
    error: tuple[bytes, ...] = ()
    delay_s: float = 0
    at_end: Callable[[], None] | None = None


Reaction = Response | Stream


def json_bytes(value: object) -> bytes:
    """JSON as Go, C++ and Express write it: compact, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_response(value: object, status: int = 200, headers: Mapping[str, str] = JSON_TYPE) -> Response:
    """A JSON response."""
    return Response(status, json_bytes(value), headers)


def text_response(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    """A response of plain text."""
    return Response(status, text.encode(), {"Content-Type": content_type})


def sse(value: object, event: str = "") -> bytes:
    """One server-sent event with JSON data."""
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + json_bytes(value) + b"\n\n"


def ndjson(value: object) -> bytes:
    """One line of JSON."""
    return json_bytes(value) + b"\n"


async def play(reaction: Reaction, reply: Reply, fault: Fault | None, token_delay_s: float) -> None:
    """Sends a reaction, broken in the way `fault` says (one of the modes of MID_STREAM, or garbage)."""
    await asyncio.sleep(reaction.delay_s)
    if fault and fault.mode in ("garbage", "empty_200", "hang_headers"):
        await _play_nonsense(reaction, reply, fault)
    elif isinstance(reaction, Response):
        await _play_response(reaction, reply, fault)
    else:
        await _play_stream(reaction, reply, fault, token_delay_s)


async def _play_nonsense(reaction: Reaction, reply: Reply, fault: Fault) -> None:
    streamed = isinstance(reaction, Stream)
    if fault.mode == "empty_200":
        await reply.head(200, reaction.headers, length=None if streamed else 0)
        await reply.finish()
    elif fault.mode == "hang_headers":
        await reply.head(200, reaction.headers, length=None if streamed else 1000)
        await reply.silence()
    elif streamed:
        await reply.head(200, reaction.headers)
        lines = "ndjson" in reaction.headers.get("Content-Type", "")
        await reply.write(BROKEN_NDJSON if lines else BROKEN_SSE)
        await reply.finish()
    else:
        await reply.send(200, reaction.headers, BROKEN_JSON)


async def _play_response(response: Response, reply: Reply, fault: Fault | None) -> None:
    mode = fault.mode if fault else ""
    if mode == "error_mid_stream" and response.broken:
        response = response.broken
    elif mode in ("die_mid_stream", "eof_mid_stream", "cut_mid_stream", "stall_mid_stream"):
        await reply.head(response.status, response.headers, length=len(response.body))
        await reply.write(response.body[: len(response.body) // 2])
        if mode == "die_mid_stream":
            await reply.reset()
        elif mode == "stall_mid_stream":
            await reply.silence()
        else:
            reply.cut()
        return
    await reply.send(response.status, response.headers, response.body)
    reply.tokens_sent = response.tokens


async def _play_stream(stream: Stream, reply: Reply, fault: Fault | None, token_delay_s: float) -> None:
    mode = fault.mode if fault else ""
    breaks = fault is not None and mode.endswith("_mid_stream")
    breaks_at = int(fault.number()) if fault is not None and breaks else -1
    await reply.head(200, stream.headers)
    for piece in stream.opening:
        await reply.write(piece)
    for number, piece in enumerate(stream.tokens):
        if number == breaks_at:
            break
        if token_delay_s:
            await asyncio.sleep(token_delay_s)
        await reply.write(piece)
        reply.tokens_sent += 1
    if breaks:
        await _break_stream(mode, stream, reply)
        return
    for piece in stream.closing:
        await reply.write(piece)
    if mode == "no_done":
        await reply.silence()
    await reply.write(stream.done)
    await reply.finish()
    if stream.at_end:
        stream.at_end()


async def _break_stream(mode: str, stream: Stream, reply: Reply) -> None:
    if mode == "die_mid_stream":
        await reply.reset()
    elif mode == "stall_mid_stream":
        await reply.silence()
    elif mode == "cut_mid_stream":
        reply.cut()
    else:
        for piece in stream.error if mode == "error_mid_stream" else ():
            await reply.write(piece)
        await reply.finish()
