"""How far a download is, in words of bytes and seconds."""

from collections import deque
from dataclasses import dataclass

_WINDOW_S = 4.0
_SOON_S = 0.5  # A rate over less time than this says nothing.


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is. Sizes are bytes; `total_bytes` is None where nobody told.

    `source` is the host and port it comes from. `waiting` is a sentence while nothing comes: what failed and
    when it is tried again, or what is being checked; "" else. `rate` is in bytes a second, smoothed over the
    last seconds, and `left_s` the seconds that remain at that rate; None where that is not known yet.
    """

    done_bytes: int
    total_bytes: int | None
    source: str = ""
    waiting: str = ""
    rate: float | None = None
    left_s: float | None = None


class Meter:
    """Counts what arrives, and how fast. Moments are seconds of any clock that only goes forward."""

    def __init__(self, window_s: float = _WINDOW_S) -> None:
        self.arrived = 0
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, now: float) -> float | None:
        """Bytes a second over the last seconds; None where it is too early to say."""
        self._seen.append((now, self.arrived))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._window_s:
            self._seen.popleft()
        since, before = self._seen[0]
        return (self.arrived - before) / (now - since) if now - since >= _SOON_S else None


def progress(
    done: int, total: int | None, source: str = "", waiting: str = "", rate: float | None = None
) -> DownloadProgress:
    """The value, with the time that is left at this rate."""
    left = (total - done) / rate if rate and total is not None else None
    return DownloadProgress(done, total, source, waiting, rate, left)
