"""Where the owner is reached, the lock that makes it the only one, and the token that proves one is its user.

The token matters where a socket's own permissions do not protect it (a Windows pipe); it is asked everywhere,
so that there is one rule.
"""

import hashlib
import json
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from whisper_desktop.settings.paths import run_dir

_LONGEST_SOCKET_PATH = 100  # bytes: sockaddr_un holds 104 on macOS and 108 on Linux


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """What the owner writes beside its lock: its process id and the token."""

    pid: int
    token: str


def socket_address() -> str:
    """The Unix socket's path, or the pipe's name on Windows."""
    folder = run_dir()
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    if sys.platform == "win32":
        return rf"\\.\pipe\whisper-desktop-{name}"
    path = folder / "owner.sock"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        short = Path(tempfile.gettempdir()) / f"whisper-desktop-{os.getuid()}"
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.getuid():
            raise PermissionError(f"{short} belongs to another user")
        path = short / f"{name}.sock"
    return str(path)


def remove_socket() -> None:
    """Remove the socket file; only the holder of the lock may. A pipe leaves nothing behind."""
    if sys.platform != "win32":
        Path(socket_address()).unlink(missing_ok=True)


def read_record() -> OwnerRecord | None:
    """The owner's record, or None when there is none or it is half written."""
    try:
        data = json.loads((run_dir() / "owner.json").read_text("utf-8"))
        return OwnerRecord(int(data["pid"]), str(data["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class OwnerLock:
    """A lock the operating system lets go of when its process ends, however it ends."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def take(self) -> OwnerRecord | None:
        """Become the owner and write the record; None when another process is."""
        handle = (run_dir() / "owner.lock").open("ab")
        try:
            _lock(handle)
        except OSError:
            handle.close()
            return None
        self._file = handle
        record = OwnerRecord(os.getpid(), secrets.token_hex(16))
        target = run_dir() / "owner.json"
        fresh = target.with_suffix(f".{record.pid}")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"pid": record.pid, "token": record.token}), "utf-8")
        fresh.replace(target)
        return record

    def release(self) -> None:
        """Stop being the owner."""
        if self._file is not None:
            (run_dir() / "owner.json").unlink(missing_ok=True)
            self._file.close()
            self._file = None


if sys.platform == "win32":  # written from the documentation, never run

    def _lock(handle: IO[bytes]) -> None:
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(handle: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
