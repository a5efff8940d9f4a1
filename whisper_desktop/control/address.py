"""Where the owner is reached, the lock that makes it the only one, and the token that proves one is its user.

The token matters where a socket's own permissions do not protect it (a Windows pipe); it is asked everywhere,
so that there is one rule.
"""

import hashlib
import json
import os
import secrets
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from whisper_desktop.errors import ControlError
from whisper_desktop.language import tr
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.wire.files import try_lock

_LONGEST_SOCKET_PATH = 100  # bytes: sockaddr_un holds 104 on macOS and 108 on Linux
_RECORD_LIMIT = 4096  # bytes


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """What the owner writes beside its lock: its process id and the token."""

    pid: int
    token: str


def socket_address() -> str:
    """The Unix socket's path, or the pipe's name on Windows. Raises `ControlError`, `SettingsError`."""
    folder = run_dir()
    name = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if sys.platform == "win32":
        return rf"\\.\pipe\whisper-desktop-{name}"
    path = folder / "owner.sock"
    return str(path) if _is_short(path) else str(_short_folder() / f"{name}.sock")


def _short_folder() -> Path:
    """A private folder with a short path, for a run folder whose path is too long for a socket."""
    name = f"whisper-desktop-{os.getuid()}"
    candidates = (Path(tempfile.gettempdir()) / name, Path("/tmp") / name)
    folder = next((path for path in candidates if _is_short(path / f"{'0' * 16}.sock")), candidates[-1])
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise _unusable(folder, _said(error)) from error
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.getuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        # In a folder for everyone somebody else may have been there first.
        raise _unusable(folder, tr("It can be changed by another user."))
    return folder


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH


def remove_socket() -> None:
    """Remove the socket file; only the holder of the lock may. A pipe leaves nothing behind."""
    if sys.platform != "win32":
        Path(socket_address()).unlink(missing_ok=True)


def read_record() -> OwnerRecord | None:
    """The owner's record, or None when there is none or it is not one."""
    try:
        with (run_dir() / "owner.json").open("rb") as file:
            data = json.loads(file.read(_RECORD_LIMIT))
        return OwnerRecord(int(data["pid"]), str(data["token"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class OwnerLock:
    """A lock the operating system lets go of when its process ends, however it ends."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def take(self) -> OwnerRecord | None:
        """Become the owner and write the record; None when another process is.

        Raises `ControlError` where the run folder cannot hold a lock at all.
        """
        folder = run_dir()
        try:
            # Private, because whoever can open it can lock it.
            handle = open(os.open(folder / "owner.lock", os.O_CREAT | os.O_RDWR, 0o600), "r+b")  # noqa: SIM115 - held as long as we own
        except OSError as error:
            raise _unusable(folder, _said(error)) from error
        try:
            if not try_lock(handle.fileno()):
                handle.close()
                return None
            record = OwnerRecord(os.getpid(), secrets.token_hex(16))
            _write_record(folder, record)
        except OSError as error:
            handle.close()
            raise _unusable(folder, _said(error)) from error
        self._file = handle
        return record

    def release(self) -> None:
        """Stop being the owner. The file stays: a lock on a removed file would be nobody's."""
        if self._file is not None:
            (run_dir() / "owner.json").unlink(missing_ok=True)
            self._file.close()
            self._file = None


def _write_record(folder: Path, record: OwnerRecord) -> None:
    fresh = folder / f"owner.{record.pid}"
    fresh.unlink(missing_ok=True)
    text = json.dumps({"pid": record.pid, "token": record.token})
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(folder / "owner.json")


def _unusable(folder: Path, why: str) -> ControlError:
    return ControlError(
        tr("The folder {folder} cannot be used to find a running app.", folder=folder),
        why,
        tr("Free the way, or set WHISPER_HOME to a folder that can be written to."),
    )


def _said(error: OSError) -> str:
    return tr("The system says: {words}.", words=error.strerror)
