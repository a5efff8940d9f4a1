"""A request is understood alike in every dialect, and answered by rules that tests can compute."""

import base64
import math
import struct
from typing import Any

import pytest

from tests.servers.answers import ToolUse, base64_floats, compose, embedding_of, texts_to_embed, tokens_of
from tests.servers.asks import smallest, understand

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
# The same conversation in four dialects: a question with an image, a call, its result.
OPENAI: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "now"}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ],
}
OLLAMA: dict[str, Any] = {
    "tools": OPENAI["tools"],
    "format": SCHEMA,
    "messages": [
        {"role": "user", "content": "what?", "images": [PNG]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "now", "arguments": {}}}],
        },
        {"role": "tool", "tool_name": "now", "content": "noon"},
    ],
}
ANTHROPIC: dict[str, Any] = {
    "tools": [{"name": "now", "input_schema": {"type": "object"}}],
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "now", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [{"type": "text", "text": "noon"}],
                }
            ],
        },
    ],
}
GEMINI: dict[str, Any] = {
    "tools": [{"functionDeclarations": [{"name": "now"}]}],
    "generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "what?"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "now", "args": {}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "now", "response": {"result": "noon"}}}],
        },
    ],
}
DIALECTS = {"openai": OPENAI, "ollama": OLLAMA, "anthropic": ANTHROPIC, "gemini": GEMINI}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_request_is_the_same_ask(dialect: str) -> None:
    ask = understand(DIALECTS[dialect])
    assert (ask.said, ask.images, ask.tools, ask.schema) == ("what?", ("image/png",), ("now",), SCHEMA)
    assert [(result.name, result.text) for result in ask.results] == [("now", "noon")]
    assert ask.answered
    assert ask.prefill is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prepared_call_is_made_once_and_its_result_is_told(dialect: str) -> None:
    full = DIALECTS[dialect]
    holder = "contents" if "contents" in full else "messages"

    def answer(body: dict[str, Any]) -> Any:
        call = ToolUse("now", '{"zone": "UTC"}')
        other = ToolUse("never", "{}")
        return compose(
            body,
            model="m",
            text=None,
            tokens=None,
            reasoning="",
            limit=None,
            tool_calls=[call, other],
        )

    asked = answer(full | {holder: full[holder][:1]})
    assert [call.name for call in asked.tool_calls] == ["now"]
    assert (asked.text, asked.finish_reason) == ("", "tool_calls")
    assert "".join(asked.tool_calls[0].fragments) == '{"zone": "UTC"}'
    told = answer(full)
    assert (told.text, told.tool_calls) == ("now said: noon", ())


def test_forbidden_tools_are_not_offered() -> None:
    assert understand(OPENAI | {"tool_choice": "none"}).tools == ()
    only = {"type": "function", "function": {"name": "other"}}
    assert understand(OPENAI | {"tool_choice": only}).tools == ()
    config = {"functionCallingConfig": {"mode": "NONE"}}
    assert understand(GEMINI | {"toolConfig": config}).tools == ()


def test_a_last_message_of_the_assistant_is_a_prefill() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "word0 word1"}]
    assert understand({"messages": messages}).prefill == "word0 word1"
    options: dict[str, Any] = {"model": "m", "text": None, "reasoning": "", "limit": None}
    said = compose({"messages": messages}, **options, tokens=4, continues=True)
    assert said.text == " word2 word3"
    assert compose({"messages": messages}, **options, tokens=4).text == "word0 word1 word2 word3"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        (SCHEMA, {"a": ""}),
        ({"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}, "required": ["n"]}, {"n": 0}),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": ["string", "null"]}, ""),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"$defs": {"x": {"type": "boolean"}}, "$ref": "#/$defs/x"}, False),
    ],
)
def test_the_smallest_value_satisfies_the_schema(schema: dict[str, Any], value: object) -> None:
    assert smallest(schema) == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}, "required": ["next"]}
    assert smallest({"$defs": {"n": node}, "$ref": "#/$defs/n"})


def test_an_embedding_belongs_to_its_text() -> None:
    first, again, other = (embedding_of(text, 8) for text in ("a", "a", "b"))
    assert first == again != other
    assert len(first) == 8
    assert math.isclose(sum(each * each for each in first), 1, abs_tol=1e-4)
    packed = struct.unpack("<8f", base64.b64decode(base64_floats(first)))
    assert packed == pytest.approx(first)
    assert texts_to_embed([1, 2]) == ["1 2"]
    assert texts_to_embed([[1], [2]]) == ["1", "2"]
    assert texts_to_embed("x") == ["x"]


def test_tokens_join_to_the_text() -> None:
    text = "  two\n words "
    assert "".join(tokens_of(text)) == text
