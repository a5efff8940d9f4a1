"""Server-sent events: bytes in, events out. No I/O.

Follows the WHATWG grammar (LF, CR and CRLF, comments, a byte order mark, several `data` lines, no space after
the colon), with two kindnesses. An event that the stream ends on without its blank line still counts, because
several servers forget it after `[DONE]`. And a body that begins like JSON or like a web page is no stream: it
is handed out when it ends, as one event named `WHOLE`, because servers answer what they refuse or do not know
with an error object or a page, whatever was asked for.
"""

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind

LARGEST_EVENT = 8 * 2**20
WHOLE = "(the whole body)"

_BEFORE_THE_FIRST_LINE = b"\xef\xbb\xbf \t\n"  # a byte order mark and blank lines
_NO_STREAM = (b"{", b"[", b"<")


ServerSentEvent = tuple[str, str]
"""An event's data, its lines joined by line feeds, and its name, "message" where the server gave none."""


class SSEReader:
    """Collects bytes, however they are cut, and hands out the events that are complete.

    An event of more than `LARGEST_EVENT` bytes, its comments included, raises `BackendError` MALFORMED.
    """

    def __init__(self, largest_event: int = LARGEST_EVENT) -> None:
        self._largest = largest_event
        self._rest = bytearray()
        self._at_start = True
        self._whole = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that this piece completes."""
        if self._at_start or self._after_cr or b"\r" in piece:
            piece = self._plain(piece)
        # Only what is new is searched: a long event in small pieces then costs no more than its length.
        end = -1 if self._whole else piece.rfind(b"\n\n")
        if end >= 0:
            block, rest = piece[:end], piece[end + 2 :]
        elif piece.startswith(b"\n") and self._rest.endswith(b"\n") and not self._whole:
            block, rest = b"", piece[1:]
        else:
            self._keep(piece)
            return []
        if self._rest:
            block = bytes(self._rest) + block
            self._rest.clear()
        if rest:
            self._keep(rest)
        return self._events(block)

    def finish(self) -> list[ServerSentEvent]:
        """The event that the end of the stream completes, if any."""
        rest, self._rest = bytes(self._rest), bytearray()
        if self._whole:
            return [(rest.decode("utf-8", "replace"), WHOLE)]
        return self._events(rest)

    def _plain(self, piece: bytes) -> bytes:
        """The piece with line feeds for all line ends, and without what may stand before the first line."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._at_start:
            piece = piece.lstrip(_BEFORE_THE_FIRST_LINE)
            self._at_start = not piece
            self._whole = piece.startswith(_NO_STREAM)
        return piece

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        self._bound(len(self._rest))

    def _events(self, block: bytes) -> list[ServerSentEvent]:
        if len(block) > self._largest:
            self._bound(max(map(len, block.split(b"\n\n"))))
        events = []
        for record in block.decode("utf-8", "replace").split("\n\n"):
            # What nearly every event of nearly every server looks like.
            if record.startswith("data: ") and "\n" not in record:
                events.append((record[6:], "message"))
            elif (event := _parse(record)) is not None:
                events.append(event)
        return events

    def _bound(self, size: int) -> None:
        if size > self._largest:
            raise BackendError(
                ErrorKind.MALFORMED,
                tr("The server sent an event that is too large to be part of an answer."),
                tr("It is longer than {largest:.1f} MB.", largest=self._largest / 1000000.0),
            )


def _parse(record: str) -> ServerSentEvent | None:
    data: list[str] = []
    name = ""
    for line in record.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    return ("\n".join(data), name or "message") if data else None
