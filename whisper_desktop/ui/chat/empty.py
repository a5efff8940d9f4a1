"""What stands where a conversation will be: what this is, and three first steps."""

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.language import mark, tr
from whisper_desktop.ui.theme import XL, L, S
from whisper_desktop.ui.widgets import heading, secondary

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState

STARTERS = (
    mark("Explain how a language model works, in simple words"),
    mark("Write a friendly reminder about an unpaid invoice"),
    mark("Give me three ideas for a rainy Sunday"),
)
GUIDE_STARTERS = (  # questions it was trained on: it knows no other language
    "What is this app?",
    "How do I add Ollama?",
    "Does my data leave this computer?",
)


class EmptyState(QWidget):
    """Shown until something was asked.

    Signals:
        starter_chosen: the text of a starter.
        requested: "setup" or "guide", offered while nothing can answer.
    """

    starter_chosen = Signal(str)
    requested = Signal(str)

    def __init__(self, *, guide: bool) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, L, XL, L)
        column.setSpacing(S)
        column.addStretch(2)
        headline = heading(tr("Ask me about this app") if guide else tr("What is on your mind?"), 1.5)
        words = secondary(
            tr("I am a tiny demo model inside this app. I only know this app.")
            if guide
            else tr("Your conversation will be here. It stays on this computer unless you allow more.")
        )
        for label in (headline, words):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            column.addWidget(label)
        column.addSpacing(S)
        starters = GUIDE_STARTERS if guide else tuple(tr(each) for each in STARTERS)
        column.addLayout(self._starters(starters))
        self._help = self._nothing_answers()
        column.addWidget(self._help, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)

    def _starters(self, starters: tuple[str, ...]) -> QHBoxLayout:
        """As wide as the widest, in the middle."""
        middle = QVBoxLayout()
        middle.setSpacing(S)
        for starter in starters:
            button = QPushButton(starter)
            button.clicked.connect(lambda _checked=False, text=starter: self.starter_chosen.emit(text))
            middle.addWidget(button)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addLayout(middle)
        row.addStretch(1)
        return row

    def _nothing_answers(self) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, L, 0, 0)
        words = secondary(tr("No model was found yet."))
        words.setWordWrap(False)
        row.addWidget(words)
        for action, label in (("setup", tr("Open setup")), ("guide", tr("Ask the guide"))):
            button = QPushButton(label)
            button.clicked.connect(lambda _checked=False, name=action: self.requested.emit(name))
            row.addWidget(button)
        box.hide()
        return box

    def show_state(self, state: "AppState") -> None:
        """Offer a way out where no model can answer."""
        self._help.setVisible(state.backend is None and state.activity == "needs_attention")
