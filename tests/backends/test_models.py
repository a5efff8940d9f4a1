"""Which model a question goes to, what is known of it, and who goes on with an answer that was begun."""

import asyncio
from pathlib import Path

import pytest

from tests.backends.conftest import ASK, KEY, MakeBackend
from tests.engines.tiny_model import CONTEXT, write_tiny_model
from tests.llm.small_server import small_server
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Answer, Backend, create_backend
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import make_engine
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, GenerationConfig, Message, Reach, Role, ToolCall
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"
OLLAMA_CLOUD = {
    "id": "gpt-oss:120b-cloud",
    "remote_host": "https://ollama.com",
    "remote_model": "gpt-oss:120b",
}
LM_LINK = {"id": "far", "device": "workstation"}
BEGUN = [*ASK, Message(Role.ASSISTANT, "You said:")]


# --- which one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend_id", ["openai_compatible", "ollama", "lm_studio"])
@pytest.mark.parametrize("configured", [None, "c"])
async def test_two_questions_at_once_for_two_models_of_one_backend_never_mix(
    servers: ServerFactory, make: MakeBackend, backend_id: str, configured: str | None
) -> None:
    server = servers(backend_id, "--first-token-delay", "0.1", models=["a", "b", "c"])
    backend = make(server, configured)

    async def ask(model: str) -> Answer:
        return await backend.generate_text(ASK, model=model)

    answers = await asyncio.gather(ask("a"), ask("b"), ask("a"), ask("b"))
    assert [answer.model for answer in answers] == ["a", "b", "a", "b"]
    assert backend.model_id == configured
    unnamed = await backend.generate_text(ASK)
    assert unnamed.model == backend.model_id == (configured or (await backend.list_models())[0].id)


async def test_a_model_that_is_not_there_is_not_asked_for_again_by_who_names_none(
    servers: ServerFactory, make: MakeBackend
) -> None:
    backend = make(servers("openai_compatible", models=["good"]))
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK, model="missing")
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert backend.model_id is None
    assert (await backend.generate_text(ASK)).model == "good"


async def test_loading_the_configured_model_does_not_change_which_one_is_configured(
    servers: ServerFactory, make: MakeBackend
) -> None:
    models = [{"id": "m", "context_length": 4096, "max_context_length": 32768}]
    backend = make(servers("lm_studio", models=models), "m", context_length=16384)
    assert await backend.load_model() == "m:2"
    assert backend.model_id == "m"


async def test_where_the_server_does_not_name_the_model_the_answer_has_the_one_that_was_asked(
    http: Http,
) -> None:
    async with small_server() as server:
        backend = server.backend(http)
        assert (await backend.generate_text(ASK)).model == "m"
        assert (await backend.generate_text(ASK, model="other")).model == "other"


# --- what is known of it ----------------------------------------------------------------------------------


async def test_what_is_known_is_known_of_the_model_that_is_asked_about(
    servers: ServerFactory, make: MakeBackend
) -> None:
    models = [{"id": "small", "context_length": 2048}, {"id": "idle", "loaded": False}]
    backend = make(servers("lm_studio", models=models))
    assert (backend.is_ready("small"), backend.context_of("small")) == (None, None)
    await backend.list_models()
    assert (backend.is_ready("small"), backend.context_of("small")) == (True, 2048)
    assert (backend.is_ready("idle"), backend.context_of("idle")) == (False, None)
    assert (backend.is_ready("nobody"), backend.context_of("nobody")) == (None, None)
    assert (backend.is_ready(None), backend.context_of(None)) == (True, 2048)


async def test_a_window_that_is_configured_is_that_of_the_configured_model(
    servers: ServerFactory, make: MakeBackend
) -> None:
    backend = make(servers("openai_compatible"), "m", context_length=4096)
    assert [backend.context_of(model) for model in (None, "m", "other")] == [4096, 4096, None]


@pytest.mark.parametrize(("server", "far"), [("ollama", OLLAMA_CLOUD), ("lm_studio", LM_LINK)])
@pytest.mark.parametrize("reach", [Reach.THIS_MACHINE, Reach.MY_NETWORK])
async def test_a_model_that_the_server_only_passes_on_runs_in_the_cloud(
    servers: ServerFactory, make: MakeBackend, server: str, far: dict[str, str], reach: Reach
) -> None:
    backend = make(servers(server, models=[far, "near"]), reach=reach)
    name = far["id"]
    assert backend.reach_of(name) is reach  # nothing else is known yet
    await backend.list_models()
    assert backend.reach_of(name) is Reach.CLOUD
    assert backend.reach_of("near") is backend.reach_of(None) is reach  # what is near comes first
    assert make(servers(server, models=[far]), name, reach=reach).reach_of(None) is reach


async def test_a_server_that_has_nothing_but_the_cloud_is_in_the_cloud(
    servers: ServerFactory, make: MakeBackend
) -> None:
    backend = make(servers("ollama", models=[OLLAMA_CLOUD]))
    await backend.list_models()
    assert backend.reach_of(None) is Reach.CLOUD


@pytest.mark.parametrize(
    ("configured", "asked", "paid"),
    [
        ("a/b:free", None, False),
        ("a/b:free", "a/b", True),
        ("a/b", "c/d:free", False),
        ("a/b", None, True),
        (None, None, True),
    ],
)
async def test_whether_openrouter_costs_money_depends_on_the_model_that_is_asked_for(
    servers: ServerFactory, make: MakeBackend, configured: str | None, asked: str | None, paid: bool
) -> None:
    assert make(servers("openrouter"), configured, key=KEY).is_paid(asked) is paid


# --- going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend_id", "server", "model", "goes_on"),
    [
        ("llama_cpp", "llama_cpp", "tiny", True),
        ("ollama", "ollama", None, True),
        ("anthropic", "anthropic", "claude-haiku-4-5-20251001", True),
        ("anthropic", "anthropic", "claude-opus-4-6", False),
        ("llamafile", "llama_cpp", "tiny", False),
        ("openai_compatible", "openai_compatible", None, False),
        ("lm_studio", "lm_studio", None, False),
    ],
)
async def test_who_says_to_go_on_with_a_begun_answer_does_it_without_repeating_it(
    servers: ServerFactory,
    make: MakeBackend,
    backend_id: str,
    server: str,
    model: str | None,
    goes_on: bool,
) -> None:
    key = "sk-ant-test" if backend_id == "anthropic" else None
    backend = make(servers(server, models=[model or "m"]), model, id=backend_id, key=key)
    assert ("prefill" in backend.capabilities) is goes_on
    if goes_on:
        assert (await backend.generate_text(BEGUN)).text == " Hello there"


async def test_an_answer_that_calls_a_function_is_not_gone_on_with(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp")
    call = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("a", "f", "{}"),))
    for messages in (ASK, [*ASK, call, Message(Role.TOOL, "4", tool_call_id="a")]):
        await make(server, "m").generate_text(messages)
    with pytest.raises(BackendError):
        await make(server, "m").generate_text([*ASK, call])
    assert not any("continue_final_message" in request["body"] for request in server.requests(CHAT))


async def test_a_model_that_does_not_go_on_is_told_as_one_that_cannot(
    servers: ServerFactory, make: MakeBackend
) -> None:
    backend = make(servers("llama_cpp", "--no-prefill"), "m")
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(BEGUN)
    assert caught.value.kind is ErrorKind.UNSUPPORTED


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.mark.parametrize(
    "engine", ["built-in", pytest.param("reference", marks=pytest.mark.reference_engine)]
)
async def test_a_real_engine_goes_on_with_a_begun_answer_without_repeating_it(
    http: Http, tiny_model: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    binary = request.getfixturevalue("reference_llama_server") if engine == "reference" else None
    spec = EngineSpec(tiny_model, "tiny", n_ctx=CONTEXT, threads=1, binary=binary)
    running = make_engine(spec, http=http)
    backend: Backend = create_backend({"backend": "builtin"}, http=http, engine=running)
    short = GenerationConfig(max_tokens=4, temperature=0.0, seed=1, extra={"ignore_eos": True})
    try:
        rest = await backend.generate_text([*ASK, Message(Role.ASSISTANT, "one two three")], short)
        longer = await backend.generate_text([*ASK, Message(Role.ASSISTANT, "one two three four")], short)
    finally:
        await running.stop()
    assert rest.text
    assert "one two" not in rest.text
    assert rest.usage.prompt_tokens is not None
    assert longer.usage.prompt_tokens is not None
    assert longer.usage.prompt_tokens > rest.usage.prompt_tokens  # It was read.
