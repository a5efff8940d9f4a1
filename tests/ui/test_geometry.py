"""Windows come back where they were, and always so that the whole window can be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QRect, QSize
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.geometry import Place, WindowPlaces, chosen, fitted, read, with_newest, written
from whisper_desktop.ui.window import AppWindow

LAPTOP, BEAMER = QRect(0, 0, 1280, 800), QRect(1280, 0, 1920, 1080)
SCREENS = {"eDP-1": LAPTOP, "HDMI-1": BEAMER}
SIDES = st.integers(-70_000, 70_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[1]",
        "[[]]",
        '[["a",1,2,3]]',
        '[["a",1,2,0,5,false]]',
        '[["a",1,2,99999999,5,false]]',
    ]
    + ["[" * 5000, '[["a",1.5,2,3,4,false]]', '[["a",1,2,3,4,"yes"]]'],
)
def test_a_text_that_is_no_list_of_places_is_none(text: str) -> None:
    assert read(text) == ()


@given(st.text(max_size=40), SIDES, SIDES, st.integers(1, 60_000), st.integers(1, 60_000), st.booleans())
def test_what_is_written_is_read(
    screen: str, x: int, y: int, width: int, height: int, maximised: bool
) -> None:
    place = Place(screen, x, y, width, height, maximised)
    expected = (place,) if abs(x) <= 65_535 and abs(y) <= 65_535 else ()
    assert read(written([place])) == expected


def test_each_screen_has_one_place_and_the_newest_comes_first() -> None:
    first, second = Place("eDP-1", 1, 1, 700, 500), Place("HDMI-1", 9, 9, 900, 700)
    moved = Place("eDP-1", 5, 5, 640, 480)
    assert with_newest(with_newest((first,), second), moved) == (moved, second)


def test_many_screens_do_not_make_the_settings_grow() -> None:
    places: tuple[Place, ...] = ()
    for number in range(50):
        places = with_newest(places, Place(f"screen {number}", 0, 0, 10, 10))
    assert len(places) == 6


def test_a_window_goes_back_to_the_screen_where_it_was_last() -> None:
    places = (Place("HDMI-1", 9, 9, 900, 700), Place("eDP-1", 1, 1, 700, 500))
    assert chosen(places, SCREENS, "eDP-1") == places[0]
    assert chosen(places, {"eDP-1": LAPTOP}, "eDP-1") == places[1]


def test_a_window_whose_screen_is_gone_comes_to_the_middle_of_the_main_one() -> None:
    places = (Place("HDMI-1", 900, 500, 600, 400, maximised=True),)
    assert chosen(places, {"eDP-1": LAPTOP}, "eDP-1") == Place("eDP-1", 340, 200, 600, 400, maximised=True)


def test_nothing_is_known_of_a_window_that_was_never_open() -> None:
    assert chosen((), SCREENS, "eDP-1") is None


@given(SIDES, SIDES, st.integers(1, 70_000), st.integers(1, 70_000), st.sampled_from([LAPTOP, BEAMER]))
def test_the_whole_window_is_on_its_screen(x: int, y: int, width: int, height: int, area: QRect) -> None:
    placed = fitted(QRect(x, y, width, height), area)
    with_title_bar = placed.adjusted(0, 0, 0, 40)
    assert area.contains(with_title_bar)


def test_a_window_that_fits_stays_exactly_where_it_was() -> None:
    assert fitted(QRect(100, 50, 640, 480), LAPTOP) == QRect(100, 50, 640, 480)


class Plain(AppWindow):
    """A window to move around."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("logs", "Logs", bridge)
        self.resize(500, 400)


def test_a_window_that_was_moved_comes_back_there(bridge: Bridge, qtbot: QtBot) -> None:
    places = WindowPlaces({}, positions=True)
    first = Plain(bridge)
    places.restore(first)
    first.put_away.connect(lambda: places.note(first))
    first.show()
    first.move(37, 41)
    first.resize(333, 222)
    with qtbot.waitSignal(places.changed):
        first.close()
    second = Plain(bridge)
    WindowPlaces(places.texts, positions=True).restore(second)
    assert (second.pos().x(), second.pos().y(), second.size()) == (37, 41, QSize(333, 222))
    second.close()


def test_a_maximised_window_comes_back_maximised_and_remembers_its_size_before(
    bridge: Bridge, qtbot: QtBot
) -> None:
    places = WindowPlaces({}, positions=True)
    first = Plain(bridge)
    first.resize(333, 222)
    first.put_away.connect(lambda: places.note(first))
    first.show()
    first.showMaximized()
    qtbot.waitUntil(first.isMaximized)
    first.close()
    (place,) = read(places.texts["logs"])
    assert (place.maximised, place.width, place.height) == (True, 333, 222)
    second = Plain(bridge)
    places.restore(second)
    assert second.isMaximized()
    second.close()


def test_a_window_that_is_larger_than_the_screen_is_made_to_fit(bridge: Bridge) -> None:
    window = Plain(bridge)
    window.resize(9000, 9000)
    WindowPlaces({}, positions=True).restore(window)
    assert on_screen(window)
    window.close()


def test_where_the_system_places_windows_only_the_size_comes_back(bridge: Bridge) -> None:
    window = Plain(bridge)
    before = window.pos()
    text = written([Place(window.screen().name(), 300, 300, 321, 234)])
    WindowPlaces({"logs": text}, positions=False).restore(window)
    assert (window.pos(), window.size()) == (before, QSize(321, 234))
    window.close()


def on_screen(window: QWidget) -> bool:
    return window.screen().availableGeometry().contains(QRect(window.pos(), window.size()))
