"""Every page of settings, setup, logs and diagnosis with letters twice as large: nothing is cut off."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication, QScrollArea
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Shown, World
from tests.ui.walk import clipped
from whisper_desktop.advice.flow import Page
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.logs.window import LogsWindow
from whisper_desktop.ui.settings.pages import SectionPage
from whisper_desktop.ui.settings.sections import SECTIONS, contents
from whisper_desktop.ui.settings.window import SettingsWindow
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.ui.wizard.window import SetupWindow


@pytest.fixture(autouse=True)
def _large_letters(qapp: QApplication) -> Iterator[None]:
    usual, large = qapp.font(), qapp.font()
    large.setPointSizeF(usual.pointSizeF() * 2)
    qapp.setFont(large)
    yield
    qapp.setFont(usual)


def fits(window: AppWindow, qtbot: QtBot) -> None:
    """Nothing is cut off, and nothing has to be scrolled sideways."""

    def fit() -> None:
        assert clipped(window) == []
        for area in window.findChildren(QScrollArea):
            assert not area.isVisible() or area.horizontalScrollBar().maximum() == 0

    qtbot.waitUntil(fit, timeout=WAIT)


def test_every_section_of_the_settings(bridge: Bridge, world: World, shown: Shown, qtbot: QtBot) -> None:
    window = shown(SettingsWindow(bridge, world()))
    for section in SECTIONS:
        window.show_setting(section.id)
        if more := contents(section).more:
            window.show_setting(more[-1].key)
            assert window.findChildren(SectionPage)
        fits(window, qtbot)


def test_every_page_of_the_setup(bridge: Bridge, world: World, shown: Shown, qtbot: QtBot) -> None:
    window = shown(SetupWindow(bridge, world()))
    qtbot.waitUntil(lambda: window.state.recommendation is not None, timeout=WAIT)
    for page in Page:
        window._show(replace(window.state, page=page))
        fits(window, qtbot)


def test_the_diagnosis(bridge: Bridge, world: World, shown: Shown, qtbot: QtBot) -> None:
    window = shown(LogsWindow(bridge, world()))
    window.show_diagnosis()
    qtbot.waitUntil(lambda: window.diagnosis.diagnosis is not None, timeout=WAIT)
    fits(window, qtbot)
