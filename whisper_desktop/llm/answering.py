"""One question on its way through a chain: who is tried, what came, and how it ended.

The rules are `decisions`; this is the effect. Every way out is one of three: an `AnswerFinished` event as the
last one, an exception, or the caller closing the generator, which closes the socket at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import (
    AnswerInterrupted,
    BackendError,
    ConsentRequired,
    LLMConnectionError,
    NetworkBlocked,
    ReachError,
)
from whisper_desktop.llm.decisions import (
    Action,
    Decision,
    Position,
    decide,
    may_ask,
    most_actionable,
    reason_for,
    what_happened,
)
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Completion,
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Message,
    Provenance,
    Reach,
    ReasoningDelta,
    SetupGuidance,
    StreamEnd,
    StreamEvent,
)

Guidance = Callable[[tuple[Attempt, ...]], SetupGuidance]

_SHORTEST_MEASURE_S = 0.001


class Answering:
    """The run of one question. Use `events` once."""

    def __init__(
        self,
        steps: Sequence[Backend],
        messages: Sequence[Message],
        config: GenerationConfig,
        *,
        reach: Reach,
        model: str | None,
        deadlines: Deadlines,
        guidance: Guidance | None,
    ) -> None:
        self._steps = steps
        self._messages = messages
        self._config = config
        self._reach = reach
        self._model = model
        self._deadlines = deadlines
        self._guidance = guidance
        self._asked = time.monotonic()
        self._first_at: float | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._attempts: list[Attempt] = []
        self._errors: list[BackendError | ReachError] = []
        self._finished = False

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Try the steps in order, then once more those that were still loading their model."""
        loading = []
        usable = [backend for backend in self._steps if may_ask(backend.config.reach, self._reach)]
        for backend in self._steps:
            if backend not in usable:
                yield AttemptFailed(self._record(backend, _needs_consent(backend), 0.0))
                continue
            async with aclosing(self._step(backend, later=backend is not usable[-1])) as events:
                async for event in events:
                    yield event
            if self._finished:
                return
            if self._attempts[-1].kind is ErrorKind.LOADING and backend is not usable[-1]:
                loading.append(backend)
        for backend in loading:
            async with aclosing(self._step(backend, later=False)) as events:
                async for event in events:
                    yield event
            if self._finished:
                return
        raise self._nobody_answered()

    async def _step(self, backend: Backend, *, later: bool) -> AsyncGenerator[StreamEvent, None]:
        began = time.monotonic()
        position = Position(later_step=later)
        while True:
            try:
                async with aclosing(self._attempt(backend, began)) as events:
                    async for event in events:
                        yield event
                return
            except (BackendError, ReachError) as error:
                failure = error
            seconds = time.monotonic() - began
            position = replace(position, waited=seconds, output_seen=self._first_at is not None)
            decision = self._decide(failure, position)
            if decision.action is not Action.WAIT:
                attempt = self._record(backend, failure, seconds)
                self._stop_if(decision, failure, backend)
                yield AttemptFailed(attempt)
            if decision.action is Action.MOVE_ON:
                return
            await asyncio.sleep(decision.pause)
            position = replace(position, retried=position.retried or decision.action is Action.RETRY)

    async def _attempt(self, backend: Backend, began: float) -> AsyncGenerator[StreamEvent, None]:
        clock = asyncio.get_running_loop().time
        first_token = (
            self._deadlines.first_token_cloud
            if backend.config.reach is Reach.CLOUD
            else self._deadlines.first_token
        )
        due = clock() + first_token
        pieces = backend.generate_stream(self._messages, self._config, model=self._model, allowed=self._reach)
        async with aclosing(pieces):
            while True:
                try:
                    async with asyncio.timeout_at(due):
                        event = await anext(pieces)
                except StopAsyncIteration:
                    raise BackendError(
                        ErrorKind.TRUNCATED, f"{backend.name} stopped before its answer was complete."
                    ) from None
                except TimeoutError:
                    raise self._silence(backend, first_token) from None
                if isinstance(event, StreamEnd):
                    yield self._finish(backend, event, began)
                    return
                if not event.text:
                    continue
                if self._first_at is None:
                    self._first_at = time.monotonic()
                    yield AnswerStarted(
                        backend.id, backend.name, self._model_of(backend, None), _reach(backend)
                    )
                (self._reasoning if isinstance(event, ReasoningDelta) else self._text).append(event.text)
                yield event
                due = clock() + self._deadlines.stall

    def _decide(self, failure: BackendError | ReachError, position: Position) -> Decision:
        retry_after = failure.retry_after if isinstance(failure, BackendError) else None
        return decide(_kind(failure), position, self._deadlines, retry_after)

    def _stop_if(self, decision: Decision, failure: BackendError | ReachError, backend: Backend) -> None:
        if decision.action is Action.STOP:
            if isinstance(failure, BackendError):
                failure.attempts = tuple(self._attempts)
            raise failure
        if decision.action is Action.INTERRUPT:
            words = len("".join(self._text).split())
            after = f"after {words} word{'s' if words != 1 else ''}" if words else "before its first word"
            raise AnswerInterrupted(
                f"The answer stopped {after}.",
                f"{failure.title} {failure.detail}".strip() + (" The text so far is kept." if words else ""),
                failure.next_step or "Try again, or use another backend.",
                partial_text="".join(self._text),
                kind=_kind(failure),
                attempts=tuple(self._attempts),
            ) from failure

    def _record(self, backend: Backend, failure: BackendError | ReachError, seconds: float) -> Attempt:
        attempt = Attempt(
            backend=backend.id,
            server_name=backend.name,
            url=backend.base_url,
            model=self._model or backend.model_id,
            kind=_kind(failure),
            detail=f"{failure.title} {failure.detail}".strip(),
            seconds=seconds,
            status=failure.status if isinstance(failure, BackendError) else None,
        )
        self._attempts.append(attempt)
        self._errors.append(failure)
        return attempt

    def _silence(self, backend: Backend, first_token: float) -> BackendError:
        if self._first_at is None:
            return BackendError(
                ErrorKind.FIRST_TOKEN_TIMEOUT,
                f"{backend.name} did not begin to answer within {first_token:g} s.",
                "It accepted the question, but the model sent nothing.",
                "Try a smaller model, a shorter message, or another backend.",
            )
        return BackendError(
            ErrorKind.STALLED,
            f"{backend.name} sent nothing more for {self._deadlines.stall:g} s.",
            "The model or the server hangs.",
            "Try again, or use another backend.",
        )

    def _finish(self, backend: Backend, end: StreamEnd, began: float) -> AnswerFinished:
        now = time.monotonic()
        failed = tuple(self._attempts)
        model = self._model_of(backend, end.model)
        answered = Attempt(
            backend.id, backend.name, backend.base_url, model, None, f"{backend.name} answered.", now - began
        )
        self._finished = True
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
            tokens_per_second=end.usage.tokens_per_second or self._measured(end, now),
        )
        completion = Completion(
            "".join(self._text), "".join(self._reasoning), end.finish_reason, end.usage, provenance
        )
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
        return answered or backend.model_id or self._model or ""

    def _nobody_answered(self) -> LLMConnectionError:
        attempts = tuple(self._attempts)
        guidance = self._guidance(attempts) if self._guidance is not None else None
        if not attempts:
            return LLMConnectionError(
                "There is no backend that could answer.",
                "No model server that could answer was found, and none is set.",
                "Open Setup, or start LM Studio or Ollama.",
                setup_guidance=guidance,
            )
        index = most_actionable(attempts)
        headline = self._errors[index]
        others = [attempt for attempt in attempts if attempt.server_name != attempts[index].server_name]
        detail = f"{headline.detail} {what_happened(others)}." if others else headline.detail
        consent = next((error for error in self._errors if isinstance(error, ConsentRequired)), None)
        return LLMConnectionError(
            headline.title,
            detail.strip(),
            headline.next_step,
            attempts=attempts,
            last_error=consent or self._errors[-1],
            setup_guidance=guidance,
        )


def _kind(failure: BackendError | ReachError) -> ErrorKind:
    if isinstance(failure, BackendError):
        return failure.kind
    return ErrorKind.OFFLINE if isinstance(failure, NetworkBlocked) else ErrorKind.CONSENT_REQUIRED


def _reach(backend: Backend) -> Reach:
    return backend.config.reach or Reach.CLOUD  # Never nearer than what is known.


def _needs_consent(backend: Backend) -> ConsentRequired:
    reach = backend.config.reach
    if reach is None:
        return ConsentRequired(
            f"{backend.name} was not asked.",
            f"Nobody can say where the model at {backend.base_url} runs. Nothing was sent.",
            "Add its address in Settings if you trust it, or choose another backend.",
            needed=None,
        )
    place = {Reach.MY_NETWORK: "in your network, not on this computer", Reach.CLOUD: "in the cloud"}
    return ConsentRequired(
        f"{backend.name} was not asked, because it is {place.get(reach, reach.words)}.",
        "Nothing was sent.",
        f"Allow {reach.words} for this conversation, or use a model on this computer.",
        needed=reach,
    )
