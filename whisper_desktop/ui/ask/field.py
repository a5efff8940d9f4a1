"""The field of Quick ask: one line that grows with what is written in it."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy

from whisper_desktop.ui.theme import S

_MOST_LINES = 6
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class AskField(QPlainTextEdit):
    """Enter sends, Shift+Enter is a new line, Ctrl+Enter goes on in the chat window.

    Signals:
        submitted: Enter.
        chat_wanted: Ctrl+Enter.
        grown: its height has changed.
    """

    submitted = Signal()
    chat_wanted = Signal()
    grown = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(S)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 1.15)
        self.setFont(font)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._fit()

    @property
    def text(self) -> str:
        """What is written, without the space around it."""
        return self.toPlainText().strip()

    @property
    def line_height(self) -> int:
        """How high it is with one line in it, in pixels."""
        return QFontMetrics(self.font()).lineSpacing() + int(2 * self.document().documentMargin())

    def put(self, text: str) -> None:
        """Write a text in place of what is there, the cursor at its end."""
        self.setPlainText(text)
        self.moveCursor(self.textCursor().MoveOperation.End)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        held = event.modifiers()
        if event.key() not in _ENTER or held & Qt.KeyboardModifier.ShiftModifier:
            super().keyPressEvent(event)
        elif held & Qt.KeyboardModifier.ControlModifier:
            self.chat_wanted.emit()
        else:
            self.submitted.emit()

    def _fit(self) -> None:
        lines = max(int(self.document().size().height()), 1)
        line = QFontMetrics(self.font()).lineSpacing()
        height = self.line_height + (min(lines, _MOST_LINES) - 1) * line
        policy = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if lines > _MOST_LINES else policy.ScrollBarAlwaysOff
        )
        if height != self.height() or height != self.minimumHeight():
            self.setFixedHeight(height)
            self.grown.emit()
