"""How long an answer may be silent: the rule as a table, and the timer against a real loop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from tests.llm.tolerance import tolerance
from whisper_desktop.llm.deadline import Circumstances, Patience, Watch
from whisper_desktop.values import Deadlines, ErrorKind, Phase, Progress, Reach

TIMES = Deadlines()
HERE = Reach.THIS_MACHINE


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        (Circumstances(HERE), 60),
        (Circumstances(Reach.MY_NETWORK), 60),
        (Circumstances(Reach.CLOUD), 60),
        (Circumstances(HERE, prompt_tokens=1000, prompt_speed=100.0), 90),
        (Circumstances(HERE, prompt_tokens=1_000_000, prompt_speed=10.0), 1800),
        (Circumstances(Reach.CLOUD, prompt_tokens=1000, prompt_speed=100.0), 60),
        (Circumstances(Reach.CLOUD, ttft_p95=0.5), 10),
        (Circumstances(Reach.CLOUD, ttft_p95=5.0), 20),
        (Circumstances(Reach.CLOUD, ttft_p95=500.0), 120),
        (Circumstances(Reach.CLOUD, ttft_p95=0.5, reasoning=True), 180),
        (Circumstances(HERE, last=True), 180),
        (Circumstances(HERE, budget=5.0), 5),
        (Circumstances(HERE, last=True, budget=5.0), 5),
    ],
)
def test_the_first_token_is_waited_for_as_long_as_it_may_take(facts: Circumstances, due: float) -> None:
    assert Patience(facts, TIMES).due == due


def test_a_prompt_that_is_being_read_extends_the_wait_while_its_figure_grows() -> None:
    patience = Patience(Circumstances(HERE), TIMES)
    patience.progress(Progress(Phase.READING, 0.2), 50)
    assert patience.due == 80
    patience.progress(Progress(Phase.READING, 0.2), 70)
    assert patience.due == 80, "the same figure again is no progress"
    patience.progress(Progress(Phase.READING, 0.3), 75)
    assert patience.due == 105
    assert patience.read == 0.3


def test_progress_extends_the_wait_to_half_an_hour_at_most() -> None:
    patience = Patience(Circumstances(HERE), TIMES)
    patience.progress(Progress(Phase.READING, 0.9), 1795)
    assert patience.due == 1800


def test_a_model_that_is_being_loaded_without_a_figure_gets_five_minutes() -> None:
    patience = Patience(Circumstances(HERE), TIMES)
    patience.progress(Progress(Phase.LOADING), 0)
    assert patience.due == 300
    patience.progress(Progress(Phase.LOADING), 290)
    assert patience.due == 300


def test_between_tokens_comments_alone_stretch_the_wait_to_two_minutes_and_no_longer() -> None:
    patience = Patience(Circumstances(Reach.CLOUD), TIMES)
    patience.output(0)
    for second in range(0, 600, 5):
        patience.life(second)
    assert patience.due == 120
    assert patience.kind(120) is ErrorKind.STALLED


def test_before_the_first_token_comments_say_nothing() -> None:
    patience = Patience(Circumstances(Reach.CLOUD), TIMES)
    patience.life(50)
    assert patience.due == 60
    assert patience.kind(60) is ErrorKind.FIRST_TOKEN_TIMEOUT


def test_between_two_tokens_the_cloud_gets_less_time_than_this_computer() -> None:
    here, cloud = (Patience(Circumstances(reach), TIMES) for reach in (HERE, Reach.CLOUD))
    for patience in (here, cloud):
        patience.output(7)
    assert (here.due, cloud.due) == (67, 37)
    assert here.kind(67) is ErrorKind.STALLED
    cloud.life(30)
    assert cloud.due == 60, "a comment is a sign of life"


@pytest.mark.parametrize(("reach", "most"), [(Reach.MY_NETWORK, 1800), (Reach.CLOUD, 600)])
def test_a_whole_answer_from_elsewhere_has_an_end_even_with_progress(reach: Reach, most: float) -> None:
    patience = Patience(Circumstances(reach), TIMES)
    patience.output(most - 1)
    assert patience.due == most
    assert patience.kind(most) is ErrorKind.TOTAL_TIMEOUT


def test_on_this_computer_an_answer_may_take_as_long_as_it_goes_on() -> None:
    patience = Patience(Circumstances(HERE), TIMES)
    patience.output(100_000)
    assert patience.due == 100_060


async def items(*pauses: float) -> AsyncGenerator[float, None]:
    for pause in pauses:
        await asyncio.sleep(pause)
        yield pause


async def test_the_timer_ends_a_wait_when_it_is_due_and_closes_the_source() -> None:
    times = Deadlines(first_token=0.2)
    watch = Watch(Patience(Circumstances(HERE), times), times)
    async with aclosing(items(60)) as source:
        with pytest.raises(TimeoutError):
            await watch.next(source)
        assert 0.2 <= watch.elapsed() < 0.2 + tolerance()
        with pytest.raises(StopAsyncIteration):
            await anext(source)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0, "a deadline is not a cancellation of the caller"


async def test_a_shorter_wait_after_the_first_token_counts_at_once() -> None:
    times = Deadlines(first_token=60, stall=0.1)
    patience = Patience(Circumstances(HERE), times)
    watch = Watch(patience, times)
    async with aclosing(items(0, 60)) as source:
        await watch.next(source)
        patience.output(watch.elapsed())
        with pytest.raises(TimeoutError):
            await watch.next(source)
    assert watch.elapsed() < 0.1 + tolerance()


async def test_a_busy_reader_is_not_a_silent_server() -> None:
    times = Deadlines(first_token=0.05, stall=0.05)
    patience = Patience(Circumstances(HERE), times)
    watch = Watch(patience, times)
    async with aclosing(items(0, 0, 0)) as source:
        for _ in range(3):
            await watch.next(source)
            patience.output(watch.elapsed())
            await asyncio.sleep(0.15)
            patience.output(watch.elapsed())
    watch.stop()


async def test_cancelling_the_caller_is_a_cancellation_and_no_deadline() -> None:
    times = Deadlines(first_token=60)
    watch = Watch(Patience(Circumstances(HERE), times), times)
    async with aclosing(items(60)) as source:
        waiting = asyncio.ensure_future(watch.next(source))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    watch.stop()


async def test_a_timer_that_fires_long_after_it_was_due_says_that_the_computer_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = Deadlines(first_token=0.05, clock_gap=30, clock_drift=0.2)
    loop = asyncio.get_running_loop()
    watch = Watch(Patience(Circumstances(HERE), times), times)
    real, slept = loop.time, 3600.0

    async def sleeping() -> AsyncGenerator[str, None]:
        monkeypatch.setattr(loop, "time", lambda: real() + slept)
        await asyncio.sleep(0.1)
        yield "awake"

    async with aclosing(sleeping()) as source:
        assert await watch.next(source) == "awake", "after an hour of sleep the server gets time to show life"
    watch.stop()
