"""The panels of the chat window and two side by side, as they stand in the window, by keyboard."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Chats, Shown
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.composer_panels import SidePanels
from whisper_desktop.ui.chat.window import ChatWindow


@pytest.fixture
def window(app: App, bridge: Bridge, shown: Shown, chats: Chats, qtbot: QtBot) -> ChatWindow:
    """A chat with two questions in it."""
    window = shown(ChatWindow(bridge, app))
    conversation = chats("Lisbon", "Where to go?", "By train?")
    window.open_chat(conversation)
    qtbot.waitUntil(lambda: window.model.rowCount() == 4, timeout=WAIT)
    return window


def side(window: ChatWindow) -> SidePanels:
    assert window.side is not None
    return window.side


def session(window: ChatWindow) -> Session:
    assert window.conversation is not None
    return window.conversation.session


def send(window: ChatWindow, text: str) -> None:
    window.composer.editor.setPlainText(text)
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)


def shown_texts(window: ChatWindow) -> list[str]:
    return [window.model.row(number).text for number in range(0, window.model.rowCount(), 2)]


def test_the_last_question_is_worded_otherwise_by_up(window: ChatWindow, qtbot: QtBot) -> None:
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Up)
    assert window.composer.editor.toPlainText() == "By train?"
    send(window, "By bus?")
    qtbot.waitUntil(lambda: window.model.row(2).branch == (1, 2), timeout=WAIT)
    assert shown_texts(window) == ["Where to go?", "By bus?"]


def test_a_branch_is_gone_to_in_the_tree_by_keyboard(window: ChatWindow, qtbot: QtBot) -> None:
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Up)
    send(window, "By bus?")
    qtbot.waitUntil(lambda: window.model.row(2).branch == (1, 2), timeout=WAIT)
    QTest.keyClick(window, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    tree = side(window).tree
    assert tree is not None
    changed = tree.model.index_of(session(window).path[2].id)
    qtbot.waitUntil(lambda: tree.tree.hasFocus(), timeout=WAIT)
    tree.tree.setCurrentIndex(changed)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(tree.tree, key)
    qtbot.waitUntil(lambda: shown_texts(window) == ["Where to go?", "By train?"], timeout=WAIT)


def test_the_tree_grows_with_the_chat(window: ChatWindow, qtbot: QtBot) -> None:
    side(window).toggle("tree")
    tree = side(window).tree
    assert tree is not None
    send(window, "And back?")
    qtbot.waitUntil(lambda: tree.model.rowCount() == 6, timeout=WAIT)


def test_the_settings_follow_the_chat_that_is_shown(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    side(window).toggle("parameters")
    panel = side(window).parameters
    assert panel is not None
    panel.system.setFocus()
    QTest.keyClicks(panel.system, "Be brief.")
    first = session(window)
    window.open_chat(chats("Porto"))
    qtbot.waitUntil(lambda: session(window) is not first, timeout=WAIT)
    assert panel.system.toPlainText() == ""
    qtbot.waitUntil(lambda: first.wishes.system == "Be brief.", timeout=WAIT)


def test_two_are_asked_and_the_chat_goes_on_with_one(window: ChatWindow, qtbot: QtBot) -> None:
    side(window).toggle("compare")
    assert window.compare is not None
    send(window, "Both?")
    qtbot.waitUntil(lambda: window.compare is not None and not window.compare.busy, timeout=WAIT)
    assert window.composer.button.text() == "Send"
    window.compare.columns[1].pick.click()
    qtbot.waitUntil(lambda: window.model.rowCount() == 6, timeout=WAIT)
    assert window.model.row(5).branch == (1, 2)
    assert not window.compare.isVisible()


def test_another_chat_ends_comparing_and_nothing_is_lost(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    side(window).toggle("compare")
    send(window, "Both?")
    first = session(window)
    window.open_chat(chats("Porto"))
    qtbot.waitUntil(lambda: session(window) is not first, timeout=WAIT)
    qtbot.waitUntil(lambda: not first.answering, timeout=WAIT)
    assert len(first.nodes) == 7
    window.open_chat(first.id)
    qtbot.waitUntil(lambda: shown_texts(window) == ["Where to go?", "By train?", "Both?"], timeout=WAIT)
