"""Threads that read, each with a connection of its own: a long read never delays what is written."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from whisper_desktop.chat.store.opening import reading
from whisper_desktop.chat.store.problems import closed

_T = TypeVar("_T")

_THREADS = 2  # a search goes on while a conversation is opened


class Readers:
    """Runs questions on threads of its own. `patience` is how many seconds to wait for other programs."""

    def __init__(self, path: Path, *, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, "conversations-reader")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._closed = False

    async def run(self, ask: Callable[[sqlite3.Connection], _T], generation: int) -> _T:
        """What `ask` makes of a connection to the file of this generation. Raises what it raises."""
        if self._closed:
            raise closed()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, ask, generation)

    def close(self) -> None:
        """Ends the threads when their questions are answered, and closes what they had open. Blocks."""
        self._closed = True
        self._threads.shutdown()
        for database in self._open:
            database.close()

    def _ask(self, ask: Callable[[sqlite3.Connection], _T], generation: int) -> _T:
        database: sqlite3.Connection | None = getattr(self._own, "database", None)
        if database is None or self._own.generation != generation:
            if database is not None:
                self._open.remove(database)
                database.close()
            database = reading(self._path, self._patience)
            self._open.append(database)
            self._own.database, self._own.generation = database, generation
        return ask(database)
