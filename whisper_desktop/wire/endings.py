"""Work that goes on to its end, also where whoever waits for it is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def to_the_end(*clearing: Awaitable[object]) -> None:
    """Wait until all of it is done, whatever it raises; only then raise the caller's cancellation, if any.

    For what is bounded by itself: nothing can hurry it.
    """
    everything = asyncio.gather(*clearing, return_exceptions=True)
    cancelled: asyncio.CancelledError | None = None
    while not everything.done():
        try:
            await asyncio.shield(everything)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def to_its_end(work: Awaitable[_T], on_cancel: Callable[[], None] | None = None) -> _T:
    """The result of work that cannot be cancelled, such as a thread's.

    A cancelled caller waits for it too, after `on_cancel`; what it raises then is not told any more.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await to_the_end(running)
        raise
