"""What an answer has handed out so far: text, reasoning, calls, and the seams between attempts. No I/O."""

from collections.abc import Sequence

from whisper_desktop.values import (
    AnswerContinued,
    AnswerRestarted,
    Attempt,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

_TOO_SHORT_TO_CONTINUE = 8  # characters


class Transcript:
    """Grows with the batches of the attempt that answers. What was set aside is no part of it any more."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._seams: list[int] = []

    def keep(self, batch: Sequence[object]) -> None:
        """Remember what is handed out."""
        for event in batch:
            kind = type(event)
            if kind is TextDelta:
                self._text.append(event.text)  # type: ignore[attr-defined]
            elif kind is ReasoningDelta:
                self._reasoning.append(event.reasoning)  # type: ignore[attr-defined]
            elif kind is ToolCallDelta:
                self._calls.append(event.call)  # type: ignore[attr-defined]

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The functions that were called."""
        return tuple(self._calls)

    @property
    def seams(self) -> tuple[int, ...]:
        """Where another backend went on with the text."""
        return tuple(self._seams)

    @property
    def may_be_continued(self) -> bool:
        """Whether there is enough of it, and nothing but text: thoughts are not known to who goes on."""
        return not self._reasoning and sum(map(len, self._text)) >= _TOO_SHORT_TO_CONTINUE

    def begun_anew(self, failed: Attempt) -> AnswerRestarted:
        """Set aside what there is; somebody else begins."""
        event = AnswerRestarted(failed, self.text, self.reasoning)
        self._text, self._reasoning, self._seams = [], [], []
        return event

    def gone_on_with(self, failed: Attempt) -> AnswerContinued:
        """Mark the place from which somebody else goes on."""
        position = len(self.text)
        self._seams.append(position)
        return AnswerContinued(failed, position)
