"""How full the context window is: an estimate that learns from what servers counted."""

from dataclasses import replace

import pytest

from tests.chat.keeping import WHO
from whisper_desktop.chat.context import ContextUse, Scale, text_tokens, too_long
from whisper_desktop.chat.records import Attachment, Node
from whisper_desktop.values import Role, Usage

TEXT = "A sentence of several plain words. " * 20


def question(text: str = TEXT) -> Node:
    return Node(f"q{len(text)}", None, Role.USER, text, 0.0)


def answer(text: str, usage: Usage, *, model: str = "llama3.2:3b", reasoning: str = "") -> Node:
    who = replace(WHO, usage=usage, model=model)
    return Node(f"a{len(text)}", None, Role.ASSISTANT, text, 0.0, provenance=who, reasoning=reasoning)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 10, 90, 125),
        ("Съешь же ещё этих мягких французских булок. " * 10, 120, 200),
        ("敏捷的棕色狐狸跳过了懒狗。" * 10, 80, 130),
        ("😀" * 10, 5, 25),
        ("", 0, 0),
    ],
)
def test_the_estimate_fits_what_tokenizers_make_of_a_text(text: str, low: float, high: float) -> None:
    assert low <= text_tokens(text) <= high


def test_without_any_count_it_is_an_estimate_of_all_that_is_sent() -> None:
    used, exact = Scale().used([question()], system="Be kind.", text="More?")
    assert not exact
    assert used == pytest.approx(len(TEXT) / 4 + 2 + 1 + 18, abs=3)


def test_a_picture_and_a_file_are_counted_too() -> None:
    alone, _ = Scale().used([], text="What?")
    picture = Attachment("p", "p.png", "image/png", 1)
    file = Attachment("f", "f.txt", "text/plain", 4000, "word" * 1000)
    assert Scale().used([], text="What?", attachments=(picture, file))[0] > alone + 1500


def test_what_the_server_counted_is_believed_where_nothing_came_after() -> None:
    path = [question(), answer("Yes. " * 40, Usage(prompt_tokens=500, completion_tokens=90))]
    assert Scale().used(path) == (590, True)
    assert Scale().used(path, model="llama3.2:3b") == (590, True)
    used, exact = Scale().used(path, text="And now?")
    assert not exact
    assert 590 < used < 700


def test_another_system_prompt_than_was_counted_makes_it_an_estimate() -> None:
    path = [question(), answer("Yes.", Usage(prompt_tokens=500, completion_tokens=9))]
    assert Scale().used(path, same_system=False)[1] is False


def test_thoughts_are_not_sent_and_not_counted() -> None:
    thought = Usage(prompt_tokens=500, completion_tokens=90, reasoning_tokens=80)
    assert Scale().used([question(), answer("Yes.", thought, reasoning="hm")]) == (510, True)
    unknown = Usage(prompt_tokens=500, completion_tokens=90)
    used, exact = Scale().used([question(), answer("Yes.", unknown, reasoning="hm")])
    assert not exact
    assert 500 < used < 530


def test_the_estimate_is_corrected_by_how_far_it_was_off_for_this_model() -> None:
    plain, _ = Scale().used([question()])
    path = [question(), answer("Yes.", Usage(prompt_tokens=2 * plain))]
    added = Scale().used([*path, question(TEXT * 2)])[0] - Scale().used(path)[0]
    assert added == pytest.approx(2 * (len(TEXT) / 2 + 6), rel=0.1)
    other, exact = Scale().used(path, model="another")
    assert not exact
    assert other < 1.2 * plain


def test_a_count_that_can_not_be_of_this_path_is_not_followed_far() -> None:
    path = [question(), answer("Yes.", Usage(prompt_tokens=1_000_000)), question(TEXT * 2)]
    assert Scale().used(path)[0] < 1_000_000 + 5 * len(TEXT)


def test_asking_again_weighs_only_what_is_new() -> None:
    scale = Scale()
    path = [question(), answer("Yes.", Usage())]
    assert scale.used(path) == scale.used(path)
    longer = replace(path[1], text="Yes, indeed. " * 100)
    assert scale.used([path[0], longer])[0] > scale.used(path)[0] + 200


def test_what_does_not_fit_is_said_with_what_to_do() -> None:
    sentence = too_long(ContextUse(9000, 8192), "qwen3.5-4b")
    assert "9,000" in sentence
    assert "qwen3.5-4b takes 8,192" in sentence
    assert "choose a model with a larger context" in sentence
    assert too_long(ContextUse(4000, 8192), "qwen3.5-4b") == ""
    assert too_long(ContextUse(9000, None), None) == ""
    assert too_long(ContextUse(8192, 8192), None) != ""
    assert ContextUse(4096, 8192).share == 0.5
    assert ContextUse(4096).share is None
