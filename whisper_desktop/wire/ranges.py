"""One range of a file that lies elsewhere, and none of the rest."""

from contextlib import closing
from dataclasses import dataclass

from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.download_answers import (
    Failure,
    cut,
    read_offer,
    try_again,
    usable,
)
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.redirects import Body, opened

_MOST_SKIPPED = 2**25  # Bytes; where a server sends everything, what lies before a range is passed over.


@dataclass(frozen=True, slots=True)
class RangeReply:
    """The bytes of a range, fewer than asked for only where the file ends.

    `total` is the size of the whole file (None: nobody told), `validator` what the server calls this version
    of it ("" where it does not).
    """

    data: bytes
    total: int | None
    validator: str


async def fetch_range(
    http: Http,
    url: str,
    start: int,
    length: int,
    *,
    allowed: Reach,
    key: str | None = None,
    deadlines: Deadlines,
) -> RangeReply:
    """`length` bytes of the file at `url` from `start` on, asked for once. A `key` goes to that origin only.

    A server that knows no ranges and sends everything is left once the range is there, and refused where
    that would be more than 32 MiB. Raises `TransferError` (a `Failure`, which knows the status), or
    `ReachError` where the address or a redirect leads farther than `allowed`.
    """
    await http.warm_up()
    headers = {"accept-encoding": "identity", "range": f"bytes={start}-{start + length - 1}"}
    reply = await opened(http, usable(url), headers, allowed=allowed, key=key, deadlines=deadlines)
    with closing(reply):
        where = reply.address.netloc
        offer = read_offer(where, reply.status, reply.headers, start, length)
        if start - offer.start > _MOST_SKIPPED:
            raise Failure(tr("{where} does not send parts of a file.", where=where), try_again())
        end = start + length if offer.end is None else min(start + length, offer.end)
        body = await _read(Body(reply, deadlines.download_stall), end - offer.start)
    found = bytes(body[start - offer.start :])
    if offer.end is not None and len(body) < end - offer.start:
        raise cut(where)
    if offer.total is not None and start + len(found) < min(start + length, offer.total):
        raise Failure(tr("{where} sent less than it was asked for.", where=where), try_again())
    return RangeReply(found, offer.total, offer.validator)


async def _read(body: Body, length: int) -> bytearray:
    """So many bytes, or fewer where it ends."""
    found = bytearray()
    while len(found) < length and (piece := await body.next_piece()):
        found += piece[: length - len(found)]
    return found
