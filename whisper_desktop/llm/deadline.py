"""How long an answer may be silent, and the timer that ends the wait.

`Patience` is the rule, pure: it turns signs of life into the moment at which the wait ends. `Watch` is the
effect: one timer for a whole attempt, because a timer a token costs more than decoding the token.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple, TypeVar

from whisper_desktop.values import Deadlines, ErrorKind, Phase, Progress, Reach

T = TypeVar("T")

_PROMPT_READING_MARGIN = 3.0
_SLOWER_THAN_USUAL = 4.0
_FAR_AT_LEAST, _FAR_AT_MOST = 1 / 6, 2.0  # of Deadlines.first_token: 10 s and 120 s
_PASSES = 3  # of the loop: from the socket to the reader, to the decoder, to us
_REASONING_FACTOR = 1.5  # a model that thinks in the cloud may stay silent for 180 s instead of 120


class Circumstances(NamedTuple):
    """What the patience with one attempt depends on. `ttft_p95` and `prompt_speed` (tokens a second) are what
    was learnt of the backend, `budget` the seconds that the caller has left.
    """

    reach: Reach
    last: bool = False
    prompt_tokens: int = 0
    prompt_speed: float | None = None
    ttft_p95: float | None = None
    reasoning: bool = False
    budget: float | None = None


class Patience:
    """Until when an attempt may be silent; all times are seconds since it began.

    Rules: fallback figures for this computer and the network on one side, the cloud on the other. The last
    step is not cut by its first token but only by time without progress. A prompt that is being read and a
    model that is being loaded count as progress while their figures grow; comments only for a while.
    """

    def __init__(self, circumstances: Circumstances, deadlines: Deadlines) -> None:
        self._facts = circumstances
        self._deadlines = deadlines
        self._cloud = circumstances.reach is Reach.CLOUD
        self._stall = deadlines.stall_cloud if self._cloud else deadlines.stall
        self._progress_at = 0.0
        self._furthest: tuple[Phase, float] | None = None
        self._output = False
        self._end = self._whole()
        self.due = min(self._first_token(), self._end)

    def life(self, now: float) -> None:
        """A keep-alive comment came: between two tokens it stretches the wait, but not for ever. Before the
        first token it says nothing of the model.
        """
        if not self._output:
            return
        until = min(self._progress_at + self._deadlines.comments_only, now + self._stall)
        self._extend(until)

    def progress(self, event: Progress, now: float) -> None:
        """The answer is under way. A figure that does not grow is no progress."""
        if event.phase is Phase.CALLING:
            self.output(now)
            return
        if event.phase is Phase.LOADING and event.done is None:
            self._extend(self._deadlines.model_load)
            return
        seen = (event.phase, event.done or 0.0)
        if self._furthest is not None and self._furthest[0] is event.phase and seen <= self._furthest:
            return
        self._furthest, self._progress_at = seen, now
        grace = self._deadlines.no_progress if self._facts.last else self._deadlines.progress_grace
        self._extend(min(now + grace, self._deadlines.first_token_most))

    def output(self, now: float) -> None:
        """A piece of the answer came."""
        self._output, self._progress_at = True, now
        self.due = min(now + self._stall, self._end)

    def kind(self, now: float) -> ErrorKind:
        """Why the wait ended at `due`."""
        if now >= self._end:
            return ErrorKind.TOTAL_TIMEOUT
        return ErrorKind.STALLED if self._output else ErrorKind.FIRST_TOKEN_TIMEOUT

    @property
    def progress_at(self) -> float:
        """When progress was last seen."""
        return self._progress_at

    @property
    def read(self) -> float | None:
        """How much of the prompt had been read, where the server tells."""
        if self._furthest is None or self._furthest[0] is not Phase.READING:
            return None
        return self._furthest[1]

    def _extend(self, until: float) -> None:
        self.due = min(max(self.due, until), self._end)

    def _first_token(self) -> float:
        facts, deadlines = self._facts, self._deadlines
        base = deadlines.first_token
        if self._cloud:
            if facts.ttft_p95 is not None:
                usual = max(base * _FAR_AT_LEAST, _SLOWER_THAN_USUAL * facts.ttft_p95)
                base = min(base * _FAR_AT_MOST, usual)
            if facts.reasoning:
                base = max(base, deadlines.comments_only * _REASONING_FACTOR)
        elif facts.prompt_speed:
            reading = _PROMPT_READING_MARGIN * facts.prompt_tokens / facts.prompt_speed
            base = min(base + reading, deadlines.first_token_most)
        return max(base, deadlines.no_progress) if facts.last else base

    def _whole(self) -> float:
        by_reach = {Reach.MY_NETWORK: self._deadlines.total_network, Reach.CLOUD: self._deadlines.total_cloud}
        whole = by_reach.get(self._facts.reach, float("inf"))
        return whole if self._facts.budget is None else min(whole, self._facts.budget)


class Watch:
    """Bounds each wait for the next item of a generator by the `due` of a `Patience`.

    The timer is armed once and moved only when it fires too early. It never fires while the caller is busy
    with an item, so a slow reader is not taken for a silent server. One that fires long after it was due
    says that the computer was asleep: the server then gets `clock_drift` seconds to show life.
    """

    def __init__(self, patience: Patience, deadlines: Deadlines) -> None:
        self._patience = patience
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._after_sleep = 0.0
        self._expired = False

    def elapsed(self) -> float:
        """Seconds since the attempt began."""
        return self._loop.time() - self._began

    async def next(self, items: AsyncGenerator[T, None]) -> T:
        """The next item. Raises `TimeoutError` when the wait is over, `StopAsyncIteration` at the end."""
        task = asyncio.current_task()
        assert task is not None
        pending = task.cancelling()
        self._task = task
        if self._timer is None or self._timer.when() > self._began + self._due():
            self._arm()
        try:
            return await anext(items)
        except BaseException:
            # Whatever the source makes of being cancelled by the timer, it is the timer's doing.
            if self._expired and task.uncancel() <= pending:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def stop(self) -> None:
        """Let the timer go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> float:
        return max(self._patience.due, self._after_sleep)

    def _arm(self) -> None:
        self.stop()
        if self._due() != float("inf"):
            self._timer = self._loop.call_at(self._began + self._due(), self._fire)

    def _fire(self, passes: int = _PASSES) -> None:
        self._timer = None
        if self._task is None:
            return  # the caller is busy; the next wait arms it again
        if passes and self.elapsed() >= self._due():
            # A loop that was blocked finds the timer and what has arrived meanwhile at the same moment.
            self._loop.call_soon(self._fire, passes - 1)
            return
        now = self.elapsed()
        if now - self._due() > self._deadlines.clock_gap:
            self._after_sleep = now + self._deadlines.clock_drift
        if now >= self._due():
            self._expired = True
            self._task.cancel()
        else:
            self._arm()
