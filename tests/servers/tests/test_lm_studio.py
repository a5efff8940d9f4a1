"""LM Studio's bytes and traps."""

import time

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

MODELS = [
    {"id": "google/gemma-4", "context_length": 8192, "max_context_length": 262144, "size_bytes": 17990911801,
     "capabilities": ["completion", "vision", "tools", "thinking"]},
    {"id": "other/small", "loaded": False, "capabilities": ["completion"]},
    {"id": "nomic-embed", "embedding": True, "loaded": False},
]  # fmt: skip


def chat(
    url: str, model: str, *, stream: bool = False, text: str = "hi", path: str = "/v1/chat/completions"
) -> Seen:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    return call(url, "POST", path, body)


def test_the_greeting_tells_who_it_is(servers: ServerFactory) -> None:
    seen = call(servers("lm_studio").url, "GET", "/lmstudio-greeting")
    assert seen.body == b'{"lmstudio":true}'
    assert seen.headers["x-powered-by"] == "Express"
    assert seen.headers["content-type"] == "application/json; charset=utf-8"


def test_every_unknown_path_and_method_is_a_200_with_an_error(servers: ServerFactory) -> None:
    url = servers("lm_studio").url
    for method, path in (
        ("GET", "/"),
        ("GET", "/props"),
        ("GET", "/api/tags"),
        ("GET", "/api/version"),
        ("GET", "/health"),
        ("POST", "/chat/completions"),
        ("DELETE", "/v1/models"),
    ):
        seen = call(url, method, path)
        assert seen.status == 200
        assert seen.body == f'{{"error":"Unexpected endpoint or method. ({method} {path})"}}'.encode()


def test_the_native_list_has_the_documented_shape(servers: ServerFactory) -> None:
    loaded, idle, embedding = call(servers("lm_studio", models=MODELS).url, "GET", "/api/v1/models").json()[
        "models"
    ]
    assert loaded["key"] == "google/gemma-4"
    assert loaded["publisher"] == "google"
    assert loaded["loaded_instances"][0]["id"] == "google/gemma-4"
    assert loaded["loaded_instances"][0]["config"]["context_length"] == 8192
    assert loaded["max_context_length"] == 262144
    assert loaded["size_bytes"] == 17990911801
    assert loaded["capabilities"]["vision"] is True
    assert loaded["capabilities"]["reasoning"]["default"] == "on"
    assert idle["loaded_instances"] == []
    assert "reasoning" not in idle["capabilities"]
    assert (embedding["type"], "capabilities" in embedding, "architecture" in embedding) == (
        "embedding",
        False,
        False,
    )


def test_the_legacy_list_tells_state_and_type(servers: ServerFactory) -> None:
    url = servers("lm_studio", models=MODELS).url
    data = call(url, "GET", "/api/v0/models").json()["data"]
    assert [each["state"] for each in data] == ["loaded", "not-loaded", "not-loaded"]
    assert [each["type"] for each in data] == ["vlm", "llm", "embeddings"]
    assert data[0]["loaded_context_length"] == 8192
    assert data[0]["capabilities"] == ["tool_use"]
    assert call(url, "GET", "/api/v0/models/other/small").json()["compatibility_type"] == "gguf"


def test_old_versions_lack_the_native_paths(servers: ServerFactory) -> None:
    url = servers("lm_studio", "--version", "0.3.5").url
    assert call(url, "GET", "/api/v1/models").json() == {
        "error": "Unexpected endpoint or method. (GET /api/v1/models)"
    }
    assert "error" in call(url, "GET", "/api/v0/models").json()
    middle = servers("lm_studio", "--version", "0.3.30").url
    assert "data" in call(middle, "GET", "/api/v0/models").json()
    assert "error" in call(middle, "GET", "/api/v1/models").json()


def test_openais_list_depends_on_jit(servers: ServerFactory) -> None:
    on = call(servers("lm_studio", models=MODELS).url, "GET", "/v1/models").json()["data"]
    assert [each["id"] for each in on] == ["google/gemma-4", "other/small", "nomic-embed"]
    off = call(servers("lm_studio", "--jit", "off", models=MODELS).url, "GET", "/v1/models").json()["data"]
    assert [each["id"] for each in off] == ["google/gemma-4"]


def test_an_unknown_model_is_answered_by_the_loaded_one(servers: ServerFactory) -> None:
    seen = chat(servers("lm_studio", models=MODELS).url, "no/such-model")
    assert seen.status == 200
    assert seen.json()["model"] == "google/gemma-4"
    assert seen.json()["stats"] == {}
    assert seen.json()["choices"][0]["message"]["content"] == "You said: hi"


def test_jit_loads_a_known_model_and_evicts_the_one_it_loaded_before(servers: ServerFactory) -> None:
    models = [{"id": name, "loaded": False} for name in ("a", "b")] + [{"id": "kept"}]
    url = servers("lm_studio", models=models).url
    assert chat(url, "a").json()["model"] == "a"
    assert chat(url, "b").json()["model"] == "b"
    listed = call(url, "GET", "/api/v1/models").json()["models"]
    assert [bool(each["loaded_instances"]) for each in listed] == [False, True, True]


def test_with_nothing_loaded_and_jit_off_it_says_so_with_two_spellings(servers: ServerFactory) -> None:
    models = [{"id": "a", "loaded": False}]
    new = chat(servers("lm_studio", "--jit", "off", models=models).url, "a")
    old = chat(servers("lm_studio", "--jit", "off", "--old-errors", models=models).url, "a")
    assert (new.status, old.status) == (400, 404)
    assert new.json()["error"]["message"].startswith("No models loaded. Please load a model")


def test_a_long_prompt_is_refused_as_a_string(servers: ServerFactory) -> None:
    models = [{"id": "a", "context_length": 8}]
    seen = chat(servers("lm_studio", models=models).url, "a", text="a b c d e")
    assert seen.status == 400
    assert seen.json()["error"].startswith(
        "The number of tokens to keep from the initial prompt is greater than the context length "
        "(n_keep: 9>= n_ctx: 8)"
    )
    old = chat(servers("lm_studio", "--old-errors", models=models).url, "a", text="a b c d e")
    assert "Trying to keep the first 9 tokens" in old.json()["error"]


def test_keys_are_asked_for_in_lm_studios_words(servers: ServerFactory) -> None:
    url = servers("lm_studio", "--auth", "sk-lm-right").url
    assert call(url, "GET", "/lmstudio-greeting").status == 200
    without = call(url, "GET", "/v1/models")
    wrong = call(url, "GET", "/v1/models", headers={"Authorization": "Bearer nope"})
    assert (without.status, wrong.status) == (401, 401)
    assert "LM Studio API token" in without.json()["error"]["message"]
    assert wrong.json()["error"]["message"].startswith("Malformed LM Studio API token provided")
    assert call(url, "GET", "/v1/models", headers={"Authorization": "Bearer sk-lm-right"}).status == 200
    closed = servers("lm_studio", "--auth", "k", "--greeting-needs-key").url
    assert call(closed, "GET", "/lmstudio-greeting").status == 401


def test_load_and_unload(servers: ServerFactory) -> None:
    url = servers("lm_studio", models=[{"id": "a", "loaded": False}]).url
    asked = {"model": "a", "context_length": 16384, "echo_load_config": True}
    loaded = call(url, "POST", "/api/v1/models/load", asked).json()
    assert (loaded["status"], loaded["instance_id"]) == ("loaded", "a")
    assert loaded["load_config"]["context_length"] == 16384
    assert call(url, "POST", "/api/v1/models/load", {"model": "a"}).json()["instance_id"] == "a:2"
    (model,) = call(url, "GET", "/api/v1/models").json()["models"]
    assert [each["id"] for each in model["loaded_instances"]] == ["a", "a:2"]
    for instance in ("a:2", "a"):
        assert call(url, "POST", "/api/v1/models/unload", {"instance_id": instance}).json() == {
            "instance_id": instance
        }
    (model,) = call(url, "GET", "/api/v1/models").json()["models"]
    assert model["loaded_instances"] == []
    missing = call(url, "POST", "/api/v1/models/load", {})
    assert missing.json()["error"]["code"] == "missing_required_parameter"


def test_a_download_is_a_job_that_ends(servers: ServerFactory) -> None:
    url = servers("lm_studio", models=["there"]).url
    assert call(url, "POST", "/api/v1/models/download", {"model": "there"}).json() == {
        "status": "already_downloaded"
    }
    job = call(url, "POST", "/api/v1/models/download", {"model": "ibm/granite-4-micro"}).json()
    assert job["status"] == "downloading"
    done = call(url, "GET", f"/api/v1/models/download/status/{job['job_id']}").json()
    assert (done["status"], done["downloaded_bytes"]) == ("completed", job["total_size_bytes"])
    listed = call(url, "GET", "/api/v1/models").json()["models"]
    assert [each["key"] for each in listed] == ["there", "ibm/granite-4-micro"]


@pytest.mark.parametrize(("how", "state"), [("pause", "paused"), ("fail", "failed")])
def test_a_download_can_stop_half_way(servers: ServerFactory, how: str, state: str) -> None:
    url = servers("lm_studio", "--downloads", how).url
    job = call(url, "POST", "/api/v1/models/download", {"model": "ibm/granite-4-micro"}).json()
    seen = call(url, "GET", f"/api/v1/models/download/status/{job['job_id']}").json()
    assert (seen["status"], seen["downloaded_bytes"]) == (state, job["total_size_bytes"] // 2)
    assert "completed_at" not in seen


def test_the_native_chat_streams_named_events(servers: ServerFactory) -> None:
    url = servers("lm_studio", "--reasoning", "let me think", models=["a"]).url
    seen = call(url, "POST", "/api/v1/chat", {"model": "a", "input": "hi", "stream": True})
    names = [line[7:] for line in seen.text.split("\n") if line.startswith("event: ")]
    assert names[0] == "chat.start"
    assert names.index("reasoning.start") < names.index("message.start") < names.index("message.end")
    assert names[-1] == "chat.end"
    result = seen.events()[-1]["result"]
    assert result["output"][-1] == {"type": "message", "content": "You said: hi"}
    assert result["stats"]["reasoning_output_tokens"] == 3


def test_the_legacy_chat_has_stats_and_the_plain_one_thinks_in_reasoning_content(
    servers: ServerFactory,
) -> None:
    url = servers("lm_studio", "--reasoning", "hm", models=["a"]).url
    assert chat(url, "a", path="/api/v0/chat/completions").json()["model_info"]["context_length"] == 4096
    deltas = [event["choices"][0]["delta"] for event in chat(url, "a", stream=True).events()]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["hm"]


def test_a_linked_devices_model_is_marked(servers: ServerFactory) -> None:
    url = servers("lm_studio", models=[{"id": "a", "device": "desk"}, "b"]).url
    linked, here = call(url, "GET", "/api/v1/models").json()["models"]
    assert (linked["deviceIdentifier"], "deviceIdentifier" in here) == ("desk", False)


def test_a_second_load_makes_a_second_instance_with_its_own_context(servers: ServerFactory) -> None:
    url = servers("lm_studio", models=["a"]).url
    loaded = call(
        url,
        "POST",
        "/api/v1/models/load",
        {"model": "a", "context_length": 9000, "echo_load_config": True},
    ).json()
    assert (loaded["instance_id"], loaded["load_config"]["context_length"]) == ("a:2", 9000)
    (model,) = call(url, "GET", "/api/v1/models").json()["models"]
    contexts = {each["id"]: each["config"]["context_length"] for each in model["loaded_instances"]}
    assert contexts == {"a": 4096, "a:2": 9000}
    assert chat(url, "a:2", text="w " * 5000).json()["model"] == "a:2"
    assert chat(url, "a", text="w " * 5000).status == 400
    call(url, "POST", "/api/v1/models/unload", {"instance_id": "a"})
    assert chat(url, "a").json()["model"] == "a:2"


def test_ttl_unloads_what_was_loaded_just_in_time(servers: ServerFactory) -> None:
    server = servers("lm_studio", models=[{"id": "a", "loaded": False}, "kept"])

    def loaded() -> list[str]:
        data = call(server.url, "GET", "/api/v0/models").json()["data"]
        return [each["id"] for each in data if each["state"] == "loaded"]

    body = {"messages": [{"role": "user", "content": "hi"}], "ttl": 0.5}
    call(server.url, "POST", "/v1/chat/completions", {"model": "a"} | body)
    call(server.url, "POST", "/v1/chat/completions", {"model": "kept"} | body)
    assert loaded() == ["a", "kept"]
    time.sleep(0.5)
    assert loaded() == ["kept"]


def test_the_native_chat_tells_how_far_a_load_is(servers: ServerFactory) -> None:
    server = servers("lm_studio", "--load-seconds", "0.1", models=[{"id": "a", "loaded": False}])
    began = time.monotonic()
    seen = call(server.url, "POST", "/api/v1/chat", {"model": "a", "input": "hi", "stream": True})
    assert time.monotonic() - began >= 0.1
    kinds = [event["type"] for event in seen.events()]
    assert kinds[:3] == ["chat.start", "model_load.start", "model_load.progress"]
    assert [e["progress"] for e in seen.events() if e["type"] == "model_load.progress"][-1] == 1
    assert kinds.index("model_load.end") < kinds.index("prompt_processing.start")
    assert seen.events()[-1]["result"]["stats"]["model_load_time_seconds"] == 0.1


def test_the_native_chat_can_be_told_not_to_think(servers: ServerFactory) -> None:
    url = servers("lm_studio", "--reasoning", "hm", models=["a"]).url
    body = {"model": "a", "input": [{"type": "image", "data_url": "data:image/png;base64,AA"}]}
    said = call(url, "POST", "/api/v1/chat", body | {"reasoning": "off"}).json()
    assert said["output"] == [{"type": "message", "content": "You showed 1 image: image/png."}]
    assert call(url, "POST", "/api/v1/chat", body).json()["output"][0]["type"] == "reasoning"
