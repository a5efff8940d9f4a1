"""How long a pool's start may go on: pure, over a clock that is handed in.

    end   = begin + start, moved by each sign of progress to `grant` from then, at most to begin + start_most
    early = the last sign of progress + stall

The start has failed at whichever comes first. Progress is what has never been seen before: a larger part of
the model loaded, at least 8 MiB more memory, a line in the log of a kind that was not there yet. A line that
is repeated is none, and neither is memory that shrinks and grows again.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from whisper_desktop.engines.pool.limits import PoolLimits
from whisper_desktop.values import BackendEvent, Phase, Progress

_MEMORY_STEP = 8 * 2**20  # bytes
_MOST_KINDS = 500  # of lines, for each engine: one that invents new ones for ever is not progressing
_NUMBERS = re.compile(r"\d+")


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


class _Furthest:
    """What has been seen of one engine so far."""

    def __init__(self) -> None:
        self._done = 0.0
        self._memory = 0
        self._kinds: set[str] = set()

    def passed_by(self, signs: Signs) -> bool:
        """Whether `signs` are farther than all before; they are remembered."""
        kinds = {_NUMBERS.sub("#", line) for line in signs.lines} - self._kinds
        fresh = bool(kinds) and len(self._kinds) < _MOST_KINDS
        grown = signs.memory_bytes >= self._memory + _MEMORY_STEP
        farther = signs.done > self._done or grown or fresh
        self._done = max(self._done, signs.done)
        if grown:
            self._memory = signs.memory_bytes
        if fresh:
            self._kinds |= kinds
        return farther


class Patience:
    """The patience with one start, from the moment that this is made."""

    def __init__(self, limits: PoolLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grant, self._stall = limits.grant, limits.stall
        now = clock()
        self._most = now + limits.start_most
        self._end = min(now + limits.start, self._most)
        self._moved = now
        self._furthest: dict[int, _Furthest] = {}

    def see(self, engines: Mapping[int, Signs]) -> bool:
        """Take a look at all engines, by their number; whether any of them has made progress."""
        farther = [
            self._furthest.setdefault(key, _Furthest()).passed_by(each) for key, each in engines.items()
        ]
        if any(farther):
            self._moved = self._clock()
            self._end = min(max(self._end, self._moved + self._grant), self._most)
        return any(farther)

    @property
    def left(self) -> float:
        """Seconds until the start counts as failed; not positive when it has."""
        return min(self._end, self._moved + self._stall) - self._clock()

    @property
    def over(self) -> Over | None:
        """Why the start has failed; None while there is patience left."""
        if self.left > 0:
            return None
        return Over.TIME if self._end <= self._clock() else Over.STALL


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
