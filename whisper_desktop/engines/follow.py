"""Following the engines' log files while they grow, whichever process writes them.

The files and not the owner's memory: they go on when the app is started again, and secrets were removed
before they were written.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

_MOST_AT_ONCE = 1_000_000  # bytes


class LogFollower:
    """Reads what is appended to the log file in `folder` that was written last, from its end on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path, self._offset = self._newest(), 0
        if self._path is not None:
            self._offset = _size(self._path)
        self._identity = _identity(self._path)
        self._partial = b""

    def more(self) -> list[str]:
        """The lines since the last look. A file that was rotated away is read to its end first. Blocks."""
        lines = self._appended()
        newest = self._newest()
        if newest is not None and (newest != self._path or _identity(newest) != self._identity):
            self._path, self._offset, self._partial = newest, 0, b""
            self._identity = _identity(newest)
            lines += self._appended()
        return lines

    def _appended(self) -> list[str]:
        source = self._source()
        if source is None:
            return []
        try:
            with source.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_MOST_AT_ONCE)
        except OSError:
            return []  # removed or replaced while we looked
        self._offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def _source(self) -> Path | None:
        """Where the file lies that was being read: under its name, or rotated to the first old one's."""
        if self._path is None:
            return None
        old = self._path.with_name(f"{self._path.name}.1")
        return next((path for path in (self._path, old) if _identity(path) == self._identity), None)

    def _newest(self) -> Path | None:
        try:
            files = [(path.stat().st_mtime, path) for path in self._folder.glob("engine-*.log")]
        except OSError:
            return None
        return max(files)[1] if files else None


async def follow(folder: Path, pause: float) -> AsyncGenerator[str, None]:
    """The lines that engines write from now on, looked for every `pause` seconds. Never ends by itself."""
    follower = await asyncio.to_thread(LogFollower, folder)
    while True:
        for line in await asyncio.to_thread(follower.more):
            yield line
        await asyncio.sleep(pause)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Which file it is, whatever its name."""
    try:
        stat = path.stat() if path is not None else None
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino) if stat is not None else None
