"""One attempt: a backend asked once, watched, and everything it holds given back exactly once.

Data flow: `open` (a free place -> the permit of its breaker -> hooks -> money -> `backend.stream_batches`)
-> `wait` (until the first output, which is held back here) -> `batch` after `batch` -> `close`.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError, ReachError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.llm.deadline import Circumstances, Patience, Watch
from whisper_desktop.llm.health import Permit, Place, Shut
from whisper_desktop.llm.hooks import HookRequest
from whisper_desktop.llm.messages import estimate_tokens
from whisper_desktop.llm.places import model_of, place_of, reach_of
from whisper_desktop.llm.question import Question
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import (
    BackendEvent,
    Completion,
    Deadlines,
    ErrorKind,
    Phase,
    Progress,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    ToolCallDelta,
)
from whisper_desktop.wire.endings import to_the_end

log = logging.getLogger(__name__)

_COSTS_ITS_DEADLINE = (ErrorKind.FIRST_TOKEN_TIMEOUT, ErrorKind.STALLED, ErrorKind.TOTAL_TIMEOUT)
_FAR_AT_ONCE = 4  # to begin with; a provider that keeps up gets more, one that says 429 gets fewer
_CHARACTERS_A_TOKEN = 4  # of English text, for most vocabularies


class LeftOut(Exception):
    """The breaker is open: the backend was not asked."""

    def __init__(self, shut: Shut) -> None:
        super().__init__(shut.detail)
        self.shut = shut


class Attempting:
    """One try of one backend. `open` it, `wait` until something is `held`, take one `batch` after the other
    until it is `complete`; each of these raises `BackendError` or `ReachError`. `close` it in any case.

    `hooked` is what the hooks made of the question when this try repeats one that found the model loading.
    """

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
        hooked: HookRequest | None = None,
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
        self._local = self._place.local
        self._key = self._place.origin or self._place.backend
        self._holds = AsyncExitStack()
        self._permit: Permit | None = None
        self._hooked = hooked
        self._batches: AsyncGenerator[Sequence[BackendEvent], None] | None = None
        self._characters = 0
        self._paid = backend.is_paid(self._place.model)
        self._over = False
        self._patience: Patience
        self._watch: Watch | None = None

    @property
    def queued(self) -> Progress | None:
        """That it will have to wait for a place, and how many before it."""
        limiter = self._shared.limiter
        known = limiter.limit_at(self._key)
        ahead = limiter.waiting_at(self._key)
        if ahead or (known is not None and limiter.active_at(self._key) >= known):
            return Progress(Phase.QUEUED, ahead=ahead)
        return None

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end, which is then in `end`."""
        return self.end is not None

    async def open(self) -> None:
        """Ask. May also raise `LeftOut`."""
        question = await self._prepared()
        self._patience = Patience(self._circumstances(question), self._deadlines)
        self._watch = Watch(self._patience, self._deadlines)
        self._batches = self.backend.stream_batches(
            question.messages, question.config, model=question.model, allowed=question.reach
        )

    async def wait(self) -> Sequence[Progress]:
        """Wait for something to happen. What comes from the first output on is `held`, the rest returned."""
        assert self._watch is not None
        news: list[Progress] = []
        for event in await self._next():
            if self.held or _begins(event):
                self.held.append(event)
            elif isinstance(event, Progress):
                news.append(event)
        if self.held:
            self.ttft = self._watch.elapsed()
            if self._permit is not None:
                self._permit.began()
        return news

    async def more(self) -> bool:
        """Hold back one more batch; False when there is none."""
        if any(isinstance(event, StreamEnd) for event in self.held):
            return False
        self.held.extend(await self._next())
        return True

    async def batch(self) -> Sequence[BackendEvent]:
        """The next batch of the answer, at first what was held, without the `StreamEnd`."""
        batch: Sequence[BackendEvent]
        if self.held:
            batch, self.held = self.held, []
        else:
            batch = await self._next()
        if batch and type(batch[-1]) is StreamEnd:
            self.end = batch[-1]
            return batch[:-1]
        return batch

    def elapsed(self) -> float:
        """Seconds since the backend was asked."""
        return self._watch.elapsed() if self._watch is not None else 0.0

    async def succeeded(self, completion: Completion) -> None:
        """The answer is complete."""
        self._over = True
        if self._permit is not None:
            self._permit.succeeded()
        if not self._local:
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
        if error.kind is ErrorKind.RATE_LIMITED and not self._local:
            self._shared.limiter.slower(self._key)
        if self.ttft is None and error.kind not in _COSTS_ITS_DEADLINE:
            self._over = True  # refused, so nothing is charged
        if self._permit is None:
            return
        # A refusal of our own, and the end of the caller's patience, are nobody's fault.
        ours = isinstance(error, ReachError) or self._question.out_of_time
        if isinstance(error, ReachError) or ours:
            self._permit.released()
        else:
            self._permit.failed(error.kind, error.retry_after)

    def overtaken(self) -> None:
        """Somebody else was faster. Silence for so long that another one was asked is a failure, too."""
        silent = self._watch is not None and self._patience.progress_at == 0.0 and self.ttft is None
        if silent and self._permit is not None and self.elapsed() >= self._deadlines.hedge:
            self._permit.failed(ErrorKind.FIRST_TOKEN_TIMEOUT)

    async def close(self, *, again: bool = False) -> HookRequest | None:
        """Give back everything. What was neither told to have succeeded nor failed was cancelled.

        `again` says that the same backend is asked once more for the same: the hooks hear nothing of that,
        and what they made of the question is returned.
        """
        if self._watch is not None:
            self._watch.stop()
        try:
            if self._batches is not None:
                await self._batches.aclose()
        finally:
            if self._permit is not None:
                self._permit.released()
            hooked, self._hooked = self._hooked, None
            in_vain, self._over = self._batches is not None and not self._over, True
            try:
                if in_vain:  # before the money that was held is free again
                    await to_the_end(self._count_in_vain())
            finally:
                await self._holds.aclose()
                if hooked is not None and not again:
                    await to_the_end(self._shared.hooks.cancelled(hooked))
        return hooked if again else None

    # --- on the way ---------------------------------------------------------------------------------------

    @property
    def _asked_place(self) -> Place:
        """Where it was really asked: the backend may have chosen the model only now."""
        return place_of(self.backend, self._question.model)

    async def _prepared(self) -> Question:
        """The question as the hooks want it, with everything taken that the attempt holds."""
        try:
            async with asyncio.timeout(self._question.time_left()):
                await self._take_place()
                await self._ask_breaker()
                question = await self._hooked_question()
                await self._hold_money(question)
                return question
        except TimeoutError:
            raise BackendError(
                ErrorKind.TOTAL_TIMEOUT,
                tr("{backend_name} was not asked.", backend_name=self.backend.name),
                tr("The time that this answer was given was over before."),
                tr("Give it more time, or ask when fewer answers are being generated."),
                request_sent=False,
            ) from None
        except (BackendError, ReachError, LeftOut):
            raise
        except Exception as error:
            raise _converted(self.backend, error) from None

    async def _take_place(self) -> None:
        limit = self.backend.slots if self._local else _FAR_AT_ONCE
        slot = self._shared.limiter.slot(self._key, limit=limit, batch=self._question.batch)
        await self._holds.enter_async_context(slot)

    async def _hold_money(self, question: Question) -> None:
        leave = await self._shared.leave_to_spend(
            self.backend,
            model_of(self.backend, question.model),
            prompt=question.messages,
            config=question.config,
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
        if doubtful and not await self._says_something():
            raise BackendError(
                ErrorKind.FIRST_TOKEN_TIMEOUT,
                tr("{backend_name} still does not answer.", backend_name=self.backend.name),
                tr("It was silent before, and did not say what models it has."),
                tr("Ask again later, or use another backend."),
                request_sent=False,
            )

    async def _says_something(self) -> bool:
        try:
            async with asyncio.timeout(self._deadlines.probe_request):
                return await self.backend.is_healthy()
        except TimeoutError:
            return False

    async def _hooked_question(self) -> Question:
        if not self._shared.hooks:
            return self._question
        question = self._question
        if self._hooked is None:
            model = model_of(self.backend, question.model)
            asked = HookRequest(
                attempt=self._number,
                backend=self.backend.id,
                server_name=self.backend.name,
                model=model,
                reach=reach_of(self.backend, model),
                messages=question.messages,
                config=question.config,
            )
            self._hooked = asked
            self._hooked = await self._shared.hooks.before(asked)
        return replace(question, messages=self._hooked.messages, config=self._hooked.config)

    def _circumstances(self, question: Question) -> Circumstances:
        health = self._shared.health
        return Circumstances(
            reach=reach_of(self.backend, self._place.model),
            last=self._last,
            prompt_tokens=estimate_tokens(question.messages),
            prompt_speed=health.prompt_speed(self._place),
            ttft_p95=health.first_token_p95(self._place),
            reasoning=question.config.reasoning not in (None, "off"),
            budget=question.time_left(),
        )

    async def _next(self) -> Sequence[BackendEvent]:
        assert self._watch is not None
        assert self._batches is not None
        try:
            batch = await self._watch.next(self._batches)
        except StopAsyncIteration:
            raise BackendError(
                ErrorKind.TRUNCATED,
                tr("{backend_name} stopped before its answer was complete.", backend_name=self.backend.name),
            ) from None
        except TimeoutError:
            raise self._silence() from None
        except (BackendError, ReachError):
            raise
        except Exception as error:
            raise _converted(self.backend, error) from None
        now = self._watch.elapsed()
        if not batch:
            self._patience.life(now)
            return batch
        last = batch[-1]
        if isinstance(last, Progress):
            self._patience.progress(last, now)
        else:
            self._patience.output(now)
            if self._paid:
                self._characters += sum(map(_length, batch))
        return batch

    async def _count_in_vain(self) -> None:
        """A paid answer that nobody gets may cost all the same."""
        if self._paid:
            await self._shared.spent_in_vain(
                self.backend,
                model_of(self.backend, self._question.model),
                prompt_tokens=estimate_tokens(self._question.messages),
                completion_tokens=self._characters // _CHARACTERS_A_TOKEN,
            )

    def _silence(self) -> BackendError:
        name, now = self.backend.name, self.elapsed()
        kind = self._patience.kind(now)
        if kind is ErrorKind.TOTAL_TIMEOUT:
            return BackendError(
                kind,
                tr("{name} did not finish within {seconds} s.", name=name, seconds=_seconds(now)),
                tr("That is the most time this answer was given."),
                tr("Ask for a shorter answer, or use another backend."),
            )
        if kind is ErrorKind.STALLED:
            return BackendError(
                kind,
                tr(
                    "{name} sent nothing more for {seconds} s.",
                    name=name,
                    seconds=_seconds(now - self._patience.progress_at),
                ),
                tr("The model or the server hangs."),
                tr("Try again, or use another backend."),
            )
        read = self._patience.read
        return BackendError(
            kind,
            tr("{name} did not begin to answer within {seconds} s.", name=name, seconds=_seconds(now)),
            tr("It accepted the question, but the model sent nothing.")
            if read is None
            else tr("It stopped after reading {read:.0%} of the prompt.", read=read),
            tr("Try a smaller model, a shorter message, or another backend."),
        )


def _converted(backend: Backend, error: Exception) -> BackendError:
    """What is neither a failure of a server nor a matter of reach, as a failure of this attempt."""
    if isinstance(error, WhisperError):
        return BackendError(
            ErrorKind.NOT_CONFIGURED, error.title, error.detail, error.next_step, request_sent=False
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = tr(
        "{name} in {path_name}, line {lineno}",
        name=type(error).__name__,
        path_name=Path(last.filename).name,
        lineno=last.lineno,
    )
    log.warning("The backend %s failed by a mistake of its own: %s.", backend.id, where)
    return BackendError(
        ErrorKind.SERVER_ERROR,
        tr("{backend_name} could not be asked.", backend_name=backend.name),
        tr("A mistake in the program is the reason ({where}).", where=where),
        tr("Use another backend, and report this."),
    )


def _seconds(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _length(event: BackendEvent) -> int:
    """How many characters a model wrote for an event."""
    match event:
        case TextDelta(piece) | ReasoningDelta(piece):
            return len(piece)
        case ToolCallDelta(call):
            return len(call.name) + len(call.arguments)
        case _:
            return 0


def _begins(event: BackendEvent) -> bool:
    """Whether an answer begins with it. One that ends without a word has begun, too."""
    match event:
        case TextDelta(piece) | ReasoningDelta(piece):
            return bool(piece)
        case _:
            return isinstance(event, ToolCallDelta | StreamEnd)
