"""The right side of the chat window: one panel at a time, folded away until it is wanted."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QPalette
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.theme import M, S
from whisper_desktop.ui.widgets import heading


class SidePanel(QWidget):
    """A headline with a way to close it above whatever is shown.

    Signals:
        closed: the person is done with it.
    """

    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self._title = heading("", 1.0)
        close = QToolButton()
        close.setText("✕")
        close.setAutoRaise(True)
        close.setAccessibleName(tr("Close this panel"))
        close.setToolTip(tr("Close this panel"))
        close.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        close.clicked.connect(self.closed)
        self._stack = QStackedWidget()
        head = QHBoxLayout()
        head.addWidget(self._title, 1)
        head.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(M, M, M, S)
        column.setSpacing(S)
        column.addLayout(head)
        column.addWidget(self._stack, 1)
        self.hide()

    @property
    def current(self) -> QWidget | None:
        """What is shown; None while the panel is folded away."""
        return self._stack.currentWidget() if not self.isHidden() else None

    def open(self, title: str, panel: QWidget) -> None:
        """Show this panel, with the keyboard in it."""
        if self._stack.indexOf(panel) < 0:
            self._stack.addWidget(panel)
        self._stack.setCurrentWidget(panel)
        self._title.setText(title)
        self.show()
        panel.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)
