"""What the transcript shows, as values: rows, how events change them, the words around an answer. No Qt."""

from dataclasses import dataclass, replace
from enum import Enum

from whisper_desktop.chat import GUIDE_LABEL, attempt_line, provenance, seconds
from whisper_desktop.errors import AnswerInterrupted, LLMConnectionError, WhisperError
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    Provenance,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
)


class Kind(Enum):
    """What a row is."""

    QUESTION = "question"
    ANSWER = "answer"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the transcript. A failure has an `error`; an answer grows while it is `active`.

    `note` is the line in place of an answer that has not begun, `waited` its age in seconds; `seam` is the
    sentence at the end of an answer that broke off. `open` shows every attempt under the answer,
    `reasoning_open` the reasoning above it. `can_retry`: this answer broke off and is the last one.
    """

    kind: Kind
    text: str = ""
    reasoning: str = ""
    active: bool = False
    note: str = ""
    waited: int = 0
    seam: str = ""
    provenance: Provenance | None = None
    error: WhisperError | None = None
    guide: bool = False
    open: bool = False
    reasoning_open: bool = False
    can_retry: bool = False


WAITING = "Waiting for the first word…"


def question(text: str) -> Row:
    """What the person asked."""
    return Row(Kind.QUESTION, text)


def waiting(*, guide: bool) -> Row:
    """An answer of which nothing has come yet."""
    return Row(Kind.ANSWER, active=True, note=WAITING, guide=guide)


def with_event(row: Row, event: StreamEvent) -> Row:
    """The answer after one more event of its stream."""
    match event:
        case TextDelta(text):
            return replace(row, text=row.text + text, note="")
        case ReasoningDelta(text):
            note = "" if row.text else "Thinking…"
            return replace(row, reasoning=row.reasoning + text, note=note)
        case AttemptFailed(attempt):
            return replace(row, note=f"{attempt.server_name} did not answer. Trying the next one…")
        case AnswerStarted():
            return row
        case AnswerFinished(completion):
            return replace(row, active=False, note="", provenance=completion.provenance)


def stopped(row: Row) -> Row:
    """The person stopped the answer; what came is kept."""
    seam = f"Stopped after {_words(row.text)}." if row.text else "Stopped before the answer began."
    return replace(row, active=False, note="", seam=seam, can_retry=True)


def broken(row: Row, error: WhisperError) -> Row:
    """The answer broke off. Text that had come stays, with a seam; without any the row tells the failure."""
    if row.text:
        sentence = " ".join(part for part in (error.title, error.detail) if part)
        return replace(row, active=False, note="", seam=sentence, error=error, can_retry=True)
    return Row(Kind.FAILURE, error=error, guide=row.guide)


def attempts_of(error: WhisperError) -> tuple[Attempt, ...]:
    """Every try behind an error, in order."""
    return error.attempts if isinstance(error, LLMConnectionError | AnswerInterrupted) else ()


def note_line(row: Row) -> str:
    """What stands in place of an answer: what is going on and, after two seconds, for how long."""
    return f"{row.note} {row.waited} s" if row.note and row.waited >= 2 else row.note


# --- Words --------------------------------------------------------------------------------------------------


def who_line(row: Row) -> str:
    """Who answered, where it ran, how fast; the guide is labelled also before it has answered."""
    if row.provenance is None:
        return GUIDE_LABEL if row.guide else ""
    return provenance.who_line(row.provenance)


def why_line(row: Row) -> str:
    """Why it was not the first in line that answered."""
    return provenance.why_line(row.provenance) if row.provenance is not None else ""


def detail_lines(row: Row) -> tuple[str, ...]:
    """What a click on the line below an answer opens: why, every attempt, the times."""
    origin = row.provenance
    if origin is None:
        return ()
    lines = [origin.reason] if origin.reason and not why_line(row) else []
    lines += [attempt_line(attempt) for attempt in origin.attempts]
    timing = [f"{seconds(origin.total_seconds)} in all"]
    if origin.ttft_seconds is not None:
        timing.insert(0, f"first token after {seconds(origin.ttft_seconds)}")
    return (*lines, ", ".join(timing))


def spoken(row: Row) -> str:
    """What a screen reader says for a row. Imports the markdown parser for answers."""
    if row.kind is Kind.QUESTION:
        return f"You: {row.text}"
    if row.kind is Kind.FAILURE:
        return str(row.error)
    from whisper_desktop.ui.chat.markdown import to_plain

    who = "Guide" if row.guide else row.provenance.model if row.provenance else "Answer"
    text = row.note if not row.text else row.text if row.active else to_plain(row.text)
    lines = (f"{who}: {text}", row.seam, why_line(row), who_line(row))
    return "\n".join(line for line in lines if line)


def _words(text: str) -> str:
    count = len(text.split())
    return "one word" if count == 1 else f"{count} words"
