"""The text field of the composer: it grows with its text, and takes pictures and files as well as words."""

from pathlib import Path

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QFontMetrics, QImage, QKeyEvent
from PySide6.QtWidgets import QFrame, QPlainTextEdit

from whisper_desktop.language import tr
from whisper_desktop.ui.chat.layout import wrap_mode
from whisper_desktop.ui.theme import S

_MOST_LINES = 8
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_OF_A_LIST = (*_ENTER, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Tab, Qt.Key.Key_Escape)


class Editor(QPlainTextEdit):
    """Enter submits, Shift+Enter is a new line. `plain`: words only.

    While `list_open`, the keys that move in a list and choose from it are handed on by `list_key`.

    Signals:
        submitted: Enter.
        emptied_up: Up, while nothing is written.
        list_key: a key for the list that is open.
        brought: what was pasted or dropped and is no text: `Path`s, or one `QImage`, in a tuple.
    """

    submitted = Signal()
    emptied_up = Signal()
    list_key = Signal(int)
    brought = Signal(tuple)

    def __init__(self, placeholder: str, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain
        self.list_open = False
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(tr("Your message"))
        self.setAccessibleDescription(tr("Enter sends it, Shift+Enter begins a new line."))
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(S)

    def fit(self) -> None:
        """As tall as its text, up to eight lines."""
        line = QFontMetrics(self.font()).lineSpacing()
        wanted = int(self.document().size().height())
        lines = min(max(wanted, 1), _MOST_LINES)
        margin = int(2 * self.document().documentMargin())
        self.setFixedHeight(lines * line + margin + 2 * self.frameWidth())
        policy = Qt.ScrollBarPolicy
        over = wanted > _MOST_LINES
        self.setVerticalScrollBarPolicy(policy.ScrollBarAsNeeded if over else policy.ScrollBarAlwaysOff)

    def replace_all(self, text: str) -> None:
        """Another text, which Undo takes back, with the cursor at its end."""
        self.fit_words(text)
        cursor = self.textCursor()
        cursor.select(cursor.SelectionType.Document)
        cursor.insertText(text)
        self.setTextCursor(cursor)

    def fit_words(self, text: str) -> None:
        """Only what comes in one piece has words without an end."""
        if (mode := wrap_mode(text)) is not self.wordWrapMode():
            self.setWordWrapMode(mode)

    # --- keys -----------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if self.list_open and event.key() in _OF_A_LIST and not shift:
            self.list_key.emit(event.key())
        elif event.key() in _ENTER and not shift:
            self.submitted.emit()
        elif event.key() == Qt.Key.Key_Up and not shift and self.document().isEmpty():
            self.emptied_up.emit()
        else:
            super().keyPressEvent(event)

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: FBT001, N802 - Qt's
        """Tab chooses from a list that is open."""
        if self.list_open and forward:
            self.list_key.emit(int(Qt.Key.Key_Tab))
            return True
        return super().focusNextPrevChild(forward)

    # --- what is pasted and dropped -------------------------------------------------------------------------

    def canInsertFromMimeData(self, source: QMimeData) -> bool:  # noqa: N802
        return bool(self._brought_by(source)) or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:  # noqa: N802
        if brought := self._brought_by(source):
            self.brought.emit(brought)
            return
        if source.hasText():
            self.fit_words(source.text())
        super().insertFromMimeData(source)

    def _brought_by(self, source: QMimeData) -> tuple[Path | QImage, ...]:
        """Files, or a picture. What is text as well (cells of a table, say) is meant as text."""
        if self._plain:
            return ()
        files = tuple(Path(url.toLocalFile()) for url in source.urls() if url.isLocalFile())
        if files or source.hasText() or not source.hasImage():
            return files
        image = QImage(source.imageData())
        return () if image.isNull() else (image,)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        if not self._accept_copy(event):
            super().dragEnterEvent(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802
        if not self._accept_copy(event):
            super().dragMoveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        if self._accept_copy(event):
            self.brought.emit(self._brought_by(event.mimeData()))
        else:
            super().dropEvent(event)

    def _accept_copy(self, event: QDropEvent) -> bool:
        """Files are copied here and never moved, whatever was proposed."""
        if not self._brought_by(event.mimeData()):
            return False
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        return True
