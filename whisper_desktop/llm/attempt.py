"""One attempt: a backend asked once, watched, and everything it holds given back exactly once.

Data flow: a free place -> the permit of its breaker -> hooks -> `backend.stream_batches` -> `open` (all that
comes before the first output is held back here) -> `rest` (the answer, batch by batch) -> `close`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError, ReachError
from whisper_desktop.llm.deadline import Circumstances, Patience, Watch
from whisper_desktop.llm.endings import to_the_end
from whisper_desktop.llm.health import Permit, Place, Shut
from whisper_desktop.llm.hooks import HookRequest
from whisper_desktop.llm.messages import estimate_tokens
from whisper_desktop.llm.places import place_of
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import (
    BackendEvent,
    Completion,
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Message,
    Phase,
    Progress,
    Reach,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    ToolCallDelta,
)

_COSTS_ITS_DEADLINE = (ErrorKind.FIRST_TOKEN_TIMEOUT, ErrorKind.STALLED, ErrorKind.TOTAL_TIMEOUT)

_FAR_AT_ONCE = 4  # to begin with; a provider that keeps up gets more, one that says 429 gets fewer


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one backend. `needs` are the capabilities beside completion, `batch` says that nobody
    waits at a screen, `budget` what remains of the caller's time, in seconds.
    """

    messages: tuple[Message, ...]
    config: GenerationConfig
    reach: Reach
    model: str | None
    needs: frozenset[str] = frozenset()
    batch: bool = False
    budget: float | None = None


class LeftOut(Exception):
    """The breaker is open: the backend was not asked."""

    def __init__(self, shut: Shut) -> None:
        super().__init__(shut.detail)
        self.shut = shut


class Attempting:
    """One try of one backend. Use `open`, then `rest`; `close` in any case."""

    def __init__(
        self,
        backend: Backend,
        question: Question,
        shared: Shared,
        deadlines: Deadlines,
        *,
        number: int,
        last: bool,
        alone: bool,
    ) -> None:
        self.backend = backend
        self.held: list[BackendEvent] = []
        self.end: StreamEnd | None = None
        self.ttft: float | None = None
        self._question = question
        self._shared = shared
        self._deadlines = deadlines
        self._number = number
        self._last = last
        self._alone = alone
        self._place = place_of(backend, question.model)
        self._key = self._place.origin or self._place.backend
        self._holds = AsyncExitStack()
        self._permit: Permit | None = None
        self._hooked: HookRequest | None = None
        self._batches: AsyncGenerator[Sequence[BackendEvent], None] | None = None
        self._patience: Patience
        self._watch: Watch | None = None

    async def open(self) -> AsyncGenerator[Progress, None]:
        """Ask, and wait for the first output, which is then `held`. Yields what happens until then.

        Raises `BackendError`, `ReachError`, or `LeftOut`.
        """
        waiting = self._shared.limiter.waiting_at(self._key)
        if waiting:
            yield Progress(Phase.QUEUED, ahead=waiting)
        await self._take_place()
        await self._ask_breaker()
        question = await self._hooked_question()
        await self._hold_money(question)
        facts = self._circumstances(question)
        self._patience = Patience(facts, self._deadlines)
        self._watch = Watch(self._patience, self._deadlines)
        self._batches = self.backend.stream_batches(
            question.messages, question.config, model=question.model, allowed=question.reach
        )
        while not self.held:
            for event in await self._next():
                if self.held:
                    self.held.append(event)
                elif isinstance(event, Progress):
                    yield event
                elif _is_output(event) or isinstance(event, StreamEnd):
                    self.held.append(event)
        self.ttft = self._watch.elapsed()
        if self._permit is not None:
            self._permit.began()

    async def more(self) -> bool:
        """Hold back one more batch; False when there is none."""
        if self.end is not None or any(isinstance(event, StreamEnd) for event in self.held):
            return False
        self.held.extend(await self._next())
        return True

    async def rest(self) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """The answer, from its first output on; ends after its `StreamEnd`, which is in `end`."""
        batch: Sequence[BackendEvent] = self.held
        while True:
            if batch and type(batch[-1]) is StreamEnd:
                self.end = batch[-1]
            yield batch
            if self.end is not None:
                return
            batch = await self._next()

    def elapsed(self) -> float:
        """Seconds since the backend was asked."""
        return self._watch.elapsed() if self._watch is not None else 0.0

    async def succeeded(self, completion: Completion) -> None:
        """The answer is complete."""
        if self._permit is not None:
            self._permit.succeeded()
        if not self._place.local:
            self._shared.limiter.faster(self._key)
        speed = completion.usage.prompt_tokens_per_second
        self._shared.health.learn(self._asked_place, ttft=self.ttft, prompt_tokens_per_second=speed)
        if self._hooked is not None:
            hooked, self._hooked = self._hooked, None
            await to_the_end(self._shared.hooks.after(hooked, completion))

    def failed(self, error: BackendError | ReachError) -> None:
        """It went wrong: what the breaker and the limits are told."""
        if error.kind is ErrorKind.UNSUPPORTED and self._question.needs:
            self._shared.health.refused(self._asked_place, self._question.needs)
        if error.kind is ErrorKind.RATE_LIMITED and not self._place.local:
            self._shared.limiter.slower(self._key)
        if self._permit is None:
            return
        if isinstance(error, ReachError):
            self._permit.released()  # nothing was sent, by our own rule: nobody is at fault
        else:
            self._permit.failed(error.kind, error.retry_after)

    async def close(self) -> None:
        """Give back everything. What was neither told to have succeeded nor failed was cancelled."""
        if self._watch is not None:
            self._watch.stop()
        try:
            if self._batches is not None:
                await self._batches.aclose()
        finally:
            if self._permit is not None:
                self._permit.released()
            await self._holds.aclose()
            if self._hooked is not None:
                hooked, self._hooked = self._hooked, None
                await to_the_end(self._shared.hooks.cancelled(hooked))

    # --- on the way ---------------------------------------------------------------------------------------

    @property
    def _asked_place(self) -> Place:
        """Who was really asked: a model that nobody named is chosen on the way."""
        return place_of(self.backend, self._question.model)

    async def _take_place(self) -> None:
        limit = self.backend.slots if self._place.local else _FAR_AT_ONCE
        slot = self._shared.limiter.slot(self._key, limit=limit, batch=self._question.batch)
        try:
            async with asyncio.timeout(self._question.budget):
                await self._holds.enter_async_context(slot)
        except TimeoutError:
            raise BackendError(
                ErrorKind.TOTAL_TIMEOUT,
                f"{self.backend.name} was not asked.",
                "No place was free in the time that this answer was given.",
                "Ask again when fewer answers are being generated.",
                request_sent=False,
            ) from None

    async def _hold_money(self, question: Question) -> None:
        leave = await self._shared.leave_to_spend(
            self.backend,
            question.model,
            prompt_tokens=estimate_tokens(question.messages),
            max_tokens=question.config.max_tokens,
        )
        if leave is not None:
            self._holds.enter_context(leave)

    async def _ask_breaker(self) -> None:
        before = self._shared.health.standing(self._place).kind
        answer = self._shared.health.ask(self._place, alone=self._alone)
        if isinstance(answer, Shut):
            raise LeftOut(answer)
        self._permit = answer
        # A server that was silent would cost its whole deadline again: it answers a short question first.
        doubtful = answer.probe and before in _COSTS_ITS_DEADLINE and not self._alone
        if doubtful and not await self.backend.is_healthy():
            raise BackendError(
                ErrorKind.FIRST_TOKEN_TIMEOUT,
                f"{self.backend.name} still does not answer.",
                "It was silent before, and did not say what models it has.",
                "Restart it, or use another backend.",
                request_sent=False,
            )

    async def _hooked_question(self) -> Question:
        if not self._shared.hooks:
            return self._question
        question = self._question
        self._hooked = HookRequest(
            attempt=self._number,
            backend=self.backend.id,
            server_name=self.backend.name,
            model=question.model or self.backend.model_id,
            reach=self.backend.config.reach or Reach.CLOUD,
            messages=question.messages,
            config=question.config,
        )
        self._hooked = await self._shared.hooks.before(self._hooked)
        return replace(question, messages=self._hooked.messages, config=self._hooked.config)

    def _circumstances(self, question: Question) -> Circumstances:
        health = self._shared.health
        return Circumstances(
            reach=self.backend.config.reach or Reach.CLOUD,
            last=self._last,
            prompt_tokens=estimate_tokens(question.messages),
            prompt_speed=health.prompt_speed(self._place),
            ttft_p95=health.first_token_p95(self._place),
            reasoning=question.config.reasoning not in (None, "off"),
            budget=question.budget,
        )

    async def _next(self) -> Sequence[BackendEvent]:
        assert self._watch is not None
        assert self._batches is not None
        try:
            batch = await self._watch.next(self._batches)
        except StopAsyncIteration:
            raise BackendError(
                ErrorKind.TRUNCATED, f"{self.backend.name} stopped before its answer was complete."
            ) from None
        except TimeoutError:
            raise self._silence() from None
        now = self._watch.elapsed()
        if not batch:
            self._patience.life(now)
            return batch
        last = batch[-1]
        if isinstance(last, Progress):
            self._patience.progress(last, now)
        else:
            self._patience.output(now)
        return batch

    def _silence(self) -> BackendError:
        name, now = self.backend.name, self.elapsed()
        kind = self._patience.kind(now)
        if kind is ErrorKind.TOTAL_TIMEOUT:
            return BackendError(
                kind,
                f"{name} did not finish within {_seconds(now)} s.",
                "That is the most time this answer was given.",
                "Ask for a shorter answer, or use another backend.",
            )
        if kind is ErrorKind.STALLED:
            return BackendError(
                kind,
                f"{name} sent nothing more for {_seconds(now - self._patience.progress_at)} s.",
                "The model or the server hangs.",
                "Try again, or use another backend.",
            )
        read = self._patience.read
        return BackendError(
            kind,
            f"{name} did not begin to answer within {_seconds(now)} s.",
            "It accepted the question, but the model sent nothing."
            if read is None
            else f"It stopped after reading {read:.0%} of the prompt.",
            "Try a smaller model, a shorter message, or another backend.",
        )


def _seconds(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _is_output(event: BackendEvent) -> bool:
    match event:
        case TextDelta(piece) | ReasoningDelta(piece):
            return bool(piece)
        case ToolCallDelta():
            return True
        case _:
            return False
