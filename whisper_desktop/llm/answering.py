"""One question on its way through a chain: who is tried, what came, and how it ended.

The rules are `decisions`, one try is `attempt`, two side by side are `race`, the words are `failures`; this
puts them in order. Every way out is one of three: an `AnswerFinished` event as the last one, an exception, or
the caller closing the generator, which closes the socket at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import (
    BackendError,
    Interrupted,
    ReachError,
    WhisperError,
)
from whisper_desktop.llm import failures
from whisper_desktop.llm.attempt import Attempting, LeftOut, Question
from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.decisions import (
    Action,
    Position,
    after_interruption,
    decide,
    may_ask,
    may_hedge,
    reason_for,
)
from whisper_desktop.llm.endings import to_the_end
from whisper_desktop.llm.health import Shut
from whisper_desktop.llm.messages import estimate_tokens
from whisper_desktop.llm.places import place_of
from whisper_desktop.llm.race import Race
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    BackendEvent,
    Completion,
    Deadlines,
    ErrorKind,
    Message,
    OnInterruption,
    Phase,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    Role,
    SetupGuidance,
    StreamEnd,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

Guidance = Callable[[tuple[Attempt, ...]], SetupGuidance]
Failure = BackendError | ReachError

_SHORTEST_MEASURE_S = 0.001
_ECHO = 8  # characters: a continuation that repeats so much of the beginning, and no more, has begun anew
_TOO_SHORT_TO_CONTINUE = 8
_SOONEST_HEDGE = 0.25  # of Deadlines.hedge: who usually answers in milliseconds may take a second for once


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a question is to be answered, beside what is asked.

    `hedge` allows the next backend to be asked side by side, `hedge_paid` also one that costs money;
    `timeout` is what the caller gives the whole answer, in seconds.
    """

    on_interruption: OnInterruption = OnInterruption.STOP
    hedge: bool = True
    hedge_paid: bool = False
    timeout: float | None = None


class Answering:
    """The run of one question. Use `batches` once."""

    def __init__(
        self,
        steps: Sequence[Backend],
        question: Question,
        wishes: Wishes,
        shared: Shared,
        deadlines: Deadlines,
        *,
        guidance: Guidance | None = None,
    ) -> None:
        self._todo = list(steps)
        self.only = len(self._todo) == 1
        self._question = question
        self._wishes = wishes
        self._shared = shared
        self._deadlines = deadlines
        self._guidance = guidance
        self._id = shared.new_id()
        self._asked = time.monotonic()
        self._answered = False
        self._side_by_side = False
        self._first_at: float | None = None
        self._winner: Attempting | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._seams: list[int] = []
        self._attempts: list[Attempt] = []
        self._errors: list[Failure] = []
        self._resting: list[Backend] = []
        self._too_small: int | None = None
        self._broke_off: tuple[Attempt, Failure, OnInterruption] | None = None

    async def batches(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Everything that happens, in batches; the last event is `AnswerFinished`."""
        metrics = self._shared.metrics
        metrics.started(self._id, batch=self._question.batch)
        over = metrics.cancelled
        try:
            async with aclosing(self._answers()) as answers:
                async for batch in answers:
                    yield batch
        except Interrupted:
            over = metrics.interrupted
            raise
        except WhisperError:
            over = metrics.failed
            raise
        finally:
            if not self._answered:
                over(self._id)

    async def _answers(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        try:
            while not self._answered:
                async with aclosing(self._find()) as finding:
                    async for event in finding:
                        yield (event,)
                async with aclosing(self._answer_of(self._winner)) as batches:
                    async for batch in batches:
                        yield batch
        finally:
            await self._close_winner()

    async def _answer_of(self, winner: Attempting | None) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """What the one who answers says, to its end or until it breaks off."""
        if winner is None:
            raise self._nobody_answered()
        try:
            yield await self._begin(winner)
            async with aclosing(winner.rest()) as batches:
                async for batch in batches:
                    self._keep(batch)
                    if winner.end is None:
                        yield batch  # type: ignore[misc]  # without its end a backend's events are the chain's
                    else:
                        yield [*batch[:-1], await self._finish(winner, winner.end)]  # type: ignore[list-item]
            return
        except (BackendError, ReachError) as error:
            failure = error
            winner.failed(error)
        await self._close_winner()
        yield (self._interrupted(winner.backend, failure, winner.elapsed()),)

    async def _close_winner(self) -> None:
        winner, self._winner = self._winner, None
        if winner is not None:
            await winner.close()

    # --- finding somebody who answers ---------------------------------------------------------------------

    async def _find(self) -> AsyncGenerator[StreamEvent, None]:
        """Ask one after another until one begins to answer: `self._winner`."""
        loading: list[Backend] = []
        while self._todo and self._winner is None:
            backend = self._todo.pop(0)
            refusal = self._refusal(backend)
            if refusal is not None:
                yield AttemptFailed(self._record(backend, refusal, 0.0, skipped=True))
                continue
            opening = _Opening(self, backend)
            async with aclosing(self._events_of(opening)) as events:
                async for event in events:
                    yield event
            if opening.loading:
                loading.append(backend)
        async with aclosing(self._last_resort(loading)) as events:
            async for event in events:
                yield event

    async def _events_of(self, opening: "_Opening") -> AsyncGenerator[StreamEvent, None]:
        rival = self._rival(opening.backend)
        if rival is None:
            async with aclosing(opening.events()) as events:
                async for event in events:
                    yield event
            self._winner = opening.won
            return
        race = Race(opening, lambda: self._second(rival), self._hedge_after(opening.backend))
        try:
            async with aclosing(race.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._side_by_side = False
            self._winner = race.won.won if race.won is not None else None
            await to_the_end(*(loser.close() for loser in race.lost))
        for loser in race.lost:
            yield AttemptFailed(self._record(loser.backend, failures.slower(loser.backend), loser.seconds))

    async def _last_resort(self, loading: list[Backend]) -> AsyncGenerator[StreamEvent, None]:
        """Nobody answered: those that were loading are waited for; else one that rests is asked after all."""
        candidates = loading
        asked = {attempt.url for attempt in self._attempts if not attempt.skipped}
        no_network = any(each.kind is ErrorKind.OFFLINE and not each.skipped for each in self._attempts)
        resting = [
            backend
            for backend in self._resting
            if backend.base_url not in asked
            and not (no_network and backend.config.reach is not Reach.THIS_MACHINE)
        ]
        self._resting.clear()
        if not candidates and resting:
            places = [place_of(backend, self._question.model) for backend in resting]
            candidates = [resting[self._shared.health.soonest(places)]]
        for backend in candidates:
            if self._winner is not None:
                return
            opening = _Opening(self, backend, alone=True)
            async with aclosing(opening.events()) as events:
                async for event in events:
                    yield event
            self._winner = opening.won

    def later_step(self) -> bool:
        """Whether anybody after, or beside, the present step could answer."""
        return self._side_by_side or self._somebody_left()

    def _somebody_left(self) -> bool:
        return any(self._refusal(backend, looking=True) is None for backend in self._todo)

    def _rival(self, first: Backend) -> Backend | None:
        """Who could be asked side by side with this one, if it is slow."""
        if not self._wishes.hedge or self._broke_off is not None:
            return None
        for backend in self._todo:
            if self._refusal(backend, looking=True) is None:
                reach = backend.config.reach or Reach.CLOUD
                paid_allowed = self._wishes.hedge_paid
                allowed = may_hedge(
                    reach=reach, ready=backend.ready, paid=backend.paid, paid_allowed=paid_allowed
                )
                return backend if allowed else None
        return None

    def _second(self, rival: Backend) -> "_Opening | None":
        if rival not in self._todo or self._refusal(rival) is not None:
            return None
        self._todo.remove(rival)
        self._side_by_side = True
        return _Opening(self, rival)

    def _hedge_after(self, backend: Backend) -> float:
        learnt = self._shared.health.first_token_p95(place_of(backend, self._question.model))
        most = self._deadlines.hedge
        return most if learnt is None else min(most, max(learnt, most * _SOONEST_HEDGE))

    def _refusal(self, backend: Backend, *, looking: bool = False) -> Failure | None:
        """Why a step is not asked at all; None where it is. `looking` changes nothing."""
        question = self._question
        if not may_ask(backend.config.reach, question.reach):
            return failures.needs_consent(backend)
        place = place_of(backend, question.model)
        lacking = question.needs - backend.capabilities
        if lacking or self._shared.health.is_refused(place, question.needs):
            return failures.cannot(backend, lacking or question.needs)
        if self._too_small is not None and (backend.context_length or 0) <= self._too_small:
            return failures.no_larger(backend)
        standing = self._shared.health.standing(place)
        if self.only or standing.state not in (State.OPEN, State.BLOCKED):
            return None
        if not looking:
            self._resting.append(backend)
        return failures.resting(backend, standing.kind, self._shared.health.why(place))

    # --- used by the openings -----------------------------------------------------------------------------

    def attempting(self, backend: Backend, *, alone: bool) -> Attempting:
        """The next try of a backend, with what is left of the time."""
        self._shared.seen(backend)
        self._shared.metrics.asking(self._id, backend.id, self._question.model or backend.model_id)
        return Attempting(
            backend,
            self._question_for(backend),
            self._shared,
            self._deadlines,
            number=len(self._attempts) + 1,
            last=not self._somebody_left(),
            alone=alone,
        )

    def decide(self, failure: Failure, waited: float, retried: bool) -> tuple[Action, float]:
        """What to do about a failure before any output."""
        if self._continues and failure.kind in (ErrorKind.BAD_REQUEST, ErrorKind.UNSUPPORTED):
            return Action.RETRY, 0.0  # it does not go on with others' text: it is asked to begin anew
        position = Position(
            later_step=self.later_step(),
            retried=retried,
            waited=waited,
            empty_before=any(attempt.kind is ErrorKind.EMPTY for attempt in self._attempts),
            batch=self._question.batch,
        )
        retry_after = failure.retry_after if isinstance(failure, BackendError) else None
        decision = decide(failure.kind, position, self._deadlines, retry_after)
        return decision.action, decision.pause

    def note(self, backend: Backend, failure: Failure, seconds: float, action: Action) -> AttemptFailed:
        """Record a failed try. Raises the failure where the chain stops with it."""
        if self._continues and failure.kind in (ErrorKind.BAD_REQUEST, ErrorKind.UNSUPPORTED):
            self._begin_anew()
        attempt = self._record(backend, failure, seconds)
        if action is Action.MOVE_ON_TO_LARGER:
            known = backend.context_length or estimate_tokens(self._question.messages)
            self._too_small = max(known, self._too_small or 0)
        if action is Action.STOP and self._broke_off is None:
            failure.attempts = tuple(self._attempts)
            raise failure
        return AttemptFailed(attempt)

    def left_out(self, backend: Backend, shut: Shut, *, alone: bool) -> AttemptFailed:
        """Record a step whose breaker opened while it waited, or that wants to be left alone."""
        if not alone:
            self._resting.append(backend)
        return AttemptFailed(self._record(backend, failures.resting(backend, shut.kind, shut.detail), 0.0, skipped=True))

    async def pause(self, seconds: float) -> None:
        """Wait, as long as the caller's time lasts."""
        await asyncio.sleep(min(seconds, self._time_left()))

    def _time_left(self) -> float:
        limit = self._wishes.timeout
        return float("inf") if limit is None else max(limit - (time.monotonic() - self._asked), 0.0)

    def worth_waiting(self, seconds: float) -> bool:
        """Whether a server that wants to be left alone for so long is waited for."""
        batch = self._question.batch
        most = self._deadlines.retry_after_most_batch if batch else self._deadlines.retry_after_most
        return seconds <= min(most, self._time_left())

    # --- the answer ---------------------------------------------------------------------------------------

    async def _begin(self, winner: Attempting) -> Sequence[StreamEvent]:
        """What is said before the first piece of an answer."""
        backend = winner.backend
        started = AnswerStarted(backend.id, backend.name, self._model_of(backend, None), _reach(backend))
        if self._first_at is None:
            self._first_at = time.monotonic()
        if self._broke_off is None:
            return (started,)
        attempt, _, wish = self._broke_off
        self._shared.metrics.restarted()
        partial = "".join(self._text)
        self._broke_off = None
        if wish is OnInterruption.CONTINUE and await _goes_on(winner, partial):
            self._seams.append(len(partial))
            return (AnswerContinued(attempt, len(partial)), started)
        restarted = AnswerRestarted(attempt, partial, "".join(self._reasoning))
        self._text, self._reasoning, self._seams = [], [], []
        self._first_at = time.monotonic()
        return (restarted, started)

    def _keep(self, batch: Sequence[object]) -> None:
        for event in batch:
            kind = type(event)
            if kind is TextDelta:
                self._text.append(event.text)  # type: ignore[attr-defined]
            elif kind is ReasoningDelta:
                self._reasoning.append(event.reasoning)  # type: ignore[attr-defined]
            elif kind is ToolCallDelta:
                self._calls.append(event.call)  # type: ignore[attr-defined]

    def _interrupted(self, backend: Backend, failure: Failure, seconds: float) -> AttemptFailed:
        """The answer broke off after its first output: who goes on is decided, or `Interrupted` is raised."""
        attempt = self._record(backend, failure, seconds)
        plain = not (self._reasoning or self._question.needs)
        long_enough = sum(map(len, self._text)) >= _TOO_SHORT_TO_CONTINUE
        wish = after_interruption(
            self._wishes.on_interruption,
            kind=failure.kind,
            tool_called=bool(self._calls),
            plain_text=plain and long_enough,
        )
        self._broke_off = (attempt, failure, wish)
        if wish is OnInterruption.STOP or not self.later_step():
            raise self._broken(failure)
        return AttemptFailed(attempt)

    def _question_for(self, backend: Backend) -> Question:
        question = self._question
        if self._wishes.timeout is not None:
            question = replace(question, budget=self._time_left())
        if self._continues and "prefill" in backend.capabilities:
            partial = Message(Role.ASSISTANT, "".join(self._text))
            return replace(question, messages=(*question.messages, partial))
        if self._continues:
            self._begin_anew()
        return question

    @property
    def _continues(self) -> bool:
        return self._broke_off is not None and self._broke_off[2] is OnInterruption.CONTINUE

    def _begin_anew(self) -> None:
        assert self._broke_off is not None
        self._broke_off = (*self._broke_off[:2], OnInterruption.RESTART)

    async def _finish(self, winner: Attempting, end: StreamEnd) -> AnswerFinished:
        now = time.monotonic()
        backend = winner.backend
        failed = tuple(self._attempts)
        model = self._model_of(backend, end.model)
        answered = Attempt(
            backend.id,
            backend.name,
            backend.base_url,
            model,
            None,
            f"{backend.name} answered.",
            winner.elapsed(),
        )
        usage = await self._shared.priced(backend, model, end.usage)
        provenance = Provenance(
            backend=backend.id,
            server_name=backend.name,
            url=backend.base_url,
            model=model,
            reach=_reach(backend),
            as_given=backend.config.as_given,
            reason=reason_for(backend.name, failed),
            attempts=(*failed, answered),
            ttft_seconds=None if self._first_at is None else self._first_at - self._asked,
            total_seconds=now - self._asked,
            tokens_per_second=usage.tokens_per_second or self._measured(end, now),
            usage=usage,
        )
        completion = Completion(
            "".join(self._text),
            "".join(self._reasoning),
            end.finish_reason,
            usage,
            provenance,
            tuple(self._calls),
            tuple(self._seams),
        )
        await winner.succeeded(completion)
        speed = provenance.tokens_per_second
        self._shared.metrics.attempt(answered, ttft=winner.ttft, tokens_per_second=speed, usage=usage)
        self._shared.metrics.answered(self._id, provenance)
        self._answered = True
        return AnswerFinished(completion)

    def _measured(self, end: StreamEnd, now: float) -> float | None:
        """Tokens a second between the first token and the end; None where there is too little to measure."""
        tokens = end.usage.completion_tokens
        if (
            tokens is None
            or tokens < 2
            or self._first_at is None
            or now - self._first_at < _SHORTEST_MEASURE_S
        ):
            return None
        return (tokens - 1) / (now - self._first_at)

    def _model_of(self, backend: Backend, answered: str | None) -> str:
        return answered or backend.model_id or self._question.model or ""

    # --- failures -----------------------------------------------------------------------------------------

    def _record(
        self, backend: Backend, failure: Failure, seconds: float, *, skipped: bool = False
    ) -> Attempt:
        attempt = Attempt(
            backend=backend.id,
            server_name=backend.name,
            url=backend.base_url,
            model=self._question.model or backend.model_id,
            kind=failure.kind,
            detail=f"{failure.title} {failure.detail}".strip(),
            seconds=seconds,
            status=failure.status if isinstance(failure, BackendError) else None,
            skipped=skipped,
        )
        self._attempts.append(attempt)
        self._errors.append(failure)
        self._shared.metrics.attempt(attempt)
        return attempt

    def _broken(self, failure: Failure) -> Interrupted:
        return failures.broken("".join(self._text), failure, tuple(self._attempts))

    def _nobody_answered(self) -> WhisperError:
        if self._broke_off is not None:
            return self._broken(self._broke_off[1])
        attempts = tuple(self._attempts)
        guidance = self._guidance(attempts) if self._guidance is not None else None
        return failures.nobody_answered(attempts, self._errors, guidance)


class _Opening:
    """One step, tried until it begins to answer (`won`) or is given up; waits and second tries included."""

    def __init__(self, run: Answering, backend: Backend, *, alone: bool = False) -> None:
        self.backend = backend
        self.won: Attempting | None = None
        self.loading = False
        self._run = run
        self._alone = alone or run.only
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been tried."""
        return time.monotonic() - self._began

    async def close(self) -> None:
        """Let go of an answer that has begun and is not wanted: another one began first."""
        if self.won is not None:
            await self.won.close()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """What happens until the first output. Raises what stops the whole chain."""
        retried = False
        while True:
            attempt = self._run.attempting(self.backend, alone=self._alone or retried)
            try:
                async with aclosing(attempt.open()) as progress:
                    async for event in progress:
                        yield event
                self.won = attempt
                return
            except LeftOut as left_out:
                pause = left_out.shut.until - time.monotonic()
                if not self._alone or not self._run.worth_waiting(pause):
                    yield self._run.left_out(self.backend, left_out.shut, alone=self._alone)
                    return
                await self._run.pause(pause)
                continue
            except (BackendError, ReachError) as error:
                failure = error
                attempt.failed(error)
            finally:
                if self.won is None:
                    await attempt.close()
            action, pause = self._run.decide(failure, self.seconds, retried)
            self.loading = failure.kind is ErrorKind.LOADING and not self._alone
            if action is Action.WAIT:
                yield Progress(Phase.LOADING)
                await self._run.pause(pause)
                continue
            failed = self._run.note(self.backend, failure, self.seconds, action)
            yield failed
            if action is not Action.RETRY:
                return
            retried = True
            await self._run.pause(pause)


async def _goes_on(winner: Attempting, partial: str) -> bool:
    """Whether a backend that was asked to go on with a text does so; else it has begun anew.

    Some servers (llama.cpp among them) repeat the whole text first: that is left out.
    """
    while True:
        said = "".join(event.text for event in winner.held if isinstance(event, TextDelta))
        if said.startswith(partial):
            winner.held[:] = _without(winner.held, len(partial))
            return True
        if not partial.startswith(said) or not await winner.more():
            return not said.startswith(partial[:_ECHO])


def _without(events: Sequence[BackendEvent], length: int) -> list[BackendEvent]:
    """The events without the first `length` characters of their text."""
    kept: list[BackendEvent] = []
    for event in events:
        if isinstance(event, TextDelta):
            text, length = event.text[length:], max(length - len(event.text), 0)
            event = TextDelta(text)
        kept.append(event)
    return kept


def _reach(backend: Backend) -> Reach:
    return backend.config.reach or Reach.CLOUD  # Never nearer than what is known.
