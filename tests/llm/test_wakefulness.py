"""A sleep is told from a busy loop and from a clock that somebody set."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.llm.wakefulness import Clocks, Resumed, resumed, watch
from whisper_desktop.values import Deadlines

DEADLINES = Deadlines()
BEFORE = Clocks(wall=1_000_000.0, monotonic=500.0)


def after(wall: float, monotonic: float) -> Resumed | None:
    """What is found when the clocks have moved on by so much."""
    return resumed(BEFORE, Clocks(BEFORE.wall + wall, BEFORE.monotonic + monotonic), DEADLINES)


def test_a_tick_is_not_a_sleep() -> None:
    assert after(2.0, 2.0) is None


@pytest.mark.parametrize("seconds", [2.5, 12.0, 30.0])
def test_a_busy_loop_is_not_a_sleep(seconds: float) -> None:
    assert after(seconds, seconds) is None


def test_a_sleep_in_which_the_monotonic_clock_stood_still_costs_deadlines_nothing() -> None:
    assert after(3602.0, 2.0) == Resumed(asleep=3600.0, counted=0.0)


def test_a_sleep_in_which_it_ran_on_is_given_back_to_deadlines() -> None:
    assert after(3602.0, 3602.0) == Resumed(asleep=3600.0, counted=3600.0)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_was_set_counts_as_no_time(jump: float) -> None:
    found = after(2.0 + jump, 2.0)
    assert found is not None
    assert found.counted == 0.0
    assert found.asleep == max(jump, 0.0)


def test_small_corrections_of_the_clock_are_nothing() -> None:
    assert after(7.0, 2.0) is None
    assert after(-3.0, 2.0) is None


@given(st.floats(0.0, 30.0), st.floats(-4.9, 4.9))
def test_clocks_that_go_together_never_tell_of_a_sleep(gap: float, drift: float) -> None:
    assert after(gap + drift, gap) is None


@given(st.floats(-1e6, 1e6), st.floats(0.0, 1e6))
def test_a_sleep_is_never_negative(wall: float, monotonic: float) -> None:
    found = after(wall, monotonic)
    assert found is None or (found.asleep >= 0.0 and 0.0 <= found.counted <= monotonic)


class Script:
    """Clocks that move on by what the next tick says, until the script ends."""

    def __init__(self, *ticks: tuple[float, float]) -> None:
        self.now = BEFORE
        self._ticks = iter(ticks)
        self.found: list[Resumed] = []

    def advance(self, wall: float, monotonic: float) -> None:
        self.now = Clocks(self.now.wall + wall, self.now.monotonic + monotonic)

    async def sleep(self, seconds: float) -> None:
        assert seconds == DEADLINES.clock_tick
        tick = next(self._ticks, None)
        if tick is None:
            raise asyncio.CancelledError
        self.advance(*tick)

    async def resume(self, found: Resumed) -> None:
        self.found.append(found)
        self.advance(100.0, 100.0)

    async def run(self) -> list[Resumed]:
        with pytest.raises(asyncio.CancelledError):
            await watch(
                self.resume,
                DEADLINES,
                wall=lambda: self.now.wall,
                monotonic=lambda: self.now.monotonic,
                sleep=self.sleep,
            )
        return self.found


async def test_each_sleep_is_told_once() -> None:
    script = Script((2.0, 2.0), (602.0, 2.0), (2.0, 2.0), (2.0, 2.0), (62.0, 62.0), (2.0, 2.0))
    assert [found.asleep for found in await script.run()] == [600.0, 60.0]


async def test_the_time_that_waking_up_takes_is_not_a_sleep() -> None:
    assert len(await Script((602.0, 2.0), (2.0, 2.0)).run()) == 1


async def test_a_drift_that_builds_up_slowly_is_not_a_sleep() -> None:
    assert await Script(*[(3.0, 2.0)] * 100).run() == []


async def test_watching_ends_when_it_is_cancelled() -> None:
    async def never(found: Resumed) -> None:
        pytest.fail("nobody slept")

    task = asyncio.create_task(watch(never, DEADLINES.scaled(0.001)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
