"""The app's mark in its states, from `resources/icons/` (drawn by `packaging/icons.py`)."""

import os
import sys

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter

from whisper_desktop.settings.paths import resource

_STATES = {
    "starting": "starting",
    "ready": "ready",
    "working": "working",
    "downloading": "downloading",
    "needs_attention": "attention",
}
_GRID = 16
_BAR = QRectF(0.75, 12.5, 14.5, 3.0)  # on the grid: the place that `packaging/icons.py` keeps free for it
_SIZES = (16, 22, 24, 32, 44, 48, 64, 96)  # px: what panels ask for, once and twice as dense
_INKS = {"color": QColor("#3f73e0"), "dark": QColor("#24292f"), "light": QColor("#f4f5f7")}
_STEP = 5  # percent: the bar has no more places than that at 16 px


def app_icon() -> QIcon:
    """The icon of windows."""
    return QIcon(str(resource("icons", "whisper.svg")))


def window_icon(activity: str) -> QIcon:
    """The icon of a window that shows a state, in colour."""
    return _icon(activity, "color", None)


def tray_icon(
    activity: str, *, percent: int | None = None, setting: str = "system", platform: str = sys.platform
) -> QIcon:
    """The tray icon for an `AppState.activity`, or "downloading" with how far.

    macOS wants a mask that it colours itself. Elsewhere the panel's colour is not the colour of our windows;
    `setting` is `ui.tray_icon`.
    """
    if platform == "darwin":
        icon = _icon(activity, "dark", percent)
        icon.setIsMask(True)
        return icon
    hints = QGuiApplication.styleHints()
    dark = hints.colorScheme() == Qt.ColorScheme.Dark
    return _icon(activity, ink(setting, os.environ.get("XDG_CURRENT_DESKTOP", ""), dark=dark), percent)


def ink(setting: str, desktop: str, *, dark: bool) -> str:
    """Which of the inks can be seen on the panel: `light` on a dark one, `dark` on a light one.

    GNOME's bar is dark in both schemes, and KDE's panel follows the scheme (`dark`). Of other panels nothing
    is known, and in colour the icon can be seen on both kinds.
    """
    if setting != "system":
        return setting
    names = desktop.upper().split(":")
    if "GNOME" in names:
        return "light"
    if "KDE" in names:
        return "light" if dark else "dark"
    return "color"


def _icon(activity: str, ink: str, percent: int | None) -> QIcon:
    icon = QIcon(str(resource("icons", f"tray-{_STATES[activity]}-{ink}.svg")))
    return icon if percent is None else _with_bar(icon, _INKS[ink], percent)


def _with_bar(icon: QIcon, color: QColor, percent: int) -> QIcon:
    """The icon with its bar filled so far, in whole pixels of each size."""
    filled = QIcon()
    share = min(100, max(0, percent)) // _STEP * _STEP / 100
    for size in _SIZES:
        picture = icon.pixmap(QSize(size, size), 1.0)
        unit = size / _GRID
        painter = QPainter(picture)
        width = round(_BAR.width() * unit * share)
        bar = QRectF(round(_BAR.x() * unit), round(_BAR.y() * unit), width, round(_BAR.height() * unit))
        painter.fillRect(bar, color)
        painter.end()
        filled.addPixmap(picture)
    return filled
