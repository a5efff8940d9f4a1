"""The chat window with a real session and the real core: ask, stream, stop, fail, try again, copy, keyboard."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, answering, completion
from whisper_desktop.app import App, AppState, BackendChoice
from whisper_desktop.chat import Session
from whisper_desktop.errors import AnswerInterrupted, ConsentRequired, LLMConnectionError
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.rows import GUIDE_LABEL, Kind, provenance_line
from whisper_desktop.ui.chat.window import GUIDE_STARTERS, STARTERS, ChatWindow
from whisper_desktop.values import AnswerFinished, Message, Reach, StreamEvent, TextDelta


def opened(bridge: Bridge, session: Session, qtbot: QtBot) -> ChatWindow:
    window = ChatWindow(bridge, session)
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    return window


def settled(window: ChatWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not window.conversation.busy, timeout=WAIT)


async def endless(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
    while True:
        yield TextDelta("word ")
        await asyncio.sleep(0.001)


def test_a_question_is_answered_by_the_real_core(bridge: Bridge, app: App, qtbot: QtBot) -> None:
    window = opened(bridge, app.open_session(), qtbot)
    qtbot.keyClicks(window.composer.editor, "Hello")
    qtbot.keyClick(window.composer.editor, Qt.Key.Key_Return)
    settled(window, qtbot)
    assert [window.model.row(n).kind for n in range(2)] == [Kind.QUESTION, Kind.ANSWER]
    assert "You said: Hello" in window.model.row(1).text
    assert "this computer" in provenance_line(window.model.row(1))


def test_an_answer_streams_into_the_transcript(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("word " * 400)), qtbot)
    seen: list[int] = []
    window.model.dataChanged.connect(lambda: seen.append(len(window.model.row(1).text)))
    window.ask("Go on")
    settled(window, qtbot)
    assert window.model.row(1).text == "word " * 400
    assert seen == sorted(seen)
    assert len(seen) < 400


def test_the_button_stops_an_answer_and_what_came_stays(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(endless), qtbot)
    window.ask("Go on")
    assert window.composer.button.text() == "Stop"
    qtbot.waitUntil(lambda: len(window.model.row(1).text) > 20, timeout=WAIT)
    qtbot.mouseClick(window.composer.button, Qt.MouseButton.LeftButton)
    settled(window, qtbot)
    row = window.model.row(1)
    assert row.text.startswith("word ")
    assert row.seam.startswith("Stopped after ")
    assert window.composer.button.text() == "Send"


def test_escape_stops_an_answer(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(endless), qtbot)
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    qtbot.keyClick(window.composer.editor, Qt.Key.Key_Escape)
    settled(window, qtbot)
    assert not window.model.row(1).active


def test_closing_the_window_stops_the_answer(bridge: Bridge, qtbot: QtBot) -> None:
    session = Session(endless)
    window = opened(bridge, session, qtbot)
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    window.close()
    settled(window, qtbot)
    assert session.turns[0].state.value == "stopped"


def test_a_break_is_a_seam_and_the_text_is_kept(bridge: Bridge, qtbot: QtBot) -> None:
    async def breaking(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        yield TextDelta("Half an answer")
        raise AnswerInterrupted("The answer stopped after 3 words.", "The server closed the connection.")

    window = opened(bridge, Session(breaking), qtbot)
    window.ask("Go on")
    settled(window, qtbot)
    row = window.model.row(1)
    assert (row.kind, row.text) == (Kind.ANSWER, "Half an answer")
    assert row.seam == "The answer stopped after 3 words. The server closed the connection."


def test_trying_again_asks_the_same_question_in_the_same_place(bridge: Bridge, qtbot: QtBot) -> None:
    asked: list[str] = []

    async def second_time(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        asked.append(messages[-1].content)
        if len(asked) == 1:
            raise LLMConnectionError("Nobody answered.")
        yield AnswerFinished(completion("Here I am."))

    window = opened(bridge, Session(second_time), qtbot)
    window.ask("Anybody there?")
    settled(window, qtbot)
    assert window.model.row(1).kind is Kind.FAILURE
    window.view.failure_action.emit(1, "retry")
    settled(window, qtbot)
    assert asked == ["Anybody there?", "Anybody there?"]
    assert [window.model.row(n).kind for n in range(window.model.rowCount())] == [Kind.QUESTION, Kind.ANSWER]


def test_a_consent_widens_this_chat_only(bridge: Bridge, qtbot: QtBot) -> None:
    async def needs_consent(
        session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        if session.reach is not Reach.CLOUD:
            raise ConsentRequired("OpenRouter is in the cloud.", needed=Reach.CLOUD)
        yield AnswerFinished(completion("From afar."))

    session = Session(needs_consent)
    window = opened(bridge, session, qtbot)
    window.ask("Hello?")
    settled(window, qtbot)
    window.view.failure_action.emit(1, "allow")
    settled(window, qtbot)
    assert session.reach is Reach.CLOUD
    assert window.model.row(1).kind is Kind.ANSWER


@pytest.mark.parametrize("action", ["guide", "setup"])
def test_a_failure_leads_to_the_guide_and_to_setup(action: str, bridge: Bridge, qtbot: QtBot) -> None:
    async def failing(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        raise LLMConnectionError("Nobody answered.")
        yield

    window = opened(bridge, Session(failing), qtbot)
    window.ask("Hello?")
    settled(window, qtbot)
    with qtbot.waitSignal(window.requested) as said:
        window.view.failure_action.emit(1, action)
    assert said.args == [action]


def test_a_mistake_of_ours_is_told_and_reported(
    bridge: Bridge, errors: list[BaseException], qtbot: QtBot
) -> None:
    async def wrong(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        raise ZeroDivisionError("a mistake")
        yield

    window = opened(bridge, Session(wrong), qtbot)
    window.ask("Hello?")
    settled(window, qtbot)
    assert "The app made a mistake" in str(window.model.row(1).error)
    assert isinstance(errors.pop(), ZeroDivisionError)


def test_a_second_question_waits_for_the_first_answer(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(endless), qtbot)
    window.ask("First")
    qtbot.keyClicks(window.composer.editor, "Second")
    qtbot.keyClick(window.composer.editor, Qt.Key.Key_Return)
    assert window.model.rowCount() == 2
    assert window.composer.editor.toPlainText() == "Second"
    window.conversation.stop()
    settled(window, qtbot)


def test_shift_and_enter_is_a_new_line(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok")), qtbot)
    height = window.composer.editor.height()
    qtbot.keyClicks(window.composer.editor, "one")
    qtbot.keyClick(window.composer.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(window.composer.editor, "two")
    assert window.composer.editor.toPlainText() == "one\ntwo"
    assert window.composer.editor.height() > height
    assert window.model.rowCount() == 0


@pytest.mark.parametrize("guide", [False, True])
def test_an_empty_chat_offers_three_first_steps(guide: bool, bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok"), guide=guide), qtbot)
    starters = GUIDE_STARTERS if guide else STARTERS
    buttons = [button for button in window.empty.findChildren(QPushButton) if button.text() in starters]
    assert len(buttons) == 3
    qtbot.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    settled(window, qtbot)
    assert window.model.row(0).text == starters[0]
    assert not window.reusable


def test_a_conversation_with_the_guide_is_labelled(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok"), guide=True), qtbot)
    words = " ".join(label.text() for label in window.findChildren(QLabel))
    assert "It only knows this app" in words
    assert window.windowTitle().startswith("Guide")
    window.ask("Who are you?")
    settled(window, qtbot)
    assert provenance_line(window.model.row(1)).startswith(GUIDE_LABEL)
    assert window.windowTitle().startswith("Guide: Who are you?")


def test_the_header_names_backend_and_place(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok")), qtbot)
    choices = (
        BackendChoice(None, "Automatic", "Ollama", "ready", None, False),
        BackendChoice("ollama", "Ollama", "ready", "ready", Reach.THIS_MACHINE, True),
    )
    window.show_state(AppState("ready", "Ready", "ollama", None, False), choices)
    texts = [label.text() for label in window.findChildren(QLabel)]
    assert "this computer" in texts
    with qtbot.waitSignal(window.backend_chosen) as said:
        window.backend_menu.actions()[0].trigger()
    assert said.args == [None]


def test_where_nobody_can_answer_the_empty_chat_shows_the_way_out(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok")), qtbot)
    window.show_state(AppState("needs_attention", "No model found yet", None, None, False), ())
    button = next(b for b in window.empty.findChildren(QPushButton) if b.text() == "Ask the guide")
    assert button.isVisible()
    with qtbot.waitSignal(window.requested) as said:
        button.click()
    assert said.args == ["guide"]


def test_a_screen_reader_is_told_when_the_answer_has_ended(bridge: Bridge, qtbot: QtBot) -> None:
    window = opened(bridge, Session(answering("ok")), qtbot)
    with qtbot.waitSignal(window.conversation.answer_ended, timeout=WAIT) as said:
        window.ask("Hello")
    assert said.args == ["The answer is complete."]
