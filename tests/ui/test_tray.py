"""The tray icon and its stand-in, offscreen: icon, menu, and what a click says."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QMenu, QPushButton, QSystemTrayIcon
from pytestqt.qtbot import QtBot

from tests.ui.test_entries import ENTRIES, GLANCE, READY
from whisper_desktop.ui.icons import ink, tray_icon
from whisper_desktop.ui.tray.entries import menu_entries
from whisper_desktop.ui.tray.glance import Shown
from whisper_desktop.ui.tray.stand_in import StandIn
from whisper_desktop.ui.tray.tray import Tray

SHOWN = Shown("ready", "Whisper Desktop\nReady: qwen3.5:4b on Ollama")
ACTIVITIES = ("starting", "ready", "working", "downloading", "needs_attention")


@pytest.fixture
def tray(qtbot: QtBot) -> Iterator[Tray]:
    tray = Tray()
    yield tray
    tray.hide()


@pytest.fixture
def stand_in(qtbot: QtBot) -> StandIn:
    window = StandIn()
    qtbot.addWidget(window, before_close_func=lambda _: window.leave())
    window.show_state(SHOWN, ENTRIES)
    return window


def icon(tray: Tray) -> QSystemTrayIcon:
    assert tray.icon is not None
    return tray.icon


def texts(tray: Tray) -> list[str]:
    return [action.text() for action in tray.menu.actions() if not action.isSeparator()]


def submenu(tray: Tray, text: str) -> QMenu:
    """The submenu of this name."""
    menu = next(action for action in tray.menu.actions() if action.text() == text).menu()
    assert isinstance(menu, QMenu)
    return menu


def button(window: StandIn, text: str) -> QPushButton:
    return next(each for each in window.findChildren(QPushButton) if each.text() == text)


def picture(activity: str, size: int = 22, percent: int | None = None, setting: str = "color") -> QImage:
    pixmap = tray_icon(activity, percent=percent, setting=setting).pixmap(QSize(size, size), 1.0)
    return pixmap.toImage().convertToFormat(QImage.Format.Format_Grayscale8)


def test_the_icon_is_there_before_anything_is_known(tray: Tray) -> None:
    assert not icon(tray).icon().isNull()
    assert texts(tray) == ["Starting…", "Quit"]


def test_a_state_shows_in_tooltip_and_menu(tray: Tray) -> None:
    tray.show_state(SHOWN, ENTRIES)
    assert icon(tray).toolTip() == SHOWN.tooltip
    status = tray.menu.actions()[0]
    assert status.text() == "Ready: qwen3.5:4b on Ollama"
    assert not status.isEnabled()


@pytest.mark.parametrize("size", [16, 22, 24, 32, 48])
@pytest.mark.parametrize("setting", ["color", "light", "dark"])
def test_every_state_has_a_shape_of_its_own_at_every_size(size: int, setting: str, qtbot: QtBot) -> None:
    pictures = [picture(activity, size, setting=setting) for activity in ACTIVITIES]
    assert all(made.size() == QSize(size, size) for made in pictures)
    assert len({bytes(made.constBits()) for made in pictures}) == len(ACTIVITIES)


@pytest.mark.parametrize("size", [16, 22])
def test_the_bar_of_a_download_grows_and_never_shrinks(size: int, qtbot: QtBot) -> None:
    def filled(percent: int) -> int:
        image = (
            tray_icon("downloading", percent=percent, setting="dark").pixmap(QSize(size, size), 1.0).toImage()
        )
        row = image.height() * 14 // 16
        return sum(image.pixelColor(x, row).alpha() > 250 for x in range(image.width()))

    widths = [filled(percent) for percent in range(0, 101, 5)]
    assert widths == sorted(widths)
    assert widths[-1] - widths[0] >= size * 3 // 4


def test_a_percentage_that_cannot_be_is_drawn_as_the_nearest_that_can(qtbot: QtBot) -> None:
    assert picture("downloading", percent=250) == picture("downloading", percent=100)
    assert picture("downloading", percent=-3) == picture("downloading", percent=0)


def test_the_icon_is_a_mask_on_macos(qtbot: QtBot) -> None:
    assert tray_icon("ready", platform="darwin").isMask()
    assert not tray_icon("ready", platform="linux").isMask()


@pytest.mark.parametrize(
    ("setting", "desktop", "dark", "expected"),
    [
        ("system", "ubuntu:GNOME", False, "light"),
        ("system", "KDE", True, "light"),
        ("system", "KDE", False, "dark"),
        ("system", "XFCE", True, "color"),
        ("system", "", False, "color"),
        ("dark", "GNOME", False, "dark"),
        ("color", "KDE", True, "color"),
    ],
)
def test_the_ink_fits_the_panel_as_far_as_it_is_known(
    setting: str, desktop: str, dark: bool, expected: str
) -> None:
    assert ink(setting, desktop, dark=dark) == expected


def test_choosing_a_backend_says_which(tray: Tray, qtbot: QtBot) -> None:
    tray.show_state(SHOWN, ENTRIES)
    actions = submenu(tray, "Backend").actions()
    ollama = next(action for action in actions if action.text().startswith("Ollama\t"))
    with qtbot.waitSignal(tray.chosen) as said:
        ollama.trigger()
    assert said.args == ["backend", "ollama"]


def test_automatic_is_no_backend(tray: Tray, qtbot: QtBot) -> None:
    tray.show_state(SHOWN, ENTRIES)
    with qtbot.waitSignal(tray.chosen) as said:
        submenu(tray, "Backend").actions()[0].trigger()
    assert said.args == ["backend", None]


def test_a_click_on_the_icon_shows_the_chat(tray: Tray, qtbot: QtBot) -> None:
    with qtbot.waitSignal(tray.chosen) as said:
        icon(tray).activated.emit(QSystemTrayIcon.ActivationReason.Trigger)
    assert said.args == ["show", None]


def test_an_unchanged_menu_is_not_built_again(tray: Tray) -> None:
    tray.show_state(SHOWN, ENTRIES)
    before = tray.menu.actions()
    tray.show_state(replace(SHOWN, activity="working"), ENTRIES)
    assert tray.menu.actions() == before


def test_menus_that_were_replaced_do_not_pile_up(tray: Tray, qtbot: QtBot) -> None:
    for number in range(20):
        state = replace(READY, headline=f"State {number}")
        tray.show_state(SHOWN, menu_entries(replace(GLANCE, state=state)))
    qtbot.waitUntil(lambda: len(tray.menu.findChildren(QMenu)) == 3)


def test_an_ampersand_in_a_name_is_shown(tray: Tray) -> None:
    tray.show_state(SHOWN, (replace(ENTRIES[0], text="Ready: A & B"), *ENTRIES[1:]))
    assert tray.menu.actions()[0].text() == "Ready: A && B"


def test_the_switch_is_not_one_of_the_backends(tray: Tray) -> None:
    tray.show_state(SHOWN, ENTRIES)
    switch = next(action for action in tray.menu.actions() if action.text() == "This computer only")
    assert switch.isCheckable()
    assert switch.isChecked()
    assert switch.actionGroup() is None


def test_an_open_menu_does_not_change_until_it_is_closed(tray: Tray, qtbot: QtBot) -> None:
    tray.menu.popup(tray.menu.pos())
    tray.show_state(SHOWN, ENTRIES)
    assert texts(tray) == ["Starting…", "Quit"]
    tray.menu.hide()
    qtbot.waitUntil(lambda: tray.menu.actions()[0].text() == READY.headline)


def test_a_menu_that_a_host_shows_a_copy_of_does_not_change_until_the_host_has_closed_it(
    tray: Tray, qtbot: QtBot
) -> None:
    tray.about_to_show.connect(lambda: tray.show_state(SHOWN, ENTRIES))
    tray.menu.aboutToShow.emit()
    assert texts(tray)[0] == READY.headline, "what is new as it opens is shown"
    tray.show_state(SHOWN, menu_entries(replace(GLANCE, state=replace(READY, headline="Working"))))
    assert texts(tray)[0] == READY.headline
    tray.menu.aboutToHide.emit()
    qtbot.waitUntil(lambda: texts(tray)[0] == "Working")


def test_the_stand_in_offers_the_same_entries_as_buttons(stand_in: StandIn, qtbot: QtBot) -> None:
    stand_in.show()
    buttons = [each.text() for each in stand_in.findChildren(QPushButton)]
    assert buttons[0] == "New chat"
    assert buttons[1] == "Quick ask (Ctrl+Alt+Space)"
    assert [text.removeprefix("✓ ").split(" (")[0] for text in buttons] == [
        each.text for each in ENTRIES[1:] if not each.separator
    ]
    with qtbot.waitSignal(stand_in.chosen) as said:
        button(stand_in, "New chat").click()
    assert said.args == ["chat", None]


def test_the_stand_in_keeps_up_with_what_can_be_done(stand_in: StandIn, qtbot: QtBot) -> None:
    free = button(stand_in, "Free memory now")
    assert not free.isEnabled()
    awake = menu_entries(replace(GLANCE, state=replace(READY, memory="3.2 GB")))
    stand_in.show_state(SHOWN, awake)
    assert (free.isEnabled(), free.text()) == (True, "Free memory now (3.2 GB in use)")
    with qtbot.waitSignal(stand_in.chosen) as said:
        free.click()
    assert said.args == ["sleep", None]
    stand_in.show_state(SHOWN, ENTRIES)
    assert not free.isEnabled()


def test_the_switch_of_the_stand_in_shows_what_is_and_not_what_was_clicked(
    stand_in: StandIn, qtbot: QtBot
) -> None:
    switch = button(stand_in, "✓ This computer only")
    with qtbot.waitSignal(stand_in.chosen) as said:
        switch.click()
    assert said.args == ["local_only", None]
    assert switch.isChecked()
    stand_in.show_state(SHOWN, menu_entries(replace(GLANCE, local_only=False)))
    assert (switch.isChecked(), switch.text()) == (False, "This computer only")


def test_closing_the_stand_in_minimises_it(stand_in: StandIn) -> None:
    stand_in.show()
    stand_in.close()
    assert stand_in.isMinimized()
