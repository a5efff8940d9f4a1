"""Opening the file: made where there is none, upgraded where it is older, looked through, repaired.

Only one process is the file's keeper at a time: the first that opened it. Upgrades, repairs and whatever
belongs to a run that died are the keeper's; others read and write beside it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.chat.store import rows, words
from whisper_desktop.chat.store.migrations import MIGRATIONS, Migration
from whisper_desktop.chat.store.problems import in_use, is_damage, newer, problem
from whisper_desktop.chat.store.report import StoreReport
from whisper_desktop.chat.store.salvage import adopting, salvage
from whisper_desktop.errors import StoreError
from whisper_desktop.language import tr, trn
from whisper_desktop.wire.files import sync_folder, try_lock

_OURS = 0x57484450  # PRAGMA application_id: "WHDP"
_PAGE = 4096
_LOG_MOST = 16 * 2**20  # bytes that the log keeps on the disk when it was longer for a while
_LOOK_THROUGH = 7 * 86400.0  # seconds; after a run that did not end well it is done at once
_BACKUPS = 3


@dataclass(slots=True)
class Opened:
    """The connection that writes, what opening it found, and the lock that makes this process the keeper.

    `keeper` is the lock's open file; None where another process is the keeper.
    """

    database: sqlite3.Connection
    report: StoreReport
    keeper: int | None

    def close(self) -> None:
        """Close it well: the next run need not look through the file."""
        try:
            if self.keeper is not None:
                self.database.execute("INSERT OR REPLACE INTO facts VALUES ('closed', 1)")
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close it as it is."""
        with suppress(sqlite3.Error):
            self.database.close()
        if self.keeper is not None:
            os.close(self.keeper)
            self.keeper = None


def reading(path: Path, patience: float) -> sqlite3.Connection:
    """A connection that only reads, for any thread, one at a time. `patience` is in seconds."""
    database = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    words.register(database)
    database.execute("PRAGMA trusted_schema = ON")  # the index reads views that call our functions
    database.execute("PRAGMA query_only = ON")
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of what is done in it, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # some errors have ended it already
            database.execute("ROLLBACK")
        raise


def open_file(
    path: Path, patience: float, *, damaged: bool = False, migrations: Sequence[Migration] = MIGRATIONS
) -> Opened:
    """The file at `path`, ready to be written. `patience` is how many seconds to wait for other programs.

    `damaged` repairs it, whatever it looks like. Raises `StoreError`; the file is then as it was.
    """
    try:
        _prepare(path)
        keeper = _keeper(path)
    except OSError as error:
        raise problem(error, path) from error
    try:
        opened = _opened(path, patience, keeper, damaged, migrations)
    except (sqlite3.Error, OSError) as error:
        if keeper is not None:
            os.close(keeper)
        raise problem(error, path) from error
    except StoreError:
        if keeper is not None:
            os.close(keeper)
        raise
    return opened


def _prepare(path: Path) -> None:
    """The file, there and for its owner alone. SQLite gives its companions (-wal, -shm) the same rights."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    elif os.name == "posix" and path.is_file() and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _keeper(path: Path) -> int | None:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if try_lock(descriptor):
            return descriptor
    except OSError:  # a file system without locks: one that has other programs on it is rarer still
        return descriptor
    os.close(descriptor)
    return None


def _opened(
    path: Path, patience: float, keeper: int | None, damaged: bool, migrations: Sequence[Migration]
) -> Opened:
    notice = None
    try:
        if damaged:
            raise _damage(sqlite3.SQLITE_CORRUPT)
        database, backup = _usable(path, patience, keeper is not None, migrations)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        if keeper is None:
            raise in_use(path) from error
        notice = _repair(path, patience, migrations)
        database, backup = _usable(path, patience, True, migrations)
    try:
        recovered = _take_over(database) if keeper is not None else ()
    except BaseException:
        database.close()
        raise
    return Opened(database, StoreReport(recovered, backup, notice), keeper)


def _usable(
    path: Path, patience: float, keeper: bool, migrations: Sequence[Migration]
) -> tuple[sqlite3.Connection, Path | None]:
    """A connection to a file of the newest version, and the copy that was made of an older one."""
    database = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        words.register(database)
        backup = _upgraded(database, path, keeper, migrations)
        # In WAL mode a commit survives the end of the program, however sudden, with synchronous=NORMAL too:
        # what was written is the system's. A power cut may take the last commits, never the consistency.
        # FULL would wait for the disk at each of them.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_MOST}")
        database.execute("PRAGMA trusted_schema = ON")
        # What was removed is overwritten, not just forgotten: it may have been removed because it is secret.
        database.execute("PRAGMA secure_delete = ON")
        if keeper and _is_due(database):
            _look_through(database)
    except BaseException:
        database.close()
        raise
    return database, backup


def _upgraded(
    database: sqlite3.Connection, path: Path, keeper: bool, migrations: Sequence[Migration]
) -> Path | None:
    version = _pragma(database, "user_version")
    ours = _pragma(database, "application_id") == _OURS
    if ours and version > len(migrations):
        raise newer(path)
    if ours and version == len(migrations):
        return None
    if not keeper:
        raise in_use(path)
    is_new = version == 0 and _pragma(database, "schema_version") == 0
    if not is_new and not ours:
        raise _damage(sqlite3.SQLITE_NOTADB)
    backup = None if is_new else _backup(database, path, version)
    if is_new:
        database.execute(f"PRAGMA page_size = {_PAGE}")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for number, migrate in enumerate(migrations[version:], version + 1):
        with transaction(database):
            migrate(database)
            database.execute(f"PRAGMA application_id = {_OURS}")
            database.execute(f"PRAGMA user_version = {number}")
    return backup


def _damage(code: int) -> sqlite3.DatabaseError:
    """What SQLite would raise, had it found what we know."""
    error = sqlite3.DatabaseError("the file is not what it should be")
    error.sqlite_errorcode = code
    return error


def _backup(database: sqlite3.Connection, path: Path, version: int) -> Path:
    """A copy beside the file, before it is upgraded. The newest three are kept."""
    copy = path.with_name(f"{path.stem}-v{version}-{_today()}{path.suffix}")
    fresh = copy.with_name(copy.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(fresh)) as target:
            database.backup(target)
        os.replace(fresh, copy)
        sync_folder(copy.parent)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    kept = sorted(path.parent.glob(f"{path.stem}-v*{path.suffix}"), key=lambda one: one.stat().st_mtime_ns)
    for old in kept[:-_BACKUPS]:
        old.unlink()
    return copy


def _is_due(database: sqlite3.Connection) -> bool:
    """Whether the last run did not close the file, or nobody has looked through it for a week."""
    facts = dict(rows.fetched(database, "SELECT name, value FROM facts"))
    checked = facts.get("checked")
    age = time.time() - checked if isinstance(checked, float | int) else None
    return not facts.get("closed") or age is None or not 0 <= age < _LOOK_THROUGH


def _look_through(database: sqlite3.Connection) -> None:
    """Raises `DatabaseError` where something in the file is not as it should be."""
    [(said,)] = database.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise _damage(sqlite3.SQLITE_CORRUPT)
    database.execute("INSERT OR REPLACE INTO facts VALUES ('checked', ?)", (time.time(),))


def _take_over(database: sqlite3.Connection) -> tuple[str, ...]:
    """Put in order what a run that died has left. Returns the messages that it was still writing."""
    with transaction(database):
        under_way = database.execute(
            "SELECT id, number FROM nodes WHERE state = 'streaming' ORDER BY number"
        ).fetchall()
        for _, number in under_way:
            database.execute("UPDATE nodes SET state = 'stopped', indexed = 1 WHERE number = ?", (number,))
            rows.put_in_index(database, number)
        for (lost,) in database.execute(
            "SELECT DISTINCT conversation FROM nodes WHERE conversation NOT IN (SELECT id FROM conversations)"
        ).fetchall():
            rows.put_conversation(database, adopting(lost, tuple(rows.nodes_of(database, lost))))
        rows.collect_all(database)
        database.execute("INSERT OR REPLACE INTO facts VALUES ('closed', 0)")
    return tuple(node for node, _ in under_way)


def _repair(path: Path, patience: float, migrations: Sequence[Migration]) -> tuple[str, str]:
    """Put what can be read into a new file, keep the damaged one beside it. Returns what a person is told."""
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    try:
        found = salvage(path)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        database, _ = _usable(fresh, patience, True, migrations)
        with closing(database):
            with transaction(database):
                found.write(database)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        beside = _name_beside(path)
        os.replace(path, beside)
        log = path.with_name(path.name + "-wal")
        if log.exists():
            os.replace(log, beside.with_name(beside.name + "-wal"))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        os.replace(fresh, path)
        sync_folder(path.parent)
    except BaseException:
        _remove(fresh)
        raise
    if not found.conversations:
        return (
            tr("The file of your conversations could not be read."),
            tr("It is kept as {file}, and a new one was begun.", file=beside),
        )
    return (
        tr("The file of your conversations was damaged, and was repaired."),
        tr(
            "{chats} with {messages} could be read. The damaged file is kept as {file}.",
            chats=trn("one chat", "{count} chats", len(found.conversations)),
            messages=trn("one message", "{count} messages", found.messages),
            file=beside,
        ),
    )


def _remove(fresh: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)


def _name_beside(path: Path) -> Path:
    """A name for the damaged file that nothing has yet."""
    name = f"{path.stem}-damaged-{_today()}"
    free = path.with_name(name + path.suffix)
    number = 2
    while free.exists():
        free = path.with_name(f"{name}-{number}{path.suffix}")
        number += 1
    return free


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    [(value,)] = database.execute(f"PRAGMA {name}").fetchall()
    return int(value)
