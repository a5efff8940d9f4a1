"""Colours come from the palette and can be read on it, light and dark."""

from collections.abc import Iterator
from functools import partial

import pytest
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from whisper_desktop.ui.theme import colors, contrast, follow, is_dark, plain_palette
from whisper_desktop.ui.widgets import secondary


def palette(window: str, base: str) -> QPalette:
    made = QPalette(QColor(window), QColor(window))
    made.setColor(QPalette.ColorRole.Base, QColor(base))
    return made


PALETTES = {
    "light": palette("#efefef", "#ffffff"),
    "dark": palette("#2b2b2b", "#1e1e1e"),
    "black": palette("#000000", "#000000"),
    "sepia": palette("#e8dcc0", "#f5ecd6"),
}


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("role", ["text", "secondary", "link", "good", "warn", "bad"])
def test_words_can_be_read(name: str, role: str, qtbot: QtBot) -> None:
    paint = colors(PALETTES[name])
    assert contrast(getattr(paint, role), paint.panel) >= 4.5, "WCAG AA for small text"


def test_dark_is_recognised_by_the_palette(qtbot: QtBot) -> None:
    assert colors(PALETTES["dark"]).dark
    assert not colors(PALETTES["light"]).dark


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast(QColor("black"), QColor("white")) == pytest.approx(21)
    assert contrast(QColor("#777777"), QColor("white")) == pytest.approx(4.48, abs=0.01)


@pytest.fixture
def system() -> Iterator[QPalette]:
    """The palette of the system, which is there again afterwards."""
    follow("system")
    yield QApplication.palette()
    follow("system")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_takes_effect_also_where_the_platform_cannot_switch(
    theme: str, system: QPalette, qtbot: QtBot
) -> None:
    label = QLabel("words")
    qtbot.addWidget(label)
    label.show()
    follow(theme)
    assert is_dark(QApplication.palette()) is (theme == "dark")
    qtbot.waitUntil(lambda: is_dark(label.palette()) is (theme == "dark"))


def test_secondary_words_can_be_read_after_each_change_of_the_theme(system: QPalette, qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    column.addWidget(label := secondary("words"))
    window.show()
    for theme in ("dark", "light", "dark", "system"):
        follow(theme)
        qtbot.waitUntil(partial(_follows, label))


def _follows(label: QLabel) -> bool:
    words, behind = (
        label.palette().color(role) for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Window)
    )
    return is_dark(label.palette()) is is_dark(QApplication.palette()) and contrast(words, behind) >= 4.5


def test_the_systems_palette_comes_back_as_it_was(system: QPalette) -> None:
    follow("dark")
    follow("light")
    follow("system")
    assert QApplication.palette() == system


def test_a_palette_of_the_system_that_fits_the_theme_is_kept(system: QPalette) -> None:
    """High contrast, or a desktop's own colours: they are only replaced where they are of the other kind."""
    follow("dark" if is_dark(system) else "light")
    assert QApplication.palette() == system


@pytest.mark.parametrize("dark", [True, False])
def test_every_word_of_our_own_palette_can_be_read(dark: bool) -> None:
    made = plain_palette(dark=dark)
    role = QPalette.ColorRole
    pairs = [
        (role.WindowText, role.Window),
        (role.Text, role.Base),
        (role.Text, role.AlternateBase),
        (role.ButtonText, role.Button),
        (role.ToolTipText, role.ToolTipBase),
        (role.HighlightedText, role.Highlight),
        (role.Link, role.Base),
        (role.Link, role.Window),
        (role.PlaceholderText, role.Base),
    ]
    for words, ground in pairs:
        assert contrast(made.color(words), made.color(ground)) >= 4.5, (words, ground)
