"""One line below the composer that says what was just done, and can take it back for some seconds."""

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.theme import S
from whisper_desktop.ui.widgets import secondary

Say = Callable[..., None]
"""`NoticeBar.say`, for those who have something to tell."""

_READ = 4000  # ms
_DECIDE = 10_000  # ms: one that offers something stays long enough to be reached by keyboard


class NoticeBar(QWidget):
    """Keeps its place while it says nothing, so that nothing jumps."""

    def __init__(self) -> None:
        super().__init__()
        self._words = secondary("")
        self._action: Callable[[], None] | None = None
        self.button = QPushButton(tr("Undo"))
        self.button.clicked.connect(self._act)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.clear)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        row.addWidget(self._words, 1)
        row.addWidget(self.button)
        self.button.hide()
        self._reserve()

    @property
    def text(self) -> str:
        """What it says now."""
        return self._words.text()

    def say(self, sentence: str, offer: str = "", action: Callable[[], None] | None = None) -> None:
        """Say a sentence for some seconds, with a button (`offer`) that does `action`."""
        self._words.setText(sentence)
        self._action = action
        if action is not None:
            self.button.setText(offer)
        self.button.setVisible(action is not None)
        self._timer.start(_READ if action is None else _DECIDE)
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, f"{sentence} {offer}".strip()))

    def clear(self) -> None:
        """Say nothing any more."""
        if self.button.hasFocus():
            self._timer.start(_DECIDE)  # the keyboard is there: it does not go away under the fingers
            return
        self._timer.stop()
        self._words.setText("")
        self._action = None
        self.button.hide()

    def _act(self) -> None:
        action = self._action
        self.button.clearFocus()
        self.clear()
        if action is not None:
            action()

    def _reserve(self) -> None:
        self.setMinimumHeight(self.button.sizeHint().height())
