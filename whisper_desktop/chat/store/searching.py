"""Search over everything: titles first, then messages, the best and newest first.

All messages with the words would be too many to weigh where a word is a common one, so that only the newest
of them are; older ones of a rare word are found all the same.
"""

import sqlite3
from collections.abc import Sequence

from whisper_desktop.chat.records import Hit
from whisper_desktop.chat.store.rows import attachments_of, fetched
from whisper_desktop.chat.store.words import Question, chat_word, question, snippet
from whisper_desktop.values import Role

_WEIGHED = 2000  # messages whose worth is compared
_HALF_LIFE = 30 * 86400.0  # seconds until being new counts half as much
_NEW = 0.5  # how much more a message of this moment counts than an old one
_ROLES = {role.value: role for role in Role}


def search(
    database: sqlite3.Connection, query: str, limit: int, conversation: str | None, now: float
) -> tuple[Hit, ...]:
    """At most `limit` places where all words of `query` stand; `conversation` None: in all of them."""
    asked = question(query)
    if asked is None or limit < 1:
        return ()
    found = [] if conversation is not None else _in_titles(database, asked, limit)
    return (*found, *_in_messages(database, asked, limit - len(found), conversation, now))


def _in_titles(database: sqlite3.Connection, asked: Question, limit: int) -> list[Hit]:
    found = fetched(
        database,
        "SELECT c.id, c.title, c.created FROM titles CROSS JOIN conversations c ON c.number = titles.rowid "
        "WHERE titles MATCH ? AND c.deleted IS NULL ORDER BY c.updated DESC LIMIT ?",
        (asked.expression, limit),
    )
    return [
        Hit(chat, title, None, None, created or 0.0, snippet(title, asked)) for chat, title, created in found
    ]


def _in_messages(
    database: sqlite3.Connection, asked: Question, limit: int, conversation: str | None, now: float
) -> list[Hit]:
    expression, only = f"{{text files}} : ({asked.expression})", ""
    values: list[object] = [expression]
    if conversation is not None:
        only = "AND n.conversation = ?"
        values = [f"({expression}) AND chat : {chat_word(conversation)}", conversation]
    candidates = fetched(
        database,
        "SELECT n.number, bm25(words, 1.0, 0.5, 0.0), n.created "
        "FROM words CROSS JOIN nodes n ON n.number = words.rowid "
        "CROSS JOIN conversations c ON c.id = n.conversation "
        f"WHERE words MATCH ? AND c.deleted IS NULL {only} ORDER BY words.rowid DESC LIMIT ?",
        (*values, _WEIGHED),
    )
    candidates.sort(key=lambda row: _worth(row, now), reverse=True)
    hits = (_hit(database, asked, row[0]) for row in candidates[: max(limit, 0)])
    return [hit for hit in hits if hit is not None]


def _worth(row: Sequence[float], now: float) -> float:
    """How good a hit is: bm25, which SQLite gives with a minus, and more where the message is new."""
    _, rank, created = row
    age = max(now - (created or 0.0), 0.0)
    worth: float = -rank * (1 + _NEW * 0.5 ** min(age / _HALF_LIFE, 64.0))
    return worth


def _hit(database: sqlite3.Connection, asked: Question, number: int) -> Hit | None:
    """The place itself. Only those that are shown are read as a whole."""
    row = fetched(
        database,
        "SELECT n.conversation, c.title, n.id, n.role, n.created, n.text "
        "FROM nodes n JOIN conversations c ON c.id = n.conversation WHERE n.number = ?",
        (number,),
    )
    if not row:  # removed in this very moment
        return None
    chat, title, node, role, created, text = row[0]
    shown = snippet(text, asked)
    if not any(marked for _, marked in shown):
        attached = attachments_of(database, "a.conversation = ? AND a.node = ?", (chat, node))
        files = " ".join(f"{one.name} {one.text}" for one in attached.get((chat, node), ()))
        shown = snippet(files, asked) if files else shown
    return Hit(chat, title, node, _ROLES.get(role, Role.ASSISTANT), created or 0.0, shown)
