"""One conversation: it keeps the turns, sends the history, and records how each answer ended.

Data flow: `send(text)` -> the history as messages -> the stream handed in by `app` -> events to the front
end, while the turn grows here. What was shown is never lost: a stopped or broken answer stays as it was.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from whisper_desktop.chat.breaks import Seam, SetAside
from whisper_desktop.chat.records import TurnState
from whisper_desktop.errors import Interrupted, WhisperError
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    Message,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    Role,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

Ask = Callable[["Session", Sequence[Message]], AsyncGenerator[StreamEvent, None]]
"""How a session gets its answers: given itself (for backend, model and reach) and the messages."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and what became of its answer. `error` is set for an interrupted or failed one.

    `seams` are where somebody else went on with the answer; `set_aside` are beginnings that broke off before
    somebody began it anew. They were shown, so they are kept, and they are never sent along.
    """

    question: str
    answer: str = ""
    reasoning: str = ""
    state: TurnState = TurnState.STREAMING
    provenance: Provenance | None = None
    error: WhisperError | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    seams: tuple[Seam, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


class Session:
    """A conversation with one set of choices: guide or not, backend, model, and how far prompts may go.

    `history_turns` bounds how many earlier turns are sent along (None: all of them); the guide's context
    is tiny. A session answers one question at a time: `send` while one is running raises `RuntimeError`.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        guide: bool = False,
        backend: str | None = None,
        model: str | None = None,
        reach: Reach = Reach.THIS_MACHINE,
        history_turns: int | None = None,
    ) -> None:
        self._ask = ask
        self.guide = guide
        self.backend = backend
        self.model = model
        self.reach = reach
        self._history_turns = history_turns
        self._turns: list[Turn] = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn so far, the growing one included."""
        return tuple(self._turns)

    def messages_for(self, question: str) -> tuple[Message, ...]:
        """What is sent for a new question: earlier turns that have an answer, then the question."""
        answered = [turn for turn in self._turns if turn.answer]
        if self._history_turns is not None:
            answered = answered[len(answered) - self._history_turns :] if self._history_turns else []
        history = [
            message
            for turn in answered
            for message in (Message(Role.USER, turn.question), Message(Role.ASSISTANT, turn.answer))
        ]
        return (*history, Message(Role.USER, question))

    async def send(self, question: str) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the events of the answer as they come.

        Closing the generator stops the answer and keeps what came. Errors are recorded in the turn and
        raised: `Interrupted` after text was shown, else what the chain raises.
        """
        if self._turns and self._turns[-1].state is TurnState.STREAMING:
            raise RuntimeError("This conversation is already answering a question.")
        messages = self.messages_for(question)
        self._turns.append(Turn(question))
        try:
            async with aclosing(self._ask(self, messages)) as events:
                async for event in events:
                    self._record(event)
                    yield event
        except Interrupted as error:
            self._update(state=TurnState.INTERRUPTED, error=error)
            raise
        except WhisperError as error:
            self._update(state=TurnState.FAILED, error=error)
            raise
        finally:
            if self._turns[-1].state is TurnState.STREAMING:
                self._update(state=TurnState.STOPPED)

    def drop_last(self) -> str | None:
        """Take the last turn back and return its question, to ask it again (with another backend, say)."""
        return self._turns.pop().question if self._turns else None

    def _record(self, event: StreamEvent) -> None:
        turn = self._turns[-1]
        match event:
            case TextDelta(text):
                self._update(answer=turn.answer + text)
            case ReasoningDelta(reasoning):
                self._update(reasoning=turn.reasoning + reasoning)
            case ToolCallDelta(call):
                self._update(tool_calls=(*turn.tool_calls, call))
            case AnswerContinued(failed, position):
                self._update(seams=(*turn.seams, Seam(position, failed)))
            case AnswerRestarted(failed):
                kept = SetAside(failed, turn.answer, turn.reasoning, turn.seams)
                self._update(answer="", reasoning="", seams=(), set_aside=(*turn.set_aside, kept))
            case AnswerFinished(completion):
                self._update(state=TurnState.COMPLETE, provenance=completion.provenance)
            case AttemptFailed() | Progress() | AnswerStarted():
                pass

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of a Turn
        self._turns[-1] = replace(self._turns[-1], **changes)
