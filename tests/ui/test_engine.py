"""Our own engine before a person's eyes, a real one: it cannot start and is mended with a click, crashes,
gives its memory back, and says what it is doing.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from tests.engines.conftest import gone
from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from tests.ui.conftest import WAIT, Shown, Waiter
from whisper_desktop.app import App
from whisper_desktop.settings import remember_all
from whisper_desktop.settings.paths import CHOICES_FILE, config_dir
from whisper_desktop.ui.chat.conversation import Conversation
from whisper_desktop.ui.chat.rows import Kind
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.desktop import Desktop
from whisper_desktop.ui.logs.window import LogsWindow
from whisper_desktop.ui.tray.tray import Tray
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

LONG, SHORT = 100_000, 256  # tokens of context: the tiny model writes until it is full
FREE = "Free memory now"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@dataclass
class Life:
    """A desktop with a tray and a chat, whose only backend is the app's own engine."""

    desktop: Desktop
    tray: Tray
    app: App
    qtbot: QtBot
    wait: Waiter

    def set(self, key: str, value: object) -> None:
        """Change a setting."""
        self.wait(self.desktop.bridge.run(self.app.remember({key: value})))

    @property
    def chat(self) -> ChatWindow:
        """The newest one."""
        return [each for each in self.desktop.windows if isinstance(each, ChatWindow)][-1]

    @property
    def conversation(self) -> Conversation:
        """What the chat shows, once the store has opened."""
        self.qtbot.waitUntil(lambda: self.chat.conversation is not None, timeout=WAIT)
        assert self.chat.conversation is not None
        return self.chat.conversation

    def ask(self, question: str) -> None:
        conversation = self.conversation
        self.chat.ask(question)
        self.qtbot.waitUntil(lambda: not conversation.busy, timeout=WAIT)

    def status(self) -> EngineStatus:
        status = self.app.engine_status()
        assert status is not None
        return status

    def in_state(self, state: EngineState) -> EngineStatus:
        self.qtbot.waitUntil(lambda: self.status().state is state, timeout=WAIT)
        return self.status()

    def entry(self, text: str) -> QAction:
        """An entry of the tray's menu, as it stands now."""
        self.desktop.refresh()
        return next(each for each in self.tray.menu.actions() if each.text().startswith(text))


@pytest.fixture
def life(
    ui_loop: asyncio.AbstractEventLoop,
    wait: Waiter,
    qtbot: QtBot,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Life]:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    remember_all({"ui.setup_done": True, "llm.gguf_model_path": str(model), "llm.llamacpp.n_ctx": SHORT})
    closed = {"llm.lmstudio.port": closed_port(), "llm.llamacpp.port": closed_port()}
    app = App(
        overrides={"llm.fallback_chain": ("builtin",), **closed}, deadlines=Deadlines(engine_restart=0.02)
    )
    tray = Tray()
    desktop = Desktop(tray, ui_loop, make_app=lambda: app)
    ending = ui_loop.create_task(desktop.run())
    qtbot.waitUntil(lambda: bool(desktop.windows), timeout=WAIT)
    yield Life(desktop, tray, app, qtbot, wait)
    desktop.quit()
    qtbot.waitUntil(ending.done, timeout=WAIT)
    assert ending.result() == 0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def texts_of(card: object) -> str:
    assert hasattr(card, "findChildren")
    return " ".join(label.accessibleName() or label.text() for label in card.findChildren(QLabel))


def test_one_click_repairs_an_engine_that_cannot_start_and_asks_again(
    taken: int, life: Life, model: Path, qtbot: QtBot
) -> None:
    life.set("llm.llamacpp.engine_port", taken)
    life.ask("Hello?")
    card = life.chat.view.indexWidget(life.chat.model.index(1))
    words = texts_of(card)
    assert f"Port {taken} is taken by another program" in words
    assert (
        f"Programs that ask it on port {taken} have to be told." in words
    )  # what it costs, before the click
    buttons = card.findChildren(QPushButton)
    assert [button.text() for button in buttons][:2] == ["Use another port", "Try again"]
    assert buttons[0].isDefault()
    assert buttons[0].accessibleDescription().startswith("The engine chooses a free one.")

    QTest.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: life.chat.model.row(1).kind is Kind.ANSWER, timeout=WAIT)
    qtbot.waitUntil(lambda: not life.conversation.busy, timeout=WAIT)
    assert life.chat.model.rowCount() == 2
    assert life.chat.model.row(1).provenance is not None
    kept = yaml.safe_load((config_dir() / CHOICES_FILE).read_text("utf-8"))["llm"]["llamacpp"]["repairs"]
    assert kept == {str(model): ["port=auto"]}
    life.desktop.show_window("chat")  # the first answer has filled its whole context
    life.ask("And now?")
    assert life.chat.model.row(1).kind is Kind.ANSWER


def test_an_engine_that_is_killed_while_it_answers_says_so_and_is_there_again_by_itself(
    life: Life, qtbot: QtBot
) -> None:
    life.set("llm.llamacpp.n_ctx", LONG)
    assert life.conversation
    life.chat.ask("Hello?")
    qtbot.waitUntil(lambda: len(life.chat.model.row(1).text) > 100, timeout=WAIT)
    pid = life.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not life.conversation.busy, timeout=WAIT)
    row = life.chat.model.row(1)
    assert len(row.text) > 100  # what came stays
    assert "The built-in engine was ended from outside." in row.seam
    assert "the engine starts by itself" in row.seam
    again = life.in_state(EngineState.READY)
    assert again.pid != pid
    assert again.detail.startswith("Ready again. Before: The built-in engine was ended from outside.")


def test_the_tray_gives_the_memory_back_and_the_next_question_wakes_the_engine(
    life: Life, qtbot: QtBot
) -> None:
    assert not life.entry(FREE).isEnabled()  # in its place, but there is nothing to free
    life.ask("Hello?")
    pid = life.status().pid
    assert pid is not None
    qtbot.waitUntil(lambda: life.entry(FREE).isEnabled(), timeout=WAIT)
    assert life.entry(FREE).text() == f"{FREE}\tunder 0.1 GB in use"
    life.entry(FREE).trigger()
    life.in_state(EngineState.SLEEPING)
    assert gone(pid)
    assert life.entry("Ready: tiny on Built-in engine (asleep)")
    assert not life.entry(FREE).isEnabled()
    life.desktop.show_window("chat")  # the first answer has filled its whole context
    life.ask("Are you there?")
    assert life.chat.model.row(1).kind is Kind.ANSWER
    assert life.status().pid not in (None, pid)


def test_memory_in_use_is_not_freed_and_the_person_is_told(
    life: Life, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(life.tray, "notify", lambda title, detail: told.append(f"{title} {detail}"))
    life.set("llm.llamacpp.n_ctx", LONG)
    assert life.conversation
    life.chat.ask("Hello?")
    qtbot.waitUntil(lambda: bool(life.chat.model.row(1).text), timeout=WAIT)
    life.entry(FREE).trigger()
    qtbot.waitUntil(lambda: bool(told), timeout=WAIT)
    assert told == ["Nothing was freed. The engine is answering. Try again when it has finished."]
    assert life.conversation.busy
    life.conversation.stop()
    qtbot.waitUntil(lambda: not life.conversation.busy, timeout=WAIT)


def test_the_logs_window_says_what_the_engine_is_doing(life: Life, shown: Shown, qtbot: QtBot) -> None:
    window = shown(LogsWindow(life.desktop.bridge, life.app))

    def says(*parts: str) -> None:
        qtbot.waitUntil(lambda: all(part in texts_of(window) for part in parts), timeout=WAIT)

    says("The engine is not running.")
    life.ask("Hello?")
    says("The engine is ready, model tiny", f"process {life.status().pid}")
    life.entry(FREE).trigger()
    says("The engine is asleep", "It sleeps: its memory was asked for.")
