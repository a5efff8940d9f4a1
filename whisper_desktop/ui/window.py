"""What all windows of the app have in common."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QWidget

from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.icons import app_icon

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


class AppWindow(QWidget):
    """A top-level window. `kind` is its name for the desktop: "chat", "guide", "ask", "models", "setup",
    "settings", "logs".

    One that is `kept` is only hidden when it is closed, so that it is back at once; its work goes on. Any
    other ends then, and every window does at `leave`: `spawn`ed tasks are cancelled, and it is deleted once
    they have ended. One that is `outdated` speaks another language than the app does by now: it is kept only
    while it is `engaged`.

    Signals:
        requested: a window of this kind is wanted.
        put_away: it leaves the screen, for now or for good; its place is still known.
        closed: it has ended.
    """

    kept: ClassVar[bool] = False

    requested = Signal(str)
    put_away = Signal()
    closed = Signal()

    def __init__(self, kind: str, title: str, bridge: Bridge) -> None:
        super().__init__()
        self.kind = kind
        self.bridge = bridge
        self._work: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._has_ended = False
        self.outdated = False
        self.setWindowIcon(app_icon())
        self.setWindowTitle(title)

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """The app's state has changed; most windows do not care."""

    @property
    def engaged(self) -> bool:
        """Whether something would be lost if this window were made anew."""
        return False

    @property
    def place(self) -> str:
        """What `Windows.show` needs to lead to what is shown now."""
        return ""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine on the Qt loop until this window ends."""
        task = self.bridge.spawn(coroutine)
        self._work.add(task)
        task.add_done_callback(self._on_work_ended)
        return task

    def leave(self) -> None:
        """End for good, also where it is kept."""
        self._leaving = True
        self.close()

    def _on_work_ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._delete_when_idle()

    def _delete_when_idle(self) -> None:
        if self._has_ended and not self._work:
            self.deleteLater()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if self.isVisible():
            self.put_away.emit()
        stays = self.kept and not (self.outdated and not self.engaged)
        if stays and not self._leaving:
            event.ignore()
            self.hide()
            return
        super().closeEvent(event)
        if not self._has_ended:
            self._has_ended = True
            self.closed.emit()
            for task in list(self._work):
                task.cancel()
            self._delete_when_idle()
