"""Whether anything shows tray icons, and word of it when that changes, without looking again and again.

On Linux there are two kinds of hosts: a StatusNotifier host has a name on the session bus, an XEmbed host
owns a selection of the X screen. Qt decides between the two for good when a program makes its first tray
icon, so none must be made before there is a host, and afterwards only hosts of that kind count.
"""

from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QSystemTrayIcon

STATUS_NOTIFIER = "org.kde.StatusNotifierWatcher"
_LOOK = 30_000  # ms between looks, where no word of a change may come


class Host(Protocol):
    """One kind of host; once `watch` was called, `changed` is called when it may have come or gone.

    `binds`: an icon that is made while it is missing will never be shown by it.
    """

    binds: bool
    changed: Callable[[], None]

    @property
    def present(self) -> bool: ...

    def watch(self) -> None: ...


class HostWatch(QObject):
    """Knows from the beginning whether there is a host, and tells of changes after `start`.

    Signals:
        changed: a host appeared (True), or is gone (False).
    """

    changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._hosts = _kinds()
        self.present = False
        self._note()
        self._poll = QTimer(self, interval=_LOOK, timerType=Qt.TimerType.VeryCoarseTimer)
        self._poll.timeout.connect(self.look)

    @property
    def icon_may_be_made(self) -> bool:
        """Whether an icon that is made now will be shown, now or later."""
        return self.present or not any(host.binds for host in self._hosts)

    def start(self) -> None:
        """Tell of changes from now on."""
        for host in self._hosts:
            host.changed = self.look
            host.watch()
        self._poll.start()
        self.look()

    def stop(self) -> None:
        """Tell of nothing any more."""
        self._poll.stop()
        self._hosts = []

    def look(self) -> None:
        """See whether there is a host, and tell if that has changed."""
        if self._hosts and self._note():
            self.changed.emit(self.present)

    def _note(self) -> bool:
        before, there = self.present, [host for host in self._hosts if host.present]
        self.present = bool(there)
        if there:
            self._hosts = there[:1]  # an icon is made now, and Qt has chosen
        return self.present != before


def _kinds() -> list[Host]:
    """The kinds of hosts that there may be here, the one that Qt prefers first."""
    platform = QGuiApplication.platformName()
    if platform != "xcb" and not platform.startswith("wayland"):
        return [_OfSystem()]
    from PySide6.QtDBus import QDBusConnection

    notifier = _StatusNotifierHost() if QDBusConnection.sessionBus().isConnected() else None
    hosts: list[Host] = [] if notifier is None else [notifier]
    if platform == "xcb" and (notifier is None or not notifier.present):
        from whisper_desktop.ui.tray.xembed import XEmbedHost

        hosts.append(XEmbedHost(qt_may_say=notifier is None))
    return hosts or [_OfSystem()]


class _OfSystem:
    """What Qt says: elsewhere than on Linux it is true at any time."""

    binds = False

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None

    @property
    def present(self) -> bool:
        return QSystemTrayIcon.isSystemTrayAvailable()

    def watch(self) -> None:
        """Nobody tells: the slow look has to do."""


class _StatusNotifierHost:
    """The watcher's name on the session bus."""

    binds = True

    def __init__(self) -> None:
        from PySide6.QtDBus import QDBusConnection, QDBusServiceWatcher

        self.changed: Callable[[], None] = lambda: None
        self._bus = QDBusConnection.sessionBus()
        self._watcher: QDBusServiceWatcher | None = None

    @property
    def present(self) -> bool:
        return bool(self._bus.interface().isServiceRegistered(STATUS_NOTIFIER).value())

    def watch(self) -> None:
        from PySide6.QtDBus import QDBusServiceWatcher

        mode = QDBusServiceWatcher.WatchModeFlag.WatchForOwnerChange
        self._watcher = QDBusServiceWatcher(STATUS_NOTIFIER, self._bus, mode)
        self._watcher.serviceOwnerChanged.connect(lambda _name, _old, _new: self.changed())
