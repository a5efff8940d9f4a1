"""How late something may be: 50 ms, and the time that the machine itself took away meanwhile.

A thread that only sleeps sees how much later it is woken than it asked for. What it sees is time in which
this process did not run (other programs, a garbage collection), and none of our own mistakes: a loop that is
blocked by our code hands over the interpreter every 5 ms.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TOLERANCE_S = 0.05

_TICK_S = 0.01
_SWITCH_S = 0.005  # Python's switch interval: so long a waiting thread waits for a busy one
_taken = 0.0


def tolerance() -> float:
    """Seconds by which a promised time may be exceeded by now."""
    return TOLERANCE_S + _taken


@contextmanager
def measured() -> Iterator[None]:
    """Measure from here on. Not nested."""
    global _taken  # noqa: PLW0603 - one machine, one test at a time
    _taken = 0.0
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(done,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _watch(done: threading.Event) -> None:
    global _taken  # noqa: PLW0603
    before = time.monotonic()
    while not done.wait(_TICK_S):
        now = time.monotonic()
        _taken += max(0.0, now - before - _TICK_S - _SWITCH_S)
        before = now
