"""The app's mark in its states, from `resources/icons/` (drawn by `packaging/icons.py`)."""

import sys

from PySide6.QtGui import QIcon

from whisper_desktop.settings.paths import resource

_STATES = {"starting": "starting", "ready": "ready", "working": "working", "needs_attention": "attention"}


def app_icon() -> QIcon:
    """The icon of windows."""
    return QIcon(str(resource("icons", "whisper.svg")))


def tray_icon(activity: str, *, platform: str = sys.platform) -> QIcon:
    """The tray icon for an `AppState.activity`.

    macOS wants a mask that it colours itself. Elsewhere the panel's colour is not the colour of our windows,
    so the icon brings its own, which can be seen on light and on dark panels.
    """
    state = _STATES[activity]
    if platform == "darwin":
        icon = QIcon(str(resource("icons", f"tray-{state}-dark.svg")))
        icon.setIsMask(True)
        return icon
    return QIcon(str(resource("icons", f"tray-{state}-color.svg")))
