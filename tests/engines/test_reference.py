"""What is known about the real llama-server: its options, how it ends, how long that takes.

The supervisor is built on these facts. A build that behaves otherwise is to be seen here, not by a person.
"""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.engines.conftest import MakeEngine, gone, until
from tests.engines.reading import read_until
from tests.engines.real_program import Program
from tests.engines.streaming import ForeignStream
from tests.ports import closed_port
from whisper_desktop.backends import create_backend
from whisper_desktop.engines import child_mode
from whisper_desktop.engines.builds.describe import ask
from whisper_desktop.engines.command import engine_flags
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.engines.supervisor import Engine
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.models.memory import CacheType, LoadMode
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import Deadlines, EngineState, Reach
from whisper_desktop.wire.http import Http

reference_engine = pytest.mark.reference_engine

LOAD_MODES: tuple[LoadMode, ...] = ("none", "mmap", "mlock", "mmap+mlock", "dio")
CACHE_TYPES: tuple[CacheType, ...] = ("f16", "q8_0")
LAYERS: tuple[int | Literal["auto"], ...] = ("auto", 0, 33)
MOMENT, STOPPED_IN = 1.0, 3.0  # seconds


# --- its options ------------------------------------------------------------------------------------------


def every_start(spec: EngineSpec) -> Iterator[EngineSpec]:
    """Each choice of a plan together with each other one."""
    for load_mode, cache_type, layers, repack, parallel in itertools.product(
        LOAD_MODES, CACHE_TYPES, LAYERS, (True, False), (1, 4)
    ):
        yield replace(
            spec,
            load_mode=load_mode,
            cache_type=cache_type,
            n_gpu_layers=layers,
            repack=repack,
            parallel=parallel,
        )


@reference_engine
async def test_it_takes_every_option_that_a_plan_can_lead_to(reference: EngineSpec) -> None:
    """`--version` comes last: it ends the program once everything before has been understood."""
    assert reference.binary is not None
    known = (await ask(reference.binary, Deadlines())).flags
    lists = [engine_flags(spec, 50_000, known) for spec in every_start(reference)]
    assert lists == [engine_flags(spec, 50_000, None) for spec in every_start(reference)], "none is left out"
    for flags in lists:
        done = await asyncio.to_thread(_understood, reference.binary, flags)
        assert done.returncode == 0, (flags, done.stderr)
    wrong = await asyncio.to_thread(_understood, reference.binary, ["-lm", "some"])
    assert wrong.returncode == 1


def _understood(binary: Path, flags: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([binary, *flags, "--version"], capture_output=True, text=True, timeout=10)


async def test_slots_cache_and_context_are_as_planned(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    planned = replace(spec, n_ctx=1024, parallel=3, cache_type="q8_0", load_mode="mmap", repack=False)
    engine = start(planned)
    props = await _get(http, await engine.ensure_ready(), "/props")
    assert (props["total_slots"], props["default_generation_settings"]["n_ctx"]) == (3, 1024)
    assert engine.outcome is not None
    assert (engine.outcome.n_ctx, engine.outcome.cache_type) == (3 * 1024, "q8_0")
    assert engine.status().warning == ""


async def test_both_engines_answer_with_the_graphics_card_left_alone(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    engine = start(replace(spec, n_gpu_layers=0))
    answer = await _chat(http, await engine.ensure_ready(), "hello")
    assert answer["usage"]["completion_tokens"] == 8
    assert any("--device none" in line for line in engine.log_tail(10**6))


async def test_each_slot_has_its_context_for_itself(spec: EngineSpec, start: MakeEngine, http: Http) -> None:
    address = await start(replace(spec, n_ctx=1024, parallel=2)).ensure_ready()
    refused = await _chat(http, address, "word " * 2000)
    assert refused["error"]["type"] == "exceed_context_size_error"
    assert refused["error"]["n_ctx"] == 1024
    answers = await asyncio.gather(*(_chat(http, address, "word " * 100) for _ in range(2)))
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [8, 8]


async def test_a_slot_that_works_is_told_as_working(spec: EngineSpec, start: MakeEngine, http: Http) -> None:
    address = await start(spec).ensure_ready()
    stream = ForeignStream(address)
    assert await asyncio.to_thread(stream.first.wait, 10)
    (slot,) = await _get(http, address, "/slots")
    assert slot["is_processing"] is True
    stream.close()

    async with asyncio.timeout(5):
        while (await _get(http, address, "/slots"))[0]["is_processing"]:
            pass


async def _get(http: Http, address: EngineAddress, path: str) -> Any:
    reply = await http.request(
        "GET", f"{address.url}{path}", allowed=Reach.THIS_MACHINE, headers=authorization(address)
    )
    assert reply.status == 200
    return reply.json()


async def _chat(http: Http, address: EngineAddress, text: str) -> Any:
    reply = await http.request(
        "POST",
        f"{address.url}/v1/chat/completions",
        allowed=Reach.THIS_MACHINE,
        json={"messages": [{"role": "user", "content": text}], "max_tokens": 8, "ignore_eos": True},
        headers=authorization(address),
    )
    return reply.json()


# --- how it ends by itself --------------------------------------------------------------------------------


Run = Callable[..., Program]


@pytest.fixture
def run(reference_llama_server: Path, tiny_model: Path, tmp_path: Path) -> Iterator[Run]:
    """`run("-c", "512")`: llama-server with the tiny model, started by hand. They are ended with the test."""
    made: list[Program] = []

    def make(*flags: str, model: Path = tiny_model, port: int | None = None) -> Program:
        shown = ("-m", str(model), "-t", "1", "--port", str(port or closed_port()))
        log = tmp_path / f"server-{len(made)}.txt"
        made.append(Program(reference_llama_server, *shown, *flags, log=log))
        return made[-1]

    yield make
    for each in made:
        each.end()


@reference_engine
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--nonsense",), "error: invalid argument: --nonsense"),
        (("-t", "many"), 'error while handling argument "-t": '),
        (("--port",), "expected value for argument"),
        (("--device", "CUDA0"), "invalid device: CUDA0"),
    ],
)
def test_an_option_that_cannot_be_used_ends_it_with_1(run: Run, flags: tuple[str, ...], words: str) -> None:
    program = run(*flags)
    assert (program.ended(), words in program.log()) == (1, True)


@reference_engine
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "failed to read magic"),
        (b"<!DOCTYPE html>", "invalid magic characters"),
        (b"GGUF", "failed to read"),
    ],
    ids=["missing", "empty", "a web page", "cut off"],
)
def test_a_model_that_cannot_be_used_ends_it_with_1(
    run: Run, tmp_path: Path, content: bytes | None, words: str
) -> None:
    model = tmp_path / "broken.gguf"
    if content is not None:
        model.write_bytes(content)
    program = run(model=model)
    assert (program.ended(), words in program.log()) == (1, True)


@reference_engine
def test_a_port_in_use_ends_it_with_1_before_it_loads_anything(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        program = run(port=other.getsockname()[1])
        assert program.ended() == 1
    assert "couldn't bind HTTP server socket" in program.log()
    assert "loaded meta data" not in program.log()


@reference_engine
def test_sigterm_while_it_loads_kills_it(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "pipe.gguf"
    os.mkfifo(model)  # which is never written to
    program = run(model=model)
    program.wait_until(lambda: "loading model" in program.log(), "begun to load")
    program.send(signal.SIGTERM)
    assert program.ended() == -signal.SIGTERM


@reference_engine
def test_sigterm_ends_an_idle_one_with_0(run: Run) -> None:
    program = run()
    program.wait_until(lambda: "listening on" in program.log(), "begun to listen")
    before = time.monotonic()
    program.send(signal.SIGTERM)
    assert program.ended() == 0
    assert time.monotonic() - before < MOMENT


@reference_engine
def test_told_twice_it_ends_although_a_stream_is_read(run: Run) -> None:
    port = closed_port()
    program = run("-c", "131072", "--sse-ping-interval", "30", port=port)
    program.wait_until(lambda: "listening on" in program.log(), "begun to listen")
    stream = ForeignStream(EngineAddress(f"http://127.0.0.1:{port}", None, "tiny"))
    assert stream.first.wait(10)
    try:
        # What the first one does is chance: mostly it waits for the stream, it may hang (see
        # `engines.child_mode`), and now and then it ends.
        program.send(signal.SIGTERM)
        time.sleep(0.3)
        program.send(signal.SIGTERM)
        assert program.ended() in (0, 1)
    finally:
        stream.close()


# --- how we end it ----------------------------------------------------------------------------------------


async def _stopped(engine: Engine) -> float:
    """How many seconds a stop takes after which nothing is left."""
    pid = engine.status().pid
    assert pid is not None
    before = time.monotonic()
    await engine.stop()
    seconds = time.monotonic() - before
    assert gone(pid)
    assert engine.status().state is EngineState.STOPPED
    assert list(run_dir().glob("engine-*")) == []
    return seconds


async def test_a_stop_while_our_own_client_reads_is_told_to_it(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    engine = start(spec)
    backend = create_backend({"backend": "builtin"}, http=http, engine=engine)
    reads = asyncio.Event()
    reading = asyncio.create_task(read_until(backend, reads.set))
    await reads.wait()
    assert await _stopped(engine) < STOPPED_IN
    with pytest.raises(BackendError, match="was stopped"):
        await reading


async def test_a_stop_while_many_other_programs_read_is_not_slower(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(replace(spec, n_ctx=32_768, parallel=3))
    address = await engine.ensure_ready()
    streams = [ForeignStream(address) for _ in range(3)]
    for stream in streams:
        assert await asyncio.to_thread(stream.first.wait, 10)
    assert await _stopped(engine) < STOPPED_IN
    for stream in streams:
        stream.close()


async def test_a_stop_while_it_loads_leaves_nothing(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    model = tmp_path / "pipe.gguf"
    os.mkfifo(model)
    # The person's own option wins: our own check of the file would wait for it, too.
    engine = start(replace(spec, extra_args=("-m", str(model))))
    starting = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: engine.status().pid is not None, 5)
    assert await until(lambda: any("load" in line for line in engine.log_tail(50)), 5)
    assert await _stopped(engine) < STOPPED_IN
    with pytest.raises(EngineError) as caught:
        await starting
    assert caught.value.cause == "stopped"


@reference_engine
async def test_this_build_speaks_child_mode_and_ends_by_its_command(
    reference: EngineSpec, start: MakeEngine
) -> None:
    assert reference.binary is not None
    assert child_mode.is_spoken_by(reference.binary)
    engine = start(reference)
    await engine.ensure_ready()
    assert await _stopped(engine) < MOMENT
    assert any(child_mode.LEAVING in line for line in engine.log_tail(50))
