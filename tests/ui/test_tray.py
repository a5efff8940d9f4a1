"""The tray icon and its stand-in, offscreen: icon, menu, and what a click says."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QMenu, QPushButton
from pytestqt.qtbot import QtBot

from tests.ui.test_entries import CHOICES, READY
from whisper_desktop.ui.icons import tray_icon
from whisper_desktop.ui.tray.entries import menu_entries
from whisper_desktop.ui.tray.stand_in import StandIn
from whisper_desktop.ui.tray.tray import Tray

ENTRIES = menu_entries(READY, CHOICES)


@pytest.fixture
def tray(qtbot: QtBot) -> Iterator[Tray]:
    tray = Tray()
    yield tray
    tray.hide()


def backend_menu(tray: Tray) -> QMenu:
    """The submenu of backends."""
    action = next(action for action in tray.menu.actions() if action.text() == "Backend")
    menu = action.menu()
    assert isinstance(menu, QMenu)
    return menu


def test_the_icon_is_there_before_anything_is_known(tray: Tray) -> None:
    assert not tray.icon.icon().isNull()
    assert [action.text() for action in tray.menu.actions() if not action.isSeparator()] == [
        "Starting…",
        "Quit",
    ]


def test_a_state_shows_in_tooltip_and_menu(tray: Tray) -> None:
    tray.show_state("ready", ENTRIES)
    assert tray.icon.toolTip() == "Whisper Desktop\nReady: qwen3.5:4b on Ollama"
    status = tray.menu.actions()[0]
    assert status.text() == "Ready: qwen3.5:4b on Ollama"
    assert not status.isEnabled()


@pytest.mark.parametrize("activity", ["starting", "ready", "working", "needs_attention"])
def test_every_state_has_a_shape_of_its_own(activity: str, qtbot: QtBot) -> None:
    pictures = {
        name: tray_icon(name).pixmap(22, 22).toImage()
        for name in ("starting", "ready", "working", "needs_attention")
    }
    others = [picture for name, picture in pictures.items() if name != activity]
    alpha = pictures[activity].convertToFormat(pictures[activity].Format.Format_Grayscale8)
    assert all(alpha != other.convertToFormat(alpha.format()) for other in others)


def test_the_icon_is_a_mask_on_macos(qtbot: QtBot) -> None:
    assert tray_icon("ready", platform="darwin").isMask()
    assert not tray_icon("ready", platform="linux").isMask()


def test_choosing_a_backend_says_which(tray: Tray, qtbot: QtBot) -> None:
    tray.show_state("ready", ENTRIES)
    backends = backend_menu(tray)
    ollama = next(action for action in backends.actions() if action.text().startswith("Ollama\t"))
    with qtbot.waitSignal(tray.chosen) as said:
        ollama.trigger()
    assert said.args == ["backend", "ollama"]


def test_automatic_is_no_backend(tray: Tray, qtbot: QtBot) -> None:
    tray.show_state("ready", ENTRIES)
    backends = backend_menu(tray)
    with qtbot.waitSignal(tray.chosen) as said:
        backends.actions()[0].trigger()
    assert said.args == ["backend", None]


def test_a_click_on_the_icon_opens_a_chat(tray: Tray, qtbot: QtBot) -> None:
    with qtbot.waitSignal(tray.chosen) as said:
        tray.icon.activated.emit(tray.icon.ActivationReason.Trigger)
    assert said.args == ["chat", None]


def test_an_unchanged_menu_is_not_built_again(tray: Tray) -> None:
    tray.show_state("ready", ENTRIES)
    before = tray.menu.actions()
    tray.show_state("working", ENTRIES)
    assert tray.menu.actions() == before


def test_an_ampersand_in_a_name_is_shown(tray: Tray) -> None:
    tray.show_state("ready", (replace(ENTRIES[0], text="Ready: A & B"), *ENTRIES[1:]))
    assert tray.menu.actions()[0].text() == "Ready: A && B"


def test_the_stand_in_offers_the_same_entries_as_buttons(qtbot: QtBot) -> None:
    window = StandIn()
    qtbot.addWidget(window, before_close_func=lambda _: window.leave())
    window.show_state("ready", ENTRIES)
    window.show()
    buttons = {button.text(): button for button in window.findChildren(QPushButton)}
    assert set(buttons) == {
        "New chat",
        "Backend",
        "Free memory now",
        "Models…",
        "Setup…",
        "Settings…",
        "Logs…",
        "Quit",
    }
    with qtbot.waitSignal(window.chosen) as said:
        buttons["New chat"].click()
    assert said.args == ["chat", None]


def test_the_stand_in_keeps_up_with_what_can_be_done(qtbot: QtBot) -> None:
    window = StandIn()
    qtbot.addWidget(window, before_close_func=lambda _: window.leave())
    window.show_state("ready", ENTRIES)
    (free,) = [each for each in window.findChildren(QPushButton) if each.text() == "Free memory now"]
    assert not free.isEnabled()
    window.show_state("ready", menu_entries(replace(READY, memory="3.2 GB"), CHOICES))
    assert (free.isEnabled(), free.text()) == (True, "Free memory now (3.2 GB in use)")
    with qtbot.waitSignal(window.chosen) as said:
        free.click()
    assert said.args == ["sleep", None]
    window.show_state("ready", ENTRIES)
    assert not free.isEnabled()


def test_closing_the_stand_in_minimises_it(qtbot: QtBot) -> None:
    window = StandIn()
    qtbot.addWidget(window, before_close_func=lambda _: window.leave())
    window.show_state("ready", ENTRIES)
    window.show()
    window.close()
    assert window.isMinimized()


def test_an_open_menu_does_not_change_until_it_is_closed(tray: Tray, qtbot: QtBot) -> None:
    tray.menu.popup(tray.menu.pos())
    tray.show_state("ready", ENTRIES)
    assert [action.text() for action in tray.menu.actions() if not action.isSeparator()] == [
        "Starting…",
        "Quit",
    ]
    tray.menu.hide()
    qtbot.waitUntil(lambda: tray.menu.actions()[0].text() == READY.headline)
