"""What the backend tests share: one HTTP client a test, and backends as a configuration would name them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.values import IDENTITIES, Deadlines, Image, Message, Reach, Role, ToolSpec
from whisper_desktop.wire.http import Http

ASK = [Message(Role.USER, "Hello there")]
KEY = "sk-or-v1-test"
PICTURE = Image(b"\x89PNG\r\n\x1a\nnot a real one")
WEATHER = ToolSpec(
    "weather",
    "The weather of a place.",
    {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}

MakeBackend = Callable[..., Backend]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


@pytest.fixture
def make(http: Http) -> MakeBackend:
    """`make(server, model=None, id=None, key=None, ...)`: the backend for a running test server.

    `as_given` False is a server that was found, not written down; other names are the backend's options.
    """

    def build(
        server: RunningServer,
        model: str | None = None,
        *,
        id: str | None = None,
        key: str | None = None,
        deadlines: Deadlines | None = None,
        reach: Reach = Reach.THIS_MACHINE,
        as_given: bool = True,
        **options: object,
    ) -> Backend:
        backend = id or server.name

        async def fetch() -> str | None:
            return key

        return create_backend(
            {
                "backend": backend,
                "url": server.url + IDENTITIES[backend].api_path,
                "model": model,
                "reach": reach.value,
                "as_given": as_given,
                **options,
            },
            http=http,
            key=fetch,
            deadlines=deadlines,
        )

    return build


def paths(server: RunningServer) -> list[str]:
    """What the server was asked, in order."""
    return [f"{request['method']} {request['path']}" for request in server.requests()]


async def seen(server: RunningServer, event: str, count: int = 1) -> dict[str, Any]:
    """Wait until the server has logged an event."""
    return await asyncio.to_thread(server.wait_for, event, count)


async def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition became true within five seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - other processes send us no events
                await asyncio.sleep(0.01)
    return condition()
