"""Each kind of server answers through its backend, on a real socket, with what is peculiar to it."""

import asyncio
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, KEY, MakeBackend
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Progress,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
)

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
    told = [type(event) for event in events if not isinstance(event, Progress)]
    assert told == [ReasoningDelta, TextDelta, TextDelta, StreamEnd]
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


async def test_gpt4all_is_not_sent_what_it_rejects(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("gpt4all")
    await make(server).generate_text(ASK, GenerationConfig(seed=1, stop=("x",)))
    body = server.requests(CHAT)[0]["body"]
    assert body["stream"] is False
    assert not {"seed", "stop", "stream_options"} & set(body)


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
