"""The OpenAI dialect as data: what is sent, and what real servers send back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Message,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    Usage,
)
from whisper_desktop.wire.openai import ChatDecoder, decode_models, encode_chat

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]


def chunk(delta: object = None, finish: object = None, **more: object) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more})


def decode(*events: str) -> tuple[str, str, StreamEnd]:
    decoder = ChatDecoder()
    deltas = [delta for event in events for delta in decoder.deltas(event)]
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    reasoning = "".join(delta.reasoning for delta in deltas if isinstance(delta, ReasoningDelta))
    return text, reasoning, decoder.end()


def failure(*events: str) -> BackendError:
    with pytest.raises(BackendError) as caught:
        decode(*events)
    return caught.value


def test_only_what_was_set_is_sent() -> None:
    assert encode_chat(ASK, GenerationConfig(), "m") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_all_settings_have_their_field_and_extra_cannot_change_the_question() -> None:
    config = GenerationConfig(0.0, 0.9, 5, 7, ("x",), {"top_k": 3, "messages": [], "stream": True})
    body = encode_chat(ASK, config, None, stream=False, max_tokens_field="max_completion_tokens")
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
    }


def test_an_answer_is_joined_from_its_chunks_with_usage_and_timings_from_the_tail() -> None:
    text, reasoning, end = decode(
        chunk({"role": "assistant", "content": None}, model="real-model"),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo", "role": "assistant"}),
        chunk({}, "stop"),
        json.dumps(
            {
                "choices": [],
                "usage": {"prompt_tokens": 4, "completion_tokens": 2, "cost": 0.01},
                "timings": {"predicted_per_second": 50.5, "prompt_per_second": 900},
            }
        ),
        "[DONE]",
    )
    assert (text, reasoning) == ("Hello", "hm")
    assert end == StreamEnd("stop", Usage(4, 2, 50.5, 900.0, 0.01), "real-model")


def test_reasoning_is_taken_once_when_a_server_sends_it_under_both_names() -> None:
    _, reasoning, _ = decode(chunk({"reasoning": "a", "reasoning_content": "a", "content": "b"}, "stop"))
    assert reasoning == "a"


@pytest.mark.parametrize("content", [[{"type": "text", "text": "Hel"}, {"text": "lo"}], "Hello"])
def test_content_may_be_a_list_of_parts(content: object) -> None:
    assert decode(chunk({"content": content}, "stop"))[0] == "Hello"


def test_half_a_surrogate_pair_does_not_reach_a_terminal() -> None:
    text, _, _ = decode(r'{"choices": [{"delta": {"content": "a\ud83d\ude00b\ud83dc"}}]}', "[DONE]")
    assert text == "a😀b\ufffdc"


def test_done_without_a_finish_reason_is_a_complete_answer() -> None:
    assert decode(chunk({"content": "x"}), "[DONE]")[2].finish_reason == "stop"


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([chunk({"content": "x"})], ErrorKind.TRUNCATED),
        ([chunk({"role": "assistant", "content": ""})], ErrorKind.TRUNCATED),
        ([], ErrorKind.EMPTY),
        (["[DONE]"], ErrorKind.EMPTY),
        ([chunk({"content": ""}), chunk({}, "stop"), "[DONE]"], ErrorKind.EMPTY),
        (["nonsense"], ErrorKind.MALFORMED),
        (["{", "[]", "1", '"x"'], ErrorKind.MALFORMED),
        ([chunk({"content": "x"}, "content_filter")], ErrorKind.CONTENT_FILTER),
        ([chunk({"content": "x"}, "error")], ErrorKind.SERVER_ERROR),
        (['{"error": "The model has crashed"}'], ErrorKind.SERVER_ERROR),
        (['{"error": {"code": 429, "message": "slow"}, "choices": []}'], ErrorKind.RATE_LIMITED),
        (['{"error": {"code": "server_error", "message": "gone"}}'], ErrorKind.SERVER_ERROR),
        (['{"choices": [{"error": {"code": 502, "message": "gone"}}]}'], ErrorKind.SERVER_ERROR),
    ],
)
def test_what_is_not_a_complete_answer_is_never_taken_for_one(events: list[str], kind: ErrorKind) -> None:
    assert failure(*events).kind is kind


def test_a_few_broken_events_do_not_cost_the_answer() -> None:
    assert decode("{", chunk({"content": "x"}), "[]", "nonsense", chunk({}, "stop"))[0] == "x"


def test_a_whole_answer_in_place_of_a_stream_is_taken() -> None:
    decoder = ChatDecoder()
    value = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}], "model": "m"}
    assert decoder.whole(value) == [TextDelta("Hi")]
    assert decoder.end() == StreamEnd("length", Usage(), "m")


@pytest.mark.parametrize("value", [{"hello": "world"}, [], None, "text", {"choices": None}])
def test_json_that_is_no_completion_comes_from_another_kind_of_program(value: object) -> None:
    with pytest.raises(BackendError) as caught:
        ChatDecoder().whole(value)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "error", "code", "usage", "timings", "model", "finish_reason"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values.map(json.dumps) | st.text(max_size=20), max_size=8))
def test_whatever_a_server_sends_is_an_answer_or_a_backend_error(events: list[str]) -> None:
    try:
        text, reasoning, end = decode(*events)
    except BackendError:
        return
    assert text or reasoning
    assert end.finish_reason


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
