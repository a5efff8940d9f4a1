"""The tray icon: a menu kept alive, an icon whose shape tells the state, word of hosts that come and go."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QSystemTrayIcon

from whisper_desktop.ui.icons import tray_icon
from whisper_desktop.ui.tray.entries import Entry, starting_entries
from whisper_desktop.ui.tray.glance import Shown
from whisper_desktop.ui.tray.host import HostWatch
from whisper_desktop.ui.tray.menu import LiveMenu

_MESSAGE_TIME = 8000  # ms


class Tray(QObject):
    """The icon, from the first moment on that something shows icons.

    Signals:
        chosen: an entry's action and value (a string or None); "show" is a click on the icon.
        about_to_show: the menu is being opened; `show_state` is expected before this returns.
        host_changed: a tray host appeared (True) or is missing (False).
        message_clicked: the message that was shown last.
    """

    chosen = Signal(str, object)
    about_to_show = Signal()
    host_changed = Signal(bool)
    message_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._shown = Shown("starting", "Whisper Desktop")
        self._menu = LiveMenu()
        self._menu.show_entries(starting_entries())
        self._menu.opening.connect(self.about_to_show)
        self._menu.chosen.connect(self.chosen)
        self._host = HostWatch()
        self._host.changed.connect(self._on_host_changed)
        self._icon: QSystemTrayIcon | None = None
        if self._host.icon_may_be_made:
            self._icon = self._make_icon()

    def _make_icon(self) -> QSystemTrayIcon:
        icon = QSystemTrayIcon(_picture(self._shown))
        icon.setToolTip(self._shown.tooltip)
        icon.setContextMenu(self._menu)
        icon.activated.connect(self._on_activated)
        icon.messageClicked.connect(self.message_clicked)
        icon.show()
        return icon

    def watch_host(self) -> None:
        """Tell of hosts from now on: not before the icon is on the screen."""
        self._host.start()

    @property
    def has_host(self) -> bool:
        """Whether something shows the icon."""
        return self._host.present

    @property
    def icon(self) -> QSystemTrayIcon | None:
        """The icon itself; None while nothing could show it."""
        return self._icon

    @property
    def menu(self) -> LiveMenu:
        """The menu as it stands."""
        return self._menu

    def show_state(self, shown: Shown, entries: Sequence[Entry]) -> None:
        """Show a state and the menu. Cheap where there is nothing new."""
        before, self._shown = self._shown, shown
        self._menu.show_entries(entries)
        if self._icon is None or shown == before:
            return
        if replace(shown, tooltip="") != replace(before, tooltip=""):
            self._icon.setIcon(_picture(shown))
        if shown.tooltip != before.tooltip:
            self._icon.setToolTip(shown.tooltip)

    def notify(self, title: str, detail: str) -> bool:
        """Show a message at the icon; False where that cannot be."""
        if self._icon is None or not (self.has_host and QSystemTrayIcon.supportsMessages()):
            return False
        self._icon.showMessage(title, detail, tray_icon("ready"), _MESSAGE_TIME)
        return True

    def hide(self) -> None:
        """Take the icon away, for good."""
        self._host.stop()
        if self._icon is not None:
            self._icon.hide()

    def _on_host_changed(self, present: bool) -> None:
        if present and self._icon is None:
            self._icon = self._make_icon()
        elif present and self._icon is not None:
            self._icon.hide()
            self._icon.show()
        self.host_changed.emit(present)

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        # On macOS a click opens the menu, and must do nothing else.
        if reason == QSystemTrayIcon.ActivationReason.Trigger and sys.platform != "darwin":
            self.chosen.emit("show", None)


def _picture(shown: Shown) -> QIcon:
    return tray_icon(shown.activity, percent=shown.percent, setting=shown.setting)
