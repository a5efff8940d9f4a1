"""What bounds an answer in every dialect, and what is no part of it any more."""

import json

import pytest

from tests.wire.dialects import end_of, events_of, text_of
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, StreamEnd
from whisper_desktop.wire import ollama, openai
from whisper_desktop.wire.decoding import LARGEST_ANSWER

PIECE = "word" * 50_000


def event(delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_an_answer_without_an_end_is_stopped_at_its_bound(field: str) -> None:
    decoder, fed = openai.ChatDecoder(), 0
    while decoder.failure is None:
        decoder.feed(event({field: PIECE}))
        fed += len(PIECE)
        assert fed < LARGEST_ANSWER + 2 * len(PIECE)
    assert fed > LARGEST_ANSWER
    assert decoder.failure.kind is ErrorKind.TOO_LARGE
    assert decoder.feed(event({field: PIECE})) == []
    assert end_of(decoder) is ErrorKind.TOO_LARGE


def test_text_and_arguments_count_together() -> None:
    decoder = ollama.ChatDecoder()
    call = {"function": {"name": "f", "arguments": {"text": PIECE}}}
    line = json.dumps({"message": {"content": PIECE, "thinking": PIECE, "tool_calls": [call]}, "done": False})
    for _ in range(LARGEST_ANSWER // (3 * len(PIECE)) + 1):
        decoder.feed(line.encode() + b"\n")
    assert decoder.failure is not None
    assert decoder.failure.kind is ErrorKind.TOO_LARGE


def test_a_whole_answer_has_the_same_bound() -> None:
    message = {"role": "assistant", "content": "a" * (LARGEST_ANSWER + 1)}
    with pytest.raises(BackendError) as caught:
        openai.ChatDecoder().whole({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert caught.value.kind is ErrorKind.TOO_LARGE


@pytest.mark.parametrize("in_one_read", [True, False])
def test_what_follows_the_finish_reason_is_no_part_of_the_answer_but_for_its_usage(in_one_read: bool) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    pieces = [event({"content": "hi"}), event({"content": "."}, "stop"), event({"content": "more"}), usage]
    decoder = openai.ChatDecoder()
    assert text_of(events_of(decoder, *([b"".join(pieces)] if in_one_read else pieces))) == "hi."
    end = decoder.end()
    assert isinstance(end, StreamEnd)
    assert end.usage.completion_tokens == 4
