"""Tools, images, structured output and embeddings, on every server that speaks OpenAI's dialect."""

import base64
import json
from typing import Any

import pytest

from tests.servers.answers import embedding_of
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.servers.probe import Seen, call
from tests.servers.tests.test_faults import CHAT, KEY

CALLS = ["--tool-call", 'weather:{"city": "Zürich", "days": 3}', "--tool-call", "now:{}"]
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "now")]
IMAGES = [
    {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,AAAA"}} for kind in ("png", "jpeg")
]
REFUSED = {"--no-tools": {"tools": TOOLS}, "--no-vision": {}, "--no-prefill": {}, "--no-schema": {}}


def ask(server: RunningServer, messages: list[Any], **fields: object) -> Seen:
    return call(server.url, "POST", CHAT[server.name], {"model": "m", "messages": messages} | fields, KEY)


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def joined(events: list[Any]) -> dict[int, dict[str, Any]]:
    """The calls of a stream; every call's id and name may come once only."""
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"]:
            for delta in choice["delta"].get("tool_calls", []):
                found = calls.setdefault(delta["index"], {"arguments": "", "pieces": 0})
                for name, value in (("id", delta.get("id")), ("name", delta["function"].get("name"))):
                    assert value is None or name not in found
                    found |= {name: value} if value else {}
                found["arguments"] += delta["function"]["arguments"]
                found["pieces"] += 1
    return calls


@pytest.mark.parametrize("name", CHAT)
def test_several_calls_are_streamed_in_fragments_or_whole(servers: ServerFactory, name: str) -> None:
    server = servers(name, *CALLS, models=["m"])
    events = ask(server, [user("?")], tools=TOOLS, stream=True).events()
    calls = joined(events)
    assert [each["name"] for each in calls.values()] == ["weather", "now"]
    assert json.loads(calls[0]["arguments"]) == {"city": "Zürich", "days": 3}
    assert calls[0]["id"] != calls[1]["id"]
    assert (calls[0]["pieces"] > 2) == (name != "ollama")
    reasons = [c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]]
    assert reasons == ["tool_calls"]


@pytest.mark.parametrize("name", CHAT)
def test_a_whole_answer_calls_and_the_result_is_told(servers: ServerFactory, name: str) -> None:
    server = servers(name, *CALLS[:2], models=["m"])
    (choice,) = ask(server, [user("?")], tools=TOOLS).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (called,) = choice["message"]["tool_calls"]
    assert called["type"] == "function"
    assert json.loads(called["function"]["arguments"])["days"] == 3
    result = {"role": "tool", "tool_call_id": called["id"], "content": "rain"}
    then = ask(server, [user("?"), choice["message"], result], tools=TOOLS).json()
    assert then["choices"][0]["message"]["content"] == "weather said: rain"
    assert ask(server, [user("?")]).json()["choices"][0]["message"]["content"] == "You said: ?"


def test_text_may_come_before_a_call_and_a_call_in_one_piece(servers: ServerFactory) -> None:
    server = servers(
        "openai_compatible", *CALLS, "--tool-text", "--answer", "Let me see.", "--tool-style", "whole"
    )
    events = ask(server, [user("?")], tools=TOOLS, stream=True, model="llama-3.2-3b-instruct").events()
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in events) == "Let me see."
    assert [each["pieces"] for each in joined(events).values()] == [1, 1]


def test_a_stream_can_break_in_the_middle_of_arguments(servers: ServerFactory) -> None:
    server = servers("llama_cpp", *CALLS, "--fault", "eof_mid_stream:2")
    (only,) = joined(ask(server, [user("?")], tools=TOOLS, stream=True).events()).values()
    assert only["arguments"] == '{"city": "Zürich'
    assert only["id"]


@pytest.mark.parametrize("name", CHAT)
def test_images_are_counted_and_named(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    said = ask(server, [user([{"type": "text", "text": "see"}, *IMAGES])]).json()
    assert said["choices"][0]["message"]["content"] == "You showed 2 images: image/png, image/jpeg."


@pytest.mark.parametrize("name", CHAT)
def test_structured_output_is_the_smallest_value(servers: ServerFactory, name: str) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema, "strict": True}}
    server = servers(name, models=["m"])
    said = ask(server, [user("?")], response_format=form).json()["choices"][0]["message"]["content"]
    assert json.loads(said) == {"city": "", "days": 1}


@pytest.mark.parametrize("name", sorted(set(CHAT) - {"llama_cpp"}))
def test_embeddings_belong_to_their_texts(servers: ServerFactory, name: str) -> None:
    server = servers(name, models=["m"])
    path = CHAT[name].replace("chat/completions", "embeddings")
    seen = call(server.url, "POST", path, {"model": "m", "input": ["a", "b"]}, KEY).json()
    assert [each["embedding"] for each in seen["data"]] == [embedding_of("a", 8), embedding_of("b", 8)]
    assert [each["index"] for each in seen["data"]] == [0, 1]


def test_llama_cpp_embeds_only_with_its_flag_and_packs_on_demand(servers: ServerFactory) -> None:
    body = {"input": "a", "encoding_format": "base64"}
    refused = call(servers("llama_cpp").url, "POST", "/v1/embeddings", body)
    assert (refused.status, refused.json()["error"]["type"]) == (501, "not_supported_error")
    url = servers("llama_cpp", "--embeddings", "--dimensions", "3").url
    (only,) = call(url, "POST", "/v1/embeddings", body).json()["data"]
    assert len(base64.b64decode(only["embedding"])) == 12


@pytest.mark.parametrize("flag", REFUSED)
@pytest.mark.parametrize("name", CHAT)
def test_what_a_server_does_not_support_it_refuses_in_its_words(
    servers: ServerFactory, name: str, flag: str
) -> None:
    server = servers(name, flag, models=["m"])
    assert ask(server, [user("?")]).status == 200
    messages = [user("?")]
    fields: dict[str, object] = {}
    match flag:
        case "--no-tools":
            fields["tools"] = TOOLS
        case "--no-vision":
            messages = [user(IMAGES)]
        case "--no-prefill":
            messages.append({"role": "assistant", "content": "Well"})
        case "--no-schema":
            fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    seen = ask(server, messages, **fields)
    assert seen.status in (400, 404, 500)
    assert b"error" in seen.body


def test_usage_tells_what_was_cached_and_thought(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--reasoning", "let me think", "--cached-tokens", "3", models=["m"])
    usage = ask(server, [user("one two")]).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize(
    ("name", "field"),
    [("lm_studio", "reasoning_content"), ("ollama", "reasoning"), ("openai_compatible", "reasoning_content")],
)
def test_thinking_is_in_the_servers_field_or_in_another(
    servers: ServerFactory, name: str, field: str
) -> None:
    own = ask(servers(name, "--reasoning", "hm", models=["m"]), [user("?")]).json()
    assert own["choices"][0]["message"][field] == "hm"
    server = servers(name, "--reasoning", "hm", "--reasoning-field", "thoughts", models=["m"])
    events = ask(server, [user("?")], stream=True).events()
    assert [d["thoughts"] for e in events for c in e["choices"] if "thoughts" in (d := c["delta"])] == ["hm"]


@pytest.mark.parametrize("name", CHAT)
def test_an_answer_can_be_filtered_refused_or_come_from_another_model(
    servers: ServerFactory, name: str
) -> None:
    server = servers(name, models=["m"])
    server.set_fault("content_filter", 1)
    (choice,) = ask(server, [user("one")]).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "You")
    server.set_fault("refusal")
    (choice,) = ask(server, [user("one")]).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert "I can't help with that" in json.dumps(choice["message"])
    server.set_fault("other_model", "not-asked-for")
    assert ask(server, [user("one")]).json()["model"] == "not-asked-for"
