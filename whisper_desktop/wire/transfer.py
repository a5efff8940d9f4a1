"""Downloads of files that are large: resumed where they broke off, checked, and there at once or not at all.

- What has arrived stays beside its place and is gone on with: after a cut, after a cancelled download, after
  the process was killed or the power failed; from the same address where its server says that the file is the
  same, and from any address where a checksum tells in the end.
- Redirects are followed, each checked against what is allowed. A key goes to the first origin only.
- There is no deadline for the whole, only for silence. What breaks off is tried again, on every address, a
  few times in a row; a try that brought new bytes begins the count anew.
- A whole that is not what was announced is not thrown away at once: what the disk has lost is fetched again,
  and what is suspicious is compared with what another connection brings.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from whisper_desktop.errors import ReachError, TransferError
from whisper_desktop.language import mark, tr, trn
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.download_answers import Changed, Failure, may_resume, try_again, usable
from whisper_desktop.wire.endings import to_the_end
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.keeping import Keeper
from whisper_desktop.wire.kept_notes import kept_note
from whisper_desktop.wire.lanes import Lanes, Link
from whisper_desktop.wire.part_file import PartFile, not_written
from whisper_desktop.wire.progress import DownloadProgress, Meter, progress
from whisper_desktop.wire.ranges import fetch_range
from whisper_desktop.wire.threads import in_thread
from whisper_desktop.wire.verification import FrontHash, joined
from whisper_desktop.wire.wanted import Wanted, size_words

__all__ = ["DownloadProgress", "download"]

CONNECTIONS = 4
"""At once, for one file: enough to fill a line on which each connection is held back, and few enough that no
server minds."""

_STEP = 2**20  # New bytes that make a try that broke off one that was worth it.
_MOST_TRIES = 6
_MOST_UNFIT = 3  # Bad answers to requests for a part, after which the whole is asked for.
_MOST_LOSSES = 3  # Times that a disk may lose something of one file.
_NOTICED = 2**28  # Bytes whose checksum takes so long that somebody wonders.
_CHECKING = mark("Its checksum is computed.")
_COMPARED = 4 * 2**20
_AGAIN = "a9a19a19"  # The way of what was fetched a second time.


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
    key: str | None = None,
    connections: int = CONNECTIONS,
    bandwidth: Bandwidth | None = None,
    notes: Path | None = None,
) -> Path:
    """Bring a file here: from the first of `urls` that gives it, to `target`, which is returned.

    What has arrived is kept beside it (`.part`) when the download breaks off or is cancelled, and the next
    call goes on from there. `sha256` is the checksum in hex, `size` the exact size in bytes, where they are
    known; more than `limit` bytes are never taken. A `target` that has this checksum already is left alone
    and nothing is asked; without a checksum it is replaced. `on_progress` is called about ten times a second.
    `key` is a bearer token for the origins of `urls`, and `connections` are used at once where the file is
    large and the server divides it; `bandwidth` may be shared with other downloads. `notes` is a folder where
    the checksums of the pieces are kept: of a `target` that the disk has damaged since, only what is damaged
    is fetched then, and until that is there nothing is in its place.

    Raises `TransferError`, or `ReachError` where every address is farther away than `allowed`.
    """
    wanted = Wanted(target.name, (sha256 or "").lower(), size, limit)
    wanted.check(urls)
    part = PartFile(target)
    try:
        try:
            await in_thread(part.open, on_cancel=part.stop)
            going = _Download(
                http,
                wanted,
                part,
                allowed,
                deadlines,
                on_progress,
                key,
                connections,
                bandwidth or Bandwidth(),
                notes,
            )
            if not await going.is_done():
                await going.run(urls)
        finally:
            await in_thread(part.close)
    except OSError as error:
        said = not_written(error, target)
        kept = (
            tr(" What has arrived ({size_words}) is kept.", size_words=size_words(part.size))
            if part.size
            else ""
        )
        raise TransferError(said.title, said.detail, said.next_step + kept) from error
    return target


class _Download:
    """One download, from the first request to the file in its place."""

    def __init__(
        self,
        http: Http,
        wanted: Wanted,
        part: PartFile,
        allowed: Reach,
        deadlines: Deadlines,
        on_progress: Callable[[DownloadProgress], None] | None,
        key: str | None,
        connections: int,
        bandwidth: Bandwidth,
        notes: Path | None,
    ) -> None:
        self._http = http
        self._wanted = wanted
        self._part = part
        self._allowed = allowed
        self._deadlines = deadlines
        self._on_progress = on_progress
        self._key = key
        self._connections = connections
        self._bandwidth = bandwidth
        self._notes = notes
        self._hash = FrontHash(part)
        self._meter = Meter()
        self._owner = ""
        self._unfit = 0
        self._losses = 0
        self._compared = False

    async def is_done(self) -> bool:
        """Whether the right file is in its place already. One that was right once is taken back."""
        part, wanted = self._part, self._wanted
        size = await in_thread(part.placed) if wanted.sha256 else None
        if size is None:
            return False
        if wanted.size in (None, size):
            if size > _NOTICED:
                self._tell(0, size, waiting=tr(_CHECKING))
            if await in_thread(part.is_done, wanted.sha256, on_cancel=part.stop):
                return True
        if self._notes is not None:
            await in_thread(part.take_back, kept_note(self._notes, wanted.sha256), wanted.sha256)
        return False

    async def run(self, urls: Sequence[str]) -> None:
        """Ask the addresses in their order, again and again while it makes sense."""
        await self._http.warm_up()
        left = list(dict.fromkeys(urls))
        with suppress(Failure):
            self._owner = usable(urls[0]).origin
        failures: dict[str, Failure | ReachError] = {}
        best, tries = self._part.size, 0
        while True:
            tries += 1
            for url in tuple(left):
                try:
                    await self._once(url, urls)
                    await in_thread(self._part.commit, self._notes)
                    return
                except (Failure, ReachError) as failure:
                    failures[url] = failure
                    if isinstance(failure, Failure) and failure.unfit:
                        self._unfit += 1
                        tries = 0 if self._unfit == _MOST_UNFIT else tries
                    if not self._may_pass(failure):
                        left.remove(url)
                if self._part.size >= best + _STEP:
                    best, tries, self._unfit = self._part.size, 0, 0
                    break
            if not left or tries == _MOST_TRIES:
                raise self._given_up(failures)
            await self._pause(tries, [failures[url] for url in left if url in failures])

    def _may_pass(self, failure: Failure | ReachError) -> bool:
        if isinstance(failure, ReachError):
            return False
        return failure.passing and failure.wait <= self._deadlines.retry_after_most_batch

    async def _once(self, url: str, urls: Sequence[str]) -> None:
        """One try at one address. Raises `Failure` unless the part is whole and right afterwards."""
        link = Link(self._http, url, self._allowed, self._key_for(url), self._deadlines)
        total = await self._made_ready()
        resumed = self._part.size > 0
        while True:
            if total is None or not self._is_whole(total, link):
                await in_thread(self._wanted.check_room, total, self._part)
                total = await self._fetched(link)
            if await self._is_right(total):
                return
            others = [each for each in urls if each != url]
            if not await self._lost_some() and not await self._replaced_some([*others, url]):
                break
        await in_thread(self._part.discard)
        raise Failure(
            tr("What arrived is not the file that was announced: its checksum is another. It was removed."),
            tr("Try again. If it happens again, the file is damaged or was exchanged at its source."),
            passing=resumed,  # Its beginning may be from elsewhere.
        )

    async def _made_ready(self) -> int | None:
        """Drop what is of no use any more. Returns the size of the whole where it is known."""
        part, wanted, kept = self._part, self._wanted, self._part.source
        total = wanted.size if wanted.size is not None or kept is None else kept.total
        too_long = total is not None and part.have.end > total
        if kept is None or kept.sha256 != wanted.sha256 or too_long:
            await in_thread(part.discard)
            return wanted.size
        return total

    def _is_whole(self, total: int, link: Link) -> bool:
        """Whether all is there, and of this file."""
        source, sha256 = self._part.source, self._wanted.sha256
        mine = not total or (source is not None and may_resume(source, link.digest, sha256))
        return mine and self._part.have.front >= total

    async def _fetched(self, link: Link) -> int:
        """Fetch what is missing. Returns the size of the whole."""
        lanes = Lanes(
            link,
            self._wanted,
            self._part,
            self._deadlines,
            self._meter,
            self._bandwidth,
            most=self._connections,
            plain=self._unfit >= _MOST_UNFIT,
            on_answer=lambda: self._tell_of(lanes),
        )
        keeper = Keeper(self._part, self._hash if self._wanted.sha256 else None, lambda: self._tell_of(lanes))
        fetching = asyncio.create_task(lanes.run())
        keeping = asyncio.create_task(keeper.run())
        try:
            await asyncio.wait({fetching, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            fetching.cancel()
            keeping.cancel()
            await to_the_end(fetching, keeping)
            self._connections = lanes.most
        if not keeping.cancelled() and (trouble := keeping.exception()) is not None:
            raise trouble
        try:
            total = fetching.result()
        except Changed:
            await in_thread(self._part.discard)
            why = tr(
                "{netloc} has another version of the file than before, so it begins anew.", netloc=link.netloc
            )
            raise Failure(why, try_again(), passing=True) from None
        self._tell_of(lanes)
        return total

    async def _is_right(self, total: int) -> bool:
        if not self._wanted.sha256:
            return True
        self._hash.resume()
        if total - self._hash.done > _NOTICED:
            self._tell(total, total, waiting=tr(_CHECKING))
        await in_thread(self._hash.advance, total, on_cancel=self._hash.stop)
        return self._hash.done == total and self._hash.sha256 == self._wanted.sha256

    async def _lost_some(self) -> bool:
        """Whether the disk does not have what was written to it; that counts as missing now."""
        lost = await in_thread(self._part.damaged, on_cancel=self._part.stop)
        self._losses += 1
        if not lost or self._losses > _MOST_LOSSES:
            return False
        for start, end in lost:
            self._part.have.remove(start, end)
            await in_thread(self._part.drop, start, end)
        return True

    async def _replaced_some(self, others: Sequence[str]) -> bool:
        """Compare what is suspicious with what others bring. Whether that was another, and was taken."""
        if self._compared:
            return False
        self._compared, replaced, part = True, False, self._part
        for start, end in joined(await in_thread(part.suspects), _COMPARED):
            found = await self._again(others, start, end)
            if found is None:
                break
            if found != await in_thread(part.read, start, end - start):
                part.have.remove(start, end)
                await in_thread(part.drop, start, end)
                number = await in_thread(part.request, start, end, _AGAIN)
                await in_thread(part.write, start, [found], number)
                part.have.add(start, end)
                replaced = True
        return replaced

    async def _again(self, others: Sequence[str], start: int, end: int) -> bytes | None:
        """This range from the first of `others` that gives it."""
        for url in others:
            try:
                reply = await fetch_range(
                    self._http,
                    url,
                    start,
                    end - start,
                    allowed=self._allowed,
                    key=self._key_for(url),
                    deadlines=self._deadlines,
                )
            except (Failure, ReachError):
                continue
            await self._bandwidth.pay(len(reply.data))
            if len(reply.data) == end - start:
                return reply.data
        return None

    def _key_for(self, url: str) -> str | None:
        """A key belongs to one origin, and other addresses are not asked with it."""
        return self._key if usable(url).origin == self._owner else None

    async def _pause(self, tries: int, failures: Sequence[Failure | ReachError]) -> None:
        passing = [failure for failure in failures if isinstance(failure, Failure)]
        if not passing:
            return  # The addresses that are left were not asked yet.
        asked = min(failure.wait for failure in passing)
        seconds = max(asked, self._deadlines.retry_pause * 2 ** max(0, tries - 1))
        why = tr(
            "{detail} It is tried again in {max} s.", detail=passing[0].detail, max=max(1, round(seconds))
        )
        kept = self._part.source
        total = self._wanted.size if kept is None else kept.total
        self._tell(self._part.size, total, waiting=why)
        await asyncio.sleep(seconds)

    def _tell_of(self, lanes: Lanes) -> None:
        done, now = self._part.size + lanes.held, asyncio.get_running_loop().time()
        self._tell(done, lanes.total, lanes.where, rate=self._meter.rate(now))

    def _tell(
        self, done: int, total: int | None, source: str = "", waiting: str = "", rate: float | None = None
    ) -> None:
        if self._on_progress is not None:
            self._on_progress(progress(done, total, source, waiting, rate))

    def _given_up(self, failures: Mapping[str, Failure | ReachError]) -> TransferError | ReachError:
        """What the first address said, as the one that was meant; that it is too far only as the last."""
        first = next(iter(failures.values()))
        failure = next((each for each in failures.values() if isinstance(each, Failure)), first)
        if isinstance(failure, ReachError):
            return failure
        why, step, others = failure.detail, failure.next_step, len(failures) - 1
        if others:
            why += trn(" {count} more address did not help.", " {count} more addresses did not help.", others)
        if self._part.size:
            step += tr(" What has arrived ({size_words}) is kept.", size_words=size_words(self._part.size))
        return self._wanted.failed(why, step)
