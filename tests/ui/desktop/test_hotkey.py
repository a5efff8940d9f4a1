"""Keys on a real X server: pressed by a person while another program has the focus."""

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from pytestqt.qtbot import QtBot
from Xlib import XK

from tests.ui.desktop.other import Other
from tests.ui.desktop.screen import Screen, missing_tools
from whisper_desktop.ui.hotkey.shortcut import read_shortcut
from whisper_desktop.ui.hotkey.x11 import X11Keys

_WANTED = [*missing_tools(), *(() if shutil.which("setxkbmap") else ("setxkbmap",))]
pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {', '.join(missing_tools())}")

WAIT = 20_000  # ms: how long a step may take on a busy machine
KEYS = read_shortcut("Ctrl+Alt+Space")


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with Screen(tray=False) as screen:
        yield screen


class Taker:
    """X11Keys, with what it told."""

    def __init__(self) -> None:
        self.presses = 0
        self.lost: list[str] = []
        self.keys = X11Keys(self._pressed, self.lost.append)

    def _pressed(self) -> None:
        self.presses += 1


@pytest.fixture
def taker(screen: Screen, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Callable[[], Taker]]:
    """`taker()`: one who takes keys on the screen."""
    monkeypatch.setenv("DISPLAY", screen.display)
    made: list[Taker] = []

    def make() -> Taker:
        made.append(Taker())
        return made[-1]

    yield make
    for each in made:
        each.keys.stop()


@pytest.fixture
def other(screen: Screen) -> Iterator[Other]:
    other = Other(screen)
    yield other
    other.close()


Taking = Callable[[], Taker]


def test_the_keys_are_heard_while_another_program_has_the_focus(
    screen: Screen, taker: Taking, other: Other, qtbot: QtBot
) -> None:
    ours = taker()
    assert ours.keys.start(KEYS) == ""
    screen.keys("ctrl+alt+space")
    qtbot.waitUntil(lambda: ours.presses == 1, timeout=WAIT)
    screen.keys("a", "ctrl+space", "ctrl+alt+shift+space", "ctrl+alt+space")
    qtbot.waitUntil(lambda: ours.presses == 2, timeout=WAIT)
    assert "a" in other.typed()  # what is typed still goes where it belongs
    assert ours.presses == 2


@pytest.mark.parametrize("lock", ["Num_Lock", "Caps_Lock"])
def test_a_lock_that_is_on_changes_nothing(
    screen: Screen, taker: Taking, other: Other, qtbot: QtBot, lock: str
) -> None:
    ours = taker()
    assert ours.keys.start(KEYS) == ""
    screen.keys(lock)
    try:
        screen.keys("ctrl+alt+space")
        qtbot.waitUntil(lambda: ours.presses == 1, timeout=WAIT)
    finally:
        screen.keys(lock)


def test_keys_that_are_held_count_once(screen: Screen, taker: Taking, qtbot: QtBot) -> None:
    ours = taker()
    assert ours.keys.start(KEYS) == ""
    screen.xdotool("keydown", "ctrl", "keydown", "alt", "keydown", "space", "sleep", "1.2", "keyup", "space")
    screen.xdotool("keydown", "space", "keyup", "space", "keyup", "alt", "keyup", "ctrl")
    qtbot.waitUntil(lambda: ours.presses >= 2, timeout=WAIT)
    assert ours.presses == 2


def test_keys_that_another_program_has_are_told_as_taken(
    screen: Screen, taker: Taking, other: Other, qtbot: QtBot
) -> None:
    other.grab(XK.XK_space)
    ours = taker()
    assert ours.keys.start(KEYS) == "Another program uses Ctrl+Alt+Space."
    assert ours.keys.start(read_shortcut("Ctrl+Alt+J")) == ""  # and it can be asked again


def test_keys_that_are_given_back_can_be_had_by_others(screen: Screen, taker: Taking, qtbot: QtBot) -> None:
    first, second = taker(), taker()
    assert first.keys.start(KEYS) == ""
    assert second.keys.start(KEYS) == "Another program uses Ctrl+Alt+Space."
    first.keys.stop()
    assert second.keys.start(KEYS) == ""


@pytest.mark.skipif("setxkbmap" in _WANTED, reason="not installed: setxkbmap")
def test_the_keys_follow_the_letters_to_another_layout(
    screen: Screen, taker: Taking, other: Other, qtbot: QtBot
) -> None:
    """Z and Y change their places between the American and the German layout."""
    ours = taker()
    assert ours.keys.start(read_shortcut("Ctrl+Alt+Z")) == ""
    subprocess.run(["setxkbmap", "de"], env=screen.env, check=True)

    def pressed() -> bool:  # again and again: nobody tells when a new layout has reached every program
        screen.keys("ctrl+alt+z")
        return ours.presses > 0

    try:
        qtbot.waitUntil(pressed, timeout=WAIT)
        other.typed()
        before = ours.presses
        screen.keys("ctrl+alt+y")
        qtbot.waitUntil(lambda: "z" in other.typed(), timeout=WAIT)  # by the layout that it has begun with
        assert ours.presses == before
    finally:
        subprocess.run(["setxkbmap", "us"], env=screen.env, check=True)


def test_a_key_that_the_keyboard_does_not_have_is_told(taker: Taking) -> None:
    assert taker().keys.start(read_shortcut("Ctrl+F24")) == "This keyboard has no key “F24”."


def test_a_screen_that_ends_is_told_and_nothing_breaks(
    taker: Taking, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    with Screen(tray=False) as short:
        monkeypatch.setenv("DISPLAY", short.display)
        ours = taker()
        assert ours.keys.start(KEYS) == ""
    qtbot.waitUntil(lambda: len(ours.lost) == 1, timeout=WAIT)
    ours.keys.activate(1)
    ours.keys.stop()


def test_without_a_screen_that_is_told(taker: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    assert "could not be asked" in taker().keys.start(KEYS)
