"""Blocking work in a thread, which nobody leaves running."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from whisper_desktop.wire.endings import to_its_end

_T = TypeVar("_T")


async def in_thread(
    work: Callable[..., _T], *args: object, on_cancel: Callable[[], None] | None = None
) -> _T:
    """`work` in a thread; a cancelled caller waits for it, after `on_cancel`."""
    return await to_its_end(asyncio.get_running_loop().run_in_executor(None, work, *args), on_cancel)
