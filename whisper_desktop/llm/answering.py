"""One question on its way through a chain: who is tried, what came, and how it ended.

`chain` knows who is left, `opening` tries one of them, `race` two side by side, `transcript` keeps what was
handed out, `decisions` has the rules and `failures` the words; this puts them in order. Every way out is one
of three: an `AnswerFinished` event as the last one, an exception, or the caller closing the generator, which
closes the socket at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError, Interrupted, ReachError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.llm import failures
from whisper_desktop.llm.attempt import Attempting
from whisper_desktop.llm.chain import Chain
from whisper_desktop.llm.decisions import (
    Action,
    Decision,
    Position,
    after_interruption,
    decide,
    is_failover,
    longest_wait,
    reason_for,
    told_apart,
)
from whisper_desktop.llm.failures import Failure
from whisper_desktop.llm.health import Shut
from whisper_desktop.llm.hooks import HookRequest
from whisper_desktop.llm.messages import estimate_tokens
from whisper_desktop.llm.opening import Opening
from whisper_desktop.llm.places import model_of, place_of, reach_of
from whisper_desktop.llm.question import Question, Wishes
from whisper_desktop.llm.race import Race
from whisper_desktop.llm.shared import Shared
from whisper_desktop.llm.transcript import Transcript
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Completion,
    Deadlines,
    ErrorKind,
    Message,
    OnInterruption,
    Provenance,
    Role,
    SetupGuidance,
    StreamEnd,
    StreamEvent,
    TextDelta,
)
from whisper_desktop.wire.endings import to_the_end

Guidance = Callable[[tuple[Attempt, ...]], SetupGuidance]

_SHORTEST_MEASURE_S = 0.001
_SOONEST_HEDGE = 0.25  # of Deadlines.hedge: who usually answers in milliseconds may take a second for once
_REPEATED = 24  # characters: so many of the beginning once more are no coincidence
_REFUSES_A_BEGINNING = (ErrorKind.BAD_REQUEST, ErrorKind.UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class _Break:
    """An answer that broke off after part of it was handed out, and what is to be done about it."""

    attempt: Attempt
    failure: Failure
    wish: OnInterruption


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
        self._chain = Chain(steps, question, shared)
        self._question = question
        self._wishes = wishes
        self._shared = shared
        self._deadlines = deadlines
        self._guidance = guidance
        self._id = shared.new_id()
        self._asked = time.monotonic()
        self._first_at: float | None = None
        self._begun_at = self._asked
        self._transcript = Transcript()
        self._winner: Attempting | None = None
        self._answered = False
        self._race: Race[Opening] | None = None
        self._break: _Break | None = None
        self._attempts: list[Attempt] = []
        self._errors: list[Failure] = []
        self._recorded: list[Backend] = []
        self._backends: list[Backend] = []

    async def batches(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Everything that happens, in batches; the last event is `AnswerFinished`."""
        metrics = self._shared.metrics
        metrics.started(self._id, batch=self._question.batch)
        over = metrics.cancelled
        try:
            while not self._answered:
                async with aclosing(self._find()) as finding:
                    async for event in finding:
                        yield (event,)
                if self._winner is None:
                    raise self._nobody_answered()
                yield await self._first(self._winner)
                while self._winner is not None:
                    yield await self._next(self._winner)
        except Interrupted:
            over = metrics.interrupted
            raise
        except Exception:
            over = metrics.failed
            raise
        finally:
            if not self._answered:
                over(self._id)
            await self._close_winner()

    async def _first(self, winner: Attempting) -> Sequence[StreamEvent]:
        """That an answer begins, or that it broke off."""
        try:
            if self._continues and await self._repeats(winner):
                self._begin_anew()
            return self._begin(winner)
        except (BackendError, ReachError) as error:
            failure = error
        return await self._broke_off(winner, failure)

    async def _next(self, winner: Attempting) -> Sequence[StreamEvent]:
        """What comes next of an answer, or how it ended; `self._winner` is then None."""
        try:
            batch = () if winner.complete else await winner.batch()
        except (BackendError, ReachError) as error:
            failure = error
        else:
            if not batch and winner.complete:
                return (await self._finish(winner),)
            self._transcript.keep(batch)
            return batch  # type: ignore[return-value]  # without its end a backend's events are the chain's
        return await self._broke_off(winner, failure)

    async def _broke_off(self, winner: Attempting, failure: Failure) -> Sequence[StreamEvent]:
        winner.failed(failure)
        seconds = winner.elapsed()
        await self._close_winner()
        return (self._interrupted(winner.backend, failure, seconds),)

    async def _close_winner(self) -> None:
        winner, self._winner = self._winner, None
        if winner is not None:
            await winner.close()

    # --- finding somebody who answers ---------------------------------------------------------------------

    async def _find(self) -> AsyncGenerator[StreamEvent, None]:
        """Ask one after another until one begins to answer: `self._winner`."""
        while self._winner is None and (backend := self._chain.next()) is not None:
            refusal = self._chain.refusal(backend)
            if refusal is not None:
                if self._is_resting(backend):
                    self._chain.rests(backend)
                yield AttemptFailed(self._record(backend, refusal, 0.0, skipped=True))
                continue
            opening = Opening(self, backend, alone=self._chain.only)
            rival = self._rival()
            trying = opening.events() if rival is None else self._side_by_side(opening, rival)
            async with aclosing(trying) as events:
                async for event in events:
                    yield event
            if rival is None:
                self._tried(opening)
        if self._winner is None:
            async with aclosing(self._last_resort()) as events:
                async for event in events:
                    yield event

    def _tried(self, opening: Opening) -> None:
        self._winner = opening.won
        if opening.loading and opening.won is None:
            self._chain.loads(opening.backend)

    async def _side_by_side(self, opening: Opening, rival: Backend) -> AsyncGenerator[StreamEvent, None]:
        race = self._race = Race(opening, lambda: self._second(rival), self._hedge_after(opening.backend))
        try:
            async with aclosing(race.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._race = None
            self._winner = race.won.won if race.won is not None else None
            await to_the_end(*(each.close() for each in race.left))
        for loser in race.lost:
            yield AttemptFailed(self._record(loser.backend, failures.slower(loser.backend), loser.seconds))
        for each in race.tried:
            if each.loading and each.won is None:
                self._chain.loads(each.backend)

    async def _last_resort(self) -> AsyncGenerator[StreamEvent, None]:
        """Nobody answered: those that were loading are waited for, in turns; else one that rests is asked."""
        deadline = time.monotonic() + self._deadlines.loading_wait
        while self._winner is None and (backend := self._chain.next_loading()) is not None:
            opening = Opening(self, backend, alone=True, waits=not self._chain.somebody_left())
            async with aclosing(opening.events()) as events:
                async for event in events:
                    yield event
            self._tried(opening)
            if self._winner is None and opening.loading:
                if time.monotonic() >= deadline or self._question.out_of_time:
                    return
                await self.pause(self._deadlines.loading_poll)
        if self._winner is not None:
            return
        no_network = any(each.kind is ErrorKind.OFFLINE and not each.skipped for each in self._attempts)
        backend = self._chain.next_resting(no_network=no_network, asked=frozenset(self._backends))
        if backend is not None:
            opening = Opening(self, backend, alone=True)
            async with aclosing(opening.events()) as events:
                async for event in events:
                    yield event
            self._tried(opening)

    def _rival(self) -> Backend | None:
        """Who could be asked side by side with the one whose turn it is, if that is slow."""
        if not self._wishes.hedge or self._question.batch or self._break is not None:
            return None
        return self._chain.rival(paid_allowed=self._wishes.hedge_paid)

    def _second(self, rival: Backend) -> Opening | None:
        if self._chain.refusal(rival) is not None or not self._chain.take(rival):
            return None
        return Opening(self, rival, alone=False)

    def _hedge_after(self, backend: Backend) -> float:
        learnt = self._shared.health.first_token_p95(place_of(backend, self._question.model))
        most = self._deadlines.hedge
        return most if learnt is None else min(most, max(learnt, most * _SOONEST_HEDGE))

    def _is_resting(self, backend: Backend) -> bool:
        return bool(self._shared.health.why(place_of(backend, self._question.model)))

    def _somebody_else(self) -> bool:
        """Whether anybody after, or beside, the present step could answer."""
        return (self._race is not None and self._race.running > 1) or self._chain.somebody_left()

    # --- used by the openings -----------------------------------------------------------------------------

    def attempting(self, backend: Backend, *, alone: bool, hooked: HookRequest | None) -> Attempting:
        """The next try of a backend."""
        self._shared.seen(backend)
        self._backends.append(backend)
        self._shared.metrics.asking(self._id, backend.id, model_of(backend, self._question.model))
        return Attempting(
            backend,
            self._question_for(backend),
            self._shared,
            self._deadlines,
            number=len(self._attempts) + 1,
            last=not self._chain.somebody_left(),
            alone=alone,
            hooked=hooked,
        )

    def decide(self, failure: Failure, *, waited: float, retried: bool) -> Decision:
        """What to do about a failure before any output."""
        if self._question.out_of_time:
            return Decision(Action.STOP)
        if self._continues and failure.kind in _REFUSES_A_BEGINNING:
            return Decision(Action.RETRY)  # it does not go on with others' text: it is asked to begin anew
        position = Position(
            later_step=self._somebody_else(),
            retried=retried,
            waited=waited,
            empty_before=any(each.kind is ErrorKind.EMPTY and not each.skipped for each in self._attempts),
            batch=self._question.batch,
        )
        retry_after = failure.retry_after if isinstance(failure, BackendError) else None
        return decide(failure.kind, position, self._deadlines, retry_after)

    def failed(self, backend: Backend, failure: Failure, seconds: float, action: Action) -> AttemptFailed:
        """Record a failed try. Raises what ends the whole chain."""
        attempt = self._record(backend, failure, seconds)
        if self._continues and failure.kind in _REFUSES_A_BEGINNING:
            self._begin_anew()
            return AttemptFailed(attempt)
        if action is Action.MOVE_ON_TO_LARGER:
            known = backend.context_of(model_of(backend, self._question.model))
            self._chain.too_small(known or estimate_tokens(self._question.messages))
        if action is Action.STOP:
            if self._break is not None:
                raise self._broken(failure)
            if self._question.out_of_time:
                raise self._nobody_answered()
            failure.attempts = tuple(self._attempts)
            raise failure
        return AttemptFailed(attempt)

    def left_out(self, backend: Backend, shut: Shut, *, alone: bool) -> AttemptFailed:
        """Record a step whose breaker opened while it waited, or that wants to be left alone."""
        if not alone:
            self._chain.rests(backend)
        failure = failures.resting(backend, shut.kind, shut.detail)
        return AttemptFailed(self._record(backend, failure, 0.0, skipped=True))

    def wait_for(self, shut: Shut) -> float | None:
        """Seconds until a server may be asked again, where that is worth waiting for."""
        seconds = self._shared.health.left(shut.until)
        most = longest_wait(self._deadlines, batch=self._question.batch)
        left = self._question.time_left()
        return seconds if seconds <= (most if left is None else min(most, left)) else None

    async def pause(self, seconds: float) -> None:
        """Wait, as long as the caller's time lasts."""
        left = self._question.time_left()
        await asyncio.sleep(seconds if left is None else min(seconds, left))

    async def given_up(self, hooked: HookRequest) -> None:
        """Tell the hooks that what they saw begin is not tried again."""
        await to_the_end(self._shared.hooks.cancelled(hooked))

    # --- the answer ---------------------------------------------------------------------------------------

    async def _repeats(self, winner: Attempting) -> bool:
        """Whether a backend that was asked to go on with a text begins it anew: as it was, or nearly so."""
        head = self._transcript.text[:_REPEATED]
        while True:
            said = "".join(event.text for event in winner.held if isinstance(event, TextDelta))
            if len(said) >= len(head) or not head.startswith(said) or not await winner.more():
                return said.startswith(head)

    def _begin(self, winner: Attempting) -> Sequence[StreamEvent]:
        """What is said before the first piece of an answer."""
        backend = winner.backend
        model = model_of(backend, self._question.model)
        started = AnswerStarted(backend.id, backend.name, model or "", reach_of(backend, model))
        self._begun_at = time.monotonic()
        ended, self._break = self._break, None
        if ended is not None:
            self._shared.metrics.restarted()
            if ended.wish is OnInterruption.CONTINUE:
                return (self._transcript.gone_on_with(ended.attempt), started)
        self._first_at = self._begun_at
        if ended is None:
            return (started,)
        return (self._transcript.begun_anew(ended.attempt), started)

    def _interrupted(self, backend: Backend, failure: Failure, seconds: float) -> AttemptFailed:
        """The answer broke off after its first output: who goes on is decided, or `Interrupted` is raised."""
        attempt = self._record(backend, failure, seconds)
        transcript = self._transcript
        wish = after_interruption(
            self._wishes.on_interruption,
            kind=failure.kind,
            tool_called=bool(transcript.calls),
            plain_text=not self._question.needs and transcript.may_be_continued,
        )
        self._break = _Break(attempt, failure, wish)
        nobody = not (self._chain.somebody_left() or self._chain.somebody_rests())
        if wish is OnInterruption.STOP or nobody or self._question.out_of_time:
            raise self._broken(failure)
        return AttemptFailed(attempt)

    def _question_for(self, backend: Backend) -> Question:
        if not self._continues:
            return self._question
        if "prefill" not in backend.capabilities:
            self._begin_anew()
            return self._question
        begun = Message(Role.ASSISTANT, self._transcript.text)
        return replace(self._question, messages=(*self._question.messages, begun))

    @property
    def _continues(self) -> bool:
        return self._break is not None and self._break.wish is OnInterruption.CONTINUE

    def _begin_anew(self) -> None:
        assert self._break is not None
        self._break = replace(self._break, wish=OnInterruption.RESTART)

    async def _finish(self, winner: Attempting) -> AnswerFinished:
        assert winner.end is not None
        now = time.monotonic()
        backend, end = winner.backend, winner.end
        asked_for = model_of(backend, self._question.model)
        model = end.model or asked_for or ""
        usage = await self._shared.priced(backend, asked_for, end.usage)
        answered = Attempt(
            backend.id,
            backend.name,
            backend.base_url,
            model,
            None,
            tr("{backend_name} answered.", backend_name=backend.name),
            winner.elapsed(),
        )
        attempts = told_apart((*self._attempts, answered))
        before = self._before(backend, attempts[:-1])
        speed = usage.tokens_per_second or self._measured(end, now)
        provenance = Provenance(
            backend=backend.id,
            server_name=backend.name,
            url=backend.base_url,
            model=model,
            reach=reach_of(backend, asked_for or model),
            as_given=backend.config.as_given,
            reason=reason_for(attempts[-1].server_name, before),
            attempts=(*self._attempts, answered),
            ttft_seconds=None if self._first_at is None else self._first_at - self._asked,
            total_seconds=now - self._asked,
            tokens_per_second=speed,
            usage=usage,
        )
        completion = Completion(
            self._transcript.text,
            self._transcript.reasoning,
            end.finish_reason,
            usage,
            provenance,
            self._transcript.calls,
            self._transcript.seams,
        )
        await winner.succeeded(completion)
        metrics = self._shared.metrics
        metrics.attempt(answered, ttft=winner.ttft, tokens_per_second=speed, usage=usage)
        lost = max(now - self._asked - answered.seconds, 0.0) if before else 0.0
        metrics.answered(self._id, provenance, failover=is_failover(before, backend.name), lost_seconds=lost)
        self._answered = True
        await self._close_winner()
        return AnswerFinished(completion)

    def _before(self, answered: Backend, attempts: Sequence[Attempt]) -> list[Attempt]:
        """The failures of the steps that come before the one that answered, and its own: who was slower, or
        failed beside it, is no reason.
        """
        place = self._chain.place(answered)
        tried = zip(attempts, self._recorded, strict=True)
        return [attempt for attempt, backend in tried if self._chain.place(backend) <= place]

    def _measured(self, end: StreamEnd, now: float) -> float | None:
        """Tokens a second between the first token and the end; None where there is too little to measure."""
        tokens, seconds = end.usage.completion_tokens, now - self._begun_at
        if tokens is None or tokens < 2 or seconds < _SHORTEST_MEASURE_S:
            return None
        return (tokens - 1) / seconds

    # --- failures -----------------------------------------------------------------------------------------

    def _record(
        self, backend: Backend, failure: Failure, seconds: float, *, skipped: bool = False
    ) -> Attempt:
        attempt = Attempt(
            backend=backend.id,
            server_name=backend.name,
            url=backend.base_url,
            model=model_of(backend, self._question.model),
            kind=failure.kind,
            detail=f"{failure.title} {failure.detail}".strip(),
            seconds=seconds,
            status=failure.status if isinstance(failure, BackendError) else None,
            skipped=skipped,
        )
        self._attempts.append(attempt)
        self._recorded.append(backend)
        self._errors.append(failure)
        self._shared.metrics.attempt(attempt)
        return attempt

    def _broken(self, failure: Failure) -> Interrupted:
        return failures.broken(self._transcript.text, failure, tuple(self._attempts))

    def _nobody_answered(self) -> WhisperError:
        if self._break is not None:
            return self._broken(self._break.failure)
        attempts = tuple(self._attempts)
        guidance = self._guidance(attempts) if self._guidance is not None else None
        return failures.nobody_answered(attempts, self._errors, guidance)
