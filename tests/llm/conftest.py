"""Chains of real backends over test servers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from tests.llm.tolerance import measured
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, BackendConfig, create_backend
from whisper_desktop.values import IDENTITIES, Deadlines, Reach
from whisper_desktop.wire.http import Http

if TYPE_CHECKING:
    from tests.llm.promises import Asking

KEY = "sk-or-v1-test"

# Short where a test waits for the deadline itself, long enough everywhere else for a busy machine.
QUICK = Deadlines(loading_poll=0.02, retry_pause=0.01, drain=0.05)

MakeStep = Callable[..., Backend]


@pytest.fixture(autouse=True)
def _time_is_measured() -> Iterator[None]:
    with measured():
        yield


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    # Whichever test comes first: its times are not those of an import.
    import_module("whisper_desktop.llm.answering")
    await client.warm_up()
    yield client
    await client.aclose()


@pytest.fixture
def step(http: Http) -> MakeStep:
    """`step(server_or_url, id=None, model=None, reach=...)`: one step of a chain."""

    def build(
        where: RunningServer | str,
        id: str | None = None,
        *,
        model: str | None = None,
        reach: Reach | None = Reach.THIS_MACHINE,
        key: str | None = None,
        deadlines: Deadlines = QUICK,
    ) -> Backend:
        backend = id or (where.name if isinstance(where, RunningServer) else "openai_compatible")
        url = where if isinstance(where, str) else where.url

        async def fetch() -> str | None:
            return key

        config = BackendConfig(id=backend, name=IDENTITIES[backend].name, url=url, model=model, reach=reach)
        return create_backend(config, http=http, key=fetch, deadlines=deadlines)

    return build


@pytest.fixture
def dead(step: MakeStep, unused_tcp_port: int) -> Backend:
    """LM Studio at a port where nothing listens."""
    return step(f"http://127.0.0.1:{unused_tcp_port}", "lm_studio")


@pytest.fixture
async def asking(http: Http, caplog: pytest.LogCaptureFixture) -> "AsyncIterator[Asking]":
    """Asks chains; when the test ends, everything has to be as it was before."""
    from tests.llm.promises import Asking

    asyncio.get_running_loop().set_debug(True)
    asked = Asking(http, caplog)
    yield asked
    await asked.all_as_before()
