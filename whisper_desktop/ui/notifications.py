"""How a person is told something while they look elsewhere. What is said comes from others."""

import sys
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.freedesktop import DesktopNotifications
from whisper_desktop.ui.tray.tray import Tray


@dataclass(frozen=True, slots=True)
class Told:
    """One message. `window` (and the `value` that goes with it) opens on a click; "" opens none.

    A later message with the same `key` takes its place. `problem` marks what a person should act on.
    """

    title: str
    detail: str = ""
    problem: bool = False
    window: str = ""
    value: str = ""
    key: str = ""


class Notifier(QObject):
    """Shows messages by the desktop's service, else at the tray icon, else not at all.

    `level` is the setting `ui.notifications`: "all", "problems" or "none".

    Signals:
        clicked: the window and the value of a message that was clicked.
    """

    clicked = Signal(str, str)
    _told_back = Signal(object)

    def __init__(self, bridge: Bridge, tray: Tray) -> None:
        super().__init__()
        self._bridge = bridge
        self._tray = tray
        self._at_icon: Told | None = None
        self.level = "all"
        self._told_back.connect(self._on_clicked)  # from the core's thread: queued
        self._service = DesktopNotifications(self._told_back.emit) if sys.platform == "linux" else None
        tray.message_clicked.connect(self._on_icon_clicked)

    def tell(self, told: Told) -> None:
        """Tell it, unless the person does not want to be told such things."""
        if self.level == "all" or (self.level == "problems" and told.problem):
            self._bridge.spawn(self._tell(told))

    async def _tell(self, told: Told) -> None:
        if self._service is not None:
            target = told if told.window else None
            key = told.key or told.title
            showing = self._service.show(told.title, told.detail, key=key, target=target, label=tr("Open"))
            if await self._bridge.run(showing):
                return
        if self._tray.notify(told.title, told.detail):
            self._at_icon = told

    def _on_icon_clicked(self) -> None:
        told, self._at_icon = self._at_icon, None
        if told is not None:
            self._on_clicked(told)

    def _on_clicked(self, told: Told) -> None:
        if told.window:
            self.clicked.emit(told.window, told.value)

    async def close(self) -> None:
        """On the core loop: let go of the service."""
        if self._service is not None:
            await self._service.close()
