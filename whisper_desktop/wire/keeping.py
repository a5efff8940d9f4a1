"""What goes on beside a download: its checksum is computed, the disk is made sure, and somebody is told."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from whisper_desktop.wire.endings import to_the_end
from whisper_desktop.wire.part_file import PartFile
from whisper_desktop.wire.verification import FrontHash

_TICK_S = 0.1
_HASHED = 4 * 2**20  # Bytes that are hashed in one go, at least.
_UNSURE = 8 * 2**20  # Bytes that a power cut may take, unless the disk is slow:
_REST = 4  # times as long as it took to make them sure, it is left alone.


class Keeper:
    """Keeps a part in good order while it grows. Without `front` no checksum is wanted."""

    def __init__(self, part: PartFile, front: FrontHash | None, on_tick: Callable[[], None]) -> None:
        self._part = part
        self._front = front
        self._on_tick = on_tick
        self._hashing: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._free_at = 0.0

    async def run(self) -> NoReturn:
        """Until it is cancelled. Raises `OSError`."""
        if self._front is not None:
            self._front.resume()
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                self._on_tick()
                self._hash()
                self._sync()
        finally:
            if self._front is not None:
                self._front.stop()
            await to_the_end(*(each for each in (self._hashing, self._syncing) if each is not None))

    def _hash(self) -> None:
        if self._hashing is not None and self._hashing.done():
            self._hashing = self._hashing.result()
        front = self._part.have.front
        if self._front is not None and self._hashing is None and front - self._front.done >= _HASHED:
            loop = asyncio.get_running_loop()
            self._hashing = loop.run_in_executor(None, self._front.advance, front)

    def _sync(self) -> None:
        loop = asyncio.get_running_loop()
        if self._syncing is not None and self._syncing.done():
            self._syncing = self._syncing.result()
        if self._syncing is None and self._part.unsynced >= _UNSURE and loop.time() >= self._free_at:
            began = loop.time()
            self._syncing = loop.run_in_executor(None, self._part.sync)
            self._syncing.add_done_callback(lambda _done: self._leave_alone(loop.time() - began))

    def _leave_alone(self, took: float) -> None:
        self._free_at = asyncio.get_running_loop().time() + _REST * took
