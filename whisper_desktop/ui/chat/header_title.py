"""The title of a conversation, which a click or F2 makes a field to write in."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPalette
from PySide6.QtWidgets import QLineEdit

from whisper_desktop.language import tr

_LONGEST = 200  # characters


class TitleField(QLineEdit):
    """Reads as a headline until it is to be changed: Enter keeps what is written, Esc does not.

    Signals:
        renamed: the title that the person wrote.
    """

    renamed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self.changeable = True
        self.setAccessibleName(tr("Title of this chat"))
        self.setMaxLength(_LONGEST)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 1.15)
        font.setWeight(font.Weight.DemiBold)
        self.setFont(font)
        self.returnPressed.connect(self._commit)
        self._rest()

    @property
    def editing(self) -> bool:
        """Whether it is a field to write in now."""
        return not self.isReadOnly()

    def show_title(self, title: str) -> None:
        """What the conversation is called; kept back while the person writes."""
        self._title = title
        if not self.editing:
            self.setText(title)
            self.setCursorPosition(0)
        self.setToolTip(title)

    def edit(self) -> None:
        """Let the person change it."""
        if self.changeable and not self.editing:
            self.setReadOnly(False)
            self.setFrame(True)
            self.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.selectAll()

    def _rest(self) -> None:
        self.setReadOnly(True)
        self.setFrame(False)
        palette = self.palette()
        palette.setBrush(QPalette.ColorRole.Base, Qt.BrushStyle.NoBrush)
        self.setPalette(palette)
        self.setText(self._title)
        self.setCursorPosition(0)
        self.deselect()

    def _commit(self) -> None:
        if not self.editing:
            self.edit()
            return
        written = " ".join(self.text().split())
        changed = bool(written) and written != self._title
        self._rest()
        if changed:
            self.renamed.emit(written)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and not self.editing:
            self.edit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape and self.editing:
            self._rest()
        elif event.key() == Qt.Key.Key_F2 and not self.editing:
            self.edit()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        super().focusOutEvent(event)
        if self.editing and event.reason() != Qt.FocusReason.PopupFocusReason:
            self._commit()
