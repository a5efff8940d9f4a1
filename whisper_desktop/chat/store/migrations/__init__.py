"""How the file came to be what it is: one module for each version, in order. A version never changes again.

A new version is a new module here, its line in `MIGRATIONS`, and a file of the version before it kept in
`tests/chat/store/fixtures`. A module speaks SQL alone: what the rest of the app means by a row changes.
"""

import sqlite3
from collections.abc import Callable

from whisper_desktop.chat.store.migrations import v1

Migration = Callable[[sqlite3.Connection], None]
"""Brings a file from the version before to its own, inside a transaction that is not its own."""

MIGRATIONS: tuple[Migration, ...] = (v1.migrate,)

__all__ = ["MIGRATIONS", "Migration"]
