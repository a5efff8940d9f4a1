"""Whether a file is what was announced, and what to do where it is not, short of fetching all of it again."""

import hashlib
from collections.abc import Iterable, Iterator

from whisper_desktop.wire.part_file import PartFile

_CHUNK = 2**20


class FrontHash:
    """The SHA-256 of the first `done` bytes of a part. `advance` blocks, on one thread at a time.

    It reads what was just written, which the system still has in memory, so that bytes may arrive in any
    order and connections wait for nobody. Where something was taken back it begins anew.
    """

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self._revision = part.revision
        self._hash = hashlib.sha256()
        self._stopped = False
        self.done = 0

    def advance(self, to: int) -> None:
        """Go on up to this byte. Ends early after `stop`, or where the part ends. Raises `OSError`."""
        if self._revision != self._part.revision:
            self._revision, self._hash, self.done = self._part.revision, hashlib.sha256(), 0
        while self.done < to and not self._stopped:
            chunk = self._part.read(self.done, min(_CHUNK, to - self.done))
            if not chunk:
                return
            self._hash.update(chunk)
            self.done += len(chunk)

    def stop(self) -> None:
        """From any thread: nobody waits for it now. It may go on after `resume`."""
        self._stopped = True

    def resume(self) -> None:
        """`advance` works again."""
        self._stopped = False

    @property
    def sha256(self) -> str:
        """Of what was read so far, in hex."""
        return self._hash.hexdigest()


def joined(ranges: Iterable[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Ranges that follow on each other as one, `most` bytes long, in the same order."""
    start = end = 0
    for begin, stop in ranges:
        if begin != end or stop - start > most:
            if start < end:
                yield start, end
            start = begin
        end = stop
    if start < end:
        yield start, end
