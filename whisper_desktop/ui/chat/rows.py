"""What the transcript shows, as values: rows, how events change them, the words around an answer. No Qt."""

from collections.abc import Iterable
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
from whisper_desktop.chat.breaks import Seam, SetAside, marked, restart_lines, seam_lines
from whisper_desktop.chat.files import shown_size
from whisper_desktop.chat.records import Attachment, Node, TurnState
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr, trn
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
    Role,
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

    `node` is the message's id, "" while it is kept nowhere, and `created` when it began (seconds since 1970,
    UTC). `branch` is its place among its siblings, from 0, and how many they are. `cut`: the answer ended at
    the limit of its length. `reasoning_seconds` is how long the model reasoned.
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
    node: str = ""
    branch: tuple[int, int] = (0, 1)
    created: float | None = None
    attachments: tuple[Attachment, ...] = ()
    cut: bool = False
    reasoning_seconds: float | None = None


def question(text: str, attachments: tuple[Attachment, ...] = ()) -> Row:
    """What the person asked."""
    return Row(Kind.QUESTION, text, attachments=attachments)


def of_node(node: Node, branch: tuple[int, int] = (0, 1), *, last: bool = False) -> Row:
    """The row of a message that is kept. `last`: nothing follows it, so a failed one can be asked again."""
    kept = Row(
        Kind.QUESTION if node.role is Role.USER else Kind.ANSWER,
        node.text,
        node.reasoning,
        node=node.id,
        branch=branch,
        created=node.created,
        attachments=node.attachments,
        seams=node.seams,
        set_aside=node.set_aside,
        tool_calls=node.tool_calls,
        provenance=node.provenance,
        speaker=node.provenance.server_name if node.provenance else "",
        guide=node.provenance is not None and node.provenance.backend == "guide",
        cut=node.finish_reason == "length",
        reasoning_seconds=node.reasoning_seconds,
    )
    if node.error is not None and node.role is not Role.USER:
        return replace(broken(kept, node.error), can_retry=last)
    match node.state:
        case TurnState.STREAMING:
            return replace(kept, active=True, note="" if node.text else tr(WAITING))
        case TurnState.STOPPED:
            return replace(stopped(kept), can_retry=last)
        case TurnState.INTERRUPTED | TurnState.FAILED if node.role is not Role.USER:
            return replace(kept, seam=tr("The answer broke off when the app ended."), can_retry=last)
        case _:
            return kept


def waiting(*, guide: bool) -> Row:
    """An answer of which nothing has come yet."""
    return Row(Kind.ANSWER, active=True, note=tr(WAITING), guide=guide)


def with_event(row: Row, event: StreamEvent) -> Row:
    """The answer after one more event of its stream."""
    match event:
        case TextDelta(text):
            return replace(row, text=row.text + text, note="", waited=0)
        case ReasoningDelta(reasoning):
            note = "" if row.text else tr("Thinking…")
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
                row, text="", reasoning="", seams=(), set_aside=kept, speaker="", note=tr(WAITING), waited=0
            )
        case AnswerContinued(failed, position):
            return replace(row, seams=(*row.seams, Seam(position, failed)), speaker="")
        case AnswerFinished(completion):
            cut = completion.finish_reason == "length"
            return replace(row, active=False, note="", provenance=completion.provenance, cut=cut)


def with_events(row: Row, events: Iterable[StreamEvent]) -> Row:
    """The answer after several events: text that came in pieces is joined once."""
    text: list[str] = []
    for event in events:
        if isinstance(event, TextDelta):
            text.append(event.text)
            continue
        if text:
            row = with_event(row, TextDelta("".join(text)))
            text.clear()
        row = with_event(row, event)
    return with_event(row, TextDelta("".join(text))) if text else row


def stopped(row: Row) -> Row:
    """The person stopped the answer; what came is kept."""
    words = len(row.text.split())
    after = trn("Stopped after one word.", "Stopped after {count} words.", words)
    seam = after if row.text else tr("Stopped before the answer began.")
    return replace(row, active=False, note="", seam=seam, can_retry=True)


def broken(row: Row, error: WhisperError) -> Row:
    """The answer broke off. What had come stays, with a seam; else the row tells the failure."""
    if row.text or row.reasoning or row.tool_calls or row.set_aside:
        return replace(row, active=False, note="", seam=str(error), error=error, can_retry=True)
    return replace(row, kind=Kind.FAILURE, active=False, note="", error=error, can_retry=True)


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
        return tr(GUIDE_LABEL) if row.guide else ""
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


def shown_question(row: Row) -> str:
    """A question's text; the beginning of a very long one, until it is opened."""
    if row.open:
        return row.text[:_MOST_SHOWN]
    return row.text if not is_long(row) else row.text[:_FOLDED_TO].rstrip() + "…"


def is_long(row: Row) -> bool:
    """Whether a question is shown folded at first."""
    return row.kind is Kind.QUESTION and len(row.text) > _LONG_QUESTION


_LONG_QUESTION = 6_000  # characters
_FOLDED_TO = 2_000
_MOST_SHOWN = 200_000


def reasoning_line(row: Row) -> str:
    """What stands for the reasoning while it is folded: that it goes on, or how long it took."""
    if row.reasoning_seconds is not None:
        return tr("Reasoned for {time}", time=seconds(row.reasoning_seconds))
    return tr("Reasoning…") if row.active and not row.text else tr("Reasoning")


def attachment_line(attachment: Attachment) -> str:
    """An attachment as its name and size."""
    return tr("{name} · {size}", name=attachment.name, size=shown_size(attachment.size_bytes))


def branch_line(row: Row) -> str:
    """Which of its siblings a message is."""
    return tr("{place} of {count}", place=row.branch[0] + 1, count=row.branch[1])


def hover_actions(row: Row) -> tuple[tuple[str, str], ...]:
    """The actions that stand at a row while the pointer or the keyboard is on it, as (action, label)."""
    if row.active or row.kind is Kind.FAILURE:
        return ()
    return (*((name, tr(label)) for name, label in _usual(row)), ("more", "⋯"))


def actions(row: Row) -> tuple[tuple[str, str], ...]:
    """Everything that can be done with a message, as (action, label), for a menu."""
    if row.active:
        return (("copy", tr("Copy as markdown")), ("copy_text", tr("Copy as text"))) if row.text else ()
    offered = []
    if row.text:
        offered += [
            ("copy", tr("Copy as markdown")),
            ("copy_text", tr("Copy as text")),
            ("quote", tr("Quote")),
        ]
    if row.kind is Kind.QUESTION:
        offered.append(("edit", tr("Edit…")))
    elif not row.guide:
        if can_continue(row):
            offered.append(("continue", tr("Continue")))
        offered += [("regenerate", tr("Try again")), ("regenerate_with", tr("With another model…"))]
    if row.branch[1] > 1:
        offered += [("branch_back", tr("Previous branch")), ("branch_on", tr("Next branch"))]
    if row.node:
        offered += [("show_tree", tr("Show all branches")), ("delete", tr("Delete from here…"))]
    return tuple(offered)


def can_continue(row: Row) -> bool:
    """Whether the answer can go on where it ended."""
    return row.kind is Kind.ANSWER and not row.active and bool(row.text) and bool(row.cut or row.seam)


def _usual(row: Row) -> tuple[tuple[str, str], ...]:
    """The actions that are wanted most; "Try again" is offered at a broken answer at all times."""
    if row.kind is Kind.QUESTION:
        unfolds = (("details", _LESS if row.open else _ALL),) if is_long(row) else ()
        return (*unfolds, ("edit", _EDIT), ("copy", _COPY)) if row.text else (("edit", _EDIT),)
    copies = (("copy", _COPY), ("quote", _QUOTE)) if row.text else ()
    again = () if row.can_retry or row.guide else (("regenerate", _AGAIN),)
    return (*copies, *again)


_ALL, _LESS = mark("Show all of it"), mark("Show less")
_EDIT, _COPY, _QUOTE, _AGAIN = mark("Edit"), mark("Copy"), mark("Quote"), mark("Try again")


def call_lines(row: Row) -> tuple[str, ...]:
    """The functions that the model called."""
    return tuple(tool_call_line(call) for call in row.tool_calls)


def offers(row: Row) -> tuple[tuple[str, str], ...]:
    """What can be done about an answer that broke off, as (action, label); most of it for the last one."""
    goes_on = (("continue", tr("Continue")),) if can_continue(row) else ()
    if not row.can_retry:
        return goes_on
    mended = remedies(row.error) if row.error is not None else ()
    return (*mended, *goes_on, ("retry", tr("Try again")))


def remedies(error: WhisperError) -> tuple[tuple[str, str], ...]:
    """What removes the cause of an error, where this app can do that, as (action, label)."""
    asked = _allowing(error)
    mending = tuple((repair_action(each), each.label) for each in mendable(error))
    known = _REMEDIES.get(getattr(error, "kind", None), ())
    return (*asked, *mending) or tuple((action, tr(label)) for action, label in known)


def mendable(error: WhisperError) -> tuple[Repair, ...]:
    """The repairs of our engine that a button does, the likeliest to help first."""
    offered = [each for each in failure_of(error).repairs if each.change or each.id in _IN_SETUP]
    # Beside a question and "Try again", more buttons would be a menu.
    return tuple(offered[: _MOST_REPAIRS - len(_allowing(error))])


def _allowing(error: WhisperError) -> tuple[tuple[str, str], ...]:
    """What the person is asked to allow."""
    consent = failure_of(error).consent
    if consent is not None and consent.needed is not None:
        return (("allow", tr(_ALLOW[consent.needed])),)
    server = server_in_question(error)
    return () if server is None else (("allow", tr("Allow {server}", server=server.name)),)


_ALLOW = {
    Reach.THIS_MACHINE: mark("Allow this computer in this chat"),
    Reach.MY_NETWORK: mark("Allow my network in this chat"),
    Reach.CLOUD: mark("Allow the cloud in this chat"),
}


def repair_action(repair: Repair) -> str:
    """The action of its button."""
    return f"{REPAIR}{repair.id}" if repair.change else "setup"


REPAIR = "repair:"
"""Begins the action that accepts a repair of our engine; its id follows."""

_MOST_REPAIRS = 2
_IN_SETUP = ("download_again",)
"""Repairs that are no change of a start, but something that Setup does."""

_CHANGE = ("edit", mark("Change the message"))
_REMEDIES: dict[ErrorKind | None, tuple[tuple[str, str], ...]] = {
    ErrorKind.AUTH: (("setup", mark("Open setup")),),
    ErrorKind.CONTENT_FILTER: (_CHANGE,),
    ErrorKind.CONTEXT_OVERFLOW: (("chat", mark("New chat")), _CHANGE),
    ErrorKind.BUDGET: (("settings", mark("Open settings")),),
}


def ending(row: Row) -> str:
    """How an answer ended, for who cannot see it."""
    if row.kind is Kind.FAILURE:
        return tr("No answer came.")
    return " ".join((*aside_lines(row), row.seam or tr("The answer is complete.")))


def detail_lines(row: Row) -> tuple[str, ...]:
    """What a click on the line below an answer opens: why, every attempt, the times."""
    origin = row.provenance
    if origin is None:
        return ()
    lines = [origin.reason] if origin.reason and not why_line(row) else []
    lines += [attempt_line(attempt) for attempt in origin.attempts]
    whole = seconds(origin.total_seconds)
    if origin.ttft_seconds is None:
        return (*lines, tr("{time} in all", time=whole))
    first = seconds(origin.ttft_seconds)
    return (*lines, tr("first token after {first}, {time} in all", first=first, time=whole))


def spoken(row: Row) -> str:
    """What a screen reader says for a row. Imports the markdown parser for answers."""
    attached = tuple(attachment_line(attachment) for attachment in row.attachments)
    branch = (tr("Branch {which}", which=branch_line(row)),) if row.branch[1] > 1 else ()
    if row.kind is Kind.QUESTION:
        return "\n".join((tr("You: {text}", text=row.text), *attached, *branch))
    if row.kind is Kind.FAILURE:
        return "\n".join((str(row.error), *branch))
    from whisper_desktop.ui.chat.markdown_html import to_plain

    who = tr("Guide") if row.guide else row.provenance.model if row.provenance else tr("Answer")
    text = whole_text(row)
    said = row.note if not text else text if row.active else to_plain(text)
    kept = (kept_text(row),) if row.aside_open else aside_lines(row)
    thought = (reasoning_line(row),) if row.reasoning else ()
    main = tr("{who}: {text}", who=who, text=said)
    after = (*call_lines(row), *attached, row.seam, why_line(row), who_line(row), *branch)
    return "\n".join(line for line in (*kept, *thought, main, *after) if line)
