"""The engines of the app, real ones: repairs of one model, when they sleep, and what makes a new plan."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import yaml

from tests.engines.conftest import gone
from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from whisper_desktop.app import App
from whisper_desktop.app.engine_host import EngineHost
from whisper_desktop.engines import guide_spec
from whisper_desktop.errors import EngineError, LLMConnectionError
from whisper_desktop.events import EngineChanged, Notice
from whisper_desktop.machine import detect_resources
from whisper_desktop.settings import LLMSettings, remember
from whisper_desktop.settings.paths import CHOICES_FILE, config_dir, run_dir
from whisper_desktop.values import (
    AnswerFinished,
    Deadlines,
    EngineState,
    EngineStatus,
    Message,
    Phase,
    Progress,
    ResourceInfo,
    Role,
    TextDelta,
)
from whisper_desktop.wire.http import Http

FAKE_SERVER = Path(__file__).parents[1] / "engines" / "fake_llama_server.py"
HELLO = [Message(Role.USER, "Hello")]
QUICK = Deadlines(engine_restart=0.02)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small models, each with a file of its own."""
    folder = tmp_path_factory.mktemp("models")
    return write_tiny_model(folder / "one.gguf"), write_tiny_model(folder / "other.gguf")


@pytest.fixture
async def app(models: tuple[Path, Path]) -> AsyncIterator[App]:
    """An app that has only its own engine, with the first model; a few hundred tokens of context end every
    answer.
    """
    closed = {"llm.lmstudio.port": closed_port(), "llm.llamacpp.port": closed_port()}
    app = App(
        overrides={"llm.fallback_chain": ("builtin",), "llm.llamacpp.n_ctx": 256, **closed},
        env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{closed_port()}"},
        deadlines=QUICK,
    )
    remember("llm.gguf_model_path", str(models[0]))
    await app.start()
    yield app
    await app.stop()


async def ask(app: App, *, guide: bool = False) -> str:
    """The whole answer of an engine. Raises what the app does."""
    text = ""
    async for event in app.stream(HELLO, guide=guide):
        text = event.completion.text if isinstance(event, AnswerFinished) else text
    return text


def status_of(app: App) -> EngineStatus:
    status = app.engine_status()
    assert status is not None
    return status


class Heard:
    """The states that the app's engine is said to have come to."""

    def __init__(self, app: App) -> None:
        self._states: asyncio.Queue[EngineStatus] = asyncio.Queue()
        app.bus.listen(EngineChanged, lambda event: self._states.put_nowait(event.status))

    async def until(self, state: EngineState) -> EngineStatus:
        """The status at which it came to this state."""
        async with asyncio.timeout(20):
            while (status := await self._states.get()).state is not state:
                pass
        return status


# --- repairs ----------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens, set as the engine's own."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        remember("llm.llamacpp.engine_port", other.getsockname()[1])
        yield other.getsockname()[1]


async def test_an_accepted_repair_holds_for_that_model_only_until_it_is_forgotten(
    app: App, taken: int, models: tuple[Path, Path]
) -> None:
    await app.reload()
    with pytest.raises(LLMConnectionError, match=f"Port {taken} is taken") as caught:
        await ask(app)
    assert [(each.id, each.change) for each in caught.value.repairs] == [("other_port", "port=auto")]
    assert status_of(app).repairs == caught.value.repairs
    assert app.state().activity == "needs_attention"

    await app.repair_engine("other_port")
    assert await ask(app)
    assert str(taken) not in (status_of(app).url or "")
    assert app.state().headline == "Ready: one on Built-in engine"
    kept = yaml.safe_load((config_dir() / CHOICES_FILE).read_text("utf-8"))["llm"]["llamacpp"]["repairs"]
    assert kept == {str(models[0]): ["port=auto"]}
    assert app.accepted_repairs() == ("port=auto",)

    await app.remember({"llm.gguf_model_path": str(models[1])})
    with pytest.raises(LLMConnectionError, match="is taken"):
        await ask(app)
    assert app.accepted_repairs() == ()

    await app.remember({"llm.gguf_model_path": str(models[0])})
    await app.forget_repairs()
    with pytest.raises(LLMConnectionError, match="is taken"):
        await ask(app)
    kept = yaml.safe_load((config_dir() / CHOICES_FILE).read_text("utf-8"))["llm"]["llamacpp"]["repairs"]
    assert not kept


async def test_a_repair_that_is_not_offered_changes_nothing(app: App) -> None:
    for _ in range(2):
        with pytest.raises(EngineError) as caught:
            await app.repair_engine("smaller_context")
        assert caught.value.cause == "no_such_repair"
        await ask(app)
    assert app.accepted_repairs() == ()


# --- sleeping ---------------------------------------------------------------------------------------------


async def test_memory_is_given_back_on_demand_but_never_under_an_answer(app: App) -> None:
    assert not await app.free_memory()  # there is none yet
    assert app.state().memory == ""
    async with aclosing(app.stream(HELLO)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                assert not await app.free_memory()
    first = status_of(app).pid
    assert app.state().memory == "under 0.1 GB"
    assert await app.free_memory()
    asleep = status_of(app)
    assert (asleep.state, asleep.pid) == (EngineState.SLEEPING, None)
    assert first is not None
    assert gone(first)
    assert app.state().headline == "Ready: one on Built-in engine (asleep)"
    assert not await app.free_memory()
    assert await ask(app)
    assert status_of(app).state is EngineState.READY


async def test_an_app_that_closes_starts_no_engine_for_those_who_still_ask(app: App) -> None:
    await ask(app)
    await app.host.close()
    for guide in (False, True):  # one that ran, and one that was never made
        with pytest.raises(LLMConnectionError, match="The app is closing"):
            await ask(app, guide=guide)
    assert list(run_dir().glob("engine-*")) == []


async def test_the_memory_of_both_engines_is_given_back(app: App) -> None:
    await ask(app, guide=True)
    heard = Heard(app)
    assert app.state().memory
    await ask(app)
    assert await app.free_memory()
    assert {(await heard.until(EngineState.SLEEPING)).engine for _ in range(2)} == {"builtin", "guide"}
    assert app.state().memory == ""


@pytest.mark.parametrize("guide", [False, True])
async def test_a_setting_when_to_sleep_holds_for_an_engine_that_idles_already(app: App, guide: bool) -> None:
    await ask(app, guide=guide)
    pid = status_of(app).pid
    heard = Heard(app)
    await app.remember({"llm.llamacpp.idle_minutes": 0.001})
    asleep = await heard.until(EngineState.SLEEPING)
    assert "nobody asked for 0.06 seconds" in asleep.detail
    assert pid is not None
    assert gone(pid)


# --- loading ----------------------------------------------------------------------------------------------


async def test_a_question_that_waits_for_the_model_is_told_how_much_is_loaded(
    app: App, tmp_path: Path
) -> None:
    program = tmp_path / "llama-server"  # the words in its comment say that it tells its progress
    program.write_text(
        "#!/bin/sh\n"
        "# LLAMA_SERVER_ROUTER_PORT cmd_child_to_router:state: cmd_router_to_child:exit\n"
        f'exec "{sys.executable}" -I -S "{FAKE_SERVER}" "$@" --behave load=1.5\n'
    )
    program.chmod(0o755)
    remember("llm.llamacpp.server_path", str(program))
    await app.reload()
    told: list[float | None] = []
    async with aclosing(app.stream(HELLO)) as events:
        async for event in events:
            if isinstance(event, Progress) and event.phase is Phase.LOADING:
                assert event.server_name == "Built-in engine"
                told.append(event.done)
            if isinstance(event, TextDelta):
                break
    shares = [done for done in told if done is not None]
    assert told[0] is None
    assert len(shares) >= 3
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


# --- warnings ---------------------------------------------------------------------------------------------


async def test_a_fall_back_to_the_processor_is_told_once_and_stays_in_the_status(app: App) -> None:
    notices: list[Notice] = []
    app.bus.listen(Notice, notices.append)
    remember("llm.llamacpp.n_gpu_layers", 2)
    await app.reload()
    for _ in range(2):
        await ask(app)
        assert "it runs on the processor" in status_of(app).warning
        assert await app.free_memory()
    told = [notice for notice in notices if "it runs on the processor" in notice.detail]
    assert [notice.title for notice in told] == ["The engine runs, but not as planned."]


# --- plans ------------------------------------------------------------------------------------------------


class Looked:
    """Counts how often somebody looks at the computer, which is once for each plan."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> ResourceInfo:
        self.times += 1
        return detect_resources()


async def test_only_what_the_plan_stands_on_makes_a_new_one(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = models
    looked, http, warned = Looked(), Http(), list[str]()
    host = EngineHost(
        http=http, deadlines=Deadlines(), detect=looked, on_change=lambda _: None, warn=warned.append
    )

    async def plans(**llamacpp: object) -> int:
        before = looked.times
        await host.builtin(model, LLMSettings(llamacpp={"n_ctx": 256, **llamacpp}))
        return looked.times - before

    assert await plans() == 1
    await (await host.builtin(model, settings(model))).ensure_ready()
    assert await plans(idle_minutes=1, sleep_on_battery=True, repairs={str(other): ["n_ctx=16"]}) == 0
    assert await plans(repairs={str(model): ["n_ctx=16"]}) == 1
    assert (await host.builtin(model, settings(model, "n_ctx=16"))).spec.n_ctx == 16
    os.utime(model, (1, 1))  # another file in its place
    assert await plans(repairs={str(model): ["n_ctx=16"]}) == 1

    build = tmp_path / "llama-server"  # installed while the app runs
    build.write_text(f"#!{sys.executable}\n")
    build.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert await plans(repairs={str(model): ["n_ctx=16"]}) == 1
    assert (await host.builtin(model, settings(model, "n_ctx=16"))).spec.binary == build
    await host.stop()
    await http.aclose()


async def test_the_guide_has_its_own_repairs() -> None:
    http = Http()
    host = EngineHost(
        http=http,
        deadlines=Deadlines(),
        detect=detect_resources,
        on_change=lambda _: None,
        warn=lambda _: None,
    )
    guide = guide_spec().model_path
    assert host.guide(settings(guide)).spec == guide_spec()
    assert host.guide(settings(guide, "n_gpu_layers=0")).spec.n_gpu_layers == 0
    assert host.guide(settings(guide)).spec == guide_spec()
    await http.aclose()


def settings(model: Path, *repairs: str) -> LLMSettings:
    """Settings with these repairs of this model."""
    return LLMSettings(llamacpp={"n_ctx": 256, "repairs": {str(model): repairs}})
