"""What callers may pass as messages, and how much of a prompt there is at most."""

import base64
from types import MappingProxyType

import pytest

from whisper_desktop.llm.messages import MessageLike, as_messages, estimate_tokens, most_tokens
from whisper_desktop.values import GenerationConfig, Image, Message, Role, ToolCall, ToolSpec

NOTHING = GenerationConfig()
PIXEL = base64.b64encode(b"pixel").decode()


@pytest.mark.parametrize(
    "given",
    [
        "Hi",
        Message(Role.USER, "Hi"),
        {"role": "user", "content": "Hi"},
        ["Hi"],
        (Message(Role.USER, "Hi"),),
        [{"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}],
    ],
)
def test_a_question_is_one_message_or_several(given: object) -> None:
    assert as_messages(given) == (Message(Role.USER, "Hi"),)  # type: ignore[arg-type]  # what a script has


def test_a_conversation_keeps_its_order_and_who_spoke() -> None:
    call = {"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    given: list[MessageLike] = [
        {"role": "system", "content": "Be brief."},
        Message(Role.USER, "Add."),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "1", "name": "add"},
    ]
    assert as_messages(given) == (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Add."),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "add", '{"a": 1}'),)),
        Message(Role.TOOL, "2", tool_call_id="1", name="add"),
    )


def test_an_image_comes_as_its_data() -> None:
    url = f"data:image/jpeg;base64,{PIXEL}"
    parts = [{"text": "What is it?"}, {"image_url": {"url": url}}]
    assert as_messages({"role": "user", "content": parts}) == (
        Message(Role.USER, "What is it?", (Image(b"pixel", "image/jpeg"),)),
    )


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (b"Hi", TypeError, "not bytes"),
        (bytearray(b"Hi"), TypeError, "not bytearray"),
        (None, TypeError, "not NoneType"),
        (5, TypeError, "not int"),
        ([5], TypeError, "not int"),
        ([b"Hi"], TypeError, "not bytes"),
        ([None], TypeError, "not NoneType"),
        ({"Hi"}, TypeError, "not set"),
        ([], ValueError, "no message"),
        ({}, ValueError, "role"),
        ({"role": "usr", "content": "Hi"}, ValueError, "system, user, assistant, tool"),
        ({"role": "user"}, ValueError, "content"),
        ({"role": "user", "content": [{"video": "x"}]}, ValueError, "part"),
        ({"role": "user", "content": [{"image_url": "https://example.org/a.png"}]}, ValueError, "its data"),
        ({"role": "user", "content": [{"image_url": "data:image/png;base64,$"}]}, ValueError, "base64"),
        ({"role": "assistant", "content": "", "tool_calls": ["add"]}, ValueError, "tool call"),
    ],
)
def test_what_is_no_message_is_told_in_plain_words(given: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_messages(given)  # type: ignore[arg-type]  # what a script might pass


@pytest.mark.parametrize("text", ["word " * 50, "字" * 50, "🙂" * 50, "\x00" * 50, "\ud800" * 50])
def test_no_token_is_smaller_than_a_byte(text: str) -> None:
    messages = as_messages(text)
    assert most_tokens(messages, NOTHING) >= len(text.encode(errors="replace"))
    assert most_tokens(messages, NOTHING) > estimate_tokens(messages)


def test_all_that_is_sent_counts() -> None:
    plain = most_tokens(as_messages("Hi"), NOTHING)
    long = "x" * 1000
    call = ToolCall("1", "add", long)
    grown = [
        ((Message(Role.ASSISTANT, "Hi", tool_calls=(call,)),), NOTHING),
        ((Message(Role.TOOL, "Hi", name=long),), NOTHING),
        ((Message(Role.USER, "Hi", (Image(b""),)),), NOTHING),
        (as_messages("Hi"), GenerationConfig(tools=(ToolSpec("add", long),))),
        (as_messages("Hi"), GenerationConfig(tools=(ToolSpec("add", "", MappingProxyType({"a": long})),))),
        (as_messages("Hi"), GenerationConfig(json_schema={"title": long})),
        (as_messages("Hi"), GenerationConfig(extra={"odd": [object()], "long": long})),
    ]
    for messages, config in grown:
        assert most_tokens(messages, config) >= plain + 1000
