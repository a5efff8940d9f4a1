"""What the transcript shows, as values: rows, how events change them, the words around an answer. No Qt."""

from dataclasses import dataclass, replace
from enum import Enum

from whisper_desktop.app.places import server_in_question
from whisper_desktop.chat import (
    GUIDE_LABEL,
    WAITING,
    attempt_line,
    failed_line,
    failure_of,
    provenance,
    seconds,
    tool_call_line,
    waiting_line,
    with_time,
)
from whisper_desktop.chat.breaks import Seam, SetAside, counted, marked, restart_lines, seam_lines
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    ErrorKind,
    Progress,
    Provenance,
    Reach,
    ReasoningDelta,
    Repair,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
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
    sentence at the end of an answer that broke off. `seams` are where somebody else went on with the text,
    `set_aside` are beginnings that are no part of it; `speaker` is who gives it. `open` shows every attempt
    under the answer, `reasoning_open` the reasoning above it, `aside_open` what was set aside. `can_retry`:
    this answer failed or broke off, and is the last one.
    """

    kind: Kind
    text: str = ""
    reasoning: str = ""
    active: bool = False
    note: str = ""
    waited: int = 0
    seam: str = ""
    seams: tuple[Seam, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    speaker: str = ""
    provenance: Provenance | None = None
    error: WhisperError | None = None
    guide: bool = False
    open: bool = False
    reasoning_open: bool = False
    aside_open: bool = False
    can_retry: bool = False


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
            return replace(row, text=row.text + text, note="", waited=0)
        case ReasoningDelta(reasoning):
            note = "" if row.text else "Thinking…"
            return replace(row, reasoning=row.reasoning + reasoning, note=note)
        case ToolCallDelta(call):
            return replace(row, tool_calls=(*row.tool_calls, call), note="")
        case Progress():
            return replace(row, note=waiting_line(event) or row.note)
        case AttemptFailed(attempt):
            return replace(row, note=failed_line(attempt) or row.note)
        case AnswerStarted():
            return replace(row, speaker=event.server_name)
        case AnswerRestarted(failed):
            kept = (*row.set_aside, SetAside(failed, row.text, row.reasoning, row.seams))
            return replace(
                row, text="", reasoning="", seams=(), set_aside=kept, speaker="", note=WAITING, waited=0
            )
        case AnswerContinued(failed, position):
            return replace(row, seams=(*row.seams, Seam(position, failed)), speaker="")
        case AnswerFinished(completion):
            return replace(row, active=False, note="", provenance=completion.provenance)


def stopped(row: Row) -> Row:
    """The person stopped the answer; what came is kept."""
    seam = f"Stopped after {counted(row.text)}." if row.text else "Stopped before the answer began."
    return replace(row, active=False, note="", seam=seam, can_retry=True)


def broken(row: Row, error: WhisperError) -> Row:
    """The answer broke off. What had come stays, with a seam; else the row tells the failure."""
    if row.text or row.reasoning or row.tool_calls or row.set_aside:
        return replace(row, active=False, note="", seam=str(error), error=error, can_retry=True)
    return Row(Kind.FAILURE, error=error, guide=row.guide, can_retry=True)


def note_line(row: Row) -> str:
    """What stands in place of an answer: what is going on and, after two seconds, for how long."""
    return with_time(row.note, row.waited)


def unfolded(row: Row) -> Row:
    """The row with everything that it keeps folded shown, or all of it folded again."""
    if row.provenance is None and not row.set_aside:
        return row
    shown = not (row.open or row.aside_open)
    return replace(row, open=shown and row.provenance is not None, aside_open=shown and bool(row.set_aside))


# --- Words --------------------------------------------------------------------------------------------------


def who_line(row: Row) -> str:
    """Who answered, where it ran, how fast; the guide is labelled also before it has answered."""
    if row.provenance is None:
        return GUIDE_LABEL if row.guide else ""
    return provenance.who_line(row.provenance)


def why_line(row: Row) -> str:
    """Why it was not the first in line that answered."""
    return provenance.why_line(row.provenance) if row.provenance is not None else ""


def aside_lines(row: Row) -> tuple[str, ...]:
    """What is said of each beginning that was set aside: who stopped, and who began anew."""
    return restart_lines(row.set_aside, row.speaker)


def seams_of(row: Row) -> tuple[str, ...]:
    """What stands where somebody else went on with the text."""
    return seam_lines(row.seams, row.speaker)


def kept_text(row: Row) -> str:
    """All that was set aside, as it may be copied: whose it was, then the text."""
    lines = zip(aside_lines(row), row.set_aside, strict=True)
    return "\n\n".join(f"[{line}]\n\n{aside_text(aside)}" for line, aside in lines)


def aside_text(aside: SetAside) -> str:
    """A beginning that was set aside: its reasoning first, then the text with its seams."""
    return "\n\n".join(part for part in (aside.reasoning, marked(aside.text, aside.seams)) if part)


def whole_text(row: Row) -> str:
    """The text as it may be copied: with a line where somebody else went on with it."""
    return marked(row.text, row.seams, row.speaker)


def call_lines(row: Row) -> tuple[str, ...]:
    """The functions that the model called."""
    return tuple(tool_call_line(call) for call in row.tool_calls)


def offers(row: Row) -> tuple[tuple[str, str], ...]:
    """What can be done about an answer that broke off and is the last one, as (action, label)."""
    if not row.can_retry:
        return ()
    return (*(remedies(row.error) if row.error is not None else ()), ("retry", "Try again"))


def remedies(error: WhisperError) -> tuple[tuple[str, str], ...]:
    """What removes the cause of an error, where this app can do that, as (action, label)."""
    asked = _allowing(error)
    mending = tuple((repair_action(each), each.label) for each in mendable(error))
    return (*asked, *mending) or _REMEDIES.get(getattr(error, "kind", None), ())


def mendable(error: WhisperError) -> tuple[Repair, ...]:
    """The repairs of our engine that a button does, the likeliest to help first."""
    offered = [each for each in failure_of(error).repairs if each.change or each.id in _IN_SETUP]
    # Beside a question and "Try again", more buttons would be a menu.
    return tuple(offered[: _MOST_REPAIRS - len(_allowing(error))])


def _allowing(error: WhisperError) -> tuple[tuple[str, str], ...]:
    """What the person is asked to allow."""
    consent = failure_of(error).consent
    if consent is not None and consent.needed is not None:
        where = "the cloud" if consent.needed is Reach.CLOUD else consent.needed.words
        return (("allow", f"Allow {where} in this chat"),)
    server = server_in_question(error)
    return () if server is None else (("allow", f"Allow {server.name}"),)


def repair_action(repair: Repair) -> str:
    """The action of its button."""
    return f"{REPAIR}{repair.id}" if repair.change else "setup"


REPAIR = "repair:"
"""Begins the action that accepts a repair of our engine; its id follows."""

_MOST_REPAIRS = 2
_IN_SETUP = ("download_again",)
"""Repairs that are no change of a start, but something that Setup does."""

_CHANGE = ("edit", "Change the message")
_REMEDIES: dict[ErrorKind | None, tuple[tuple[str, str], ...]] = {
    ErrorKind.AUTH: (("setup", "Open setup"),),
    ErrorKind.CONTENT_FILTER: (_CHANGE,),
    ErrorKind.CONTEXT_OVERFLOW: (("chat", "New chat"), _CHANGE),
    ErrorKind.BUDGET: (("settings", "Open settings"),),
}


def ending(row: Row) -> str:
    """How an answer ended, for who cannot see it."""
    if row.kind is Kind.FAILURE:
        return "No answer came."
    return " ".join((*aside_lines(row), row.seam or "The answer is complete."))


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
    text = whole_text(row)
    said = row.note if not text else text if row.active else to_plain(text)
    kept = (kept_text(row),) if row.aside_open else aside_lines(row)
    lines = (*kept, f"{who}: {said}", *call_lines(row), row.seam, why_line(row), who_line(row))
    return "\n".join(line for line in lines if line)
