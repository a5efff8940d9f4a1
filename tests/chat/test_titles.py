"""Titles are short, one line, and never more than text."""

import pytest

from whisper_desktop.chat import titles
from whisper_desktop.chat.records import Attachment
from whisper_desktop.values import Message, Role


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        ("Planning a Trip", "Planning a Trip"),
        ('"Planning a Trip."', "Planning a Trip"),
        ("**Title:** Planning a Trip", "Planning a Trip"),
        ("Title: “Planning a Trip”", "Planning a Trip"),
        ("\n\n# Planning a Trip\n\nI hope that helps!", "Planning a Trip"),
        ("旅行の計画。", "旅行の計画"),
        ("タイトル：旅行の計画", "旅行の計画"),
        ("C++ and C#", "C++ and C"),
        ("", ""),
        ("...\n---\n", ""),
        ("\x1b[31mRed\x00 Alert", "31mRed Alert"),
        ("Invoice \u202etxt.exe", "Invoice txt.exe"),
    ],
)
def test_what_a_model_puts_around_a_title_is_taken_off(reply: str, title: str) -> None:
    assert titles.from_reply(reply) == title


def test_a_title_that_is_a_little_too_long_is_cut_between_words_and_a_whole_answer_is_none() -> None:
    title = titles.from_reply("How the colours of the evening sky come about in clear weather")
    assert title == "How the colours of the evening sky come about in clear…"
    assert titles.from_reply("I am sorry, but as a language model " * 1000) == ""


def test_a_question_is_cut_between_words_where_there_are_any() -> None:
    assert titles.from_question("How do I\n\n  cook rice?") == "How do I cook rice?"
    assert titles.from_question("word " * 50).endswith("word…")
    assert len(titles.from_question("漢" * 200)) == titles.LONGEST


def test_a_question_without_text_is_called_by_its_file() -> None:
    assert titles.from_question(" ", (Attachment("id", "report.pdf", "application/pdf", 1),)) == "report.pdf"
    assert titles.from_question("") == ""


def test_the_wish_comes_after_what_the_server_has_read_already() -> None:
    said = (Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Ho"))
    assert titles.question(said)[:2] == said
    assert titles.question(said)[2].role is Role.USER
