"""Asking for a file behind redirects, which nothing else here follows, and reading it with patience.

Releases and models lie on other hosts than those that name them. Each step is checked against what is
allowed, none leads to a nearer place or to plain HTTP, and a key never leaves the origin it was meant for.
"""

import asyncio
from collections.abc import Mapping

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.address import Address
from whisper_desktop.wire.download_answers import (
    REDIRECTS,
    Failure,
    check_network,
    failed,
    redirected,
    try_again,
)
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.replies import StreamReply

_MOST_REDIRECTS = 5
_LEAST = 2**14  # Bytes within the deadline for silence: whoever sends fewer holds a connection, not a file.


async def opened(
    http: Http,
    address: Address,
    headers: Mapping[str, str],
    *,
    allowed: Reach,
    key: str | None = None,
    deadlines: Deadlines,
) -> StreamReply:
    """The answer to a GET behind all redirects, whatever its status. The caller has to close it.

    `key` is sent as a bearer token to the origin of `address` until a redirect leaves it, and to nobody else.
    Raises `Failure`, or `ReachError` where it leads farther than `allowed`.
    """
    origin = address.origin
    for _ in range(_MOST_REDIRECTS + 1):
        sent = headers if key is None else {**headers, "authorization": f"Bearer {key}"}
        try:
            async with asyncio.timeout(deadlines.download_stall):
                reply = await http.send("GET", address.url, allowed, None, sent, redirects=True)
        except TimeoutError:
            raise _silent(address, deadlines.download_stall) from None
        except BackendError as error:
            raise failed(error) from None
        if reply.status not in REDIRECTS:
            return reply
        reply.close()
        address = redirected(address, reply.headers.get("location", ""))
        if address.origin != origin:
            key = None
    raise Failure(tr("{netloc} sends everyone on and on.", netloc=address.netloc), try_again())


class Body:
    """What follows the headers of an answer. Silence of `patience` seconds, or next to it, ends it.

    Only the time that is spent waiting here counts, not what the reader does between two pieces.
    """

    def __init__(self, reply: StreamReply, patience: float) -> None:
        self._reply = reply
        self._patience = patience
        self._waited = 0.0
        self._arrived = 0

    async def next_piece(self) -> bytes:
        """At least one byte; b"" at the end. Raises `Failure`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._patience - self._waited):
                piece = await self._reply.next_piece()
        except TimeoutError:
            raise _silent(self._reply.address, self._patience, self._arrived) from None
        except BackendError as error:
            raise failed(error) from None
        self._waited += loop.time() - began
        self._arrived += len(piece)
        if self._arrived >= _LEAST:
            self._waited, self._arrived = 0.0, 0
        return piece


def _silent(address: Address, patience: float, arrived: int = 0) -> Failure:
    where = address.netloc
    return Failure(
        tr("{where} sent next to nothing for {patience:g} s.", where=where, patience=patience)
        if arrived
        else tr("{where} sent nothing for {patience:g} s.", where=where, patience=patience),
        check_network(),
        passing=True,
    )
