"""Two side by side with two real test servers: both answer, one fails, the person goes on with one."""

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QStackedWidget
from pytestqt.qtbot import QtBot

from tests.integration.test_scenarios import CHAT_MODEL
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, Waiter, World
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Attachment, Choice, TurnState
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.compare import CompareView
from whisper_desktop.ui.chat.compare_column import CompareColumn
from whisper_desktop.ui.chat.rows import who_line
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.values import Role

QWEN, LLAMA = Choice("lm_studio", "qwen3.5-4b"), Choice("ollama", "llama3.2:3b")


@pytest.fixture
def two(world: World, servers: ServerFactory, bridge: Bridge, wait: Waiter) -> App:
    """An app that sees LM Studio and Ollama, each with a model."""
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    ollama = servers("ollama", models=[{"id": "llama3.2:3b", "loaded": True}])
    app = world(lm_studio=lm_studio.port, ollama=ollama.port)
    wait(bridge.run(app.scan()))
    return app


class Compared:
    """A view on the screen, at an empty conversation."""

    def __init__(self, app: App, bridge: Bridge, wait: Waiter, window: AppWindow, qtbot: QtBot) -> None:
        self.app, self._bridge, self._wait, self._qtbot = app, bridge, wait, qtbot
        self.view = CompareView(bridge, app, window.spawn)
        self.place = QStackedWidget(window)
        self.place.addWidget(self.view)
        self.place.resize(1000, 600)
        self.place.show()
        self.session: Session = wait(bridge.run(app.chats.new()))
        self.view.begin(self.session, app.backend_choices())

    @property
    def columns(self) -> tuple[CompareColumn, CompareColumn]:
        """Left and right."""
        return self.view.columns

    def ask(self, question: str) -> None:
        """A question to both, until both have answered."""
        self.view.ask(question)
        self.settled()

    def settled(self) -> None:
        """No answer comes any more."""
        self._qtbot.waitUntil(lambda: not self.view.busy, timeout=WAIT)

    def texts(self, number: int) -> list[str]:
        """What stands in a column."""
        model = self.columns[number].model
        return [model.row(row).text for row in range(model.rowCount())]

    def again(self, do: Callable[[], object]) -> None:
        """Do something that asks both."""
        do()
        self.settled()


@pytest.fixture
def compared(two: App, bridge: Bridge, wait: Waiter, shown: Shown, qtbot: QtBot) -> Compared:
    return Compared(two, bridge, wait, shown(AppWindow("chat", "", bridge)), qtbot)


def test_two_models_that_are_ready_are_proposed(compared: Compared) -> None:
    assert {column.choice for column in compared.columns} == {QWEN, LLAMA}
    assert "qwen3.5-4b · LM Studio" in {column.who.text() for column in compared.columns}


def set_both(compared: Compared) -> None:
    for column, choice in zip(compared.columns, (QWEN, LLAMA), strict=True):
        column.begin(choice)


def test_both_answer_one_question_and_each_says_who_it_was(compared: Compared) -> None:
    set_both(compared)
    compared.ask("Hello")
    for number, name in enumerate(("qwen3.5-4b · LM Studio", "llama3.2:3b · Ollama")):
        assert compared.texts(number) == ["Hello", "You said: Hello"]
        line = who_line(compared.columns[number].model.row(1))
        assert name in line
        assert "this computer" in line
    question, *answers = compared.session.nodes.values()
    assert [each.parent for each in answers] == [question.id, question.id]


def test_a_second_question_goes_below_each_of_the_answers(compared: Compared) -> None:
    set_both(compared)
    compared.ask("Hello")
    first = [each.id for each in compared.session.nodes.values() if each.role is Role.ASSISTANT]
    compared.ask("And then?")
    second = [each for each in compared.session.nodes.values() if each.text == "And then?"]
    assert [each.parent for each in second] == first
    assert compared.texts(1) == ["Hello", "You said: Hello", "And then?", "You said: And then?"]


def test_both_are_asked_again_beside_what_they_answered(compared: Compared) -> None:
    set_both(compared)
    assert not compared.view.again_button.isEnabled()
    compared.ask("Hello")
    compared.again(compared.view.again_button.click)
    assert compared.texts(0) == ["Hello", "You said: Hello"]
    roles = [each.role for each in compared.session.nodes.values()]
    assert roles.count(Role.USER) == 1
    assert roles.count(Role.ASSISTANT) == 4


def test_the_person_goes_on_with_one_of_them(compared: Compared, qtbot: QtBot) -> None:
    set_both(compared)
    assert not compared.columns[1].pick.isEnabled()
    compared.ask("Hello")
    with qtbot.waitSignal(compared.view.ended, timeout=WAIT) as ended:
        QTest.mouseClick(compared.columns[1].pick, Qt.MouseButton.LeftButton)
    _question, _first, second = compared.session.nodes
    assert ended.args == [second]
    assert (compared.session.backend, compared.session.model) == (LLAMA.backend, LLAMA.model)
    assert not compared.view.active


def test_one_that_fails_leaves_the_other_alone(compared: Compared) -> None:
    set_both(compared)
    compared.columns[0].begin(Choice("jan", "not-there"))
    compared.ask("Hello")
    assert compared.columns[0].model.row(1).error is not None
    assert not compared.columns[0].pick.isEnabled()
    assert compared.texts(1) == ["Hello", "You said: Hello"]
    assert compared.columns[1].pick.isEnabled()


def test_stop_ends_both_and_what_came_stays(
    world: World, servers: ServerFactory, bridge: Bridge, wait: Waiter, shown: Shown, qtbot: QtBot
) -> None:
    slow = ("--fault", "hang")
    lm_studio = servers("lm_studio", *slow, models=[CHAT_MODEL])
    ollama = servers("ollama", *slow, models=[{"id": "llama3.2:3b", "loaded": True}])
    app = world(lm_studio=lm_studio.port, ollama=ollama.port)
    compared = Compared(app, bridge, wait, shown(AppWindow("chat", "", bridge)), qtbot)
    set_both(compared)
    compared.view.ask("Hello")
    qtbot.waitUntil(lambda: compared.session.answering, timeout=WAIT)
    compared.again(compared.view.stop)
    states = {each.state for each in compared.session.nodes.values() if each.role is Role.ASSISTANT}
    assert states == {TurnState.STOPPED}
    assert not any(column.model.row(1).active for column in compared.columns)


def test_nothing_is_asked_while_answers_are_coming(compared: Compared, qtbot: QtBot) -> None:
    set_both(compared)
    with qtbot.waitSignal(compared.view.busy_changed) as busy:
        compared.view.ask("Hello")
    assert busy.args == [True]
    compared.view.ask("Too early")
    compared.settled()
    assert [each.text for each in compared.session.nodes.values()].count("Too early") == 0


def test_what_is_written_goes_on_while_another_chat_is_shown(compared: Compared, qtbot: QtBot) -> None:
    set_both(compared)
    compared.view.ask("Hello")
    compared.view.leave()
    assert compared.texts(0) == []
    qtbot.waitUntil(
        lambda: [each.state for each in compared.session.nodes.values()] == [TurnState.COMPLETE] * 3,
        timeout=WAIT,
    )
    assert compared.texts(0) == []


def test_a_narrow_window_puts_one_above_the_other(compared: Compared, qtbot: QtBot) -> None:
    left, right = compared.columns
    assert left.y() == right.y()
    compared.place.resize(420, 600)
    qtbot.waitUntil(lambda: right.y() > left.y())
    assert right.x() == left.x()
    assert compared.view.width() == 420
    assert compared.view.minimumSizeHint().width() < 420


def test_closing_goes_back_to_the_path_of_the_first(compared: Compared, qtbot: QtBot) -> None:
    set_both(compared)
    compared.ask("Hello")
    with qtbot.waitSignal(compared.view.ended, timeout=WAIT) as ended:
        compared.view.close_button.click()
    assert ended.args == [compared.session.path[-1].id]
    assert compared.session.backend is None


def test_attachments_go_to_both(compared: Compared, tmp_path: object, bridge: Bridge, wait: Waiter) -> None:
    set_both(compared)
    notes: Attachment = wait(bridge.run(compared.app.chats.attach_bytes(b"some notes", "notes.txt")))
    compared.view.ask("What is in it?", (notes,))
    compared.settled()
    assert compared.columns[1].model.row(0).attachments == (notes,)
    assert next(iter(compared.session.nodes.values())).attachments == (notes,)
