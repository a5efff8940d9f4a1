"""The desktop's life with the real core, offscreen: start, windows, notices, errors, quitting in stages."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel
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


def test_a_new_chat_is_a_new_window_only_when_the_last_one_was_used(life: Life, qtbot: QtBot) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    desktop.show_window("chat")
    assert len(life.windows) == 1
    (window,) = life.windows
    assert isinstance(window, ChatWindow)
    window.ask("Hello")
    desktop.show_window("chat")
    assert len(life.windows) == 2
    qtbot.waitUntil(lambda: not window.conversation.busy, timeout=WAIT)


def test_a_second_start_brings_what_is_open_to_the_front(life: Life) -> None:
    desktop = life.make(background=False)
    life.begin()
    life.has("chat")
    desktop.show_window("logs")
    life.apps[0].bus.publish(WindowRequested("chat"))
    assert [window.kind for window in life.windows] == ["chat", "logs"]


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
    monkeypatch.setattr(life.tray, "notify", lambda title, detail: told.append(title))
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
