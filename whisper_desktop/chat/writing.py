"""An answer on its way to whoever reads it: its events one by one, until it ends or somebody stops it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from whisper_desktop.chat.growing import Growing
from whisper_desktop.values import StreamEvent


class Writing:
    """An answer that is being written: who waits for its next event, and whether it is to end."""

    __slots__ = ("answer", "over", "stopped", "waits")

    def __init__(self, answer: Growing) -> None:
        self.answer = answer
        self.stopped = False
        self.over = asyncio.Event()
        self.waits: asyncio.Task[Any] | None = None

    async def next_of(self, events: AsyncGenerator[StreamEvent, None]) -> StreamEvent | None:
        """The next event; None at the end, and where it is stopped meanwhile."""
        task = self.waits = asyncio.current_task()
        try:
            return await anext(events, None)
        except asyncio.CancelledError:
            # Who is cancelled besides is to know it.
            if not self.stopped or task is None or task.uncancel() > 0:
                raise
            return None
        finally:
            self.waits = None
