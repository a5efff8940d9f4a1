"""Selecting text inside a message by keyboard: Shift with the arrows, Home and End, by words with Ctrl."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QTextCursor

from whisper_desktop.ui.chat.delegate import TextPosition
from whisper_desktop.ui.chat.layout_parts import RowLayout

_Move = QTextCursor.MoveOperation
_Keys = QKeySequence.StandardKey

_MOVES = {
    _Keys.SelectNextChar: _Move.NextCharacter,
    _Keys.SelectPreviousChar: _Move.PreviousCharacter,
    _Keys.SelectNextWord: _Move.NextWord,
    _Keys.SelectPreviousWord: _Move.PreviousWord,
    _Keys.SelectNextLine: _Move.Down,
    _Keys.SelectPreviousLine: _Move.Up,
    _Keys.SelectStartOfLine: _Move.StartOfLine,
    _Keys.SelectEndOfLine: _Move.EndOfLine,
    _Keys.SelectStartOfDocument: _Move.Start,
    _Keys.SelectEndOfDocument: _Move.End,
}
_FORWARD = (_Move.NextCharacter, _Move.NextWord, _Move.Down, _Move.End)

Selection = tuple[TextPosition, TextPosition]


def selected_by(event: QKeyEvent, row: int, layout: RowLayout, known: Selection | None) -> Selection | None:
    """What is selected in a row after a key; None for a key that selects nothing."""
    pieces = layout.pieces
    if not pieces:
        return None
    if event.matches(_Keys.SelectAll):
        last = len(pieces) - 1
        return TextPosition(row, 0, 0), TextPosition(row, last, pieces[last].document.characterCount() - 1)
    move = next((move for key, move in _MOVES.items() if event.matches(key)), None)
    if move is None:
        return None
    start, end = known if known is not None and known[0].row == row else (TextPosition(row, 0, 0),) * 2
    return start, _moved(end, move, layout)


def _moved(here: TextPosition, move: QTextCursor.MoveOperation, layout: RowLayout) -> TextPosition:
    pieces = layout.pieces
    piece = min(here.piece, len(pieces) - 1)
    if move in (_Move.Start, _Move.End):
        piece = 0 if move is _Move.Start else len(pieces) - 1
    cursor = QTextCursor(pieces[piece].document)
    cursor.setPosition(min(here.character, pieces[piece].document.characterCount() - 1))
    if cursor.movePosition(move) or move not in (
        *_FORWARD,
        _Move.PreviousCharacter,
        _Move.PreviousWord,
        _Move.Up,
    ):
        return TextPosition(here.row, piece, cursor.position())
    if move in _FORWARD and piece + 1 < len(pieces):
        return TextPosition(here.row, piece + 1, 0)
    if move not in _FORWARD and piece > 0:
        return TextPosition(here.row, piece - 1, pieces[piece - 1].document.characterCount() - 1)
    return TextPosition(here.row, piece, cursor.position())


def moves_focus(event: QKeyEvent) -> bool:
    """Whether a key is one of those that move between messages, so that it ends a selection."""
    return event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
