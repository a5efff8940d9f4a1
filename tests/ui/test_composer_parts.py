"""The parts of the chat window that are out of sight at first, as somebody meets them who cannot see them,
sees little, or reads another language.
"""

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QPalette
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Shown, Waiter
from tests.ui.test_every_window import is_untranslated
from tests.ui.walk import PseudoLanguage, clipped, unclear, words_of
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.chat.context import ContextUse
from whisper_desktop.chat.personas import Prompt
from whisper_desktop.chat.records import Attachment, Draft
from whisper_desktop.language import use_catalogue
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.compare import CompareView
from whisper_desktop.ui.chat.composer import Composer
from whisper_desktop.ui.chat.parameters_panel import ParametersPanel
from whisper_desktop.ui.chat.tree_panel import TreePanel
from whisper_desktop.ui.personas import PersonasDialog
from whisper_desktop.ui.theme import plain_palette
from whisper_desktop.ui.window import AppWindow

NOTES = Attachment("a" * 64, "1.txt", "text/plain", 2048, "some notes")
ASKING = Prompt("1", "{{a}} {{b}}")

Make = Callable[[], QWidget]


@pytest.fixture(params=["composer", "parameters", "compare", "tree", "personas"])
def make(
    request: pytest.FixtureRequest, bridge: Bridge, app: App, wait: Waiter, shown: Shown, qtbot: QtBot
) -> Make:
    """Makes one of the parts, with everything in sight that it can show."""
    session: Session = wait(bridge.run(app.chats.new()))

    def composer(_window: AppWindow) -> QWidget:
        made = Composer()
        made.set_draft(Draft("1", (NOTES,)))
        made.show_context(ContextUse(20_000, 16_000), ContextUse(10, 16_000), "")
        return made

    def parameters(window: AppWindow) -> QWidget:
        made = ParametersPanel(bridge, app, window.spawn)
        made.follow(session)
        for field in made.fields.values():
            field.tick.click()
        return made

    def compare(window: AppWindow) -> QWidget:
        made = CompareView(bridge, app, window.spawn)
        made.begin(session, ())  # whose words are somebody else's
        return made

    def tree(_window: AppWindow) -> QWidget:
        made = TreePanel()
        made.follow(session)
        return made

    def personas(_window: AppWindow) -> QWidget:
        return PersonasDialog(bridge, app)

    makers: dict[str, Callable[[AppWindow], QWidget]] = {
        "composer": composer,
        "parameters": parameters,
        "compare": compare,
        "tree": tree,
        "personas": personas,
    }

    def placed() -> QWidget:
        window = shown(AppWindow("chat", "", bridge))
        window.resize(1400, 1200)
        window.setAutoFillBackground(True)
        in_the_middle = request.param in ("composer", "compare")
        window.setBackgroundRole(QPalette.ColorRole.Base if in_the_middle else QPalette.ColorRole.Window)
        made = makers[request.param](window)
        if isinstance(made, PersonasDialog):
            made.show()
            qtbot.waitUntil(lambda: made.list.count() > 0, timeout=WAIT)
            request.addfinalizer(made.close)
            return made
        made.setParent(window)
        made.resize(made.sizeHint().expandedTo(made.minimumSizeHint()).expandedTo(made.minimumSize()))
        made.show()
        return window

    return placed


def test_every_control_that_takes_the_focus_has_a_name(make: Make) -> None:
    window = make()
    nameless = []
    for widget in window.findChildren(QWidget):
        of_qt = widget.window() is not window or widget.objectName().startswith("qt_")
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or of_qt or type(widget) is QScrollArea:
            continue
        interface = QAccessible.queryAccessibleInterface(widget)
        if interface is not None and not interface.text(QAccessible.Text.Name):
            nameless.append(type(widget).__name__)
    assert nameless == []


def test_no_word_is_clipped_when_the_font_is_twice_as_large(
    make: Make, qapp: QApplication, qtbot: QtBot
) -> None:
    usual, large = qapp.font(), qapp.font()
    large.setPointSizeF(usual.pointSizeF() * 2)
    qapp.setFont(large)
    try:
        window = make()
        qtbot.waitUntil(lambda: clipped(window) == [])
    finally:
        qapp.setFont(usual)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_can_be_read_against_what_is_behind_it(make: Make, dark: bool, qapp: QApplication) -> None:
    usual = qapp.palette()
    qapp.setPalette(plain_palette(dark=dark))
    try:
        assert unclear(make()) == []
    finally:
        qapp.setPalette(usual)


def test_every_word_is_said_in_the_language_in_use(make: Make) -> None:
    use_catalogue("xx", PseudoLanguage())
    try:
        bare = [each for each in words_of(make()) if is_untranslated(each.text)]
        assert bare == []
    finally:
        use_catalogue("en", None)
