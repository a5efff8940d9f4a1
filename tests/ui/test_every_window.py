"""Every window, as somebody meets it who cannot see it, sees little, or reads another language."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.conftest import Shown
from tests.ui.test_entries import CHOICES, READY
from tests.ui.walk import PseudoLanguage, Words, clipped, unclear, words_of
from whisper_desktop.app import App
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import use_catalogue
from whisper_desktop.ui.ask.window import QuickAskWindow
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.empty import GUIDE_STARTERS  # the guide only knows English
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.fatal import FatalWindow
from whisper_desktop.ui.logs.window import LogsWindow
from whisper_desktop.ui.models.window import ModelsWindow
from whisper_desktop.ui.settings.window import SettingsWindow
from whisper_desktop.ui.theme import plain_palette
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.ui.wizard.window import SetupWindow

Make = Callable[[Bridge, App], AppWindow]

WINDOWS: dict[str, Make] = {
    "chat": ChatWindow,
    "guide": lambda bridge, app: ChatWindow(bridge, app, guide=True),
    "ask": QuickAskWindow,
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_can_be_read_against_what_is_behind_it(
    dark: bool, bridge: Bridge, app: App, shown: Shown, qapp: QApplication
) -> None:
    usual = qapp.palette()
    qapp.setPalette(plain_palette(dark=dark))
    try:
        found = {}
        for name, make in WINDOWS.items():
            window = shown(make(bridge, app))
            window.show_state(READY, CHOICES)
            found[name] = unclear(window)
        assert found == {name: [] for name in WINDOWS}
    finally:
        qapp.setPalette(usual)


SAME_EVERYWHERE = re.compile(
    r"Whisper Desktop|LM Studio|Ollama|OpenRouter|OpenAI|Anthropic|Google Gemini|llama\.cpp|llama-server|GGUF"
    r"|Ctrl|Alt|Shift|Space|Esc|Tab|Enter|F\d|Qwen[^ ]*|English|Deutsch|Español|Français|config\.yaml"
    r"|Markdown|JSON|HTML|PDF|GB|MB|kB|tok/s|KV|https?:[^ ]*|whisper-desktop[^`]*"
    r"|/[^ ]*|~[^ ]*|v?\d[^ ]*|[a-z_]+\.[a-z_.]+"
)
"""Names, keys, units, addresses and figures."""


def test_every_word_is_said_in_the_language_in_use(
    bridge: Bridge, app: App, shown: Shown, qtbot: QtBot
) -> None:
    use_catalogue("xx", PseudoLanguage())
    try:
        bare: dict[str, list[Words]] = {}
        for name, make in WINDOWS.items():
            if name == "fatal":  # shows an error, which somebody else has said
                continue
            window = shown(make(bridge, app))
            said = [each for each in words_of(window) if each.text not in GUIDE_STARTERS]
            bare[name] = [each for each in said if is_untranslated(each.text)]
        assert bare == {name: [] for name in bare}
    finally:
        use_catalogue("en", None)


def is_untranslated(text: str) -> bool:
    """Whether words are left when everything in brackets, and what is the same everywhere, is taken away."""
    left = re.sub(r"⟦[^⟦⟧]*⟧", "", text)
    while left != text:
        text, left = left, re.sub(r"⟦[^⟦⟧]*⟧", "", left)
    return any(len(word) > 1 for word in re.findall(r"[^\W\d_]+", SAME_EVERYWHERE.sub("", left)))


def test_every_window_can_be_read_from_right_to_left(
    bridge: Bridge, app: App, shown: Shown, qapp: QApplication, qtbot: QtBot
) -> None:
    qapp.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    try:
        for make in WINDOWS.values():
            window = shown(make(bridge, app))
            window.show_state(READY, CHOICES)
            qtbot.waitUntil(partial(_fits, window))
            window.grab()
    finally:
        qapp.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
