"""How much memory one process has, for whoever cannot wait: a window's thread, the event loop."""

import os
import sys


def resident(pid: int) -> int | None:
    """Bytes of this process alone that are in memory; None where it is gone, or only a slow look tells.

    On Linux a read of some µs (proc_pid_statm(5)), and an engine is one process there. Elsewhere it may be a
    child of ours and the program that it waits on: ask `process.memory_of` in a thread.
    """
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
