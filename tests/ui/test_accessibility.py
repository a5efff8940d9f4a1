"""Every window: what takes the focus has a name, and nothing is clipped at a font twice as large."""

from collections.abc import Callable
from functools import partial

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.conftest import Shown
from tests.ui.test_entries import CHOICES, READY
from whisper_desktop.app import App
from whisper_desktop.errors import WhisperError
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.fatal import FatalWindow
from whisper_desktop.ui.logs.window import LogsWindow
from whisper_desktop.ui.models.window import ModelsWindow
from whisper_desktop.ui.settings.window import SettingsWindow
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.ui.wizard.window import SetupWindow

Make = Callable[[Bridge, App], AppWindow]

WINDOWS: dict[str, Make] = {
    "chat": lambda bridge, app: ChatWindow(bridge, app.open_session()),
    "guide": lambda bridge, app: ChatWindow(bridge, app.open_session(guide=True)),
    "models": ModelsWindow,
    "setup": SetupWindow,
    "settings": SettingsWindow,
    "logs": LogsWindow,
    "fatal": lambda bridge, _app: FatalWindow(bridge, WhisperError("It broke.", "Because.", "Do this.")),
}


@pytest.fixture(params=WINDOWS)
def window(request: pytest.FixtureRequest, bridge: Bridge, app: App, shown: Shown) -> AppWindow:
    """Each window of the app in turn."""
    window = WINDOWS[request.param](bridge, app)
    window.show_state(READY, CHOICES)
    return shown(window)


def test_every_control_that_takes_the_focus_has_a_name(window: AppWindow) -> None:
    nameless = []
    for widget in window.findChildren(QWidget):
        inside_another = widget.window() is not window or widget.objectName().startswith("qt_")
        empty = isinstance(widget, QLabel) and not widget.text()
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or inside_another or empty:
            continue
        interface = QAccessible.queryAccessibleInterface(widget)
        plain_area = type(widget) is QAbstractScrollArea or type(widget).__name__ == "QScrollArea"
        if interface is not None and not plain_area and not interface.text(QAccessible.Text.Name):
            nameless.append(f"{type(widget).__name__} {widget.objectName()}")
    assert nameless == []


def test_the_whole_window_can_be_walked_by_tab(window: AppWindow, qtbot: QtBot) -> None:
    wanted = {
        button for button in window.findChildren(QPushButton) if button.isVisible() and button.isEnabled()
    }
    reached: set[QWidget] = set()
    widget = window
    for _ in range(200):
        widget = widget.nextInFocusChain()  # type: ignore[assignment]
        reached.add(widget)
    assert wanted <= reached


def clipped(window: AppWindow) -> list[str]:
    """The words that have less room than they need."""
    buttons = [each for each in window.findChildren(QPushButton) if each.isVisible()]
    labels = [each for each in window.findChildren(QLabel) if each.isVisible() and not each.wordWrap()]
    narrow = [button.text() for button in buttons if button.width() < button.minimumSizeHint().width()]
    return narrow + [label.text() for label in labels if label.width() < label.sizeHint().width()]


def test_no_word_is_clipped_when_the_font_is_twice_as_large(
    bridge: Bridge, app: App, shown: Shown, qapp: QApplication, qtbot: QtBot
) -> None:
    usual = qapp.font()
    large = qapp.font()
    large.setPointSizeF(usual.pointSizeF() * 2)
    qapp.setFont(large)
    try:
        for make in WINDOWS.values():
            window = shown(make(bridge, app))
            window.show_state(READY, CHOICES)
            qtbot.waitUntil(partial(_fits, window))
    finally:
        qapp.setFont(usual)


def _fits(window: AppWindow) -> None:
    assert clipped(window) == []
