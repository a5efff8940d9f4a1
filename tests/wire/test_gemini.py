"""The Gemini dialect as data: what is sent, what comes back, and what must not be taken for an answer."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call
from tests.wire.dialects import (
    Json,
    calls_of,
    cut,
    end_of,
    events_of,
    in_sevens,
    json_of,
    places,
    reasoning_of,
    text_of,
)
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    GenerationConfig,
    Image,
    Message,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire.errors import error_of
from whisper_desktop.wire.gemini import (
    ChatDecoder,
    chat_path,
    decode_embeddings,
    decode_models,
    embeddings_path,
    encode_chat,
    encode_embeddings,
)

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]
ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "number"}}})
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
HEADERS = {"x-goog-api-key": "gemini-test-key"}


def chunk(*parts: Json, finish: str | None = None, **more: object) -> Json:
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini", "responseId": "r", **more}


def sse(*chunks: object) -> bytes:
    return "".join(f"data: {json.dumps(each)}\r\n\r\n" for each in chunks).encode()


USED = {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}
PIECES = (
    chunk({"text": "Hel"}, usageMetadata={"promptTokenCount": 4, "totalTokenCount": 5}),
    chunk({"text": "lö"}, finish="STOP", usageMetadata=USED),
)
ANSWER = sse(*PIECES)
USE: Json = {"functionCall": {"name": "add", "args": {"a": "é"}, "id": "c1"}, "thoughtSignature": "c2ln"}


def body(model: str = NEW, messages: Sequence[Message] = ASK, **config: Any) -> Json:
    return encode_chat(messages, GenerationConfig(**config), model)


# --- what is sent -----------------------------------------------------------------------------------------


def test_the_system_prompt_is_apart_and_only_what_was_set_is_sent() -> None:
    assert encode_chat(ASK, GenerationConfig()) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (OLD, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("../x?y#z", "/models/..%2Fx%3Fy%23z:streamGenerateContent?alt=sse"),
    ],
)
def test_the_model_stands_in_the_path_and_nowhere_else_in_the_address(model: str, path: str) -> None:
    assert chat_path(model) == path
    assert chat_path(OLD, stream=False) == "/models/gemini-2.5-flash:generateContent"
    assert embeddings_path(OLD) == "/models/gemini-2.5-flash:batchEmbedContents"


def test_settings_have_their_field_and_extra_cannot_change_the_question() -> None:
    extra = {"topK": 3, "safetySettings": [1], "generationConfig": {"seed": 1, "logprobs": 2}, "contents": []}
    sent = body(
        temperature=0.0, top_p=0.9, max_tokens=5, seed=7, stop=("x",), json_schema=SCHEMA, extra=extra
    )
    assert sent["generationConfig"] == {
        "temperature": 0.0,
        "topP": 0.9,
        "maxOutputTokens": 5,
        "seed": 7,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "topK": 3,
        "logprobs": 2,
    }
    assert (sent["safetySettings"], sent["contents"]) == ([1], body()["contents"])


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking"),
    [
        (OLD, None, None),
        (OLD, "off", {"thinkingBudget": 0, "includeThoughts": False}),
        (OLD, "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "off", {"thinkingBudget": 128, "includeThoughts": False}),
        ("gemini-2.0-flash", "high", None),
        (NEW, "off", {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        ("gemini-3.1-pro-preview", "off", {"thinkingLevel": "LOW", "includeThoughts": False}),
        (NEW, "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
    ],
)
def test_a_model_is_asked_to_think_in_the_way_of_its_age(
    model: str, reasoning: str | None, thinking: Json | None
) -> None:
    config = body(model, reasoning=reasoning).get("generationConfig", {})
    assert config == ({} if thinking is None else {"thinkingConfig": thinking})


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("add", {"mode": "ANY", "allowedFunctionNames": ["add"]}),
    ],
)
def test_tools_and_their_choice(choice: str | None, sent: Json | None) -> None:
    asked = body(tools=(ADD, ToolSpec("now")), tool_choice=choice)
    assert asked["tools"] == [
        {
            "functionDeclarations": [
                {"name": "add", "description": "Adds.", "parametersJsonSchema": ADD.parameters},
                {"name": "now", "description": ""},
            ]
        }
    ]
    assert asked.get("toolConfig") == (None if sent is None else {"functionCallingConfig": sent})
    assert "toolConfig" not in body(tool_choice=choice)


def test_turns_alternate_and_results_carry_the_name_of_their_function() -> None:
    history = [
        Message(Role.USER, "Look", images=(Image(b"\xff\xd8\xff", "image/jpeg"),)),
        Message(Role.ASSISTANT, ""),
        Message(
            Role.ASSISTANT,
            "I add.",
            tool_calls=(ToolCall("c1", "add", '{"a": 1}', "c2ln"), ToolCall("", "add", "a=1")),
        ),
        Message(Role.TOOL, "2", tool_call_id="c1"),
        Message(Role.TOOL, '{"sum": 2}', name="add"),
        Message(Role.USER, "Thanks"),
    ]
    assert body(messages=history)["contents"] == [
        {
            "role": "user",
            "parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}}, {"text": "Look"}],
        },
        {
            "role": "model",
            "parts": [
                {"text": "I add."},
                {
                    "functionCall": {"name": "add", "args": {"a": 1}, "id": "c1"},
                    "thoughtSignature": "c2ln",
                },
                {"functionCall": {"name": "add", "args": {"arguments": "a=1"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "add", "response": {"output": "2"}, "id": "c1"}},
                {"functionResponse": {"name": "add", "response": {"sum": 2}}},
                {"text": "Thanks"},
            ],
        },
    ]


@pytest.mark.parametrize("signature", ["", '[{"type": "thinking"}]', "a b", "é"])
def test_a_call_without_our_signature_gets_the_word_for_it_where_one_is_wanted(signature: str) -> None:
    history = [*ASK, Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "add", "{}", signature),))]
    parts = body(NEW, history)["contents"][-1]["parts"]  # type: ignore[index]
    assert parts[0]["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in json.dumps(body(OLD, history))


# --- what comes back --------------------------------------------------------------------------------------


def test_an_answer_is_joined_from_its_chunks_with_the_last_counts() -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, ANSWER) == [TextDelta("Hel"), TextDelta("lö")]
    assert decoder.end() == StreamEnd("stop", Usage(4, 2), "gemini")


def test_thoughts_are_kept_apart_and_counted_as_part_of_the_answer() -> None:
    counts = {"thoughtsTokenCount": 5, "cachedContentTokenCount": 3, **USED}
    decoder = ChatDecoder()
    events = events_of(
        decoder,
        sse(
            chunk({"text": "hm", "thought": True}, {"text": "a", "thought": "yes"}),
            chunk({"text": ""}, finish="STOP", usageMetadata=counts),
        ),
    )
    assert events == [ReasoningDelta("hm"), TextDelta("a")]
    assert decoder.end().usage == Usage(4, 7, cached_prompt_tokens=3, reasoning_tokens=5)


def test_a_call_keeps_its_signature_and_gets_an_id_where_it_has_none() -> None:
    bare: Json = {"functionCall": {"name": "add"}}
    stream = sse(chunk(USE, bare, bare, {"functionCall": {}}), chunk(finish="STOP"))
    decoder = ChatDecoder()
    events = events_of(decoder, stream)
    assert events[0] == ToolCallDelta(ToolCall("c1", "add", '{"a":"é"}', "c2ln"))
    assert calls_of(events)[1:] == [("add", {}), ("add", {})]
    assert len({event.call.id for event in events if isinstance(event, ToolCallDelta)}) == 3
    assert decoder.end().finish_reason == "tool_calls"
    assert events == events_of(ChatDecoder(), stream)


@pytest.mark.parametrize(
    ("stream", "end"),
    [
        (sse(chunk({"text": "a"}, finish="STOP")), "stop"),
        (sse(chunk({"text": "a"}, finish="MAX_TOKENS")), "length"),
        (sse(chunk({"text": "a"}, finish="SOMETHING_NEW")), "something_new"),
        (ANSWER.rstrip(), "stop"),
        (ANSWER + sse({"error": {"code": 500, "message": "late"}}), "stop"),
        (sse({"usageMetadata": {}}, {"candidates": []}, {"new": 1}) + ANSWER, "stop"),
        (json.dumps(PIECES).encode(), "stop"),
        (b"", ErrorKind.EMPTY),
        (sse(chunk(finish="STOP")), ErrorKind.EMPTY),
        (sse(chunk({"text": "a"})), ErrorKind.TRUNCATED),
        (sse(chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED")), ErrorKind.TRUNCATED),
        (json.dumps(PIECES[:1]).encode(), ErrorKind.TRUNCATED),
        (json.dumps(PIECES).encode()[:-1], ErrorKind.MALFORMED),
        (sse(chunk({"text": "a"}, finish="SAFETY")), ErrorKind.CONTENT_FILTER),
        (sse(chunk({"text": "a"}, finish="RECITATION")), ErrorKind.CONTENT_FILTER),
        (sse({"promptFeedback": {"blockReason": "SAFETY"}}), ErrorKind.CONTENT_FILTER),
        (sse(chunk(finish="MALFORMED_FUNCTION_CALL")), ErrorKind.SERVER_ERROR),
        (sse(chunk({"text": "a"}, finish="OTHER")), ErrorKind.SERVER_ERROR),
        (
            sse(PIECES[0], {"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}),
            ErrorKind.OVERLOADED,
        ),
        (
            b'[{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]',
            ErrorKind.RATE_LIMITED,
        ),
        (b"data: {\n\n" * 4, ErrorKind.MALFORMED),
        (b"<html>", ErrorKind.NOT_AN_LLM),
    ],
)
def test_only_a_finish_reason_makes_an_answer_complete(stream: bytes, end: str | ErrorKind) -> None:
    decoder = ChatDecoder()
    events_of(decoder, stream)
    ended = end_of(decoder)
    assert (ended.finish_reason if isinstance(ended, StreamEnd) else ended) == end


def test_what_was_said_before_the_filter_is_not_lost_and_its_reason_is_told() -> None:
    decoder = ChatDecoder()
    withheld = chunk({"text": "a"}, finish="SAFETY")
    assert events_of(decoder, sse(withheld)) == [TextDelta("a")]
    with pytest.raises(BackendError, match="SAFETY"):
        decoder.end()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], ErrorKind.NOT_AN_LLM),
        ({}, ErrorKind.NOT_AN_LLM),
        (None, ErrorKind.NOT_AN_LLM),
        ([1], ErrorKind.NOT_AN_LLM),
        ([PIECES[0], {"hello": 1}], ErrorKind.NOT_AN_LLM),
        ({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}, ErrorKind.OVERLOADED),
        ([{"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}], ErrorKind.OVERLOADED),
        ({"promptFeedback": {"blockReason": "OTHER"}}, ErrorKind.CONTENT_FILTER),
    ],
)
def test_json_that_is_no_answer_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole(value)
    assert caught.value.kind is kind


@pytest.mark.parametrize("value", [list(PIECES), chunk({"text": "Hellö"}, finish="STOP", usageMetadata=USED)])
def test_an_answer_in_one_piece_or_as_an_array_is_taken(value: object) -> None:
    decoder = ChatDecoder()
    assert text_of(decoder.whole(value)) == "Hellö"
    assert decoder.end() == StreamEnd("stop", Usage(4, 2), "gemini")


def test_half_a_surrogate_pair_does_not_reach_a_terminal() -> None:
    assert text_of(events_of(ChatDecoder(), sse(chunk({"text": "a\ud83d"})))) == "a\ufffd"


@pytest.mark.parametrize(
    "part",
    [[{"functionCall": {"name": "f", "args": {"a": "x" * 2**21}}}], [{"functionCall": {"name": "f"}}] * 1000],
    ids=["a large one", "many"],
)
def test_calls_beyond_the_bounds_are_malformed(part: list[Json]) -> None:
    decoder = ChatDecoder()
    events_of(decoder, sse(chunk(*part, finish="STOP")))
    assert end_of(decoder) is ErrorKind.MALFORMED


@given(places, st.booleans())
def test_any_way_of_cutting_an_answer_gives_the_same_events(where: list[int], as_array: bool) -> None:
    chunks = [chunk({"text": "é😀\n", "thought": True}), chunk(USE), *PIECES]
    stream = json.dumps(chunks).encode() if as_array else sse(*chunks)
    expected = [event for each in chunks for event in ChatDecoder().whole(each)]
    decoder = ChatDecoder()
    assert events_of(decoder, *cut(stream, where)) == expected
    assert decoder.end() == StreamEnd("tool_calls", Usage(4, 2), "gemini")


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_bytes_give_an_end_or_a_failure(pieces: list[bytes]) -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, *pieces) == []
    assert isinstance(end_of(decoder), ErrorKind)


anything = json_of(
    *("candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "id", "error"),
    *("finishReason", "promptFeedback", "blockReason", "usageMetadata", "promptTokenCount", "modelVersion"),
    words=("STOP", "SAFETY", "f"),
)
parts = st.fixed_dictionaries(
    {},
    optional={"text": anything, "thought": anything, "functionCall": anything, "thoughtSignature": anything},
)
chunks = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "content": st.fixed_dictionaries({"parts": st.lists(parts | anything, max_size=3)})
                    | anything,
                    "finishReason": anything,
                },
            )
            | anything,
            max_size=2,
        ),
        "promptFeedback": anything,
        "usageMetadata": anything,
        "responseId": anything,
    },
)


@given(st.lists(chunks | anything, max_size=6))
def test_any_json_gives_an_answer_or_a_failure(values: list[object]) -> None:
    decoder = ChatDecoder()
    seen = events_of(decoder, sse(*values))
    end = end_of(decoder)
    assert isinstance(end, ErrorKind) or seen
    for text in (text_of(seen), reasoning_of(seen), *map(str, calls_of(seen))):
        text.encode()


@given(chunks | anything | st.lists(chunks, max_size=3))
def test_any_json_in_one_piece_gives_an_answer_or_an_error(value: object) -> None:
    try:
        ChatDecoder().whole(value)
    except BackendError:
        return
    assert isinstance(value, dict | list)


# --- models and embeddings --------------------------------------------------------------------------------


def test_models_that_chat_or_embed_are_listed_by_their_short_names() -> None:
    listed = [
        {"name": "models/a", "inputTokenLimit": 100, "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/b", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/c", "supportedGenerationMethods": ["predict"]},
        {"name": "models/", "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/d"},
        7,
    ]
    found = decode_models({"models": listed})
    assert [(model.id, model.context_length, model.can_chat) for model in found] == [
        ("a", 100, True),
        ("b", None, False),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": {"code": 403, "message": "x", "status": "PERMISSION_DENIED"}}, ErrorKind.AUTH),
        ({"models": None}, ErrorKind.NOT_AN_LLM),
        ([], ErrorKind.NOT_AN_LLM),
    ],
)
def test_what_is_no_list_of_models_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        decode_models(value)
    assert caught.value.kind is kind


def test_embeddings_are_asked_for_and_read() -> None:
    assert encode_embeddings(["a"], "models/e") == encode_embeddings(["a"], "e")
    assert encode_embeddings(["a"], "e") == {
        "requests": [{"model": "models/e", "content": {"parts": [{"text": "a"}]}}]
    }
    value = {"embeddings": [{"values": [1, 0.5]}], "usageMetadata": {"promptTokenCount": 3}}
    found = decode_embeddings(value)
    assert (found.vectors, found.model, found.usage.prompt_tokens) == (((1.0, 0.5),), None, 3)


@pytest.mark.parametrize("value", [{}, [], {"embeddings": [1]}, {"embeddings": [{"values": ["1"]}]}])
def test_what_are_no_embeddings_says_so(value: object) -> None:
    with pytest.raises(BackendError) as caught:
        decode_embeddings(value)
    assert caught.value.kind is ErrorKind.MALFORMED


# --- against the test server ------------------------------------------------------------------------------


def post(url: str, path: str, sent: Json) -> Seen:
    return call(url, "POST", f"/v1beta{path}", sent, HEADERS)


def ask(
    url: str, messages: Sequence[Message], config: GenerationConfig, model: str, how: str
) -> tuple[list[BackendEvent], StreamEnd]:
    """What comes of a real answer to a real request, streamed, as an array, or in one piece."""
    path = chat_path(model, stream=how != "whole")
    seen = post(
        url, path.removesuffix("?alt=sse") if how == "array" else path, encode_chat(messages, config, model)
    )
    assert seen.status == 200, seen.text
    decoder = ChatDecoder()
    found = events_of(decoder, *in_sevens(seen.body)) if how == "stream" else decoder.whole(seen.json())
    return found, decoder.end()


@pytest.mark.parametrize("how", ["stream", "array", "whole"])
@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_server_understands_the_request_and_its_answer_is_understood(
    servers: ServerFactory, model: str, how: str
) -> None:
    server = servers("gemini", "--reasoning", "Let me see", "--cached-tokens", "2")
    config = GenerationConfig(temperature=0.3, top_p=0.9, seed=1, stop=("###",), reasoning="medium")
    found, end = ask(server.url, ASK, config, model, how)
    assert (text_of(found), reasoning_of(found)) == ("You said: Hi", "Let me see")
    assert end == StreamEnd("stop", Usage(5, 6, cached_prompt_tokens=2, reasoning_tokens=3), model)
    image = [Message(Role.USER, "Look", images=(Image(b"\x89PNG"),))]
    assert text_of(ask(server.url, image, config, model, how)[0]) == "You showed 1 image: image/png."
    shaped, _ = ask(server.url, ASK, GenerationConfig(json_schema=SCHEMA), model, how)
    assert json.loads(text_of(shaped)) == {"name": ""}
    short = GenerationConfig(max_tokens=4, reasoning="off")
    assert ask(server.url, ASK, short, model, how)[1].finish_reason == ("stop" if model == OLD else "length")


@pytest.mark.parametrize("how", ["stream", "array", "whole"])
@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_tool_is_called_and_its_result_goes_back(servers: ServerFactory, model: str, how: str) -> None:
    server = servers("gemini", "--tool-call", 'add:{"a": 1, "b": 2}', "--tool-call", "now:{}")
    config = GenerationConfig(tools=(ADD, ToolSpec("now")), tool_choice="required", reasoning="low")
    found, end = ask(server.url, ASK, config, model, how)
    assert calls_of(found) == [("add", {"a": 1, "b": 2}), ("now", {})]
    assert end.finish_reason == "tool_calls"
    made = [each.call for each in found if isinstance(each, ToolCallDelta)]
    assert bool(made[0].signature) is (model == NEW)
    history = [
        *ASK,
        Message(Role.ASSISTANT, "", tool_calls=tuple(made)),
        *(Message(Role.TOOL, "3", tool_call_id=each.id) for each in made),
    ]
    found, end = ask(server.url, history, config, model, how)
    assert (text_of(found), end.finish_reason) == ("add said: 3\nnow said: 3", "stop")


@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_conversation_of_another_maker_goes_on_here(servers: ServerFactory, model: str) -> None:
    calls = (ToolCall("toolu_1", "add", '{"a": 1}', '[{"type": "thinking"}]'), ToolCall("x", "add", "a = 1"))
    history = [
        *ASK,
        Message(Role.ASSISTANT, "Let me see.", tool_calls=calls),
        Message(Role.TOOL, "", tool_call_id="toolu_1"),
        Message(Role.TOOL, "[4]", tool_call_id="x"),
    ]
    found, _ = ask(servers("gemini").url, history, GenerationConfig(tools=(ADD,)), model, "stream")
    assert text_of(found) == "add said: \nadd said: [4]"


@pytest.mark.parametrize("options", [(), ("--list-errors",)])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("busy_503", ErrorKind.OVERLOADED),
        ("error_500", ErrorKind.SERVER_ERROR),
        ("rate_429:7", ErrorKind.RATE_LIMITED),
        ("quota_429", ErrorKind.QUOTA),
        ("unauthorized_401", ErrorKind.AUTH),
        ("payment_402", ErrorKind.QUOTA),
        ("not_found_404_model", ErrorKind.MODEL_MISSING),
        ("context_400", ErrorKind.CONTEXT_OVERFLOW),
        ("bad_request_400", ErrorKind.BAD_REQUEST),
    ],
)
def test_a_refused_request_has_its_kind(
    servers: ServerFactory, fault: str, kind: ErrorKind, options: tuple[str, ...]
) -> None:
    seen = post(servers("gemini", "--fault", fault, *options).url, chat_path(NEW), body())
    error = error_of(seen.status, seen.headers, seen.body)
    assert error.kind is kind
    if fault == "rate_429:7":
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_mid_stream:2", ErrorKind.OVERLOADED),
        ("eof_mid_stream:2", ErrorKind.TRUNCATED),
        ("empty_answer", ErrorKind.EMPTY),
        ("content_filter:2", ErrorKind.CONTENT_FILTER),
        ("refusal", ErrorKind.CONTENT_FILTER),
    ],
)
def test_a_broken_stream_is_no_answer(servers: ServerFactory, fault: str, kind: ErrorKind) -> None:
    decoder = ChatDecoder()
    events_of(decoder, post(servers("gemini", "--fault", fault).url, chat_path(NEW), body()).body)
    assert end_of(decoder) is kind


def test_models_and_embeddings_are_read(servers: ServerFactory) -> None:
    url = servers("gemini", "--dimensions", "4").url
    found = decode_models(call(url, "GET", "/v1beta/models?pageSize=1000", headers=HEADERS).json())
    assert [(model.id, model.context_length, model.can_chat) for model in found] == [
        (OLD, 1048576, True),
        (NEW, 1048576, True),
        ("gemini-embedding-001", 2048, False),
    ]
    path = embeddings_path("gemini-embedding-001")
    both = decode_embeddings(post(url, path, encode_embeddings(["a", "b"], "gemini-embedding-001")).json())
    one = decode_embeddings(post(url, path, encode_embeddings(["b"], "gemini-embedding-001")).json())
    assert (len(both.vectors), len(both.vectors[0])) == (2, 4)
    assert both.vectors[1] == one.vectors[0]
