"""Both kinds of tray hosts, real ones: the menu used by mouse and keys, hosts that die and come back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.worlds import closed_port
from tests.ui.desktop.panel import Bus, Panel, missing_panel
from tests.ui.desktop.screen import Program, Screen, missing_tools, wait_for

_MISSING = missing_tools() + missing_panel()
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")

TO_OLLAMA = ("Down", "Down", "Down", "Right", "Down", "Down", "Return")
"""New chat, Quick ask, Backend, into it: Automatic, LM Studio, Ollama."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which the setup was done, on a computer without servers."""
    for name in ("LMSTUDIO", "LLAMACPP"):
        monkeypatch.setenv(f"WHISPER_LLM__{name}__PORT", str(closed_port()))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")
    return tmp_path / "home"


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as bus:
        yield bus


def chosen(home: Path) -> object:
    """The backend that is remembered."""
    choices = yaml.safe_load((home / "config" / "choices.yaml").read_text("utf-8"))
    return choices.get("llm", {}).get("backend")


def kinds(program: Program) -> list[str]:
    return [window["kind"] for window in program.ask("windows")]


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so in this time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def visible(screen: Screen) -> int:
    """How many windows can be seen on the screen, menus included."""
    return len(screen.xdotool("search", "--onlyvisible", "--maxdepth", 1, ".*").split())


def test_the_backend_is_switched_in_an_xembed_tray(home: Path) -> None:
    with Screen() as screen, Program(screen, home, "--background") as program:
        program.choose(*TO_OLLAMA)
        wait_for("choice", lambda: chosen(home) == "ollama")


def test_the_backend_is_switched_in_a_status_notifier_tray(home: Path, bus: Bus) -> None:
    with Screen(tray=False, bus=bus.address) as screen, Panel(bus, screen.env) as panel:
        panel.start()
        empty = panel.picture()
        with Program(screen, home, "--background") as program:
            wait_for("icon", lambda: panel.picture() != empty)
            # The panel has asked for the menu by the time the app has looked for servers. Before that, a
            # click opens the menu of the panel itself.
            wait_for("end of the scan", lambda: program.ask("entries")[0].startswith("No model found yet"))
            before = visible(screen)

            def switched() -> bool:
                screen.click(list(panel.place), 3)  # the panel's own menu, filled with our entries
                if within(2, lambda: visible(screen) > before):
                    screen.keys(*TO_OLLAMA)
                if within(2, lambda: chosen(home) == "ollama"):
                    return True
                screen.keys("Escape", "Escape")
                return False

            wait_for("choice", switched)
            assert kinds(program) == []


def test_when_a_panel_dies_the_stand_in_comes_and_leaves_when_it_is_back(home: Path, bus: Bus) -> None:
    with Screen(tray=False, bus=bus.address) as screen, Panel(bus, screen.env) as panel:
        panel.start()
        with Program(screen, home, "--background") as program:
            wait_for("icon", panel.icons)
            panel.stop()
            program.window("StandIn")
            panel.start()
            wait_for("icon", panel.icons)
            wait_for("end of the stand-in", lambda: kinds(program) == [])


def test_when_an_xembed_tray_dies_the_stand_in_comes_and_leaves_when_it_is_back(home: Path) -> None:
    with Screen() as screen, Program(screen, home, "--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        screen.stop_tray()
        program.window("StandIn")
        screen.start_tray()
        wait_for("end of the stand-in", lambda: kinds(program) == [])
        program.choose("Escape")


@pytest.mark.parametrize("host", ["status notifier", "xembed"])
def test_an_app_that_starts_before_any_host_gets_its_icon_when_one_comes(
    host: str, home: Path, bus: Bus
) -> None:
    with (
        Screen(tray=False, bus=bus.address) as screen,
        Panel(bus, screen.env) as panel,
        Program(screen, home, "--background") as program,
    ):
        program.window("StandIn")
        if host == "xembed":
            screen.start_tray()
            wait_for("icon", lambda: program.ask("tray"))
        else:
            panel.start()
            wait_for("icon", panel.icons)
        wait_for("end of the stand-in", lambda: kinds(program) == [])


def test_a_status_notifier_host_gets_pictures_in_the_sizes_of_panels(home: Path, bus: Bus) -> None:
    with Screen(tray=False, bus=bus.address) as screen, Panel(bus, screen.env) as panel:
        panel.start()
        with Program(screen, home, "--background"):
            item = wait_for("icon", panel.icons)
            name = item.split("'")[1].partition("/")[0]
            pictures = bus.call(
                name,
                "/StatusNotifierItem",
                "org.freedesktop.DBus.Properties.Get",
                "org.kde.StatusNotifierItem",
                "IconPixmap",
            )
            assert "(22, 22, " in pictures
