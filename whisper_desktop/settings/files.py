"""Small files that must never be half written: bounded reading, atomic writing, one writer at a time."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.wire.files import sync_folder, try_lock

MAX_BYTES = 1_000_000
LOCK_FILE = "settings.lock"

_POLL_SECONDS = 0.02
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def read_text(path: Path) -> str | None:
    """The text of a settings file, or None where there is none. UTF-8, or UTF-16 with its mark (Windows).

    Raises `SettingsError` when it is no file, too large, unreadable, or not text.
    """
    try:
        # Non-blocking: opening a named pipe would wait for its other end for ever.
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, tr("The system says: {strerror}.", strerror=error.strerror)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unreadable(path, tr("It is not a file."))
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, tr("The system says: {strerror}.", strerror=error.strerror)) from None
    if len(data) > MAX_BYTES:
        raise _unreadable(path, tr("It is larger than 1 MB."))
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(path, tr("It is not text in UTF-8.")) from None


def write_text(path: Path, text: str) -> None:
    """Replaces a file as a whole: after a crash at any moment there is the old text or the new one.

    A new file is readable by this person only; an old one keeps its permissions; a link stays a link and the
    file it points to is replaced. The caller holds `locked()`, so that one name serves for the new file, and
    what a killed writer left behind is overwritten instead of piling up. Raises `SettingsError`.
    """
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f".{target.name}.new")
    try:
        with suppress(FileNotFoundError):
            fresh.unlink()
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            if target.exists() and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, target)
        sync_folder(target.parent)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise SettingsError(
            tr("{path_name} cannot be written.", path_name=path.name),
            tr("The system says: {strerror}.", strerror=error.strerror),
            tr(
                "Nothing was changed. See whether {parent} can be written to and has room.",
                parent=target.parent,
            ),
            where=str(path),
        ) from error


@contextmanager
def locked(folder: Path, seconds: float) -> Iterator[None]:
    """Holds the folder's lock, against threads and other processes. It falls with the process that holds it.

    Raises `SettingsError` when another writer does not let go within `seconds`.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
    except OSError as error:
        raise SettingsError(
            tr("The settings in {folder} cannot be changed.", folder=folder),
            tr("The system says: {strerror}.", strerror=error.strerror),
            tr("See whether the folder can be written to and has room."),
            where=str(folder),
        ) from error
    try:
        deadline = time.monotonic() + seconds
        while not try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise SettingsError(
                    tr("The settings cannot be changed right now."),
                    tr("Another program is writing them and does not finish."),
                    tr("Nothing was changed. Try again in a moment."),
                    where=str(folder),
                )
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        # Closing lets go of the lock.
        os.close(descriptor)


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError(tr("{path_name} cannot be read.", path_name=path.name), why, "", where=str(path))
