"""What the backend tests share: one HTTP client a test, and backends as a configuration would name them."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.values import IDENTITIES, Deadlines, Message, Reach, Role
from whisper_desktop.wire.http import Http

ASK = [Message(Role.USER, "Hello there")]
KEY = "sk-or-v1-test"

MakeBackend = Callable[..., Backend]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


@pytest.fixture
def make(http: Http) -> MakeBackend:
    """`make(server, model=None, id=None, key=None, ...)`: the backend for a running test server."""

    def build(
        server: RunningServer,
        model: str | None = None,
        *,
        id: str | None = None,
        key: str | None = None,
        deadlines: Deadlines | None = None,
        reach: Reach = Reach.THIS_MACHINE,
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
            },
            http=http,
            key=fetch,
            deadlines=deadlines,
        )

    return build
