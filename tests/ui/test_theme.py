"""Colours come from the palette and can be read on it, light and dark."""

import pytest
from PySide6.QtGui import QColor, QPalette
from pytestqt.qtbot import QtBot

from whisper_desktop.ui.theme import colors, contrast


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
