"""Messages reach the person by the desktop's service, else at the icon; a click opens the right window."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Waiter
from tests.ui.desktop.panel import Bus
from tests.ui.desktop.screen import ROOT
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.notifications import Notifier, Told
from whisper_desktop.ui.tray.tray import Tray

NEWS = Told("Zebra is downloaded.", "2 < 3 & more", window="models", value="", key="download 1")
PROBLEM = Told("The engine cannot run.", "No memory.", problem=True, window="logs")

needs_bus = pytest.mark.skipif(
    not all(map(shutil.which, ("dbus-daemon", "gdbus"))), reason="not installed: dbus-daemon, gdbus"
)


class Service:
    """The service, and the person in front of it."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.notification_service"],
            cwd=ROOT,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._shown: queue.Queue[list[object]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._shown.put(json.loads(line))

    def shown(self, qtbot: QtBot) -> list[object]:
        """What is shown next: its number, the number it replaces, title, body, actions, icon."""
        qtbot.waitUntil(lambda: not self._shown.empty(), timeout=WAIT)
        return self._shown.get()

    def click(self, number: object, action: str = "default") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"click {number} {action}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class AtIcon(Tray):
    """A tray icon whose messages can be seen, as offscreen none are."""

    def __init__(self, works: bool) -> None:
        super().__init__()
        self.works = works
        self.said: list[str] = []

    def notify(self, title: str, detail: str) -> bool:
        if self.works:
            self.said.append(title)
        return self.works


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    with Bus() as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        yield bus


@pytest.fixture
def service(bus: Bus, qtbot: QtBot) -> Iterator[Service]:
    service = Service(bus.address)
    qtbot.waitUntil(lambda: "org.freedesktop.Notifications" in bus.names(), timeout=WAIT)
    yield service
    service.end()


@pytest.fixture
def tray(qtbot: QtBot) -> Iterator[AtIcon]:
    tray = AtIcon(works=True)
    yield tray
    tray.hide()


@pytest.fixture
def notifier(bridge: Bridge, tray: AtIcon, wait: Waiter) -> Iterator[Notifier]:
    notifier = Notifier(bridge, tray)
    yield notifier
    wait(bridge.run(notifier.close()))


@needs_bus
def test_a_click_on_a_message_opens_its_window(service: Service, notifier: Notifier, qtbot: QtBot) -> None:
    notifier.tell(NEWS)
    number, replaces, title, body, actions, icon = service.shown(qtbot)
    assert (replaces, title, icon) == (0, "Zebra is downloaded.", "whisper-desktop")
    assert actions == ["default", "Open", "open", "Open"]
    assert body == "2 &lt; 3 &amp; more", "the service reads markup"
    with qtbot.waitSignal(notifier.clicked, timeout=WAIT) as said:
        service.click(number)
    assert said.args == ["models", ""]


@needs_bus
def test_progress_takes_the_place_of_what_was_said_before(
    service: Service, notifier: Notifier, qtbot: QtBot
) -> None:
    notifier.tell(NEWS)
    first = service.shown(qtbot)[0]
    notifier.tell(Told("Zebra could not be downloaded.", key="download 1"))
    assert service.shown(qtbot)[1] == first
    notifier.tell(Told("Another", key="download 2"))
    assert service.shown(qtbot)[1] == 0


@needs_bus
def test_a_service_that_dies_is_replaced_by_the_icon_and_used_again_when_it_is_back(
    service: Service, bus: Bus, notifier: Notifier, tray: AtIcon, qtbot: QtBot
) -> None:
    notifier.tell(NEWS)
    service.shown(qtbot)
    service.end()
    qtbot.waitUntil(lambda: "org.freedesktop.Notifications" not in bus.names(), timeout=WAIT)
    notifier.tell(PROBLEM)
    qtbot.waitUntil(lambda: tray.said == [PROBLEM.title], timeout=WAIT)
    again = Service(bus.address)
    qtbot.waitUntil(lambda: "org.freedesktop.Notifications" in bus.names(), timeout=WAIT)
    notifier.tell(PROBLEM)
    assert again.shown(qtbot)[2] == PROBLEM.title
    again.end()
    service.process = again.process


def test_without_a_bus_the_icon_says_it_and_its_click_opens_the_window(
    notifier: Notifier, tray: AtIcon, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    notifier.tell(PROBLEM)
    qtbot.waitUntil(lambda: tray.said == [PROBLEM.title], timeout=WAIT)
    with qtbot.waitSignal(notifier.clicked, timeout=WAIT) as said:
        tray.message_clicked.emit()
    assert said.args == ["logs", ""]


@pytest.mark.parametrize(
    ("level", "said"),
    [("all", [NEWS.title, PROBLEM.title]), ("problems", [PROBLEM.title]), ("none", [])],
)
def test_a_person_hears_only_what_they_want_to(
    level: str,
    said: list[str],
    notifier: Notifier,
    tray: AtIcon,
    wait: Waiter,
    bridge: Bridge,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    notifier.level = level
    notifier.tell(NEWS)
    notifier.tell(PROBLEM)
    qtbot.waitUntil(lambda: tray.said == said, timeout=WAIT)
