"""Answers that nobody wants any more: case C37."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.llm.conftest import MakeStep
from tests.llm.held import HoldingServer, Question, holding_server, until
from tests.llm.promises import Asking, Clock, hits, state
from tests.llm.stage import TIMES, Stage, closed_at, counters
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.breaker import State
from whisper_desktop.values import AttemptFailed, Phase, Progress, Reach
from whisper_desktop.wire.http import Http

SAID = "You said: Hi"


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


@pytest.fixture
async def stage(
    servers: ServerFactory, step: MakeStep, asking: Asking, http: Http, dead: Backend
) -> AsyncIterator[Stage]:
    """Everything that is needed, and taken down in the end."""
    async with AsyncExitStack() as stack:
        yield Stage(servers, step, asking, http, dead, stack)


async def waiting_for_a_place(stage: Stage) -> Held:
    """One other is answered, one other waits."""
    server = stage.servers("openai_compatible", "--fault", "hang@chat")
    client = stage.client(stage.step(server), at_once=1)
    others = [Question(client, "first"), Question(client, "second")]
    await until(lambda: hits(server) == 1 and client.shared.limiter.waiting == 1)
    queued = Progress(Phase.QUEUED, ahead=1, server_name="OpenAI-compatible server")
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
    loading = Progress(Phase.LOADING, server_name="llama.cpp")
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
            await until(lambda: stage.http.open_sockets <= sockets)  # noqa: B023 (awaited here)
            assert time.time() - cancelled_at <= tolerance(), cancel
        for server in held.closed:
            assert await closed_at(server, number) - cancelled_at <= tolerance(), cancel
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
