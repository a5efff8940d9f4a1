"""The tray icon: a menu kept alive, an icon whose shape tells the state, and a look-out for the tray host."""

import sys
from collections.abc import Sequence

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QSystemTrayIcon

from whisper_desktop.ui.icons import tray_icon
from whisper_desktop.ui.tray.entries import STARTING, Entry
from whisper_desktop.ui.tray.menu import LiveMenu

_HOST_POLL = 2000  # ms between looks for a tray host: at login it often appears after us, and it may restart


class Tray(QObject):
    """The icon, from the first moment on.

    Signals:
        chosen: an entry's action and value (a string or None).
        about_to_show: the menu is being opened; `show_state` is expected before this returns.
        host_changed: a tray host appeared (True) or is missing (False).
    """

    chosen = Signal(str, object)
    about_to_show = Signal()
    host_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._icon = QSystemTrayIcon()
        self._menu = LiveMenu()
        self._menu.aboutToShow.connect(self.about_to_show)
        self._menu.chosen.connect(self.chosen)
        self._activity = ""
        self.show_state("starting", STARTING)
        self._icon.setContextMenu(self._menu)
        self._icon.activated.connect(self._on_activated)
        self.has_host = QSystemTrayIcon.isSystemTrayAvailable()
        self._icon.show()
        self._poll = QTimer(self)
        self._poll.setInterval(_HOST_POLL)
        self._poll.timeout.connect(self.look_for_host)
        self._poll.start()

    @property
    def icon(self) -> QSystemTrayIcon:
        """The icon itself: its place on the screen, its visibility."""
        return self._icon

    @property
    def menu(self) -> LiveMenu:
        """The menu as it stands."""
        return self._menu

    def show_state(self, activity: str, entries: Sequence[Entry]) -> None:
        """Show an `AppState.activity` and the menu; its first entry is the headline. Cheap without news."""
        if activity != self._activity:
            self._activity = activity
            self._icon.setIcon(tray_icon(activity))
        self._icon.setToolTip(f"Whisper Desktop\n{entries[0].text}")
        self._menu.show_entries(entries)

    def notify(self, title: str, detail: str) -> None:
        """Tell something once, in the system's way; the icon keeps its badge for as long as it matters."""
        if QSystemTrayIcon.supportsMessages():
            self._icon.showMessage(title, detail, tray_icon("ready"), 8000)

    def look_for_host(self) -> None:
        """Notice a tray host that came or went; one that came gets the icon shown again."""
        present = QSystemTrayIcon.isSystemTrayAvailable()
        if present == self.has_host:
            return
        self.has_host = present
        if present:
            self._icon.hide()
            self._icon.show()
        self.host_changed.emit(present)

    def hide(self) -> None:
        """Take the icon away, for good."""
        self._poll.stop()
        self._icon.hide()

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        # On macOS a click opens the menu, and must do nothing else.
        if reason == QSystemTrayIcon.ActivationReason.Trigger and sys.platform != "darwin":
            self.chosen.emit("chat", None)
