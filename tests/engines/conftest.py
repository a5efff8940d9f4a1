"""What the engine tests share: a tiny real model, both real engines, a scripted one, a look at processes."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.streaming import ForeignStream
from tests.engines.tiny_model import CONTEXT, write_tiny_model
from tests.reference_engine import missing
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine, make_engine
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineStatus
from whisper_desktop.wire.http import Http

FAKE_SERVER = Path(__file__).with_name("fake_llama_server.py")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model that answers noise; see `tiny_model.py`."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def builtin(tiny_model: Path) -> EngineSpec:
    """The tiny model on the built-in engine."""
    return EngineSpec(tiny_model, "tiny", n_ctx=CONTEXT, threads=1)


@pytest.fixture
def reference(builtin: EngineSpec) -> EngineSpec:
    """The tiny model on the reference llama-server; skips where there is none."""
    if reason := missing():
        pytest.skip(reason)
    return replace(builtin, binary=Path(os.environ["WHISPER_TEST_LLAMA_SERVER"]))


@pytest.fixture(
    params=["builtin", pytest.param("reference", marks=pytest.mark.reference_engine)],
)
def spec(request: pytest.FixtureRequest) -> EngineSpec:
    """Each of the two real engines."""
    found: EngineSpec = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def fake_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripted llama-server as one program. The words in its comment say that it knows child mode."""
    program = tmp_path_factory.mktemp("fake") / "llama-server"
    program.write_text(
        "#!/bin/sh\n"
        "# LLAMA_SERVER_ROUTER_PORT cmd_child_to_router:state: cmd_router_to_child:exit\n"
        f'exec "{sys.executable}" -I -S "{FAKE_SERVER}" "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def scripted(builtin: EngineSpec, fake_server: Path) -> Callable[..., EngineSpec]:
    """`scripted("ignore-term")`: a program that looks like a llama-server and misbehaves as told."""

    def make(*behaviour: str) -> EngineSpec:
        return replace(builtin, binary=fake_server, extra_args=("--behave", ",".join(behaviour)))

    return make


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


MakeEngine = Callable[..., Engine]


@pytest.fixture
async def start(http: Http) -> AsyncIterator[MakeEngine]:
    """Makes engines and stops them when the test ends. `start(spec, seen=[])` collects their states."""
    engines: list[Engine] = []

    def make(
        spec: EngineSpec,
        *,
        seen: list[EngineStatus] | None = None,
        deadlines: Deadlines | None = None,
        rest: RestPolicy = RestPolicy(),  # noqa: B008 - frozen
    ) -> Engine:
        engine = make_engine(
            spec,
            http=http,
            deadlines=deadlines,
            on_change=None if seen is None else seen.append,
            rest_policy=rest,
            chance=lambda: 0.5,
        )
        engines.append(engine)
        return engine

    yield make
    await asyncio.gather(*(engine.stop() for engine in engines))


def gone(pid: int) -> bool:
    """Whether the process has ended. One that nobody reaps (state Z) has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - other processes send us no events
                await asyncio.sleep(0.01)
            return True
    return condition()


async def cut_off(engine: Engine, meanwhile: Callable[[int], object]) -> EngineError:
    """What one who reads an answer hears when the process ends; `meanwhile` gets its id once it writes."""
    lease = engine.lease()
    stream = None
    try:
        async with lease as address:
            stream = ForeignStream(address)
            assert await asyncio.to_thread(stream.first.wait, 10)
            pid = engine.status().pid
            assert pid is not None
            meanwhile(pid)
            with lease.interruptible():
                await asyncio.sleep(10)
    except EngineError as error:
        return error
    finally:
        if stream is not None:
            stream.close()
    raise AssertionError("nothing ended it")
