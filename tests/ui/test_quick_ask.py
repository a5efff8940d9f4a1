"""Quick ask: there at once, asked and answered in place, gone with Esc, and nothing sent unseen."""

import time
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, Waiter, World
from tests.ui.test_entries import CHOICES, READY
from whisper_desktop.app import App
from whisper_desktop.chat.records import TurnState
from whisper_desktop.events import Notice
from whisper_desktop.ui.ask.opener import QuickAsk
from whisper_desktop.ui.ask.quote import Quote, Selections, quote_of
from whisper_desktop.ui.ask.window import QuickAskWindow
from whisper_desktop.ui.bridge import Bridge


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(bridge: Bridge, app: App, shown: Shown, clock: Clock) -> QuickAskWindow:
    """The window, called for the first time, over the stub."""
    return called(shown(QuickAskWindow(bridge, app, clock=clock)))


def called(window: QuickAskWindow) -> QuickAskWindow:
    """As the desktop shows it."""
    window.show()
    window.raise_()
    window.activateWindow()
    return window


def ask(window: QuickAskWindow, qtbot: QtBot, question: str) -> None:
    """Type a question, press Enter, and wait for the whole answer."""
    rows = count(window)
    QTest.keyClicks(window.field, question)
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: count(window) > rows and not window.busy, timeout=WAIT)


def count(window: QuickAskWindow) -> int:
    return window.model.rowCount() if window.model is not None else 0


def texts(window: QuickAskWindow) -> list[str]:
    assert window.model is not None
    return [window.model.row(number).text for number in range(window.model.rowCount())]


def conversation_id(window: QuickAskWindow) -> str:
    assert window._conversation is not None
    return window._conversation.session.id


# --- asking -------------------------------------------------------------------------------------------------


def test_a_question_is_answered_below_the_field_and_says_by_whom(
    window: QuickAskWindow, qtbot: QtBot
) -> None:
    compact = window.height()
    ask(window, qtbot, "What is a tensor?")
    question, answer = texts(window)
    assert question == "What is a tensor?"
    assert "You said: What is a tensor?" in answer
    assert window.model is not None
    row = window.model.row(1)
    assert row.provenance is not None
    assert row.provenance.backend == "stub"
    assert window.field.toPlainText() == ""
    assert window.view is not None
    assert window.view.isVisible()
    assert window.height() > 2 * compact


def test_what_follows_belongs_to_the_same_conversation(
    window: QuickAskWindow, qtbot: QtBot, app: App, bridge: Bridge, wait: Waiter
) -> None:
    ask(window, qtbot, "One?")
    ask(window, qtbot, "Two?")
    assert [text for text in texts(window) if text.endswith("?") and "stub" not in text] == ["One?", "Two?"]
    session = wait(bridge.run(app.chats.open(conversation_id(window))))
    assert [turn.question for turn in session.turns] == ["One?", "Two?"]


def test_shift_enter_is_a_new_line_and_an_empty_field_sends_nothing(window: QuickAskWindow) -> None:
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    QTest.keyClicks(window.field, "   ")
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    assert not window.busy
    one, compact = window.field.height(), window.height()
    QTest.keyClick(window.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(window.field, "and more")
    assert window.field.toPlainText() == "   \nand more"
    assert window.height() - compact == window.field.height() - one > 0


def test_two_quick_enters_ask_once(
    window: QuickAskWindow, qtbot: QtBot, app: App, bridge: Bridge, wait: Waiter
) -> None:
    QTest.keyClicks(window.field, "Once?")
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: count(window) == 2 and not window.busy, timeout=WAIT)
    assert window.field.toPlainText() == ""
    assert len(wait(bridge.run(app.chats.list()))) == 1


def test_the_answer_is_copied(window: QuickAskWindow, qtbot: QtBot) -> None:
    assert not window.copy.isEnabled()
    ask(window, qtbot, "Hello?")
    QTest.mouseClick(window.copy, Qt.MouseButton.LeftButton)
    assert "You said: Hello?" in QGuiApplication.clipboard().text()


@pytest.fixture
def slow(world: World, bridge: Bridge, servers: ServerFactory, shown: Shown, wait: Waiter) -> QuickAskWindow:
    """The window over a server that takes ten seconds for an answer."""
    server = servers(
        "lm_studio", "--tokens", "500", "--token-delay", "0.02", models=[{"id": "m", "loaded": True}]
    )
    app = world(lm_studio=server.port)
    wait(bridge.run(app.scan()))
    return called(shown(QuickAskWindow(bridge, app)))


def begin(window: QuickAskWindow, qtbot: QtBot) -> None:
    """Ask, and wait for the first words."""
    window.field.put("Go")
    QTest.keyClick(window.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: count(window) == 2 and "word3" in texts(window)[1], timeout=WAIT)


def test_esc_stops_and_hides_and_what_came_stays(slow: QuickAskWindow, qtbot: QtBot) -> None:
    begin(slow, qtbot)
    QTest.keyClick(slow.field, Qt.Key.Key_Escape)
    assert not slow.isVisible()
    qtbot.waitUntil(lambda: not slow.busy, timeout=WAIT)
    assert slow._conversation is not None
    last = slow._conversation.session.path[-1]
    assert last.state is TurnState.STOPPED
    assert "word3" in last.text
    called(slow)
    assert "word3" in texts(slow)[1]


def test_what_is_written_while_an_answer_comes_waits(slow: QuickAskWindow, qtbot: QtBot) -> None:
    begin(slow, qtbot)
    slow.field.put("And then?")
    QTest.keyClick(slow.field, Qt.Key.Key_Return)
    assert slow.field.toPlainText() == "And then?"
    assert count(slow) == 2


def test_the_button_stops_without_going_away(slow: QuickAskWindow, qtbot: QtBot) -> None:
    begin(slow, qtbot)
    assert slow.send.text() == "Stop"
    QTest.mouseClick(slow.send, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not slow.busy, timeout=WAIT)
    assert slow.isVisible()
    assert slow.send.text() == "Send"


def test_an_answer_that_is_coming_goes_on_when_the_chat_takes_over(
    slow: QuickAskWindow, qtbot: QtBot
) -> None:
    begin(slow, qtbot)
    slow.field.put("And then?")
    assert slow._conversation is not None
    session = slow._conversation.session
    with qtbot.waitSignal(slow.open_in_chat, timeout=WAIT) as told:
        QTest.keyClick(slow.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert told.args == [session.id]
    assert not slow.isVisible()
    before = len(session.path[-1].text)
    qtbot.waitUntil(lambda: len(session.path[-1].text) > before + 50, timeout=WAIT)
    assert session.answering
    assert session.conversation.draft.text == "And then?"
    called(slow)
    assert count(slow) == 0  # here the next question begins another conversation
    assert not slow.busy


# --- the chat window ----------------------------------------------------------------------------------------


def test_what_is_written_is_asked_in_the_chat_window_by_ctrl_enter(
    window: QuickAskWindow, qtbot: QtBot, app: App, bridge: Bridge, wait: Waiter
) -> None:
    QTest.keyClicks(window.field, "Long story?")
    with qtbot.waitSignal(window.open_in_chat, timeout=WAIT) as told:
        QTest.keyClick(window.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not window.isVisible()
    session = wait(bridge.run(app.chats.open(told.args[0])))
    qtbot.waitUntil(lambda: not session.answering, timeout=WAIT)
    assert [turn.question for turn in session.turns] == ["Long story?"]


def test_nothing_is_opened_while_there_is_nothing(window: QuickAskWindow, qtbot: QtBot) -> None:
    assert not window.chat.isEnabled()
    with qtbot.assertNotEmitted(window.open_in_chat):
        QTest.keyClick(window.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert window.isVisible()


# --- coming back --------------------------------------------------------------------------------------------


def test_within_ten_minutes_the_last_answer_is_still_there(
    window: QuickAskWindow, qtbot: QtBot, clock: Clock
) -> None:
    ask(window, qtbot, "Hello?")
    window.put_aside()
    clock.now += 599
    called(window)
    assert count(window) == 2


def test_after_ten_minutes_it_begins_anew(window: QuickAskWindow, qtbot: QtBot, clock: Clock) -> None:
    ask(window, qtbot, "Hello?")
    first = conversation_id(window)
    window.put_aside()
    clock.now += 601
    called(window)
    assert count(window) == 0
    assert window.view is not None
    assert not window.view.isVisible()
    ask(window, qtbot, "Again?")
    assert conversation_id(window) != first


def test_closing_only_hides_it(window: QuickAskWindow, qtbot: QtBot) -> None:
    with qtbot.waitSignal(window.put_away, timeout=WAIT):
        window.close()
    assert not window.isVisible()
    called(window)
    assert window.isVisible()


def test_it_is_back_within_fifty_milliseconds(window: QuickAskWindow, qtbot: QtBot) -> None:
    ask(window, qtbot, "Hello?")
    times = []
    for _ in range(5):
        window.put_aside()
        QApplication.processEvents()
        begun = time.perf_counter()
        with qtbot.waitExposed(window):
            called(window)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.05
    assert window.focusWidget() is window.field


# --- what goes along ----------------------------------------------------------------------------------------


def test_a_text_from_outside_stands_in_the_field_and_is_not_sent(
    window: QuickAskWindow, qtbot: QtBot
) -> None:
    window.begin("Say “hello”")
    assert window.field.toPlainText() == "Say “hello”"
    assert not window.busy
    assert count(window) == 0


def test_a_quoted_text_is_shown_sent_with_the_question_and_gone_then(
    window: QuickAskWindow, qtbot: QtBot
) -> None:
    QGuiApplication.clipboard().setText("Train at 7:04\nfrom platform 3")
    assert not window.quote_bar.isVisible()
    QTest.mouseClick(window.clipboard, Qt.MouseButton.LeftButton)
    assert window.quote_bar.isVisible()
    assert "Train at 7:04 from platform 3" in window.quote_bar.accessibleName()
    ask(window, qtbot, "When?")
    assert texts(window)[0] == "> Train at 7:04\n> from platform 3\n\nWhen?"
    assert not window.quote_bar.isVisible()
    ask(window, qtbot, "Really?")
    assert texts(window)[2] == "Really?"


def test_a_quoted_text_that_is_removed_does_not_go_along(window: QuickAskWindow, qtbot: QtBot) -> None:
    QGuiApplication.clipboard().setText("secret")
    QTest.mouseClick(window.clipboard, Qt.MouseButton.LeftButton)
    QTest.mouseClick(window.quote_bar.remove, Qt.MouseButton.LeftButton)
    ask(window, qtbot, "Hello?")
    assert texts(window)[0] == "Hello?"


def test_what_is_on_the_clipboard_is_never_taken_unasked(window: QuickAskWindow, qtbot: QtBot) -> None:
    QGuiApplication.clipboard().setText("a password")
    window.put_aside()
    called(window)
    ask(window, qtbot, "Hello?")
    assert not window.quote_bar.isVisible()
    assert texts(window)[0] == "Hello?"


def test_an_empty_clipboard_is_told(window: QuickAskWindow) -> None:
    QGuiApplication.clipboard().clear()
    QTest.mouseClick(window.clipboard, Qt.MouseButton.LeftButton)
    assert not window.quote_bar.isVisible()
    assert "no text on the clipboard" in window._notice.text()


def test_a_quote_is_bounded_and_says_so() -> None:
    whole, cut = quote_of("word " * 1000), quote_of("word " * 10_000)
    assert whole is not None
    assert cut is not None
    assert (whole.cut, whole.size) == (False, "1000 words")
    assert (cut.cut, len(cut.text), cut.size) == (True, 20_000, "the first 4000 words")
    assert quote_of(" \n\t ") is None
    assert quote_of("") is None


def test_a_quote_keeps_the_shape_of_code_and_loses_what_nobody_sees() -> None:
    quote = quote_of("\ndef f():\r\n    return 1\u200b\n\n")
    assert quote == Quote("def f():\n    return 1")
    assert quote.with_question("Why?") == "> def f():\n>     return 1\n\nWhy?"


# --- keys, words and those who cannot see -------------------------------------------------------------------


def test_it_says_who_would_answer_and_why_its_keys_do_not_work(window: QuickAskWindow) -> None:
    window.show_state(READY, CHOICES)
    assert "this computer" in window._who.text()
    window.show_trouble("Another program uses Ctrl+Alt+Space.")
    assert window._notice.isVisible()
    assert window._notice.text() == "Another program uses Ctrl+Alt+Space."
    window.show_trouble("")
    assert not window._notice.isVisible()


def test_every_control_has_a_name_and_is_reached_by_tab(window: QuickAskWindow, qtbot: QtBot) -> None:
    ask(window, qtbot, "Hello?")
    window._set_quote(Quote("something"))
    wanted: set[QWidget] = {window.field, window.quote_bar.remove, window.copy, window.chat}
    assert window.view is not None
    wanted.add(window.view)
    for widget in wanted:
        interface = QAccessible.queryAccessibleInterface(widget)
        assert interface is not None
        assert interface.text(QAccessible.Text.Name), widget
    window.field.put("more")  # so that it can be sent
    window.field.setFocus()
    reached = []
    for _ in range(6):
        focused = QApplication.focusWidget()
        assert focused is not None
        reached.append(focused)
        QTest.keyClick(focused, Qt.Key.Key_Tab)
    below = [window.view, window.copy, window.chat]
    assert reached == [window.field, window.send, *below, window.quote_bar.remove]


@pytest.fixture
def large_font() -> Iterator[None]:
    """The system's font is set to twice its size."""
    before = QApplication.font()
    font = QApplication.font()
    font.setPointSizeF(font.pointSizeF() * 2)
    QApplication.setFont(font)
    yield
    QApplication.setFont(before)


@pytest.mark.usefixtures("large_font")
def test_nothing_is_clipped_at_a_font_twice_as_large(window: QuickAskWindow, qtbot: QtBot) -> None:
    ask(window, qtbot, "Hello?")
    window._set_quote(Quote("A long line of words that has to be folded somewhere. " * 3))
    window._tell("The answer was copied.")
    room = window.screen().availableGeometry()
    assert window.width() <= room.width()
    assert window.height() <= room.height()
    for button in window.findChildren(QPushButton):
        if button.isVisible():
            assert button.width() >= button.sizeHint().width()
            assert window.rect().contains(button.mapTo(window, button.rect().bottomRight()))


# --- the opener ---------------------------------------------------------------------------------------------


def test_keys_that_are_no_keys_are_told_to_who_set_them_and_in_the_window(
    window: QuickAskWindow, bridge: Bridge, app: App, qtbot: QtBot
) -> None:
    told: list[Notice] = []
    app.bus.listen(Notice, told.append)
    opener = QuickAsk(bridge, app, lambda: called(window))
    opener.use("Ctrl+Alt+Space")  # no screen here gives keys: at the start that is no news
    assert told == []
    assert opener.keys == ""
    opener.attend(window)
    assert window._notice.text() == opener.trouble != ""
    with qtbot.waitSignal(opener.changed, timeout=WAIT):
        opener.use("Strg+Leertaste")
    assert [notice.detail for notice in told] == [opener.trouble]
    assert "“Strg”" in opener.trouble
    assert window._notice.text() == opener.trouble
    opener.use("Strg+Leertaste")
    assert len(told) == 1
    with qtbot.waitSignal(opener.changed, timeout=WAIT):
        opener.use(None)
    assert opener.trouble == ""
    assert not window._notice.isVisible()
    opener.stop()


def test_the_opener_shows_the_window(window: QuickAskWindow, bridge: Bridge, app: App) -> None:
    opener = QuickAsk(bridge, app, lambda: called(window))
    window.put_aside()
    opener.open()
    assert window.isVisible()


def test_where_selections_are_not_told_none_is_offered() -> None:
    assert not QGuiApplication.clipboard().supportsSelection()  # as on Windows and macOS
    QGuiApplication.clipboard().setText("copied")
    assert Selections().new() is None
