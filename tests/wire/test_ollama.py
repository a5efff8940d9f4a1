"""Ollama's own dialect as data: what is sent, what comes back, and what must not be taken for an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import call
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
from whisper_desktop.wire.ollama import (
    ChatDecoder,
    decode_embeddings,
    encode_chat,
    encode_embeddings,
)

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]
ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "number"}}})
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PNG = b"\x89PNG\r\n\x1a\n"


def line(content: str = "", **more: object) -> bytes:
    message: Json = {"role": "assistant", "content": content}
    message |= {name: more.pop(name) for name in ("thinking", "tool_calls") if name in more}
    entry = {"model": "m", "created_at": "2025", "message": message, "done": False, **more}
    return json.dumps(entry).encode() + b"\n"


END = line(
    done=True,
    done_reason="stop",
    prompt_eval_count=26,
    prompt_eval_duration=500_000_000,
    eval_count=282,
    eval_duration=4_000_000_000,
)
ANSWER = line("", thinking="Ok") + line("Hel") + line("lö") + END


# --- what is sent -----------------------------------------------------------------------------------------


def test_only_what_was_set_is_sent_and_a_long_conversation_is_not_shortened_in_silence() -> None:
    assert encode_chat(ASK, GenerationConfig(), "m") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "truncate": False,
    }


def test_settings_become_options() -> None:
    config = GenerationConfig(
        temperature=0.0, top_p=0.9, max_tokens=5, seed=7, stop=("x",), context_length=8192
    )
    assert encode_chat(ASK, config, None, stream=False)["options"] == {
        "temperature": 0.0,
        "top_p": 0.9,
        "num_predict": 5,
        "seed": 7,
        "stop": ["x"],
        "num_ctx": 8192,
    }


def test_extra_goes_where_ollama_looks_for_it_and_cannot_change_the_question() -> None:
    extra = {"keep_alive": "10m", "truncate": True, "top_k": 3, "options": {"min_p": 0.1}}
    body = encode_chat(ASK, GenerationConfig(extra={**extra, "messages": [], "stream": False}), "m")
    assert (body["keep_alive"], body["truncate"]) == ("10m", True)
    assert body["options"] == {"top_k": 3, "min_p": 0.1}
    assert (body["messages"], body["stream"]) == (encode_chat(ASK, GenerationConfig(), "m")["messages"], True)


@pytest.mark.parametrize(("reasoning", "think"), [("off", False), ("low", "low"), ("high", "high")])
def test_reasoning_is_asked_for_by_its_level(reasoning: str, think: object) -> None:
    assert encode_chat(ASK, GenerationConfig(reasoning=reasoning), "m")["think"] == think


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["add", "mul"]),
        ("auto", ["add", "mul"]),
        ("none", []),
        ("mul", ["mul"]),
        ("required", ["add", "mul"]),
    ],
)
def test_a_choice_of_tools_becomes_the_tools_that_are_offered(choice: str | None, names: list[str]) -> None:
    config = GenerationConfig(tools=(ADD, ToolSpec("mul")), tool_choice=choice)
    tools = encode_chat(ASK, config, "m").get("tools", [])
    assert isinstance(tools, list)
    assert [tool["function"]["name"] for tool in tools] == names


def test_calls_and_their_results_are_sent_back_with_arguments_as_an_object() -> None:
    history = [
        Message(
            Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", "a=1"))
        ),
        Message(Role.TOOL, "2", tool_call_id="c1"),
    ]
    messages = encode_chat(history, GenerationConfig(), "m")["messages"]
    assert isinstance(messages, list)
    asked, answered = messages
    assert asked["tool_calls"] == [
        {"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}},
        {"id": "c2", "function": {"name": "add", "arguments": {"arguments": "a=1"}}},
    ]
    assert answered == {"role": "tool", "content": "2", "tool_name": "add", "tool_call_id": "c1"}


# --- what comes back --------------------------------------------------------------------------------------


def test_an_answer_is_joined_from_its_lines_with_usage_and_speeds() -> None:
    decoder = ChatDecoder()
    events = events_of(decoder, ANSWER)
    assert events == [ReasoningDelta("Ok"), TextDelta("Hel"), TextDelta("lö")]
    assert decoder.end() == StreamEnd("stop", Usage(26, 282, 70.5, 52.0), "m")
    assert decoder.done


def test_a_call_has_its_arguments_as_text_and_an_id_even_from_an_older_server() -> None:
    calls = [
        {"id": "call_x", "function": {"name": "add", "arguments": {"a": 1, "b": "é"}}},
        {"function": {"name": "add", "arguments": {}}},
        {"function": {"name": "add"}},
        {"function": {"arguments": {"a": 1}}},
        "add",
    ]
    decoder = ChatDecoder()
    events = events_of(decoder, line(tool_calls=calls) + END)
    assert events[0] == ToolCallDelta(ToolCall("call_x", "add", '{"a":1,"b":"é"}'))
    assert calls_of(events) == [("add", {"a": 1, "b": "é"}), ("add", {}), ("add", {})]
    made = [event.call.id for event in events if isinstance(event, ToolCallDelta)]
    assert len(set(made)) == 3
    assert decoder.end().finish_reason == "tool_calls"
    assert events == events_of(ChatDecoder(), line(tool_calls=calls) + END)


@pytest.mark.parametrize(
    ("stream", "end"),
    [
        (line("a") + line(done=True, done_reason="length"), "length"),
        (line("a") + line(done=True), "stop"),
        (line("a", done=True, done_reason="stop"), "stop"),
        (line("a") + line(done=True, done_reason="load"), "load"),
        (line("a") + b"\n\n" + END + b"what follows", "stop"),
        (ANSWER.rstrip(b"\n"), "stop"),
        (line("a"), ErrorKind.TRUNCATED),
        (line("a", done="yes"), ErrorKind.TRUNCATED),
        (line(), ErrorKind.TRUNCATED),
        (b"", ErrorKind.EMPTY),
        (END, ErrorKind.EMPTY),
        (line(done=True, done_reason="load"), ErrorKind.EMPTY),
        (line(done=True, done_reason="unload"), ErrorKind.EMPTY),
        (b'{"error": "model runner has unexpectedly stopped"}\n', ErrorKind.SERVER_ERROR),
        (line("a") + b'{"error": "model runner has unexpectedly stopped"}\n', ErrorKind.SERVER_ERROR),
        (b'{"error": "model \'x\' not found"}', ErrorKind.MODEL_MISSING),
        (b'{"error": "the input length exceeds the context length"}', ErrorKind.CONTEXT_OVERFLOW),
        (b'{"StatusCode": 429, "Status": "429", "error": "slow down"}\n', ErrorKind.RATE_LIMITED),
        (b"nonsense\n", ErrorKind.MALFORMED),
        (b'[]\n1\n{\n"x"\n' + ANSWER, ErrorKind.MALFORMED),
    ],
)
def test_only_done_makes_an_answer_complete(stream: bytes, end: str | ErrorKind) -> None:
    decoder = ChatDecoder()
    events = events_of(decoder, stream)
    ended = end_of(decoder)
    assert (ended.finish_reason if isinstance(ended, StreamEnd) else ended) == end
    assert text_of(events) in ("", "a", "Hellö")


def test_what_came_before_an_error_is_not_lost() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(line("a") + b'{"error": "gone"}\n' + line("b")) == [TextDelta("a")]
    assert decoder.failure is not None
    assert decoder.feed(line("c")) == []


def test_a_model_that_was_only_loaded_says_so() -> None:
    decoder = ChatDecoder()
    events_of(decoder, line(done=True, done_reason="load"))
    with pytest.raises(BackendError, match="loaded or unloaded the model"):
        decoder.end()


def test_half_a_surrogate_pair_reaches_neither_text_nor_arguments() -> None:
    used = {"function": {"name": "f", "arguments": {"a": "\ud83d"}}}
    stream = line("a\ud83d\ude00b\ud83dc", tool_calls=[used], done=True)
    events = events_of(ChatDecoder(), stream)
    assert text_of(events) == "a😀b\ufffdc"
    assert calls_of(events) == [("f", {"a": "\ufffd"})]


def test_an_answer_in_one_piece_is_taken() -> None:
    decoder = ChatDecoder()
    assert decoder.whole({"model": "m", "message": {"content": "Hi"}, "done": True}) == [TextDelta("Hi")]
    assert decoder.end() == StreamEnd("stop", Usage(), "m")


@pytest.mark.parametrize("value", [{}, {"hello": 1}, [], None, "x", {"message": "x"}])
def test_json_that_is_no_answer_comes_from_another_kind_of_program(value: object) -> None:
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole(value)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"function": {"name": "f", "arguments": {"a": "x" * (2**20 + 1)}}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": {}}}] * 1000},
    ],
    ids=["a large one", "many"],
)
def test_calls_beyond_the_bounds_are_malformed(message: Json) -> None:
    decoder = ChatDecoder()
    events_of(decoder, json.dumps({"message": message, "done": True}).encode())
    assert end_of(decoder) is ErrorKind.MALFORMED


@given(places)
def test_any_way_of_cutting_an_answer_gives_the_same_events(where: list[int]) -> None:
    stream = line(thinking="é") + line("a\n😀") + line(tool_calls=[{"function": {"name": "f"}}]) + ANSWER
    expected = events_of(ChatDecoder(), stream)
    decoder = ChatDecoder()
    assert events_of(decoder, *cut(stream, where)) == expected
    assert decoder.end() == StreamEnd("tool_calls", Usage(26, 282, 70.5, 52.0), "m")


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_bytes_give_an_end_or_a_failure(pieces: list[bytes]) -> None:
    decoder = ChatDecoder()
    assert events_of(decoder, *pieces) == []
    assert isinstance(end_of(decoder), ErrorKind)


anything = json_of(
    *("message", "content", "thinking", "tool_calls", "function", "name", "arguments", "id", "done", "error"),
    *("done_reason", "eval_count", "eval_duration", "prompt_eval_count", "model", "created_at"),
    words=("stop", "load", "f"),
)


@given(st.lists(anything, max_size=6))
def test_any_json_gives_an_answer_or_a_failure(values: list[object]) -> None:
    decoder = ChatDecoder()
    events = events_of(decoder, *(json.dumps(value).encode() + b"\n" for value in values))
    end = end_of(decoder)
    assert isinstance(end, ErrorKind) or events
    for text in (text_of(events), reasoning_of(events), *map(str, calls_of(events))):
        text.encode()


@given(anything)
def test_any_json_in_one_piece_gives_an_answer_or_an_error(value: object) -> None:
    try:
        ChatDecoder().whole(value)
    except BackendError:
        return
    assert isinstance(value, dict)


# --- embeddings -------------------------------------------------------------------------------------------


def test_embeddings_are_asked_for_and_read() -> None:
    assert encode_embeddings(["a", "b"], "m") == {"model": "m", "input": ["a", "b"]}
    found = decode_embeddings({"model": "m", "embeddings": [[0.5, 1], [2, 3.5]], "prompt_eval_count": 4})
    assert (found.vectors, found.model) == (((0.5, 1.0), (2.0, 3.5)), "m")
    assert found.usage.prompt_tokens == 4


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": 'model "x" not found, try pulling it first'}, ErrorKind.MODEL_MISSING),
        ({}, ErrorKind.MALFORMED),
        ([], ErrorKind.MALFORMED),
        ({"embeddings": [[]]}, ErrorKind.MALFORMED),
        ({"embeddings": [[True]]}, ErrorKind.MALFORMED),
        ({"embeddings": [["1"]]}, ErrorKind.MALFORMED),
        ({"embeddings": [[float("nan")]]}, ErrorKind.MALFORMED),
        ({"embeddings": [[10**400]]}, ErrorKind.MALFORMED),
        ({"embeddings": [1.0]}, ErrorKind.MALFORMED),
    ],
)
def test_what_are_no_embeddings_says_so(value: object, kind: ErrorKind) -> None:
    with pytest.raises(BackendError) as caught:
        decode_embeddings(value)
    assert caught.value.kind is kind


# --- against the test server ------------------------------------------------------------------------------


def ask(
    url: str, messages: list[Message], config: GenerationConfig, *, stream: bool = True
) -> tuple[list[BackendEvent], StreamEnd]:
    """What comes of a real answer to a real request."""
    seen = call(url, "POST", "/api/chat", encode_chat(messages, config, "llama3.2", stream=stream))
    assert seen.status == 200, seen.text
    decoder = ChatDecoder()
    events = decoder.whole(seen.json()) if not stream else events_of(decoder, *in_sevens(seen.body))
    return events, decoder.end()


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_understands_the_request_and_its_answer_is_understood(
    servers: ServerFactory, stream: bool
) -> None:
    model = {"id": "llama3.2:latest", "capabilities": ["completion", "tools", "vision", "thinking"]}
    server = servers("ollama", "--reasoning", "Let me see", models=[model])
    config = GenerationConfig(reasoning="low", context_length=2048, stop=("###",), temperature=0.5)
    events, end = ask(server.url, ASK, config, stream=stream)
    assert (text_of(events), reasoning_of(events)) == ("You said: Hi", "Let me see")
    assert (end.finish_reason, end.usage.prompt_tokens, end.usage.completion_tokens) == ("stop", 11, 6)
    image = [Message(Role.USER, "Look", images=(Image(PNG),))]
    assert text_of(ask(server.url, image, config, stream=stream)[0]) == "You showed 1 image: image/png."
    shaped, _ = ask(server.url, ASK, GenerationConfig(json_schema=SCHEMA), stream=stream)
    assert json.loads(text_of(shaped)) == {"name": ""}
    assert ask(server.url, ASK, GenerationConfig(max_tokens=2), stream=stream)[1].finish_reason == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_is_called_and_its_result_goes_back(servers: ServerFactory, stream: bool) -> None:
    server = servers("ollama", "--tool-call", 'add:{"a": 1, "b": 2}')
    config = GenerationConfig(tools=(ADD,))
    events, end = ask(server.url, ASK, config, stream=stream)
    assert (calls_of(events), end.finish_reason) == ([("add", {"a": 1, "b": 2})], "tool_calls")
    made = next(event.call for event in events if isinstance(event, ToolCallDelta))
    history = [
        *ASK,
        Message(Role.ASSISTANT, "", tool_calls=(made,)),
        Message(Role.TOOL, "3", tool_call_id=made.id, name="add"),
    ]
    events, end = ask(server.url, history, config, stream=stream)
    assert (text_of(events), end.finish_reason) == ("add said: 3", "stop")


def test_a_conversation_that_is_too_long_is_refused_not_shortened(servers: ServerFactory) -> None:
    server = servers("ollama", models=[{"id": "llama3.2:latest", "context_length": 5}])
    body = encode_chat(ASK, GenerationConfig(), "llama3.2")
    seen = call(server.url, "POST", "/api/chat", body)
    assert error_of(seen.status, seen.headers, seen.body).kind is ErrorKind.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_mid_stream:2", ErrorKind.SERVER_ERROR),
        ("eof_mid_stream:2", ErrorKind.TRUNCATED),
        ("empty_answer", ErrorKind.EMPTY),
    ],
)
def test_a_broken_stream_is_no_answer(servers: ServerFactory, fault: str, kind: ErrorKind) -> None:
    server = servers("ollama", "--fault", fault)
    seen = call(server.url, "POST", "/api/chat", encode_chat(ASK, GenerationConfig(), "llama3.2"))
    decoder = ChatDecoder()
    assert text_of(events_of(decoder, seen.body)) == ("" if fault == "empty_answer" else "You said:")
    assert end_of(decoder) is kind


def test_embeddings_come_in_the_order_of_their_texts(servers: ServerFactory) -> None:
    server = servers("ollama", "--dimensions", "4", models=[{"id": "e:latest", "embedding": True}])
    both = decode_embeddings(
        call(server.url, "POST", "/api/embed", encode_embeddings(["a", "b"], "e")).json()
    )
    one = decode_embeddings(call(server.url, "POST", "/api/embed", encode_embeddings(["b"], "e")).json())
    assert (len(both.vectors), len(both.vectors[0])) == (2, 4)
    assert both.vectors[1] == one.vectors[0]
