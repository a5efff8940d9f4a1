"""Says that the composer holds an earlier question, and leads back out of that."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton

from whisper_desktop.language import tr
from whisper_desktop.ui.theme import S
from whisper_desktop.ui.widgets import secondary


class EditingBar(QFrame):
    """Stands above the composer while an earlier question is worded otherwise.

    Signals:
        cancelled: the question stays as it is.
    """

    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        words = secondary(tr("You are changing an earlier message. The one there was stays as a branch."))
        row.addWidget(words, 1)
        self.cancel = QPushButton(tr("Cancel"))
        self.cancel.clicked.connect(self.cancelled)
        row.addWidget(self.cancel)
        self.hide()
