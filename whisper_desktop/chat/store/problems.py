"""What went wrong with the file, in words for a person."""

import errno
import sqlite3
from pathlib import Path

from whisper_desktop.errors import StoreError
from whisper_desktop.language import tr

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_damage(error: BaseException) -> bool:
    """Whether the file, or a part of it, is not what it was written as."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_of_index(error: BaseException) -> bool:
    """Whether only the index of words is damaged, which can be made again."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CORRUPT_VTAB


def is_of_value(error: BaseException) -> bool:
    """Whether it is this one value that cannot be written, and everything else can."""
    if isinstance(error, sqlite3.Error):
        codes = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
        return _code(error) in codes or isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError)
    return not isinstance(error, OSError | MemoryError)


def problem(error: BaseException, path: Path) -> StoreError:
    """The sentences for what the system or SQLite said about the file at `path`."""
    if isinstance(error, StoreError):
        return error
    code = _code(error)
    number = error.errno if isinstance(error, OSError) else None
    if code == sqlite3.SQLITE_FULL or number in _FULL:
        return StoreError(
            tr("Conversations cannot be kept: the disk is full."),
            tr("There is no room for what is to be written to {file}.", file=path.name),
            tr("Free some space on the disk of {folder}.", folder=path.parent),
            cause="full",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            tr("Conversations cannot be kept: the disk refuses."),
            tr("Reading or writing {file} failed.", file=path.name),
            tr("See whether the disk of {folder} is connected, has room, and is well.", folder=path.parent),
            cause="disk",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            tr("Conversations cannot be kept at the moment."),
            tr("Another program is using {file} and does not let go of it.", file=path.name),
            tr("Close the other program."),
            cause="busy",
        )
    if code == sqlite3.SQLITE_READONLY or number == errno.EROFS:
        return StoreError(
            tr("Conversations cannot be kept: {file} can only be read.", file=path.name),
            tr("It, or its folder {folder}, is protected against writing.", folder=path.parent),
            tr("Allow writing to the file and its folder."),
            cause="read_only",
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH) or number is not None:
        return StoreError(
            tr("Conversations cannot be kept: {file} cannot be opened.", file=path.name),
            _system(error),
            tr("See whether {folder} is your own and can be written to.", folder=path.parent),
            cause="permission",
        )
    if is_damage(error):
        return damaged(path)
    return StoreError(
        tr("Conversations cannot be kept at the moment."),
        _system(error),
        tr("See whether the disk of {folder} is well.", folder=path.parent),
    )


def damaged(path: Path) -> StoreError:
    """Something in the file is not what was written there, and it could not be repaired at once."""
    return StoreError(
        tr("The file of conversations is damaged."),
        tr("A part of {path} is not what was written there.", path=path),
        tr("It is repaired when Whisper Desktop starts the next time."),
        cause="damaged",
    )


def newer(path: Path) -> StoreError:
    """The file was written by a version of the app that this one knows nothing of."""
    return StoreError(
        tr("Your conversations were made by a newer Whisper Desktop."),
        tr("This version cannot read {file}, and leaves it as it is.", file=path.name),
        tr("Install the newest Whisper Desktop to see them again."),
        cause="newer",
    )


def in_use(path: Path) -> StoreError:
    """Something has to be done with the file that only its one user may do, and it has another one."""
    return StoreError(
        tr("Your conversations are in use by another Whisper Desktop."),
        tr("It has {file} open, and the file has to be changed before this one can use it.", file=path.name),
        tr("Close the other one first."),
        cause="busy",
    )


def closed() -> StoreError:
    """Somebody asks after `close`."""
    return StoreError(tr("Conversations cannot be read: the app is closing."), cause="closed")


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where it is not SQLite's error."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _system(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return tr("The system says: {strerror}.", strerror=error.strerror)
    return tr("The database says: {message}.", message=str(error))
