"""The backend over an engine of ours: started when asked, with its model and key, and again after a crash."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.backends.conftest import ASK
from tests.backends.cutting_proxy import CuttingProxy
from tests.engines.tiny_model import write_tiny_model
from tests.ports import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, BackendConfig, create_backend
from whisper_desktop.engines.leases import Lease
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import (
    EngineState,
    EngineStatus,
    ErrorKind,
    GenerationConfig,
    Phase,
    Progress,
    Reach,
    TextDelta,
)
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"

# The model writes noise, so that only some of its tokens are whole characters.
SHORT = GenerationConfig(max_tokens=30, temperature=0.0, seed=1, extra={"ignore_eos": True})
LONG = replace(SHORT, max_tokens=300)
ENDLESS = replace(SHORT, max_tokens=100_000)


class ServerAsEngine:
    """An engine whose process is the llama.cpp test server: started on demand, and anew once it is gone."""

    def __init__(self, servers: ServerFactory) -> None:
        self._servers = servers
        self.running: RunningServer | None = None
        self.starts = 0
        self.broken = False
        self.leases: set[Lease] = set()

    async def ensure_ready(self) -> EngineAddress:
        if self.broken:
            raise EngineError(
                "The model file is broken.", "It is not a GGUF file.", "Choose another.", cause="model"
            )
        if self.running is None:
            self.starts += 1
            self.running = await asyncio.to_thread(
                self._servers, "llama_cpp", "--auth", "nonce", "--tokens", "200", "--token-delay", "0.005"
            )
        return EngineAddress(self.running.url, "nonce", "our-model")

    def lease(self) -> Lease:
        return Lease(self._grant)

    async def _grant(self, lease: Lease) -> EngineAddress:
        address = await self.ensure_ready()
        self.leases.add(lease)
        lease.granted(self.leases.discard, lambda _said: None)
        return address

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


async def test_its_window_is_the_same_whatever_model_is_named(engine: ServerAsEngine, http: Http) -> None:
    backend = create_backend({"backend": "builtin", "context_length": 8192}, http=http, engine=engine)
    assert backend.context_of("a-name-meant-for-another-server") == backend.context_of(None) == 8192


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


async def test_starting_the_engine_is_told_before_it_is_waited_for(
    engine: ServerAsEngine, backend: Backend
) -> None:
    readiness = [backend.is_ready(None)]
    async with aclosing(backend.generate_stream(ASK)) as events:
        assert await anext(events) == Progress(Phase.LOADING)
        assert engine.starts == 0
    await backend.generate_text(ASK)
    readiness.append(backend.is_ready(None))
    assert readiness == [False, True]
    async with aclosing(backend.generate_stream(ASK)) as events:
        assert (await anext(events)) != Progress(Phase.LOADING)


async def test_its_context_and_slots_are_known_once_it_ran(engine: ServerAsEngine, backend: Backend) -> None:
    assert (backend.context_of(None), backend.slots) == (None, None)
    await backend.generate_text(ASK)
    assert (backend.context_of(None), backend.slots) == (4096, 4)


async def test_an_answer_of_the_engine_goes_on_after_a_cut(engine: ServerAsEngine, backend: Backend) -> None:
    await backend.generate_text(ASK, GenerationConfig(max_tokens=1))
    assert engine.running is not None
    engine.running.set_fault("cut_mid_stream", 20, count=1)
    answer = await backend.generate_text(ASK)
    assert answer.text == " ".join(f"word{number}" for number in range(200))


# --- the real supervisor, with the built-in engine --------------------------------------------------------


@pytest.fixture
async def real(tmp_path_factory: pytest.TempPathFactory, http: Http) -> AsyncIterator[Engine]:
    model = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    engine = make_engine(EngineSpec(model, "tiny", n_ctx=4096, threads=1), http=http)
    yield engine
    await engine.stop()


async def first_text(backend: Backend, then: Callable[[], Awaitable[None]]) -> None:
    """Read an endless answer; after its first text, do that, and go on reading."""
    done = False
    async with aclosing(backend.generate_stream(ASK, ENDLESS)) as events:
        async for event in events:
            if isinstance(event, TextDelta) and not done:
                done = True
                await then()


async def test_an_answer_in_flight_when_the_process_is_killed_says_why_and_the_next_is_answered(
    real: Engine, http: Http
) -> None:
    """S12: while streaming."""
    backend = create_backend({"backend": "builtin"}, http=http, engine=real)

    async def kill() -> None:
        pid = real.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(BackendError) as caught:
        await first_text(backend, kill)
    assert caught.value.kind is ErrorKind.STREAM_CUT
    assert "was ended from outside" in caught.value.title
    assert real.leases == 0
    assert (await backend.generate_text(ASK, SHORT)).usage.completion_tokens == 30


async def test_an_answer_in_flight_when_the_engine_is_stopped_says_that(real: Engine, http: Http) -> None:
    backend = create_backend({"backend": "builtin"}, http=http, engine=real)
    with pytest.raises(BackendError) as caught:
        await first_text(backend, real.stop)
    assert (caught.value.kind, caught.value.title) == (
        ErrorKind.STREAM_CUT,
        "The built-in engine was stopped.",
    )
    assert real.status().state is EngineState.STOPPED


async def test_every_use_holds_a_lease_and_none_is_left_behind(real: Engine, http: Http) -> None:
    backend = create_backend({"backend": "builtin"}, http=http, engine=real)
    await backend.load_model()
    assert real.leases == 0
    async with aclosing(backend.generate_stream(ASK, ENDLESS)) as events:
        async for event in events:
            assert real.leases == 1
            assert not await real.rest("Resting.")
            if isinstance(event, TextDelta):
                break
    assert real.leases == 0
    with suppress(BackendError):
        await backend.embed(["text"])
    assert real.leases == 0
    reading = asyncio.ensure_future(backend.generate_text(ASK, ENDLESS))
    while real.leases == 0:  # noqa: ASYNC110 - nothing is told at this moment
        await asyncio.sleep(0.001)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert real.leases == 0


async def test_a_question_in_vain_offers_the_repairs_of_the_engine(http: Http, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"<!DOCTYPE html>" + b" " * 9000)
    engine = make_engine(EngineSpec(tmp_path / "model.gguf", "tiny", n_ctx=512), http=http)
    backend = create_backend({"backend": "builtin"}, http=http, engine=engine)
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.ENGINE
    assert caught.value.repairs == engine.status().repairs != ()


# --- the real llama-server --------------------------------------------------------------------------------


class RealEngine:
    """A llama-server with a tiny model, reached on a way that may break off."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ensure_ready(self) -> EngineAddress:
        return EngineAddress(self.url, None, "tiny")

    def lease(self) -> Lease:
        return Lease(lambda _lease: self.ensure_ready())

    async def stop(self) -> None:
        return

    def status(self) -> EngineStatus:
        return EngineStatus("builtin", EngineState.READY, "tiny", self.url, None, "")


@pytest.fixture(scope="module")
def llama_server(reference_llama_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real llama-server that runs the tiny model of the engine tests."""
    model = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    port = closed_port()
    options = ["--port", str(port), "-t", "1", "-c", "8192", "-np", "2"]
    command = [str(reference_llama_server), "-m", str(model), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health") as answer:
                    if answer.status == 200:
                        break
                assert process.poll() is None
                time.sleep(0.05)  # it tells nobody when it is ready
            yield port
        finally:
            process.kill()


@pytest.mark.reference_engine
async def test_a_real_answer_that_was_cut_three_times_is_the_same_as_one_that_was_not(
    llama_server: int, http: Http
) -> None:
    async with CuttingProxy(llama_server, cut_after=2000, times=0) as way:
        engine = RealEngine(way.url)
        whole = await create_backend({"backend": "builtin"}, http=http, engine=engine).generate_text(
            ASK, LONG
        )
    async with CuttingProxy(llama_server, cut_after=9000, times=3) as way:
        engine = RealEngine(way.url)
        cut = await create_backend({"backend": "builtin"}, http=http, engine=engine).generate_text(ASK, LONG)
        assert way.cuts_left == 0
    assert (cut.text, cut.reasoning) == (whole.text, whole.reasoning)
    assert cut.usage.completion_tokens == whole.usage.completion_tokens == 300


@pytest.mark.reference_engine
@pytest.mark.parametrize("early", [True, False])
async def test_a_real_engine_is_idle_after_its_reader_has_gone(
    llama_server: int, http: Http, early: bool
) -> None:
    url = f"http://127.0.0.1:{llama_server}"
    backend = create_backend({"backend": "builtin"}, http=http, engine=RealEngine(url))
    await backend.generate_text(ASK, SHORT)

    async def busy() -> bool:
        slots = (await http.request("GET", f"{url}/slots", allowed=Reach.THIS_MACHINE)).json()
        assert isinstance(slots, list)
        return any(slot["is_processing"] for slot in slots)

    for _ in range(10):
        if early:
            reading = asyncio.ensure_future(backend.generate_text(ASK, ENDLESS))
            await asyncio.sleep(0.002)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        else:
            async with aclosing(backend.generate_stream(ASK, ENDLESS)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
        async with asyncio.timeout(1):
            while await busy():  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)


@pytest.mark.reference_engine
async def test_a_real_server_tells_its_context_its_slots_and_how_far_it_has_read(
    llama_server: int, http: Http
) -> None:
    config = BackendConfig("llama_cpp", "llama.cpp", f"http://127.0.0.1:{llama_server}", "tiny")
    backend = create_backend(config, http=http)
    async with aclosing(backend.generate_stream(ASK, SHORT)) as events:
        read = [event async for event in events if isinstance(event, Progress)]
    assert read[-1] == Progress(Phase.READING, 1.0)
    assert backend.slots == 2
    context = backend.context_of(None)
    assert context is not None
    assert context >= 4096
    (model,) = await backend.list_models()
    assert (model.loaded, model.context_length) == (True, context)
