"""A line that opens to what is behind it: the arithmetic below a sentence, the rest of a long list."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QVBoxLayout, QWidget

from whisper_desktop.ui.theme import XL, XS


class Fold(QWidget):
    """`inside` is shown while it is open; `about` is its name for those who do not see where it stands."""

    def __init__(self, title: str, inside: QWidget, about: str = "") -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        self._inside = inside
        self.button = QToolButton()
        self.button.setAutoRaise(True)
        self.button.setCheckable(True)
        self.button.setText(title)
        self.button.setAccessibleName(about or title)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.toggled.connect(self._open)
        column.addWidget(self.button)
        inside.setContentsMargins(XL, 0, 0, 0)
        column.addWidget(inside)
        self._open(False)

    def _open(self, opened: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._inside.setVisible(opened)
