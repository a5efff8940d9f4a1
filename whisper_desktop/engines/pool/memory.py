"""How much memory several processes take together, with what they share counted once."""

import sys
from collections.abc import Iterable
from pathlib import Path

from whisper_desktop.engines.process import memory_of


def shared_memory(pids: Iterable[int]) -> int | None:
    """Bytes of all these processes; None when none of them can be looked at. It may block for milliseconds.

    On Linux the sum of their proportional set sizes (proc(5), smaps_rollup), elsewhere of what is resident,
    which counts shared weights once for each.
    """
    sizes = [_proportional(pid) if sys.platform == "linux" else memory_of(pid) for pid in pids]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _proportional(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)
