"""Whether our own loop kept up while something was waited for: no server is blamed for a busy loop."""

import asyncio

_LOOKS = 10
_ENOUGH = 7


class Pace:
    """Looks up `_LOOKS` times in `seconds`, each look as long after the one before. While the loop is blocked
    nobody looks up, so that fewer looks than expected tell of it. `stop` it in any case.
    """

    __slots__ = ("_handle", "_left", "_loop", "_step")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._step = seconds / _LOOKS
        self._left = _LOOKS
        self._handle = self._loop.call_later(self._step, self._look)

    @property
    def was_kept(self) -> bool:
        """Whether the loop was free for most of the time; to be asked when the time is over."""
        return self._left <= _LOOKS - _ENOUGH

    def stop(self) -> None:
        """Look no more."""
        self._handle.cancel()

    def _look(self) -> None:
        self._left -= 1
        if self._left:
            self._handle = self._loop.call_later(self._step, self._look)
