"""What tells the less common servers apart, and what they refuse in which form."""

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.probe import Seen, call

IDLE = [{"id": "a", "loaded": False}]


def chat(url: str, path: str = "/v1/chat/completions", **fields: object) -> Seen:
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]} | fields
    return call(url, "POST", path, body)


@pytest.mark.parametrize(
    ("flavor", "owner"), [("vllm", "vllm"), ("sglang", "sglang"), ("llama_swap", "llama-swap")]
)
def test_flavors_are_told_by_the_owner_of_their_models(
    servers: ServerFactory, flavor: str, owner: str
) -> None:
    url = servers("openai_compatible", "--flavor", flavor, models=["a"]).url
    (entry,) = call(url, "GET", "/v1/models").json()["data"]
    assert entry["owned_by"] == owner


def test_vllm_guards_v1_only_and_speaks_fastapi(servers: ServerFactory) -> None:
    url = servers("openai_compatible", "--flavor", "vllm", "--auth", "k", models=["a"]).url
    assert call(url, "GET", "/v1/models").json() == {"error": "Unauthorized"}
    assert (call(url, "GET", "/health").status, call(url, "GET", "/health").body) == (200, b"")
    assert call(url, "GET", "/version").json() == {"version": "0.11.2"}
    assert call(url, "GET", "/nope").json() == {"detail": "Not Found"}
    (entry,) = call(url, "GET", "/v1/models", headers={"Authorization": "Bearer k"}).json()["data"]
    assert entry["max_model_len"] == 4096


def test_llama_swap_swaps_and_has_a_version_path_like_ollama(servers: ServerFactory) -> None:
    url = servers("openai_compatible", "--flavor", "llama_swap", models=["b", *IDLE]).url
    assert call(url, "GET", "/health").body == b"OK"
    assert call(url, "GET", "/").headers["location"] == "/ui"
    assert set(call(url, "GET", "/api/version").json()) == {"version", "commit", "build_date"}
    assert chat(url).status == 200
    assert [each["model"] for each in call(url, "GET", "/running").json()["running"]] == ["a"]


def test_mlx_names_no_owner(servers: ServerFactory) -> None:
    url = servers("openai_compatible", "--flavor", "mlx", models=["a"]).url
    assert "owned_by" not in call(url, "GET", "/v1/models").json()["data"][0]
    assert "system_fingerprint" in chat(url).json()


def test_jan_answers_errors_in_plain_text(servers: ServerFactory) -> None:
    url = servers("jan", "--auth", "k", models=["a", {"id": "idle", "loaded": False}]).url
    assert "<title>API Docs</title>" in call(url, "GET", "/").text
    assert "Jan" in call(url, "GET", "/openapi.json").json()["info"]["title"]
    assert call(url, "GET", "/v1/models").text == "Missing authorization header"
    wrong = call(url, "GET", "/v1/models", headers={"Authorization": "Bearer x"})
    assert (wrong.status, wrong.text) == (401, "Invalid or missing authorization token")
    foreign = call(url, "GET", "/v1/models", headers={"Host": "evil.example.com"})
    assert (foreign.status, foreign.text) == (403, "Invalid host header")
    key = {"Authorization": "Bearer k"}
    assert [m["id"] for m in call(url, "GET", "/v1/models", headers=key).json()["data"]] == ["a"]
    idle = call(url, "POST", "/v1/chat/completions", {"model": "idle", "messages": []}, key)
    assert (idle.status, idle.text) == (404, "No running session found for model 'idle'")


def test_jan_without_a_running_session(servers: ServerFactory) -> None:
    none = chat(servers("jan", models=IDLE).url)
    assert (none.status, none.text) == (503, "No models are available")
    other = chat(servers("jan", models=["b"]).url)
    assert (other.status, other.text) == (404, "No running session found for model 'a'")


def test_gpt4all_refuses_streams_and_is_mute_while_disabled(servers: ServerFactory) -> None:
    url = servers("gpt4all", models=["a"]).url
    refused = chat(url, stream=True)
    assert (refused.status, refused.json()["error"]["message"]) == (400, "'stream' is not supported")
    assert chat(url).json()["choices"][0]["message"]["content"] == "You said: hi"
    wrong = call(url, "POST", "/v1/models")
    assert (wrong.status, wrong.json()["error"]["code"]) == (405, "method_not_supported")
    disabled = servers("gpt4all", "--disabled").url
    for path in ("/", "/v1/models"):
        assert (call(disabled, "GET", path).status, call(disabled, "GET", path).body) == (401, b"")


def test_koboldcpp_imitates_ollama_and_llama_cpp(servers: ServerFactory) -> None:
    url = servers("koboldcpp").url
    version = call(url, "GET", "/api/extra/version").json()
    assert (version["result"], version["version"]) == ("KoboldCpp", "1.115.2")
    assert call(url, "GET", "/api/v1/model").json() == {"result": "koboldcpp/tinyllama-1.1b.Q4_K_M"}
    assert call(url, "GET", "/api/tags").json()["models"]
    assert "default_generation_settings" in call(url, "GET", "/props").json()
    assert call(url, "GET", "/props").headers.get("server") != "llama.cpp"
    assert chat(url, "/api/chat").lines()[-1]["done"] is True


def test_textgen_lists_only_what_is_loaded_and_guards_its_host(servers: ServerFactory) -> None:
    url = servers("textgen", "--admin-key", "adm", models=IDLE).url
    assert call(url, "GET", "/v1/internal/model/info").json()["model_name"] == "None"
    assert call(url, "GET", "/v1/models").json() == {"object": "list", "data": []}
    assert call(url, "GET", "/v1/internal/model/list").json() == {"detail": "Unauthorized"}
    admin = {"Authorization": "Bearer adm"}
    assert call(url, "GET", "/v1/internal/model/list", headers=admin).json() == {"model_names": ["a"]}
    assert call(url, "POST", "/v1/internal/model/load", {"model_name": "a"}, admin).status == 200
    assert call(url, "GET", "/v1/internal/model/info").json()["model_name"] == "a"
    assert chat(url, model="ignored").json()["model"] == "a"
    foreign = call(url, "GET", "/v1/models", headers={"Host": "evil.example.com"})
    assert (foreign.status, foreign.json()) == (400, {"detail": "Invalid host header"})
    assert call(url, "POST", "/v1/chat/completions", {}).status == 422


def test_localai_tells_its_name_in_two_ways(servers: ServerFactory) -> None:
    url = servers("localai").url
    assert call(url, "GET", "/.well-known/localai.json").json()["version"] == "v4.9.0"
    assert call(url, "GET", "/api/tags").json()["models"]
    assert (call(url, "GET", "/readyz").status, call(url, "GET", "/readyz").body) == (200, b"")
    old = servers("localai", "--old").url
    assert call(old, "GET", "/.well-known/localai.json").status == 404
    assert (
        call(old, "GET", "/", headers={"Accept": "application/json"})
        .json()["Title"]
        .startswith("LocalAI API - v")
    )
    closed = servers("localai", "--auth", "k").url
    assert (call(closed, "GET", "/v1/models").status, call(closed, "GET", "/readyz").status) == (401, 200)


def test_lemonade_has_a_health_of_its_own_and_a_page_for_everything_else(servers: ServerFactory) -> None:
    url = servers("lemonade", models=["a"]).url
    for prefix in ("/v1", "/api/v1", "/v0", "/api/v0"):
        health = call(url, "GET", f"{prefix}/health").json()
        assert [each["model_name"] for each in health["all_models_loaded"]] == ["a"]
    assert call(url, "GET", "/api/version").json()["version"]
    page = call(url, "GET", "/props")
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert call(url, "GET", "/api/nope").status == 404


def test_docker_model_runner_lives_under_engines(servers: ServerFactory) -> None:
    url = servers("docker_model_runner").url
    assert call(url, "GET", "/models").json()[0]["tags"] == ["ai/smollm2:360M-Q4_K_M"]
    for prefix in ("/engines/v1", "/engines/llama.cpp/v1"):
        assert call(url, "GET", f"{prefix}/models").json()["data"][0]["id"] == "ai/smollm2:360M-Q4_K_M"
    assert call(url, "GET", "/v1/models").status == 404
