"""What the window tests share: the Qt loop as an asyncio loop, a bridge with a core thread, a real `App`.

Qt runs offscreen here. `tests/ui/desktop` starts the whole app on a real X server with a real tray host.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QT_API"] = "pyside6"

import pytest
import qasync
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from tests.integration.worlds import closed_port
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.chat.session import Ask
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    Completion,
    Deadlines,
    Message,
    Provenance,
    Reach,
    StreamEvent,
    TextDelta,
    Usage,
)

W = TypeVar("W", bound=AppWindow)
T = TypeVar("T")

WAIT = 15_000  # ms: how long a test waits for something that takes milliseconds on a quiet machine


@pytest.fixture
def ui_loop(qapp: QApplication) -> Iterator[asyncio.AbstractEventLoop]:
    """Qt's loop as an asyncio loop, driven by `qtbot`."""
    qapp.setQuitOnLastWindowClosed(False)
    loop = qasync.QEventLoop(qapp)
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def errors() -> list[BaseException]:
    """What UI tasks reported. A test that expects an error empties the list."""
    return []


@pytest.fixture
def bridge(ui_loop: asyncio.AbstractEventLoop, errors: list[BaseException], qtbot: QtBot) -> Iterator[Bridge]:
    """A bridge with its core thread; it must end, and nothing may have gone wrong unseen."""
    bridge = Bridge(ui_loop, errors.append)
    bridge.start()
    yield bridge
    if bridge.busy:
        stopping = ui_loop.create_task(bridge.stop(5.0))
        qtbot.waitUntil(stopping.done, timeout=WAIT)
        assert stopping.result(), "the core thread did not end"
    assert errors == []


class Waiter:
    """Runs coroutines from a test that is not one itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, qtbot: QtBot) -> None:
        self._loop = loop
        self._qtbot = qtbot

    def __call__(self, coroutine: Any) -> Any:
        task = asyncio.ensure_future(coroutine, loop=self._loop)
        self._qtbot.waitUntil(task.done, timeout=WAIT)
        return task.result()


@pytest.fixture
def wait(ui_loop: asyncio.AbstractEventLoop, qtbot: QtBot) -> Waiter:
    """`wait(coroutine)`: its result, while Qt goes on."""
    return Waiter(ui_loop, qtbot)


@dataclass
class World:
    """Starts real cores that see only the servers a test has started; `stub` answers without a model."""

    bridge: Bridge
    wait: Waiter
    started: list[App]

    def __call__(
        self,
        *,
        lm_studio: int | None = None,
        ollama: int | None = None,
        stub: bool = False,
        deadlines: Deadlines | None = None,
    ) -> App:
        """A started app. Servers are given by their ports; without one, nothing listens on it."""
        overrides: dict[str, object] = {
            "llm.lmstudio.port": lm_studio or closed_port(),
            "llm.llamacpp.port": closed_port(),
        }
        env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{ollama or closed_port()}"}
        if stub:
            env["WHISPER_LLM_STUB"] = "1"
        app = App(env=env, overrides=overrides, deadlines=deadlines)
        self.bridge.listen(app.bus)
        self.wait(self.bridge.run(app.start()))
        self.started.append(app)
        return app


@pytest.fixture
def world(bridge: Bridge, wait: Waiter) -> Iterator[World]:
    """Makes started apps and stops them."""
    world = World(bridge, wait, [])
    yield world
    for app in world.started:
        if bridge.busy:
            wait(bridge.run(app.stop()))


@pytest.fixture
def app(world: World) -> App:
    """The real core in a home of its own, with the stub as its only backend."""
    return world(stub=True)


class Shown:
    """Shows windows of the app and closes those that are still open at the end."""

    def __init__(self, qtbot: QtBot) -> None:
        self._qtbot = qtbot
        self._windows: list[AppWindow] = []

    def __call__(self, window: W) -> W:
        self._windows.append(window)
        with self._qtbot.waitExposed(window):
            window.show()
        return window

    def close_all(self) -> None:
        """Close what is open."""
        for window in self._windows:
            if isValid(window):
                window.leave()


@pytest.fixture
def shown(bridge: Bridge, qtbot: QtBot) -> Iterator[Shown]:
    """`shown(window)`: the window, on the (offscreen) screen until the test ends."""
    shown = Shown(qtbot)
    yield shown
    shown.close_all()


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the keyring of whoever runs it."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


class Chats:
    """Makes conversations that are kept, as they are after the stub has answered."""

    def __init__(self, bridge: Bridge, app: App, wait: Waiter) -> None:
        self._bridge = bridge
        self._app = app
        self._wait = wait

    def __call__(self, title: str, *questions: str) -> str:
        """The id of a conversation with this title in which these were asked, one after the other."""
        made: str = self._wait(self._bridge.run(self._make(title, questions or (f"About {title}?",))))
        return made

    async def _make(self, title: str, questions: Sequence[str]) -> str:
        session = await self._app.chats.new()
        for question in questions:
            async with aclosing(session.send(question)) as events:
                async for _event in events:
                    pass
        session.rename(title)
        return session.id

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """A call of `App.chats`, to its result."""
        result: T = self._wait(self._bridge.run(work))
        return result


@pytest.fixture
def chats(bridge: Bridge, app: App, wait: Waiter) -> Chats:
    """`chats(title, question, ...)`: the id of a conversation of `app`."""
    return Chats(bridge, app, wait)


def completion(text: str, *attempts: Attempt, reason: str = "", backend: str = "ollama") -> Completion:
    """A whole answer from Ollama."""
    origin = Provenance(
        backend=backend,
        server_name="Ollama",
        url="http://127.0.0.1:11434",
        model="qwen3.5:4b",
        reach=Reach.THIS_MACHINE,
        as_given=False,
        reason=reason,
        attempts=attempts
        or (Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "qwen3.5:4b", None, "", 0.6),),
        ttft_seconds=0.61,
        total_seconds=4.2,
        tokens_per_second=31.2,
    )
    return Completion(text, "", "stop", Usage(), origin)


def answering(text: str, *, step: int = 5) -> Ask:
    """What a `Session` asks: an answer in pieces of `step` characters, as a server would stream it."""

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        yield AnswerStarted("ollama", "Ollama", "qwen3.5:4b", Reach.THIS_MACHINE)
        for start in range(0, len(text), step):
            yield TextDelta(text[start : start + step])
            await asyncio.sleep(0)
        yield AnswerFinished(completion(text, backend="guide" if session.guide else "ollama"))

    return ask


def failing(error: Exception, text: str = "") -> Ask:
    """What a `Session` asks: some text, perhaps, and then an error."""

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        if text:
            yield TextDelta(text)
        raise error

    return ask


# Qt warnings fail tests (pyproject). These say what the offscreen platform cannot do, nothing about us: talk
# to a window manager (size hints, raising), grab the keyboard for a menu, tell of the tray's window.
_OFFSCREEN_WARNINGS = (
    "This plugin does not support propagateSizeHints",
    "This plugin does not support raise",
    "This plugin does not support grabbing the keyboard",
    "No such signal QPlatformNativeInterface::systemTrayWindowChanged",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore what the offscreen platform says about itself, in the window tests only."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.qt_log_ignore(*_OFFSCREEN_WARNINGS))
