"""The chain under everything at once: a thousand stopped answers (C37), a thousand in a batch, and a soak.

What a run draws comes from one seed, which a failure prints; WHISPER_TEST_SEED repeats it. The soak lasts
WHISPER_CHAOS_SECONDS.
"""

import asyncio
import gc
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median

import psutil
import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.held import Question, Witness, client_tasks, until
from tests.llm.promises import Asking
from tests.servers.answers import count_prompt_tokens
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.errors import WhisperError
from whisper_desktop.llm import InferenceEngine, LLMClient, Shared
from whisper_desktop.values import AnswerFinished, AnswerRestarted, Completion, Reach

pytestmark = [pytest.mark.chaos, pytest.mark.random_runs]

SOAK_S = float(os.environ.get("WHISPER_CHAOS_SECONDS") or 15)
LEAST_ROUNDS = 3  # also on a machine so busy that they take longer than the soak lasts: one for each third
SEED = int(os.environ.get("WHISPER_TEST_SEED") or random.SystemRandom().getrandbits(32))

HASTY = replace(
    QUICK,
    first_token=0.3,
    progress_grace=0.3,
    no_progress=1,
    stall=0.3,
    stall_cloud=0.3,
    hedge=0.02,
    hook=5,  # on a loop that is so busy, a quarter of a second is no sign of a hook that hangs
    retry_after_most=0.1,
    breaker_local=0.1,
    breaker_local_most=0.3,
    breaker_far=0.1,
    breaker_far_most=0.3,
)
AT_A_TIME = 25
WORDS = 12
WHOLE = " ".join(f"word{number}" for number in range(WORDS))
LONGEST_S = 0.08  # in which an answer is stopped; a whole one takes about half of that
SPEAKS = ("--tokens", str(WORDS), "--token-delay", "0.002")
FLAKY = (
    "error_500~3",
    "busy_503~3",
    "rate_429:0~3",
    "reset_before_headers~3",
    "close_before_headers~3",
    "hang_headers~3",
    "stall_mid_stream:3~3",
    "die_mid_stream:3~3",
    "cut_mid_stream:5~3",
    "error_mid_stream:4~3",
    "empty_answer~3",
)
GROWS_BY = 0.05


@pytest.fixture
def chance() -> random.Random:
    """What is drawn."""
    print(f"WHISPER_TEST_SEED={SEED}")
    return random.Random(SEED)


class World:
    """Three servers, two of which are flaky, behind one client."""

    def __init__(self, servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
        faults = [option for fault in FLAKY for option in ("--fault", fault)]
        self.servers = [
            servers("openai_compatible", *SPEAKS, *faults),
            servers("llama_cpp", *SPEAKS, *faults),
            servers("openai_compatible", *SPEAKS),
        ]
        reaches = (Reach.THIS_MACHINE, Reach.MY_NETWORK, Reach.MY_NETWORK)
        steps = [step(server, reach=reach) for server, reach in zip(self.servers, reaches, strict=True)]
        self.witness = Witness()
        self.http = asking.http
        self.client = asking.client(
            *steps,
            shared=Shared(HASTY, at_once=16, hooks=[self.witness]),
            reach="my_network",
            on_interruption="restart",
        )
        self._tasks = client_tasks()

    async def stops(self, chance: random.Random, count: int) -> None:
        """So many questions, some at a time, each of which is stopped in a way and at a moment by chance."""

        async def some() -> None:
            for _ in range(count // AT_A_TIME):
                await chance.choice(WAYS)(self.client, chance.uniform(0, LONGEST_S))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(some())
        await until(lambda: self.at_rest)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        limiter = self.client.shared.limiter
        return (
            (limiter.active, limiter.waiting, self.http.under_way) == (0, 0, 0)
            and self.client.shared.metrics.active() == ()
            and client_tasks() == self._tasks
        )

    @property
    def servers_at_rest(self) -> bool:
        """Whether every request that a server saw has ended there, too."""
        return all(
            len(server.log("request")) == len(server.log("response")) + len(server.log("disconnect"))
            for server in self.servers
        )


# --- ways to stop -----------------------------------------------------------------------------------------


async def read_it(client: LLMClient, seconds: float) -> None:
    """To its end, and it is whole."""
    with suppress(WhisperError):
        assert (await client.chat_completion("Hi")).text == WHOLE


async def cancel_it(client: LLMClient, seconds: float) -> None:
    question = Question(client)
    await asyncio.wait({question.task}, timeout=seconds)
    question.task.cancel()
    await ended(question)


async def cancel_it_again_and_again(client: LLMClient, seconds: float) -> None:
    question = Question(client)
    await asyncio.wait({question.task}, timeout=seconds)
    while not question.task.done():
        question.task.cancel()
        await asyncio.sleep(0)
    await ended(question)


async def run_out_of_time(client: LLMClient, seconds: float) -> None:
    with suppress(WhisperError):
        assert (await client.chat_completion("Hi", timeout=seconds + 0.001)).text == WHOLE


async def give_it_no_time(client: LLMClient, seconds: float) -> None:
    with suppress(WhisperError, TimeoutError):
        async with asyncio.timeout(seconds):
            await client.chat_completion("Hi")


async def break_off(client: LLMClient, seconds: float) -> None:
    with suppress(WhisperError):
        async with client.stream("Hi") as events:
            async for event in events:
                if event.text and len(event.text) > seconds * 100:
                    break


async def forget_it(client: LLMClient, seconds: float) -> None:
    with suppress(WhisperError):
        async for event in client.stream("Hi"):
            if event.text:
                break


WAYS: Sequence[Callable[[LLMClient, float], Awaitable[None]]] = (
    read_it,
    cancel_it,
    cancel_it_again_and_again,
    run_out_of_time,
    give_it_no_time,
    break_off,
    forget_it,
)


async def ended(question: Question) -> None:
    """What was read before it was stopped is a beginning of the answer, or all of it."""
    if await question.ended():
        return
    if question.task.exception() is None:
        shown = ""
        for event in question.events:
            shown = "" if isinstance(event, AnswerRestarted) else shown + event.text
        assert shown == WHOLE
        assert isinstance(question.events[-1], AnswerFinished)
    else:
        assert isinstance(question.task.exception(), WhisperError)


async def test_a_thousand_answers_that_are_stopped_anywhere_leave_nothing_behind(
    servers: ServerFactory, step: MakeStep, asking: Asking, chance: random.Random
) -> None:
    """C37, a thousand times: while servers fail, two are asked side by side, and others wait for a place."""
    world = World(servers, step, asking)
    await world.stops(chance, 1000)
    assert world.witness.each_ended_once
    figures = world.client.shared.stats()
    assert figures.total == 1000
    assert figures.answered + figures.cancelled + figures.failed + figures.interrupted == 1000
    assert min(figures.answered, figures.cancelled, figures.restarts) > 0
    await until(lambda: world.servers_at_rest)


# --- a batch ----------------------------------------------------------------------------------------------


async def test_a_thousand_in_a_batch_are_each_answered_once_and_in_order(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """Where one of twenty fails: none is lost, none doubled, and what they used is what the servers say."""
    faults = ("error_500", "busy_503", "reset_before_headers", "die_mid_stream:2", "cut_mid_stream:2")
    flaky = servers("openai_compatible", *(part for fault in faults for part in ("--fault", f"{fault}~1")))
    healthy = servers("openai_compatible")
    # Three faults in a row, which chance may bring, keep it out for a moment and not for the whole batch.
    forgiving = replace(QUICK, breaker_local=0.01, breaker_local_most=0.02)
    client = asking.client(
        step(flaky),
        step(healthy),
        shared=Shared(forgiving, at_once=10),
        on_interruption="restart",
    )
    # With it, a thousand tasks that begin at once keep the loop busy for longer than a connection may take.
    asyncio.get_running_loop().set_debug(False)
    prompts = [f"number {number}" + " and so on" * (number % 4) for number in range(1000)]
    results = await InferenceEngine(client).generate_batch(prompts)

    answers = [result for result in results if isinstance(result, Completion)]
    assert [answer.text for answer in answers] == [f"You said: {prompt}" for prompt in prompts]
    tried = (each for answer in answers for each in answer.provenance.attempts if not each.skipped)
    failed = sum(each.kind is not None for each in tried)
    assert 20 <= failed <= 100, "about one in twenty"

    sent = [each["tokens_sent"] for server in (flaky, healthy) for each in server.log("response")]
    whole = Counter(tokens for tokens in sent if tokens > 2)
    assert whole == Counter(len(answer.text.split()) for answer in answers), "each was answered once"
    used = sum(answer.usage.completion_tokens or 0 for answer in answers)
    assert used == sum(tokens * times for tokens, times in whole.items())
    assert used == client.shared.stats().completion_tokens
    assert sum(answer.usage.prompt_tokens or 0 for answer in answers) == asked_tokens(flaky, healthy)


def asked_tokens(*servers: RunningServer) -> int:
    """The tokens of all the prompts that servers saw, each counted once."""
    asked = [each["body"]["messages"] for server in servers for each in server.requests() if each["body"]]
    return sum({repr(messages): count_prompt_tokens(messages) for messages in asked}.values())


# --- a soak -----------------------------------------------------------------------------------------------


def open_files(process: psutil.Process) -> int:
    """How many files and sockets it has open."""
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()


@pytest.mark.timeout(SOAK_S + 100)
async def test_after_hours_it_holds_no_more_than_after_minutes(
    servers: ServerFactory, step: MakeStep, asking: Asking, chance: random.Random
) -> None:
    """Files, tasks and memory stay where they were once everything had happened for the first time."""
    world = World(servers, step, asking)
    process = psutil.Process()
    files: list[int] = []
    memory: list[int] = []
    ends_at = time.monotonic() + SOAK_S
    while time.monotonic() < ends_at or len(memory) < LEAST_ROUNDS:
        await world.stops(chance, 200)
        await asking.http.refresh()
        gc.collect()
        files.append(open_files(process))
        memory.append(process.memory_info().rss)
    third = len(memory) // 3
    for held in (files, memory):
        before, after = median(held[third : 2 * third]), median(held[-third:])
        assert after <= before * (1 + GROWS_BY), held
    assert world.witness.each_ended_once
