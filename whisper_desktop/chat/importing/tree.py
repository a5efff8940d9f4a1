"""Builds a tree of messages from what another program kept, whatever is missing, doubled, or turned round.

Other programs keep more than messages: steps of reasoning, tools, hidden instructions. Those are stepped
over: what hangs below them hangs below the nearest message above. Steps of one answer become one answer.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from whisper_desktop.chat.records import Attachment, Node, TurnState
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Provenance, Role


@dataclass(frozen=True, slots=True)
class Piece:
    """What another program kept in one place. `key` and `parent` are its own ids, unique in a conversation.

    `role` None: no message of its own; its reasoning and attachments belong to the next answer below.
    """

    key: str
    parent: str | None
    role: Role | None
    text: str = ""
    created: float | None = None
    reasoning: str = ""
    attachments: tuple[Attachment, ...] = ()
    provenance: Provenance | None = None
    state: TurnState = TurnState.COMPLETE
    finish_reason: str = ""
    error: WhisperError | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """The messages, parents before children, and the message that stands for each key (None for none)."""

    nodes: tuple[Node, ...]
    places: Mapping[str, str | None]


def digest(*parts: str) -> str:
    """An id that is the same each time for the same parts."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:32]


def rooted(parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """The same without parents that are missing and without circles, parents before their children."""
    ordered: dict[str, str | None] = {}
    for key in parents:
        branch: dict[str, None] = {}
        above = parents[key]
        branch[key] = None
        while above is not None and above in parents and above not in ordered and above not in branch:
            branch[above] = None
            above = parents[above]
        for each in reversed(branch):
            parent = parents[each]
            if each not in ordered:
                ordered[each] = parent if parent in ordered else None
    return ordered


def build(conversation: str, pieces: Iterable[Piece], created: float) -> Tree:
    """The tree of a conversation. `conversation` makes the ids; `created` is for what has no time."""
    by_key: dict[str, Piece] = {}
    for piece in pieces:
        by_key.setdefault(piece.key, piece)
    parents = rooted({key: piece.parent for key, piece in by_key.items()})
    above = _visible_parents(by_key, parents)
    below: dict[str | None, int] = {}
    for key, parent in above.items():
        if by_key[key].role is not None:
            below[parent] = below.get(parent, 0) + 1
    nodes: dict[str, Node] = {}
    places: dict[str, str | None] = {}
    carried: dict[str | None, tuple[str, tuple[Attachment, ...]]] = {}
    for key, parent in parents.items():
        piece, shown = by_key[key], above[key]
        reasoning, attachments = carried.get(parent, ("", ()))
        reasoning, attachments = _joined(reasoning, piece.reasoning), attachments + piece.attachments
        place = None if shown is None else places[shown]
        before = None if place is None else nodes[place]
        if piece.role is None:
            places[key] = place
            carried[key] = (reasoning, attachments)
            continue
        if piece.role is not Role.ASSISTANT:
            reasoning, attachments = piece.reasoning, piece.attachments
        node = Node(
            id=digest(conversation, key),
            parent=place,
            role=piece.role,
            text=piece.text,
            created=piece.created if piece.created is not None else _time_of(before, created),
            attachments=attachments,
            state=piece.state,
            reasoning=reasoning,
            provenance=piece.provenance,
            finish_reason=piece.finish_reason,
            error=piece.error,
        )
        if before is not None and node.role is before.role is Role.ASSISTANT and below[shown] == 1:
            nodes[before.id] = _one_answer(before, node)
            places[key] = before.id
        else:
            nodes[node.id] = node
            places[key] = node.id
    return Tree(tuple(nodes.values()), places)


def _visible_parents(by_key: Mapping[str, Piece], parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """The nearest message above each piece; `parents` has parents before their children."""
    above: dict[str, str | None] = {}
    for key, parent in parents.items():
        above[key] = parent if parent is None or by_key[parent].role is not None else above[parent]
    return above


def _one_answer(first: Node, then: Node) -> Node:
    return replace(
        first,
        text=_joined(first.text, then.text),
        reasoning=_joined(first.reasoning, then.reasoning),
        attachments=first.attachments + then.attachments,
        provenance=then.provenance or first.provenance,
        state=then.state,
        finish_reason=then.finish_reason,
        error=then.error,
    )


def _joined(first: str, then: str) -> str:
    return "\n\n".join(part for part in (first, then) if part)


def _time_of(node: Node | None, otherwise: float) -> float:
    return otherwise if node is None else node.created
