"""The chip above the field: the text that goes along with the question, where it can be seen and removed."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton

from whisper_desktop.language import tr
from whisper_desktop.ui.ask.quote import Quote
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import secondary

_MOST_TOOLTIP = 1500  # characters


class QuoteBar(QFrame):
    """Shows one quote, or is not there.

    Signals:
        removed: the person took it away.
    """

    removed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        row = QHBoxLayout(self)
        row.setContentsMargins(S, XS, XS, XS)
        row.setSpacing(S)
        self._excerpt = QLabel()
        self._excerpt.setTextFormat(Qt.TextFormat.PlainText)
        self._excerpt.setWordWrap(True)
        self._excerpt.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._size = secondary("")
        self._size.setWordWrap(False)
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setAutoRaise(True)
        self.remove.setAccessibleName(tr("Leave the quoted text out"))
        self.remove.setToolTip(tr("Leave the quoted text out"))
        self.remove.clicked.connect(self.removed)
        row.addWidget(self._excerpt, 1)
        row.addWidget(self._size)
        row.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_quote(self, quote: Quote | None) -> None:
        """Show this one; None: nothing goes along."""
        if quote is not None:
            self._excerpt.setText(tr("“{words}”", words=quote.excerpt))
            self._size.setText(quote.size)
            self._excerpt.setToolTip(quote.text[:_MOST_TOOLTIP])
            self.setAccessibleName(tr("Goes along with your question: {words}", words=quote.excerpt))
        self.setVisible(quote is not None)
