"""Where the person writes: Enter sends, Shift+Enter is a new line, and the button stops what is running."""

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QPushButton, QWidget

from whisper_desktop.ui.chat.layout import wrap_mode
from whisper_desktop.ui.theme import S

_MOST_LINES = 8


class _Editor(QPlainTextEdit):
    submitted = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.submitted.emit()
        else:
            super().keyPressEvent(event)

    def insertFromMimeData(self, source: QMimeData) -> None:  # noqa: N802
        """What is pasted or dropped may be anything; only such text is long without a space."""
        if source.hasText() and (mode := wrap_mode(source.text())) is not self.wordWrapMode():
            self.setWordWrapMode(mode)
        super().insertFromMimeData(source)


class Composer(QWidget):
    """An editor that grows with its text, and one button: *Send*, or *Stop* while an answer comes.

    Signals:
        sent: the text, without surrounding space; never empty.
        stop_requested: *Stop* or Escape.
    """

    sent = Signal(str)
    stop_requested = Signal()

    def __init__(self, placeholder: str = "Ask anything…") -> None:
        super().__init__()
        self._busy = False
        self._editor = _Editor()
        self._editor.setPlaceholderText(placeholder)
        self._editor.setAccessibleName("Your message")
        self._editor.setTabChangesFocus(True)
        self._editor.setFrameShape(QFrame.Shape.StyledPanel)
        self._editor.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._editor.document().setDocumentMargin(S)
        self._editor.textChanged.connect(self._on_text_changed)
        # The lines of a long text are known only after the text has changed.
        self._editor.document().documentLayout().documentSizeChanged.connect(self._on_text_changed)
        self._editor.submitted.connect(self._send)
        self._button = QPushButton("Send")
        self._button.clicked.connect(self._on_button)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        row.addWidget(self._editor, 1)
        row.addWidget(self._button, 0, Qt.AlignmentFlag.AlignBottom)
        self.setFocusProxy(self._editor)
        self._button.setMinimumWidth(self._button.sizeHint().width())
        self._on_text_changed()

    @property
    def editor(self) -> QPlainTextEdit:
        """The text field."""
        return self._editor

    @property
    def button(self) -> QPushButton:
        """*Send* or *Stop*."""
        return self._button

    def put_before(self, text: str) -> None:
        """Put a text before what is written there already, the cursor at its end."""
        cursor = self._editor.textCursor()
        cursor.movePosition(cursor.MoveOperation.Start)
        cursor.insertText(f"{text}\n" if self._editor.toPlainText() else text)
        self._editor.setTextCursor(cursor)

    def set_busy(self, busy: bool) -> None:
        """Whether an answer is coming: the button stops it, and Enter waits."""
        self._busy = busy
        self._button.setText("Stop" if busy else "Send")
        self._button.setToolTip("Stop the answer (Esc)" if busy else "Send (Enter)")
        self._on_text_changed()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape and self._busy:
            self.stop_requested.emit()
        else:
            super().keyPressEvent(event)

    def _on_button(self) -> None:
        if self._busy:
            self.stop_requested.emit()
        else:
            self._send()

    def _send(self) -> None:
        text = self._editor.toPlainText().strip()
        if text and not self._busy:
            self._editor.clear()
            self.sent.emit(text)

    def _on_text_changed(self) -> None:
        self._button.setEnabled(self._busy or bool(self._editor.toPlainText().strip()))
        line = QFontMetrics(self._editor.font()).lineSpacing()
        lines = min(max(int(self._editor.document().size().height()), 1), _MOST_LINES)
        frame = 2 * self._editor.frameWidth()
        self._editor.setFixedHeight(lines * line + int(2 * self._editor.document().documentMargin()) + frame)
        self._button.setFixedHeight(line + 2 * S + frame)
        policy = Qt.ScrollBarPolicy
        over = self._editor.document().size().height() > _MOST_LINES
        self._editor.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if over else policy.ScrollBarAlwaysOff
        )
