"""Words on the screen: they keep their contrast when the theme changes, and have the room they need."""

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from whisper_desktop.errors import WhisperError
from whisper_desktop.ui import theme
from whisper_desktop.ui.chat.failure import FailureCard
from whisper_desktop.ui.theme import READABLE, contrast
from whisper_desktop.ui.tray.entries import Entry
from whisper_desktop.ui.tray.glance import Shown
from whisper_desktop.ui.tray.stand_in import StandIn
from whisper_desktop.ui.widgets import secondary, toned

WORDS = "Words that take more than one line as soon as there is less room than they want. " * 3


@pytest.fixture
def light() -> Iterator[None]:
    """Light first; afterwards as it was."""
    before = QApplication.palette()
    theme.follow("light")
    yield
    QApplication.setPalette(before)


def ink(label: QLabel) -> QColor:
    return label.palette().color(QPalette.ColorRole.WindowText)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("tone", ["secondary", "good", "warn", "bad"])
def test_words_in_an_open_window_can_be_read_after_the_theme_has_changed(tone: str, qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    label = secondary("Words") if tone == "secondary" else toned("Words", tone)
    QVBoxLayout(window).addWidget(label)
    window.show()

    def readable() -> bool:
        behind = window.palette().color(QPalette.ColorRole.Window)
        return (behind.lightnessF() < 0.5) and contrast(ink(label), behind) >= READABLE

    theme.follow("dark")
    qtbot.waitUntil(readable)


def test_a_failure_is_as_high_in_its_column_whatever_width_its_card_has_just_now(qtbot: QtBot) -> None:
    card = FailureCard(WhisperError("It failed.", WORDS, WORDS), guide=False, last=True, left=200, width=400)
    qtbot.addWidget(card)
    card.show()
    card.resize(300, 100)
    narrow = card.heightForWidth(800)
    card.resize(800, 100)
    assert narrow == card.heightForWidth(800)


def test_the_window_that_stands_in_for_the_tray_cuts_none_of_its_words(qtbot: QtBot) -> None:
    window = StandIn()
    qtbot.addWidget(window, before_close_func=lambda _: window.leave())
    entries = (Entry(WORDS), Entry("New chat", "chat"), Entry("Quit", "quit"))
    window.show_state(Shown("ready", ""), entries)
    with qtbot.waitExposed(window):
        window.show()

    def whole() -> bool:
        labels = window.findChildren(QLabel)
        return all(label.height() >= label.heightForWidth(label.width()) for label in labels)

    qtbot.waitUntil(whole)
