"""The chat window with a real session and the real core: ask, stream, stop, fail, try again, keyboard."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QTextOption
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.ui.conftest import WAIT, Shown, Waiter, answering, completion, failing
from whisper_desktop.app import App, AppState, BackendChoice
from whisper_desktop.chat import GUIDE_LABEL, Session
from whisper_desktop.control import Front
from whisper_desktop.errors import BackendError, ConsentRequired, Interrupted, LLMConnectionError
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.conversation import Conversation
from whisper_desktop.ui.chat.empty import GUIDE_STARTERS, STARTERS
from whisper_desktop.ui.chat.rows import Kind, who_line
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.values import (
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    AttemptFailed,
    ErrorKind,
    Message,
    Phase,
    Progress,
    Reach,
    StreamEvent,
    TextDelta,
)

ROOT = Path(__file__).resolve().parents[2]

Opener = Callable[[Session], ChatWindow]


@pytest.fixture
def opened(bridge: Bridge, app: App, shown: Shown) -> Opener:
    return lambda session: opened_in(app, bridge, shown, session)


def opened_in(app: App, bridge: Bridge, shown: Shown, session: Session) -> ChatWindow:
    """A window that shows this conversation, the first one being asked for or not."""
    window = shown(ChatWindow(bridge, app, guide=session.guide))
    window.show_session(session)
    return window


def conversation_of(window: ChatWindow) -> Conversation:
    assert window.conversation is not None
    return window.conversation


def busy(window: ChatWindow) -> bool:
    return window.conversation is not None and window.conversation.busy


def settled(window: ChatWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: window.conversation is not None and not busy(window), timeout=WAIT)


def card_button(window: ChatWindow, number: int, label: str) -> QPushButton:
    """A button of the failure in this row."""
    card = window.view.indexWidget(window.model.index(number))
    return next(each for each in card.findChildren(QPushButton) if each.text() == label)


def card_buttons(window: ChatWindow, number: int) -> list[str]:
    card = window.view.indexWidget(window.model.index(number))
    return [each.text() for each in card.findChildren(QPushButton)]


async def endless(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
    while True:
        yield TextDelta("word ")
        await asyncio.sleep(0.001)


def test_a_question_is_answered_by_the_real_core(opened: Opener, app: App, qtbot: QtBot) -> None:
    window = opened(app.open_session())
    QTest.keyClicks(window.composer.editor, "Hello")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    settled(window, qtbot)
    assert [window.model.row(n).kind for n in range(2)] == [Kind.QUESTION, Kind.ANSWER]
    assert "You said: Hello" in window.model.row(1).text
    assert "this computer" in who_line(window.model.row(1))


def test_an_answer_streams_into_the_transcript(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("word " * 400)))
    seen: list[int] = []
    window.model.dataChanged.connect(lambda: seen.append(len(window.model.row(1).text)))
    window.ask("Go on")
    settled(window, qtbot)
    assert window.model.row(1).text == "word " * 400
    assert seen == sorted(seen)
    assert len(seen) < 400


def test_the_button_stops_an_answer_and_what_came_stays(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(endless))
    window.ask("Go on")
    assert window.composer.button.text() == "Stop"
    qtbot.waitUntil(lambda: len(window.model.row(1).text) > 20, timeout=WAIT)
    QTest.mouseClick(window.composer.button, Qt.MouseButton.LeftButton)
    settled(window, qtbot)
    row = window.model.row(1)
    assert row.text.startswith("word ")
    assert row.seam.startswith("Stopped after ")
    assert window.composer.button.text() == "Send"


def test_escape_stops_an_answer(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(endless))
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Escape)
    settled(window, qtbot)
    assert not window.model.row(1).active


def test_an_answer_goes_on_while_the_window_is_closed_and_is_there_when_it_is_back(
    opened: Opener, qtbot: QtBot
) -> None:
    window = opened(Session(endless))
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    window.close()
    assert not window.isVisible()
    before = len(window.model.row(1).text)
    qtbot.waitUntil(lambda: len(window.model.row(1).text) > before, timeout=WAIT)
    window.show()
    assert busy(window)
    conversation_of(window).stop()
    settled(window, qtbot)


def test_an_answer_ends_with_the_window_for_good(opened: Opener, qtbot: QtBot) -> None:
    session = Session(endless)
    window = opened(session)
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    window.leave()
    qtbot.waitUntil(lambda: not session.answering, timeout=WAIT)
    assert session.turns[0].state.value == "stopped"


def test_closing_the_guides_window_ends_what_was_said_to_it(opened: Opener, qtbot: QtBot) -> None:
    session = Session(endless, guide=True)
    window = opened(session)
    window.ask("Go on")
    qtbot.waitUntil(lambda: bool(window.model.row(1).text), timeout=WAIT)
    with qtbot.waitSignal(window.closed, timeout=WAIT):
        window.close()
    qtbot.waitUntil(lambda: not session.answering, timeout=WAIT)


def test_a_break_is_a_seam_and_the_text_is_kept(opened: Opener, qtbot: QtBot) -> None:
    error = Interrupted("The answer stopped after 3 words.", "The server closed the connection.")
    window = opened(Session(failing(error, "Half an answer")))
    window.ask("Go on")
    settled(window, qtbot)
    row = window.model.row(1)
    assert (row.kind, row.text) == (Kind.ANSWER, "Half an answer")
    assert row.seam == "The answer stopped after 3 words. The server closed the connection."


def test_trying_again_asks_the_same_question_in_the_same_place(opened: Opener, qtbot: QtBot) -> None:
    asked: list[str] = []

    async def second_time(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        asked.append(messages[-1].content)
        if len(asked) == 1:
            raise LLMConnectionError("Nobody answered.")
        yield AnswerFinished(completion("Here I am."))

    window = opened(Session(second_time))
    window.ask("Anybody there?")
    settled(window, qtbot)
    assert window.model.row(1).kind is Kind.FAILURE
    window.view.action.emit(1, "retry", "")
    settled(window, qtbot)
    assert asked == ["Anybody there?", "Anybody there?"]
    assert [window.model.row(n).kind for n in range(window.model.rowCount())] == [Kind.QUESTION, Kind.ANSWER]


def test_a_broken_answer_can_be_asked_for_again_while_it_is_the_last(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(failing(LLMConnectionError("The connection broke."), "Half an answer")))
    window.ask("Go on")
    settled(window, qtbot)
    entry = next(each for each in window.view.menu_for(1).actions() if each.text() == "Try again")
    entry.trigger()
    settled(window, qtbot)
    assert window.model.rowCount() == 2
    window.ask("Something else")
    settled(window, qtbot)
    assert [window.model.row(number).can_retry for number in (1, 3)] == [False, True]


def test_a_consent_widens_this_chat_only(opened: Opener, qtbot: QtBot) -> None:
    async def needs_consent(
        session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        if session.reach is not Reach.CLOUD:
            raise ConsentRequired("OpenRouter is in the cloud.", needed=Reach.CLOUD)
        yield AnswerFinished(completion("From afar."))

    session = Session(needs_consent)
    window = opened(session)
    window.ask("Hello?")
    settled(window, qtbot)
    window.view.action.emit(1, "allow", "")
    qtbot.waitUntil(lambda: window.model.row(1).kind is Kind.ANSWER, timeout=WAIT)
    settled(window, qtbot)
    assert session.reach is Reach.CLOUD
    assert "cloud" in window.header.reach.text()


@pytest.fixture
def unplaced(servers: ServerFactory) -> RunningServer:
    """A server that may pass prompts on."""
    return servers("localai", models=["m"])


@pytest.fixture
def owner(bridge: Bridge, wait: Waiter, unplaced: RunningServer) -> Iterator[App]:
    """The app as the desktop runs it, which has found that server."""
    ports = {"llm.lmstudio.port": unplaced.port, "llm.llamacpp.port": closed_port()}
    env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{closed_port()}"}
    app = App(env=env, overrides=ports)
    front = Front(lambda: app, desktop=True)
    wait(bridge.run(front.core()))
    yield app
    wait(bridge.run(front.close()))


@pytest.fixture
def opened_by_owner(bridge: Bridge, owner: App, shown: Shown) -> Callable[[], ChatWindow]:
    return lambda: opened_in(owner, bridge, shown, owner.open_session())


def test_a_server_that_may_pass_prompts_on_is_asked_about_once(
    opened_by_owner: Callable[[], ChatWindow], owner: App, unplaced: RunningServer, qtbot: QtBot
) -> None:
    window = opened_by_owner()
    window.ask("Hello?")
    settled(window, qtbot)
    assert card_buttons(window, 1) == ["Allow LocalAI", "Not now", "Open setup"]
    words = " ".join(label.accessibleName() or label.text() for label in window.findChildren(QLabel))
    assert f"LocalAI at {unplaced.url} may pass prompts on to the internet." in words
    assert not unplaced.requests("/v1/chat/completions")

    card_button(window, 1, "Allow LocalAI").click()
    qtbot.waitUntil(lambda: "You said: Hello?" in window.model.row(1).text, timeout=WAIT)
    settled(window, qtbot)
    assert "this computer (as given)" in who_line(window.model.row(1))
    other = opened_by_owner()
    other.ask("And here?")
    settled(other, qtbot)
    assert other.model.row(1).kind is Kind.ANSWER


def test_not_now_gives_the_message_back_and_sends_nothing(
    opened_by_owner: Callable[[], ChatWindow], owner: App, unplaced: RunningServer, qtbot: QtBot
) -> None:
    window = opened_by_owner()
    window.ask("A secret")
    settled(window, qtbot)
    card_button(window, 1, "Not now").click()
    qtbot.waitUntil(lambda: window.composer.editor.toPlainText() == "A secret", timeout=WAIT)
    assert window.model.rowCount() == 0
    assert not unplaced.requests("/v1/chat/completions")
    assert owner.loaded.settings.privacy.server_reach == {}


def test_a_message_taken_back_while_the_word_is_kept_is_not_sent(
    opened_by_owner: Callable[[], ChatWindow], owner: App, unplaced: RunningServer, qtbot: QtBot
) -> None:
    window = opened_by_owner()
    for question in ("First", "A secret"):
        window.ask(question)
        settled(window, qtbot)
    allow, not_now = card_button(window, 3, "Allow LocalAI"), card_button(window, 3, "Not now")
    allow.click()
    not_now.click()
    qtbot.waitUntil(lambda: bool(owner.loaded.settings.privacy.server_reach), timeout=WAIT)
    window.ask("Something else")
    settled(window, qtbot)
    (sent,) = unplaced.requests("/v1/chat/completions")
    assert [message["content"] for message in sent["body"]["messages"]] == ["Something else"]


def test_an_answer_that_cannot_be_kept_is_told_in_place_of_the_question(
    opened_by_owner: Callable[[], ChatWindow],
    owner: App,
    unplaced: RunningServer,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHISPER_PRIVACY__SERVER_REACH", "{}")
    window = opened_by_owner()
    window.ask("Hello?")
    settled(window, qtbot)
    card_button(window, 1, "Allow LocalAI").click()
    qtbot.waitUntil(lambda: "cannot be remembered" in str(window.model.row(1).error), timeout=WAIT)
    assert "Try again" in card_buttons(window, 1)
    assert not unplaced.requests("/v1/chat/completions")


def test_a_declined_message_goes_back_to_where_it_was_written(opened: Opener, qtbot: QtBot) -> None:
    declined = BackendError(ErrorKind.CONTENT_FILTER, "It was declined.")

    async def second_declined(
        session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        if messages[-1].content != "First":
            raise declined
        yield TextDelta("Fine.")
        yield AnswerFinished(completion("Fine."))

    session = Session(second_declined)
    window = opened(session)
    for question in ("First", "A bad word"):
        window.ask(question)
        settled(window, qtbot)
    window.composer.editor.setPlainText("and more")
    card_button(window, 3, "Change the message").click()
    given_back = "A bad word\nand more"
    qtbot.waitUntil(lambda: window.composer.editor.toPlainText() == given_back, timeout=WAIT)
    assert [window.model.row(number).text for number in range(window.model.rowCount())] == ["First", "Fine."]
    assert [turn.question for turn in session.turns] == ["First"]


def test_a_first_message_that_is_taken_back_leaves_a_new_chat(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(failing(BackendError(ErrorKind.CONTENT_FILTER, "It was declined."))))
    window.ask("A bad word")
    settled(window, qtbot)
    card_button(window, 1, "Change the message").click()
    qtbot.waitUntil(window.empty.isVisible, timeout=WAIT)
    assert window.windowTitle().startswith("New chat")
    assert window.composer.editor.toPlainText() == "A bad word"


def test_only_the_last_failure_can_be_tried_again(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(failing(LLMConnectionError("Nobody answered."))))
    for question in ("First", "Second"):
        window.ask(question)
        settled(window, qtbot)
    assert card_buttons(window, 1) == ["Ask the guide", "Open setup"]
    assert card_buttons(window, 3) == ["Try again", "Ask the guide", "Open setup"]


@pytest.mark.parametrize("action", ["guide", "setup", "settings"])
def test_a_failure_leads_to_the_window_that_helps(action: str, opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(failing(LLMConnectionError("Nobody answered."))))
    window.ask("Hello?")
    settled(window, qtbot)
    with qtbot.waitSignal(window.requested) as said:
        window.view.action.emit(1, action, "")
    assert said.args == [action]


def test_a_mistake_of_ours_is_told_and_reported(
    opened: Opener, errors: list[BaseException], qtbot: QtBot
) -> None:
    window = opened(Session(failing(ZeroDivisionError("a mistake"))))
    window.ask("Hello?")
    settled(window, qtbot)
    assert "The app made a mistake" in str(window.model.row(1).error)
    assert isinstance(errors.pop(), ZeroDivisionError)


def test_a_second_question_waits_for_the_first_answer(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(endless))
    window.ask("First")
    QTest.keyClicks(window.composer.editor, "Second")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
    assert window.model.rowCount() == 2
    assert window.composer.editor.toPlainText() == "Second"
    window.ask("Third")
    assert window.model.rowCount() == 2
    conversation_of(window).stop()
    settled(window, qtbot)


def test_shift_and_enter_is_a_new_line(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    height = window.composer.editor.height()
    QTest.keyClicks(window.composer.editor, "one")
    QTest.keyClick(window.composer.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(window.composer.editor, "two")
    assert window.composer.editor.toPlainText() == "one\ntwo"
    assert window.composer.editor.height() > height
    assert window.model.rowCount() == 0


@pytest.mark.parametrize("guide", [False, True])
def test_an_empty_chat_offers_three_first_steps(guide: bool, opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok"), guide=guide))
    starters = GUIDE_STARTERS if guide else STARTERS
    buttons = [button for button in window.empty.findChildren(QPushButton) if button.text() in starters]
    assert len(buttons) == 3
    QTest.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    settled(window, qtbot)
    assert window.model.row(0).text == starters[0]
    assert not window.empty.isVisible()


def test_a_conversation_with_the_guide_is_labelled(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok"), guide=True))
    words = " ".join(label.text() for label in window.findChildren(QLabel))
    assert "It only knows this app" in words
    assert window.windowTitle().startswith("Guide")
    window.ask("Who are you?")
    settled(window, qtbot)
    assert who_line(window.model.row(1)).startswith(GUIDE_LABEL)
    assert window.windowTitle().startswith("Guide: Who are you?")


def test_the_header_names_backend_and_place(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    choices = (
        BackendChoice(None, "Automatic", "Ollama", "ready", None, False),
        BackendChoice("ollama", "Ollama", "ready", "ready", Reach.THIS_MACHINE, True),
    )
    window.show_state(AppState("ready", "Ready", "ollama", None, False), choices)
    assert "this computer" in window.header.reach.accessibleName()
    assert window.header.backend.text() == "Ollama"
    first = window.header.backend_menu.actions()[0]
    assert (first.text(), first.isChecked()) == ("As for all chats: Ollama", True)


def test_where_nobody_can_answer_the_empty_chat_shows_the_way_out(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    window.show_state(AppState("needs_attention", "No model found yet", None, None, False), ())
    button = next(b for b in window.empty.findChildren(QPushButton) if b.text() == "Ask the guide")
    assert button.isVisible()
    with qtbot.waitSignal(window.requested) as said:
        button.click()
    assert said.args == ["guide"]


def test_a_screen_reader_is_told_when_the_answer_has_ended(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    with qtbot.waitSignal(conversation_of(window).answer_ended, timeout=WAIT) as said:
        window.ask("Hello")
    assert said.args[1] == "The answer is complete."


def test_the_guides_first_steps_are_questions_that_it_was_trained_on() -> None:
    answers = yaml.safe_load((ROOT / "packaging" / "guide" / "answers.yaml").read_text("utf-8"))
    trained = {ask.rstrip("?") for entry in answers for ask in entry["ask"]}
    assert {starter.lower().rstrip("?") for starter in GUIDE_STARTERS} <= trained


def test_a_long_text_that_is_pasted_makes_the_composer_grow(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    before = window.composer.editor.height()
    data = QMimeData()
    data.setText("a few words " * 100)
    window.composer.editor.insertFromMimeData(data)
    qtbot.waitUntil(lambda: window.composer.editor.height() > 3 * before, timeout=WAIT)


def test_an_endless_word_is_broken_anywhere_and_words_are_not(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(answering("ok")))
    for text, mode in (
        ("x" * 200_000, QTextOption.WrapMode.WrapAnywhere),
        ("words " * 20_000, QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere),
    ):
        data = QMimeData()
        data.setText(text)
        window.composer.editor.clear()
        window.composer.editor.insertFromMimeData(data)
        assert window.composer.editor.wordWrapMode() is mode
        QTest.keyClick(window.composer.editor, Qt.Key.Key_Return)
        settled(window, qtbot)
        number = window.model.rowCount() - 2
        layout = window.view.delegate.layout_of(number, window.model.row(number))
        assert layout.pieces[0].document.defaultTextOption().wrapMode() is mode


def test_a_restart_is_shown_in_the_window_and_both_texts_are_there(opened: Opener, qtbot: QtBot) -> None:
    failed = Attempt("lm_studio", "LM Studio", "", "m", ErrorKind.STREAM_CUT, "It broke.", 1.0)

    async def restarting(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        for word in ("one ", "two"):
            yield TextDelta(word)
        yield AttemptFailed(failed)
        yield Progress(Phase.LOADING, 0.4)
        await asyncio.sleep(0)
        yield AnswerRestarted(failed, "one two")
        yield AnswerStarted("ollama", "Ollama", "qwen3.5:4b", Reach.THIS_MACHINE)
        for word in ("uno ", "dos"):
            yield TextDelta(word)
        yield AnswerFinished(completion("uno dos"))

    session = Session(restarting)
    window = opened(session)
    with qtbot.waitSignal(conversation_of(window).answer_ended, timeout=WAIT) as said:
        window.ask("Count")
    line = "LM Studio stopped after 2 words; Ollama began anew."
    assert said.args[1] == f"{line} The answer is complete."
    row = window.model.row(1)
    assert (row.text, [aside.text for aside in row.set_aside]) == ("uno dos", ["one two"])
    assert (session.turns[0].answer, session.turns[0].set_aside) == (row.text, row.set_aside)
    window.view.setCurrentIndex(window.model.index(1))
    QTest.keyClick(window.view, Qt.Key.Key_Space)
    assert not window.view.grab().isNull()
    assert window.model.row(1).aside_open


def test_a_failure_can_lead_to_a_new_chat(opened: Opener, qtbot: QtBot) -> None:
    window = opened(Session(failing(LLMConnectionError("Nobody answered."))))
    window.ask("Hello?")
    settled(window, qtbot)
    window.view.action.emit(1, "chat", "")
    qtbot.waitUntil(window.empty.isVisible, timeout=WAIT)


def test_a_question_that_comes_before_the_first_chat_is_there_is_not_lost(
    app: App, bridge: Bridge, shown: Shown, qtbot: QtBot
) -> None:
    window = shown(ChatWindow(bridge, app))
    window.ask("Too early?")
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    settled(window, qtbot)
    assert "You said: Too early?" in window.model.row(1).text


def test_trying_a_failure_again_leaves_no_branch_of_nothing(opened: Opener, qtbot: QtBot) -> None:
    asked: list[str] = []

    async def second_time(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        asked.append(messages[-1].content)
        if len(asked) == 1:
            raise LLMConnectionError("Nobody answered.")
        yield TextDelta("Here I am.")
        yield AnswerFinished(completion("Here I am."))

    window = opened(Session(second_time))
    window.ask("Anybody there?")
    settled(window, qtbot)
    window.view.action.emit(1, "retry", "")
    settled(window, qtbot)
    assert window.model.row(1).branch == (0, 1)


def test_text_put_into_the_composer_comes_before_what_is_there(opened: Opener) -> None:
    window = opened(Session(answering("ok")))
    window.composer.editor.setPlainText("later")
    window.begin("first")
    assert window.composer.editor.toPlainText() == "first\nlater"
