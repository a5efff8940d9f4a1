"""One engine on several computers: llama.cpp's RPC workers, here two real ones on this machine."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engines.conftest import MakeEngine, gone, until
from tests.engines.reading import ASK, SHORT, read_until
from tests.engines.real_program import Program
from tests.ports import closed_port
from whisper_desktop.backends import create_backend
from whisper_desktop.engines.builds.describe import ask
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.repair import changed
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import (
    Deadlines,
    EngineState,
    ErrorKind,
    Reach,
)
from whisper_desktop.wire.http import Http

pytestmark = pytest.mark.reference_engine

CHAT = "/v1/chat/completions"
SECONDS = 8.0
HURRIED = replace(
    Deadlines(), engine_start=1.0, engine_stall=1.0, engine_watch=0.1, engine_hang=1.0, engine_hang_busy=1.0
)


class Worker(Program):
    """A `ggml-rpc-server` with one thread. `address` is what the setting names."""

    def __init__(self, server: Path, port: int, log: Path) -> None:
        self.port, self.address = port, f"127.0.0.1:{port}"
        super().__init__(server.with_name("ggml-rpc-server"), "-t", "1", "-p", str(port), log=log)

    def listens(self) -> bool:
        """Whether an engine could come."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


MakeWorker = Callable[..., Worker]


@pytest.fixture
async def split(reference: EngineSpec) -> EngineSpec:
    """The reference engine; skips where its build has no RPC."""
    assert reference.binary is not None
    if not reference.binary.with_name("ggml-rpc-server").exists():
        pytest.skip("this build of the reference engine has no RPC")
    assert "--rpc" in (await ask(reference.binary, Deadlines())).flags
    return reference


@pytest.fixture
def workers(split: EngineSpec, tmp_path: Path) -> Iterator[MakeWorker]:
    """`workers()` or `workers(port)`: one that listens. They are ended with the test."""
    made: list[Worker] = []

    def make(port: int | None = None) -> Worker:
        assert split.binary is not None
        worker = Worker(split.binary, port or closed_port(), tmp_path / f"worker-{len(made)}.txt")
        made.append(worker)
        worker.wait_until(worker.listens, "begun to listen")
        return worker

    yield make
    for worker in made:
        worker.end()


async def answer(http: Http, address: EngineAddress, tokens: int = 24) -> str:
    """What it says without chance."""
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "What can you do?"}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    reply = await http.request(
        "POST", f"{address.url}{CHAT}", allowed=Reach.THIS_MACHINE, json=body, headers=authorization(address)
    )
    said: Any = reply.json()
    return str(said["choices"][0]["message"]["content"])


# --- it works ---------------------------------------------------------------------------------------------


async def test_a_model_is_divided_among_two_workers_and_says_the_same_as_on_one_computer(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine, http: Http
) -> None:
    first, second = workers(), workers()
    together = start(replace(split, rpc=(first.address, second.address)))
    alone = start(split)
    said = await answer(http, await together.ensure_ready())
    assert len(said) >= 24
    assert said == await answer(http, await alone.ensure_ready())
    assert together.outcome is not None
    weights = {each.device: each.weights for each in together.outcome.buffers}
    assert weights[f"RPC0[{first.address}]"] > 0
    assert weights[f"RPC0[{second.address}]"] > 0
    assert together.status().warning == ""
    assert alone.outcome is not None
    assert not any(each.device.startswith("RPC") for each in alone.outcome.buffers)


async def test_workers_that_are_not_used_are_told_as_a_warning(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine
) -> None:
    engine = start(replace(split, rpc=(workers().address,), n_gpu_layers=0))
    await engine.ensure_ready()
    assert "None of the further computers is used" in engine.status().warning


async def test_a_worker_serves_the_next_engine_after_one_was_stopped_and_after_one_was_killed(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine
) -> None:
    worker = workers()
    engine = start(replace(split, rpc=(worker.address,)))
    await engine.ensure_ready()
    await engine.stop()
    await engine.ensure_ready()
    pid = engine.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await until(lambda: gone(pid), 2)
    assert (await engine.ensure_ready()).url
    assert not gone(worker.pid)


# --- workers that go --------------------------------------------------------------------------------------


async def test_a_worker_that_dies_in_the_middle_of_an_answer_is_named_and_can_be_left_out(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine, http: Http
) -> None:
    first, second = workers(), workers()
    engine = start(replace(split, rpc=(first.address, second.address)))
    backend = create_backend({"backend": "builtin"}, http=http, engine=engine)
    with pytest.raises(BackendError) as caught:
        await read_until(backend, lambda: second.send(signal.SIGKILL))
    assert caught.value.kind is ErrorKind.STREAM_CUT
    assert caught.value.title == "Another computer that helps with this model stopped working for it."
    assert [repair.change for repair in caught.value.repairs] == ["rpc=off"]
    # It starts again by itself, which cannot succeed: one of the two is gone.
    with pytest.raises(EngineError) as again:
        await engine.ensure_ready()
    assert again.value.cause == "computer_lost"
    assert second.address in again.value.title
    engine.respec(changed(engine.spec, [repair.change for repair in again.value.repairs]))
    assert (await backend.generate_text(ASK, SHORT)).text


async def test_a_worker_that_was_started_again_is_used_again_without_a_word_from_anybody(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine, http: Http
) -> None:
    worker = workers()
    engine = start(replace(split, rpc=(worker.address,)))
    said = await answer(http, await engine.ensure_ready())
    pid = engine.status().pid
    worker.end()
    workers(worker.port)
    # The engine does not notice before it needs the worker: the first question fails, and the next does not.
    with suppress(BackendError):
        await answer(http, await engine.ensure_ready())
    assert await until(lambda: engine.status().pid != pid, 5)
    assert await answer(http, await engine.ensure_ready()) == said


async def test_a_worker_that_stops_answering_in_the_middle_of_an_answer_ends_in_a_named_error(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine, http: Http
) -> None:
    worker = workers()
    engine = start(replace(split, rpc=(worker.address,)), deadlines=HURRIED)
    backend = create_backend({"backend": "builtin"}, http=http, engine=engine)
    with pytest.raises(BackendError) as caught:
        await read_until(backend, lambda: worker.send(signal.SIGSTOP))
    assert "stopped making progress" in caught.value.title
    await engine.stop()


# --- workers that are not there ---------------------------------------------------------------------------


async def test_a_worker_that_is_not_there_is_named_within_seconds_and_can_be_left_out(
    split: EngineSpec, start: MakeEngine, http: Http
) -> None:
    nobody = f"127.0.0.1:{closed_port()}"
    engine = start(replace(split, rpc=(nobody,)))
    before = time.monotonic()
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert time.monotonic() - before < SECONDS
    assert caught.value.cause == "computer_lost"
    assert nobody in caught.value.title
    assert engine.status().state is EngineState.FAILED
    engine.respec(changed(engine.spec, [repair.change for repair in caught.value.repairs]))
    assert await answer(http, await engine.ensure_ready())


async def test_a_worker_that_is_busy_with_another_engine_does_not_make_a_start_hang(
    split: EngineSpec, workers: MakeWorker, start: MakeEngine, http: Http
) -> None:
    worker = workers()
    first = start(replace(split, rpc=(worker.address,)))
    address = await first.ensure_ready()
    second = start(replace(split, rpc=(worker.address,)), deadlines=HURRIED)
    before = time.monotonic()
    with pytest.raises(EngineError):
        await second.ensure_ready()
    assert time.monotonic() - before < SECONDS
    assert second.status().state is EngineState.FAILED
    assert second.status().pid is None
    assert await answer(http, address), "the first is left in peace"


async def test_something_else_at_the_address_of_a_worker_does_not_make_a_start_hang(
    split: EngineSpec, start: MakeEngine
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine = start(replace(split, rpc=(f"127.0.0.1:{mute.getsockname()[1]}",)), deadlines=HURRIED)
        before = time.monotonic()
        with pytest.raises(EngineError):
            await engine.ensure_ready()
        assert time.monotonic() - before < SECONDS
        assert engine.status().pid is None
