"""Readers that go away, or do not keep up: cases C38 and C39."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.held import until
from tests.llm.promises import Asking, hits
from tests.llm.stage import Stage, closed_at, counters
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.llm import LLMClient
from whisper_desktop.values import Progress, Reach
from whisper_desktop.wire.http import Http

MEBIBYTE = 2**20


@pytest.fixture
async def stage(
    servers: ServerFactory, step: MakeStep, asking: Asking, http: Http, dead: Backend
) -> AsyncIterator[Stage]:
    """Everything that is needed, and taken down in the end."""
    async with AsyncExitStack() as stack:
        yield Stage(servers, step, asking, http, dead, stack)


class Whatever(Exception):
    """Something goes wrong at who reads."""


async def break_out_of_the_block(client: LLMClient) -> None:
    async with client.stream("Hi") as events:
        async for event in events:
            if event.text:
                break


async def raise_out_of_the_block(client: LLMClient) -> None:
    with suppress(Whatever):
        async with client.stream("Hi") as events:
            async for event in events:
                if event.text:
                    raise Whatever


async def break_without_closing(client: LLMClient) -> None:
    async for event in client.stream("Hi"):
        if event.text:
            break


async def raise_without_closing(client: LLMClient) -> None:
    with suppress(Whatever):
        async for event in client.stream("Hi"):
            if event.text:
                raise Whatever


async def forget_it_half_read(client: LLMClient) -> None:
    stream = client.stream("Hi")
    while not (await anext(stream)).text:
        pass


async def forget_it_in_a_circle(client: LLMClient) -> None:
    stream = client.stream("Hi")
    while not (await anext(stream)).text:
        pass
    circle: list[object] = [stream]
    circle.append(circle)
    del circle, stream
    gc.collect()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage is collected when the test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def left_in_peace(stage: Stage, client: LLMClient, before: object) -> None:
    """Everything is given back, and nothing that is collected now has anything to complain about."""
    await until(lambda: counters(client, stage.http) == before)
    assert stage.witness.each_ended_once
    gc.collect()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "leave",
    [
        break_out_of_the_block,
        raise_out_of_the_block,
        break_without_closing,
        raise_without_closing,
        forget_it_half_read,
        forget_it_in_a_circle,
    ],
    ids=lambda leave: leave.__name__.replace("_", " "),
)
async def test_whoever_stops_reading_stops_the_server(
    stage: Stage, leave: Callable[[LLMClient], Awaitable[None]]
) -> None:
    """C38: within a second, without waiting for the garbage collector, and without noise."""
    server = stage.servers("openai_compatible", "--tokens", "1000", "--token-delay", "0.01")
    client = stage.client(stage.step(server))
    before = counters(client, stage.http)
    await leave(client)
    left_at = time.time()
    assert await closed_at(server, 1) - left_at <= 1
    await left_in_peace(stage, client, before)


@pytest.mark.usefixtures("no_collector")
async def test_whoever_leaves_while_two_are_asked_stops_both(stage: Stage) -> None:
    """C38: before there is any text."""
    first = stage.servers("openai_compatible", "--fault", "hang@chat")
    second = stage.servers("llama_cpp", "--prompt-seconds", "0.01", "--fault", "stall_reading:3")
    client = stage.client(stage.step(first), stage.step(second, reach=Reach.MY_NETWORK))
    before = counters(client, stage.http)

    async def leave_once_the_second_says_something() -> None:
        async for event in client.stream("Hi"):
            assert isinstance(event, Progress)
            break

    await leave_once_the_second_says_something()
    assert hits(first) == hits(second) == 1
    left_at = time.time()
    for server in (first, second):
        assert await closed_at(server, 1) - left_at <= 1
    await left_in_peace(stage, client, before)


@pytest.mark.usefixtures("no_collector")
async def test_a_stream_that_nobody_reads_asks_nobody(stage: Stage) -> None:
    """C38: whether it is entered, closed, or forgotten at once."""
    server = stage.servers("openai_compatible")
    client = stage.client(stage.step(server))
    async with client.stream("Hi"):
        pass
    await client.stream("Hi").aclose()
    client.stream("Hi")
    assert server.log("connection") == []
    assert client.shared.metrics.stats().total == 0


# --- C39 --------------------------------------------------------------------------------------------------


async def test_who_reads_slowly_gets_everything_and_holds_the_server_back(stage: Stage) -> None:
    """C39: what was not asked for yet waits at the server, not here, and nobody is taken for silent."""
    answer = " ".join(f"{number}{'x' * 16_000}" for number in range(6))
    server = stage.servers("openai_compatible", "--answer", answer, "--fault", f"flood:{24 * MEBIBYTE}")
    client = stage.asking.client(stage.step(server), deadlines=replace(QUICK, stall=0.2))
    pauses = [0.5, 0.3, 0.3]
    read = paused = 0
    tracemalloc.start()
    began_with = tracemalloc.get_traced_memory()[0]
    try:
        async with client.stream("Hi") as events:
            async for event in events:
                place = read % len(answer)
                assert answer.startswith(event.text, place), "in its order, with nothing left out"
                read += len(event.text)
                if pauses and read > paused * MEBIBYTE:
                    await asyncio.sleep(pauses.pop())
                    paused += 1
                    kept = tracemalloc.get_traced_memory()[0] - began_with - read
                    assert kept < 2 * MEBIBYTE
                    sent = [each for each in server.log("response") if each["method"] == "POST"]
                    assert sent == [], "it would have sent everything by now"
    finally:
        tracemalloc.stop()
    assert not pauses
    assert read > 24 * MEBIBYTE * 0.99
    assert read % len(answer) == 0
