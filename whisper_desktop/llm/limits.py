"""How many answers are generated at once: over all, and at each place. Who comes first is served first.

Two lanes: a question that somebody waits for goes before those of a batch, until one of a batch has waited
for `Deadlines.queue` seconds: from then on it counts by its time of arrival like any other. A place that is
full holds nobody up who wants another one. Where places are free nothing waits, and nothing is allocated
for it.

A far place finds its own limit: every 429 halves it, ten successes add one (additive increase, multiplicative
decrease, as in TCP's congestion control).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr, trn
from whisper_desktop.values import Deadlines, ErrorKind

_SUCCESSES_FOR_ONE_MORE = 10
_IDLE_PLACES_KEPT = 256


class _Waiter:
    """A question in a queue. `granted` is True from the moment when a place is its own."""

    __slots__ = ("arrival", "batch", "future", "granted", "place", "round", "since")

    def __init__(
        self, place: "_Place", arrival: int, since: float, batch: bool, future: "asyncio.Future[bool]"
    ) -> None:
        self.place = place
        self.arrival = arrival
        self.since = since
        self.batch = batch
        self.future = future
        self.granted = False
        self.round = 0


class _Place:
    """The answers and the queues (interactive, batch) of one place.

    `given` is the limit that callers name, `learnt` the one that stands over it after a 429. Each
    429 that counts begins a new round; `settling` counts the answers of earlier rounds that still run.
    """

    __slots__ = ("active", "given", "key", "learnt", "queues", "round", "settling", "successes")

    def __init__(self, key: str) -> None:
        self.key = key
        self.active = 0
        self.given: int | None = None
        self.learnt: int | None = None
        self.successes = 0
        self.round = 0
        self.settling = 0
        self.queues: tuple[OrderedDict[_Waiter, None], OrderedDict[_Waiter, None]] = (
            OrderedDict(),
            OrderedDict(),
        )

    @property
    def waiting(self) -> int:
        return len(self.queues[0]) + len(self.queues[1])

    @property
    def limit(self) -> int | None:
        return self.given if self.learnt is None else self.learnt

    @property
    def full(self) -> bool:
        limit = self.given if self.learnt is None else self.learnt
        return limit is not None and self.active >= limit


class Limiter:
    """Bounds what runs at once. One loop uses it; it has no tasks, and timers only while somebody waits."""

    def __init__(
        self, total: int = 10, *, deadlines: Deadlines, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._deadlines = deadlines
        self._clock = clock
        self._active = 0
        self._arrivals = 0
        self._places: dict[str, _Place] = {}
        self._queued: dict[str, _Place] = {}

    @property
    def active(self) -> int:
        """How many answers run."""
        return self._active

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return sum(place.waiting for place in self._queued.values())

    def active_at(self, place_key: str) -> int:
        """How many answers run at a place."""
        place = self._places.get(place_key)
        return place.active if place is not None else 0

    def waiting_at(self, place_key: str) -> int:
        """How many questions wait for a place."""
        place = self._queued.get(place_key)
        return place.waiting if place is not None else 0

    def limit_at(self, place_key: str) -> int | None:
        """How many answers may run at a place, as given or as learnt; None: as many as over all."""
        place = self._places.get(place_key)
        return place.limit if place is not None else None

    def slot(
        self,
        place_key: str,
        *,
        limit: int | None = None,
        batch: bool = False,
        on_wait: Callable[[int], None] | None = None,
    ) -> "Slot":
        """A free place, as an asynchronous context manager.

        `limit` is how many the place takes at once, as far as it is known; what was learnt from 429 stands
        over it. `on_wait` is called when there is none free, with the number of questions that wait before
        this one. Raises `BackendError` QUEUE_FULL after `Deadlines.queue` seconds; a `batch` waits for as
        long as it takes.
        """
        return Slot(self, place_key, limit, batch, on_wait)

    def slower(self, place_key: str) -> None:
        """The place said 429: half as many from now on. Those that run already do not count again."""
        place = self._places.get(place_key)
        if place is None or place.settling:
            return
        running = place.active if place.limit is None else place.limit
        place.learnt = max(1, running // 2)
        place.successes = 0
        place.round += 1
        place.settling = place.active

    def faster(self, place_key: str) -> None:
        """The place answered: after ten of those, one more at once."""
        place = self._places.get(place_key)
        if place is None or place.limit is None:
            return
        place.successes += 1
        if place.successes >= _SUCCESSES_FOR_ONE_MORE:
            place.successes = 0
            place.learnt = min(place.limit + 1, self._total)
            self._dispatch()

    # --- Taking and giving back ---------------------------------------------------------------------------

    async def _take(
        self, place_key: str, limit: int | None, batch: bool, on_wait: Callable[[int], None] | None
    ) -> tuple[_Place, int]:
        """The place, and the round in which it was taken."""
        place = self._places.get(place_key) or self._new_place(place_key)
        if limit is not None and limit != place.given:
            place.given = limit
            self._dispatch()
        # Whoever waits while something is free waits for another place.
        if self._active < self._total and not place.full:
            self._active += 1
            place.active += 1
            return place, place.round
        return place, await self._wait(place, batch, on_wait)

    async def _wait(self, place: _Place, batch: bool, on_wait: Callable[[int], None] | None) -> int:
        if on_wait is not None:
            on_wait(self._ahead(place, batch))
        loop = asyncio.get_running_loop()
        self._arrivals += 1
        waiter = _Waiter(place, self._arrivals, self._clock(), batch, loop.create_future())
        place.queues[batch][waiter] = None
        self._queued[place.key] = place
        timer = None if batch else loop.call_later(self._deadlines.queue, _expire, waiter)
        try:
            await waiter.future
        except BaseException:
            if waiter.granted:
                self._give_back(place, waiter.round)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._unqueue(waiter)
        if not waiter.granted:
            raise self._too_long(place)
        return waiter.round

    def _give_back(self, place: _Place, round: int) -> None:
        self._active -= 1
        place.active -= 1
        if round < place.round and place.settling:
            place.settling -= 1
        if self._queued:
            self._dispatch()

    def _dispatch(self) -> None:
        """Give what is free to those who wait for it. Afterwards nobody waits for anything that is free."""
        while self._queued and self._active < self._total:
            waiter = self._next()
            if waiter is None:
                return
            self._unqueue(waiter)
            self._active += 1
            waiter.place.active += 1
            waiter.granted = True
            waiter.round = waiter.place.round
            waiter.future.set_result(True)

    def _next(self) -> _Waiter | None:
        """Who comes first of all that wait for a place that is not full."""
        aged = self._clock() - self._deadlines.queue
        heads = [
            head
            for place in self._queued.values()
            if not place.full
            for queue in place.queues
            if (head := _head(queue)) is not None
        ]
        return min(heads, key=lambda head: (head.batch and head.since > aged, head.arrival), default=None)

    def _unqueue(self, waiter: _Waiter) -> None:
        place = waiter.place
        place.queues[waiter.batch].pop(waiter, None)
        if not place.waiting:
            self._queued.pop(place.key, None)

    def _ahead(self, place: _Place, batch: bool) -> int:
        queued = [place] if place.full else list(self._queued.values())
        return sum(each.waiting if batch else len(each.queues[0]) for each in queued)

    def _new_place(self, key: str) -> _Place:
        if len(self._places) >= _IDLE_PLACES_KEPT:
            busy = {key: place for key, place in self._places.items() if place.active or place.waiting}
            self._places = busy
        place = self._places[key] = _Place(key)
        return place

    def _too_long(self, place: _Place) -> BackendError:
        running = place.active if place.full else self._active
        return BackendError(
            ErrorKind.QUEUE_FULL,
            tr("The question waited {queue:g} s for its turn.", queue=self._deadlines.queue),
            trn(
                "{count} other answer is being written, and none has ended.",
                "{count} other answers are being written, and none has ended.",
                running,
            ),
            tr("Ask again when one has ended, or stop one."),
            request_sent=False,
        )


class Slot:
    """A place for one answer, held between entering and leaving. Use it once."""

    __slots__ = ("_batch", "_limit", "_limiter", "_on_wait", "_place_key", "_taken")

    def __init__(
        self,
        limiter: Limiter,
        place_key: str,
        limit: int | None,
        batch: bool,
        on_wait: Callable[[int], None] | None,
    ) -> None:
        self._limiter = limiter
        self._place_key = place_key
        self._limit = limit
        self._batch = batch
        self._on_wait = on_wait
        self._taken: tuple[_Place, int] | None = None

    async def __aenter__(self) -> None:
        self._taken = await self._limiter._take(self._place_key, self._limit, self._batch, self._on_wait)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            self._limiter._give_back(*taken)


def _expire(waiter: _Waiter) -> None:
    if not waiter.future.done():
        waiter.future.set_result(False)


def _head(queue: OrderedDict[_Waiter, None]) -> _Waiter | None:
    """The first that still waits. One that was cancelled or has expired leaves the queue a moment later."""
    return next((waiter for waiter in queue if not waiter.future.done()), None)
