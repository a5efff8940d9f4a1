"""What all windows of the app have in common."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QWidget

from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.icons import app_icon

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


class AppWindow(QWidget):
    """A top-level window. `kind` is its name for the desktop: "chat", "guide", "models", "setup",
    "settings", "logs".

    Its work ends with it: `spawn`ed tasks are cancelled when it closes; it is deleted once they have ended.

    Signals:
        requested: a window of this kind is wanted.
        closed: the person is done with this one.
    """

    requested = Signal(str)
    closed = Signal()

    def __init__(self, kind: str, title: str, bridge: Bridge) -> None:
        super().__init__()
        self.kind = kind
        self.bridge = bridge
        self._work: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.setWindowIcon(app_icon())
        self.setWindowTitle(title)

    @property
    def reusable(self) -> bool:
        """Whether a request for a window of this kind may be answered by this one."""
        return True

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """The app's state has changed; most windows do not care."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine on the Qt loop for as long as this window is open."""
        task = self.bridge.spawn(coroutine)
        self._work.add(task)
        task.add_done_callback(self._on_work_ended)
        return task

    def _on_work_ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._delete_when_idle()

    def _delete_when_idle(self) -> None:
        if self._is_closed and not self._work:
            self.deleteLater()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        super().closeEvent(event)
        if not self._is_closed:
            self._is_closed = True
            self.closed.emit()
            for task in list(self._work):
                task.cancel()
            self._delete_when_idle()
