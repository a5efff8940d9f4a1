"""Goes from one place of the words that are looked for to the next."""

from PySide6.QtCore import QPointF

from whisper_desktop.ui.chat.delegate import Match, TranscriptDelegate, places_of
from whisper_desktop.ui.chat.layout_flow import Piece
from whisper_desktop.ui.chat.transcript import TranscriptModel


class Finder:
    """Where the words stand in the rows of a model, as the delegate lays them out."""

    def __init__(self, model: TranscriptModel, delegate: TranscriptDelegate) -> None:
        self._model = model
        self._delegate = delegate

    def look_for(self, words: str) -> int:
        """Begin to look for words; in how many messages they stand. "" ends it."""
        self._delegate.words = words = " ".join(words.split())
        self._delegate.match = None
        wanted = words.casefold()
        texts = (self._model.row(number).text for number in range(self._model.rowCount()))
        return sum(wanted in text.casefold() for text in texts) if wanted else 0

    def step(self, by: int) -> Match | None:
        """The next place (1) or the one before (-1), round and round; None where the words stand nowhere."""
        words, here = self._delegate.words, self._delegate.match
        count = self._model.rowCount()
        if not words or not count:
            return None
        row = here.row if here is not None else (0 if by > 0 else count - 1)
        wanted = words.casefold()
        for _ in range(count + 1):
            if wanted in self._model.row(row).text.casefold():
                places = self._places(row)
                if here is not None and here.row == row:
                    order = [(match.piece, match.start) for match in places]
                    now = (here.piece, here.start)
                    after = [
                        match
                        for match, at in zip(places, order, strict=True)
                        if (at > now) == (by > 0) and at != now
                    ]
                else:
                    after = places
                if after:
                    found = after[0 if by > 0 else -1]
                    self._delegate.match = found
                    return found
            here = None
            row = (row + by) % count
        return None

    def y_of(self, match: Match) -> float:
        """How far below the top of its row a place is."""
        layout = self._delegate.layout_of(match.row, self._model.row(match.row))
        return top_of(layout.pieces[match.piece], match.start)

    def _places(self, row: int) -> list[Match]:
        layout = self._delegate.layout_of(row, self._model.row(row))
        return [
            Match(row, number, start, end)
            for number, piece in enumerate(layout.pieces)
            for start, end in places_of(self._delegate.words, piece)
        ]


def top_of(piece: Piece, character: int) -> float:
    """How far below the top of its row the line of a character is."""
    block = piece.document.findBlock(character)
    line = block.layout().lineForTextPosition(character - block.position())
    top = piece.document.documentLayout().blockBoundingRect(block).topLeft() + piece.origin
    return (top + QPointF(0, line.y() if line.isValid() else 0)).y()
