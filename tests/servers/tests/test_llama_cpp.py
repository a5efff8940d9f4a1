"""llama-server's bytes and traps, against what was measured on a real one."""

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

CHAT = "/v1/chat/completions"


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
