"""A link only ever shows a window: whatever a web page writes into one, it stays a link."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.app.links import MOST_TEXT, WINDOWS, Opening, opening_of, without_unseen


@pytest.mark.parametrize(
    ("link", "opening"),
    [
        ("whisper://chat", Opening("chat")),
        ("whisper://chat/", Opening("chat")),
        ("WHISPER://Chat", Opening("chat")),
        ("whisper:chat", Opening("chat")),
        ("whisper:///chat", Opening("chat")),
        ("whisper://chat/0f3c9a", Opening("chat", "0f3c9a")),
        ("whisper://ask", Opening("ask")),
        ("whisper://ask?text=What%20is%20a%20tensor%3F", Opening("ask", "What is a tensor?")),
        ("whisper://ask?text=one+two&send=yes", Opening("ask", "one two")),
        ("whisper://ask?text=caf%C3%A9", Opening("ask", "café")),
        ("whisper://models", Opening("models")),
        ("whisper://models/unsloth/Qwen3.5-4B-GGUF", Opening("models", "unsloth/Qwen3.5-4B-GGUF")),
        ("whisper://models/ollama%3Aqwen3.5%3A4b", Opening("models", "ollama:qwen3.5:4b")),
        ("whisper://setup", Opening("setup")),
        ("whisper://settings", Opening("settings")),
        ("whisper://settings/llm.reach", Opening("settings", "llm.reach")),
        ("whisper://settings/ui.theme#part", Opening("settings", "ui.theme")),
    ],
)
def test_a_link_opens_what_it_names(link: str, opening: Opening) -> None:
    assert opening_of(link) == opening


@pytest.mark.parametrize(
    "link",
    [
        "whisper:",
        "whisper://",
        "whisper://quit",
        "whisper://logs",
        "whisper://chat/../../etc/passwd",
        "whisper://chat/%2e%2e%2fkeys",
        "whisper://chat/a b",
        "whisper://chat/" + "a" * 65,
        "whisper://ask/now",
        "whisper://setup/again",
        "whisper://settings/llm.reach=cloud",
        "whisper://settings/LLM.REACH",
        "whisper://user:secret@chat",
        "whisper://chat:80",
        "whisper://[::1",
    ],
)
def test_a_link_that_leads_nowhere_says_so_in_one_sentence(link: str) -> None:
    opening = opening_of(link)
    assert (opening.window, opening.value) == ("chat", "")
    assert opening.problem.count(".") == 1
    assert "leads nowhere" in opening.problem


def test_a_link_without_end_is_not_read() -> None:
    assert "too long" in opening_of("whisper://ask?text=" + "a" * 50_000).problem


def test_a_text_is_cut_where_nobody_would_read_on() -> None:
    assert opening_of("whisper://ask?text=" + "a" * 20_000).value == "a" * MOST_TEXT


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Hi\x00\x07\x1b[31m there", "Hi[31m there"),
        ("Hi\u202ethere\u2066", "Hithere"),  # would turn the order of letters round
        ("Hi\U000e0041\U000e0042", "Hi"),  # tags: letters that nobody sees
        ("Hi\U000e0121", "Hi"),  # variation selectors, as used to carry bytes
        ("Hi\u200bthere", "Hithere"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("Hi\ud800", "Hi"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),  # joiners belong to the words
    ],
)
def test_what_nobody_can_see_does_not_arrive(text: str, seen: str) -> None:
    assert without_unseen(text) == seen


def test_a_text_cannot_be_pushed_out_of_sight() -> None:
    hidden = "whisper://ask?text=Hello" + "%0A" * 500 + "and" + "%20" * 5000 + "this" + "%20%0A" * 90 + "!"
    assert opening_of(hidden).value == "Hello\n\nand    this\n\n!"


@given(st.text(max_size=400))
def test_whatever_is_in_a_link_it_opens_a_window_or_says_why_not(rest: str) -> None:
    opening = opening_of(f"whisper://{rest}")
    assert opening.window in WINDOWS
    assert len(opening.value) <= MOST_TEXT
    assert all(
        letter == "\n" or letter.isprintable() or letter in "\u200c\u200d\u3000\u00a0" or letter.isspace()
        for letter in opening.value
    )


@given(st.text(max_size=300))
def test_a_text_that_is_seen_as_it_is_arrives_as_it_is(text: str) -> None:
    once = without_unseen(text)
    assert without_unseen(once) == once
