"""What each server's answers mean. Answers are those of its documentation, or broken ones."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_desktop.discovery import compatible, llama_cpp, lm_studio, ollama, openrouter
from whisper_desktop.discovery.answers import Answer, count, text, texts
from whisper_desktop.discovery.known import KNOWN
from whisper_desktop.values import IDENTITIES, ModelInfo, ServerStatus


def answer(value: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(value), value)


def test_every_row_names_a_server_of_the_table_of_ids() -> None:
    assert {row.id for row in KNOWN} <= set(IDENTITIES)
    assert all(row.signs for row in KNOWN)
    assert KNOWN[0].id == "lm_studio"


# --- LM Studio --------------------------------------------------------------------------------------------

# https://lmstudio.ai/docs/developer/rest/list (docs at c6854fb), shortened to the fields that are read.
LM_STUDIO_V1 = {
    "models": [
        {
            "type": "llm",
            "key": "google/gemma-4-26b-a4b",
            "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
            "size_bytes": 17990911801,
            "params_string": "26B-A4B",
            "loaded_instances": [{"id": "google/gemma-4-26b-a4b", "config": {"context_length": 4096}}],
            "max_context_length": 262144,
            "capabilities": {
                "vision": True,
                "trained_for_tool_use": True,
                "reasoning": {"allowed_options": ["off", "on"], "default": "on"},
            },
        },
        {
            "type": "embedding",
            "key": "text-embedding-nomic-embed-text-v1.5-embedding",
            "quantization": None,
            "size_bytes": 274290560,
            "params_string": None,
            "loaded_instances": [],
            "max_context_length": 2048,
        },
    ]
}
UNEXPECTED = {"error": "Unexpected endpoint or method. (GET /api/v1/models)"}


def test_lm_studios_native_list() -> None:
    gemma, embedding = lm_studio.describe({lm_studio.NATIVE: answer(LM_STUDIO_V1)}).models or ()
    assert gemma == ModelInfo(
        "google/gemma-4-26b-a4b",
        loaded=True,
        context_length=4096,
        max_context_length=262144,
        size_bytes=17990911801,
        capabilities=("completion", "vision", "tools", "reasoning"),
        quantization="Q4_K_M",
        parameter_size="26B-A4B",
    )
    assert (embedding.loaded, embedding.capabilities, embedding.context_length) == (
        False,
        ("embedding",),
        None,
    )


def test_each_loaded_instance_has_a_name_of_its_own() -> None:
    entry = {
        "type": "llm",
        "key": "m",
        "loaded_instances": [
            {"id": "m", "config": {"context_length": 4096}},
            {"id": "m:2", "config": {"context_length": 8192}},
        ],
    }
    models = lm_studio.describe({lm_studio.NATIVE: answer({"models": [entry]})}).models or ()
    assert [(model.id, model.context_length) for model in models] == [("m", 4096), ("m:2", 8192)]


def test_a_model_of_lm_link_is_remote() -> None:
    entry = {"type": "llm", "key": "m", "loaded_instances": [], "deviceIdentifier": "studio-upstairs"}
    (model,) = lm_studio.describe({lm_studio.NATIVE: answer({"models": [entry]})}).models or ()
    assert model.remote
    (local,) = (
        lm_studio.describe(
            {lm_studio.NATIVE: answer({"models": [{**entry, "deviceIdentifier": None}]})}
        ).models
        or ()
    )
    assert not local.remote


def test_an_older_lm_studio_answers_200_to_the_newer_path() -> None:
    legacy = {
        "data": [
            {
                "id": "llama",
                "type": "vlm",
                "state": "loaded",
                "loaded_context_length": 8192,
                "max_context_length": 131072,
                "capabilities": ["tool_use"],
                "quantization": "Q4_K_M",
            },
            {"id": "embedder", "type": "embeddings", "state": "not-loaded"},
        ]
    }
    answers = {lm_studio.NATIVE: answer(UNEXPECTED), lm_studio.LEGACY: answer(legacy)}
    llama, embedder = lm_studio.describe(answers).models or ()
    assert (llama.loaded, llama.context_length, llama.capabilities) == (
        True,
        8192,
        ("completion", "vision", "tools"),
    )
    assert not embedder.can_chat


def test_the_oldest_lm_studio_has_names_only() -> None:
    answers = {
        lm_studio.NATIVE: answer(UNEXPECTED),
        lm_studio.LEGACY: answer(UNEXPECTED),
        lm_studio.PLAIN: answer({"data": [{"id": "llama"}]}),
    }
    assert lm_studio.describe(answers).models == (ModelInfo("llama"),)


def test_lm_studio_with_nothing_loaded_depends_on_just_in_time_loading() -> None:
    idle = {"models": [{"type": "llm", "key": "m", "loaded_instances": []}]}
    on = {lm_studio.NATIVE: answer(idle), lm_studio.PLAIN: answer({"data": [{"id": "m"}]})}
    off = {lm_studio.NATIVE: answer(idle), lm_studio.PLAIN: answer({"data": []})}
    assert lm_studio.describe(on).status is None
    assert lm_studio.describe(off).status is ServerStatus.NO_MODELS
    assert "Load one there" in lm_studio.describe(off).note
    loading = {**off, lm_studio.LEGACY: answer({"data": [{"id": "m", "state": "loading"}]})}
    assert lm_studio.describe(loading).status is ServerStatus.LOADING


def test_lm_studios_greeting() -> None:
    assert lm_studio.is_greeting(answer({"lmstudio": True}))
    assert lm_studio.is_greeting(answer({"error": "An LM Studio API token is required"}, 401))
    for value, status in (
        ({"lmstudio": "true"}, 200),
        ({"lmstudio": True}, 404),
        (UNEXPECTED, 200),
        ([], 200),
        (None, 401),
    ):
        assert not lm_studio.is_greeting(answer(value, status))


# --- Ollama -----------------------------------------------------------------------------------------------

# https://github.com/ollama/ollama/blob/main/docs/api.md, the cloud entry after server/routes.go.
TAGS = {
    "models": [
        {
            "name": "gemma3:latest",
            "size": 3338801804,
            "details": {"family": "gemma3", "parameter_size": "4.3B", "quantization_level": "Q4_K_M"},
            "capabilities": ["completion", "vision", "thinking"],
        },
        {
            "name": "gpt-oss:120b-cloud",
            "size": 384,
            "remote_model": "gpt-oss:120b",
            "remote_host": "https://ollama.com:443",
            "details": {"family": "gptoss"},
        },
        {"name": "nomic-embed-text:latest", "size": 274302450, "details": {"family": "nomic-bert"}},
    ]
}
RUNNING = {"models": [{"name": "gemma3:latest", "size": 6591830464, "context_length": 4096}]}
VERSION = answer({"version": "0.33.0"})


def test_ollamas_models() -> None:
    answers = {"/api/version": VERSION, ollama.TAGS: answer(TAGS), ollama.RUNNING: answer(RUNNING)}
    described = ollama.describe(answers)
    gemma, cloud, embedder = described.models or ()
    assert described.version == "0.33.0"
    assert (gemma.loaded, gemma.context_length, gemma.size_bytes) == (True, 4096, 3338801804)
    assert gemma.capabilities == ("completion", "vision", "reasoning")
    assert (cloud.remote, cloud.size_bytes, cloud.loaded) == (True, None, None)
    assert (embedder.loaded, embedder.can_chat) == (False, False)


def test_ollama_without_the_list_of_running_models_does_not_guess() -> None:
    described = ollama.describe({"/api/version": VERSION, ollama.TAGS: answer(TAGS)})
    assert [model.loaded for model in described.models or ()] == [None, None, None]
    assert ollama.describe({"/api/version": VERSION}).models is None


@pytest.mark.parametrize(
    ("version", "is_ollamas"),
    [
        ("0.33.0", True),
        ("0.12.4-rc1", True),
        ("0.0.0", True),
        ("proxy", False),
        ("170", False),
        ("v0.11.2", False),
        (1, False),
        (None, False),
    ],
)
def test_ollamas_version(version: object, is_ollamas: bool) -> None:
    assert ollama.is_version(answer({"version": version})) is is_ollamas


# --- llama.cpp --------------------------------------------------------------------------------------------


def test_llama_cpp_while_loading_and_with_a_key() -> None:
    loading = answer(
        {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
        503,
        server="llama.cpp",
    )
    refused = answer({"error": {"type": "authentication_error"}}, 401, server="llama.cpp")
    assert llama_cpp.is_props(loading)
    assert llama_cpp.is_props(refused)
    assert llama_cpp.describe({"/props": loading}).status is ServerStatus.LOADING
    for value in (loading, refused):
        assert not llama_cpp.is_props(Answer(value.status, {"server": "nginx"}, value.text, value.json))


def test_llama_cpps_router_tells_the_state_of_each_model() -> None:
    props = answer({"role": "router"})

    def listed(*states: str) -> dict[str, Answer]:
        data = [{"id": f"m{number}", "status": {"value": state}} for number, state in enumerate(states)]
        return {"/props": props, "/v1/models": answer({"data": data})}

    described = llama_cpp.describe(listed("loaded", "unloaded", "sleeping"))
    assert [model.loaded for model in described.models or ()] == [True, False, False]
    assert described.status is None
    assert llama_cpp.describe(listed("loading", "unloaded")).status is ServerStatus.LOADING


def test_llamafile_is_llama_cpp_under_its_own_name() -> None:
    props = answer({"default_generation_settings": {}}, server="llamafile/0.9.3")
    assert llama_cpp.is_llamafile(props)
    assert not llama_cpp.is_llamafile(answer({"default_generation_settings": {}}, server="llama.cpp"))


# --- Model lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status", "is_list"),
    [
        ({"object": "list", "data": []}, 200, True),
        ({"object": "list", "data": None}, 200, True),
        ({"object": "list", "data": [{"id": "m", "object": "model"}]}, 200, True),
        ({"data": [{"id": "m", "created": 1}]}, 200, True),
        ({"data": [{"id": "m"}]}, 200, False),
        ({"data": [], "models": [], "ok": True}, 200, False),
        ({"data": [{"id": 1, "name": "not a model"}]}, 200, False),
        ({"object": "list", "data": ["m"]}, 200, False),
        ({"object": "list", "data": [], "error": "no"}, 200, False),
        ({"object": "list", "data": []}, 404, False),
        ([{"id": "m", "object": "model"}], 200, False),
        ({"error": {"message": "Invalid API key", "type": "invalid_request_error"}}, 401, True),
        ({"error": {"message": "no", "code": "invalid_api_key"}}, 403, True),
        ({"error": "Unauthorized"}, 401, False),
        (None, 401, False),
    ],
)
def test_what_is_a_model_list(value: object, status: int, is_list: bool) -> None:
    assert compatible.is_model_list(answer(value, status)) is is_list


def test_models_of_openrouter() -> None:
    # https://openrouter.ai/docs/api-reference/list-available-models (docs at c26125a), shortened.
    listed = {
        "data": [
            {
                "id": "openai/gpt-4",
                "context_length": 8192,
                "architecture": {"input_modalities": ["text", "image"]},
                "supported_parameters": ["tools", "max_tokens"],
            },
            {"id": "x/y:free", "context_length": None},
            {"name": "without an id"},
        ]
    }
    models = openrouter.parse_models(json.dumps(listed).encode())
    assert models == (
        ModelInfo(
            "openai/gpt-4", context_length=8192, remote=True, capabilities=("completion", "vision", "tools")
        ),
        ModelInfo("x/y:free", remote=True, capabilities=("completion",)),
    )
    assert openrouter.parse_models(b"<html>") is None


# --- Nothing is trusted -----------------------------------------------------------------------------------


def test_texts_that_could_harm_a_terminal_are_not_taken() -> None:
    assert text("llama3.2:latest") == "llama3.2:latest"
    for bad in ("\x1b[2Jllama", "a\nb", "", "x" * 301, 7, None, ["a"]):
        assert text(bad) is None
    assert texts(["a", 1, "\x00", "b"]) == ("a", "b")
    assert [count(value) for value in (1, 0, -1, True, "1", 1.5, None)] == [1] + [None] * 6


_FIELDS = (
    *("all_models_loaded", "capabilities", "config", "data", "default_generation_settings", "details"),
    *("error", "id", "info", "key", "loaded_instances", "meta", "model_name", "models", "name", "object"),
    *("owned_by", "quantization", "result", "role", "running", "status", "value", "version"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(_JSON, _JSON, st.sampled_from([200, 401, 404, 503]))
def test_no_row_breaks_over_any_json(one: object, other: object, status: int) -> None:
    for row in KNOWN:
        signs = [sign.path for sign in row.signs]
        answers = {path: answer(one, server="llama.cpp") for path in signs}
        answers |= {path: answer(other, status) for path in row.lists if path not in signs}
        try:
            row.describe(answers)
        except KeyError:
            assert not all(sign.fits(answers[sign.path]) for sign in row.signs)
