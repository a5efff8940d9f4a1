"""How full the context is, in words, numbers and colours."""

import pytest
from pytestqt.qtbot import QtBot

from whisper_desktop.chat.context import ContextUse
from whisper_desktop.ui.chat.context_meter import ContextMeter, meter_explained, meter_words, tokens_text
from whisper_desktop.ui.theme import colors


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (2148, "2.1k"),
        (9_949, "9.9k"),
        (9_950, "10k"),
        (16_384, "16k"),
        (131_072, "131k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (1_048_576, "1M"),
        (1_149_000, "1.1M"),
    ],
)
def test_tokens_are_read_at_a_glance(count: int, text: str) -> None:
    assert tokens_text(count) == text


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (ContextUse(2_100, 16_384), "2.1k of 16k"),
        (ContextUse(2_100), "2.1k tokens"),
        (ContextUse(7_999, 10_000), "8k of 10k"),
        (ContextUse(8_000, 10_000), "Nearly full: 8k of 10k"),
        (ContextUse(10_000, 10_000), "Nearly full: 10k of 10k"),
        (ContextUse(10_001, 10_000), "Too long: 10k of 10k"),
    ],
)
def test_the_words_say_how_full_it_is(use: ContextUse, words: str) -> None:
    assert meter_words(use) == words


def test_it_is_said_how_the_numbers_are_known() -> None:
    assert "counted by the server" in meter_explained(ContextUse(100, 200, exact=True), None)
    estimated = meter_explained(ContextUse(150, None), ContextUse(100, None))
    assert "estimate" in estimated
    assert "adds about 50" in estimated
    assert "Nobody has said" in estimated


def test_the_bar_is_there_where_the_window_is_known(qtbot: QtBot) -> None:
    meter = ContextMeter()
    qtbot.addWidget(meter)
    assert meter.isHidden()
    meter.show_use(ContextUse(100, 1000))
    assert not meter.isHidden()
    assert not meter._bar.isHidden()
    assert meter.accessibleName() == "Context: 100 of 1k"
    meter.show_use(ContextUse(100))
    assert meter._bar.isHidden()
    meter.show_use(ContextUse(0))
    assert meter.isHidden()


@pytest.mark.parametrize(("used", "tone"), [(10, "secondary"), (85, "warn"), (120, "bad")])
def test_its_colour_goes_with_the_words(qtbot: QtBot, used: int, tone: str) -> None:
    meter = ContextMeter()
    qtbot.addWidget(meter)
    meter.show_use(ContextUse(used, 100))
    words = meter._words
    assert words.palette().color(words.foregroundRole()) == getattr(colors(meter.palette()), tone)


def test_what_is_being_written_is_a_part_of_the_bar_of_its_own(qtbot: QtBot) -> None:
    meter = ContextMeter()
    qtbot.addWidget(meter)
    meter.show_use(ContextUse(60, 100), ContextUse(20, 100))
    meter.show()
    bar = meter._bar
    bar.resize(100, 30)
    seen = bar.grab().toImage()
    at = [seen.pixelColor(x, 15) for x in (10, 40, 80)]
    assert len({color.name() for color in at}) == 3
