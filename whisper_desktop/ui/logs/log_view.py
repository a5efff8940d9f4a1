"""A log that is read while it grows."""

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QPlainTextEdit

_MOST_BYTES = 100_000


class LogView(QPlainTextEdit):
    """Lines as they were written."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setAccessibleName(name)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setLayoutDirection(Qt.LayoutDirection.LeftToRight)  # logs are English, whoever reads them
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPointSizeF(self.font().pointSizeF())
        self.setFont(font)

    def show_text(self, text: str) -> None:
        """Show a log without moving what the person reads; at its end the view follows."""
        if text == self.toPlainText():
            return
        bar = self.verticalScrollBar()
        following, place = bar.value() >= bar.maximum() - 2, bar.value()
        self.setPlainText(text)
        bar.setValue(bar.maximum() if following else place)


def tail(file: Path) -> str:
    """The end of a log file, from a whole line on; empty where there is none."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _MOST_BYTES, 0))
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return text if size <= _MOST_BYTES else text.partition("\n")[2]
