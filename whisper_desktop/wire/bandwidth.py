"""How fast everything together may be fetched, where the person has set a limit."""

import asyncio

_BURST_S = 0.25


class Bandwidth:
    """Shared by several downloads, on one event loop. `bytes_per_s` may be changed while they run.

    What has arrived is paid for afterwards, by waiting before more is read: the sender is held back by TCP.
    Whoever pays first goes on first.
    """

    def __init__(self, bytes_per_s: int | None = None) -> None:
        self._bytes_per_s = bytes_per_s
        self._arrived = 0.0
        self._allowed = 0.0
        self._at = 0.0
        self._changed = asyncio.Event()

    @property
    def bytes_per_s(self) -> int | None:
        """The limit; None: there is none."""
        return self._bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, value: int | None) -> None:
        self._bytes_per_s = value
        # What arrived under the old limit is paid in a second.
        self._allowed = max(self._allowed, self._arrived - (value or 0))
        self._changed.set()
        self._changed = asyncio.Event()

    async def pay(self, count: int) -> None:
        """Wait until `count` bytes that have arrived are within the limit."""
        if self._bytes_per_s is None:
            return
        self._earn(self._bytes_per_s)
        self._arrived += count
        mine = self._arrived
        while (rate := self._bytes_per_s) is not None and self._allowed < mine:
            try:
                async with asyncio.timeout((mine - self._allowed) / max(1, rate)):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._earn(rate)

    def _earn(self, rate: int) -> None:
        now = asyncio.get_running_loop().time()
        self._allowed = min(self._allowed + (now - self._at) * rate, self._arrived + rate * _BURST_S)
        self._at = now
