"""Each kind of server answers through its backend, on a real socket, with what is peculiar to it."""

import asyncio
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, KEY, MakeBackend
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import create_backend
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Reach,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
)
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"

SERVERS = {
    "lm_studio": ("lm_studio", ()),
    "ollama": ("ollama", ()),
    "llama_cpp": ("llama_cpp", ()),
    "openrouter": ("openrouter", ("--auth", KEY)),
    "openai_compatible": ("openai_compatible", ()),
    "vllm": ("openai_compatible", ("--flavor", "vllm")),
    "jan": ("jan", ()),
    "gpt4all": ("gpt4all", ()),
    "koboldcpp": ("koboldcpp", ()),
    "textgen": ("textgen", ()),
    "localai": ("localai", ()),
    "lemonade": ("lemonade", ()),
    "docker_model_runner": ("docker_model_runner", ()),
}


@pytest.mark.parametrize("backend_id", SERVERS)
async def test_a_server_answers_with_text_reasoning_usage_and_its_model(
    servers: ServerFactory, make: MakeBackend, backend_id: str
) -> None:
    name, options = SERVERS[backend_id]
    server = servers(name, "--reasoning", "let me think", *options)
    backend = make(server, id=backend_id, key=KEY if backend_id == "openrouter" else None)
    model = (await backend.list_models())[0].id
    answer = await backend.generate_text(ASK, GenerationConfig(max_tokens=50), model=model)
    assert answer.text == "You said: Hello there"
    assert answer.reasoning in ("let me think", "")
    assert answer.finish_reason == "stop"
    assert answer.usage.prompt_tokens == 6
    assert answer.usage.completion_tokens in (7, 4)
    assert answer.model
    assert await backend.is_healthy()


async def test_pieces_come_as_they_are_generated_and_end_with_the_reason(
    servers: ServerFactory, make: MakeBackend
) -> None:
    backend = make(servers("llama_cpp", "--reasoning", "hm"))
    async with aclosing(backend.generate_stream(ASK, GenerationConfig(max_tokens=3))) as stream:
        events = [event async for event in stream]
    assert [type(event) for event in events] == [ReasoningDelta, TextDelta, TextDelta, StreamEnd]
    assert isinstance(events[-1], StreamEnd)
    assert events[-1].finish_reason == "length"
    assert events[-1].usage.tokens_per_second


async def test_the_settings_of_a_request_reach_the_server(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openai_compatible", "--auth", "secret-key", models=["m"])
    config = GenerationConfig(0.5, 0.9, 10, 42, ("END",), extra={"top_k": 7})
    await make(server, "m", key="secret-key").generate_text(ASK, config)
    (request,) = server.requests(CHAT)
    assert request["headers"]["authorization"] == "Bearer secret-key"
    assert request["body"]["messages"] == [{"role": "user", "content": "Hello there"}]
    sent = {
        name: request["body"][name]
        for name in ("temperature", "top_p", "max_tokens", "seed", "stop", "top_k")
    }
    assert sent == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 10,
        "seed": 42,
        "stop": ["END"],
        "top_k": 7,
    }


# --- LM Studio --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4.21", "0.3.10", "0.3.4"])
async def test_lm_studio_is_asked_for_the_model_that_is_loaded(
    servers: ServerFactory, make: MakeBackend, version: str
) -> None:
    options = ("--jit", "off") if version == "0.3.4" else ()  # its list tells no state, but only loaded ones
    models = [{"id": "embed", "embedding": True}, {"id": "idle", "loaded": False}, {"id": "loaded"}]
    models = models[1:] if version == "0.3.4" else models
    server = servers("lm_studio", "--version", version, *options, models=models)
    answer = await make(server).generate_text(ASK)
    assert answer.model == "loaded"
    assert server.requests(CHAT)[0]["body"]["model"] == "loaded"


async def test_lm_studio_is_never_asked_for_a_model_it_does_not_have_because_another_would_answer(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["qwen/qwen3-4b", "gemma-3-1b"])
    with pytest.raises(BackendError) as caught:
        await make(server, "llama-3.2-3b").generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio has no model called “llama-3.2-3b”."
    assert caught.value.detail == "It has: qwen/qwen3-4b, gemma-3-1b."
    assert server.requests(CHAT) == []


async def test_lm_studio_without_a_model_says_so(servers: ServerFactory, make: MakeBackend) -> None:
    with pytest.raises(BackendError) as caught:
        await make(servers("lm_studio", models=[])).generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio is running but has no model loaded."


async def test_lm_studio_with_a_wrong_path_is_not_mistaken_for_an_empty_answer(
    servers: ServerFactory, http: Http
) -> None:
    config = {"backend": "openai_compatible", "url": servers("lm_studio").url + "/nope", "model": "m"}
    with pytest.raises(BackendError) as caught:
        await create_backend(config, http=http).generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


async def test_a_key_that_lm_studio_repeats_in_its_refusal_is_not_repeated_by_us(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", "--auth", "right-key")
    with pytest.raises(BackendError) as caught:
        await make(server, key="wrong-secret-key").generate_text(ASK)
    error = caught.value
    assert error.kind is ErrorKind.AUTH
    assert error.title == "LM Studio did not accept the key (401)."
    assert f"keys set {server.url}`" in error.next_step
    shown: BaseException | None = error
    while shown is not None:
        assert "wrong-secret-key" not in repr(shown) + str(shown)
        shown = shown.__cause__ or shown.__context__


async def test_a_model_that_runs_on_another_device_needs_consent(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=[{"id": "far", "device": "someone-elses-desktop"}])
    with pytest.raises(ConsentRequired) as caught:
        await make(server, "far").generate_text(ASK)
    assert caught.value.needed is Reach.CLOUD
    assert server.requests(CHAT) == []
    assert (await make(server, "far").generate_text(ASK, allowed=Reach.CLOUD)).text


# --- Ollama -----------------------------------------------------------------------------------------------

CLOUD_MODEL = {
    "id": "gpt-oss:120b-cloud",
    "remote_host": "https://ollama.com",
    "remote_model": "gpt-oss:120b",
}


async def test_an_ollama_cloud_model_on_a_local_port_needs_consent(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", models=[CLOUD_MODEL, "llama3.2:latest"])
    with pytest.raises(ConsentRequired):
        await make(server, "gpt-oss:120b-cloud").generate_text(ASK)
    assert server.requests(CHAT) == []
    assert (await make(server).generate_text(ASK)).model == "llama3.2:latest"


async def test_ollama_knows_a_model_also_without_its_tag(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("ollama", models=["llama3.2:latest"])
    assert (await make(server, "llama3.2").generate_text(ASK)).text


async def test_ollama_without_models_says_so(servers: ServerFactory, make: MakeBackend) -> None:
    backend = make(servers("ollama", models=[]))
    assert await backend.list_models() == ()
    assert await backend.load_model() is None
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING


async def test_an_ollama_stream_that_just_ends_is_a_failure(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", "--fault", "error_mid_stream:2")
    with pytest.raises(BackendError) as caught:
        await make(server).generate_text(ASK)
    assert caught.value.kind is ErrorKind.TRUNCATED
    assert caught.value.title == "Ollama stopped before its answer was complete."


# --- llama.cpp --------------------------------------------------------------------------------------------


async def test_llama_cpp_tells_the_context_it_really_has(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("llama_cpp", models=[{"id": "tiny", "context_length": 512, "max_context_length": 4096}])
    (model,) = await make(server).list_models()
    assert (model.context_length, model.max_context_length, model.loaded) == (512, 4096, True)


async def test_llama_cpp_that_loads_its_model_is_loading_and_not_broken(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "loading:30")
    with pytest.raises(BackendError) as caught:
        await make(server, "m").generate_text(ASK)
    assert (caught.value.kind, caught.value.status) == (ErrorKind.LOADING, 503)
    assert caught.value.title == "llama.cpp is still loading m."


# --- OpenRouter -------------------------------------------------------------------------------------------


async def test_openrouter_without_a_key_is_not_called(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openrouter")
    with pytest.raises(BackendError) as caught:
        await make(server, "openai/gpt-4o").generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_CONFIGURED
    assert caught.value.title == "OpenRouter needs a key."
    assert server.log("connection") == []


async def test_openrouter_without_a_chosen_model_is_not_called(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openrouter")
    with pytest.raises(BackendError) as caught:
        await make(server, key=KEY).generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_CONFIGURED
    assert server.log("connection") == []


async def test_openrouter_is_told_which_app_asks(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openrouter")
    model = (await make(server, key=KEY).list_models())[0].id
    answer = await make(server, model, key=KEY).generate_text(ASK)
    assert answer.usage.cost_usd is not None
    headers = server.requests("/api/v1/chat/completions")[0]["headers"]
    assert headers["x-openrouter-title"] == "Whisper Desktop"
    assert headers["http-referer"] == "whisper://desktop"
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error_mid_stream:0", ErrorKind.RATE_LIMITED),
        ("error_mid_stream:2", ErrorKind.RATE_LIMITED),
        ("payment_402", ErrorKind.QUOTA),
        ("forbidden_403_moderation", ErrorKind.CONTENT_FILTER),
        ("rate_429:40:availability", ErrorKind.RATE_LIMITED),
    ],
)
async def test_what_openrouter_refuses_also_inside_a_200_is_an_error(
    servers: ServerFactory, make: MakeBackend, fault: str, kind: ErrorKind
) -> None:
    server = servers("openrouter", "--fault", fault)
    model = (await make(server, key=KEY).list_models())[0].id
    with pytest.raises(BackendError) as caught:
        await make(server, model, key=KEY).generate_text(ASK)
    assert caught.value.kind is kind
    assert "OpenRouter" in caught.value.title
    assert caught.value.retry_after == (40 if "availability" in fault else None)


async def test_an_error_code_that_is_a_word_is_understood_too(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openrouter", "--string-error-code", "--fault", "error_mid_stream:1")
    model = (await make(server, key=KEY).list_models())[0].id
    with pytest.raises(BackendError) as caught:
        await make(server, model, key=KEY).generate_text(ASK)
    assert caught.value.kind is ErrorKind.SERVER_ERROR


# --- GPT4All ----------------------------------------------------------------------------------------------


async def test_gpt4all_is_not_sent_what_it_rejects(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("gpt4all")
    await make(server).generate_text(ASK, GenerationConfig(seed=1, stop=("x",)))
    body = server.requests(CHAT)[0]["body"]
    assert body["stream"] is False
    assert not {"seed", "stop", "stream_options"} & set(body)


# --- every server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("busy_503", {ErrorKind.OVERLOADED}),
        ("error_500", {ErrorKind.SERVER_ERROR}),
        ("rate_429:7", {ErrorKind.RATE_LIMITED}),
        ("unauthorized_401", {ErrorKind.AUTH}),
        # llama.cpp has one model and no words for another
        ("not_found_404_model", {ErrorKind.MODEL_MISSING, ErrorKind.NOT_AN_LLM}),
        ("context_400", {ErrorKind.CONTEXT_OVERFLOW}),
        ("bad_request_400", {ErrorKind.BAD_REQUEST}),
        ("crashed", {ErrorKind.SERVER_ERROR, ErrorKind.STREAM_CUT, ErrorKind.CLOSED_EARLY}),
        ("out_of_memory", {ErrorKind.SERVER_ERROR}),
        ("html_200", {ErrorKind.NOT_AN_LLM}),
        ("empty_200", {ErrorKind.EMPTY, ErrorKind.NOT_AN_LLM}),
        ("json_error_200", {ErrorKind.SERVER_ERROR, ErrorKind.NOT_AN_LLM, ErrorKind.AUTH}),
        ("redirect", {ErrorKind.NOT_AN_LLM}),
        ("garbage", {ErrorKind.MALFORMED, ErrorKind.EMPTY}),
        ("empty_answer", {ErrorKind.EMPTY}),
        ("die_mid_stream:2", {ErrorKind.STREAM_CUT}),
        ("cut_mid_stream:2", {ErrorKind.STREAM_CUT}),
        ("eof_mid_stream:2", {ErrorKind.TRUNCATED}),
        ("error_mid_stream:2", {ErrorKind.SERVER_ERROR, ErrorKind.TRUNCATED}),
    ],
)
@pytest.mark.parametrize("name", ["lm_studio", "ollama", "llama_cpp"])
async def test_a_fault_is_recognised_and_told_in_the_servers_name(
    servers: ServerFactory, make: MakeBackend, name: str, fault: str, kinds: set[ErrorKind]
) -> None:
    server = servers(name)
    backend = make(server)
    model = (await backend.list_models())[0].id
    mode, _, arg = fault.partition(":")
    server.set_fault(mode, arg)
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK, model=model)
    error = caught.value
    assert error.kind in kinds
    assert backend.name in error.title
    assert error.next_step
    server.set_fault("none")


async def test_a_finished_answer_does_not_wait_for_a_server_that_forgets_to_end_it(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "no_done")
    backend = make(server, deadlines=Deadlines(drain=0.05))
    answer = await asyncio.wait_for(backend.generate_text(ASK), 5)
    assert answer.text == "You said: Hello there"
    await asyncio.to_thread(server.wait_for, "disconnect")


async def test_closing_a_stream_makes_the_server_stop(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.02")
    async with aclosing(make(server).generate_stream(ASK)) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
    gone = await asyncio.to_thread(server.wait_for, "disconnect")
    assert gone["tokens_sent"] < 20


async def test_a_server_that_is_not_there_is_not_running(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("lm_studio")
    backend = make(server)
    server.kill()
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.CONNECT_REFUSED
    assert caught.value.title == "LM Studio is not running."
    assert f"127.0.0.1:{server.port}" in caught.value.detail
    assert not await backend.is_healthy()


async def test_an_impostor_on_the_port_is_named_as_one(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("impostor", "--mode", "spa_html_200")
    with pytest.raises(BackendError) as caught:
        await make(server, id="lm_studio").generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert caught.value.title == f"What answers at 127.0.0.1:{server.port} is not LM Studio."


async def test_a_key_with_a_line_break_is_refused_before_it_is_sent(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openai_compatible")
    with pytest.raises(BackendError) as caught:
        await make(server, "m", key="secret\r\nx: y").generate_text(ASK)
    assert caught.value.kind is ErrorKind.AUTH
    assert "secret" not in str(caught.value)
    assert server.log("connection") == []
