"""Answers that nobody wants any more, or not as fast as they come: cases C37 to C39."""

import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.held import HoldingServer, Question, Witness, client_tasks, holding_server, until
from tests.llm.promises import TOLERANCE_S, Asking, Clock, hits, state
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.llm import LLMClient, Shared
from whisper_desktop.llm.breaker import State
from whisper_desktop.values import AttemptFailed, Phase, Progress, Reach
from whisper_desktop.wire.http import Http

# What a test stops is not over by itself before.
TIMES = replace(QUICK, loading_poll=60, retry_pause=60, retry_after_most=60, drain=60, hedge=0.05)
SAID = "You said: Hi"
MEBIBYTE = 2**20


# --- C37 --------------------------------------------------------------------------------------------------


@dataclass
class Held:
    """A chain that is held at one point.

    `reached` returns when the question is there, for the so many-th time; `closed` are the servers that are
    answering it then, `healed` is the one that is told to answer in the end. `keeps` says that no request is
    under way then, so that its connection is kept for the next one.
    """

    client: LLMClient
    reached: Callable[[Question, int], Awaitable[object]]
    closed: Sequence[RunningServer | HoldingServer] = ()
    healed: RunningServer | None = None
    text: str = "Hi"
    others: Sequence[Question] = ()
    keeps: bool = False


@dataclass
class Stage:
    """What a chain is made of."""

    servers: ServerFactory
    step: MakeStep
    asking: Asking
    http: Http
    dead: Backend
    stack: AsyncExitStack
    witness: Witness = field(default_factory=Witness)

    def client(self, *steps: Backend, at_once: int = 10, hedge: float = TIMES.hedge) -> LLMClient:
        """A client whose attempts are witnessed."""
        shared = Shared(replace(TIMES, hedge=hedge), at_once=at_once, hooks=[self.witness])
        return self.asking.client(*steps, shared=shared, reach="my_network")


@pytest.fixture
async def stage(
    servers: ServerFactory, step: MakeStep, asking: Asking, http: Http, dead: Backend
) -> AsyncIterator[Stage]:
    """Everything that is needed, and taken down in the end."""
    async with AsyncExitStack() as stack:
        yield Stage(servers, step, asking, http, dead, stack)


def counters(client: LLMClient, http: Http) -> tuple[object, ...]:
    """What has to be as before."""
    limiter = client.shared.limiter
    return (
        limiter.active,
        limiter.waiting,
        len(client.shared.metrics.active()),
        http.under_way,
        client_tasks(),
    )


async def closed_at(server: RunningServer | HoldingServer, number: int) -> float:
    """When a server saw the so many-th client leave."""
    if isinstance(server, HoldingServer):
        return await server.closed_at()
    await until(lambda: len(server.log("disconnect")) >= number)
    return float(server.log("disconnect")[number - 1]["time"])


async def waiting_for_a_place(stage: Stage) -> Held:
    """One other is answered, one other waits."""
    server = stage.servers("openai_compatible", "--fault", "hang@chat")
    client = stage.client(stage.step(server), at_once=1)
    others = [Question(client, "first"), Question(client, "second")]
    await until(lambda: hits(server) == 1 and client.shared.limiter.waiting == 1)
    queued = Progress(Phase.QUEUED, ahead=1)
    return Held(
        client,
        lambda question, _: question.until(lambda: queued in question.events),
        (),
        server,
        others=others,
    )


async def connecting(stage: Stage) -> Held:
    """The server does not let it in."""
    full = stage.servers("impostor", "--mode", "syn_backlog")
    client = stage.client(stage.step(full, "openai_compatible", model="m"))
    return Held(client, lambda question, _: until(lambda: stage.http.open_sockets == 1))


async def sending_a_large_body(stage: Stage) -> Held:
    """The server takes no more than the head."""
    server = await stage.stack.enter_async_context(holding_server("body"))
    client = stage.client(server.backend(stage.http, TIMES))
    return Held(
        client, lambda _, number: until(lambda: server.held == number), (server,), text="word " * 2**21
    )


async def waiting_for_headers(stage: Stage) -> Held:
    server = stage.servers("openai_compatible", "--fault", "hang@chat")
    client = stage.client(stage.step(server))
    return Held(client, lambda _, number: until(lambda: hits(server) == number), (server,), server)


async def before_the_first_token(stage: Stage) -> Held:
    """The server reads the prompt, and says so twice."""
    server = stage.servers("llama_cpp", "--prompt-seconds", "0.01", "--fault", "stall_reading:3")
    client = stage.client(stage.step(server))
    return Held(client, lambda question, _: question.until(lambda: is_read(question)), (server,), server)


async def in_the_middle_of_the_answer(stage: Stage) -> Held:
    server = stage.servers("openai_compatible", "--tokens", "1000", "--token-delay", "0.01")
    client = stage.client(stage.step(server))
    return Held(client, lambda question, _: question.until(lambda: len(question.text.split()) > 3), (server,))


async def while_a_model_loads(stage: Stage) -> Held:
    server = stage.servers("llama_cpp", "--fault", "loading:60")
    client = stage.client(stage.step(server))
    loading = Progress(Phase.LOADING)
    return Held(
        client, lambda question, _: question.until(lambda: loading in question.events), (), server, keeps=True
    )


async def before_a_second_try(stage: Stage) -> Held:
    server = stage.servers("openai_compatible", "--fault", "error_500")
    client = stage.client(stage.step(server))
    return Held(
        client, lambda question, _: question.until(lambda: has_failed(question)), (), server, keeps=True
    )


async def on_the_way_to_the_next_one(stage: Stage) -> Held:
    """The first one has failed; the second one is asked for its models."""
    second = stage.servers("openai_compatible", "--fault", "hang@/v1/models")
    client = stage.client(stage.dead, stage.step(second))

    async def reached(question: Question, number: int) -> None:
        await question.until(lambda: has_failed(question))
        await until(lambda: len(second.requests("/v1/models")) == number)

    return Held(client, reached, (second,), second)


async def in_the_probe_of_a_half_open_breaker(stage: Stage) -> Held:
    server = stage.servers("openai_compatible", "--fault", "html_200")
    backend, second = stage.step(server), stage.step(stage.servers("ollama"))
    client = stage.client(backend, second, hedge=60)
    clock = Clock(client)
    await stage.asking.ask(client)
    assert state(client, backend) is State.OPEN
    server.set_fault("hang", on="chat")
    clock.ahead = TIMES.not_an_llm * 2

    async def reached(_: Question, number: int) -> None:
        await until(lambda: hits(server) == 1 + number)
        assert state(client, backend) is State.HALF_OPEN

    return Held(client, reached, (server,), server)


async def in_a_race(stage: Stage) -> Held:
    """Both have been asked."""
    both = [stage.servers("openai_compatible", "--fault", "hang@chat") for _ in range(2)]
    client = stage.client(stage.step(both[0]), stage.step(both[1], reach=Reach.MY_NETWORK))

    async def reached(_: Question, number: int) -> None:
        await until(lambda: [hits(server) for server in both] == [number, number])

    return Held(client, reached, both, both[0])


async def after_the_last_word(stage: Stage) -> Held:
    """The server has said that the answer is complete, and does not close."""
    server = await stage.stack.enter_async_context(holding_server("end"))
    client = stage.client(server.backend(stage.http, TIMES))
    return Held(client, lambda question, _: question.until(lambda: question.text == "Fine."), (server,))


def is_read(question: Question) -> bool:
    return any(isinstance(event, Progress) and event.phase is Phase.READING for event in question.events)


def has_failed(question: Question) -> bool:
    return any(isinstance(event, AttemptFailed) for event in question.events)


async def once(question: Question) -> None:
    question.task.cancel()


async def twice(question: Question) -> None:
    question.task.cancel()
    question.task.cancel()


async def without_mercy(question: Question) -> None:
    """Again at every turn of the loop, so that whatever is cleared up is cancelled, too."""
    while not question.task.done():
        question.task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "point",
    [
        waiting_for_a_place,
        pytest.param(
            connecting,
            marks=pytest.mark.skipif(sys.platform == "win32", reason="its kernel refuses where others drop"),
        ),
        sending_a_large_body,
        waiting_for_headers,
        before_the_first_token,
        in_the_middle_of_the_answer,
        while_a_model_loads,
        before_a_second_try,
        on_the_way_to_the_next_one,
        in_the_probe_of_a_half_open_breaker,
        in_a_race,
        after_the_last_word,
    ],
    ids=lambda point: point.__name__.replace("_", " "),
)
async def test_an_answer_can_be_cancelled_wherever_it_is(
    stage: Stage, point: Callable[[Stage], Awaitable[Held]]
) -> None:
    """C37: the connection is closed, every counter is back where it was, guests are told once, and whoever
    asks next is answered; also where it is cancelled again while it clears up.
    """
    held = await point(stage)
    for number, cancel in enumerate((once, twice, without_mercy), 1):
        before, sockets = counters(held.client, stage.http), stage.http.open_sockets
        question = Question(held.client, held.text)
        await held.reached(question, number)
        cancelled_at = time.time()
        await cancel(question)
        assert await question.ended(), cancel
        assert counters(held.client, stage.http) == before, cancel
        if not held.keeps:
            async with asyncio.timeout(TOLERANCE_S):
                await until(lambda: stage.http.open_sockets <= sockets)  # noqa: B023 (awaited here)
        for server in held.closed:
            assert await closed_at(server, number) - cancelled_at <= TOLERANCE_S, cancel
    for other in held.others:
        other.task.cancel()
        assert await other.ended()
    assert stage.witness.each_ended_once
    if held.healed is not None:
        held.healed.set_fault()
        assert (await stage.asking.ask(held.client)).text == SAID


@pytest.mark.parametrize("chain", ["alone", "after one that fails", "side by side"])
@pytest.mark.parametrize("cancel", [once, without_mercy])
async def test_there_is_no_wrong_moment_to_cancel(
    stage: Stage, chain: str, cancel: Callable[[Question], Awaitable[None]]
) -> None:
    """C37: at any turn of the loop between question and answer, also where two begin to answer at once."""
    near, far = [await stage.stack.enter_async_context(holding_server()) for _ in range(2)]
    answering = near.backend(stage.http, TIMES)
    beside = far.backend(stage.http, TIMES, Reach.MY_NETWORK)
    steps = {
        "alone": [answering],
        "after one that fails": [stage.dead, answering],
        "side by side": [answering, beside],
    }
    client = stage.client(*steps[chain], hedge=0.0)
    turns = answered = 0
    while answered < 5:
        before = counters(client, stage.http)
        question = Question(client)
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancel(question)
        answered += not await question.ended()
        assert counters(client, stage.http) == before, turns
        assert stage.witness.each_ended_once, turns
        turns += 1


# --- C38 --------------------------------------------------------------------------------------------------


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
