"""Notices that the computer slept, so that nobody takes the sleep for a server's silence.

A sleep shows in the clocks: the wall clock has moved on by more than the monotonic one, which stands still
meanwhile on most systems. Where it does not, the time between two looks is far too long. A loop that was
merely busy makes that time longer too, but not by that much.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from whisper_desktop.values import Deadlines


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks at one moment, in seconds."""

    wall: float
    monotonic: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The computer woke up.

    `asleep` is for how many seconds it slept, as far as the clocks tell. `counted` is the part that deadlines
    on the monotonic clock have lost, and should get back.
    """

    asleep: float
    counted: float


def resumed(before: Clocks, now: Clocks, deadlines: Deadlines) -> Resumed | None:
    """Whether the computer slept between two looks that were meant to be `Deadlines.clock_tick` apart.

    A wall clock that somebody sets looks the same as a sleep; it costs no more than a look at the network,
    since `counted` is nothing then.
    """
    gap = now.monotonic - before.monotonic
    drift = (now.wall - before.wall) - gap
    counted = gap - deadlines.clock_tick if gap > deadlines.clock_gap else 0.0
    if abs(drift) <= deadlines.clock_drift and not counted:
        return None
    return Resumed(asleep=max(drift, 0.0) + counted, counted=counted)


async def watch(
    on_resume: Callable[[Resumed], Awaitable[None]],
    deadlines: Deadlines,
    *,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Look at the clocks every `Deadlines.clock_tick` seconds until cancelled, and tell of every sleep."""
    before = Clocks(wall(), monotonic())
    while True:
        await sleep(deadlines.clock_tick)
        now = Clocks(wall(), monotonic())
        found = resumed(before, now, deadlines)
        if found is not None:
            await on_resume(found)
            now = Clocks(wall(), monotonic())
        before = now
