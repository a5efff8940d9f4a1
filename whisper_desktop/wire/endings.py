"""Clearing up to the end, also where whoever does it is cancelled once more."""

import asyncio
from collections.abc import Awaitable


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
