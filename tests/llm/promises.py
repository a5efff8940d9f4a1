"""Asking a chain in tests, with the promises that hold whatever goes wrong.

After every question: at most one answer, exactly one end, nothing joined from two attempts without a mark,
the caller's time kept, no key in any text.
After every test: the next question to a healthy server is answered, no request is under way, no place taken,
no task left, and every socket closed.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.llm.conftest import KEY
from tests.llm.small_server import SAYS, small_server
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.errors import Interrupted, WhisperError
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.health import Health
from whisper_desktop.llm.places import place_of
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Completion,
    Deadlines,
    ErrorKind,
    ReasoningDelta,
    StreamEvent,
)
from whisper_desktop.wire.http import Http

AFTER_THE_DEADLINE_S = 0.25


def hits(server: RunningServer) -> int:
    """How often a server was asked for an answer."""
    return sum(request["method"] == "POST" for request in server.requests())


def pause_s(server: RunningServer) -> float:
    """The seconds between the first two questions to a server."""
    first, second = [request["time"] for request in server.requests() if request["method"] == "POST"][:2]
    return float(second - first)


def state(client: LLMClient, backend: Backend) -> State:
    """How the breaker of a backend stands."""
    return client.shared.health.standing(place_of(backend, None)).state


class Clock:
    """The clock by which a client learns from now on: a monotonic one that can be put forward."""

    def __init__(self, client: LLMClient) -> None:
        self.ahead = 0.0
        client.shared.health = Health(client.shared.deadlines, clock=self)

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Outcome:
    """What became of a question, and what a person saw."""

    events: list[StreamEvent] = field(default_factory=list)
    error: WhisperError | None = None
    seconds: float = 0.0

    @property
    def completion(self) -> Completion:
        """The answer. Fails the test where none came."""
        if self.error is not None:
            raise AssertionError(f"no answer came: {self.error}") from self.error
        assert isinstance(self.events[-1], AnswerFinished)
        return self.events[-1].completion

    @property
    def text(self) -> str:
        """What stands on the screen in the end: what came since the last new beginning."""
        shown = ""
        for event in self.events:
            shown = "" if isinstance(event, AnswerRestarted) else shown + event.text
        return shown

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every try, in order."""
        if self.error is not None:
            found: tuple[Attempt, ...] = getattr(self.error, "attempts", ())
            return found
        return self.completion.provenance.attempts

    @property
    def kinds(self) -> list[ErrorKind | None]:
        """How the attempts ended, None for the one that answered."""
        return [attempt.kind for attempt in self.attempts]

    def failed(self, kind: type[WhisperError]) -> WhisperError:
        """The error, which is of this kind. Fails the test where there is none."""
        assert isinstance(self.error, kind), self.error or self.text
        return self.error


class Asking:
    """Asks chains, and remembers what has to be as before in the end."""

    def __init__(self, http: Http, log: pytest.LogCaptureFixture) -> None:
        self.http = http
        self._log = log
        self._clients: list[LLMClient] = []
        self._tasks = asyncio.all_tasks()

    def client(
        self,
        *steps: object,
        deadlines: Deadlines | None = None,
        shared: Shared | None = None,
        **options: object,
    ) -> LLMClient:
        """A client over these steps, with what it has learnt of its own, or `shared` with another one."""
        client = LLMClient(
            steps,  # type: ignore[arg-type]  # whatever a test passes is what a caller could
            shared=shared or Shared(deadlines or Deadlines()),
            **options,  # type: ignore[arg-type]
        )
        self._clients.append(client)
        return client

    async def ask(self, client: LLMClient, question: object = "Hi", **options: object) -> Outcome:
        """The outcome of a question, failures included."""
        outcome = Outcome()
        began = time.monotonic()
        try:
            async with client.stream(question, **options) as events:  # type: ignore[arg-type]
                async for event in events:
                    outcome.events.append(event)
        except WhisperError as error:
            outcome.error = error
        outcome.seconds = time.monotonic() - began
        self._check(outcome)
        timeout = options.get("timeout")
        if isinstance(timeout, int | float):
            assert outcome.seconds <= timeout + AFTER_THE_DEADLINE_S
        return outcome

    async def together(
        self, client: LLMClient, questions: Sequence[object], **options: object
    ) -> list[Outcome]:
        """The outcomes of questions that are asked at the same time, in their order."""
        return await asyncio.gather(*(self.ask(client, question, **options) for question in questions))

    def _check(self, outcome: Outcome) -> None:
        ends = [event for event in outcome.events if isinstance(event, AnswerFinished)]
        assert len(ends) + (outcome.error is not None) == 1, "an answer has exactly one end"
        if ends:
            assert outcome.events[-1] is ends[0], "nothing comes after the end"
            assert outcome.text == ends[0].completion.text, "the events and the completion say the same"
        if isinstance(outcome.error, Interrupted):
            assert outcome.text == outcome.error.partial_text, "what was shown is kept, and nothing else"
        _check_marks(outcome)
        words = f"{outcome.error!r} {outcome.error} {outcome.events!r} {self._log.text}"
        assert KEY not in words, "a key was shown"
        shown = [event.attempt for event in outcome.events if isinstance(event, AttemptFailed)]
        assert len(shown) <= len(outcome.attempts)

    async def all_as_before(self) -> None:
        """Nothing is left: no request, no place, no task, no socket."""
        for client in self._clients:
            assert client.shared.limiter.active == 0
            assert client.shared.limiter.waiting == 0
            assert client.shared.metrics.active() == ()
        assert self.http.under_way == 0
        await self._the_next_one_is_answered()
        await self.http.aclose()
        assert self.http.open_sockets == 0
        left = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"
        said = [*self._log.get_records("call"), *self._log.get_records("teardown")]
        bad = [record for record in said if record.levelno >= logging.ERROR]
        assert not bad, f"errors were logged: {bad}"

    async def _the_next_one_is_answered(self) -> None:
        """Whatever went wrong: a healthy server is asked, and answers, at the first try."""
        async with small_server() as server:
            healthy = server.backend(self.http)
            for client in self._clients:
                next_one = LLMClient([healthy], shared=client.shared, deadlines=Deadlines())
                completion = await next_one.chat_completion("Are you well?")
                assert completion.text == SAYS
                assert len(completion.provenance.attempts) == 1


def _check_marks(outcome: Outcome) -> None:
    """Where somebody else takes over, an event says so, and tells exactly what was shown until then."""
    shown = thought = ""
    seams: list[int] = []
    begun = marked = False
    for event in outcome.events:
        match event:
            case AnswerRestarted(_, partial_text, partial_reasoning):
                assert (partial_text, partial_reasoning) == (shown, thought)
                shown, thought, seams, marked = "", "", [], True
            case AnswerContinued(_, position):
                assert position == len(shown)
                seams.append(position)
                marked = True
            case AnswerStarted():
                assert marked or not begun, "another attempt began, and no event said so"
                begun, marked = True, False
            case ReasoningDelta(piece):
                thought += piece
        shown += event.text
    if outcome.error is None:
        assert outcome.completion.seams == tuple(seams)
        assert outcome.completion.reasoning == thought
