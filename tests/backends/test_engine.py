"""The backend over an engine of ours: started when asked, with its model and key, and again after a crash."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from tests.backends.conftest import ASK
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import EngineState, EngineStatus, ErrorKind, TextDelta
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Address:
    url: str
    api_key: str | None
    model: str


class ServerAsEngine:
    """An engine whose process is the llama.cpp test server: started on demand, and anew once it is gone."""

    def __init__(self, servers: ServerFactory) -> None:
        self._servers = servers
        self.running: RunningServer | None = None
        self.starts = 0
        self.broken = False

    async def ensure_ready(self) -> Address:
        if self.broken:
            raise EngineError(
                "The model file is broken.", "It is not a GGUF file.", "Choose another.", cause="model"
            )
        if self.running is None:
            self.starts += 1
            self.running = await asyncio.to_thread(
                self._servers, "llama_cpp", "--auth", "nonce", "--tokens", "200", "--token-delay", "0.005"
            )
        return Address(self.running.url, "nonce", "our-model")

    async def stop(self) -> None:
        self.crash()

    def status(self) -> EngineStatus:
        state = EngineState.READY if self.running else EngineState.STOPPED
        url = self.running.url if self.running else None
        return EngineStatus("builtin", state, "our-model", url, None, "")

    def crash(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running = None


@pytest.fixture
def engine(servers: ServerFactory) -> ServerAsEngine:
    return ServerAsEngine(servers)


@pytest.fixture
async def backend(engine: ServerAsEngine, http: Http) -> Backend:
    return create_backend({"backend": "builtin"}, http=http, engine=engine)


async def test_asking_starts_the_engine_and_sends_its_own_model_and_key(
    engine: ServerAsEngine, backend: Backend
) -> None:
    assert (await backend.is_healthy(), backend.base_url, engine.starts) == (False, "", 0)
    answer = await backend.generate_text(ASK, model="a-name-meant-for-another-server")
    assert answer.finish_reason == "stop"
    assert engine.starts == 1
    assert engine.running is not None
    (request,) = engine.running.requests(CHAT)
    assert request["headers"]["authorization"] == "Bearer nonce"
    assert request["body"]["model"] == "our-model"
    assert backend.base_url == f"{engine.running.url}/v1"
    assert [model.id for model in await backend.list_models()] == ["our-model"]


async def test_asking_what_it_has_does_not_start_it(engine: ServerAsEngine, backend: Backend) -> None:
    assert [(model.id, model.loaded) for model in await backend.list_models()] == [("our-model", False)]
    assert engine.starts == 0


async def test_an_engine_that_cannot_start_says_why(engine: ServerAsEngine, backend: Backend) -> None:
    engine.broken = True
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.ENGINE
    assert str(caught.value) == "The model file is broken. It is not a GGUF file. Choose another."


async def test_a_crash_in_the_middle_is_told_and_the_next_question_is_answered(
    engine: ServerAsEngine, backend: Backend
) -> None:
    async def read() -> None:
        async with aclosing(backend.generate_stream(ASK)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    engine.crash()

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.kind is ErrorKind.STREAM_CUT
    assert caught.value.title == "Built-in engine closed the connection in the middle of its answer."
    assert (await backend.generate_text(ASK)).finish_reason == "stop"
    assert engine.starts == 2


async def test_unloading_stops_the_engine_and_shutting_down_the_backend_does_not(
    engine: ServerAsEngine, backend: Backend
) -> None:
    await backend.generate_text(ASK)
    await backend.shutdown()
    assert await backend.is_healthy()
    await backend.unload_model()
    assert not await backend.is_healthy()
