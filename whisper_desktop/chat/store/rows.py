"""Conversations, messages and folders as rows, and rows as them.

Reading never fails because of what a row holds: what cannot be understood gets its default, and a message
without readable text says so, because a conversation must not end at one broken row.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from whisper_desktop.chat.records import (
    Attachment,
    Conversation,
    Draft,
    Folder,
    Node,
    TitleSource,
    TurnState,
)
from whisper_desktop.chat.store.codec import Unreadable, encoded, fields_reader, parsed
from whisper_desktop.chat.store.words import valid
from whisper_desktop.language import tr
from whisper_desktop.values import Role

Row = Sequence[Any]

NODE_COLUMNS = "number, id, conversation, parent, role, created, state, indexed, details, text, reasoning"
CONVERSATION_COLUMNS = (
    "number, id, created, updated, title, title_source, folder, pinned, leaf, deleted, details, draft"
)
FOLDER_COLUMNS = "number, id, name, position"
ATTACHMENT_COLUMNS = "number, conversation, node, data, text, details, name"

_ROLES: Mapping[object, Role] = {role.value: role for role in Role}
_STATES: Mapping[object, TurnState] = {state.value: state for state in TurnState}
_SOURCES: Mapping[object, TitleSource] = {source.value: source for source in TitleSource}

_NODE_ALONE = frozenset(("id", "parent", "role", "text", "created", "attachments", "state", "reasoning"))
_CONVERSATION_ALONE = frozenset(
    ("id", "created", "updated", "title", "title_source", "folder", "pinned", "leaf", "draft", "deleted")
)
_ATTACHMENT_ALONE = frozenset(("id", "name", "text"))
"""The fields that have columns, or tables, of their own; all others are in `details`."""


class _Details:
    """The fields of a dataclass that are in the column `details`. `empty` has what stands for lost ones."""

    def __init__(self, empty: Any, alone: frozenset[str]) -> None:
        self.names = tuple(one.name for one in fields(empty) if one.name not in alone)
        self._alone = alone
        kind: Any = type(empty)
        self._read = fields_reader(kind, alone)
        self._without: Sequence[Any] = [getattr(empty, name) for name in self.names]

    def column(self, value: object) -> str | None:
        return encoded(value, self._alone)

    def values(self, column: object) -> Sequence[Any]:
        """What the column says, in the order of `names`; what it does not say has its default."""
        if column is None:
            return self._without
        try:
            return self._read(parsed(column))
        except Unreadable:
            return self._without


_NODE = _Details(Node("", None, Role.ASSISTANT, "", 0.0), _NODE_ALONE)
_CONVERSATION = _Details(Conversation("", 0.0, 0.0), _CONVERSATION_ALONE)
_ATTACHMENT = _Details(Attachment("", "", "", 0), _ATTACHMENT_ALONE)


def text_id(text: str) -> str:
    """Under what id, among `data`, the text of an attachment is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- Writing ----------------------------------------------------------------------------------------------


def put_node(database: sqlite3.Connection, conversation: str, node: Node) -> None:
    """Write a message, new or not, and what is looked for in it once it is complete."""
    key = (conversation, node.id)
    final = node.state is not TurnState.STREAMING
    values = (
        node.parent,
        node.role.value,
        node.created,
        node.state.value,
        final,
        _NODE.column(node),
        valid(node.text),
        valid(node.reasoning),
    )
    known = database.execute(
        "SELECT number, indexed FROM nodes WHERE conversation = ? AND id = ?", key
    ).fetchone()
    if known is None:
        number = database.execute(
            "INSERT INTO nodes (conversation, id, parent, role, created, state, indexed, details, text, "
            "reasoning) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, *values),
        ).lastrowid
    else:
        number, indexed = known
        if indexed:  # before anything changes: the index finds its words by what is in the row
            database.execute("DELETE FROM words WHERE rowid = ?", (number,))
        database.execute(
            "UPDATE nodes SET parent = ?, role = ?, created = ?, state = ?, indexed = ?, details = ?, "
            "text = ?, reasoning = ? WHERE number = ?",
            (*values, number),
        )
        database.execute("DELETE FROM attachments WHERE conversation = ? AND node = ?", key)
    _put_attachments(database, conversation, node.id, node.attachments)
    if final:
        put_in_index(database, number)


def put_in_index(database: sqlite3.Connection, number: int | None) -> None:
    """Have the words of this message found."""
    database.execute(
        "INSERT INTO words (rowid, text, files, chat) "
        "SELECT rowid, text, files, chat FROM node_words WHERE rowid = ?",
        (number,),
    )


def put_conversation(database: sqlite3.Connection, conversation: Conversation) -> None:
    """Write the head of a conversation, new or not."""
    title = valid(conversation.title)
    values = (
        conversation.created,
        conversation.updated,
        title,
        conversation.title_source.value,
        conversation.folder,
        conversation.pinned,
        conversation.leaf,
        conversation.deleted,
        _CONVERSATION.column(conversation),
        valid(conversation.draft.text),
    )
    known = database.execute(
        "SELECT number, title FROM conversations WHERE id = ?", (conversation.id,)
    ).fetchone()
    if known is None:
        number = database.execute(
            "INSERT INTO conversations (id, created, updated, title, title_source, folder, pinned, leaf, "
            "deleted, details, draft) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (conversation.id, *values),
        ).lastrowid
    else:
        number = known[0]
        if title != known[1]:
            database.execute("DELETE FROM titles WHERE rowid = ?", (number,))
        database.execute(
            "UPDATE conversations SET created = ?, updated = ?, title = ?, title_source = ?, folder = ?, "
            "pinned = ?, leaf = ?, deleted = ?, details = ?, draft = ? WHERE number = ?",
            (*values, number),
        )
        database.execute(
            "DELETE FROM attachments WHERE conversation = ? AND node IS NULL", (conversation.id,)
        )
    _put_attachments(database, conversation.id, None, conversation.draft.attachments)
    if known is None or title != known[1]:
        database.execute(
            "INSERT INTO titles (rowid, title) SELECT rowid, title FROM title_words WHERE rowid = ?",
            (number,),
        )


def put_folder(database: sqlite3.Connection, folder: Folder) -> None:
    """Write a folder, new or not."""
    database.execute(
        "INSERT INTO folders (id, name, position) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, position = excluded.position",
        (folder.id, valid(folder.name), folder.position),
    )


def put_data(database: sqlite3.Connection, data_id: str, data: bytes) -> None:
    """Write bytes; what has an id never changes."""
    database.execute("INSERT OR IGNORE INTO data (id, bytes) VALUES (?, ?)", (data_id, data))


def note_removal(database: sqlite3.Connection) -> None:
    """Remember that the index still has words of what is removed, until somebody has put it in order."""
    database.execute("INSERT OR REPLACE INTO facts VALUES ('removed', 1)")


def has_removals(database: sqlite3.Connection) -> bool:
    """Whether the index still has words of what was removed."""
    return bool(database.execute("SELECT 1 FROM facts WHERE name = 'removed'").fetchone())


def forget_removals(database: sqlite3.Connection) -> None:
    """The index has no word any more of what was removed."""
    database.execute("DELETE FROM facts WHERE name = 'removed'")


def remove_conversation(database: sqlite3.Connection, conversation: str) -> set[str]:
    """Remove it with all its messages. Returns the ids of the data it had."""
    database.execute(
        "DELETE FROM words WHERE rowid IN (SELECT number FROM nodes WHERE conversation = ? AND indexed)",
        (conversation,),
    )
    database.execute(
        "DELETE FROM titles WHERE rowid IN (SELECT number FROM conversations WHERE id = ?)", (conversation,)
    )
    freed = _data_of(database, "conversation = ?", (conversation,))
    for table, column in (
        ("nodes", "conversation"),
        ("attachments", "conversation"),
        ("conversations", "id"),
    ):
        database.execute(f"DELETE FROM {table} WHERE {column} = ?", (conversation,))
    return freed


def remove_node(database: sqlite3.Connection, conversation: str, node: str) -> set[str]:
    """Remove a message. Returns the ids of the data it had."""
    key = (conversation, node)
    database.execute(
        "DELETE FROM words WHERE rowid IN "
        "(SELECT number FROM nodes WHERE conversation = ? AND id = ? AND indexed)",
        key,
    )
    freed = _data_of(database, "conversation = ? AND node = ?", key)
    database.execute("DELETE FROM attachments WHERE conversation = ? AND node = ?", key)
    database.execute("DELETE FROM nodes WHERE conversation = ? AND id = ?", key)
    return freed


def remove_folder(database: sqlite3.Connection, folder: str) -> None:
    """Remove a folder. The conversations in it move out."""
    database.execute("UPDATE conversations SET folder = NULL WHERE folder = ?", (folder,))
    database.execute("DELETE FROM folders WHERE id = ?", (folder,))


def collect(database: sqlite3.Connection, freed: Iterable[str]) -> None:
    """Remove those of these data that nothing refers to."""
    database.executemany(f"DELETE FROM data WHERE id = ? AND {_UNUSED}", ((data_id,) for data_id in freed))


def collect_all(database: sqlite3.Connection) -> None:
    """Remove all data that nothing refers to."""
    database.execute(f"DELETE FROM data WHERE {_UNUSED}")


_UNUSED = (
    "NOT EXISTS (SELECT 1 FROM attachments WHERE attachments.data = data.id) "
    "AND NOT EXISTS (SELECT 1 FROM attachments WHERE attachments.text = data.id)"
)


def _data_of(database: sqlite3.Connection, where: str, values: tuple[str, ...]) -> set[str]:
    found = database.execute(f"SELECT data, text FROM attachments WHERE {where}", values)
    return {data_id for pair in found for data_id in pair if data_id is not None}


def _put_attachments(
    database: sqlite3.Connection, conversation: str, node: str | None, attachments: tuple[Attachment, ...]
) -> None:
    for one in attachments:
        text = valid(one.text)
        kept_as = text_id(text) if text else None
        if kept_as is not None:
            put_data(database, kept_as, text.encode())
        database.execute(
            "INSERT INTO attachments (conversation, node, data, text, details, name) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (conversation, node, one.id, kept_as, _ATTACHMENT.column(one), valid(one.name)),
        )


def index_anew(database: sqlite3.Connection) -> None:
    """Make the index of words again, from what the rows say."""
    for index in ("words", "titles"):
        [(made_by,)] = database.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)).fetchall()
        database.execute(f"DROP TABLE {index}")
        database.execute(made_by)
        database.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")


# --- Reading ----------------------------------------------------------------------------------------------


def fetched(database: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> list[Any]:
    """All rows of a question. Text that is no UTF-8 is read as far as it is."""
    try:
        return database.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):  # SQLite's own: only Python minds what is in a text
            raise
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.text_factory = str


def nodes_of(database: sqlite3.Connection, conversation: str) -> list[Node]:
    """The messages of a conversation, in the order in which they were first put."""
    attachments = attachments_of(database, "a.conversation = ? AND a.node IS NOT NULL", (conversation,))
    rows = fetched(
        database,
        f"SELECT {NODE_COLUMNS} FROM nodes WHERE conversation = ? ORDER BY number",
        (conversation,),
    )
    return [node_of(row, attachments.get((conversation, row[1]), ())) for row in rows]


def conversations_of(
    database: sqlite3.Connection, where: str, values: Sequence[object] = ()
) -> list[Conversation]:
    """The heads of the conversations that fit a condition."""
    drafts = attachments_of(database, "a.node IS NULL")
    rows = fetched(database, f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE {where}", values)
    return [conversation_of(row, drafts.get((row[1], None), ())) for row in rows]


def attachments_of(
    database: sqlite3.Connection, where: str, values: Sequence[object] = ()
) -> dict[tuple[str, str | None], tuple[Attachment, ...]]:
    """The attachments that fit a condition, by conversation and message (None: its draft)."""
    columns = ", ".join(f"a.{name}" for name in ATTACHMENT_COLUMNS.split(", "))
    found: dict[tuple[str, str | None], tuple[Attachment, ...]] = {}
    for *row, text in fetched(
        database,
        f"SELECT {columns}, d.bytes FROM attachments a LEFT JOIN data d ON d.id = a.text "
        f"WHERE {where} ORDER BY a.number",
        values,
    ):
        place = (row[1], row[2])
        found[place] = (*found.get(place, ()), attachment_of(row, text))
    return found


def node_of(row: Row, attachments: tuple[Attachment, ...]) -> Node:
    """The message in a row of `NODE_COLUMNS`."""
    _, node_id, _, parent, role, created, state, _, details, text, reasoning = row
    return Node(
        node_id,
        parent,
        _ROLES.get(role, Role.ASSISTANT),
        text if type(text) is str else tr("This message could not be read."),
        _time(created),
        attachments,
        _STATES.get(state, TurnState.COMPLETE),
        reasoning if type(reasoning) is str else "",
        *_NODE.values(details),
    )


def conversation_of(row: Row, draft: tuple[Attachment, ...]) -> Conversation:
    """The head of a conversation in a row of `CONVERSATION_COLUMNS`."""
    _, id_, created, updated, title, source, folder, pinned, leaf, deleted, details, draft_text = row
    return Conversation(
        id=id_,
        created=_time(created),
        updated=_time(updated),
        title=_text(title),
        title_source=_SOURCES.get(source, TitleSource.NONE),
        folder=folder if type(folder) is str else None,
        pinned=bool(pinned),
        leaf=leaf if type(leaf) is str else None,
        draft=Draft(_text(draft_text), draft),
        deleted=None if deleted is None else _time(deleted),
        **dict(zip(_CONVERSATION.names, _CONVERSATION.values(details), strict=True)),
    )


def folder_of(row: Row) -> Folder:
    """The folder in a row of `FOLDER_COLUMNS`."""
    _, folder_id, name, position = row
    return Folder(folder_id, _text(name), position if type(position) is int else 0)


def attachment_of(row: Row, text: object) -> Attachment:
    """The attachment in a row of `ATTACHMENT_COLUMNS`, with the bytes of its text (None: it has none)."""
    _, _, _, data_id, _, details, name = row
    taken_out = text.decode("utf-8", "replace") if isinstance(text, bytes) else ""
    more = dict(zip(_ATTACHMENT.names, _ATTACHMENT.values(details), strict=True))
    return Attachment(id=data_id, name=_text(name), text=taken_out, **more)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> float:
    return float(value) if isinstance(value, float | int) else 0.0
