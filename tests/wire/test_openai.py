"""The OpenAI dialect as data: what is sent, and what real servers send back."""

import base64
import json
import struct
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.dialects import (
    calls_of,
    cut,
    end_of,
    events_of,
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
    Price,
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
from whisper_desktop.wire.decoding import LARGEST_ARGUMENTS, MOST_CALLS
from whisper_desktop.wire.openai import (
    ChatDecoder,
    decode_embeddings,
    decode_models,
    encode_chat,
    encode_embeddings,
    reasoning_in_template,
    reasoning_object,
)

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]
DONE = "[DONE]"


def chunk(delta: object = None, finish: object = None, **more: object) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more})


def stream(*events: str) -> bytes:
    return "".join(f"data: {event}\n\n" for event in events).encode()


def decode(*events: str) -> tuple[str, str, StreamEnd]:
    decoder = ChatDecoder()
    decoded = events_of(decoder, stream(*events))
    return text_of(decoded), reasoning_of(decoded), decoder.end()


def failure(*events: str) -> BackendError:
    with pytest.raises(BackendError) as caught:
        decode(*events)
    return caught.value


# --- what is sent -----------------------------------------------------------------------------------------


def test_only_what_was_set_is_sent() -> None:
    assert encode_chat(ASK, GenerationConfig(), "m") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_all_settings_have_their_field_and_extra_cannot_change_the_question() -> None:
    extra = {"top_k": 3, "messages": [], "stream": True, "model": "other"}
    config = GenerationConfig(0.0, 0.9, 5, 7, ("x",), context_length=9, extra=extra)
    body = encode_chat(ASK, config, "m", stream=False, max_tokens_field="max_completion_tokens")
    assert body["messages"] == encode_chat(ASK, config, None)["messages"]
    del body["messages"]
    assert body == {
        "temperature": 0.0,
        "top_p": 0.9,
        "max_completion_tokens": 5,
        "seed": 7,
        "stop": ["x"],
        "top_k": 3,
        "stream": False,
        "model": "m",
    }


def test_a_picture_travels_as_its_bytes_beside_the_text() -> None:
    picture = Message(Role.USER, "What is it?", images=(Image(b"\x89PNG", "image/png"),))
    (message,) = _messages(picture)
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


def test_a_picture_without_words_is_sent_without_an_empty_text() -> None:
    (message,) = _messages(Message(Role.USER, "", images=(Image(b"x"),)))
    assert [part["type"] for part in message["content"]] == ["image_url"]  # type: ignore[attr-defined]


def test_calls_and_their_results_go_back_as_they_came() -> None:
    call = ToolCall("c1", "add", '{"a": 1}')
    asked, answered = _messages(
        Message(Role.ASSISTANT, "", tool_calls=(call,)),
        Message(Role.TOOL, "2", tool_call_id="c1", name="add"),
    )
    function = {"name": "add", "arguments": '{"a": 1}'}
    assert asked["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert answered == {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"}


def _messages(*messages: Message) -> list[dict[str, object]]:
    sent = encode_chat(messages, GenerationConfig(), "m")["messages"]
    assert isinstance(sent, list)
    return sent


ADD = ToolSpec("add", "Adds.", MappingProxyType({"type": "object", "properties": {"a": {"type": "number"}}}))


def test_tools_are_described_and_one_without_parameters_takes_an_empty_object() -> None:
    body = encode_chat(ASK, GenerationConfig(tools=(ADD, ToolSpec("now"))), "m")
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "add", "description": "Adds.", "parameters": dict(ADD.parameters)},
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert "tool_choice" not in body
    json.dumps(body)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_a_tool_can_be_chosen(choice: str, sent: object) -> None:
    assert encode_chat(ASK, GenerationConfig(tools=(ADD,), tool_choice=choice), "m")["tool_choice"] == sent


def test_nothing_can_be_chosen_where_there_are_no_tools() -> None:
    assert "tool_choice" not in encode_chat(ASK, GenerationConfig(tool_choice="auto"), "m")


def test_an_answer_of_a_shape_is_asked_for_strictly() -> None:
    schema = MappingProxyType({"type": "object"})
    assert encode_chat(ASK, GenerationConfig(json_schema=schema), "m")["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
    }


def test_every_server_is_told_in_its_own_way_how_much_to_think() -> None:
    off, high = GenerationConfig(reasoning="off"), GenerationConfig(reasoning="high")
    assert encode_chat(ASK, off, "m")["reasoning_effort"] == "none"
    assert encode_chat(ASK, high, "m")["reasoning_effort"] == "high"
    assert encode_chat(ASK, off, "m", reasoning=reasoning_object)["reasoning"] == {"enabled": False}
    assert encode_chat(ASK, high, "m", reasoning=reasoning_object)["reasoning"] == {"effort": "high"}
    for config, kwargs in (
        (off, {"enable_thinking": False}),
        (high, {"enable_thinking": True, "reasoning_effort": "high"}),
    ):
        assert (
            encode_chat(ASK, config, "m", reasoning=reasoning_in_template)["chat_template_kwargs"] == kwargs
        )


def test_other_arguments_of_the_template_are_kept() -> None:
    config = GenerationConfig(reasoning="off", extra={"chat_template_kwargs": {"date": "today"}})
    body = encode_chat(ASK, config, "m", reasoning=reasoning_in_template)
    assert body["chat_template_kwargs"] == {"date": "today", "enable_thinking": False}


# --- an answer --------------------------------------------------------------------------------------------


def test_an_answer_is_joined_from_its_chunks_with_usage_and_timings_from_the_tail() -> None:
    text, reasoning, end = decode(
        chunk({"role": "assistant", "content": None}, model="real-model"),
        chunk({"reasoning_content": "hm"}, usage=None),
        chunk({"content": "Hel"}),
        chunk({"content": "lo", "role": "assistant"}),
        chunk({}, "stop"),
        json.dumps(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 4,
                    "completion_tokens": 2,
                    "cost": 0.01,
                    "prompt_tokens_details": {"cached_tokens": 3},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
                "timings": {"predicted_per_second": 50.5, "prompt_per_second": 900},
            }
        ),
        DONE,
    )
    assert (text, reasoning) == ("Hello", "hm")
    assert end == StreamEnd("stop", Usage(4, 2, 50.5, 900.0, 0.01, 3, 1), "real-model")


def test_llama_cpps_timings_stand_in_for_the_usage_it_was_not_asked_for() -> None:
    timings = {"prompt_n": 1, "cache_n": 28, "predicted_n": 2}
    usage = decode(chunk({"content": "x"}), chunk({}, "stop", timings=timings))[2].usage
    assert (usage.prompt_tokens, usage.cached_prompt_tokens, usage.completion_tokens) == (29, 28, 2)


def test_a_count_of_zero_is_a_count() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
    end = decode(chunk({"content": "x"}), chunk({}, "stop", usage=usage))[2]
    assert (end.usage.completion_tokens, end.usage.cached_prompt_tokens) == (0, 0)


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "a", "content": "b"},
        {"reasoning_content": "a", "content": "b"},
        {"reasoning": "a", "reasoning_content": "a", "content": "b"},
        {"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a"}], "content": "b"},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}], "content": "b"},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "z"}, {"text": "a"}], "content": "b"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"text": "b"}]},
    ],
)
def test_reasoning_is_taken_once_under_whatever_names_it_comes(delta: object) -> None:
    text, reasoning, _ = decode(chunk(delta, "stop"))
    assert (text, reasoning) == ("b", "a")


@pytest.mark.parametrize("content", [[{"type": "text", "text": "Hel"}, {"text": "lo"}, 7], "Hello"])
def test_content_may_be_a_list_of_parts(content: object) -> None:
    assert decode(chunk({"content": content}, "stop"))[0] == "Hello"


def test_thinking_that_the_model_writes_into_its_text_is_left_there() -> None:
    assert decode(chunk({"content": "<think>a</think>b"}, "stop"))[0] == "<think>a</think>b"


def test_a_refusal_is_the_answer() -> None:
    assert decode(chunk({"content": None, "refusal": "No."}, "stop"))[0] == "No."


def test_half_a_surrogate_pair_does_not_reach_a_terminal() -> None:
    text, _, _ = decode(r'{"choices": [{"delta": {"content": "a\ud83d\ude00b\ud83dc"}}]}', DONE)
    assert text == "a😀b\ufffdc"


def test_a_second_answer_that_nobody_asked_for_is_not_mixed_into_the_first() -> None:
    other = json.dumps({"choices": [{"index": 1, "delta": {"content": "y"}, "finish_reason": None}]})
    assert decode(chunk({"content": "a"}), other, chunk({"content": "b"}, "stop"))[0] == "ab"


def test_done_without_a_finish_reason_is_a_complete_answer() -> None:
    assert decode(chunk({"content": "x"}), DONE)[2].finish_reason == "stop"


def test_nothing_is_read_after_done() -> None:
    assert decode(chunk({"content": "x"}), DONE, chunk({"content": "y"}))[0] == "x"


def test_how_far_llama_cpp_has_read_is_told_and_is_no_answer_yet() -> None:
    decoder = ChatDecoder()
    opening = {"role": "assistant", "content": None}
    progress = [
        {"total": 30, "cache": 10, "processed": 15, "time_ms": 3},
        {"total": 30, "cache": 10, "processed": 30, "time_ms": 6},
        {"total": 0, "processed": 0},
        {"total": 30, "processed": 31},
    ]
    events = events_of(decoder, stream(*(chunk(opening, prompt_progress=each) for each in progress)))
    assert events == [Progress(Phase.READING, done) for done in (0.5, 1.0, None, 1.0)]
    assert end_of(decoder) is ErrorKind.TRUNCATED
    assert end_of(_fed(chunk({}, "stop", prompt_progress=progress[0]))) is ErrorKind.EMPTY


def _fed(*events: str) -> ChatDecoder:
    decoder = ChatDecoder()
    events_of(decoder, stream(*events))
    return decoder


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([chunk({"content": "x"})], ErrorKind.TRUNCATED),
        ([chunk({"role": "assistant", "content": ""})], ErrorKind.TRUNCATED),
        ([], ErrorKind.EMPTY),
        ([DONE], ErrorKind.EMPTY),
        ([chunk({"content": ""}), chunk({}, "stop"), DONE], ErrorKind.EMPTY),
        (["nonsense"], ErrorKind.MALFORMED),
        (["null"], ErrorKind.MALFORMED),
        (["{", "[]", "1", '"x"'], ErrorKind.MALFORMED),
        ([chunk({"content": "x"}), *["{"] * 4, chunk({}, "stop")], ErrorKind.MALFORMED),
        ([chunk({"content": "x"}, "content_filter")], ErrorKind.CONTENT_FILTER),
        ([chunk({"content": "x"}, "error")], ErrorKind.SERVER_ERROR),
        (['{"error": "The model has crashed"}'], ErrorKind.SERVER_ERROR),
        (['{"error": {"code": 429, "message": "slow"}, "choices": []}'], ErrorKind.RATE_LIMITED),
        (['{"error": {"code": "429", "message": "slow"}}'], ErrorKind.RATE_LIMITED),
        (['{"error": {"code": "server_error", "message": "gone"}}'], ErrorKind.SERVER_ERROR),
        (['{"choices": [{"error": {"code": 502, "message": "gone"}}]}'], ErrorKind.SERVER_ERROR),
        (['{"object": "error", "message": "x", "code": 400}'], ErrorKind.BAD_REQUEST),
        ([chunk({"content": "x"}), '{"error": {"code": 529, "message": "busy"}}'], ErrorKind.OVERLOADED),
        (
            [
                json.dumps(
                    {
                        "error": {"code": 429, "message": "Slow down."},
                        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                    }
                )
            ],
            ErrorKind.RATE_LIMITED,
        ),
    ],
)
def test_what_is_not_a_complete_answer_is_never_taken_for_one(events: list[str], kind: ErrorKind) -> None:
    assert failure(*events).kind is kind


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"error": {"code": 503, "message": "busy"}}\n\n',
        b'event: error\ndata: {"code": 503, "message": "busy"}\n\n',
        b"event: error\ndata: The server is overloaded.\n\n",
    ],
)
def test_an_event_that_is_called_an_error_is_one(event: bytes) -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, stream(chunk({"content": "x"})), event) == [TextDelta("x")]
    assert end_of(decoder) is ErrorKind.OVERLOADED


def test_an_error_does_not_cost_what_came_before_it_and_nothing_follows_it() -> None:
    decoder = ChatDecoder()
    piece = stream(chunk({"content": "x"}), '{"error": "gone"}', chunk({"content": "y"}))
    assert decoder.feed(piece) == [TextDelta("x")]
    assert decoder.failure is not None
    assert decoder.feed(stream(chunk({"content": "z"}))) == decoder.close() == []


@pytest.mark.parametrize("late", ['{"error": "gone"}', "{", "null"])
def test_what_breaks_after_the_answer_is_complete_does_not_take_it_back(late: str) -> None:
    text, _, end = decode(chunk({"content": "x"}), chunk({}, "stop"), *[late] * 5)
    assert (text, end.finish_reason) == ("x", "stop")


def test_a_few_broken_events_do_not_cost_the_answer() -> None:
    assert decode("{", chunk({"content": "x"}), "null", "nonsense", chunk({}, "stop"))[0] == "x"


def test_an_event_beyond_the_bound_is_malformed() -> None:
    decoder = ChatDecoder()
    for _ in range(9):
        decoder.feed(b"data: " + b"x" * 2**20)
    assert end_of(decoder) is ErrorKind.MALFORMED


# --- an answer in one piece -------------------------------------------------------------------------------


WHOLE = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}], "model": "m"}


def test_a_whole_answer_in_place_of_a_stream_is_taken() -> None:
    decoder = ChatDecoder()
    assert decoder.whole(WHOLE) == [TextDelta("Hi")]
    assert decoder.end() == StreamEnd("length", Usage(), "m")


@pytest.mark.parametrize("before", ["", "\n", "\ufeff"])
def test_it_is_recognised_by_its_first_byte_too(before: str) -> None:
    decoder = ChatDecoder()
    body = (before + json.dumps(WHOLE, indent=1)).encode()
    assert events_of(decoder, *cut(body, range(0, len(body), 7))) == [TextDelta("Hi")]
    assert decoder.end() == StreamEnd("length", Usage(), "m")


def test_a_whole_answer_without_a_finish_reason_is_complete() -> None:
    decoder = ChatDecoder()
    decoder.whole({"choices": [{"message": {"content": "Hi"}}]})
    assert decoder.end().finish_reason == "stop"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": "Unexpected endpoint or method. (POST /chat/completions)"}', ErrorKind.NOT_AN_LLM),
        (b'{"error": {"code": 503, "message": "Loading model"}}', ErrorKind.LOADING),
        (b'[{"error": {"code": 401, "message": "no"}}]', ErrorKind.AUTH),
        (b'{"hello": "world"}', ErrorKind.NOT_AN_LLM),
        (b"<!doctype html><title>Log in</title>", ErrorKind.NOT_AN_LLM),
        (b'{"choices": [{"mess', ErrorKind.MALFORMED),
        (b'{"x": "' + b"y" * 9 * 2**20, ErrorKind.MALFORMED),
    ],
)
def test_what_comes_in_place_of_a_stream_says_what_it_is(body: bytes, kind: ErrorKind) -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, body) == []
    assert end_of(decoder) is kind


@pytest.mark.parametrize("value", [{"hello": "world"}, [], None, "text", {"choices": None}])
def test_json_that_is_no_completion_comes_from_another_kind_of_program(value: object) -> None:
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole(value)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


def test_an_error_inside_a_whole_answer_is_one() -> None:
    choice = {
        "message": {"content": "part"},
        "finish_reason": "error",
        "error": {"code": 502, "message": "x"},
    }
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole({"choices": [choice]})
    assert caught.value.kind is ErrorKind.SERVER_ERROR


# --- function calls ---------------------------------------------------------------------------------------


def part(arguments: object, **more: object) -> dict[str, object]:
    name = more.pop("name", None)
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**more, "function": function}


def called(*fragments: object) -> str:
    return chunk({"tool_calls": list(fragments)})


def calls(*events: str) -> list[tuple[str, str, str]]:
    decoder = ChatDecoder()
    decoded = events_of(decoder, stream(*events))
    decoder.end()
    return [
        (event.call.id, event.call.name, event.call.arguments)
        for event in decoded
        if isinstance(event, ToolCallDelta)
    ]


ENDS = [[chunk({}, "tool_calls"), DONE], [chunk({}, "stop")], [DONE]]


@pytest.mark.parametrize("end", ENDS)
def test_calls_are_joined_from_their_fragments(end: list[str]) -> None:
    assert calls(
        called(part("", index=0, id="a", name="add")),
        called(part('{"x"', index=0)),
        called(part(": 1}", index=0)),
        called(part("{}", index=1, id="b", name="now")),
        *end,
    ) == [("a", "add", '{"x": 1}'), ("b", "now", "{}")]


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "function_call"])
def test_the_end_says_that_functions_were_called(reason: str) -> None:
    end = decode(called(part("{}", index=0, id="a", name="now")), chunk({}, reason))[2]
    assert end.finish_reason == "tool_calls"


def test_a_call_is_handed_out_when_the_next_one_begins_and_not_before() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(stream(called(part('{"x": 1}', index=0, id="a", name="add")))) == []
    first = decoder.feed(stream(called(part("", index=1, id="b", name="now"))))
    assert first == [ToolCallDelta(ToolCall("a", "add", '{"x": 1}'))]
    assert decoder.feed(stream(chunk({}, "tool_calls"))) == [ToolCallDelta(ToolCall("b", "now", "{}"))]
    assert decoder.feed(stream(DONE)) == decoder.close() == []


def test_a_call_whose_arguments_take_long_is_told_once_for_each_piece_and_not_when_it_is_whole() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(stream(called(part("", index=0, id="a", name="add")))) == []
    fragments = [called(part(piece, index=0)) for piece in ('{"x', '": [', "1")]
    assert decoder.feed(stream(*fragments)) == [Progress(Phase.CALLING)]
    assert decoder.feed(stream(called(part(", 2", index=0)))) == [Progress(Phase.CALLING)]
    assert decoder.feed(b": still there\n\n") == []
    assert decoder.feed(stream(called(part("]}", index=0)))) == []
    assert decoder.feed(stream(called(part('{"y": ', index=1, id="b", name="add")))) == [
        ToolCallDelta(ToolCall("a", "add", '{"x": [1, 2]}')),
        Progress(Phase.CALLING),
    ]
    last = stream(called(part("3", index=1)), called(part("}", index=1)), chunk({}, "tool_calls"), DONE)
    assert decoder.feed(last) == [ToolCallDelta(ToolCall("b", "add", '{"y": 3}'))]


@pytest.mark.parametrize("end", ENDS)
def test_the_end_says_that_functions_were_called_however_it_comes(end: list[str]) -> None:
    assert decode(called(part("{}", index=0, id="a", name="f")), *end)[2].finish_reason == "tool_calls"


def test_fragments_of_several_calls_may_come_in_turns() -> None:
    assert calls(
        called(part('{"x"', index=0, id="a", name="add")),
        called(part('{"y"', index=1, id="b", name="sub")),
        called(part(": 1}", index=0), part(": 2}", index=1)),
        DONE,
    ) == [("a", "add", '{"x": 1}'), ("b", "sub", '{"y": 2}')]


@pytest.mark.parametrize(
    "fragments",
    [
        [part('{"x": 1}', id="a", name="f"), part('{"x": 2}', id="b", name="f")],
        [part('{"x": 1}', index=0, id="a", name="f"), part('{"x": 2}', index=0, id="b", name="f")],
        [part({"x": 1}, id="a", name="f"), part({"x": 2}, id="b", name="f")],
        [
            part("", index=0, id="a", name="f"),
            part('{"x": 1}', index=0, id="a", name="f"),
            part("", index=0, id="a", name="f"),
            part('{"x": 2}', index=1, id="b", name="f"),
            part("", index=0),
        ],
        [
            part('{"x"', id="a", name="f"),
            part(": 1}"),
            part('{"x"', id="b", name="f"),
            part(": 2}"),
        ],
    ],
    ids=["no index", "index always 0", "objects", "repeated id and name", "fragments without an index"],
)
@pytest.mark.parametrize("in_one_chunk", [True, False])
def test_calls_are_told_apart_as_servers_really_send_them(
    fragments: list[object], in_one_chunk: bool
) -> None:
    events = [called(*fragments)] if in_one_chunk else [called(each) for each in fragments]
    decoder = ChatDecoder()
    assert calls_of(events_of(decoder, stream(*events, DONE))) == [("f", {"x": 1}), ("f", {"x": 2})]
    assert decoder.failure is None


def test_a_call_without_an_id_gets_one_that_is_always_the_same() -> None:
    events = [
        chunk({"tool_calls": [part("{}", name="f"), part("{}", name="f")]}, id="chat-1"),
        DONE,
    ]
    first, second = calls(*events)
    assert calls(*events) == [first, second]
    assert first[0]
    assert first[0] != second[0]
    other = [events[0].replace("chat-1", "chat-2"), DONE]
    assert first[0] not in [call[0] for call in calls(*other)]


def test_two_calls_never_have_the_same_id() -> None:
    ids = [
        call[0]
        for call in calls(
            called(part("{}", index=0, id="a", name="f"), part("{}", index=1, id="a", name="g")), DONE
        )
    ]
    assert ids[0] == "a"
    assert len(set(ids)) == 2


def test_the_older_function_call_is_a_call() -> None:
    assert [
        call[1:]
        for call in calls(
            chunk({"function_call": {"name": "add", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"x": 1}'}}),
            chunk({}, "function_call"),
        )
    ] == [("add", '{"x": 1}')]


@pytest.mark.parametrize("reason", ["tool_calls", "stop", None])
def test_a_call_in_a_whole_answer_is_taken(reason: str | None) -> None:
    message = {"content": None, "tool_calls": [part('{"x": 1}', id="a", name="add")]}
    decoder = ChatDecoder()
    events = decoder.whole({"choices": [{"message": message, "finish_reason": reason}]})
    assert events == [ToolCallDelta(ToolCall("a", "add", '{"x": 1}'))]
    assert decoder.end().finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        (
            [part("", index=0, id="a", name="f"), part('{"x": 1}', index=0, id="b", name="f")],
            [("f", {}), ("f", {"x": 1})],
        ),
        ([part("", name="f"), part(None, name="f")], [("f", {}), ("f", {})]),
        (
            [part('{"x": 1}', index=0, name="f"), part('{"x": 2}', index=0, name="f")],
            [("f", {"x": 1}), ("f", {"x": 2})],
        ),
        (
            [
                part("{}", index=0, id="a", name="f"),
                part('{"x"', index=1, id="b", name="g"),
                part(": 2}"),
            ],
            [("f", {}), ("g", {"x": 2})],
        ),
    ],
    ids=["by id", "no index, no id", "by what is complete", "the last index goes on"],
)
def test_calls_are_told_apart_even_where_little_is_said(
    fragments: list[object], expected: list[tuple[str, object]]
) -> None:
    decoder = ChatDecoder()
    assert calls_of(events_of(decoder, stream(called(*fragments), DONE))) == expected
    assert decoder.failure is None


def test_an_id_may_come_late() -> None:
    fragments = [part("{", index=0, name="f"), part("}", index=0, id="a")]
    assert calls(called(*fragments), DONE) == [("a", "f", "{}")]


def test_two_calls_that_cannot_be_told_apart_are_a_failure() -> None:
    fragments = [part('{"x": ', index=0, name="f"), part("1}", index=0, name="g")]
    assert failure(called(*fragments), DONE).kind is ErrorKind.MALFORMED


@pytest.mark.parametrize("end", [*ENDS, [chunk({}, "length")]])
@pytest.mark.parametrize(
    "fragment",
    [part('{"x": ', index=0, id="a", name="f"), part("{}}", index=0, name="f"), part("{}", index=0, id="a")],
    ids=["half", "broken", "nameless"],
)
def test_half_a_call_is_a_failure_and_never_a_call(fragment: object, end: list[str]) -> None:
    decoder = ChatDecoder()
    events = events_of(decoder, stream(chunk({"content": "x"}), called(fragment), *end))
    assert events == [TextDelta("x")]
    assert end_of(decoder) is ErrorKind.MALFORMED
    assert "function call" in str(decoder.failure)


@pytest.mark.parametrize("reason", ["content_filter", "error"])
def test_nothing_of_an_answer_that_was_withheld_is_run(reason: str) -> None:
    decoder = ChatDecoder()
    sent = stream(called(part("{}", index=0, id="a", name="f")), chunk({}, reason), DONE)
    assert events_of(decoder, sent) == []


def test_a_call_in_a_stream_that_breaks_off_is_not_run() -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, stream(called(part("{}", index=0, id="a", name="f")))) == []
    assert end_of(decoder) is ErrorKind.TRUNCATED


def test_more_of_a_call_that_was_handed_out_is_a_failure() -> None:
    decoder = ChatDecoder()
    events = events_of(
        decoder,
        stream(
            called(part("{}", index=0, id="a", name="f")),
            called(part("{}", index=1, id="b", name="f")),
            called(part('{"x": 1}', index=0)),
        ),
    )
    assert [event.call.id for event in events if isinstance(event, ToolCallDelta)] == ["a"]
    assert end_of(decoder) is ErrorKind.MALFORMED


@pytest.mark.parametrize(
    "events",
    [
        [called(*(part("{}", index=n, id=f"c{n}", name="f") for n in range(MOST_CALLS + 1)))],
        [
            called(part(piece, index=0, name="f"))
            for piece in ('{"x": "', *["y" * 2**18] * (LARGEST_ARGUMENTS // 2**18), '"}')
        ],
    ],
    ids=["calls", "arguments"],
)
def test_calls_are_bounded(events: list[str]) -> None:
    assert end_of(_fed(*events, DONE)) is ErrorKind.MALFORMED


# --- whatever comes ---------------------------------------------------------------------------------------


REAL = stream(
    chunk({"role": "assistant", "content": None}, prompt_progress={"total": 3, "processed": 1}, model="m"),
    chunk({"reasoning": "hm…"}),
    chunk({"content": "Grüße 😀"}),
    called(part('{"x"', index=0, id="a", name="f")),
    called(part(": 1}", index=0)),
    chunk({}, "tool_calls", timings={"predicted_n": 3}),
    DONE,
)


def _decoded(*pieces: bytes) -> tuple[list[BackendEvent], StreamEnd | ErrorKind]:
    decoder = ChatDecoder()
    return without_calling(events_of(decoder, *pieces)), end_of(decoder)


@given(places, st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_way_of_cutting_a_stream_gives_the_same_answer(at: list[int], line_end: bytes) -> None:
    sent = REAL.replace(b"\n", line_end)
    assert _decoded(*cut(sent, at)) == _decoded(REAL)
    assert len(_decoded(REAL)[0]) == 4


shapes = json_of(
    "choices",
    "delta",
    "message",
    "content",
    "reasoning_details",
    "tool_calls",
    "function_call",
    "function",
    "name",
    "arguments",
    "index",
    "id",
    "error",
    "code",
    "usage",
    "timings",
    "prompt_progress",
    "model",
    "finish_reason",
    words=["stop", "error", "tool_calls", "{}", "f"],
)
choices = st.fixed_dictionaries(
    {
        "choices": st.lists(
            shapes | st.fixed_dictionaries({"delta": shapes}, optional={"finish_reason": shapes})
        )
    }
)


@given(st.lists((shapes | choices).map(json.dumps) | st.text(max_size=20), max_size=8), st.booleans())
def test_whatever_a_server_sends_is_an_answer_or_a_failure(events: list[str], done: bool) -> None:
    decoded, end = _decoded(stream(*events, *([DONE] if done else [])))
    if isinstance(end, StreamEnd):
        assert any(not isinstance(event, Progress) for event in decoded)
        assert end.finish_reason
    for event in decoded:
        assert isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta | Progress)
        if isinstance(event, ToolCallDelta):
            json.loads(event.call.arguments)
            assert event.call.id
            assert event.call.name


@given(shapes | choices)
def test_whatever_comes_in_one_piece_is_an_answer_or_a_backend_error(value: object) -> None:
    decoder = ChatDecoder()
    try:
        decoder.whole(value)
    except BackendError:
        return
    assert isinstance(end_of(decoder), StreamEnd | ErrorKind)


@given(st.lists(st.binary(max_size=60), max_size=10), places)
def test_any_bytes_at_all_are_a_failure_and_the_same_one_however_they_are_cut(
    pieces: list[bytes], at: list[int]
) -> None:
    sent = b"".join(pieces)
    assert _decoded(*pieces) == _decoded(*cut(sent, at)) == _decoded(sent)
    assert isinstance(_decoded(sent)[1], ErrorKind)


# --- embeddings -------------------------------------------------------------------------------------------


def test_embeddings_are_asked_for() -> None:
    assert encode_embeddings(["a", "b"], "m") == {"model": "m", "input": ["a", "b"]}


def test_vectors_come_in_the_order_of_the_texts_as_numbers_or_as_base64() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()
    entries = [{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1, 2.5]}]
    found = decode_embeddings({"data": entries, "model": "m", "usage": {"prompt_tokens": 3}})
    assert found.vectors == ((1.0, 2.5), (0.5, -2.0))
    assert (found.model, found.usage.prompt_tokens) == ("m", 3)


def test_vectors_without_a_place_are_in_order() -> None:
    assert decode_embeddings({"data": [{"embedding": [1]}, {"embedding": [2]}]}).vectors == ((1.0,), (2.0,))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": {"message": "does not support embeddings", "code": 501}}, ErrorKind.UNSUPPORTED),
        ({"data": None}, ErrorKind.NOT_AN_LLM),
        ([], ErrorKind.NOT_AN_LLM),
        ({"data": [{"embedding": "no base64"}]}, ErrorKind.MALFORMED),
        ({"data": [{"embedding": base64.b64encode(b"odd").decode()}]}, ErrorKind.MALFORMED),
        ({"data": [{"embedding": [float("nan")]}]}, ErrorKind.MALFORMED),
        ({"data": [{"embedding": ["x"]}]}, ErrorKind.MALFORMED),
        ({"data": [7]}, ErrorKind.MALFORMED),
    ],
)
def test_what_is_no_vector_is_a_failure(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        decode_embeddings(value)
    assert caught.value.kind is kind


@given(json_of("data", "embedding", "index", "error", "usage", "model"))
def test_whatever_comes_for_embeddings_is_vectors_or_a_backend_error(value: object) -> None:
    try:
        assert isinstance(decode_embeddings(value).vectors, tuple)
    except BackendError:
        return


# --- lists of models --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}, {"no": "id"}, 7]}, ["a", "b"]),
        ({"object": "list", "data": None}, []),
        ({"models": [{"name": "a"}]}, ["a"]),
    ],
)
def test_lists_of_models_are_read_with_what_stands_beside_them(value: object, ids: list[str]) -> None:
    assert [model.id for model in decode_models(value)] == ids


def test_a_model_of_llama_cpp_comes_with_its_real_context() -> None:
    meta = {"n_ctx": 512, "n_ctx_train": 4096, "size": 10}
    (model,) = decode_models({"data": [{"id": "a", "meta": meta, "status": {"value": "unloaded"}}]})
    assert (model.context_length, model.max_context_length, model.size_bytes, model.loaded) == (
        512,
        4096,
        10,
        False,
    )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": "Unexpected endpoint or method. (GET /v1/models)"}, ErrorKind.NOT_AN_LLM),
        ([], ErrorKind.NOT_AN_LLM),
        ({"data": "x"}, ErrorKind.NOT_AN_LLM),
    ],
)
def test_what_is_no_list_of_models_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        decode_models(value)
    assert caught.value.kind is kind


OPENROUTER = {
    "id": "openai/gpt-4",
    "context_length": 8192,
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.00003", "completion": "0.00006", "request": "0", "image": "0"},
    "supported_parameters": ["temperature", "tools", "reasoning"],
}


def test_a_model_of_openrouter_comes_with_what_it_costs_and_what_it_can_do() -> None:
    (model,) = decode_models({"data": [OPENROUTER]})
    assert model.price == Price(0.00003, 0.00006, 0.0)
    assert model.capabilities == ("completion", "reasoning", "tools", "vision")
    assert model.max_context_length == 8192


@pytest.mark.parametrize("prompt", ["-1", "free", "nan", "inf", None, True, "1e999"])
def test_a_price_that_nobody_can_say_is_unknown(prompt: object) -> None:
    pricing = {"prompt": prompt, "completion": "0.1"}
    (model,) = decode_models({"data": [{**OPENROUTER, "pricing": pricing}]})
    assert model.price is None


def test_what_llama_cpp_says_in_its_second_list_is_read_too() -> None:
    listed = {"models": [{"name": "a", "capabilities": ["completion", "multimodal"]}], "data": [{"id": "a"}]}
    (model,) = decode_models(listed)
    assert model.capabilities == ("completion", "vision")


def test_a_model_that_makes_embeddings_does_not_chat() -> None:
    (model,) = decode_models({"data": [{"id": "e", "architecture": {"output_modalities": ["embeddings"]}}]})
    assert not model.can_chat


@given(json_of("data", "models", "id", "name", "capabilities", "pricing", "prompt", "architecture", "meta"))
def test_whatever_is_listed_is_models_or_a_backend_error(value: object) -> None:
    try:
        assert isinstance(decode_models(value), tuple)
    except BackendError:
        return
