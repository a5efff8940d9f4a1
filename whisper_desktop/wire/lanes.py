"""Fetching what is missing of a file from one address, over several connections at once.

Each lane is one connection at a time: it asks for a range, writes what comes, and asks for the next. What
fails in one lane is tried again while others go on; where all have failed, the last failure is told.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import closing

from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.download_answers import (
    Changed,
    Failure,
    Offer,
    cut,
    may_resume,
    read_offer,
    try_again,
    usable,
)
from whisper_desktop.wire.endings import to_its_end, to_the_end
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.journal import Source
from whisper_desktop.wire.part_file import PartFile
from whisper_desktop.wire.progress import Meter
from whisper_desktop.wire.redirects import Body, opened
from whisper_desktop.wire.replies import StreamReply
from whisper_desktop.wire.spans import LEAST, Plan, Span, Spans
from whisper_desktop.wire.threads import in_thread
from whisper_desktop.wire.wanted import Wanted, size_words

_EXPIRED = (401, 403, 404, 410)
_CROWDED = (429, 503)
_PIECES = 2**14  # A file is written in about so many pieces, each a line in the journal,
_LEAST_PIECE, _MOST_PIECE = 2**16, 2**20  # of so many bytes: what a killed process loses of each lane.
_HELD = 2**19  # Where so many gather faster
_PIECE_S = 0.02  # than this, they are written together.
_STRIKES = 3  # Failures in a row after which a lane ends.
_LEAST_GIVEN = 2**18  # Bytes of a range that are worth a request.
_TICK_S = 0.5


class Link:
    """One address of the file, and where its redirects led the last time.

    Where that place refuses, its link may have expired: then the first address is asked for a new one. `key`
    goes to the origin of the first address only.
    """

    def __init__(self, http: Http, url: str, allowed: Reach, key: str | None, deadlines: Deadlines) -> None:
        self._http = http
        self._first = usable(url)
        self._led_to = self._first
        self._allowed = allowed
        self._key = key
        self._deadlines = deadlines
        self.digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def netloc(self) -> str:
        """Of the first address."""
        return self._first.netloc

    async def open(self, headers: dict[str, str]) -> StreamReply:
        """The answer to a GET, whatever its status. Raises `Failure` or `ReachError`."""
        reply = await self._ask(headers)
        if reply.address != self._first and reply.status in _EXPIRED:
            reply.close()
            self.forget()
            reply = await self._ask(headers)
        if reply.address != self._first and reply.status in (200, 206):
            self._led_to = reply.address
        return reply

    def forget(self) -> None:
        """Where the redirects led is of no use any more."""
        self._led_to = self._first

    async def _ask(self, headers: dict[str, str]) -> StreamReply:
        key = self._key if self._led_to.origin == self._first.origin else None
        return await opened(
            self._http, self._led_to, headers, allowed=self._allowed, key=key, deadlines=self._deadlines
        )


class Lanes:
    """One go at fetching all that is missing from one address.

    `most` is how many connections there may be; it falls where the server wants fewer. With `plain` the whole
    is asked for in one piece. `where` is the host it comes from, `on_answer` is called when it is known.
    """

    def __init__(
        self,
        link: Link,
        wanted: Wanted,
        part: PartFile,
        deadlines: Deadlines,
        meter: Meter,
        bandwidth: Bandwidth,
        *,
        most: int,
        plain: bool,
        on_answer: Callable[[], None],
    ) -> None:
        self.where = ""
        self.most = most
        self.total: int | None = None
        self.held = 0
        self._link = link
        self._wanted = wanted
        self._part = part
        self._deadlines = deadlines
        self._meter = meter
        self._bandwidth = bandwidth
        self._plain = plain
        self._on_answer = on_answer
        self._kept: Source | None = None  # What is there and gone on with.
        self._plan: Plan
        self._replies: dict[Span, StreamReply] = {}
        self._meters: dict[Span, Meter] = {}
        self._answered = asyncio.Event()
        self._changed = asyncio.Event()

    async def run(self) -> int:
        """Returns the size of the whole once it is there.

        Raises `TransferError` (a `Failure` where others may help), `Changed`, `ReachError`, `OSError`.
        """
        part, wanted, kept = self._part, self._wanted, self._part.source
        if kept is not None and part.size and not self._plain:
            self._kept = kept if may_resume(kept, self._link.digest, wanted.sha256) else None
        have = Spans() if self._kept is None else part.have
        self.total = wanted.size if self._kept is None else self._kept.total
        # Without a checksum, the server first has to say what names this version of the file.
        named = self._kept is not None or wanted.sha256
        self._plan = Plan(have, self.total, self._lanes(self.total, have) if named else 1)
        running = {asyncio.create_task(self._lane())}
        answered = asyncio.create_task(self._answered.wait())
        try:
            await asyncio.wait({answered, *running}, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                running |= {asyncio.create_task(self._lane()) for _ in range(self._plan.lanes - 1)}
            await self._until_done(running)
        finally:
            for task in (answered, *running):
                task.cancel()
            await to_the_end(answered, *running)
        assert self.total is not None
        return self.total

    async def _until_done(self, running: set[asyncio.Task[None]]) -> None:
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            errors = [error for lane in done if (error := lane.exception()) is not None]
            for error in sorted(errors, key=lambda error: isinstance(error, Failure)):
                if not isinstance(error, Failure) or not running:
                    raise error
                if error.status in _CROWDED:
                    self.most = max(1, len(running))

    def _lanes(self, total: int | None, have: Spans) -> int:
        """As many as make sense for what is missing."""
        if total is None or self._plain:
            return 1
        return max(1, min(self.most, (total - have.size) // (2 * LEAST)))

    async def _lane(self) -> None:
        strikes, rate = 0, 0.0
        loop = asyncio.get_running_loop()
        while (span := await self._next(rate)) is not None:
            began, pause = loop.time(), 0.0
            try:
                await self._fetch(span)
                strikes = 0
            except Failure as failure:
                self._link.forget()
                strikes = 1 if span.position >= span.start + LEAST else strikes + 1
                busy = failure.status in _CROWDED or failure.wait > self._deadlines.retry_after_most
                if busy or not failure.passing or strikes > _STRIKES or not self._replies:
                    raise
                pause = max(failure.wait, self._deadlines.retry_pause * 2 ** (strikes - 1))
            finally:  # Others may take the rest of it at once.
                self._plan.give_back(span)
                self._changed.set()
                self._changed = asyncio.Event()
            if pause:
                await asyncio.sleep(pause)
            rate = (span.position - span.start) / max(loop.time() - began, 0.001)

    async def _next(self, rate: float) -> Span | None:
        """What this lane does next, which brought `rate` bytes a second; None where nothing is left."""
        loop, plan = asyncio.get_running_loop(), self._plan
        while True:
            span = plan.next()
            if span is not None or not plan.taken:
                return span
            now = loop.time()
            measured = {each: meter.rate(now) for each, meter in self._meters.items()}
            rates = {each: known for each, known in measured.items() if known is not None}
            slow = plan.slowest(rates, rate, self._deadlines.download_stall / 30)
            if slow is not None:
                rest = plan.split(slow, rate, rates[slow])
                if not slow.left:
                    self._replies[slow].close()
                return rest
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _fetch(self, span: Span) -> None:
        asked = None if span.end is None else span.end - span.start
        headers = {"accept-encoding": "identity"}
        kept, end = self._kept, span.end
        same = kept is not None and kept.address == self._link.digest
        if span.start or end != self.total:
            headers["range"] = f"bytes={span.start}-" + ("" if end in (None, self.total) else f"{end - 1}")
            if kept is not None and same and kept.validator:
                headers["if-range"] = kept.validator
        with closing(await self._link.open(headers)) as reply:
            where = reply.address.netloc
            try:
                offer = read_offer(where, reply.status, reply.headers, span.start, asked, kept, same=same)
            except Changed as changed:
                if changed.total is not None:
                    self._wanted.check_size(changed.total)
                raise
            total = self._agreed(offer, kept)
            if kept is None:
                await self._begin(offer, total, span, divisible=offer.divisible and "range" not in headers)
            elif offer.whole and (span.start or self._part.size):
                why = tr("{where} sent all of the file instead of a part.", where=where)
                raise Failure(why, try_again(), passing=True, unfit=True)
            elif offer.end is not None and 0 < offer.end - span.start < min(span.left, _LEAST_GIVEN):
                why = tr("{where} sends next to nothing of what it is asked for.", where=where)
                raise Failure(why, try_again(), passing=True, unfit=True)
            elif offer.end == span.start:  # The file ends where the part ends.
                self.total = self._plan.total = total
                return
            elif self.total is None:
                self.total = self._plan.total = total
            self.where = where
            if not self._answered.is_set():
                self._answered.set()
                self._on_answer()
            self._replies[span], self._meters[span] = reply, Meter(4 * _TICK_S)
            try:
                await self._taken(span, reply, offer)
            finally:
                del self._replies[span], self._meters[span]

    def _agreed(self, offer: Offer, kept: Source | None) -> int | None:
        """The size of the whole, where it is known. Raises `Failure`."""
        known = self._wanted.size if kept is None else kept.total
        total = known if offer.total is None else offer.total
        self._wanted.check_size(total)
        return total

    async def _begin(self, offer: Offer, total: int | None, span: Span, *, divisible: bool) -> None:
        """The first answer of all says what the file is, and how it can be had."""
        wanted, plan = self._wanted, self._plan
        await in_thread(wanted.check_room, total, self._part)
        await in_thread(self._part.begin, Source(self._link.digest, offer.validator, total, wanted.sha256))
        self.total = plan.total = total
        self._kept, plan.have = self._part.source, self._part.have
        if offer.whole:
            named = bool(offer.validator or wanted.sha256)
            plan.lanes = self._lanes(total, plan.have) if divisible and named else 1
            span.end = plan.first_end()

    async def _taken(self, span: Span, reply: StreamReply, offer: Offer) -> None:
        """The body goes to the disk. Raises `Failure` unless all of the span came, and not more."""
        if span.end is None:
            span.end = self.total  # Known by now, perhaps.
        where, most = reply.address.netloc, offer.end
        if most is None:
            most = self.total if offer.whole else span.end
        if span.end is not None and most is not None:
            span.end = min(span.end, most)  # Less than was asked for is missing again afterwards.
        way = hashlib.sha256(f"{reply.address.origin} {offer.validator}".encode()).hexdigest()[:8]
        request = await in_thread(self._part.request, span.start, span.end, way)
        writer = _Writer(self, self._part, span.start, request)
        body = Body(reply, self._deadlines.download_stall)
        try:
            while piece := await body.next_piece():
                room = (self._wanted.limit if span.end is None else span.end) - span.position
                too_much = len(piece) > room and (most is None or span.position + len(piece) > most)
                piece = piece[:room]
                span.position += len(piece)
                self._meter.arrived += len(piece)
                self._meters[span].arrived += len(piece)
                await writer.take(piece)
                if too_much or (not span.left and most is not None and span.position < most):
                    break
                await self._bandwidth.pay(len(piece))
            else:
                too_much = False
        except Failure:
            if span.end is None or span.left:
                raise
            too_much = False  # Another lane took the rest of it, and closed this one.
        finally:
            await writer.finish()
        if too_much:
            raise await self._too_much(where, span, whole=offer.whole)
        if span.left or (span.end is None and most is not None and span.position < most):
            raise cut(where)
        if span.end is None:
            self.total = self._plan.total = span.position

    async def _too_much(self, where: str, span: Span, *, whole: bool) -> Failure:
        """Nothing is kept of an answer that says one thing and brings another."""
        if whole:
            await in_thread(self._part.discard)
            return Failure(
                tr(
                    "{where} sends more than {size_words}, which is too much.",
                    where=where,
                    size_words=size_words(span.position),
                ),
                try_again(),
            )
        self._part.have.remove(span.start, span.position)
        await in_thread(self._part.drop, span.start, span.position)
        why = tr("{where} sent more of the file than was asked for.", where=where)
        return Failure(why, try_again(), passing=True, unfit=True)


class _Writer:
    """Hands what arrives to the disk in a thread, one batch at a time, while the next one gathers."""

    def __init__(self, lanes: Lanes, part: PartFile, start: int, request: int) -> None:
        self._lanes = lanes
        self._part = part
        self._start = start
        self._request = request
        self._least = min(max(_LEAST_PIECE, (lanes.total or 0) // _PIECES), _MOST_PIECE)
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._length = 0
        self._began = 0.0
        self._writing: asyncio.Future[None] | None = None

    async def take(self, piece: bytes) -> None:
        """Keep it until it is written. Raises `OSError` of an earlier one."""
        self._pieces.append(piece)
        self._gathered += len(piece)
        self._lanes.held += len(piece)
        idle = asyncio.get_running_loop().time() >= self._began + _PIECE_S
        if self._gathered >= (self._least if idle else max(self._least, _HELD)):
            await self._written()
            self._begin()

    async def finish(self) -> None:
        """All of it is with the system, also where the caller is cancelled meanwhile. Raises `OSError`."""
        try:
            await self._written()
            if self._pieces:
                self._begin()
                await self._written()
        finally:
            self._lanes.held -= self._gathered
            self._pieces, self._gathered = [], 0

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        pieces, self._pieces, self._gathered, self._length = self._pieces, [], 0, self._gathered
        self._writing = loop.run_in_executor(None, self._part.write, self._start, pieces, self._request)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            await to_its_end(writing)
        finally:
            start, self._start = self._start, self._start + self._length
            self._lanes.held -= self._length
            if writing.exception() is None:
                self._part.have.add(start, self._start)
