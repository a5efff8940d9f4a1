"""One question to one role, and what becomes of it when the process that answers ends.

A crash affects only the question that was being answered in that process. It is asked once more when the
process runs again, from its beginning; what had been said is handed back as not part of the answer
(`AnswerRestarted`), so that no answer is ever made of two tries. A second crash ends it with an error, and so
does one after a call of a function has been handed out.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from whisper_desktop.engines.pool.place import InstanceEnded, Place
from whisper_desktop.engines.pool.roles import PoolRole
from whisper_desktop.errors import BackendError, EngineError, Interrupted, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    IDENTITIES,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    BackendEvent,
    Completion,
    EngineState,
    ErrorKind,
    GenerationConfig,
    Message,
    Phase,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    StreamEnd,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

_TRIES = 2


class _Try:
    """One try, and what it has handed out."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first_at: float | None = None
        self.calls: tuple[ToolCall, ...] = ()
        self.end: StreamEnd | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def take(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> None:
        """Keep what is handed out now."""
        if self.first_at is None:
            self.first_at = time.monotonic()
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(reasoning):
                self._reasoning.append(reasoning)
            case ToolCallDelta(call):
                self.calls += (call,)

    @property
    def text(self) -> str:
        """What it has said."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What it has thought."""
        return "".join(self._reasoning)


class Answering:
    """One question, with its tries. Use `events` once."""

    def __init__(self, role: PoolRole, place: Place) -> None:
        self.server_name = f"{IDENTITIES[place.backend].name} ({role.name})"
        self._role = role
        self._place = place
        self._asked_at = time.monotonic()
        self._attempts: list[Attempt] = []
        self._broken: _Try | None = None

    async def events(
        self, messages: Sequence[Message], generation: GenerationConfig
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and once more if the process ends. Raises like `RoleSession.stream`."""
        while True:
            if self._place.status().state is not EngineState.READY:
                yield Progress(Phase.LOADING, server_name=self.server_name)
            this = _Try()
            failed: AttemptFailed | None = None
            batches = self._place.batches(messages, generation)
            try:
                async with aclosing(batches):
                    async for batch in batches:
                        for event in batch:
                            for told in self._told(this, event):
                                yield told
            except InstanceEnded as ended:
                failed = self._failed(this, ended.why)
            except EngineError as error:
                raise self._given_up(this, _not_running(error)) from None
            except BackendError as error:
                raise self._given_up(this, error) from None
            if failed is None:
                yield AnswerFinished(self._completion(this))
                return
            yield failed

    def _told(self, this: _Try, event: BackendEvent) -> tuple[StreamEvent, ...]:
        """What the asker hears of one event of a try."""
        if isinstance(event, StreamEnd):
            this.end = event
            return ()
        if isinstance(event, Progress):
            return (replace(event, server_name=self.server_name),)
        begins = this.first_at is None
        this.take(event)
        if not begins:
            return (event,)
        model = self._place.status().model or ""
        started = AnswerStarted(self._place.backend, self.server_name, model, Reach.THIS_MACHINE)
        broken, self._broken = self._broken, None
        if broken is None:
            return (started, event)
        return (AnswerRestarted(self._attempts[-1], broken.text, broken.reasoning), started, event)

    def _failed(self, this: _Try, why: EngineError) -> AttemptFailed:
        """The process ended: it is asked once more, unless that is pointless or would repeat an action."""
        error = BackendError(ErrorKind.STREAM_CUT, why.title, why.detail, why.next_step)
        if this.calls or len(self._attempts) + 1 == _TRIES or why.cause == "stopped":
            raise self._given_up(this, error) from None
        if this.first_at is not None:
            self._broken = this
        return AttemptFailed(self._record(this, error))

    def _given_up(self, this: _Try, error: BackendError) -> WhisperError:
        self._record(this, error)
        shown = this if this.first_at is not None else self._broken
        attempts = tuple(self._attempts)
        if shown is None:
            error.attempts = attempts
            return error
        return Interrupted(
            tr("The {role_name}'s answer stopped before its end.", role_name=self._role.name),
            f"{error.title} {error.detail}".strip(),
            error.next_step or tr("Ask again."),
            partial_text=shown.text,
            kind=error.kind,
            attempts=attempts,
        )

    def _record(self, this: _Try, error: BackendError | None) -> Attempt:
        status = self._place.status()
        answered = tr("The {role_name} answered.", role_name=self._role.name)
        attempt = Attempt(
            self._place.backend,
            self.server_name,
            status.url or "",
            status.model,
            None if error is None else error.kind,
            answered if error is None else f"{error.title} {error.detail}".strip(),
            time.monotonic() - this.began,
            None if error is None else error.status,
        )
        self._attempts.append(attempt)
        return attempt

    def _completion(self, this: _Try) -> Completion:
        assert this.end is not None
        now = time.monotonic()
        answered = self._record(this, None)
        again = len(self._attempts) > 1
        provenance = Provenance(
            backend=answered.backend,
            server_name=self.server_name,
            url=answered.url,
            model=this.end.model or answered.model or "",
            reach=Reach.THIS_MACHINE,
            as_given=False,
            reason=tr("{detail} Its engine had ended and was started again.", detail=answered.detail)
            if again
            else answered.detail,
            attempts=tuple(self._attempts),
            ttft_seconds=None if this.first_at is None else this.first_at - self._asked_at,
            total_seconds=now - self._asked_at,
            tokens_per_second=this.end.usage.tokens_per_second,
            usage=this.end.usage,
        )
        return Completion(
            this.text, this.reasoning, this.end.finish_reason, this.end.usage, provenance, this.calls
        )


def _not_running(error: EngineError) -> BackendError:
    return BackendError(
        ErrorKind.ENGINE,
        error.title,
        error.detail,
        error.next_step,
        request_sent=False,
        repairs=error.repairs,
    )
