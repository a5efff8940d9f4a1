"""Engines of the app over a longer time: repaired step by step, taking turns, planned anew, ended with it."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from tests.engines.conftest import gone, until
from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from whisper_desktop.app import App
from whisper_desktop.app.engine_host import EngineHost
from whisper_desktop.engines.readiness import one_token
from whisper_desktop.errors import EngineError, LLMConnectionError
from whisper_desktop.machine import detect_resources
from whisper_desktop.settings import LLMSettings, remember
from whisper_desktop.settings.paths import CHOICES_FILE, config_dir, run_dir
from whisper_desktop.values import (
    GIB,
    AnswerFinished,
    Deadlines,
    EngineState,
    EngineStatus,
    Message,
    ResourceInfo,
    Role,
    TextDelta,
)
from whisper_desktop.wire.http import Http

FAKE_SERVER = Path(__file__).parents[1] / "engines" / "fake_llama_server.py"
HELLO = [Message(Role.USER, "Hello")]
S = EngineState


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small models, each with a file of its own."""
    folder = tmp_path_factory.mktemp("models")
    return write_tiny_model(folder / "one.gguf"), write_tiny_model(folder / "other.gguf")


@asynccontextmanager
async def running(model: Path, n_ctx: int = 256) -> AsyncIterator[App]:
    """An app that has only its own engine, with this model."""
    closed = {"llm.lmstudio.port": closed_port(), "llm.llamacpp.port": closed_port()}
    app = App(
        overrides={"llm.fallback_chain": ("builtin",), "llm.llamacpp.n_ctx": n_ctx, **closed},
        env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{closed_port()}"},
        deadlines=Deadlines(engine_restart=0.02),
    )
    remember("llm.gguf_model_path", str(model))
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def program(path: Path, *lines: str, behave: str = "no-fault") -> Path:
    """The scripted llama-server, with `lines` of Python before it."""
    head = ["#!" + sys.executable, "import os, sys", *lines]
    serve = f"os.execv(sys.executable, [sys.executable, '-I', '-S', {str(FAKE_SERVER)!r}, *sys.argv[1:]"
    path.write_text("\n".join([*head, f"{serve}, '--behave', {behave!r}])", ""]))
    path.chmod(0o755)
    return path


# --- repairs ----------------------------------------------------------------------------------------------


async def test_an_option_that_the_engine_does_not_know_is_left_out_by_a_repair(
    models: tuple[Path, Path],
) -> None:
    remember("llm.llamacpp.extra_args", ["--no-such-option", "5", "-b", "64"])
    async with running(models[0]) as app:
        with pytest.raises(LLMConnectionError, match="option --no-such-option") as caught:
            await ask(app)
        assert "llm.llamacpp.extra_args" in str(caught.value)
        assert ("remove_option", "--no-such-option=off") in [
            (each.id, each.change) for each in caught.value.repairs
        ]
        await app.repair_engine("remove_option")
        assert await ask(app)
        status = app.engine_status()
        assert status is not None
        assert status.pid is not None
        words = psutil.Process(status.pid).cmdline()
        assert "--no-such-option" not in words
        assert words[-2:] == ["-b", "64"]


async def test_a_repair_that_is_not_enough_is_followed_by_the_next_one_and_both_are_remembered(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    """S14: memory is refused, and again after the first repair; each is accepted once, for one model."""
    model, other = models
    starts = tmp_path / "starts"
    short = program(
        tmp_path / "llama-server",
        "if '--help' in sys.argv: print('-c, --ctx-size N  size\\n-ctk, --cache-type-k TYPE  type')",
        "if '--port' in sys.argv:",
        f"    open({str(starts)!r}, 'a').write('x')",
        "    context = int(sys.argv[sys.argv.index('-c') + 1])",
        "    if context > 2**21 or 'q8_0' not in sys.argv:",
        "        print('E alloc_tensor_range: failed to allocate CPU buffer of size 512000000')",
        "        sys.exit(1)",
    )
    remember("llm.llamacpp.server_path", str(short))

    async def refused(app: App) -> list[str]:
        with pytest.raises(EngineError) as caught:
            await app.start_engine()
        assert caught.value.cause == "out_of_memory"
        return [each.id for each in caught.value.repairs]

    async with running(model, n_ctx=2**22) as app:
        assert await refused(app) == ["smaller_context", "quantized_cache"]
        await app.repair_engine("smaller_context")
        assert "quantized_cache" in await refused(app)
        await app.repair_engine("quantized_cache")
        assert (await app.start_engine()).state is S.READY
        assert starts.read_text() == "xxx", "nothing is tried that nobody asked for"
        kept = yaml.safe_load((config_dir() / CHOICES_FILE).read_text("utf-8"))["llm"]["llamacpp"]["repairs"]
        assert kept == {str(model): ["n_ctx=2097152", "cache_type=q8_0"]}
    async with running(model, n_ctx=2**22) as app:
        assert (await app.start_engine()).state is S.READY
    async with running(other, n_ctx=2**22) as app:
        assert await refused(app) == ["smaller_context", "quantized_cache"]


async def ask(app: App) -> str:
    """The whole answer. Raises what the app does."""
    text = ""
    async for event in app.stream(HELLO):
        text = event.completion.text if isinstance(event, AnswerFinished) else text
    return text


# --- plans and turns --------------------------------------------------------------------------------------


class Computer:
    """A computer with as much free memory as the test says; counts how often it is looked at."""

    def __init__(self) -> None:
        self.free = 0.0  # GiB
        self.looks = 0
        self._real = detect_resources()

    def __call__(self) -> ResourceInfo:
        self.looks += 1
        return replace(
            self._real, ram_total_bytes=32 * GIB, ram_available_bytes=int(self.free * GIB), gpus=()
        )


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


MakeHost = Callable[..., EngineHost]


@pytest.fixture
async def host_of(http: Http) -> AsyncIterator[MakeHost]:
    """Makes the engines of an app, and ends them with the test."""
    hosts: list[EngineHost] = []

    def make(
        detect: Callable[[], ResourceInfo] = detect_resources,
        on_change: Callable[[EngineStatus], None] = lambda _: None,
        warned: list[str] | None = None,
    ) -> EngineHost:
        warn = (warned if warned is not None else []).append
        hosts.append(
            EngineHost(http=http, deadlines=Deadlines(), detect=detect, on_change=on_change, warn=warn)
        )
        return hosts[-1]

    yield make
    for host in hosts:
        await host.stop()


async def test_what_does_not_run_is_planned_from_the_memory_that_is_free_when_it_starts(
    models: tuple[Path, Path], host_of: MakeHost
) -> None:
    model, computer, llm = models[0], Computer(), LLMSettings()
    host = host_of(computer)
    computer.free = 0.5
    short = (await host.builtin(model, llm)).spec
    computer.free = 20
    engine = await host.builtin(model, llm)
    assert engine.spec.n_ctx > short.n_ctx
    await engine.ensure_ready()

    computer.free, looks = 0.5, computer.looks
    assert (await host.builtin(model, llm)).spec == engine.spec
    assert computer.looks == looks, "one that runs is not planned again"
    pid = engine.status().pid
    await engine.rest("Resting.")
    long = engine.spec
    assert (await host.builtin(model, llm)).spec == long, "it still fits, and conversations have filled it"
    assert computer.looks == looks + 1
    await engine.ensure_ready()
    assert engine.status().pid != pid


async def test_a_shorter_context_than_before_is_told_once(
    models: tuple[Path, Path], host_of: MakeHost
) -> None:
    computer, warned = Computer(), list[str]()
    host = host_of(computer, warned=warned)
    computer.free = 20
    long = (await host.builtin(models[0], LLMSettings())).spec.n_ctx
    computer.free = 0.01
    for _ in range(2):
        assert (await host.builtin(models[0], LLMSettings())).spec.n_ctx < long
    assert len(warned) == 1


async def test_one_that_failed_is_neither_planned_nor_tried_again_by_asking(
    models: tuple[Path, Path], host_of: MakeHost
) -> None:
    computer, seen = Computer(), list[EngineStatus]()
    computer.free = 20
    host = host_of(computer, on_change=seen.append)
    llm = LLMSettings(llamacpp={"extra_args": "--no-such-option"})
    for free in (20, 0.5, 10):
        computer.free = free
        with pytest.raises(EngineError):
            await (await host.builtin(models[0], llm)).ensure_ready()
    assert computer.looks == 1
    assert [status.state for status in seen] == [S.STARTING, S.FAILED]


async def test_two_models_that_take_turns_are_never_both_in_memory(
    models: tuple[Path, Path], host_of: MakeHost, http: Http
) -> None:
    """S27: each question is answered by its own model, and the other's process is gone before it starts."""
    started: list[int] = []

    def changed(status: EngineStatus) -> None:
        if status.state is S.STARTING:  # nothing has been started yet
            assert all(gone(pid) for pid in started)
        if status.state is S.READY and status.pid is not None:
            started.append(status.pid)

    host = host_of(on_change=changed)
    llm = LLMSettings(llamacpp={"n_ctx": 256})
    mistakes: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mistakes.append(context))
    for number in range(8):
        engine = await host.builtin(models[number % 2], llm)
        async with engine.lease() as address:
            assert address.model == models[number % 2].stem
            await one_token(http, engine.spec, address, 10)
    assert mistakes == []
    assert len(set(started)) == 8


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behave", ["hang", "ignore-term"])
async def test_the_app_ends_within_three_seconds_whatever_its_engines_do(
    behave: str, models: tuple[Path, Path], tmp_path: Path
) -> None:
    """S34: the guide's engine writes, the other one loads, or writes and does not hear."""
    remember("llm.llamacpp.server_path", str(program(tmp_path / "llama-server", behave=behave)))
    others = pids()
    async with running(models[0]) as app:
        texts = {True: asyncio.Event(), False: asyncio.Event()}

        async def read(guide: bool) -> None:
            while True:  # an answer may end while the other engine starts
                async with aclosing(app.stream(HELLO, guide=guide)) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            texts[guide].set()

        reading = [asyncio.create_task(read(guide)) for guide in (True, False)]
        async with asyncio.timeout(20):
            await texts[True].wait()
            if behave == "ignore-term":
                await texts[False].wait()
        assert await until(lambda: len(list(run_dir().glob("engine-*"))) == 2, 10)
        pids_before, began = set(pids()).difference(others), time.monotonic()
        assert len(pids_before) == 2
        await app.stop()
        assert time.monotonic() - began < 3
        assert all(gone(pid) for pid in pids_before)
        assert list(run_dir().glob("engine-*")) == []
        for task in reading:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def pids() -> list[int]:
    """The processes that we have started and that live."""
    return [child.pid for child in psutil.Process().children() if not gone(child.pid)]
