"""The Anthropic server's bytes and traps."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

KEY = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
HAIKU, OPUS = "claude-haiku-4-5-20251001", "claude-opus-5-5"
ADD = {"name": "add", "input_schema": {"type": "object"}}


def post(url: str, headers: Mapping[str, str] = KEY, **fields: object) -> Seen:
    asked = {"model": HAIKU, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]} | fields
    return call(url, "POST", "/v1/messages", asked, headers)


def complaint(seen: Seen) -> str:
    assert (seen.status, seen.json()["error"]["type"]) == (400, "invalid_request_error")
    return str(seen.json()["error"]["message"])


def names(seen: Seen) -> list[str]:
    return [line.removeprefix("event: ") for line in seen.text.split("\n") if line.startswith("event: ")]


def test_a_message_has_blocks_and_a_stop_reason(servers: ServerFactory) -> None:
    seen = post(servers("anthropic", "--cached-tokens", "3").url)
    said = seen.json()
    assert said["content"] == [{"type": "text", "text": "You said: hi"}]
    assert (said["type"], said["role"], said["stop_reason"]) == ("message", "assistant", "end_turn")
    assert (said["usage"]["input_tokens"], said["usage"]["cache_read_input_tokens"]) == (2, 3)
    assert seen.headers["request-id"].startswith("req_")


def test_a_stream_has_named_events_a_ping_and_message_stop_at_its_end(servers: ServerFactory) -> None:
    seen = post(servers("anthropic", "--answer", "a b").url, stream=True)
    assert seen.headers["content-type"].startswith("text/event-stream")
    assert names(seen) == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [event["type"] for event in seen.events()] == names(seen)
    assert "[DONE]" not in seen.text


@pytest.mark.parametrize("style", ["fragments", "whole"])
def test_a_call_is_streamed_as_json_in_fragments(servers: ServerFactory, style: str) -> None:
    server = servers("anthropic", "--tool-call", 'add:{"a": 100, "b": 2}', "--tool-style", style)
    events = post(server.url, stream=True, tools=[ADD]).events()
    start = next(event for event in events if event["type"] == "content_block_start")["content_block"]
    assert (start["type"], start["input"], start["id"][:6]) == ("tool_use", {}, "toolu_")
    fragments = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(fragments) == '{"a": 100, "b": 2}'
    assert (len(fragments) > 1) is (style == "fragments")


def test_the_key_comes_in_its_own_header_or_as_a_bearer_token(servers: ServerFactory) -> None:
    url = servers("anthropic").url
    version = {"anthropic-version": "2023-06-01"}
    assert post(url, {**version, "Authorization": "Bearer sk-ant-test"}).status == 200
    missing, wrong = post(url, version), post(url, {**version, "x-api-key": "sk-ant-wrong"})
    assert (missing.status, missing.json()["error"]["type"]) == (401, "authentication_error")
    assert (wrong.status, wrong.json()["error"]["message"]) == (401, "invalid x-api-key")


@pytest.mark.parametrize("version", ["", "2020-01-01"])
def test_a_version_is_required(servers: ServerFactory, version: str) -> None:
    headers = {"x-api-key": "sk-ant-test", **({"anthropic-version": version} if version else {})}
    assert complaint(post(servers("anthropic").url, headers)).startswith("anthropic-version: ")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seed": 1}, "seed: Extra inputs are not permitted"),
        ({"max_tokens": None}, "max_tokens: "),
        ({"messages": []}, "at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "must be non-empty"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "So: "}]},
            "trailing whitespace",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
            "unexpected `tool_use_id`",
        ),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        ({"model": OPUS, "temperature": 0.5}, "deprecated for this model"),
        ({"model": OPUS, "thinking": {"type": "disabled"}}, "not supported for this model"),
        ({"model": OPUS, "thinking": {"type": "enabled", "budget_tokens": 2000}}, "not supported"),
        ({"thinking": {"type": "adaptive"}}, "not supported for this model"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than `thinking"),
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"model": OPUS, "tools": [ADD], "tool_choice": {"type": "any"}}, "not supported for this model"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "should match pattern"),
        ({"tools": [{"name": "a"}]}, "input_schema.type: Field required"),
        ({"stop_sequences": [" "]}, "must contain non-whitespace"),
    ],
)
def test_what_it_does_not_take_it_refuses(servers: ServerFactory, fields: dict[str, Any], words: str) -> None:
    assert words in complaint(post(servers("anthropic").url, **fields))


def test_the_newer_version_takes_no_sampling_parameters(servers: ServerFactory) -> None:
    url = servers("anthropic").url
    newer = {**KEY, "anthropic-version": "2026-10-21"}
    assert post(url, temperature=1).status == 200
    assert "deprecated" in complaint(post(url, newer, temperature=1))


def test_thinking_is_hidden_or_shown_and_must_come_back_unchanged(servers: ServerFactory) -> None:
    url = servers("anthropic", "--reasoning", "so it is", "--tool-call", "add:{}").url
    assert [block["type"] for block in post(url).json()["content"]] == ["text"]
    hidden = post(url, model=OPUS).json()["content"]
    assert (hidden[0]["type"], hidden[0]["thinking"]) == ("thinking", "")
    shown = {"type": "adaptive", "display": "summarized"}
    asked: dict[str, Any] = {"model": OPUS, "thinking": shown, "tools": [ADD]}
    thinking, use = post(url, **asked).json()["content"]
    assert thinking["thinking"] == "so it is"

    def again(*blocks: object) -> Seen:
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "3"}
        turns = [("user", "hi"), ("assistant", list(blocks)), ("user", [result])]
        return post(url, **asked, messages=[{"role": role, "content": said} for role, said in turns])

    assert again(thinking, use).json()["content"][-1]["text"] == "add said: 3"
    assert "Invalid `signature`" in complaint(again(thinking | {"thinking": "so it was"}, use))


def test_refusals_have_their_status_and_words(servers: ServerFactory) -> None:
    server = servers("anthropic", "--fault", "rate_429:12")
    limited = post(server.url)
    assert (limited.status, limited.headers["retry-after"]) == (429, "12")
    server.set_fault("quota_429")
    spent = post(server.url)
    assert (spent.status, "retry-after" in spent.headers) == (429, False)
    assert spent.json()["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    server.set_fault("busy_503")
    busy = post(server.url)
    assert (busy.status, busy.json()["error"]) == (529, {"type": "overloaded_error", "message": "Overloaded"})
    assert busy.json()["request_id"] == busy.headers["request-id"]
    server.set_fault("payment_402")
    assert "credit balance is too low" in post(server.url).json()["error"]["message"]
    server.set_fault()
    assert post(server.url, model="claude-none").json()["error"] == {
        "type": "not_found_error",
        "message": "model: claude-none",
    }
    assert call(server.url, "GET", "/v1/nothing", headers=KEY).status == 404


def test_a_long_prompt_is_refused_with_its_size(servers: ServerFactory) -> None:
    server = servers("anthropic", models=[{"id": HAIKU, "context_length": 4}])
    assert complaint(post(server.url)) == "prompt is too long: 5 tokens > 4 maximum"


def test_a_declined_answer_and_an_error_in_the_stream(servers: ServerFactory) -> None:
    server = servers("anthropic", "--fault", "refusal")
    ending = post(server.url, stream=True).events()[-2]["delta"]
    assert (ending["stop_reason"], ending["stop_details"]["type"]) == ("refusal", "refusal")
    server.set_fault("error_mid_stream", 1)
    broken = post(server.url, stream=True)
    assert names(broken)[-1] == "error"
    assert broken.events()[-1]["error"]["type"] == "overloaded_error"


def test_models_come_in_pages(servers: ServerFactory) -> None:
    url = servers("anthropic").url
    first = call(url, "GET", "/v1/models?limit=1", headers=KEY).json()
    assert ([model["id"] for model in first["data"]], first["has_more"]) == ([HAIKU], True)
    rest = call(url, "GET", f"/v1/models?after_id={first['last_id']}", headers=KEY).json()
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == ([OPUS], False)
    one = call(url, "GET", f"/v1/models/{OPUS}", headers=KEY).json()
    assert (one["max_input_tokens"], one["capabilities"]["thinking"]["supported"]) == (1000000, True)
