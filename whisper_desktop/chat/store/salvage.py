"""What can still be read of a damaged file, written into a new one.

Messages whose conversation is lost get one; a message whose parent is lost hangs below the one before it, so
that everything that could be read can be reached.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whisper_desktop.chat.records import Attachment, Conversation, Folder, Node, TitleSource, TurnState
from whisper_desktop.chat.store import rows
from whisper_desktop.chat.store.pages import Pages
from whisper_desktop.values import Role

_TITLE = 60  # characters of a question that make a title

_TEXT, _BYTES, _WHOLE = (str,), (bytes,), (int,)
_MAYBE, _TIME = (str, type(None)), (int, float, type(None))
_SHAPES: Mapping[str, tuple[tuple[type, ...], ...]] = {
    # What the columns behind `number` hold, in the order of the columns in `rows`.
    "folders": (_TEXT, _TEXT, _WHOLE),
    "conversations": (*(_TEXT, _TIME, _TIME, _TEXT, _TEXT, _MAYBE, _WHOLE, _MAYBE, _TIME, _MAYBE, _TEXT),),
    "nodes": (_TEXT, _TEXT, _MAYBE, _TEXT, _TIME, _TEXT, _WHOLE, _MAYBE, _TEXT, _TEXT),
    "attachments": (_TEXT, _MAYBE, _TEXT, _MAYBE, _MAYBE, _TEXT),
    "data": (_TEXT, _BYTES),
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was read. `nodes` are in the order in which they were first put, by conversation."""

    conversations: tuple[Conversation, ...]
    nodes: Mapping[str, tuple[Node, ...]]
    folders: tuple[Folder, ...]
    data: Mapping[str, bytes]

    @property
    def messages(self) -> int:
        """How many messages there are."""
        return sum(len(nodes) for nodes in self.nodes.values())

    def write(self, database: sqlite3.Connection) -> None:
        """Put all of it into a new file, in a transaction that is not its own."""
        for data_id, data in self.data.items():
            rows.put_data(database, data_id, data)
        for folder in self.folders:
            rows.put_folder(database, folder)
        for conversation in self.conversations:
            rows.put_conversation(database, conversation)
        for conversation_id, nodes in self.nodes.items():
            for node in nodes:
                rows.put_node(database, conversation_id, node)


def salvage(path: Path) -> Salvaged:
    """Read what can be read. Raises `OSError` where the file cannot be read at all."""
    tables = _tables(path)
    data = {row[1]: row[2] for row in tables["data"] if hashlib.sha256(row[2]).hexdigest() == row[1]}
    attached = _attachments(tables["attachments"], data)
    nodes: dict[str, dict[str, Node]] = {}
    for row in tables["nodes"]:
        node = rows.node_of(row, attached.get((row[2], row[1]), ()))
        if node.state is TurnState.STREAMING:
            node = replace(node, state=TurnState.STOPPED)
        nodes.setdefault(row[2], {})[node.id] = node
    mended = {conversation: _mended(tuple(found.values())) for conversation, found in nodes.items()}
    heads = {
        row[1]: rows.conversation_of(row, attached.get((row[1], None), ())) for row in tables["conversations"]
    }
    for conversation, found in mended.items():
        head = heads.get(conversation) or adopting(conversation, found)
        if head.leaf not in nodes[conversation]:
            head = replace(head, leaf=found[-1].id)
        heads[conversation] = head
    folders = {row[1]: rows.folder_of(row) for row in tables["folders"]}
    return Salvaged(tuple(heads.values()), mended, tuple(folders.values()), data)


def adopting(conversation: str, nodes: tuple[Node, ...]) -> Conversation:
    """A head for messages that have lost theirs."""
    asked = next((node.text for node in nodes if node.role is Role.USER), "")
    return Conversation(
        conversation,
        nodes[0].created,
        nodes[-1].created,
        " ".join(asked.split())[:_TITLE],
        TitleSource.QUESTION if asked else TitleSource.NONE,
        leaf=nodes[-1].id,
    )


def _tables(path: Path) -> dict[str, list[rows.Row]]:
    """The rows of each table in order. A row is known by its shape: where it stood may be lost."""
    found: dict[str, dict[int, rows.Row]] = {name: {} for name in _SHAPES}
    with Pages(path) as pages:
        for number, (first, *columns) in pages.rows():
            for name, shape in _SHAPES.items():
                if first is None and len(columns) == len(shape) and _fits(columns, shape):
                    found[name][number] = (number, *columns)
    return {name: [row for _, row in sorted(table.items())] for name, table in found.items()}


def _fits(columns: Iterable[object], shape: tuple[tuple[type, ...], ...]) -> bool:
    return all(type(column) in kinds for column, kinds in zip(columns, shape, strict=True))


def _attachments(
    table: Iterable[rows.Row], data: Mapping[str, bytes]
) -> dict[tuple[str, str | None], tuple[Attachment, ...]]:
    found: dict[tuple[str, str | None], tuple[Attachment, ...]] = {}
    for row in table:
        text = data.get(row[4])
        place = (row[1], row[2])
        found[place] = (*found.get(place, ()), rows.attachment_of(row, text))
    return found


def _mended(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    known: set[str] = set()
    mended: list[Node] = []
    for node in nodes:
        if node.parent is not None and node.parent not in known:
            node = replace(node, parent=mended[-1].id if mended else None)
        known.add(node.id)
        mended.append(node)
    return tuple(mended)
