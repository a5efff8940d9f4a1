"""Ollama's bytes and traps."""

import base64
import time

import pytest

from tests.servers.answers import embedding_of
from tests.servers.fixtures import ServerFactory
from tests.servers.ollama import host_is_allowed
from tests.servers.probe import Seen, call

CLOUD = {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}


def chat(url: str, body: dict[str, object], path: str = "/api/chat") -> Seen:
    return call(url, "POST", path, {"messages": [{"role": "user", "content": "hi"}]} | body)


def test_the_root_is_plain_text_for_get_and_head(servers: ServerFactory) -> None:
    url = servers("ollama").url
    seen = call(url, "GET", "/")
    assert (seen.status, seen.body) == (200, b"Ollama is running")
    assert seen.headers["content-type"].startswith("text/plain")
    assert call(url, "HEAD", "/").body == b""
    assert call(url, "GET", "/api/version").body == b'{"version":"0.33.0"}'


def test_unknown_paths_and_methods_are_refused_as_gin_does(servers: ServerFactory) -> None:
    url = servers("ollama").url
    assert (call(url, "GET", "/nope").status, call(url, "GET", "/nope").body) == (404, b"404 page not found")
    assert call(url, "GET", "/api/chat").status == 405


def test_tags_show_and_ps_have_the_documented_shape(servers: ServerFactory) -> None:
    local = {"id": "gemma3", "size_bytes": 3338801804, "context_length": 8192, "family": "gemma3"}
    url = servers("ollama", models=[local, CLOUD]).url
    here, cloud = call(url, "GET", "/api/tags").json()["models"]
    assert (here["name"], here["size"], len(here["digest"])) == ("gemma3:latest", 3338801804, 64)
    assert "remote_host" not in here
    assert (cloud["remote_host"], cloud["size"] < 1000) == ("https://ollama.com:443", True)
    (running,) = call(url, "GET", "/api/ps").json()["models"]
    assert (running["name"], running["context_length"]) == ("gemma3:latest", 8192)
    shown = call(url, "POST", "/api/show", {"model": "gemma3"}).json()
    assert shown["model_info"]["gemma3.context_length"] == 131072
    missing = call(url, "POST", "/api/show", {"model": "x"})
    assert (missing.status, missing.body) == (404, b'{"error":"model \'x\' not found"}')


def test_no_models_is_null_under_v1_and_an_empty_list_in_tags(servers: ServerFactory) -> None:
    url = servers("ollama", models=[]).url
    assert call(url, "GET", "/v1/models").body == b'{"object":"list","data":null}'
    assert call(url, "GET", "/api/tags").body == b'{"models":[]}'


def test_an_older_server_tells_no_capabilities(servers: ServerFactory) -> None:
    (model,) = call(servers("ollama", "--no-tag-capabilities").url, "GET", "/api/tags").json()["models"]
    assert "capabilities" not in model


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:11434", True),
        ("127.0.0.1:11434", True),
        ("[::1]:11434", True),
        ("10.1.2.3", True),
        ("box.local:1", True),
        ("a.internal", True),
        ("evil.example.com", False),
        ("evil.example.com:11434", False),
    ],
)
def test_foreign_names_in_host_are_refused(host: str, allowed: bool) -> None:
    assert host_is_allowed(host) is allowed


def test_the_host_guard_answers_an_empty_403(servers: ServerFactory) -> None:
    seen = call(servers("ollama").url, "GET", "/api/tags", headers={"Host": "evil.example.com"})
    assert (seen.status, seen.body) == (403, b"")


def test_chat_streams_ndjson_by_default_and_ends_with_done(servers: ServerFactory) -> None:
    seen = chat(servers("ollama").url, {"model": "llama3.2"})
    assert seen.headers["content-type"] == "application/x-ndjson"
    lines = seen.lines()
    assert "".join(line["message"]["content"] for line in lines) == "You said: hi"
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("stop", 3)


def test_generate_answers_in_response(servers: ServerFactory) -> None:
    url = servers("ollama").url
    seen = call(url, "POST", "/api/generate", {"model": "llama3.2", "prompt": "hi", "stream": False}).json()
    assert (seen["response"], seen["done"]) == ("You said: hi", True)


def test_an_empty_chat_loads_and_unloads(servers: ServerFactory) -> None:
    url = servers("ollama", models=[{"id": "a", "loaded": False}]).url
    assert call(url, "GET", "/api/ps").json() == {"models": []}
    load = call(url, "POST", "/api/chat", {"model": "a"}).json()
    assert (load["done"], load["done_reason"]) == (True, "load")
    assert len(call(url, "GET", "/api/ps").json()["models"]) == 1
    unload = call(url, "POST", "/api/generate", {"model": "a", "keep_alive": 0}).json()
    assert unload["done_reason"] == "unload"
    assert call(url, "GET", "/api/ps").json() == {"models": []}


def test_thinking_has_its_own_fields_and_needs_the_capability(servers: ServerFactory) -> None:
    models = [{"id": "t", "capabilities": ["completion", "thinking"]}, "plain"]
    url = servers("ollama", "--reasoning", "hm", models=models).url
    first = chat(url, {"model": "t"}).lines()[0]
    assert first["message"] == {"role": "assistant", "content": "", "thinking": "hm"}
    assert "thinking" not in chat(url, {"model": "t", "think": False}).text
    refused = chat(url, {"model": "plain", "think": True})
    assert (refused.status, refused.json()) == (400, {"error": '"plain" does not support thinking'})
    (event,) = [e for e in chat(url, {"model": "t", "stream": True}, "/v1/chat/completions").events()
                if e["choices"] and "reasoning" in e["choices"][0]["delta"]]  # fmt: skip
    assert event["choices"][0]["delta"]["reasoning"] == "hm"


def test_context_overflow_is_silent_unless_truncation_is_off(servers: ServerFactory) -> None:
    url = servers("ollama", models=[{"id": "a", "context_length": 4}]).url
    assert chat(url, {"model": "a", "stream": False}).status == 200
    refused = chat(url, {"model": "a", "truncate": False})
    assert (refused.status, refused.json()) == (400, {"error": "the input length exceeds the context length"})
    assert chat(url, {"model": "a", "options": {"num_ctx": 64}, "stream": False}).status == 200
    assert call(url, "GET", "/api/ps").json()["models"][0]["context_length"] == 64


def test_num_predict_ends_with_length(servers: ServerFactory) -> None:
    seen = chat(
        servers("ollama").url, {"model": "llama3.2", "stream": False, "options": {"num_predict": 1}}
    ).json()
    assert (seen["message"]["content"], seen["done_reason"]) == ("You", "length")


def test_the_v1_stream_has_ollamas_shape(servers: ServerFactory) -> None:
    body: dict[str, object] = {"model": "llama3.2", "stream": True, "stream_options": {"include_usage": True}}
    first, *_, finish, usage = chat(servers("ollama").url, body, "/v1/chat/completions").events()
    assert first["system_fingerprint"] == "fp_ollama"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "You"}
    assert finish["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_a_failure_mid_stream_is_swallowed_under_v1_and_told_in_ndjson(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "error_mid_stream:1")
    lines = chat(server.url, {"model": "llama3.2"}).lines()
    assert list(lines[-1]) == ["error"]
    seen = chat(server.url, {"model": "llama3.2", "stream": True}, "/v1/chat/completions")
    assert seen.events()[-1]["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "finish_reason": None,
    }
    assert "[DONE]" not in seen.text


def test_a_missing_model_has_two_spellings_and_two_forms(servers: ServerFactory) -> None:
    server = servers("ollama")
    assert chat(server.url, {"model": "x"}).json() == {"error": "model 'x' not found"}
    assert chat(server.url, {"model": "x"}, "/v1/chat/completions").json() == {
        "error": {"message": "model 'x' not found", "type": "not_found_error", "param": None, "code": None}
    }
    server.set_fault("not_found_404_model")
    assert chat(server.url, {"model": "x"}).json() == {"error": 'model "x" not found, try pulling it first'}


def test_busy_and_signed_out_are_told_in_ollamas_words(servers: ServerFactory) -> None:
    server = servers("ollama", "--fault", "busy_503*1", "--fault", "unauthorized_401")
    busy = chat(server.url, {"model": "llama3.2"})
    assert busy.body == b'{"error":"server busy, please try again.  maximum pending requests exceeded"}'
    signed_out = chat(server.url, {"model": "llama3.2"})
    assert signed_out.json()["signin_url"].startswith("https://ollama.com/connect?")


def test_a_pull_tells_its_progress_and_the_model_is_there_afterwards(servers: ServerFactory) -> None:
    url = servers("ollama", models=[]).url
    seen = call(url, "POST", "/api/pull", {"model": "llama3.2"})
    lines = seen.lines()
    assert lines[0] == {"status": "pulling manifest"}
    assert "completed" not in lines[1]
    assert lines[2]["completed"] < lines[2]["total"]
    assert lines[-1] == {"status": "success"}
    assert [each["name"] for each in call(url, "GET", "/api/tags").json()["models"]] == ["llama3.2:latest"]
    assert call(url, "DELETE", "/api/delete", {"model": "llama3.2"}).status == 200
    assert call(url, "DELETE", "/api/delete", {"model": "llama3.2"}).status == 404


def test_a_pull_that_fails_does_so_under_status_200(servers: ServerFactory) -> None:
    seen = call(servers("ollama", "--pull-error", "pull model manifest: file does not exist").url, "POST",
                "/api/pull", {"model": "x"})  # fmt: skip
    assert seen.status == 200
    assert seen.lines() == [
        {"status": "pulling manifest"},
        {"error": "pull model manifest: file does not exist"},
    ]


def test_native_calls_are_whole_and_their_arguments_an_object(servers: ServerFactory) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    server = servers("ollama", "--tool-call", 'weather:{"city": "Zürich"}', models=["m"])
    *_, called, last = chat(server.url, {"model": "m", "tools": tools}).lines()
    (only,) = called["message"]["tool_calls"]
    assert only["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Zürich"}}
    assert (last["done_reason"], last["message"]["content"]) == ("stop", "")
    messages = [
        {"role": "user", "content": "?"},
        called["message"],
        {"role": "tool", "tool_name": "weather", "content": "rain"},
    ]
    told = chat(server.url, {"model": "m", "tools": tools, "messages": messages, "stream": False}).json()
    assert told["message"]["content"] == "weather said: rain"
    plain = servers("ollama", models=[{"id": "m", "capabilities": ["completion"]}])
    refused = chat(plain.url, {"model": "m", "tools": tools})
    assert (refused.status, refused.json()) == (400, {"error": '"m" does not support tools'})


def test_images_and_formats_are_understood_natively(servers: ServerFactory) -> None:
    url = servers("ollama", models=["m"]).url
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    seen = chat(url, {"model": "m", "stream": False, "messages": [{"role": "user", "images": [png]}]})
    assert seen.json()["message"]["content"] == "You showed 1 image: image/png."
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert chat(url, {"model": "m", "stream": False, "format": schema}).json()["message"]["content"] == (
        '{"n": 0}'
    )
    assert chat(url, {"model": "m", "stream": False, "format": "json"}).json()["message"]["content"] == "{}"


def test_the_context_follows_num_ctx_and_goes_back_without_it(servers: ServerFactory) -> None:
    server = servers("ollama", "--load-seconds", "0.4", models=[{"id": "m", "max_context_length": 16384}])

    def context() -> int:
        (running,) = call(server.url, "GET", "/api/ps").json()["models"]
        found: int = running["context_length"]
        return found

    chat(server.url, {"model": "m", "options": {"num_ctx": 8192}})
    assert context() == 8192
    began = time.monotonic()
    chat(server.url, {"model": "m", "options": {"num_ctx": 8192}})
    assert time.monotonic() - began < 0.4  # it is loaded so already
    chat(server.url, {"model": "m", "options": {"num_ctx": 99999}})
    assert context() == 16384
    began = time.monotonic()
    chat(server.url, {"model": "m"}, "/v1/chat/completions")
    assert time.monotonic() - began >= 0.4
    assert context() == 4096


def test_keep_alive_unloads_after_its_time(servers: ServerFactory) -> None:
    url = servers("ollama", models=["m"]).url

    def running() -> list[dict[str, str]]:
        found: list[dict[str, str]] = call(url, "GET", "/api/ps").json()["models"]
        return found

    chat(url, {"model": "m", "keep_alive": -1})
    assert int(running()[0]["expires_at"][:4]) > 2300
    chat(url, {"model": "m", "keep_alive": "500ms"})
    assert len(running()) == 1
    time.sleep(0.5)
    assert running() == []
    chat(url, {"model": "m", "keep_alive": 0})
    assert running() == []
    assert chat(url, {"model": "m", "keep_alive": "soon"}).status == 400


def test_a_begun_answer_is_continued_without_repetition(servers: ServerFactory) -> None:
    server = servers("ollama", "--tokens", "4", models=["m"])
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "word0 word1"}]
    for path in ("/api/chat", "/v1/chat/completions"):
        seen = chat(server.url, {"model": "m", "messages": messages, "stream": False}, path).json()
        message = seen["message"] if path == "/api/chat" else seen["choices"][0]["message"]
        assert message["content"] == " word2 word3"


def test_embeddings_come_in_three_forms(servers: ServerFactory) -> None:
    url = servers("ollama", models=[{"id": "m", "context_length": 2}]).url
    seen = call(url, "POST", "/api/embed", {"model": "m", "input": ["a", "b"], "dimensions": 3}).json()
    assert seen["embeddings"] == [embedding_of("a", 3), embedding_of("b", 3)]
    assert seen["prompt_eval_count"] == 2
    old = call(url, "POST", "/api/embeddings", {"model": "m", "prompt": "a"}).json()
    assert old == {"embedding": embedding_of("a", 8)}
    long = call(url, "POST", "/api/embed", {"model": "m", "input": "a b c", "truncate": False})
    assert (long.status, long.json()["error"]) == (400, "the input length exceeds the context length")
