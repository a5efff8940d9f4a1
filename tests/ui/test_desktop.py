"""The desktop's life with the real core, offscreen: start, windows, notices, errors, quitting in stages."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT
from whisper_desktop.app import App
from whisper_desktop.errors import SettingsError
from whisper_desktop.events import Notice, WindowRequested
from whisper_desktop.settings.paths import model_cache_dir
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.desktop import Desktop
from whisper_desktop.ui.languages import speak
from whisper_desktop.ui.notifications import Notifier, Told
from whisper_desktop.ui.theme import follow, is_dark
from whisper_desktop.ui.tray.tray import Tray
from whisper_desktop.ui.window import AppWindow


class Life:
    """Starts desktops and ends them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, qtbot: QtBot) -> None:
        self._loop = loop
        self._qtbot = qtbot
        self.tray = Tray()
        self.apps: list[App] = []
        self.desktop: Desktop | None = None
        self.task: asyncio.Task[int] | None = None

    def make(self, make_app: Callable[[], App] | None = None, *, background: bool = True) -> Desktop:
        """A desktop that has not begun."""
        self.desktop = Desktop(self.tray, self._loop, make_app=make_app or self._app, background=background)
        return self.desktop

    def begin(self) -> None:
        """Let it run."""
        assert self.desktop is not None
        self.task = self._loop.create_task(self.desktop.run())

    def _app(self) -> App:
        app = App(overrides={"llm.stub": True, "llm.lmstudio.port": closed_port()})
        self.apps.append(app)
        return app

    @property
    def windows(self) -> list[AppWindow]:
        """The open windows."""
        assert self.desktop is not None
        return self.desktop.windows

    def has(self, kind: str) -> None:
        """Wait for a window."""
        self._qtbot.waitUntil(lambda: kind in [window.kind for window in self.windows], timeout=WAIT)

    def end(self) -> int:
        """Quit and wait; the exit code."""
        assert self.desktop is not None
        assert self.task is not None
        self.desktop.quit()
        self._qtbot.waitUntil(self.task.done, timeout=WAIT)
        assert not self.desktop.bridge.busy
        return self.task.result()


@pytest.fixture
def life(ui_loop: asyncio.AbstractEventLoop, qtbot: QtBot, setup_done: None) -> Iterator[Life]:
    life = Life(ui_loop, qtbot)
    yield life
    if life.task is not None and not life.task.done():
        life.end()
    life.tray.hide()
    follow("system")  # the whole test run has one palette


@pytest.fixture
def setup_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_UI__SETUP_DONE", "1")


def test_the_first_start_opens_the_setup(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPER_UI__SETUP_DONE")
    life.make()
    life.begin()
    life.has("setup")
    assert life.end() == 0


def test_an_ordinary_start_opens_a_chat(life: Life) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")


def test_a_window_asked_for_while_the_app_starts_opens_when_it_has_started(life: Life) -> None:
    life.make()
    life.tray.chosen.emit("logs", None)
    life.begin()
    life.has("logs")


def test_there_is_one_chat_window_which_is_kept_when_it_is_closed(life: Life) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    (window,) = life.windows
    window.close()
    assert (window.isVisible(), life.windows) == (False, [window])
    desktop.show_window("chat")
    assert (window.isVisible(), life.windows) == (True, [window])


def test_new_chat_in_the_menu_begins_an_empty_one_in_that_window(life: Life, qtbot: QtBot) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")
    (window,) = life.windows
    assert isinstance(window, ChatWindow)
    qtbot.waitUntil(lambda: window.conversation is not None, timeout=WAIT)
    window.ask("Hello")
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    life.tray.chosen.emit("chat", None)
    qtbot.waitUntil(lambda: window.model.rowCount() == 0, timeout=WAIT)
    assert life.windows == [window]


def test_a_recent_chat_is_in_the_menu_and_opens(life: Life, qtbot: QtBot) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")
    (window,) = life.windows
    assert isinstance(window, ChatWindow)
    qtbot.waitUntil(lambda: window.conversation is not None, timeout=WAIT)
    window.ask("Hello")
    qtbot.waitUntil(lambda: bool(life.apps[0].chats.recent()), timeout=WAIT)
    (recent,) = life.apps[0].chats.recent()
    life.tray.chosen.emit("chat", None)
    qtbot.waitUntil(lambda: window.model.rowCount() == 0, timeout=WAIT)
    life.tray.chosen.emit("open_chat", recent.id)
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)


def test_a_second_start_brings_what_is_open_to_the_front(life: Life) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    desktop.show_window("logs")
    life.apps[0].bus.publish(WindowRequested("chat"))
    assert [window.kind for window in life.windows] == ["chat", "logs"]


def test_a_second_start_shows_a_chat_where_only_hidden_windows_are(life: Life, qtbot: QtBot) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")
    life.windows[0].close()
    life.apps[0].bus.publish(WindowRequested("chat"))
    qtbot.waitUntil(life.windows[0].isVisible, timeout=WAIT)


def test_a_notice_keeps_the_badge_until_the_menu_was_read(life: Life, qtbot: QtBot) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")
    life.apps[0].bus.publish(Notice("A setting cannot be used.", needs_attention=True))
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text() == "A setting cannot be used.", timeout=WAIT)
    life.tray.menu.popup(life.tray.menu.pos())
    life.tray.menu.hide()
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)


def test_a_core_that_cannot_start_says_why_and_ends(life: Life, qtbot: QtBot) -> None:
    def broken() -> App:
        raise SettingsError("The folder cannot be created.", "The disk is full.", "Free some space.")

    life.make(broken)
    life.begin()
    life.has("fatal")
    words = [label.text() for label in life.windows[0].findChildren(QLabel)]
    assert words == ["The folder cannot be created.", "The disk is full.", "Free some space."]
    life.windows[0].close()
    assert life.task is not None
    qtbot.waitUntil(life.task.done, timeout=WAIT)
    assert life.task.result() == 1


def test_a_mistake_of_ours_at_the_start_is_no_traceback(
    life: Life, qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong() -> App:
        raise ZeroDivisionError("a mistake")

    life.make(wrong)
    life.begin()
    life.has("fatal")
    words = " ".join(label.text() for label in life.windows[0].findChildren(QLabel))
    assert "ZeroDivisionError" not in words
    assert "ZeroDivisionError" in caplog.text
    life.windows[0].close()


def test_quitting_stops_an_answer_and_closes_every_window(life: Life, qtbot: QtBot) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    window = life.windows[0]
    assert isinstance(window, ChatWindow)
    qtbot.waitUntil(lambda: window.conversation is not None, timeout=WAIT)
    window.ask("Hello")
    desktop.show_window("logs")
    assert life.end() == 0
    assert life.windows == []


@pytest.mark.parametrize("action", ["setup", "settings", "logs"])
def test_the_menu_opens_every_window_once(action: str, life: Life) -> None:
    life.make(background=False)
    life.begin()
    life.has("chat")
    for _ in range(2):
        life.tray.chosen.emit(action, None)
    assert [window.kind for window in life.windows] == ["chat", action]


def test_a_download_is_told_in_the_menu_and_its_end_too(
    life: Life, servers: ServerFactory, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hub" / "org" / "Zebra-GGUF"
    folder.mkdir(parents=True)
    (folder / "zebra-Q4_K_M.gguf").write_bytes(os.urandom(1_000_000))
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    hub.set_fault("slow", 400_000, on="cdn")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    told: list[str] = []
    monkeypatch.setattr(Notifier, "tell", lambda _self, what: told.append(what.title))
    desktop = life.make()
    life.begin()
    qtbot.waitUntil(lambda: bool(life.apps), timeout=WAIT)
    desktop.show_window("models")
    life.has("models")
    (window,) = life.windows
    window.spawn(_pulled(desktop.bridge, life.apps[0], "org/Zebra-GGUF/zebra-Q4_K_M.gguf"))

    def models() -> str:
        return next(
            action.text() for action in life.tray.menu.actions() if action.text().startswith("Models")
        )

    qtbot.waitUntil(lambda: "downloading" in models(), timeout=WAIT)
    window.close()
    hub.set_fault()
    qtbot.waitUntil(lambda: told == ["zebra-Q4_K_M is downloaded."], timeout=WAIT)
    qtbot.waitUntil(lambda: "downloading" not in models(), timeout=WAIT)


async def _pulled(bridge: Bridge, app: App, source: str) -> None:
    await bridge.run(app.models.pull(source))


def test_what_an_earlier_run_was_downloading_goes_on_at_the_next_start(
    life: Life, servers: ServerFactory, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hub" / "org" / "Zebra-GGUF"
    folder.mkdir(parents=True)
    (folder / "zebra-Q4_K_M.gguf").write_bytes(os.urandom(1_000_000))
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    hub.set_fault("slow", 400_000, on="cdn")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    first = life.make()
    life.begin()
    qtbot.waitUntil(lambda: bool(life.apps), timeout=WAIT)
    first.show_window("models")
    life.has("models")
    life.windows[0].spawn(_pulled(first.bridge, life.apps[0], "org/Zebra-GGUF/zebra-Q4_K_M.gguf"))
    qtbot.waitUntil(lambda: _states(life.apps[0]) == ["running"], timeout=WAIT)
    life.end()
    hub.set_fault()
    life.make()
    life.begin()
    arrived = model_cache_dir(None) / "org" / "Zebra-GGUF" / "zebra-Q4_K_M.gguf"
    qtbot.waitUntil(arrived.is_file, timeout=WAIT)


def _states(app: App) -> list[str]:
    return [job.state for job in app.models.downloads.jobs()]


def test_switching_in_the_menu_takes_effect_and_says_what_answers_and_where(
    life: Life, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Told] = []
    monkeypatch.setattr(Notifier, "tell", lambda _self, what: told.append(what))
    life.make()
    life.begin()
    qtbot.waitUntil(lambda: bool(life.tray.menu.actions()[1:]), timeout=WAIT)
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)
    life.tray.chosen.emit("backend", "openrouter")
    qtbot.waitUntil(lambda: bool(told), timeout=WAIT)
    assert life.apps[0].loaded.settings.llm.backend == "openrouter"
    assert told[-1].title == "OpenRouter answers from the next message on."
    assert "cloud" in told[-1].detail


def test_staying_on_this_computer_goes_back_to_what_held_before(
    life: Life, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notifier, "tell", lambda _self, _what: None)
    desktop = life.make()
    life.begin()
    qtbot.waitUntil(lambda: bool(life.apps), timeout=WAIT)
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)
    app = life.apps[0]

    def reach() -> str:
        return app.loaded.settings.llm.reach.value

    life.tray.chosen.emit("local_only", None)
    life.has("settings")
    assert reach() == "this_machine", "nothing is widened unseen"
    desktop.bridge.spawn(_remembered(desktop.bridge, app, "my_network"))
    qtbot.waitUntil(lambda: reach() == "my_network", timeout=WAIT)
    life.tray.chosen.emit("local_only", None)
    qtbot.waitUntil(lambda: reach() == "this_machine", timeout=WAIT)
    life.tray.chosen.emit("local_only", None)
    qtbot.waitUntil(lambda: reach() == "my_network", timeout=WAIT)


async def _remembered(bridge: Bridge, app: App, reach: str) -> None:
    await bridge.run(app.remember({"llm.reach": reach}))


def test_where_windows_were_is_kept_for_the_next_start(life: Life, qtbot: QtBot) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    desktop.show_window("logs")
    desktop.windows[-1].resize(543, 432)
    life.end()
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    desktop.show_window("logs")
    assert (desktop.windows[-1].width(), desktop.windows[-1].height()) == (543, 432)


def test_settings_take_effect_at_once(life: Life, qtbot: QtBot) -> None:
    desktop = life.make()
    life.begin()
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)
    desktop.bridge.spawn(_set(desktop.bridge, life.apps[0], {"ui.theme": "dark", "ui.notifications": "none"}))
    qtbot.waitUntil(lambda: is_dark(QApplication.palette()), timeout=WAIT)
    assert desktop.notifier.level == "none"
    desktop.bridge.spawn(_set(desktop.bridge, life.apps[0], {"ui.theme": "system"}))
    qtbot.waitUntil(lambda: not is_dark(QApplication.palette()), timeout=WAIT)


async def _set(bridge: Bridge, app: App, choices: dict[str, object]) -> None:
    await bridge.run(app.remember(choices))


@pytest.fixture
def in_english() -> Iterator[None]:
    """The rest of the test run has one language."""
    yield
    speak("en")


@pytest.mark.usefixtures("in_english")
def test_another_language_is_spoken_by_the_windows_that_are_open(life: Life, qtbot: QtBot) -> None:
    desktop = life.make()
    life.begin()
    qtbot.waitUntil(lambda: len(life.apps) == 1 and life.tray.menu.actions() != [], timeout=WAIT)
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)
    desktop.show_window("chat")
    desktop.show_window("ask")
    desktop.show_window("settings", "ui.language")

    def shown() -> dict[str, str]:
        return {window.kind: window.windowTitle() for window in life.windows if window.isVisible()}

    settings = next(window for window in life.windows if window.kind == "settings")
    ask = next(window for window in life.windows if window.kind == "ask")
    ask.close()
    desktop.bridge.spawn(_set(desktop.bridge, life.apps[0], {"ui.language": "de"}))
    qtbot.waitUntil(lambda: shown().get("settings") == "Einstellungen – Whisper Desktop", timeout=WAIT)
    assert shown()["chat"] == "Neuer Chat – Whisper Desktop"
    assert [window.kind for window in life.windows] == ["chat", "settings"], (
        "what was hidden is made when wanted"
    )
    again = next(window for window in life.windows if window.kind == "settings")
    assert again is not settings
    assert again.place == "ui.language", "it is where the person was"


@pytest.mark.usefixtures("in_english")
def test_a_window_in_which_something_is_written_changes_its_language_once_it_was_closed(
    life: Life, qtbot: QtBot
) -> None:
    desktop = life.make()
    life.begin()
    qtbot.waitUntil(lambda: len(life.apps) == 1 and life.tray.menu.actions() != [], timeout=WAIT)
    qtbot.waitUntil(lambda: life.tray.menu.actions()[0].text().startswith("Ready"), timeout=WAIT)
    desktop.show_window("chat")
    chat = life.windows[0]
    assert isinstance(chat, ChatWindow)
    chat.composer.editor.setPlainText("half a question")
    desktop.bridge.spawn(_set(desktop.bridge, life.apps[0], {"ui.language": "de"}))
    qtbot.waitUntil(lambda: chat.outdated, timeout=WAIT)
    assert chat.composer.editor.toPlainText() == "half a question"
    chat.close()
    assert chat in life.windows, "still something is written in it"
    desktop.show_window("chat")
    chat.composer.clear()
    chat.close()
    assert life.windows == []
