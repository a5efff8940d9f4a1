"""Downloads of files that are large: resumed where they broke off, checked, and there at once or not at all.

- What has arrived stays beside its place and is gone on with: after a cut, after a cancelled download, by the
  next start of the app; from the same address where its server says that the file is the same, and from any
  address where a checksum tells in the end.
- Redirects are followed, which nothing else here does: releases and models lie behind them. No key goes
  along, each is checked against what is allowed, and none leads to a nearer place or to plain HTTP.
- There is no deadline for the whole, only for silence. What breaks off is tried again, on every address, a
  few times in a row; a try that brought new bytes begins the count anew.
"""

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from whisper_desktop.errors import BackendError, ReachError, TransferError
from whisper_desktop.values import GB, Deadlines, Reach
from whisper_desktop.wire.address import Address
from whisper_desktop.wire.download_answers import (
    CHECK_NETWORK,
    REDIRECTS,
    TRY_AGAIN,
    Changed,
    Failure,
    Offer,
    cut,
    failed,
    may_resume,
    read_offer,
    redirected,
    usable,
)
from whisper_desktop.wire.endings import to_its_end
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.part_file import PartFile, Source, not_written
from whisper_desktop.wire.replies import StreamReply

_BATCH = 2**20  # Bytes handed to the disk at once, while the next ones arrive.
_STEP = 2**20  # New bytes that make a try that broke off one that was worth it.
_MOST_TRIES = 6
_MOST_REDIRECTS = 5
_REPORT_S = 0.1
_SHA256 = re.compile(r"[0-9a-f]{64}")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is. Sizes are bytes; `total_bytes` is None where nobody told.

    `source` is the host and port it comes from. `waiting` is a sentence while nothing comes: what failed and
    when it is tried again, or what is being checked; "" else.
    """

    done_bytes: int
    total_bytes: int | None
    source: str = ""
    waiting: str = ""


async def download(
    http: Http,
    urls: Sequence[str],
    target: Path,
    *,
    allowed: Reach,
    sha256: str | None,
    size: int | None,
    limit: int,
    deadlines: Deadlines,
    on_progress: Callable[[DownloadProgress], None] | None = None,
) -> Path:
    """Bring a file here: from the first of `urls` that gives it, to `target`, which is returned.

    What has arrived is kept beside it (`.part`) when the download breaks off or is cancelled, and the next
    call goes on from there. `sha256` is the checksum in hex, `size` the exact size in bytes, where they are
    known; more than `limit` bytes are never taken. A `target` that has this checksum already is left alone
    and nothing is asked; without a checksum it is replaced. `on_progress` is called about ten times a second.

    Raises `TransferError`, or `ReachError` where every address is farther away than `allowed`.
    """
    wanted = _Wanted(target.name, (sha256 or "").lower(), size, limit)
    wanted.check(urls)
    part = PartFile(target, hashing=bool(wanted.sha256))
    try:
        try:
            await _in_thread(part.open)
            if not wanted.sha256 or not await _in_thread(part.is_done, wanted.sha256, on_cancel=part.stop):
                await _Download(http, wanted, part, allowed, deadlines, on_progress).run(urls)
        finally:
            await _in_thread(part.close)
    except OSError as error:
        raise not_written(error, target) from error
    return target


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is known of the file before anybody is asked. `sha256` is "" where it is not."""

    name: str
    sha256: str
    size: int | None
    limit: int

    def check(self, urls: Sequence[str]) -> None:
        """Raises `TransferError` for what cannot succeed."""
        if not urls:
            raise self.failed("No address is known that has it.", "Check the mirrors in the settings.")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise self.failed("The checksum that was announced for it is none.", TRY_AGAIN)
        if self.size is not None and self.size > self.limit:
            raise self.failed(*self.too_large(self.size))

    def too_large(self, total: int) -> tuple[str, str]:
        """Why a file of this size is not taken, and what to do."""
        return (
            f"It has {_size(total)}, and no more than {_size(self.limit)} are expected.",
            "Whoever offers the file has changed it. Check its page before you go on.",
        )

    def failed(self, why: str, next_step: str) -> TransferError:
        """The error for a person."""
        return TransferError(f"{self.name} could not be downloaded.", why, next_step)


class _Download:
    """One download, from the first request to the file in its place."""

    def __init__(
        self,
        http: Http,
        wanted: _Wanted,
        part: PartFile,
        allowed: Reach,
        deadlines: Deadlines,
        on_progress: Callable[[DownloadProgress], None] | None,
    ) -> None:
        self._http = http
        self._wanted = wanted
        self._part = part
        self._allowed = allowed
        self._deadlines = deadlines
        self._on_progress = on_progress
        self._reported = 0.0

    async def run(self, urls: Sequence[str]) -> None:
        """Ask the addresses in their order, again and again while it makes sense."""
        await self._http.warm_up()
        left = list(dict.fromkeys(urls))
        failures: dict[str, Failure | ReachError] = {}
        best, tries = self._part.size, 0
        while True:
            tries += 1
            for url in tuple(left):
                try:
                    await self._once(url)
                    await _in_thread(self._part.commit)
                    return
                except (Failure, ReachError) as failure:
                    failures[url] = failure
                    if not self._may_pass(failure):
                        left.remove(url)
                if self._part.size >= best + _STEP:
                    best, tries = self._part.size, 0
                    break
            if not left or tries == _MOST_TRIES:
                raise self._given_up(failures)
            await self._pause(tries, [failures[url] for url in left if url in failures])

    def _may_pass(self, failure: Failure | ReachError) -> bool:
        if isinstance(failure, ReachError):
            return False
        return failure.passing and failure.wait <= self._deadlines.retry_after_most_batch

    async def _once(self, url: str) -> None:
        """One try at one address. Raises `Failure` unless the part is whole and right afterwards."""
        address, digest = usable(url), _digest(url)
        total = await self._made_ready()
        kept = self._part.source
        resumable = kept is not None and may_resume(kept, digest, self._wanted.sha256)
        have = self._part.size if resumable else 0
        if total is None or have < total:
            have = await self._fetched(address, digest, have)
        await self._check(resumed=have > 0)

    async def _made_ready(self) -> int | None:
        """Drop what is of no use any more. Returns the size of the whole where it is known."""
        part, wanted, kept = self._part, self._wanted, self._part.source
        total = wanted.size if wanted.size is not None or kept is None else kept.total
        too_long = total is not None and part.size > total
        if kept is None or kept.sha256 != wanted.sha256 or too_long:
            await _in_thread(part.discard)
            return wanted.size
        if wanted.sha256 and not part.is_hashed:
            self._tell(DownloadProgress(part.size, total, waiting="What is there already is checked."))
            await _in_thread(part.catch_up, on_cancel=part.stop)
        return total

    async def _fetched(self, address: Address, digest: str, have: int) -> int:
        """Ask for what follows on `have` bytes, and take what comes.

        Returns how many bytes of the part came from an earlier try.
        """
        part, kept = self._part, self._part.source if have else None
        same = kept is not None and kept.address == digest
        headers = {"accept-encoding": "identity"}
        if kept is not None:
            headers["range"] = f"bytes={have}-"
            if same and kept.validator:
                headers["if-range"] = kept.validator
        await self._check_room(self._wanted.size)
        with closing(await self._opened(address, headers)) as reply:
            where = reply.address.netloc
            try:
                offer = read_offer(where, reply.status, reply.headers, have, kept, same=same)
                total = self._agreed(offer, kept)
            except Changed:
                await _in_thread(part.discard)
                why = f"{where} did not go on where the download had stopped, so it begins anew."
                raise Failure(why, TRY_AGAIN, passing=True) from None
            if not offer.start:
                await _in_thread(part.begin, Source(digest, offer.validator, total, self._wanted.sha256))
            await self._check_room(total)
            await self._taken(reply, total)
        if total is not None and part.size < total:
            raise cut(where)
        return offer.start

    async def _opened(self, address: Address, headers: Mapping[str, str]) -> StreamReply:
        """The answer behind all redirects. The caller has to close it."""
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                async with asyncio.timeout(self._deadlines.download_stall):
                    reply = await self._http.send(
                        "GET", address.url, self._allowed, None, headers, redirects=True
                    )
            except TimeoutError:
                raise self._silent(address) from None
            except BackendError as error:
                raise failed(error) from None
            if reply.status not in REDIRECTS:
                return reply
            reply.close()
            address = redirected(address, reply.headers.get("location", ""))
        raise Failure(f"{address.netloc} sends everyone on and on.", TRY_AGAIN)

    def _agreed(self, offer: Offer, kept: Source | None) -> int | None:
        """The size of the whole, where it is known. Raises `Failure`, or `Changed` where `kept` has another.

        What was known from the start comes first: it tells who is wrong, and a part that is right stays.
        """
        wanted = self._wanted
        total = wanted.size if offer.total is None else offer.total
        if wanted.size is not None and wanted.size != total:
            raise Failure(f"It should have {wanted.size} bytes, but {total} are offered.", TRY_AGAIN)
        if total is not None and total > wanted.limit:
            raise Failure(*wanted.too_large(total))
        if kept is not None and offer.start and kept.total is not None:
            if total is not None and total != kept.total:
                raise Changed
            return kept.total
        return total

    async def _check_room(self, total: int | None) -> None:
        """Raises `TransferError` where the disk has no room for the rest."""
        if total is None:
            return
        missing = total - self._part.size
        free = (await _in_thread(shutil.disk_usage, self._part.target.parent)).free
        if missing > free:
            raise self._wanted.failed(
                f"The disk has no room for it: {_size(missing)} are needed, {_size(free)} are free.",
                f"Free at least {_size(missing - free)} and try again.",
            )

    async def _taken(self, reply: StreamReply, total: int | None) -> None:
        """The body goes to the disk, in batches, each while the next one arrives."""
        where, arrived = reply.address.netloc, self._part.size
        most = self._wanted.limit if total is None else total
        writer = _Writer(self._part)
        try:
            self._tell(DownloadProgress(arrived, total, where))
            while piece := await self._next(reply):
                arrived += len(piece)
                if arrived > most:
                    break
                await writer.take(piece)
                if asyncio.get_running_loop().time() - self._reported >= _REPORT_S:
                    self._tell(DownloadProgress(arrived, total, where))
        finally:
            await writer.finish()
        if arrived > most:
            await _in_thread(self._part.discard)
            raise Failure(f"{where} sends more than {_size(most)}, which is too much.", TRY_AGAIN)
        self._tell(DownloadProgress(arrived, total, where))

    async def _next(self, reply: StreamReply) -> bytes:
        try:
            async with asyncio.timeout(self._deadlines.download_stall):
                return await reply.next_piece()
        except TimeoutError:
            raise self._silent(reply.address) from None
        except BackendError as error:
            raise failed(error) from None

    async def _check(self, *, resumed: bool) -> None:
        """Raises `Failure` where the whole is not what was announced; then it is dropped."""
        if self._part.sha256 == self._wanted.sha256:
            return
        await _in_thread(self._part.discard)
        raise Failure(
            "What arrived is not the file that was announced: its checksum is another. It was removed.",
            "Try again. If it happens again, the file is damaged or was exchanged at its source.",
            passing=resumed,  # Its beginning may be from elsewhere, or have suffered from a power cut.
        )

    async def _pause(self, tries: int, failures: Sequence[Failure | ReachError]) -> None:
        passing = [failure for failure in failures if isinstance(failure, Failure)]
        if not passing:
            return  # The addresses that are left were not asked yet.
        asked = min(failure.wait for failure in passing)
        seconds = max(asked, self._deadlines.retry_pause * 2 ** max(0, tries - 1))
        why = f"{passing[0].why} It is tried again in {max(1, round(seconds))} s."
        self._tell(DownloadProgress(self._part.size, self._wanted.size, waiting=why))
        await asyncio.sleep(seconds)

    def _tell(self, progress: DownloadProgress) -> None:
        if self._on_progress is not None:
            self._reported = asyncio.get_running_loop().time()
            self._on_progress(progress)

    def _silent(self, address: Address) -> Failure:
        limit = self._deadlines.download_stall
        return Failure(f"{address.netloc} sent nothing for {limit:g} s.", CHECK_NETWORK, passing=True)

    def _given_up(self, failures: Mapping[str, Failure | ReachError]) -> TransferError | ReachError:
        """What the first address said, as the one that was meant; that it is too far only as the last."""
        first = next(iter(failures.values()))
        failure = next((each for each in failures.values() if isinstance(each, Failure)), first)
        if isinstance(failure, ReachError):
            return failure
        why, step, others = failure.why, failure.next_step, len(failures) - 1
        if others:
            why += f" {others} more {'address' if others == 1 else 'addresses'} did not help."
        if self._part.size:
            step += f" What has arrived ({_size(self._part.size)}) is kept."
        return self._wanted.failed(why, step)


class _Writer:
    """Hands what arrives to the disk in a thread, one batch at a time, so that two are held at most."""

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._writing: asyncio.Future[None] | None = None

    async def take(self, piece: bytes) -> None:
        """Keep it until there is a batch. Raises `OSError` of an earlier one."""
        self._pieces.append(piece)
        self._gathered += len(piece)
        if self._gathered >= _BATCH:
            await self._written()
            self._begin()

    async def finish(self) -> None:
        """All of it is with the system, also where the caller is cancelled meanwhile. Raises `OSError`."""
        await self._written()
        self._begin()
        await self._written()

    def _begin(self) -> None:
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._part.append, pieces)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                await to_its_end(writing)
            except BaseException:
                self._pieces = []  # What follows on bytes that may be missing is not written.
                raise


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _size(count: int) -> str:
    if count < 10**6:
        return f"{count} bytes"
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / 10**6:.0f} MB"


async def _in_thread(
    work: Callable[..., _T], *args: object, on_cancel: Callable[[], None] | None = None
) -> _T:
    """`work` in a thread, which nobody leaves running: a cancelled caller waits for it, after `on_cancel`."""
    return await to_its_end(asyncio.get_running_loop().run_in_executor(None, work, *args), on_cancel)
