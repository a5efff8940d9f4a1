"""How long a pool's start may go on, over a clock that is handed in.

    end   = begin + start, moved by each sign of progress to `grant` from then, at most to begin + start_most
    early = the last sign of progress + stall

The start has failed at whichever comes first. What progress is, says `readiness.Progress`; any of the engines
may make it.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from whisper_desktop.engines import readiness
from whisper_desktop.engines.pool.limits import PoolLimits
from whisper_desktop.values import BackendEvent, Deadlines, Phase, Progress


class Over(Enum):
    """Why there is no patience left."""

    STALL = "no progress"
    TIME = "too long"


@dataclass(frozen=True, slots=True)
class Signs:
    """How far one engine is: `done` from 0 to 1, its resident memory in bytes, its newest log lines."""

    done: float = 0.0
    memory_bytes: int = 0
    lines: Sequence[str] = ()


class Patience:
    """The patience with one start of so many engines, from the moment that this is made."""

    def __init__(self, limits: PoolLimits, engines: int, clock: Callable[[], float] = time.monotonic) -> None:
        end = replace(
            Deadlines(),
            engine_start=limits.start,
            engine_stall=limits.grant,
            engine_start_most=limits.start_most,
        )
        early = replace(
            Deadlines(),
            engine_start=limits.stall,
            engine_stall=limits.stall,
            engine_start_most=math.inf,
        )
        self._ends = [readiness.Progress(end, clock) for _ in range(engines)]
        self._early = [readiness.Progress(early, clock) for _ in range(engines)]

    def see(self, engines: Mapping[int, Signs]) -> None:
        """Take a look at engines, by their number from 0."""
        for number, signs in engines.items():
            for progress in (self._ends[number], self._early[number]):
                progress.see(signs.lines, signs.memory_bytes)
                if signs.done:  # else it is where it began
                    progress.see_loaded(signs.done)

    @property
    def left(self) -> float:
        """Seconds until the start counts as failed; not positive when it has."""
        return min(self._time_left, max(each.left for each in self._early))

    @property
    def over(self) -> Over | None:
        """Why the start has failed; None while there is patience left."""
        if self.left > 0:
            return None
        return Over.TIME if self._time_left <= 0 else Over.STALL

    @property
    def _time_left(self) -> float:
        return max(each.left for each in self._ends)


class RequestPatience:
    """The patience with one request: `seconds` without progress, however long it takes with it.

    Output is progress, and so is a prompt of which more has been read than ever before. An engine that says
    the same again, or only that it is still there, makes none.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._moved = clock()
        self._read = -1.0

    def see(self, events: Iterable[BackendEvent]) -> None:
        """Take what came."""
        for event in events:
            if isinstance(event, Progress) and event.phase is not Phase.CALLING:
                if (read := event.done or 0.0) <= self._read:
                    continue
                self._read = read
            self._moved = self._clock()

    @property
    def left(self) -> float:
        """Seconds until the request counts as stuck; not positive when it does."""
        return self._moved + self._seconds - self._clock()
