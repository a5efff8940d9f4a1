"""What a test server does about a request, as values; `playing.py` sends them."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

JSON_TYPE = {"Content-Type": "application/json"}
HTML_PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>It works!</body></html>"


@dataclass(frozen=True)
class Response:
    """A whole response. `broken` is what is said instead when generation fails half way."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0
    tokens: int = 0
    broken: "Response | None" = None


class Generation(Protocol):
    """An answer that is generated whether or not anybody listens; see `llama_cpp_replay.py`."""

    async def reached(self, pieces: int) -> bool:
        """Waits until so many pieces exist; False where it was stopped before."""


@dataclass(frozen=True)
class Stream:
    """A streamed response in pieces: `reading`, `opening`, one piece for each token, `closing`, then `done`.

    `reading` (progress of the prompt) is spread evenly from the beginning to `reading_s`. `error` are the
    pieces of this dialect's in-band error (none: it just ends). `at_end` runs once everything was sent. With
    a `generation` the pieces go out as it makes them.
    """

    headers: Mapping[str, str]
    opening: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    closing: tuple[bytes, ...]
    done: bytes = b""
    error: tuple[bytes, ...] = ()
    delay_s: float = 0
    at_end: Callable[[], None] | None = None
    reading: tuple[bytes, ...] = ()
    reading_s: float = 0
    generation: Generation | None = None


@dataclass(frozen=True)
class Live:
    """A streamed body that is made elsewhere and sent as it comes; no fault breaks it."""

    headers: Mapping[str, str]
    pieces: AsyncGenerator[bytes, None]


Reaction = Response | Stream | Live


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
