"""The one thread that writes. What is put waits in memory for a moment, and is then on the disk.

Nothing that was put is given up while the program runs: when the disk is full or the file is locked, it stays
in memory and is tried again. A file that turns out to be damaged is repaired in between.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from pathlib import Path

from whisper_desktop.chat.records import Conversation, Folder, Node
from whisper_desktop.chat.store import rows
from whisper_desktop.chat.store.opening import Opened, open_file, transaction
from whisper_desktop.chat.store.pending import Pending
from whisper_desktop.chat.store.problems import closed, damaged, is_damage, is_of_index, problem
from whisper_desktop.chat.store.report import StoreReport
from whisper_desktop.errors import StoreError

OnTrouble = Callable[[StoreError | None], None]
"""Told, on the writing thread, why nothing can be kept at the moment, and (None) that it can be again."""

_log = logging.getLogger(__name__)

_MERGED = 64  # pages of the index that are put in order at a time: milliseconds
_REPAIRS = 3  # in one run: more would make one copy after the other
_VACUUM = 2000  # free pages given back to the disk after something was removed


class Mend(Enum):
    """What a reader found to be broken, and only the writer may make anew."""

    INDEX = "index"
    FILE = "file"


class Writer:
    """Owns the connection that writes. Its methods return at once, and may come from any thread.

    `within` is how many seconds after it was put a value is committed at the latest, `again` how many lie
    between two tries while that fails, `patience` how many are spent waiting for other programs.
    """

    def __init__(
        self, path: Path, *, within: float, again: float, patience: float, on_trouble: OnTrouble | None
    ) -> None:
        self._path = path
        self._pause = within * 0.6  # the rest is for the commit, and for a busy machine
        self._again = again
        self._patience = patience
        self._on_trouble = on_trouble
        self._changed = threading.Condition()
        self._pending = Pending()
        self._being_written = Pending()
        self._gone: set[str] = set()
        self._fresh: set[str] = set()
        self._waiting: list[Future[None]] = []
        self._to_mend: set[Mend] = set()
        self._closing = False
        self._opened: Opened | None = None
        self._ready: Future[StoreReport] = Future()
        self._tidying: int | None = None
        self._thread = threading.Thread(target=self._run, name="conversations", daemon=True)
        self.report = StoreReport()
        self.trouble: StoreError | None = None
        self.generation = 0
        """How often the file was replaced by a repaired one, which a connection from before does not see."""

    def open(self) -> "Future[StoreReport]":
        """Start. The result is what opening the file found; or its `StoreError`, and then nothing runs."""
        self._thread.start()
        return self._ready

    def put(self, conversation: Conversation) -> None:
        with self._changed:
            self._gone.discard(conversation.id)
            self._pending.conversations[conversation.id] = conversation
            self._changed.notify()

    def put_node(self, conversation: str, node: Node) -> None:
        """A message of a conversation that was removed in the meantime is removed with it."""
        with self._changed:
            if conversation not in self._gone:
                self._pending.nodes[conversation, node.id] = node
                self._changed.notify()

    def put_data(self, data_id: str, data: bytes) -> None:
        with self._changed:
            self._fresh.add(data_id)
            self._pending.data[data_id] = data
            self._changed.notify()

    def put_folder(self, folder: Folder) -> None:
        with self._changed:
            self._pending.folders[folder.id] = folder
            self._changed.notify()

    def remove(self, conversation: str) -> None:
        with self._changed:
            self._gone.add(conversation)
            self._pending.remove_conversation(conversation)
            self._changed.notify()

    def remove_node(self, conversation: str, node: str) -> None:
        with self._changed:
            self._pending.remove_node((conversation, node))
            self._changed.notify()

    def remove_folder(self, folder: str) -> None:
        with self._changed:
            self._pending.remove_folder(folder)
            self._changed.notify()

    def not_yet_written(self) -> Pending:
        """Everything that was put and that a reader may not find in the file."""
        with self._changed:
            both = Pending()
            both.add(self._being_written)
            both.add(self._pending)
            return both

    def flush(self, mend: Mend | None = None) -> "Future[None]":
        """Write now. The result is there when what was put before is on the disk; or its `StoreError`.

        `mend` is done before.
        """
        done: Future[None] = Future()
        with self._changed:
            if self._closing:
                done.set_exception(closed())
                return done
            if mend is not None:
                self._to_mend.add(mend)
            self._waiting.append(done)
            self._changed.notify()
        return done

    def close(self) -> "Future[None]":
        """Write what is left and close the file. The result is there when both are done, or `StoreError`."""
        done: Future[None] = Future()
        with self._changed:
            if self._closing:
                done.set_result(None)
                return done
            self._closing = True
            self._waiting.append(done)
            self._changed.notify()
        return done

    def join(self) -> None:
        """Returns when the thread has ended, after `close`. Blocks."""
        self._thread.join()

    # --- On the writing thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._opened = open_file(self._path, self._patience)
        except Exception as error:
            self._ready.set_exception(problem(error, self._path))
            return
        self.report = self._opened.report
        self._ready.set_result(self.report)
        if rows.has_removals(self._opened.database):
            self._tidying = -_MERGED
        while not self._write_next():
            pass

    def _write_next(self) -> bool:
        """Wait for something to write, and write it. Returns whether that was the last."""
        with self._changed:
            wait = None if self._tidying is None else 0
            if not self._changed.wait_for(lambda: self._pending or self._waiting, wait):
                return self._tidy()
            pause = self._again if self.trouble else self._pause
            self._changed.wait_for(lambda: self._waiting, pause)
            self._being_written, self._pending = self._pending, Pending()
            waiting = [done for done in self._waiting if done.set_running_or_notify_cancel()]
            self._waiting = []
            to_mend, self._to_mend = self._to_mend, set()
            closing = self._closing
        trouble = self._written(to_mend)
        if closing:
            trouble = self._closed() or trouble
        for done in waiting:
            if trouble is None:
                done.set_result(None)
            else:
                done.set_exception(trouble)
        return closing

    def _written(self, to_mend: set[Mend]) -> StoreError | None:
        """Whether it worked: None, or why not. What was to be written then waits again."""
        try:
            self._mend(to_mend)
            try:
                self._commit()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._mend({Mend.INDEX if is_of_index(error) else Mend.FILE})
                self._commit()
            trouble = None
        except Exception as error:
            trouble = problem(error, self._path)
        with self._changed:
            if trouble is not None:
                self._being_written.add(self._pending)
                self._pending = self._being_written
            self._being_written = Pending()
        self._tell(trouble)
        return trouble

    def _tell(self, trouble: StoreError | None) -> None:
        was, self.trouble = self.trouble, trouble
        told = (was and was.cause) != (trouble and trouble.cause)
        if told and self._on_trouble is not None:
            try:
                self._on_trouble(trouble)
            except Exception:  # whatever becomes of the news, writing goes on
                _log.exception("Nobody could be told that conversations are kept, or are not.")

    def _commit(self) -> None:
        if not self._being_written:
            return
        self._in_one(self._write)
        if self._being_written.removes:
            self._tidying = -_MERGED  # a negative number begins anew, with all parts of the index

    def _tidy(self) -> bool:
        """Take words that were removed out of the index, which only forgets them, a little at a time.

        Returns that this was not the last step of the thread.
        """
        if self._opened is None:
            self._tidying = None
            return False
        database = self._opened.database
        try:
            before = database.total_changes
            for index in ("words", "titles"):
                database.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('merge', ?)", (self._tidying,))
            self._tidying = _MERGED
            if database.total_changes - before < 4:  # less than two in each: there was nothing left to do
                self._tidying = None
                rows.forget_removals(database)
                database.execute(f"PRAGMA incremental_vacuum({_VACUUM})").fetchall()
        except sqlite3.Error:  # whatever it is, writing meets it too and says it; the next run goes on
            self._tidying = None
        return False

    def _write(self, database: sqlite3.Connection) -> None:
        freed, refused = self._being_written.write(database)
        rows.collect(database, freed - self._fresh)
        for error in refused:
            _log.error("A part of a conversation cannot be kept.", exc_info=error)

    def _in_one(self, do: Callable[[sqlite3.Connection], None]) -> None:
        with transaction(self._database()) as database:
            do(database)

    def _mend(self, to_mend: set[Mend]) -> None:
        if Mend.FILE in to_mend:
            if self.generation >= _REPAIRS:
                raise damaged(self._path)
            if self._opened is not None:
                self._opened.let_go()
                self._opened = None
            self._database(damaged=True)
        elif Mend.INDEX in to_mend:
            try:
                self._in_one(rows.index_anew)
            except sqlite3.DatabaseError as error:
                # An index that is worse than wrong cannot even be dropped: "SQL logic error".
                if not is_damage(error) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                    raise
                self._mend({Mend.FILE})

    def _database(self, *, damaged: bool = False) -> sqlite3.Connection:
        """The connection; opened again where mending has closed it."""
        if self._opened is None:
            self._opened = open_file(self._path, self._patience, damaged=damaged)
            self.report = self._opened.report
            self.generation += 1
        return self._opened.database

    def _closed(self) -> StoreError | None:
        if self._opened is None:
            return None
        try:
            self._opened.close()
        except Exception as error:
            return problem(error, self._path)
        return None
