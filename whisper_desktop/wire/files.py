"""What keeps files whole that several processes use: a lock, and a rename that a power cut does not undo."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":  # not run: written from the documentation of msvcrt.locking
    import msvcrt

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

    def sync_folder(folder: Path) -> None:
        """Have the disk keep the names in this folder as they are now. Raises `OSError`."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
