"""Version 1: conversations, their messages, what is attached to them, folders, and the index of words.

What the app asks about has a column; everything else of a value is JSON in its `details`, where a field that
is new needs no new version. `number` of a message is the order in which messages were first put, and its row
in the index. Long columns stand last: what can be read of a row that was torn then has the rest. Each table
has another number of columns than the others, so that `salvage` knows a row by its shape.
"""

import sqlite3

_STATEMENTS = (
    # Facts about the file itself: whether it was closed, and when it was last looked through.
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value)",
    """CREATE TABLE folders (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        position INTEGER NOT NULL)""",
    """CREATE TABLE conversations (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created REAL, updated REAL, title TEXT NOT NULL,
        title_source TEXT NOT NULL, folder TEXT, pinned INTEGER NOT NULL, leaf TEXT, deleted REAL,
        details TEXT, draft TEXT NOT NULL)""",
    """CREATE TABLE nodes (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, conversation TEXT NOT NULL, parent TEXT,
        role TEXT NOT NULL, created REAL, state TEXT NOT NULL, indexed INTEGER NOT NULL, details TEXT,
        text TEXT NOT NULL, reasoning TEXT NOT NULL, UNIQUE (conversation, id))""",
    "CREATE INDEX nodes_of_conversation ON nodes (conversation)",
    "CREATE INDEX nodes_under_way ON nodes (state) WHERE state = 'streaming'",
    # `node` is NULL where it belongs to the draft; `text` is the id, among `data`, of the text taken from it.
    """CREATE TABLE attachments (
        number INTEGER PRIMARY KEY, conversation TEXT NOT NULL, node TEXT, data TEXT NOT NULL, text TEXT,
        details TEXT, name TEXT NOT NULL)""",
    "CREATE INDEX attachments_of ON attachments (conversation, node)",
    "CREATE INDEX attachments_of_drafts ON attachments (conversation) WHERE node IS NULL",
    "CREATE INDEX attachments_data ON attachments (data)",
    "CREATE INDEX attachments_text ON attachments (text) WHERE text IS NOT NULL",
    "CREATE TABLE data (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, bytes BLOB NOT NULL)",
    # What the index reads; `searchable_text` and `chat_word` are functions of ours (see `words`).
    """CREATE VIEW node_words AS SELECT
        number AS rowid, searchable_text(text) AS text,
        (SELECT searchable_text(group_concat(a.name || ' ' || coalesce(CAST(d.bytes AS TEXT), ''), ' '))
         FROM attachments a LEFT JOIN data d ON d.id = a.text
         WHERE a.conversation = nodes.conversation AND a.node = nodes.id) AS files,
        chat_word(conversation) AS chat
        FROM nodes WHERE indexed""",
    """CREATE VIRTUAL TABLE words USING fts5 (
        text, files, chat, content='node_words', tokenize='unicode61 remove_diacritics 0', prefix='1 2 3')""",
    "CREATE VIEW title_words AS SELECT number AS rowid, searchable_text(title) AS title FROM conversations",
    """CREATE VIRTUAL TABLE titles USING fts5 (
        title, content='title_words', tokenize='unicode61 remove_diacritics 0', prefix='1 2 3')""",
)


def migrate(database: sqlite3.Connection) -> None:
    """Everything there is, in an empty file."""
    for statement in _STATEMENTS:
        database.execute(statement)
