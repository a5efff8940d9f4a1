"""Keys that open something from anywhere, by whatever way this system has for that."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.hotkey.activation import use_token
from whisper_desktop.ui.hotkey.shortcut import Shortcut, read_shortcut

if TYPE_CHECKING:
    from whisper_desktop.ui.hotkey.x11 import X11Keys


class _Taken(Protocol):
    """Keys that one system has given us."""

    def start(self, shortcut: Shortcut) -> str: ...

    def stop(self) -> None: ...


class Hotkey(QObject):
    """One shortcut. `keys` are those that work now ("" for none), `trouble` says why none do.

    Signals:
        pressed: the keys were pressed.
        changed: `keys` or `trouble` have changed.
    """

    pressed = Signal()
    changed = Signal()

    def __init__(self, bridge: Bridge, about: str) -> None:
        super().__init__()
        self._bridge = bridge
        self._about = about
        self.keys = ""
        self.trouble = ""
        self._taken: _Taken | None = None
        self._x11: X11Keys | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, shortcut: str) -> str:
        """Take these keys, in place of any before. "" or one sentence that says why that cannot be.

        "" is no promise: on some systems the person is asked first, and `changed` tells the outcome.
        """
        self.stop()
        try:
            wanted = read_shortcut(shortcut)
        except ValueError as error:
            self._settle("", str(error))
            return self.trouble
        way = way_here()
        if way == "none":
            self._settle("", tr("Keys from everywhere are not possible on this screen."))
            return self.trouble
        self._task = self._bridge.spawn(
            self._by_portal(wanted) if way == "portal" else self._take(way, wanted)
        )
        return ""

    def stop(self) -> None:
        """Give the keys back."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._taken is not None:
            self._taken.stop()
        self._taken = self._x11 = None
        self.keys = self.trouble = ""

    def bring_to_front(self, window: QWidget) -> None:
        """The window that the keys have opened gets the focus, also from a window manager that guards it."""
        window.raise_()
        window.activateWindow()
        if self._x11 is not None:
            self._x11.activate(int(window.winId()))

    async def _take(self, way: str, wanted: Shortcut) -> None:
        # The packages behind a way take a while to be read, and nothing may wait for that.
        await self._bridge.run(asyncio.to_thread(import_module, f"whisper_desktop.ui.hotkey.{way}"))
        taken = self._made(way)
        trouble = taken.start(wanted)
        if not trouble:
            self._taken = taken
        self._settle("" if trouble else str(wanted), trouble)

    def _made(self, way: str) -> _Taken:
        if way == "x11":
            from whisper_desktop.ui.hotkey.x11 import X11Keys

            self._x11 = X11Keys(self.pressed.emit, self._lost)
            return self._x11
        if way == "windows":
            from whisper_desktop.ui.hotkey.windows import WindowsKeys

            return WindowsKeys(self.pressed.emit)
        from whisper_desktop.ui.hotkey.macos import MacKeys

        return MacKeys(self.pressed.emit)

    async def _by_portal(self, wanted: Shortcut) -> None:
        await self._bridge.run(asyncio.to_thread(import_module, "whisper_desktop.ui.hotkey.portal"))
        from whisper_desktop.ui.hotkey.portal import Bound, NoKeys, presses

        try:
            async with aclosing(self._bridge.stream(presses(wanted, self._about))) as batches:
                async for batch in batches:
                    for news in batch:
                        if isinstance(news, Bound):
                            self._settle(news.keys, "")
                        else:
                            use_token(news.token)
                            self.pressed.emit()
        except NoKeys as error:
            self._settle("", str(error))

    def _lost(self, trouble: str) -> None:
        self.stop()
        self._settle("", trouble)

    def _settle(self, keys: str, trouble: str) -> None:
        self.keys, self.trouble = keys, trouble
        self.changed.emit()


def way_here() -> str:
    """By which module keys can be had here: "x11", "portal", "windows", "macos", or "none"."""
    if sys.platform == "win32":
        return "windows"
    if sys.platform == "darwin":
        return "macos"
    return linux_way(QGuiApplication.platformName(), os.environ.get)


def linux_way(platform: str, env: Callable[[str], str | None]) -> str:
    """The same on Linux: under Wayland, X11 only tells of keys that go to its own windows."""
    if platform not in ("xcb", "wayland", "wayland-egl"):
        return "none"
    wayland = platform != "xcb" or env("XDG_SESSION_TYPE") == "wayland" or bool(env("WAYLAND_DISPLAY"))
    return "portal" if wayland else "x11"
