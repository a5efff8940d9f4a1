"""The file of the ledger: a small SQLite database.

Two programs that add to the same row at once, one that is killed while it writes, and knowing that a file is
damaged: a database does all three. Every exchange opens it anew and closes it, so that nothing is held, and a
file that was deleted or replaced in the meantime does no harm.
"""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from whisper_desktop.language import tr
from whisper_desktop.llm.ledger import MOST_ROWS, Count, Counts

_BUSY_S = 5.0
_KEPT = "-400 days"
_VERSION = 1

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_TABLE = """
CREATE TABLE spent (
    day TEXT NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL,
    answers INTEGER NOT NULL, unpriced INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, nanodollars INTEGER NOT NULL,
    PRIMARY KEY (day, backend, model)
) WITHOUT ROWID
"""
_ADD = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    answers = answers + excluded.answers,
    unpriced = unpriced + excluded.unpriced,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    nanodollars = nanodollars + excluded.nanodollars
"""
_FORGET = "DELETE FROM spent WHERE day < date(?, ?)"
# A flipped bit can make a number of another type.
_READ = """
SELECT CAST(day AS TEXT), CAST(backend AS TEXT), CAST(model AS TEXT), CAST(answers AS INTEGER),
    CAST(unpriced AS INTEGER), CAST(prompt_tokens AS INTEGER), CAST(completion_tokens AS INTEGER),
    CAST(nanodollars AS INTEGER)
FROM spent WHERE day LIKE ? LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came of an exchange: the rows of the month with ours among them (None: nothing was written, and it
    may work later), a sentence for the person, and whether the file is of no use in this run.
    """

    rows: Counts | None = None
    notice: str = ""
    give_up: bool = False


class _Unusable(Exception):
    """The file is sound, but not for us."""


class LedgerFile:
    """Where the counts are kept. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file_number = 0

    def exchange(self, counts: Counts, day: str) -> Exchanged:
        """Add the counts, and read the month of that day. Never raises."""
        try:
            try:
                return Exchanged(self._exchange(counts, day))
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
                notice = self._put_aside()
                return Exchanged(self._exchange(counts, day), notice)
        except sqlite3.Error as error:
            return Exchanged() if _code(error) in _BUSY else _of_no_use(str(error))
        except OSError as error:
            return _of_no_use(error.strerror or type(error).__name__)
        except _Unusable as error:
            return _of_no_use(str(error))

    def _exchange(self, counts: Counts, day: str) -> Counts:
        if not counts and not self._path.exists():
            return {}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            # Left to SQLite, others could read it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._file_number = self._path.stat().st_ino
        with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as database:
            _check(database)
            if counts:
                database.execute("BEGIN IMMEDIATE")
                _upgrade(database)
                database.execute(_FORGET, (day, _KEPT))
                database.executemany(_ADD, [(*key, *astuple(count)) for key, count in counts.items()])
                database.execute("COMMIT")
            elif _version(database) == 0:
                return {}
            found = database.execute(_READ, (f"{day[:7]}-%", 10 * MOST_ROWS)).fetchall()
        return {(day, backend, model): Count(*figures) for day, backend, model, *figures in found}

    def _put_aside(self) -> str:
        if self._path.stat().st_ino != self._file_number:
            return ""  # another program has just done it
        aside = self._path.with_name(f"{self._path.name}.damaged")
        os.replace(self._path, aside)
        with suppress(FileNotFoundError):
            # It belongs to the damaged file; to a new one it would be poison.
            os.replace(f"{self._path}-journal", f"{aside}-journal")
        return tr(
            "The record of costs was damaged. It is kept as {aside_name}, and counting begins anew.",
            aside_name=aside.name,
        )


def _check(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        error = sqlite3.DatabaseError("the check of its structure failed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    if _version(database) > _VERSION:
        raise _Unusable("a newer version of this app wrote it")


def _upgrade(database: sqlite3.Connection) -> None:
    if _version(database) == 0:
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _of_no_use(why: str) -> Exchanged:
    return Exchanged(
        notice=tr(
            "The record of costs cannot be used ({why}), so costs are counted for this run only.", why=why
        ),
        give_up=True,
    )
