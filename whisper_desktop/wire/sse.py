"""Server-sent events: bytes in, events out. No I/O.

Follows the WHATWG grammar (LF, CR and CRLF, comments, a byte order mark, several `data` lines, no space after
the colon), with one kindness: an event that the stream ends on without its blank line still counts, because
several servers forget it after `[DONE]`.
"""

from dataclasses import dataclass

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind

LARGEST_EVENT = 8 * 2**20

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `name` is "message" where the server gave none; data lines are joined by line feeds."""

    data: str
    name: str = "message"


class SSEReader:
    """Collects bytes, however they are cut, and hands out the events that are complete.

    An event, or a line, of more than `LARGEST_EVENT` bytes raises `BackendError` MALFORMED.
    """

    def __init__(self, largest_event: int = LARGEST_EVENT) -> None:
        self._largest = largest_event
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""
        self._at_start = True
        self._after_cr = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that this piece completes."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in piece:
            self._line += piece
            self._bound(len(self._line))
            return []
        first, *lines = piece.split(b"\n")
        if self._line:
            first = bytes(self._line + first)
        self._line = bytearray(lines.pop())
        self._bound(len(self._line))
        events = []
        for line in (first, *lines):
            event = self._take(line)
            if event is not None:
                events.append(event)
        return events

    def finish(self) -> list[ServerSentEvent]:
        """The event that the end of the stream completes, if any."""
        return [event for event in (self._take(bytes(self._line)), self._take(b"")) if event is not None]

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b"data: ") else line[5:]
            self._size += len(value) + 1
            self._bound(self._size)
            self._data.append(value)
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ").decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, name = self._data, self._name
        self._data, self._size, self._name = [], 0, ""
        if not data:
            return None
        return ServerSentEvent(b"\n".join(data).decode("utf-8", "replace"), name or "message")

    def _bound(self, size: int) -> None:
        if size > self._largest:
            raise BackendError(
                ErrorKind.MALFORMED,
                "The server sent an event that is too large to be part of an answer.",
                f"It is longer than {self._largest / 1e6:.1f} MB.",
            )
