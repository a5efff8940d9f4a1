"""One dev.py at a time where two would spoil each other's work: installing, building."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dev_say import Trouble, duration, say

_LOOK_AGAIN_S = 0.2


@contextlib.contextmanager
def only_one(path: Path, doing: str, wait_s: float) -> Iterator[None]:
    """Holds the lock file `path`. Waits up to `wait_s` seconds for another process, then raises Trouble.

    The lock is the operating system's: it is free again as soon as its holder has ended, however it ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        give_up = time.monotonic() + wait_s
        told = False
        while not _taken(file):
            if not told:
                say(f"Another dev.py is {doing}; waiting for it.")
                told = True
            if time.monotonic() > give_up:
                raise Trouble(
                    f"Another dev.py has been {doing} for over {duration(wait_s)}. End it, then try again."
                )
            time.sleep(_LOOK_AGAIN_S)
        yield


if sys.platform == "win32":  # not run: written for Windows, tried on Linux only
    import msvcrt

    def _taken(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
