"""The XEmbed tray host: whoever owns the selection `_NET_SYSTEM_TRAY_S<screen>`.

https://specifications.freedesktop.org/systemtray-spec/latest/. Word of a new owner comes by the XFIXES
extension, on a connection of its own: Qt does not pass it on.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QSocketNotifier
from PySide6.QtWidgets import QSystemTrayIcon

if TYPE_CHECKING:
    from Xlib.display import Display


class XEmbedHost:
    """`qt_may_say`: asking Qt does no harm (it would settle for XEmbed), so it is asked until `watch`."""

    def __init__(self, *, qt_may_say: bool) -> None:
        self.binds = not qt_may_say
        self.changed: Callable[[], None] = lambda: None
        self._display: Display | None = None
        self._notifier: QSocketNotifier | None = None
        self._selection = 0
        if not qt_may_say:
            self._connect()

    def _connect(self) -> None:
        from Xlib import error
        from Xlib.display import Display

        try:
            display = Display()
            self._selection = display.intern_atom(f"_NET_SYSTEM_TRAY_S{display.get_default_screen()}")
        except (error.DisplayError, error.ConnectionClosedError, OSError):  # Qt says what it knows
            return
        self._display = display

    @property
    def present(self) -> bool:
        if self._display is None:
            return QSystemTrayIcon.isSystemTrayAvailable()
        return bool(self._display.get_selection_owner(self._selection))

    def watch(self) -> None:
        from Xlib.ext import xfixes

        if self._display is None:
            self._connect()
        if self._display is None or not self._display.has_extension("XFIXES"):
            return
        self._display.xfixes_query_version()
        root = self._display.screen().root
        every_change = (
            xfixes.XFixesSetSelectionOwnerNotifyMask
            | xfixes.XFixesSelectionWindowDestroyNotifyMask
            | xfixes.XFixesSelectionClientCloseNotifyMask
        )
        self._display.xfixes_select_selection_input(root, self._selection, every_change)
        self._display.flush()
        self._notifier = QSocketNotifier(self._display.fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._read)

    def _read(self) -> None:
        assert self._display is not None
        while self._display.pending_events():
            self._display.next_event()
        self.changed()
