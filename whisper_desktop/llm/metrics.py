"""Figures of what the chain does, for people and developers: how often, how fast, how it failed. No content.

Memory is bounded: the last 512 answers of each of 64 models, and the questions that are being answered now.
Percentiles are by nearest rank. Durations are seconds.
"""

import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from whisper_desktop.values import Attempt, ErrorKind, Provenance, Usage

_ANSWERS = 512
_MODELS = 64
_MOST_ACTIVE = 10_000
_NANO = 10**9
_NOT_COUNTED = Usage()


@dataclass(frozen=True, slots=True)
class ActiveRequest:
    """A question that is being answered: for how long, at which attempt, and by whom (None: it waits)."""

    id: str
    seconds: float
    batch: bool
    attempts: int
    backend: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class BackendStats:
    """The figures of one model at one backend. `ttft` counts from when it was asked, not before."""

    backend: str
    model: str
    attempts: int
    answers: int
    left_out: int
    failures: Mapping[ErrorKind, int]
    ttft_p50: float | None
    ttft_p95: float | None
    tokens_per_second_p50: float | None
    tokens_per_second_p95: float | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class PerformanceStats:
    """All figures since the start.

    `total` questions are `active`, `answered`, `failed`, `interrupted` or `cancelled`. The generation times
    are those of the answered ones, from question to end. `failovers` were answered by another backend than
    the one that came first, and `fallback_seconds` is the time that was lost until then.
    """

    total: int
    active: int
    answered: int
    failed: int
    interrupted: int
    cancelled: int
    failovers: int
    restarts: int
    fallback_seconds: float
    average_generation_time: float | None
    total_generation_time: float
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    loaded_models: tuple[str, ...]
    breakers: Mapping[str, str]
    backends: tuple[BackendStats, ...]


class _Active:
    __slots__ = ("attempts", "backend", "batch", "model", "since")

    def __init__(self, since: float, batch: bool) -> None:
        self.since = since
        self.batch = batch
        self.attempts = 0
        self.backend: str | None = None
        self.model: str | None = None


class _Figures:
    """Of one model at one backend."""

    __slots__ = (
        "answers",
        "attempts",
        "completion_tokens",
        "failures",
        "left_out",
        "nanodollars",
        "prompt_tokens",
        "speeds",
        "ttfts",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.answers = 0
        self.left_out = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.nanodollars = 0
        self.failures: Counter[ErrorKind] = Counter()
        self.ttfts: deque[float] = deque(maxlen=_ANSWERS)
        self.speeds: deque[float] = deque(maxlen=_ANSWERS)


class Metrics:
    """Counts questions and attempts. One loop uses it. `clock` is monotonic.

    Of a question: `started`, `asking` for each attempt, and one of `answered`, `failed`, `interrupted` and
    `cancelled`; of an attempt, however it ended: `attempt`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._active: OrderedDict[str, _Active] = OrderedDict()
        self._figures: OrderedDict[tuple[str, str], _Figures] = OrderedDict()
        self._started = 0
        self._answered = 0
        self._failed = 0
        self._interrupted = 0
        self._cancelled = 0
        self._failovers = 0
        self._restarts = 0
        self._fallback_seconds = 0.0
        self._generation_time = 0.0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._nanodollars = 0

    # --- What happens -------------------------------------------------------------------------------------

    def started(self, request_id: str, *, batch: bool = False) -> None:
        """A question was asked."""
        self._started += 1
        self._active[request_id] = _Active(self._clock(), batch)
        if len(self._active) > _MOST_ACTIVE:
            self._active.popitem(last=False)

    def asking(self, request_id: str, backend: str, model: str | None) -> None:
        """A backend is asked."""
        active = self._active.get(request_id)
        if active is not None:
            active.attempts += 1
            active.backend = backend
            active.model = model

    def attempt(
        self,
        attempt: Attempt,
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        """An attempt has ended, or a backend was left out. `ttft` counts from when the backend was asked;
        `tokens_per_second` is taken from `usage` where the server tells it.
        """
        figures = self._of(attempt.backend, attempt.model or "")
        if attempt.skipped:
            figures.left_out += 1
            return
        figures.attempts += 1
        if attempt.kind is not None:
            figures.failures[attempt.kind] += 1
        else:
            figures.answers += 1
        if ttft is not None:
            figures.ttfts.append(ttft)
        usage = usage or _NOT_COUNTED
        speed = usage.tokens_per_second or tokens_per_second
        if speed is not None:
            figures.speeds.append(speed)
        figures.prompt_tokens += usage.prompt_tokens or 0
        figures.completion_tokens += usage.completion_tokens or 0
        figures.nanodollars += _nanodollars(usage.cost_usd)

    def restarted(self) -> None:
        """An answer broke off, and somebody else began it anew or went on with it."""
        self._restarts += 1

    def answered(
        self, request_id: str, provenance: Provenance, *, failover: bool, lost_seconds: float
    ) -> None:
        """A question has its answer. `failover`: somebody before the one who answered failed, and that took
        `lost_seconds`.
        """
        self._active.pop(request_id, None)
        self._answered += 1
        self._generation_time += provenance.total_seconds
        usage = provenance.usage
        self._prompt_tokens += usage.prompt_tokens or 0
        self._completion_tokens += usage.completion_tokens or 0
        self._nanodollars += _nanodollars(usage.cost_usd)
        self._failovers += failover
        self._fallback_seconds += lost_seconds

    def failed(self, request_id: str) -> None:
        """Nobody answered a question, or it was refused."""
        self._active.pop(request_id, None)
        self._failed += 1

    def interrupted(self, request_id: str) -> None:
        """An answer broke off for good."""
        self._active.pop(request_id, None)
        self._interrupted += 1

    def cancelled(self, request_id: str) -> None:
        """Nobody wants the answer any more."""
        self._active.pop(request_id, None)
        self._cancelled += 1

    # --- What is shown ------------------------------------------------------------------------------------

    def active(self) -> tuple[ActiveRequest, ...]:
        """The questions that are being answered, the oldest first."""
        now = self._clock()
        return tuple(
            ActiveRequest(id, now - each.since, each.batch, each.attempts, each.backend, each.model)
            for id, each in self._active.items()
        )

    def stats(
        self, *, loaded_models: Iterable[str] = (), breakers: Mapping[str, str] | None = None
    ) -> PerformanceStats:
        """All figures. Which models are loaded, and how the breakers stand, others know."""
        return PerformanceStats(
            total=self._started,
            active=len(self._active),
            answered=self._answered,
            failed=self._failed,
            interrupted=self._interrupted,
            cancelled=self._cancelled,
            failovers=self._failovers,
            restarts=self._restarts,
            fallback_seconds=self._fallback_seconds,
            average_generation_time=self._generation_time / self._answered if self._answered else None,
            total_generation_time=self._generation_time,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cost_usd=self._nanodollars / _NANO,
            loaded_models=tuple(loaded_models),
            breakers=dict(breakers or {}),
            backends=tuple(_stats(*key, figures) for key, figures in self._figures.items()),
        )

    def _of(self, backend: str, model: str) -> _Figures:
        key = (backend, model)
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = _Figures()
            if len(self._figures) > _MODELS:
                self._figures.popitem(last=False)
        self._figures.move_to_end(key)
        return figures


def _stats(backend: str, model: str, figures: _Figures) -> BackendStats:
    return BackendStats(
        backend=backend,
        model=model,
        attempts=figures.attempts,
        answers=figures.answers,
        left_out=figures.left_out,
        failures=dict(figures.failures),
        ttft_p50=_percentile(figures.ttfts, 0.50),
        ttft_p95=_percentile(figures.ttfts, 0.95),
        tokens_per_second_p50=_percentile(figures.speeds, 0.50),
        tokens_per_second_p95=_percentile(figures.speeds, 0.95),
        prompt_tokens=figures.prompt_tokens,
        completion_tokens=figures.completion_tokens,
        cost_usd=figures.nanodollars / _NANO,
    )


def _percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None


def _nanodollars(dollars: float | None) -> int:
    return round(dollars * _NANO) if dollars is not None and math.isfinite(dollars) else 0
