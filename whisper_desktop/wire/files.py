"""What keeps files whole that several processes use: a lock, and a rename that a power cut does not undo."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":  # not run: written from the documentation of msvcrt.locking
    import msvcrt
    import threading

    _LOCKED_BYTE = 2**62  # Others cannot read what is locked there: a byte that no file ever has.

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process alone; False where another one has it. Closing it lets go.

        It moves the file's position.
        """
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _moving = threading.Lock()

    def read_at(descriptor: int, start: int, length: int) -> bytes:
        """What an open file has there. Several threads may read and write at once. Raises `OSError`."""
        with _moving:
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.read(descriptor, length)

    def write_at(descriptor: int, start: int, data: memoryview) -> int:
        """How many of these bytes the open file has taken there. Raises `OSError`."""
        with _moving:
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.write(descriptor, data)

    def sync_data(descriptor: int) -> None:
        """Have the disk keep what was written to this open file. Raises `OSError`."""
        os.fsync(descriptor)

    def sync_folder(folder: Path) -> None:
        """Windows has no such call; the replacement itself is journaled."""

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process alone; False where another one has it. Closing it lets go.

        Raises `OSError` where the file system has no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read_at(descriptor: int, start: int, length: int) -> bytes:
        """What an open file has there. Several threads may read and write at once. Raises `OSError`."""
        return os.pread(descriptor, length, start)

    def write_at(descriptor: int, start: int, data: memoryview) -> int:
        """How many of these bytes the open file has taken there. Raises `OSError`."""
        return os.pwrite(descriptor, data, start)

    def sync_data(descriptor: int) -> None:
        """Have the disk keep what was written to this open file. Raises `OSError`."""
        sync = os.fsync if sys.platform == "darwin" else os.fdatasync
        sync(descriptor)

    def sync_folder(folder: Path) -> None:
        """Have the disk keep the names in this folder as they are now. Raises `OSError`."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
