"""Looking for words in the conversation that is shown."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QToolButton

from whisper_desktop.language import tr, trn
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.theme import XS, L, S
from whisper_desktop.ui.widgets import secondary


class FindBar(QFrame):
    """A field above the transcript; Enter goes on, Shift+Enter back, Esc ends it.

    Signals:
        left: the keyboard goes back to the composer.
    """

    left = Signal()

    def __init__(self, view: TranscriptView) -> None:
        super().__init__()
        self._view = view
        self.field = QLineEdit()
        self.field.setPlaceholderText(tr("Find in this chat"))
        self.field.setAccessibleName(tr("Find in this chat"))
        self.field.setMaxLength(200)
        self.field.textChanged.connect(self._look)
        self._count = secondary("")
        row = QHBoxLayout(self)
        row.setContentsMargins(L, XS, L, XS)
        row.setSpacing(S)
        row.addWidget(self.field, 1)
        row.addWidget(self._count)
        for sign, name, action in (
            ("↑", tr("The place before"), view.find_back),
            ("↓", tr("The next place"), view.find_next),
            ("✕", tr("Close"), self.leave),
        ):
            button = QToolButton()
            button.setText(sign)
            button.setAutoRaise(True)
            button.setAccessibleName(name)
            button.setToolTip(name)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.clicked.connect(action)
            row.addWidget(button)
        self.hide()

    def begin(self, words: str = "") -> None:
        """Show it; `words` are looked for at once."""
        self.show()
        if words:
            self.field.setText(words)
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()
        self._look()

    def leave(self) -> None:
        """Hide it, and mark nothing any more."""
        if self.isVisible():
            self.hide()
            self._view.find("")
            self.left.emit()

    def _look(self) -> None:
        words = self.field.text().strip()
        count = self._view.find(words)
        if not words:
            self._count.setText("")
        elif count:
            self._count.setText(trn("in one message", "in {count} messages", count))
        else:
            self._count.setText(tr("not in this chat"))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.field.hasFocus():
            back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            (self._view.find_back if back else self._view.find_next)()
        else:
            super().keyPressEvent(event)
