"""Many conversations in one window: switching, drafts and places, branches, answers that nobody sees."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Sequence

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu, QPlainTextEdit, QScrollArea
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Chats, Shown, answering, completion
from whisper_desktop.app import App, BackendChoice
from whisper_desktop.chat import Session
from whisper_desktop.errors import Interrupted
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.conversation import Conversation
from whisper_desktop.ui.chat.rows import Kind
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.chat.window_shortcuts import SHORTCUTS, ShortcutsSheet
from whisper_desktop.values import AnswerFinished, Message, Reach, StreamEvent, TextDelta


@pytest.fixture
def window(app: App, bridge: Bridge, shown: Shown, qtbot: QtBot) -> ChatWindow:
    window = shown(ChatWindow(bridge, app))
    qtbot.waitUntil(lambda: window.conversation is not None, timeout=WAIT)
    return window


def conversation_of(window: ChatWindow) -> Conversation:
    assert window.conversation is not None
    return window.conversation


def settled(window: ChatWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: window.conversation is not None and not window.conversation.busy, timeout=WAIT)


def opened(window: ChatWindow, conversation: str, qtbot: QtBot) -> None:
    window.open_chat(conversation)
    qtbot.waitUntil(lambda: conversation_of(window).session.id == conversation, timeout=WAIT)


def texts(window: ChatWindow) -> list[str]:
    return [window.model.row(number).text for number in range(window.model.rowCount())]


class Slow:
    """An answer that goes on word by word until it is `enough`."""

    def __init__(self) -> None:
        self.enough = False

    async def __call__(
        self, session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        while not self.enough:
            yield TextDelta("word ")
            await asyncio.sleep(0.001)
        yield AnswerFinished(completion("word"))


# --- switching ---------------------------------------------------------------------------------------------


def test_switching_to_another_chat_does_not_stop_the_answer(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    other = chats("Lisbon", "By train?")
    slow = Slow()
    session = Session(slow)
    window.show_session(session)
    window.ask("Go on")
    qtbot.waitUntil(lambda: "word" in window.model.row(1).text, timeout=WAIT)
    opened(window, other, qtbot)
    assert texts(window)[0] == "By train?"
    assert window.composer.button.text() == "Send"
    before = len(session.path[-1].text)
    qtbot.waitUntil(lambda: len(session.path[-1].text) > before, timeout=WAIT)

    window.open_chat(session.id)
    assert texts(window)[0] == "Go on"
    assert window.composer.button.text() == "Stop"
    ahead: list[int] = []
    window.model.dataChanged.connect(
        lambda: ahead.append(len(window.model.row(1).text) - len(session.path[-1].text))
    )
    qtbot.waitUntil(lambda: len(ahead) > 3, timeout=WAIT)
    assert max(ahead) <= 0, "words are shown twice"
    slow.enough = True
    settled(window, qtbot)
    assert window.model.row(1).text == session.path[-1].text
    assert not window.model.row(1).active


def test_an_answer_that_ended_elsewhere_is_marked_in_the_list_and_told(
    window: ChatWindow, app: App, chats: Chats, bridge: Bridge, qtbot: QtBot
) -> None:
    first, other = chats("First"), chats("Lisbon")
    opened(window, first, qtbot)
    window.activateWindow()
    session = conversation_of(window).session
    slow = Slow()
    session._ask = slow  # the session of the core, with an answer that takes as long as the test wants
    window.ask("Go on")
    qtbot.waitUntil(lambda: "word" in window.model.row(3).text, timeout=WAIT)
    opened(window, other, qtbot)
    assert window.sidebar is not None
    list_model = window.sidebar.model
    spoken = Qt.ItemDataRole.AccessibleTextRole
    qtbot.waitUntil(lambda: list_model.index_of(first).data(spoken) == "First, being answered", timeout=WAIT)
    slow.enough = True
    qtbot.waitUntil(lambda: list_model.index_of(first).data(spoken) == "First, new answer", timeout=WAIT)
    opened(window, first, qtbot)
    assert list_model.index_of(first).data(spoken) == "First"
    assert len(texts(window)) == 4


def test_an_answer_that_ended_behind_is_told_to_the_desktop(window: ChatWindow, qtbot: QtBot) -> None:
    slow = Slow()
    session = Session(slow)
    window.show_session(session)
    window.ask("Go on")
    qtbot.waitUntil(lambda: "word" in window.model.row(1).text, timeout=WAIT)
    window.close()
    with qtbot.waitSignal(window.finished_behind, timeout=WAIT) as said:
        slow.enough = True
    assert said.args == ["Go on", "The answer is complete.", session.id]


def test_an_answer_that_another_window_asked_for_is_followed(
    window: ChatWindow, app: App, chats: Chats, bridge: Bridge, qtbot: QtBot
) -> None:
    made = chats("Shared")
    session = chats.do(app.chats.open(made))
    slow = Slow()
    session._ask = slow
    elsewhere = bridge.run(_drain(session))
    qtbot.waitUntil(lambda: session.answering, timeout=WAIT)
    opened(window, made, qtbot)
    assert window.composer.button.text() == "Stop"
    before = len(texts(window)[3])
    qtbot.waitUntil(lambda: len(texts(window)[3]) > before, timeout=WAIT)
    slow.enough = True
    settled(window, qtbot)
    assert not window.model.row(3).active
    qtbot.waitUntil(elsewhere.done, timeout=WAIT)


async def _drain(session: Session) -> None:
    async for _event in session.send("From elsewhere"):
        pass


# --- drafts ------------------------------------------------------------------------------------------------


def test_a_draft_waits_in_its_chat(window: ChatWindow, chats: Chats, app: App, qtbot: QtBot) -> None:
    first, second = chats("First"), chats("Second")
    opened(window, first, qtbot)
    window.composer.editor.setPlainText("not sent yet")
    opened(window, second, qtbot)
    assert window.composer.editor.toPlainText() == ""
    opened(window, first, qtbot)
    assert window.composer.editor.toPlainText() == "not sent yet"


def test_a_draft_is_kept_when_the_window_is_put_away(
    window: ChatWindow, chats: Chats, app: App, qtbot: QtBot
) -> None:
    first = chats("First")
    opened(window, first, qtbot)
    window.composer.editor.setPlainText("not sent yet")
    window.leave()
    session = chats.do(app.chats.open(first))
    qtbot.waitUntil(lambda: session.conversation.draft.text == "not sent yet", timeout=WAIT)


def test_where_a_person_was_reading_is_found_again(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    long = chats("Long", *(f"Question {number}? " + "word " * 300 for number in range(6)))
    other = chats("Other")
    opened(window, long, qtbot)
    bar = window.view.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 0, timeout=WAIT)
    bar.setValue(bar.maximum() // 2)
    place = window.view.place()
    assert place is not None
    opened(window, other, qtbot)
    opened(window, long, qtbot)
    qtbot.waitUntil(lambda: window.view.place() is not None, timeout=WAIT)
    found = window.view.place()
    assert found is not None
    assert found.message == place.message
    assert found.above == pytest.approx(place.above, abs=0.02)


def test_a_conversation_that_nobody_holds_is_let_go(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    first, second = chats("First"), chats("Second")
    opened(window, first, qtbot)
    window.ask("And?")
    settled(window, qtbot)
    gone = weakref.ref(conversation_of(window))
    opened(window, second, qtbot)
    qtbot.waitUntil(lambda: gone() is None, timeout=WAIT)


def test_what_was_sent_is_no_draft_any_more(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("First"), qtbot)
    QTest.keyClicks(window.composer.editor, "Hello")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    settled(window, qtbot)
    window.drafts.keep()
    session = conversation_of(window).session
    qtbot.waitUntil(lambda: session.conversation.draft.text == "", timeout=WAIT)


# --- branches ----------------------------------------------------------------------------------------------


def test_changing_an_earlier_question_makes_a_branch_and_leads_back(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    opened(window, chats("Trip", "By train?", "And then?"), qtbot)
    window.composer.editor.setPlainText("a draft")
    window.view.action.emit(0, "edit", None)
    assert window.editing_bar.isVisible()
    assert window.composer.editor.toPlainText() == "By train?"
    window.composer.editor.setPlainText("By plane?")
    window.drafts.keep()
    session = conversation_of(window).session
    qtbot.waitUntil(lambda: session.conversation.draft.text == "a draft", timeout=WAIT)
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    settled(window, qtbot)
    assert len(texts(window)) == 2
    assert texts(window)[0] == "By plane?"
    assert window.model.row(0).branch == (1, 2)
    assert not window.editing_bar.isVisible()
    assert window.composer.editor.toPlainText() == "a draft"
    window.view.action.emit(0, "branch_back", None)
    qtbot.waitUntil(lambda: len(texts(window)) == 4, timeout=WAIT)
    assert texts(window)[0] == "By train?"


def test_a_question_that_is_changed_is_sent_although_another_branch_is_shown(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    opened(window, chats("Trip", "By train?"), qtbot)
    window.view.action.emit(0, "edit", None)
    window.composer.editor.setPlainText("By plane?")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: texts(window)[0] == "By plane?", timeout=WAIT)
    settled(window, qtbot)
    window.view.action.emit(0, "edit", None)
    window.view.action.emit(0, "branch_back", None)
    qtbot.waitUntil(lambda: texts(window)[0] == "By train?", timeout=WAIT)
    window.composer.editor.setPlainText("By boat?")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: texts(window)[0] == "By boat?", timeout=WAIT)
    settled(window, qtbot)
    assert window.model.row(0).branch == (2, 3)


def test_a_changed_question_is_asked_although_the_one_there_was_is_deleted(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    opened(window, chats("Trip", "By train?", "And then?"), qtbot)
    conversation = conversation_of(window)
    window.view.action.emit(2, "edit", None)
    conversation.remove(window.model.row(2).node)
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    window.composer.editor.setPlainText("By boat?")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.model.rowCount() == 4, timeout=WAIT)
    settled(window, qtbot)
    assert texts(window)[2] == "By boat?"


def test_changing_a_question_can_be_left_with_escape(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("Trip", "By train?"), qtbot)
    window.composer.editor.setPlainText("a draft")
    window.view.action.emit(0, "edit", None)
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Escape)
    assert not window.editing_bar.isVisible()
    assert window.composer.editor.toPlainText() == "a draft"
    assert len(texts(window)) == 2


def test_another_answer_stands_beside_the_first_one(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("Trip", "By train?", "And then?"), qtbot)
    window.view.action.emit(1, "regenerate", None)
    settled(window, qtbot)
    assert len(texts(window)) == 2
    assert window.model.row(1).branch == (1, 2)
    window.view.action.emit(1, "branch_back", None)
    qtbot.waitUntil(lambda: len(texts(window)) == 4, timeout=WAIT)
    assert window.model.row(1).branch == (0, 2)


CHOICES = (
    BackendChoice(None, "Automatic", "Ollama", "ready", None, True),
    BackendChoice("ollama", "Ollama", "ready", "ready", Reach.THIS_MACHINE, False, ("big", "small")),
)


def entry(menu: QMenu, *path: str) -> QAction:
    found = next(action for action in menu.actions() if action.text().partition("\t")[0] == path[0])
    inside = found.menu()
    return entry(inside, *path[1:]) if len(path) > 1 and isinstance(inside, QMenu) else found


def test_another_answer_can_come_from_another_model(window: ChatWindow, qtbot: QtBot) -> None:
    asked: list[tuple[str | None, str | None]] = []

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        asked.append((session.backend, session.model))
        yield TextDelta("ok")
        yield AnswerFinished(completion("ok"))

    session = Session(ask)
    window.show_session(session)
    window.show_state(window._app.state(), CHOICES)
    window.ask("Who?")
    settled(window, qtbot)
    window.view.action.emit(1, "regenerate_with", None)
    menu = next(each for each in window.findChildren(QMenu) if each.isVisible())
    entry(menu, "Ollama", "small").trigger()
    menu.close()
    settled(window, qtbot)
    assert asked == [(None, None), ("ollama", "small")]
    assert session.backend is None


def test_an_answer_that_was_stopped_is_gone_on_with_in_its_place(window: ChatWindow, qtbot: QtBot) -> None:
    calls: list[bool] = []

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        calls.append(session.goes_on)
        yield TextDelta(" and the rest." if session.goes_on else "The beginning")
        if not session.goes_on:
            raise Interrupted("It broke off.")
        yield AnswerFinished(completion("The beginning and the rest."))

    window.show_session(Session(ask))
    window.ask("Go on")
    settled(window, qtbot)
    assert window.model.row(1).seam == "It broke off."
    window.view.action.emit(1, "continue", None)
    settled(window, qtbot)
    assert calls == [False, True]
    assert texts(window) == ["Go on", "The beginning and the rest."]
    assert window.model.row(1).seam == ""


def test_a_message_is_deleted_with_what_follows_it_once_it_is_said_twice(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    opened(window, chats("Trip", "By train?", "And then?"), qtbot)
    window.view.action.emit(2, "delete", None)
    assert len(texts(window)) == 4
    assert window.notice.button.text() == "Delete"
    window.notice.button.click()
    qtbot.waitUntil(lambda: len(texts(window)) == 2, timeout=WAIT)
    assert texts(window)[0] == "By train?"


def test_a_quote_goes_into_the_composer(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("Trip", "By train?"), qtbot)
    window.view.action.emit(1, "quote", "two\nlines")
    assert window.composer.editor.toPlainText().startswith("> two\n> lines\n")


# --- the header --------------------------------------------------------------------------------------------


def test_the_title_is_changed_in_place(window: ChatWindow, chats: Chats, app: App, qtbot: QtBot) -> None:
    made = chats("Trip")
    opened(window, made, qtbot)
    field = window.header.title
    assert field.isReadOnly()
    QTest.mouseClick(field, Qt.MouseButton.LeftButton)
    field.setText("  Porto   by train ")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert field.text() == "Porto by train"
    assert window.windowTitle() == "Porto by train – Whisper Desktop"
    session = chats.do(app.chats.open(made))
    qtbot.waitUntil(lambda: session.conversation.title == "Porto by train", timeout=WAIT)


def test_escape_leaves_the_title_as_it_was(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("Trip"), qtbot)
    window.header.title.edit()
    window.header.title.setText("Other")
    QTest.keyClick(window.header.title, Qt.Key.Key_Escape)
    assert window.header.title.text() == "Trip"
    assert window.windowTitle() == "Trip – Whisper Desktop"


def test_who_answers_is_chosen_for_this_chat_only(
    window: ChatWindow, chats: Chats, app: App, qtbot: QtBot
) -> None:
    made, other = chats("Trip"), chats("Other")
    opened(window, made, qtbot)
    window.show_state(app.state(), CHOICES)
    entry(window.header.backend_menu, "Ollama", "small").trigger()
    session = conversation_of(window).session
    qtbot.waitUntil(lambda: (session.backend, session.model) == ("ollama", "small"), timeout=WAIT)
    qtbot.waitUntil(lambda: window.header.backend.text() == "small", timeout=WAIT)
    with qtbot.waitSignal(window.backend_chosen) as said:
        entry(window.header.backend_menu, "Use for all new chats").trigger()
    assert said.args == ["ollama", "small"]
    opened(window, other, qtbot)
    assert window.header.backend.text() == "Automatic"


def test_how_far_a_chat_may_go_is_said_and_can_be_changed(
    window: ChatWindow, chats: Chats, app: App, qtbot: QtBot
) -> None:
    opened(window, chats("Trip"), qtbot)
    assert "Nothing you write here leaves this computer." in window.header.reach.toolTip()
    entry(window.header.reach_menu, "My network, too").trigger()
    session = conversation_of(window).session
    qtbot.waitUntil(lambda: session.reach is Reach.MY_NETWORK, timeout=WAIT)
    qtbot.waitUntil(lambda: "my network" in window.header.reach.text(), timeout=WAIT)


# --- keys and room -----------------------------------------------------------------------------------------


def test_no_key_of_the_sheet_means_two_things(window: ChatWindow) -> None:
    sheet = ShortcutsSheet(window)
    sheet.show()
    assert sheet.isVisible()
    scroll = sheet.findChild(QScrollArea)
    assert scroll is not None
    room = window.screen().availableGeometry().height()
    assert scroll.verticalScrollBar().maximum() == 0 or sheet.height() > room * 0.9
    named = [keys for each in SHORTCUTS for keys in each.keys]
    assert len(set(named)) == len(named)
    sheet.close()


def press(window: ChatWindow, key: Qt.Key, control: bool = True) -> None:
    modifier = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
    QTest.keyClick(window, key, modifier)


def test_the_window_is_used_by_keyboard_alone(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    assert window.sidebar is not None
    made = chats("Trip", "By train?")
    qtbot.waitUntil(lambda: window.sidebar is not None and window.sidebar.nth(1) == made, timeout=WAIT)
    press(window, Qt.Key.Key_1)
    qtbot.waitUntil(lambda: len(texts(window)) == 2, timeout=WAIT)
    press(window, Qt.Key.Key_F6, control=False)
    assert window.sidebar.tree.hasFocus()
    press(window, Qt.Key.Key_F6, control=False)
    assert window.view.hasFocus()
    press(window, Qt.Key.Key_L)
    assert window.composer.editor.hasFocus()
    press(window, Qt.Key.Key_F)
    assert window.find_bar.field.hasFocus()
    QTest.keyClick(window.find_bar.field, Qt.Key.Key_Escape)
    assert not window.find_bar.isVisible()
    assert window.composer.editor.hasFocus()
    press(window, Qt.Key.Key_B)
    assert not window.sidebar.isVisible()
    assert window.header.sidebar_button.isVisible()
    press(window, Qt.Key.Key_B)
    assert window.sidebar.isVisible()
    press(window, Qt.Key.Key_F2, control=False)
    assert window.header.title.editing
    press(window, Qt.Key.Key_N)
    qtbot.waitUntil(window.empty.isVisible, timeout=WAIT)
    press(window, Qt.Key.Key_W)
    assert not window.isVisible()


def test_the_conversation_scrolls_from_the_composer(window: ChatWindow, qtbot: QtBot) -> None:
    window.show_session(Session(answering("line\n\n" * 200, step=2000)))
    window.ask("Long")
    settled(window, qtbot)
    bar = window.view.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 0, timeout=WAIT)
    window.composer.editor.setFocus()
    QTest.keyClick(window.composer.editor, Qt.Key.Key_PageUp)
    assert bar.value() == bar.maximum() - bar.pageStep()


def test_in_a_narrow_window_the_list_and_the_conversation_take_turns(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    made = chats("Trip", "By train?")
    assert window.sidebar is not None
    assert window.sidebar.isVisible()
    window.resize(450, 500)
    qtbot.waitUntil(lambda: window.sidebar is not None and not window.sidebar.isVisible(), timeout=WAIT)
    window.header.sidebar_button.click()
    assert window.sidebar.isVisible()
    assert not window.composer.isVisible()
    window.sidebar.tree.chosen.emit(made)
    qtbot.waitUntil(lambda: len(texts(window)) == 2, timeout=WAIT)
    assert window.composer.isVisible()
    assert not window.sidebar.isVisible()


def test_coming_back_builds_nothing_and_the_composer_is_ready(
    window: ChatWindow, chats: Chats, qtbot: QtBot
) -> None:
    opened(window, chats("Trip", "By train?"), qtbot)
    window.close()
    resets: list[bool] = []
    window.model.modelReset.connect(lambda: resets.append(True))
    window.view.setFocus()
    with qtbot.waitExposed(window):
        window.show()
    assert window.focusWidget() is window.composer.editor
    assert resets == []
    assert window.model.row(0).kind is Kind.QUESTION


def test_where_chats_cannot_be_kept_a_quiet_line_says_why(
    app: App, bridge: Bridge, shown: Shown, chats: Chats, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats.do(app.remember({"chat.keep": False}))
    window = shown(ChatWindow(bridge, app))
    qtbot.waitUntil(lambda: window.banner is not None, timeout=WAIT)
    assert window.banner is not None
    assert window.banner.isVisible()


def test_the_width_of_the_list_is_kept_as_text(
    window: ChatWindow, app: App, bridge: Bridge, shown: Shown
) -> None:
    assert window.sidebar is not None
    window.panes.splitter.setSizes([333, 667])
    kept = window.panes.arrangement
    assert kept == f"{window.sidebar.width()} 1"
    other = shown(ChatWindow(bridge, app))
    assert other.sidebar is not None
    assert other.sidebar.width() != window.sidebar.width()
    other.panes.arrange(kept)
    assert other.sidebar.width() == window.sidebar.width()
    for nothing in ("", "wide 1", "12", "999999999 1", "-4 1"):
        other.panes.arrange(nothing)
        assert other.panes.arrangement == kept
    other.panes.toggle_sidebar()
    assert other.panes.arrangement == kept.replace(" 1", " 0")


def test_a_panel_folds_out_at_the_right_and_back(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    panel = QPlainTextEdit("numbers")
    window.add_to_menu("numbers", "Numbers", lambda: window.panes.toggle_panel("Numbers", panel))
    seen: list[Session] = []
    window.session_shown.connect(seen.append)
    opened(window, chats("Trip"), qtbot)
    assert [each.id for each in seen] == [conversation_of(window).session.id]
    entry(window.header.more_menu, "Numbers").trigger()
    assert panel.isVisible()
    assert panel.hasFocus()
    assert window.composer.isVisible()
    window.resize(450, 500)
    qtbot.waitUntil(lambda: not window.composer.isVisible(), timeout=WAIT)
    QTest.keyClick(window.panes.panel, Qt.Key.Key_Escape)
    assert not panel.isVisible()
    assert window.composer.editor.hasFocus()


def test_the_sign_of_a_branch_leads_to_the_tree(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    opened(window, chats("Trip"), qtbot)
    elsewhere: list[str] = []
    window.requested.connect(elsewhere.append)
    window.view.action.emit(1, "show_tree", None)  # there is no such panel yet: nothing happens
    shown: list[bool] = []
    window.add_to_menu("tree", "Branches", lambda: shown.append(True))
    window.view.action.emit(1, "show_tree", None)
    assert (elsewhere, shown) == ([], [True])
