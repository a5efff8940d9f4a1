"""The Anthropic dialect as data: what is sent, what comes back, and what must not be taken for an answer."""

import json
import tracemalloc
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
    without_calling,
)
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    GenerationConfig,
    Image,
    Message,
    Phase,
    Progress,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from whisper_desktop.wire.anthropic import (
    DEFAULT_MAX_TOKENS,
    VERSION,
    ChatDecoder,
    accepts_prefill,
    decode_models,
    encode_chat,
)
from whisper_desktop.wire.errors import error_of

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]
ADD = ToolSpec("add", "Adds.", {"properties": {"a": {"type": "number"}}})
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
OLD, MIDDLE, NEW, NEWEST = "claude-haiku-4-5-20251001", "claude-opus-4-6", "claude-opus-5", "claude-opus-5-5"
HIDDEN = '[{"type": "thinking", "thinking": "hm", "signature": "s"}]'
CALLING = Progress(Phase.CALLING)
HEADERS = {"x-api-key": "sk-ant-test", "anthropic-version": VERSION}


def event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def start(**usage: int) -> bytes:
    return event("message_start", message={"model": "claude", "content": [], "usage": usage})


def begin(index: int, kind: str, **more: object) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind, **more})


def delta(index: int, kind: str, **more: object) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **more})


def close(index: int) -> bytes:
    return event("content_block_stop", index=index)


def stop(reason: object, **more: object) -> bytes:
    return event("message_delta", delta={"stop_reason": reason, **more}, usage={"output_tokens": 15})


END = event("message_stop")
TEXT = begin(0, "text", text="") + delta(0, "text_delta", text="Hel") + delta(0, "text_delta", text="lö")
ANSWER = start(input_tokens=25, output_tokens=1) + event("ping") + TEXT + close(0) + stop("end_turn") + END
USE = begin(1, "tool_use", id="toolu_1", name="add", input={})


def body(model: str | None = OLD, messages: Sequence[Message] = ASK, **config: Any) -> Json:
    return encode_chat(messages, GenerationConfig(**config), model)


# --- what is sent -----------------------------------------------------------------------------------------


def test_the_system_prompt_is_apart_and_a_limit_is_always_sent() -> None:
    assert body() == {
        "model": OLD,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_settings_have_their_field_and_extra_cannot_change_the_question() -> None:
    extra = {"top_k": 3, "messages": [], "stream": False, "max_tokens": 1}
    sent = body(max_tokens=5, seed=7, stop=("x", " \n"), extra=extra)
    assert (sent["max_tokens"], sent["stop_sequences"], sent["top_k"]) == (5, ["x"], 3)
    assert (sent["messages"], sent["stream"]) == (body()["messages"], True)
    assert "seed" not in sent


@pytest.mark.parametrize(
    ("model", "config", "sent"),
    [
        (OLD, {"temperature": 0.0, "top_p": 0.9}, {"temperature": 0.0}),
        (OLD, {"top_p": 0.9}, {"top_p": 0.9}),
        (MIDDLE, {"temperature": 0.5}, {"temperature": 0.5}),
        ("claude-opus-4-7", {"temperature": 0.5, "top_p": 0.9}, {}),
        (NEW, {"temperature": 0.5}, {}),
        ("claude", {"temperature": 0.5}, {}),
        (OLD, {"temperature": 0.5, "reasoning": "low"}, {}),
        (MIDDLE, {"temperature": 0.5, "reasoning": "low"}, {}),
        (OLD, {"temperature": 0.5, "reasoning": "off"}, {"temperature": 0.5}),
        (MIDDLE, {"temperature": 0.5, "reasoning": "off"}, {"temperature": 0.5}),
    ],
)
def test_a_model_gets_only_the_sampling_that_it_takes(model: str, config: dict[str, Any], sent: Json) -> None:
    assert {
        name: value for name, value in body(model, **config).items() if name in ("temperature", "top_p")
    } == sent


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (OLD, None, None, None),
        (OLD, "off", None, None),
        (OLD, "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, "high", {"type": "enabled", "budget_tokens": 12288}, None),
        ("claude-3-7-sonnet-20250219", "medium", {"type": "enabled", "budget_tokens": 6144}, None),
        ("claude-3-5-haiku-20241022", "low", None, None),
        ("claude-sonnet-4-20250514", "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (MIDDLE, "off", {"type": "disabled"}, None),
        (MIDDLE, "high", {"type": "adaptive"}, "high"),
        (NEW, "low", {"type": "adaptive", "display": "summarized"}, "low"),
        (NEW, "off", {"type": "disabled"}, None),
        (NEWEST, "off", None, "low"),
        ("claude-fable-5", "off", None, "low"),
        ("claude-fable-5-1", "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
    ],
)
def test_a_model_is_asked_to_think_in_the_way_of_its_age(
    model: str, reasoning: str | None, thinking: Json | None, effort: str | None
) -> None:
    sent = body(model, reasoning=reasoning)
    assert sent.get("thinking") == thinking
    assert sent.get("output_config", {}) == ({"effort": effort} if effort else {})


@pytest.mark.parametrize(("limit", "budget"), [(1024, None), (1025, 1024), (4096, 1536)])
def test_a_budget_leaves_room_for_the_answer(limit: int, budget: int | None) -> None:
    thinking = body(OLD, reasoning="medium", max_tokens=limit).get("thinking")
    assert thinking == (None if budget is None else {"type": "enabled", "budget_tokens": budget})


def test_a_schema_is_asked_for_beside_an_effort() -> None:
    sent = body(NEW, reasoning="low", json_schema=SCHEMA, extra={"output_config": {"effort": "max", "x": 1}})
    assert sent["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": SCHEMA},
        "x": 1,
    }


@pytest.mark.parametrize(
    ("model", "choice", "sent"),
    [
        (NEW, None, None),
        (NEW, "auto", {"type": "auto"}),
        (NEW, "none", {"type": "none"}),
        (NEW, "required", {"type": "any"}),
        (NEW, "add", {"type": "tool", "name": "add"}),
        (NEWEST, "required", {"type": "auto"}),
        (NEWEST, "add", {"type": "auto"}),
    ],
)
def test_tools_and_their_choice(model: str, choice: str | None, sent: Json | None) -> None:
    asked = body(model, tools=(ADD,), tool_choice=choice)
    assert asked["tools"] == [
        {
            "name": "add",
            "description": "Adds.",
            "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
        }
    ]
    assert asked.get("tool_choice") == sent
    assert "tool_choice" not in body(model, tool_choice=choice)


def test_a_forced_tool_goes_before_thinking_within_a_budget() -> None:
    assert "thinking" not in body(OLD, tools=(ADD,), tool_choice="required", reasoning="high")
    assert "thinking" in body(OLD, tools=(ADD,), tool_choice="auto", reasoning="high")


def test_turns_alternate_and_tool_results_belong_to_the_user() -> None:
    history = [
        Message(Role.USER, "One"),
        Message(Role.USER, "Look", images=(Image(b"\xff\xd8\xff", "image/jpeg"),)),
        Message(Role.ASSISTANT, " "),
        Message(Role.ASSISTANT, "I add.", tool_calls=(ToolCall("c.1:0", "add", '{"a": 1}', HIDDEN),)),
        Message(Role.SYSTEM, "Still brief."),
        Message(Role.TOOL, "2", tool_call_id="c.1:0", name="add"),
        Message(Role.USER, "Thanks"),
        Message(Role.ASSISTANT, "So: "),
    ]
    assert body(messages=history)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "One"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}},
                {"type": "text", "text": "Look"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I add."},
                {"type": "tool_use", "id": "c_1_0", "name": "add", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c_1_0", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "Thanks"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "So:"}]},
    ]
    assert body(messages=history)["system"] == "Still brief."


@pytest.mark.parametrize("signature", ["", "CiQB0uXo/Q==", "[", "[1]", '{"type": "thinking"}'])
def test_another_makers_signature_is_not_sent_and_a_budget_not_asked_for(signature: str) -> None:
    history = [
        *ASK,
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "add", "{}", signature),)),
        Message(Role.TOOL, "2", tool_call_id="c1"),
    ]
    sent = body(OLD, history, reasoning="high")
    assert "thinking" not in json.dumps(sent)
    assert "thinking" not in body(OLD, [*history, Message(Role.USER, "Go on")], reasoning="high")
    assert "thinking" in body(OLD, [*history, Message(Role.ASSISTANT, "2"), *ASK], reasoning="high")
    assert "thinking" in body(NEW, history, reasoning="high")


# --- what comes back --------------------------------------------------------------------------------------


def test_an_answer_is_joined_from_its_events_with_the_last_counts() -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, ANSWER) == [TextDelta("Hel"), TextDelta("lö")]
    assert decoder.end() == StreamEnd("stop", Usage(25, 15), "claude")
    assert decoder.done


def test_cached_tokens_are_part_of_the_prompt_and_thoughts_of_the_answer() -> None:
    counts = {"input_tokens": 5, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 15}
    last = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}, "input_tokens": None}
    ending = event("message_delta", delta={"stop_reason": "end_turn"}, usage=last)
    decoder = ChatDecoder()
    events_of(decoder, start(**counts) + TEXT + close(0) + ending + END)
    assert decoder.end().usage == Usage(100, 9, cached_prompt_tokens=80, reasoning_tokens=4)


def test_a_call_is_joined_and_handed_out_when_it_is_complete() -> None:
    decoder = ChatDecoder()
    thinking = (
        begin(0, "thinking", thinking="", signature="")
        + delta(0, "thinking_delta", thinking="h")
        + delta(0, "thinking_delta", thinking="m")
        + delta(0, "signature_delta", signature="s")
        + close(0)
    )
    fragments = delta(1, "input_json_delta", partial_json="") + delta(
        1, "input_json_delta", partial_json='{"a"'
    )
    began = [ReasoningDelta("h"), ReasoningDelta("m"), CALLING]
    assert events_of(decoder, thinking + USE + fragments) == began
    done = delta(1, "input_json_delta", partial_json=": 1}") + close(1)
    assert decoder.feed(done) == [ToolCallDelta(ToolCall("toolu_1", "add", '{"a": 1}', HIDDEN))]
    decoder.feed(stop("tool_use") + END)
    assert decoder.end().finish_reason == "tool_calls"


def test_a_call_whose_arguments_take_long_is_told_once_for_each_piece() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(USE + delta(1, "input_json_delta", partial_json="")) == []
    several = b"".join(delta(1, "input_json_delta", partial_json=piece) for piece in ('{"a', '": [', "1"))
    assert decoder.feed(several) == [CALLING]
    assert decoder.feed(delta(1, "input_json_delta", partial_json=", 2")) == [CALLING]
    assert decoder.feed(delta(1, "input_json_delta", partial_json="]}") + close(1)) == [
        ToolCallDelta(ToolCall("toolu_1", "add", '{"a": [1, 2]}'))
    ]
    assert decoder.feed(stop("tool_use") + END) == []


@pytest.mark.parametrize(
    ("model", "accepts"),
    [
        ("claude-haiku-4-5-20251001", True),
        ("claude-3-5-sonnet-20241022", True),
        ("claude-opus-4-6", False),
        ("claude-sonnet-5", False),
        ("claude-fable", False),
        (None, False),
    ],
)
def test_models_since_4_6_do_not_go_on_with_a_begun_answer(model: str | None, accepts: bool) -> None:
    assert accepts_prefill(model) is accepts


def test_hidden_thinking_is_kept_for_the_call_it_led_to() -> None:
    stream = begin(0, "redacted_thinking", data="xyz") + close(0) + USE + close(1)
    stream += (
        begin(2, "tool_use", id="toolu_2", name="add", input={"a": 1}) + close(2) + stop("tool_use") + END
    )
    first, second = events_of(ChatDecoder(), stream)
    assert first == ToolCallDelta(
        ToolCall("toolu_1", "add", "{}", '[{"type": "redacted_thinking", "data": "xyz"}]')
    )
    assert second == ToolCallDelta(ToolCall("toolu_2", "add", '{"a":1}'))


def test_what_is_not_known_is_ignored() -> None:
    strange = event("surprise", x=1) + begin(7, "server_tool_use", id="x", name="y", input={})
    strange += delta(7, "input_json_delta", partial_json="{") + delta(0, "citations_delta", citation={})
    strange += (
        close(7) + delta(9, "unheard_of") + event("content_block_delta", index=[], delta="x") + close(99)
    )
    assert text_of(events_of(ChatDecoder(), strange + ANSWER)) == "Hellö"


@pytest.mark.parametrize(
    ("stream", "end"),
    [
        (TEXT + stop("end_turn"), "stop"),
        (TEXT + END, "stop"),
        (TEXT + stop("stop_sequence", stop_sequence="x") + END, "stop"),
        (TEXT + stop("pause_turn") + END, "stop"),
        (TEXT + stop("max_tokens") + END, "length"),
        (TEXT + stop("model_context_window_exceeded") + END, "length"),
        (TEXT + stop("something_new") + END, "something_new"),
        (USE + close(1) + stop("tool_use") + END, "tool_calls"),
        (USE + close(1) + stop("end_turn") + END, "tool_calls"),
        (USE + delta(1, "input_json_delta", partial_json="{}") + stop("tool_use") + END, "tool_calls"),
        (USE + END, "tool_calls"),
        (ANSWER + event("error", error={"type": "overloaded_error", "message": "late"}), "stop"),
        (b"", ErrorKind.EMPTY),
        (start() + TEXT, ErrorKind.TRUNCATED),
        (start() + event("ping"), ErrorKind.TRUNCATED),
        (start() + USE, ErrorKind.TRUNCATED),
        (start() + stop("end_turn") + END, ErrorKind.EMPTY),
        (start() + stop("model_context_window_exceeded") + END, ErrorKind.CONTEXT_OVERFLOW),
        (TEXT + stop("refusal") + END, ErrorKind.CONTENT_FILTER),
        (
            USE + delta(1, "input_json_delta", partial_json='{"a') + stop("max_tokens") + END,
            ErrorKind.MALFORMED,
        ),
        (USE + delta(1, "input_json_delta", partial_json='{"a') + close(1), ErrorKind.TRUNCATED),
        (USE + delta(1, "input_json_delta", partial_json='{"a') + close(1) + END, ErrorKind.MALFORMED),
        (begin(1, "tool_use", id="x", input={}) + close(1) + END, ErrorKind.MALFORMED),
        (USE + USE, ErrorKind.MALFORMED),
        (event("error", error={"type": "overloaded_error", "message": "Overloaded"}), ErrorKind.OVERLOADED),
        (TEXT + event("error", error={"type": "api_error", "message": "x"}), ErrorKind.SERVER_ERROR),
        (b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n', ErrorKind.OVERLOADED),
        (b"data: {\n\n" * 4, ErrorKind.MALFORMED),
        (b"<html>", ErrorKind.NOT_AN_LLM),
    ],
)
def test_only_a_stop_reason_or_message_stop_makes_an_answer_complete(
    stream: bytes, end: str | ErrorKind
) -> None:
    decoder = ChatDecoder()
    events_of(decoder, stream)
    ended = end_of(decoder)
    assert (ended.finish_reason if isinstance(ended, StreamEnd) else ended) == end


def test_a_call_that_was_cut_off_says_so() -> None:
    decoder = ChatDecoder()
    half = USE + delta(1, "input_json_delta", partial_json='{"a') + close(1)
    assert events_of(decoder, TEXT + close(0) + half + stop("max_tokens") + END)[-1] == TextDelta("lö")
    with pytest.raises(BackendError, match="reached its length limit"):
        decoder.end()


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    bare = begin(1, "tool_use", name="add", input={}) + close(1)
    events = events_of(ChatDecoder(), event("message_start", message={"id": "msg_1"}) + bare + bare)
    ids = [each.call.id for each in events if isinstance(each, ToolCallDelta)]
    assert len(set(ids)) == 2
    assert all(ids)


def test_a_refusal_is_told_in_the_models_words() -> None:
    decoder = ChatDecoder()
    details = {"type": "refusal", "explanation": "This could do harm."}
    assert text_of(events_of(decoder, TEXT + stop("refusal", stop_details=details) + END)) == "Hellö"
    with pytest.raises(BackendError, match="This could do harm") as caught:
        decoder.end()
    assert caught.value.kind is ErrorKind.CONTENT_FILTER


def test_an_answer_in_one_piece_is_taken() -> None:
    decoder = ChatDecoder()
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi\ud83d"},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": "é"}},
        {"type": "web_search_tool_result"},
        7,
    ]
    usage = {"input_tokens": 3, "output_tokens": 2}
    value = {"model": "claude", "content": content, "stop_reason": "tool_use", "usage": usage}
    assert decoder.whole(value) == [
        ReasoningDelta("hm"),
        TextDelta("Hi\ufffd"),
        ToolCallDelta(ToolCall("toolu_1", "add", '{"a":"é"}', HIDDEN)),
    ]
    assert decoder.end() == StreamEnd("tool_calls", Usage(3, 2), "claude")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, ErrorKind.OVERLOADED),
        ({"hello": 1}, ErrorKind.NOT_AN_LLM),
        ([], ErrorKind.NOT_AN_LLM),
        (None, ErrorKind.NOT_AN_LLM),
        ({"content": "x"}, ErrorKind.NOT_AN_LLM),
    ],
)
def test_json_that_is_no_answer_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole(value)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "stream",
    [
        USE + delta(1, "input_json_delta", partial_json="x" * 2**20) * 2,
        b"".join(begin(number, "tool_use", id="x", name="y", input={}) for number in range(1000)),
        begin(0, "tool_use", id="x", name="y", input={"a": "x" * 2**21}),
    ],
    ids=["long arguments", "many calls", "a large call"],
)
def test_calls_beyond_the_bounds_are_malformed(stream: bytes) -> None:
    decoder = ChatDecoder()
    events_of(decoder, stream)
    assert end_of(decoder) is ErrorKind.MALFORMED


def test_of_endless_thinking_nothing_is_kept_but_all_is_shown() -> None:
    thinking = begin(0, "thinking") + delta(0, "thinking_delta", thinking="x" * 2**19) * 3 + close(0)
    events = events_of(ChatDecoder(), thinking + USE + close(1))
    assert len(reasoning_of(events)) == 3 * 2**19
    assert events[-1] == ToolCallDelta(ToolCall("toolu_1", "add", "{}"))


@pytest.mark.parametrize("piece", [delta(0, "thinking_delta", thinking="x" * 2**16), begin(0, "thinking")])
def test_endless_thinking_takes_no_endless_memory(piece: bytes) -> None:
    decoder = ChatDecoder()
    decoder.feed(begin(0, "thinking"))
    tracemalloc.start()
    try:
        for _ in range(250):
            decoder.feed(piece if len(piece) > 1000 else piece * 200)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 * 2**20


@given(places)
def test_any_way_of_cutting_an_answer_gives_the_same_events(where: list[int]) -> None:
    thinking = begin(5, "thinking") + delta(5, "thinking_delta", thinking="é😀\n") + close(5)
    called = USE + delta(1, "input_json_delta", partial_json='{"a": "ü"}') + close(1)
    stream = thinking + called + ANSWER
    expected = events_of(ChatDecoder(), stream)
    decoder = ChatDecoder()
    assert without_calling(events_of(decoder, *cut(stream, where))) == expected
    assert decoder.end() == StreamEnd("tool_calls", Usage(25, 15), "claude")


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_bytes_give_an_end_or_a_failure(pieces: list[bytes]) -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, *pieces) == []
    assert isinstance(end_of(decoder), ErrorKind)


KINDS = (
    *("content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta"),
    *("message_stop", "error", "text_delta", "thinking_delta", "input_json_delta", "signature_delta"),
    *("text", "thinking", "redacted_thinking", "tool_use", "end_turn", "max_tokens", "refusal", "{", "{}"),
)
anything = json_of(
    *("type", "index", "delta", "content_block", "message", "usage", "stop_reason", "text", "thinking"),
    *("partial_json", "signature", "data", "id", "name", "input", "model", "input_tokens", "error"),
    words=KINDS,
)
events = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "index": st.integers(0, 2) | anything,
        "delta": st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional={"text": anything})
        | anything,
        "content_block": st.fixed_dictionaries(
            {"type": st.sampled_from(KINDS)}, optional={"id": anything, "name": anything, "input": anything}
        )
        | anything,
        "message": anything,
        "usage": anything,
    },
)


@given(st.lists(events | anything, max_size=8))
def test_any_json_gives_an_answer_or_a_failure(values: list[object]) -> None:
    decoder = ChatDecoder()
    seen = events_of(decoder, *(f"data: {json.dumps(value)}\n\n".encode() for value in values))
    end = end_of(decoder)
    assert isinstance(end, ErrorKind) or seen
    for text in (text_of(seen), reasoning_of(seen), *map(str, calls_of(seen))):
        text.encode()


@given(anything | st.fixed_dictionaries({"content": st.lists(anything, max_size=3)}))
def test_any_json_in_one_piece_gives_an_answer_or_an_error(value: object) -> None:
    try:
        ChatDecoder().whole(value)
    except BackendError:
        return
    assert isinstance(value, dict)


# --- models -----------------------------------------------------------------------------------------------


def test_models_have_their_context_and_what_they_can_do() -> None:
    able = {"image_input": {"supported": True}, "thinking": {"supported": False}}
    listed = [
        {"id": "claude-a", "max_input_tokens": 200000, "capabilities": able, "lifecycle": "active"},
        {"id": "claude-b"},
        {"id": "claude-c", "lifecycle": "retired"},
        {"display_name": "nameless"},
        7,
    ]
    first, second = decode_models({"data": listed})
    assert (first.id, first.context_length, first.capabilities) == (
        "claude-a",
        200000,
        ("completion", "tools", "vision"),
    )
    assert (second.id, second.context_length, second.capabilities) == ("claude-b", None, ())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"type": "error", "error": {"type": "authentication_error", "message": "x"}}, ErrorKind.AUTH),
        ({"data": None}, ErrorKind.NOT_AN_LLM),
        ([], ErrorKind.NOT_AN_LLM),
    ],
)
def test_what_is_no_list_of_models_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        decode_models(value)
    assert caught.value.kind is kind


# --- against the test server ------------------------------------------------------------------------------

MODELS = [
    {"id": name, "capabilities": ["completion", "tools", "vision", "thinking"]}
    for name in (OLD, MIDDLE, NEW, NEWEST)
]


def post(url: str, sent: Json) -> Seen:
    return call(url, "POST", "/v1/messages", sent, HEADERS)


def ask(
    url: str, messages: Sequence[Message], config: GenerationConfig, model: str, *, stream: bool
) -> tuple[list[BackendEvent], StreamEnd]:
    """What comes of a real answer to a real request."""
    seen = post(url, encode_chat(messages, config, model, stream=stream))
    assert seen.status == 200, seen.text
    decoder = ChatDecoder()
    found = events_of(decoder, *in_sevens(seen.body)) if stream else decoder.whole(seen.json())
    return found, decoder.end()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [OLD, MIDDLE, NEW, NEWEST])
def test_a_server_understands_the_request_and_its_answer_is_understood(
    servers: ServerFactory, model: str, stream: bool
) -> None:
    server = servers("anthropic", "--reasoning", "Let me see", "--cached-tokens", "2", models=MODELS)
    config = GenerationConfig(temperature=0.3, top_p=0.9, seed=1, stop=("###",), reasoning="medium")
    found, end = ask(server.url, ASK, config, model, stream=stream)
    assert (text_of(found), reasoning_of(found)) == ("You said: Hi", "Let me see")
    assert end == StreamEnd("stop", Usage(5, 6, cached_prompt_tokens=2, reasoning_tokens=3), model)
    image = [Message(Role.USER, "Look", images=(Image(b"\x89PNG"),))]
    assert (
        text_of(ask(server.url, image, config, model, stream=stream)[0]) == "You showed 1 image: image/png."
    )
    shaped, _ = ask(server.url, ASK, GenerationConfig(json_schema=SCHEMA), model, stream=stream)
    assert json.loads(text_of(shaped)) == {"name": ""}
    cut_off = GenerationConfig(max_tokens=5, reasoning="off")
    assert ask(server.url, [*ASK, *ASK], cut_off, model, stream=stream)[1].finish_reason == (
        "length" if model == NEWEST else "stop"
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [OLD, MIDDLE, NEW, NEWEST])
@pytest.mark.parametrize("reasoning", [None, "high"])
def test_a_tool_is_called_and_its_result_goes_back_with_the_thinking(
    servers: ServerFactory, model: str, reasoning: str | None, stream: bool
) -> None:
    server = servers(
        "anthropic", "--reasoning", "Let me add", "--tool-call", 'add:{"a": 1, "b": 2}', models=MODELS
    )
    config = GenerationConfig(tools=(ADD,), tool_choice="auto", reasoning=reasoning)
    found, end = ask(server.url, ASK, config, model, stream=stream)
    assert (calls_of(found), end.finish_reason) == ([("add", {"a": 1, "b": 2})], "tool_calls")
    made = next(each.call for each in found if isinstance(each, ToolCallDelta))
    assert bool(made.signature) is (reasoning is not None or model == NEWEST)
    history = [
        *ASK,
        Message(Role.ASSISTANT, "", tool_calls=(made,)),
        Message(Role.TOOL, "3", tool_call_id=made.id, name="add"),
    ]
    found, end = ask(server.url, history, config, model, stream=stream)
    assert (text_of(found), end.finish_reason) == ("add said: 3", "stop")
    forced = GenerationConfig(tools=(ADD,), tool_choice="add", reasoning=reasoning)
    assert calls_of(ask(server.url, ASK, forced, model, stream=stream)[0]) == [("add", {"a": 1, "b": 2})]


def test_a_conversation_of_another_maker_goes_on_here(servers: ServerFactory) -> None:
    server = servers("anthropic", models=MODELS)
    calls = (ToolCall("functions.add:0", "add", '{"a": 1}', "CiQB0uXo/Q=="), ToolCall("", "add", "a = 1"))
    history = [
        *ASK,
        Message(Role.ASSISTANT, "Let me see. ", tool_calls=calls),
        Message(Role.TOOL, "", tool_call_id="functions.add:0"),
        Message(Role.TOOL, "4"),
    ]
    config = GenerationConfig(tools=(ADD,), reasoning="high")
    assert text_of(ask(server.url, history, config, OLD, stream=True)[0]) == "add said: \nadd said: 4"


def test_an_answer_can_be_continued_where_the_model_allows_it(servers: ServerFactory) -> None:
    server = servers("anthropic", models=MODELS)
    found, _ = ask(
        server.url, [*ASK, Message(Role.ASSISTANT, "You said:")], GenerationConfig(), OLD, stream=True
    )
    assert text_of(found) == " Hi"


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
def test_a_refused_request_has_its_kind(servers: ServerFactory, fault: str, kind: ErrorKind) -> None:
    seen = post(servers("anthropic", "--fault", fault).url, body())
    error = error_of(seen.status, seen.headers, seen.body)
    assert error.kind is kind
    assert error.retry_after == (7 if fault == "rate_429:7" else None)


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
    events_of(decoder, post(servers("anthropic", "--fault", fault).url, body()).body)
    assert end_of(decoder) is kind


@pytest.mark.parametrize("shape", ["crlf", "cr", "no_space", "multi_line", "with_comments", "bom"])
def test_the_same_answer_in_other_bytes_is_the_same(servers: ServerFactory, shape: str) -> None:
    seen = post(servers("anthropic", "--fault", shape).url, body())
    decoder = ChatDecoder()
    assert text_of(events_of(decoder, *in_sevens(seen.body))) == "You said: Hi"
    assert isinstance(end_of(decoder), StreamEnd)


def test_a_list_of_models_is_read(servers: ServerFactory) -> None:
    seen = call(servers("anthropic").url, "GET", "/v1/models?limit=1000", headers=HEADERS)
    found = decode_models(seen.json())
    assert [(model.id, model.context_length) for model in found] == [
        ("claude-haiku-4-5-20251001", 200000),
        ("claude-opus-5-5", 1000000),
    ]
    assert found[0].capabilities == ("completion", "tools", "vision", "reasoning")
