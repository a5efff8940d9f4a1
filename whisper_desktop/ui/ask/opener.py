"""What opens Quick ask from anywhere: holds the keys, follows their setting, says why they do not work."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from whisper_desktop.events import Notice
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.hotkey.hotkey import Hotkey
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.ui.ask.window import QuickAskWindow

log = logging.getLogger("whisper_desktop.ui")


class QuickAsk(QObject):
    """`on_open` shows the window and returns it.

    Signals:
        changed: `keys` or `trouble` have changed.
    """

    changed = Signal()

    def __init__(self, bridge: Bridge, app: "App", on_open: Callable[[], AppWindow]) -> None:
        super().__init__()
        self._app = app
        self._on_open = on_open
        self._wanted: str | None = None
        self._told = ""
        self._by_person = False
        self._window: QuickAskWindow | None = None
        self._hotkey = Hotkey(bridge, tr("Open Quick ask"))
        self._hotkey.pressed.connect(self.open)
        self._hotkey.changed.connect(self._on_changed)

    @property
    def keys(self) -> str:
        """The keys that open it now; "" where none do."""
        return self._hotkey.keys

    @property
    def trouble(self) -> str:
        """One sentence that says why none do, though some are set; "" else."""
        return self._hotkey.trouble

    def use(self, shortcut: str | None) -> None:
        """Have these keys open it from now on; None: no keys. The same ones again change nothing."""
        if shortcut == self._wanted:
            return
        self._by_person, self._wanted = self._wanted is not None, shortcut
        if shortcut is None:
            self._hotkey.stop()
            self._on_changed()
        else:
            self._hotkey.start(shortcut)

    def open(self) -> None:
        """Show the window, in front of whatever the person was doing."""
        self._hotkey.bring_to_front(self._on_open())

    def attend(self, window: AppWindow) -> None:
        """This window was opened, by whatever way: Quick ask's own says why the keys do not work."""
        if window.kind == "ask":
            from whisper_desktop.ui.ask.window import QuickAskWindow

            assert isinstance(window, QuickAskWindow)
            if window is not self._window:
                window.closed.connect(self._on_closed)
            self._window = window
            window.show_trouble(self.trouble)

    def stop(self) -> None:
        """Give the keys back."""
        self._hotkey.stop()

    def _on_closed(self) -> None:
        self._window = None

    def _on_changed(self) -> None:
        trouble = self._hotkey.trouble
        if trouble and trouble != self._told:
            self._told = trouble
            log.info("The keys for Quick ask do not work: %s", trouble)
            # At each start that would be a nuisance: the window says it then. Who sets keys wants to know.
            if self._by_person:
                self._app.bus.publish(Notice(tr("The keys for Quick ask do not work."), trouble))
        if self._window is not None:
            self._window.show_trouble(trouble)
        self.changed.emit()
