"""A conversation as it is exported, and what all readable exports say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from whisper_desktop.chat.breaks import marked
from whisper_desktop.chat.files import shown_size
from whisper_desktop.chat.provenance import GUIDE_LABEL, provenance_line
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.language import tr, trn
from whisper_desktop.values import Role


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation with all its messages, and the bytes of its attachments by their id.

    Bytes that are gone are left out of `data`.
    """

    conversation: Conversation
    nodes: tuple[Node, ...]
    data: Mapping[str, bytes] = field(default_factory=dict)


def shown_path(kept: Kept) -> tuple[Node, ...]:
    """The messages from the first to the one that the conversation ends with now."""
    by_id = {node.id: node for node in kept.nodes}
    path: dict[str, Node] = {}
    node = by_id.get(kept.conversation.leaf or "") or (kept.nodes[-1] if kept.nodes else None)
    while node is not None and node.id not in path:
        path[node.id] = node
        node = by_id.get(node.parent or "")
    return tuple(reversed(path.values()))


def title_of(conversation: Conversation) -> str:
    """Its title on one line; a conversation without one is called by its day."""
    title = " ".join(conversation.title.split())
    return title or tr("Conversation of {day}", day=moment(conversation.created)[:10])


def moment(seconds: float) -> str:
    """A moment in this computer's time zone: "2026-11-22 14:05"."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):  # an import may say anything
        return "1970-01-01 00:00"


def opening(kept: Kept) -> str:
    """The line below the title: when, how many messages, and that there are other branches."""
    path = shown_path(kept)
    said = [
        moment(kept.conversation.created),
        trn("one message", "{count} messages", len(path)),
    ]
    if others := len(kept.nodes) - len(path):
        said.append(
            trn(
                "one more message is in other branches, which only the JSON export has",
                "{count} more messages are in other branches, which only the JSON export has",
                others,
            )
        )
    return " · ".join(said)


def speaker(node: Node) -> str:
    """Who wrote a message, as its heading says it."""
    if node.role is Role.USER:
        return tr("You")
    if node.role is Role.SYSTEM:
        return tr("System prompt")
    if node.provenance is None:
        return tr("Tool") if node.role is Role.TOOL else tr("Answer")
    return tr(GUIDE_LABEL) if node.provenance.backend == "guide" else node.provenance.model or tr("Answer")


def text_of(node: Node) -> str:
    """A message's text, with a line wherever somebody else went on with it."""
    last = node.provenance.server_name if node.provenance is not None else ""
    return marked(node.text, node.seams, last)


def below(node: Node) -> tuple[str, ...]:
    """The lines below an answer: how it ended where that was early, and who gave it."""
    lines = []
    if node.state in (TurnState.STOPPED, TurnState.STREAMING):
        lines.append(tr("Stopped here."))
    elif node.state is TurnState.INTERRUPTED:
        lines.append(tr("The answer broke off here."))
    elif node.state is TurnState.FAILED:
        lines.append(tr("There was no answer."))
    if node.error is not None and node.state in (TurnState.INTERRUPTED, TurnState.FAILED):
        lines[-1] = f"{lines[-1]} {node.error.title}"
    if node.provenance is not None:
        lines.append(provenance_line(node.provenance))
    return tuple(lines)


def attachment_line(attachment: Attachment) -> str:
    """An attachment by name and size."""
    return tr("Attached: {name} ({size})", name=attachment.name, size=shown_size(attachment.size_bytes))
