"""Following the engines' log files while they grow, whichever process writes them.

The files and not the owner's memory: they go on when the app is started again, and secrets were removed
before they were written.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_AT_ONCE = 1_000_000  # bytes

_Identity = tuple[int, int]
"""Which file it is, whatever its name: a log that is rotated gets another one."""


@dataclass(slots=True)
class _Reading:
    offset: int
    partial: bytes = b""


class LogFollower:
    """Reads what is appended to the logs in `folder`, and first the newest lines of the one written last.

    `earlier` is how many of these.
    """

    def __init__(self, folder: Path, *, earlier: int = 0) -> None:
        self._folder = folder
        files = list(self._files())
        self._known = {identity: _Reading(size) for _, identity, size in files}
        self._earlier: list[str] = []
        if files and earlier:
            path, identity, size = files[-1]
            start = max(0, size - _MOST_AT_ONCE)
            *lines, self._known[identity].partial = _read(path, start, size - start).split(b"\n")
            self._earlier = _as_text(lines[-earlier:])

    def more(self) -> list[str]:
        """The lines since the last look, oldest first within each log. Blocks."""
        lines, self._earlier = self._earlier, []
        here: dict[_Identity, _Reading] = {}
        for path, identity, size in self._files():
            reading = self._known.get(identity, _Reading(0))
            if size < reading.offset:  # another file that got the identity of a removed one
                reading = _Reading(0)
            here[identity] = reading
            if size > reading.offset:
                lines += _appended(path, reading)
        self._known = here
        return lines

    def _files(self) -> Iterator[tuple[Path, _Identity, int]]:
        """The logs with their sizes, rotated ones too, the one that was written last at the end."""
        found = []
        for path in self._folder.glob("engine-*.log*"):
            try:
                stat = path.stat()
            except OSError:
                continue  # rotated away while we looked; the next look finds it under its new name
            found.append((stat.st_mtime_ns, path, (stat.st_dev, stat.st_ino), stat.st_size))
        return ((path, identity, size) for _, path, identity, size in sorted(found))


def _appended(path: Path, reading: _Reading) -> list[str]:
    data = _read(path, reading.offset, _MOST_AT_ONCE)
    reading.offset += len(data)
    *lines, reading.partial = (reading.partial + data).split(b"\n")
    return _as_text(lines)


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError:
        return b""  # removed or replaced while we looked


def _as_text(lines: list[bytes]) -> list[str]:
    return [line.decode("utf-8", "replace") for line in lines]


async def follow(folder: Path, pause: float, *, earlier: int = 0) -> AsyncGenerator[str, None]:
    """The newest `earlier` lines, and what engines write from now on, looked for every `pause` seconds.

    Never ends by itself.
    """
    follower = await asyncio.to_thread(LogFollower, folder, earlier=earlier)
    while True:
        for line in await asyncio.to_thread(follower.more):
            yield line
        await asyncio.sleep(pause)
