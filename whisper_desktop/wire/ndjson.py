"""Newline-delimited JSON: bytes in, lines out. No I/O, and no JSON: a line is handed out as its text."""

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind

LARGEST_LINE = 8 * 2**20

_BOM = "\ufeff"


class NDJSONReader:
    """Collects bytes, however they are cut, and hands out the complete lines that are not blank.

    A line of more than `LARGEST_LINE` bytes raises `BackendError` MALFORMED. Invalid UTF-8 is replaced.
    """

    def __init__(self, largest_line: int = LARGEST_LINE) -> None:
        self._largest = largest_line
        self._rest = bytearray()
        self._at_start = True

    def feed(self, piece: bytes) -> list[str]:
        """The lines that this piece completes."""
        end = piece.rfind(b"\n")
        if end < 0:
            self._rest += piece
            self._bound(len(self._rest))
            return []
        block = piece[:end]
        if self._rest:
            block = bytes(self._rest) + block
        self._rest = bytearray(piece[end + 1 :])
        self._bound(len(self._rest))
        return self._lines(block)

    def finish(self) -> list[str]:
        """The line that the stream ends on without a line feed, if any."""
        rest, self._rest = bytes(self._rest), bytearray()
        return self._lines(rest)

    def _lines(self, block: bytes) -> list[str]:
        if len(block) > self._largest:
            for line in block.split(b"\n"):
                self._bound(len(line))
        text = block.decode("utf-8", "replace")
        if self._at_start:
            self._at_start = False
            text = text.removeprefix(_BOM)
        return [line for line in text.split("\n") if line and not line.isspace()]

    def _bound(self, size: int) -> None:
        if size > self._largest:
            raise BackendError(
                ErrorKind.MALFORMED,
                tr("The server sent a line that is too long to be part of an answer."),
                tr("It is longer than {largest:.1f} MB.", largest=self._largest / 1000000.0),
            )
