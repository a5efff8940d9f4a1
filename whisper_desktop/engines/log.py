"""An engine's log: the newest lines in memory, all in a rotating file, secrets in neither.

What an engine says of each look of ours is left out.
"""

import asyncio
import contextlib
import logging
import logging.handlers
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from whisper_desktop.engines.log_lines import NOTE
from whisper_desktop.language import tr

RING_BYTES = 64 * 1024
FILE_BYTES = 1_000_000
OLD_FILES = 2

_LINE_LIMIT = 8 * 1024
_REMOVED = "[removed]"
_SECRET_SHAPES = re.compile(
    r"(?i:(?<=bearer )|(?<=api[-_]key[=: ]))[^\s\"']{4,}|\b(?:sk|hf|gsk|xai)[-_][A-Za-z0-9_-]{16,}"
)
# What such a shape has before its dash. To look whether there is one costs a fraction of looking for the
# shapes, which matters where an engine prints megabytes a second.
_BEFORE_A_DASH = ("api", "sk", "hf", "xai")

_IDLE = "all slots are idle"
# Recent builds say so after whatever they were asked, and we look at them every two seconds.
_IDLE_LINE = re.compile(r"(?:[\d.]+ [A-Z] )?srv +update_slots: all slots are idle")


class EngineLog:
    """Takes what a process prints, as bytes in any pieces, and gives back lines.

    Belongs to the event loop that feeds it; `tail` and `since` may be called from any thread. A file that
    cannot be written costs a line in the log that says so, never the engine.
    """

    def __init__(
        self, path: Path | None, *, ring_bytes: int = RING_BYTES, file_bytes: int = FILE_BYTES
    ) -> None:
        self._lock = threading.Lock()
        self._ring: deque[str] = deque()
        self._ring_bytes = ring_bytes
        self._size = 0
        self._count = 0
        self._partial = b""
        self._secrets: tuple[str, ...] = ()
        self._fresh = asyncio.Event()
        self._words: tuple[str, ...] = ()
        self._hears: Callable[[str], bool] = lambda _line: False
        self._file: _LogFile | None = None
        if path is not None:
            self._file = _LogFile(
                path,
                maxBytes=file_bytes,
                backupCount=OLD_FILES,
                encoding="utf-8",
                errors="replace",
                delay=True,
            )

    @property
    def count(self) -> int:
        """How many lines were ever taken: a mark for `since`, and a sign of progress."""
        return self._count

    def hide(self, secrets: Sequence[str]) -> None:
        """From now on these texts are removed, besides everything that looks like a key."""
        self._secrets = tuple(secret for secret in secrets if secret)

    def listen(self, words: Sequence[str], hears: Callable[[str], bool]) -> None:
        """From now on `hears` gets every line with one of `words` in it; where it returns True, the line is
        meant for it alone and does not become a part of the log.
        """
        self._words, self._hears = tuple(words), hears

    def feed(self, data: bytes) -> None:
        """Take the next piece of output. A line longer than 8 KiB is taken in parts."""
        whole, newline, partial = (self._partial + data).rpartition(b"\n")
        if len(partial) > _LINE_LIMIT:
            whole, partial = whole + newline + partial, b""
        self._partial = partial
        if whole or newline:
            self._take(whole.decode("utf-8", "replace"))

    def end(self) -> None:
        """The output has ended: an unfinished line counts as one."""
        if self._partial:
            self.feed(b"\n")

    def note(self, text: str) -> None:
        """Add a line of ours."""
        self._take(f"{NOTE}{text}")

    def tail(self, lines: int) -> list[str]:
        """The newest lines, oldest first."""
        with self._lock:
            return list(self._ring)[-lines:] if lines > 0 else []

    def since(self, mark: int) -> list[str]:
        """The lines taken after `count` was `mark`, as far as they are still in memory."""
        return self.more(mark)[1]

    def more(self, mark: int) -> tuple[int, list[str]]:
        """The mark for the next call, and the lines taken after `mark` as far as they are still in memory."""
        with self._lock:
            count = self._count
            return count, list(self._ring)[mark - count :] if count > mark else []

    async def wait_for_more(self, timeout: float) -> None:
        """Return when new lines have come, or after `timeout` seconds."""
        self._fresh.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._fresh.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Close the file. A line after that opens it again."""
        if self._file is not None:
            self._file.close()

    def _take(self, text: str) -> None:
        """Take whole lines; the last one without its newline."""
        lines = [line[:_LINE_LIMIT].rstrip("\r") for line in self._cleaned(text).split("\n")]
        if any(word in text for word in self._words):
            lines = self._unheard(lines)
        if _IDLE in text:
            lines = [line for line in lines if not _IDLE_LINE.fullmatch(line)]
        self._keep(lines)
        self._write(lines)
        self._fresh.set()

    def _unheard(self, lines: list[str]) -> list[str]:
        """Without the lines that are meant for a listener, each with the empty one that sets it off."""
        left: list[str] = []
        for line in lines:
            if any(word in line for word in self._words) and self._hears(line):
                if left and not left[-1]:
                    left.pop()
            else:
                left.append(line)
        return left

    def _cleaned(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _REMOVED)
        return "\n".join(map(_without_keys, text.split("\n"))) if _may_hold_a_key(text) else text

    def _keep(self, lines: list[str]) -> None:
        with self._lock:
            self._ring.extend(lines)
            self._count += len(lines)
            self._size += sum(map(len, lines))
            while self._size > self._ring_bytes and len(self._ring) > 1:
                self._size -= len(self._ring.popleft())

    def _write(self, lines: list[str]) -> None:
        if self._file is None or not lines:
            return
        try:
            self._file.emit(logging.makeLogRecord({"msg": "\n".join(lines)}))
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):  # a full disk refuses even the last of it
                self._file.close()
            self._file = None
            self._keep(
                [
                    tr(
                        "{note}this log is kept in memory only, its file cannot be written: {error}",
                        note=NOTE,
                        error=error,
                    )
                ]
            )


def _without_keys(line: str) -> str:
    return _SECRET_SHAPES.sub(_REMOVED, line) if _may_hold_a_key(line) else line


def _may_hold_a_key(text: str) -> bool:
    lower = text.lower()
    parts = lower.replace("_", "-").split("-")
    return "bearer " in lower or any(part.endswith(_BEFORE_A_DASH) for part in parts[:-1])


class _LogFile(logging.handlers.RotatingFileHandler):
    """The library's rotating file, with errors raised to us instead of printed."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704 - called by `emit` while it handles the error


def log_path(folder: Path, engine_id: str) -> Path:
    """Where an engine's log lies."""
    return folder / f"engine-{engine_id}.log"


def read_log(lines: int = 200, *, folder: Path | None = None) -> list[str]:
    """The newest lines of the engine log that was written last; empty when there is none."""
    if folder is None:
        from whisper_desktop.settings.paths import log_dir

        folder = log_dir()
    try:
        files = sorted(folder.glob("engine-*.log"), key=lambda path: path.stat().st_mtime)
        if not files or lines <= 0:
            return []
        with files[-1].open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - FILE_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []  # removed or replaced while we looked: as good as none
