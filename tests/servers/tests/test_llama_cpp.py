"""llama-server's bytes and traps, against what was measured on a real one."""

import http.client
import json
import time
from typing import Any

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.servers.probe import Seen, call

CHAT = "/v1/chat/completions"
WORDS = "word0 word1 word2 word3"
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "word0 word1"}]


def chat(url: str, **fields: object) -> Seen:
    return call(url, "POST", CHAT, {"messages": [{"role": "user", "content": "hi"}]} | fields)


def test_every_answer_carries_the_server_header(servers: ServerFactory) -> None:
    url = servers("llama_cpp").url
    for path in ("/health", "/props", "/nothing", "/v1/models"):
        assert call(url, "GET", path).headers["server"] == "llama.cpp"
    assert call(url, "GET", "/health").body == b'{"status":"ok"}'
    assert call(url, "GET", "/nothing").json() == {
        "error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}
    }


def test_loading_is_told_before_the_key_is_checked(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--auth", "k", "--fault", "loading:60").url
    for path in ("/health", "/props", "/nothing", "/v1/models"):
        assert call(url, "GET", path).status == 503


def test_a_wrong_key_is_refused_everywhere_but_on_health(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--auth", "k").url
    for path in ("/props", "/nothing", "/v1/models"):
        assert call(url, "GET", path).json() == {
            "error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}
        }
    assert call(url, "GET", "/health").status == 200
    assert call(url, "GET", "/props", headers={"X-Api-Key": "k"}).status == 200
    assert call(url, "GET", "/props", headers={"Authorization": "Bearer k"}).status == 200


def test_the_page_is_open_even_while_loading_and_gone_without_ui(servers: ServerFactory) -> None:
    seen = call(servers("llama_cpp", "--auth", "k", "--fault", "loading:60").url, "GET", "/")
    assert (seen.status, seen.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert call(servers("llama_cpp", "--no-ui").url, "GET", "/").status == 404


def test_the_list_has_both_shapes(servers: ServerFactory) -> None:
    models = [{"id": "tiny", "context_length": 512, "max_context_length": 2048, "size_bytes": 8357120}]
    seen = call(servers("llama_cpp", models=models).url, "GET", "/v1/models").json()
    assert seen["models"][0]["name"] == "tiny"
    meta = seen["data"][0]["meta"]
    assert (meta["n_ctx"], meta["n_ctx_train"], meta["size"]) == (512, 2048, 8357120)
    assert seen["data"][0]["owned_by"] == "llamacpp"


def test_props_tell_context_and_sleep(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--sleeping").url
    props = call(url, "GET", "/props").json()
    assert (props["default_generation_settings"]["n_ctx"], props["is_sleeping"]) == (4096, True)
    assert call(url, "GET", "/health").status == 200
    assert chat(url).status == 200
    assert call(url, "GET", "/props").json()["is_sleeping"] is False


def test_slots_and_metrics(servers: ServerFactory) -> None:
    url = servers("llama_cpp").url
    assert [slot["id"] for slot in call(url, "GET", "/slots").json()] == [0, 1, 2, 3]
    metrics = call(url, "GET", "/metrics")
    assert (metrics.status, metrics.json()["error"]["type"]) == (501, "not_supported_error")
    assert call(servers("llama_cpp", "--metrics").url, "GET", "/metrics").text.startswith("# TYPE")


def test_the_stream_begins_with_null_and_ends_with_timings(servers: ServerFactory) -> None:
    url = servers("llama_cpp").url
    seen = chat(url, stream=True)
    assert seen.headers["x-accel-buffering"] == "no"
    first, *_, last = seen.events()
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["timings"]["predicted_n"] == 3
    assert "usage" not in last
    *_, finish, tail = chat(url, stream=True, stream_options={"include_usage": True}).events()
    assert "timings" not in finish
    assert tail["choices"] == []
    assert tail["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def test_progress_comes_in_chunks_that_repeat_the_role(servers: ServerFactory) -> None:
    events = chat(servers("llama_cpp").url, stream=True, return_progress=True).events()
    roles = [event for event in events if event["choices"][0]["delta"].get("role")]
    assert [each.get("prompt_progress", {}).get("processed") for each in roles] == [0, 5, None]


def test_the_whole_answer_has_timings_and_ignores_the_model_asked_for(servers: ServerFactory) -> None:
    seen = chat(servers("llama_cpp").url, model="whatever", max_tokens=1).json()
    assert seen["model"] == "tiny"
    assert seen["choices"][0] == {
        "finish_reason": "length",
        "index": 0,
        "message": {"role": "assistant", "content": "You"},
    }
    assert seen["timings"]["prompt_n"] == 5


def test_bad_requests_have_odd_statuses(servers: ServerFactory) -> None:
    url = servers("llama_cpp", models=[{"id": "t", "context_length": 4}]).url
    broken = call(url, "POST", CHAT, b"{x")
    assert broken.status == 500
    assert broken.json()["error"]["message"].startswith("[json.exception.parse_error.101]")
    assert call(url, "POST", CHAT, {}).json()["error"]["message"] == "'messages' is required"
    assert chat(url, stream=True).json() == {
        "error": {
            "code": 400,
            "message": "request (5 tokens) exceeds the available context size (4 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5,
            "n_ctx": 4,
        }
    }


def test_an_error_mid_stream_is_in_band(servers: ServerFactory) -> None:
    events = chat(servers("llama_cpp", "--fault", "error_mid_stream:1").url, stream=True).events()
    assert events[-1] == {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}


def test_the_router_lists_loads_and_unloads(servers: ServerFactory) -> None:
    models = [{"id": "a", "loaded": False}, {"id": "bad", "loaded": False}]
    url = servers("llama_cpp", "--router", "--fails-to-load", "bad", models=models).url
    assert call(url, "GET", "/props").json()["role"] == "router"
    assert [each["status"]["value"] for each in call(url, "GET", "/v1/models").json()["data"]] == [
        "unloaded",
        "unloaded",
    ]
    assert call(url, "POST", "/models/load", {"model": "zzz"}).status == 404
    assert call(url, "POST", "/models/load", {"model": "a"}).json() == {"success": True}
    again = call(url, "POST", "/models/load", {"model": "a"})
    assert (again.status, again.json()["error"]["message"]) == (400, "model is already running")
    assert chat(url, model="a").json()["model"] == "a"
    assert chat(url, model="bad").status == 500
    loaded, failed = call(url, "GET", "/v1/models").json()["data"]
    assert loaded["status"]["value"] == "loaded"
    assert (failed["status"]["value"], failed["status"]["failed"]) == ("unloaded", True)
    assert call(url, "POST", "/models/unload", {"model": "a"}).json() == {"success": True}
    assert (
        call(url, "POST", "/models/unload", {"model": "a"}).json()["error"]["message"]
        == "model is not running"
    )


def test_the_router_wants_a_known_model_by_name(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--router", "--load-seconds", "60", models=[{"id": "a", "loaded": False}]).url
    assert chat(url).json()["error"]["message"] == "model name is missing from the request"
    assert chat(url, model="zzz").json()["error"]["message"] == "model 'zzz' not found"
    call(url, "POST", "/models/load", {"model": "a"})
    assert call(url, "GET", "/v1/models").json()["data"][0]["status"]["value"] == "loading"


# --- reading the prompt -----------------------------------------------------------------------------------


def test_a_prompt_is_read_in_the_seconds_given_with_progress(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--prompt-seconds", "0.2", "--cached-tokens", "2")
    began = time.monotonic()
    events = chat(server.url, stream=True, return_progress=True).events()
    assert 0.2 <= time.monotonic() - began < 1
    progress = [event["prompt_progress"] for event in events if "prompt_progress" in event]
    assert len(progress) == 11
    assert progress[0] == {"total": 5, "cache": 2, "processed": 2, "time_ms": 0}
    assert progress[-1] == {"total": 5, "cache": 2, "processed": 5, "time_ms": 200}
    assert [each["processed"] for each in progress] == sorted(each["processed"] for each in progress)


def test_without_progress_nothing_comes_until_the_prompt_is_read(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--prompt-seconds", "0.2")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    began = time.monotonic()
    connection.request("POST", CHAT, json.dumps({"messages": TALK[:1], "stream": True}))
    connection.getresponse()
    assert time.monotonic() - began >= 0.2
    connection.close()


def test_progress_can_stop(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--prompt-seconds", "0.1", "--fault", "stall_reading:3")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.3)
    connection.request(
        "POST", CHAT, json.dumps({"messages": TALK[:1], "stream": True, "return_progress": True})
    )
    answer = connection.getresponse()
    events = b""
    while events.count(b"prompt_progress") < 3:
        events += answer.read1()
    with pytest.raises(TimeoutError):
        answer.read1()
    connection.close()


# --- continuing an answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_last_message_of_the_assistant_is_continued_and_repeated(
    servers: ServerFactory, stream: bool
) -> None:
    server = servers("llama_cpp", "--tokens", "4")
    seen = call(server.url, "POST", CHAT, {"messages": TALK, "stream": stream})
    if stream:
        deltas = [event["choices"][0]["delta"].get("content") for event in seen.events()]
        assert [delta for delta in deltas if delta] == ["word0 word1 word2", " word3"]
    else:
        assert seen.json()["choices"][0]["message"]["content"] == WORDS
        assert seen.json()["usage"]["completion_tokens"] == 2


def test_a_stream_that_asks_for_it_is_continued_without_repetition(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--tokens", "4").url
    explicit = {"continue_final_message": True, "add_generation_prompt": False}
    seen = call(url, "POST", CHAT, {"messages": TALK, "stream": True} | explicit)
    assert _text(seen.events()) == " word2 word3"
    whole = call(url, "POST", CHAT, {"messages": TALK} | explicit).json()
    assert whole["choices"][0]["message"]["content"] == WORDS
    both = call(url, "POST", CHAT, {"messages": TALK, "continue_final_message": True})
    assert both.status == 400
    other = servers("llama_cpp", "--tokens", "4", "--no-echo").url
    assert _text(call(other, "POST", CHAT, {"messages": TALK, "stream": True}).events()) == " word2 word3"


# --- streams that outlive their client --------------------------------------------------------------------


def _text(events: list[Any]) -> str:
    return "".join(c["delta"].get("content") or "" for event in events for c in event["choices"])


def _leave_after(server: RunningServer, size: int, conversation: str = "c") -> bytes:
    """Begins a kept stream, reads at least `size` bytes of it and hangs up."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(
        "POST",
        CHAT,
        json.dumps({"messages": TALK[:1], "stream": True}),
        {"X-Conversation-Id": conversation},
    )
    answer = connection.getresponse()
    got = b""
    while len(got) < size:
        got += answer.read1()
    answer.close()
    connection.close()
    return got


def test_a_stream_goes_on_without_its_client_and_can_be_read_from_any_byte(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "20", "--token-delay", "0.01")
    got = _leave_after(server, 1000)
    server.wait_for("disconnect")
    rest = call(server.url, "GET", f"/v1/stream?conv_id=c&from={len(got)}")
    assert rest.headers["content-type"] == "text/event-stream"
    whole = Seen(200, {}, got + rest.body)
    assert _text(whole.events()) == " ".join(f"word{number}" for number in range(20))
    assert whole.text.endswith("data: [DONE]\n\n")
    assert server.wait_for("generated")["tokens"] == 20
    assert call(server.url, "GET", "/v1/stream?conv_id=c").body == whole.body
    (known,) = call(server.url, "POST", "/v1/streams/lookup", {"conversation_ids": ["c", "x"]}).json()
    assert (known["is_done"], known["total_bytes"]) == (True, len(whole.body))
    assert known["completed_at"] >= known["started_at"]


def test_a_stopped_stream_ends_at_once_for_everybody(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.01")
    _leave_after(server, 1000, "c::model")
    (known,) = call(server.url, "POST", "/v1/streams/lookup", {"conversation_ids": ["c"]}).json()
    assert (known["conversation_id"], known["is_done"], known["completed_at"]) == ("c::model", False, 0)
    assert call(server.url, "DELETE", "/v1/stream?conv_id=c::model").status == 204
    ended = server.wait_for("generated")
    assert ended["cancelled"]
    assert ended["tokens"] < 500
    assert call(server.url, "GET", "/v1/stream?conv_id=c::model").status == 404
    assert call(server.url, "DELETE", "/v1/stream?conv_id=c::model").status == 204


def test_a_stream_that_breaks_for_its_client_is_whole_in_the_buffer(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "4", "--fault", "cut_mid_stream:2")
    with pytest.raises(http.client.IncompleteRead):
        call(server.url, "POST", CHAT, {"messages": TALK[:1], "stream": True}, {"X-Conversation-Id": "c"})
    assert _text(call(server.url, "GET", "/v1/stream?conv_id=c").events()) == WORDS
    server.set_fault("error_mid_stream", 2)
    broken = call(
        server.url, "POST", CHAT, {"messages": TALK[:1], "stream": True}, {"X-Conversation-Id": "c"}
    )
    again = call(server.url, "GET", "/v1/stream?conv_id=c")
    assert again.body == broken.body
    assert "error" in again.events()[-1]


def test_a_stopped_stream_ends_for_the_client_that_still_reads_it(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.01")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    body = json.dumps({"messages": TALK[:1], "stream": True})
    connection.request("POST", CHAT, body, {"X-Conversation-Id": "c"})
    answer = connection.getresponse()
    answer.read1()
    call(server.url, "DELETE", "/v1/stream?conv_id=c")
    rest = answer.read()
    connection.close()
    assert rest.count(b"data:") < 500
    assert b"[DONE]" not in rest


def test_dropped_bytes_cannot_be_read_again(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "20", "--replay-bytes", "500")
    said = call(server.url, "POST", CHAT, {"messages": TALK[:1], "stream": True}, {"X-Conversation-Id": "c"})
    kept = call(server.url, "GET", f"/v1/stream?conv_id=c&from={len(said.body) - 500}")
    assert kept.body == said.body[-500:]
    lost = call(server.url, "GET", "/v1/stream?conv_id=c&from=0")
    assert (lost.status, lost.json()["error"]["message"]) == (400, "Stream offset lost, please restart")


def test_a_build_without_the_buffer_knows_no_such_path(servers: ServerFactory) -> None:
    url = servers("llama_cpp", "--no-replay").url
    seen = call(url, "POST", CHAT, {"messages": TALK[:1], "stream": True}, {"X-Conversation-Id": "c"})
    assert seen.status == 200
    assert call(url, "GET", "/v1/stream?conv_id=c").status == 404
    assert call(url, "POST", "/v1/streams/lookup", {"conversation_ids": ["c"]}).status == 404
