"""A field for a key, which is only ever handed on: never shown again, never written by a window."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import secondary, toned


class KeyField(QWidget):
    """`name` is the service that the key is for.

    Signals:
        entered: the key.
    """

    entered = Signal(str)

    def __init__(self, name: str) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText(tr("Key"))
        self.field.setAccessibleName(tr("Key for {name}", name=name))
        self.field.returnPressed.connect(self._enter)
        self.button = QPushButton(tr("Keep key"))
        self.button.setAutoDefault(False)
        self.button.setAccessibleName(tr("Keep the key for {name}", name=name))
        self.button.clicked.connect(self._enter)
        row.addWidget(self.field, 1)
        row.addWidget(self.button)
        column.addLayout(row)
        self._words, self._trouble = secondary(""), toned("", "bad")
        for label in (self._words, self._trouble):
            label.hide()
            column.addWidget(label)

    def tell(self, sentence: str, *, ok: bool) -> None:
        """Say how it went; a key that was kept leaves the field."""
        if ok:
            self._say(f"✓  {sentence}" if sentence else "")
            self.field.clear()
        else:
            self._say("", f"⚠  {sentence}")

    def begin(self, sentence: str) -> None:
        """Say what is being done with it, or will be."""
        self._say(sentence)

    def _say(self, words: str, trouble: str = "") -> None:
        for label, said in ((self._words, words), (self._trouble, trouble)):
            label.setText(said)
            label.setVisible(bool(said))

    def _enter(self) -> None:
        key = self.field.text().strip()
        if key:
            self.entered.emit(key)
