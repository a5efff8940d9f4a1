"""The header of a model that lies elsewhere: its first megabytes are fetched, never its weights."""

import asyncio
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from whisper_desktop.errors import TransferError
from whisper_desktop.language import tr
from whisper_desktop.models.gguf import GgufHeader, broken_file, further_parts, parts_missing, together
from whisper_desktop.models.gguf_parser import LONGEST_HEADER, Broken, NeedMore, Parsed, Work, parse
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.download_answers import Failure
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.ranges import RangeReply, fetch_range

_FIRST = 2**20  # bytes asked for at first: enough for a vocabulary of 32,000
_FIRST_OF_PART = 2**15  # the same of further files, which hold a list of tensors and nothing else
_GROWTH = 2**22  # the most that is asked for beyond what is surely needed
_MARGIN = 2**15  # bytes beyond a guess
_MOST_ASKED_FOR = LONGEST_HEADER  # bytes of all files of a model, tries that failed included
_PARTS_AT_ONCE = 4
_MOST_TRIES = 3  # of one range, where what went wrong may pass
_GONE = (404, 410)


@dataclass(frozen=True, slots=True)
class RemoteHeader:
    """A header as `read_header` gives it; `size_bytes` is the model's, `fetched_bytes` what it took."""

    header: GgufHeader
    size_bytes: int
    fetched_bytes: int


async def read_remote_header(
    http: Http, url: str, *, allowed: Reach, key: str | None = None, deadlines: Deadlines
) -> RemoteHeader:
    """The header of the model at `url`, which may be the first of several files.

    `key` goes to the origin of `url` only. Raises `ModelFileError` for what is no model, or not all of it,
    `TransferError` (a `Failure` with the status where a server refused), and `ReachError`.
    """
    return await _Reading(http, allowed, key, deadlines).read(url)


class _Changed(Exception):
    """The file is another one than that of the range before."""


class _Reading:
    def __init__(self, http: Http, allowed: Reach, key: str | None, deadlines: Deadlines) -> None:
        self._http = http
        self._allowed = allowed
        self._key = key
        self._deadlines = deadlines
        self._fetched = 0
        self._asked_for = 0
        self._work = Work()

    async def read(self, url: str) -> RemoteHeader:
        first = await self._file(url, _FIRST)
        name = _name(url)
        others = further_parts(name, first[0].metadata)
        turns = asyncio.Semaphore(_PARTS_AT_ONCE)
        parts = [asyncio.create_task(self._part(turns, name, _beside(url, other))) for other in others]
        try:
            header = together(name, [first, *await asyncio.gather(*parts)])
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        return RemoteHeader(header, header.file_bytes, self._fetched)

    async def _part(self, turns: asyncio.Semaphore, model: str, url: str) -> tuple[Parsed, int]:
        async with turns:
            try:
                return await self._file(url, _FIRST_OF_PART)
            except Failure as failure:
                if failure.status in _GONE:
                    raise parts_missing(
                        model, [_name(url)], tr("Choose another file of this model.")
                    ) from None
                raise

    async def _file(self, url: str, first: int) -> tuple[Parsed, int]:
        """What one file says, and how many bytes it has. Where it changes meanwhile, it is read once more."""
        for _ in range(2):
            try:
                return await self._once(url, first)
            except _Changed:
                pass
            except Broken as broken:
                raise broken_file(_name(url), broken) from None
        raise TransferError(
            tr("What {name} holds cannot be told.", name=_name(url)),
            tr("It changed twice while it was looked at."),
            tr("Try again later."),
        )

    async def _once(self, url: str, first: int) -> tuple[Parsed, int]:
        reply = await self._range(url, 0, first)
        beginning, size, validator = reply.data, _size(url, reply), reply.validator
        while True:
            work = Work()
            try:
                parsed = await asyncio.to_thread(parse, BytesIO(beginning), size, work)
            except NeedMore as more:
                have = len(beginning)
                wanted = max(
                    more.offset, min(more.likely + _MARGIN, LONGEST_HEADER), have + min(have, _GROWTH)
                )
                reply = await self._range(url, have, min(wanted, size) - have)
                if reply.total != size or not reply.data or _differ(reply.validator, validator):
                    raise _Changed from None
                beginning += reply.data
            else:
                self._work.include(work)
                return parsed, size

    async def _range(self, url: str, start: int, length: int) -> RangeReply:
        tries = 0
        while True:
            self._asked_for += length
            if self._asked_for > _MOST_ASKED_FOR:
                raise Broken(tr("Its header is larger than that of any model."))
            try:
                reply = await fetch_range(
                    self._http,
                    url,
                    start,
                    length,
                    allowed=self._allowed,
                    key=self._key,
                    deadlines=self._deadlines,
                )
            except Failure as failure:
                tries += 1
                pause = max(failure.wait, self._deadlines.retry_pause)
                if not failure.passing or tries == _MOST_TRIES or pause > self._deadlines.retry_after_most:
                    raise
                await asyncio.sleep(pause)
            else:
                self._fetched += len(reply.data)
                return reply


def _size(url: str, reply: RangeReply) -> int:
    if reply.total is None:
        raise TransferError(
            tr("What {name} holds cannot be told.", name=_name(url)),
            tr("{hostname} does not say how large it is.", hostname=urlsplit(url).hostname),
            tr("Choose another source of this model."),
        )
    return reply.total


def _differ(one: str, other: str) -> bool:
    """Whether two answers surely are of different versions. One of several stores may not name its own."""
    return bool(one and other) and one != other


def _name(url: str) -> str:
    """The name of the file at an address, for a person."""
    parts = urlsplit(url)
    return unquote(parts.path.rpartition("/")[2]) or f"{parts.hostname}"


def _beside(url: str, name: str) -> str:
    """The address of another file in the same folder."""
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit(parts._replace(path=f"{folder}/{quote(name)}"))
