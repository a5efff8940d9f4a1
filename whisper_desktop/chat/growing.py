"""An answer while it is written: what came so far, without copying it for every piece."""

import time
from dataclasses import replace

from whisper_desktop.chat.breaks import Seam, SetAside
from whisper_desktop.chat.records import Node, TurnState
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    Provenance,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)


class Growing:
    """Takes the events of one answer, each in constant time; `node` puts together what there is.

    Begun with an answer that has text already, it goes on with that.
    """

    def __init__(self, node: Node) -> None:
        self._node = replace(node, state=TurnState.STREAMING, finish_reason="", error=None)
        self._text = [node.text]
        self._reasoning = [node.reasoning]
        self._calls: list[ToolCall] = list(node.tool_calls)
        self._asked = time.monotonic()
        self._reasoned = node.reasoning_seconds or 0.0
        self._reasons_since: float | None = None
        self._version = 0
        self._made: tuple[int, Node] | None = None

    @property
    def node(self) -> Node:
        """The answer as it stands. May be read from another thread, a moment late."""
        version, made = self._version, self._made
        if made is None or made[0] != version:
            current = replace(
                self._node,
                text="".join(self._text),
                reasoning="".join(self._reasoning),
                reasoning_seconds=self._reasoned + self._reasons_now() or None,
                tool_calls=tuple(self._calls),
            )
            made = self._made = (version, current)
        return made[1]

    @property
    def has_text(self) -> bool:
        """Whether anything of an answer is there."""
        return any(self._text)

    def record(self, event: StreamEvent) -> None:
        """Take in what came."""
        match event:
            case TextDelta(text):
                self._text.append(text)
                self._reasoning_ended()
            case ReasoningDelta(reasoning):
                self._reasoning.append(reasoning)
                if self._reasons_since is None:
                    self._reasons_since = time.monotonic()
            case ToolCallDelta(call):
                self._calls.append(call)
                self._reasoning_ended()
            case AnswerStarted():
                self._node = replace(self._node, provenance=self._begun_by(event))
            case AnswerContinued(failed, position):
                self._node = replace(self._node, seams=(*self._node.seams, Seam(position, failed)))
            case AnswerRestarted(failed):
                self._begin_anew(failed)
            case AnswerFinished(completion):
                self._reasoning_ended()
                self._node = replace(
                    self._node,
                    state=TurnState.COMPLETE,
                    provenance=completion.provenance,
                    finish_reason=completion.finish_reason,
                )
            case _:  # what it waits for, and who failed before its first word
                return
        self._version += 1

    def end(self, state: TurnState, error: WhisperError | None = None) -> None:
        """It ended otherwise than by its last event."""
        self._reasoning_ended()
        said = self._node.provenance
        if said is not None:
            said = replace(said, total_seconds=time.monotonic() - self._asked)
        self._node = replace(self._node, state=state, error=error, provenance=said)
        self._version += 1

    def _begin_anew(self, failed: Attempt) -> None:
        aside = SetAside(failed, "".join(self._text), "".join(self._reasoning), self._node.seams)
        self._node = replace(self._node, seams=(), set_aside=(*self._node.set_aside, aside))
        self._text, self._reasoning = [], []
        self._reasoned, self._reasons_since = 0.0, None

    def _begun_by(self, event: AnswerStarted) -> Provenance:
        """Who speaks, for as long as it is not known how it ends."""
        now = time.monotonic() - self._asked
        return Provenance(
            backend=event.backend,
            server_name=event.server_name,
            url="",
            model=event.model,
            reach=event.reach,
            as_given=False,
            reason="",
            attempts=(),
            ttft_seconds=now,
            total_seconds=now,
            tokens_per_second=None,
        )

    def _reasons_now(self) -> float:
        return 0.0 if self._reasons_since is None else time.monotonic() - self._reasons_since

    def _reasoning_ended(self) -> None:
        self._reasoned += self._reasons_now()
        self._reasons_since = None
