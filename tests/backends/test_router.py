"""llama.cpp's router, the real one: found, listed, asked, at its limit of loaded models, and ended."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.discovery.looking import PATIENT, usual
from tests.engines.conftest import gone, until
from tests.engines.reading import ASK, ENDLESS, SHORT, read_until
from tests.engines.real_program import Program
from tests.engines.tiny_model import CONTEXT, write_tiny_model
from tests.ports import closed_port
from tests.servers.probe import call
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.discovery import LocalLLMDetector
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
    Phase,
    Progress,
    ServerStatus,
    TextDelta,
)
from whisper_desktop.wire.http import Http

pytestmark = pytest.mark.reference_engine


class Router(Program):
    """A llama-server without a model of its own."""

    def __init__(self, binary: Path, models: Path, *flags: str) -> None:
        port = closed_port()
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        options = (
            "--port",
            str(port),
            "--models-dir",
            str(models),
            "-t",
            "1",
            "-c",
            str(CONTEXT),
            "-np",
            "1",
        )
        super().__init__(binary, *options, *flags, log=models.parent / f"router-{port}.txt")

    def answers(self) -> bool:
        """Whether it says that it is healthy."""
        try:
            return call(self.url, "GET", "/health").status == 200
        except OSError:
            return False

    def states(self) -> dict[str, str]:
        """What it says of each model."""
        listed = call(self.url, "GET", "/v1/models").json()["data"]
        return {entry["id"]: entry["status"]["value"] for entry in listed}

    def kill_children(self) -> None:
        """End the processes of its models as a crash would."""
        for child in self.children():
            os.kill(child, signal.SIGKILL)

    def order(self, what: str, model: str) -> None:
        """Have it load or unload a model, as another program would."""
        assert call(self.url, "POST", f"/models/{what}", {"model": model}).json() == {"success": True}
        wanted = "loaded" if what == "load" else "unloaded"
        self.wait_until(lambda: self.states()[model] == wanted, what)


MakeRouter = Callable[..., Router]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four models that work, one of them in a folder of its own, and one that is cut off."""
    folder = tmp_path_factory.mktemp("router") / "models"
    (folder / "inside").mkdir(parents=True)
    first = write_tiny_model(folder / "first.gguf")
    for name in ("second.gguf", "third.gguf", "inside/named-otherwise.gguf"):
        shutil.copy(first, folder / name)
    (folder / "broken.gguf").write_bytes(first.read_bytes()[:60_000])
    return folder


@pytest.fixture
def router(reference_llama_server: Path, models: Path) -> Iterator[MakeRouter]:
    """`router(*flags)`: one that answers. They are ended with the test."""
    made: list[Router] = []

    def make(*flags: str) -> Router:
        made.append(Router(reference_llama_server, models, *flags))
        made[-1].wait_until(made[-1].answers, "answered")
        return made[-1]

    yield make
    for each in made:
        each.end()


def backend(http: Http, router: Router, model: str | None = None) -> Backend:
    """The backend for it."""
    config = {"backend": "llama_cpp", "url": f"{router.url}/v1", "model": model, "reach": "this_machine"}
    return create_backend(config, http=http)


async def loaded(asked: Backend) -> list[str]:
    """The models that it lists as loaded."""
    return sorted(entry.id for entry in await asked.list_models() if entry.loaded)


async def test_a_router_is_recognised_where_nobody_expects_it(router: MakeRouter) -> None:
    running = router()
    detector = LocalLLMDetector(deadlines=PATIENT, env={}, ports=usual(running.port))
    (found,) = await detector.detect_available_servers()
    assert (found.id, found.status) == ("llama_cpp", ServerStatus.AVAILABLE)
    assert {model.id for model in found.models} == {"first", "second", "third", "inside", "broken"}
    assert not any(model.loaded for model in found.models)


async def test_its_models_are_listed_with_their_states(router: MakeRouter, http: Http) -> None:
    running = router()
    asked = backend(http, running)
    assert await loaded(asked) == []
    running.order("load", "second")
    assert await loaded(asked) == ["second"]
    running.order("unload", "second")
    assert await loaded(asked) == []


async def test_without_a_name_the_model_that_is_loaded_answers(router: MakeRouter, http: Http) -> None:
    running = router()
    running.order("load", "third")
    answer = await backend(http, running).generate_text(ASK, SHORT)
    assert (answer.model, len(answer.text) >= 8) == ("third", True)
    assert await loaded(backend(http, running)) == ["third"]


async def test_a_model_that_is_not_loaded_is_loaded_by_the_question(router: MakeRouter, http: Http) -> None:
    running = router()
    asked = backend(http, running, "inside")
    await asked.list_models()
    async with aclosing(asked.generate_stream(ASK, SHORT)) as events:
        seen = [event async for event in events]
    assert seen[0] == Progress(Phase.LOADING)
    assert any(isinstance(event, TextDelta) for event in seen)
    assert running.states()["inside"] == "loaded"


async def test_a_model_that_is_not_there_is_named_with_those_that_are(router: MakeRouter, http: Http) -> None:
    with pytest.raises(BackendError) as caught:
        await backend(http, router(), "nobody").generate_text(ASK, SHORT)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert "first" in caught.value.detail


async def test_a_model_that_cannot_be_loaded_is_a_named_error_and_the_others_answer(
    router: MakeRouter, http: Http
) -> None:
    running = router()
    with pytest.raises(BackendError) as caught:
        await backend(http, running, "broken").generate_text(ASK, SHORT)
    assert caught.value.kind is ErrorKind.SERVER_ERROR
    assert caught.value.detail == "It says: “model name=broken failed to load”"
    assert running.states()["broken"] == "unloaded"
    assert (await backend(http, running, "first").generate_text(ASK, SHORT)).text


async def test_at_its_limit_the_model_that_was_used_longest_ago_makes_room(
    router: MakeRouter, http: Http
) -> None:
    running = router("--models-max", "2")
    for name in ("first", "second"):
        await backend(http, running, name).generate_text(ASK, SHORT)
    assert await loaded(backend(http, running)) == ["first", "second"]
    await backend(http, running, "first").generate_text(ASK, SHORT)
    await backend(http, running, "third").generate_text(ASK, SHORT)
    assert await loaded(backend(http, running)) == ["first", "third"]
    assert len(running.children()) == 2


async def test_a_model_that_answers_is_not_thrown_out_and_whoever_waits_is_served_after_it(
    router: MakeRouter, http: Http
) -> None:
    running = router("--models-max", "1")
    asked = backend(http, running, "first")
    async with aclosing(asked.generate_stream(ASK, ENDLESS)) as events:
        while not isinstance(await anext(events), TextDelta):
            pass
        waiting = asyncio.create_task(backend(http, running, "second").generate_text(ASK, SHORT))
        for _ in range(100):
            await anext(events)
        assert running.states()["first"] == "loaded"
        assert not waiting.done()
    assert (await waiting).model == "second"
    assert await loaded(asked) == ["second"]


async def test_a_child_that_dies_takes_its_answer_with_it_and_the_next_question_starts_it_anew(
    router: MakeRouter, http: Http
) -> None:
    running = router()
    asked = backend(http, running, "first")
    with pytest.raises(BackendError) as caught:
        await read_until(asked, running.kill_children)
    assert caught.value.kind is ErrorKind.TRUNCATED
    running.wait_until(lambda: running.states()["first"] == "unloaded", "noticed it")
    assert (await asked.generate_text(ASK, SHORT)).text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_end_of_a_router_is_the_end_of_its_children(
    router: MakeRouter, http: Http, number: int
) -> None:
    running = router()
    for name in ("first", "second"):
        await backend(http, running, name).generate_text(ASK, SHORT)
    children = running.children()
    assert len(children) == 2
    running.send(number)
    assert running.ended() == (0 if number == signal.SIGTERM else -number)
    assert await until(lambda: all(map(gone, children)), 5)


async def test_a_router_that_loads_nothing_by_itself_says_so(router: MakeRouter, http: Http) -> None:
    running = router("--no-models-autoload")
    with pytest.raises(BackendError) as caught:
        await backend(http, running, "first").generate_text(ASK, SHORT)
    assert caught.value.detail == "It says: “model is not loaded”"
    running.order("load", "first")
    assert (await backend(http, running, "first").generate_text(ASK, SHORT)).text
