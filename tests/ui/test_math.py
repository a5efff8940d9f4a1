"""Formulas in the transcript: drawn by a program of their own, or shown as their source."""

import sys
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QTextCharFormat
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from tests.ui.test_transcript import after, answer, layout, shown_texts
from whisper_desktop.ui.chat import math_images, rows
from whisper_desktop.ui.chat.math_images import PENDING, Formulas, Picture
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.values import TextDelta

WAIT = 20_000  # ms
OBJECT = "\ufffc"  # stands for an image in a text


@pytest.fixture
def view(qtbot: QtBot) -> Iterator[TranscriptView]:
    view = TranscriptView(TranscriptModel())
    qtbot.addWidget(view)
    view.resize(700, 500)
    view.show()
    yield view
    view.delegate.formulas.end()


@pytest.fixture
def formulas(qtbot: QtBot) -> Iterator[Formulas]:
    made = Formulas()
    yield made
    made.end()


def drawn(formulas: Formulas, qtbot: QtBot, latex: str, *, display: bool = False) -> Picture | None:
    """A formula, once it is known whether it can be drawn."""

    def ask() -> Picture | None | object:
        return formulas.picture(latex, display, QFont(), QColor("#102030"), 2.0)

    qtbot.waitUntil(lambda: ask() is not PENDING, timeout=WAIT)
    found = ask()
    assert found is None or isinstance(found, Picture)
    return found


def test_a_formula_is_shown_as_its_source_and_then_as_a_picture(view: TranscriptView, qtbot: QtBot) -> None:
    view.rows.append(answer("So $x^2$ it is."))
    assert shown_texts(view, 0) == ["So x^2 it is."]
    qtbot.waitUntil(lambda: shown_texts(view, 0) == [f"So {OBJECT} it is."], timeout=WAIT)
    view.grab()


def test_a_selected_formula_is_copied_as_its_latex(view: TranscriptView, qtbot: QtBot) -> None:
    view.rows.append(answer("So $x^2$ it is."))
    qtbot.waitUntil(lambda: OBJECT in shown_texts(view, 0)[0], timeout=WAIT)
    view.setCurrentIndex(view.rows.index(0))
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    view.copy()
    assert QGuiApplication.clipboard().text() == "So $x^2$ it is."


def test_a_formula_in_a_growing_block_waits_for_its_end(view: TranscriptView, qtbot: QtBot) -> None:
    view.rows.append(after(TextDelta("First $a$.\n\nThen $b")))
    qtbot.waitUntil(lambda: OBJECT in shown_texts(view, 0)[0], timeout=WAIT)
    assert shown_texts(view, 0)[1] == "Then $b"
    view.rows.replace(0, rows.with_event(view.rows.row(0), TextDelta("$")))
    layout(view, 0)
    view.rows.replace(0, rows.stopped(view.rows.row(0)))
    qtbot.waitUntil(lambda: shown_texts(view, 0)[1] == f"Then {OBJECT}", timeout=WAIT)


def test_the_picture_has_the_colour_of_the_text_and_the_density_of_the_screen(
    formulas: Formulas, qtbot: QtBot
) -> None:
    picture = drawn(formulas, qtbot, "x+y")
    assert picture is not None
    assert picture.image.devicePixelRatio() == 2.0
    assert picture.image.width() == pytest.approx(picture.width * 2, abs=2)
    inked = {
        QColor(picture.image.pixel(x, y)).name()
        for x in range(picture.image.width())
        for y in range(picture.image.height())
        if picture.image.pixelColor(x, y).alpha() == 255
    }
    assert inked == {"#102030"}
    assert picture.image.pixelColor(0, 0).alpha() == 0


@pytest.mark.parametrize(("latex", "deep"), [("x", False), ("x^2", False), (r"\frac{a}{b}", True)])
def test_a_formula_stands_on_the_baseline(view: TranscriptView, qtbot: QtBot, latex: str, deep: bool) -> None:
    view.rows.append(answer(f"So ${latex}$ it is."))
    qtbot.waitUntil(lambda: OBJECT in shown_texts(view, 0)[0], timeout=WAIT)
    cursor = layout(view, 0).pieces[0].document.find(OBJECT)
    aligned = QTextCharFormat.VerticalAlignment
    assert cursor.charFormat().verticalAlignment() == (aligned.AlignMiddle if deep else aligned.AlignBaseline)


@pytest.mark.parametrize("latex", [r"\frac{a}", "}{", r"\begin{matrix} a", "^"])
def test_what_cannot_be_drawn_is_shown_as_its_source(formulas: Formulas, qtbot: QtBot, latex: str) -> None:
    drawn(formulas, qtbot, latex)  # whatever comes of it, it comes
    assert drawn(formulas, qtbot, "x") is not None


def test_what_nests_too_deep_is_not_even_tried(formulas: Formulas) -> None:
    latex = r"\frac{" * 40 + "a" + "}{b}" * 40
    assert formulas.picture(latex, False, QFont(), QColor("black"), 1.0) is None


def test_a_formula_that_takes_too_long_is_given_up_and_the_next_one_is_drawn(
    formulas: Formulas, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drawn(formulas, qtbot, "x") is not None  # the program runs
    formulas._limit.setInterval(300)
    slow = r"\frac{" * 11 + "a" + "}{b}" * 11
    assert drawn(formulas, qtbot, slow) is None
    formulas._limit.setInterval(math_images.TIME_LIMIT)
    assert drawn(formulas, qtbot, "y") is not None


def test_a_program_that_cannot_be_started_leaves_the_source(
    formulas: Formulas, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math_images, "_command", lambda: ("/no/such/program",))
    assert drawn(formulas, qtbot, "x") is None


def test_what_draws_is_not_loaded_into_this_program() -> None:
    assert "ziamath" not in sys.modules
