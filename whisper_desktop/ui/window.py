"""What all windows of the app have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QWidget

from whisper_desktop.ui.icons import app_icon

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


class AppWindow(QWidget):
    """A top-level window. `kind` is its name for the desktop: "chat", "guide", "setup", "settings", "logs".

    Signals:
        requested: a window of this kind is wanted.
        closed: the person is done with this one; it deletes itself.
    """

    requested = Signal(str)
    closed = Signal()

    def __init__(self, kind: str, title: str) -> None:
        super().__init__()
        self.kind = kind
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowIcon(app_icon())
        self.setWindowTitle(title)

    @property
    def reusable(self) -> bool:
        """Whether a request for a window of this kind may be answered by this one."""
        return True

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """The app's state has changed; most windows do not care."""

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        self.closed.emit()
        super().closeEvent(event)
