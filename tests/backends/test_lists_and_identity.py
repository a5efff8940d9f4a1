"""What is known of a server: its list is believed for a while, and who it is before it gets a prompt."""

import asyncio

import pytest

from tests.backends.conftest import ASK, MakeBackend, paths
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    Deadlines,
    ErrorKind,
)
from whisper_desktop.wire.http import Http

CHAT = "/v1/chat/completions"
NATIVE = "GET /api/v1/models"


# --- lists ------------------------------------------------------------------------------------------------


async def test_the_list_is_asked_once_for_many_requests(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("lm_studio", models=["m"])
    backend = make(server, "m")
    for _ in range(5):
        await backend.generate_text(ASK)
    assert paths(server) == [NATIVE, *[f"POST {CHAT}"] * 5]


async def test_a_list_that_is_too_old_is_asked_again(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("lm_studio", models=["m"])
    backend = make(server, "m", deadlines=Deadlines(listing=0.0))
    for _ in range(2):
        await backend.generate_text(ASK)
    assert paths(server) == [NATIVE, f"POST {CHAT}"] * 2


async def test_many_requests_at_once_do_not_all_ask_for_a_list_that_one_of_them_asks_for(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["m"])
    backend = make(server, "m", deadlines=Deadlines(listing=0.5))
    await backend.generate_text(ASK)
    await asyncio.sleep(0.55)
    await asyncio.gather(*(backend.generate_text(ASK) for _ in range(20)))
    assert paths(server).count(NATIVE) == 2


async def test_a_list_is_not_believed_after_the_server_was_gone(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("lm_studio", models=["m"])
    backend = make(server, "m")
    await backend.generate_text(ASK)
    assert (backend.is_ready(None), backend.context_of(None)) == (True, 4096)
    server.kill()
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.CONNECT_REFUSED
    assert (backend.is_ready(None), backend.context_of(None)) == (None, None)
    again = servers("lm_studio", port=server.port, models=["m"])
    await backend.generate_text(ASK)
    assert paths(again) == [NATIVE, f"POST {CHAT}"]


async def test_a_named_model_is_not_looked_up_where_a_wrong_name_is_refused_by_the_server(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openai_compatible", models=["m"])
    await make(server, "m").generate_text(ASK)
    assert paths(server) == ["GET /lmstudio-greeting", "GET /", f"POST {CHAT}"]


# --- who answers ------------------------------------------------------------------------------------------

FOUND = {
    "lm_studio": ("lm_studio", (), ["GET /lmstudio-greeting", NATIVE]),
    "ollama": ("ollama", (), ["GET /", "GET /api/version", "GET /api/tags", "GET /api/ps"]),
    "llama_cpp": ("llama_cpp", (), ["GET /props"]),
    "vllm": ("openai_compatible", ("--flavor", "vllm"), ["GET /v1/models", "GET /version"]),
    "sglang": ("openai_compatible", ("--flavor", "sglang"), ["GET /v1/models"]),
    "koboldcpp": ("koboldcpp", (), ["GET /api/extra/version"]),
    "localai": ("localai", (), ["GET /.well-known/localai.json"]),
    "lemonade": ("lemonade", (), ["GET /v1/health"]),
    "jan": ("jan", (), ["GET /openapi.json"]),
    "textgen": ("textgen", (), ["GET /v1/internal/model/info"]),
    "gpt4all": ("gpt4all", (), ["GET /v1/models"]),
    "docker_model_runner": ("docker_model_runner", (), ["GET /engines/v1/models"]),
}


@pytest.mark.parametrize("backend_id", FOUND)
async def test_a_server_that_was_found_is_recognised_once_before_it_gets_a_prompt(
    servers: ServerFactory, make: MakeBackend, backend_id: str
) -> None:
    name, options, signs = FOUND[backend_id]
    server = servers(name, *options)
    named = (await make(server, id=backend_id).list_models())[0].id
    before = len(server.requests())
    backend = make(server, named, id=backend_id, as_given=False)
    for _ in range(2):
        await backend.generate_text(ASK)
    asked = paths(server)[before:]
    assert asked[: len(signs)] == signs
    assert len(asked) == len(signs) + 2
    assert all(path.startswith("POST") for path in asked[len(signs) :])


@pytest.mark.parametrize(
    "backend_id", ["llama_cpp", "llamafile", "vllm", "jan", "koboldcpp", "lm_studio", "ollama"]
)
@pytest.mark.parametrize("stranger", ["openai_compatible", "openrouter", "llama_swap", "lemonade"])
async def test_a_program_that_took_the_port_of_an_engine_gets_no_prompt(
    servers: ServerFactory, make: MakeBackend, backend_id: str, stranger: str
) -> None:
    options = ("--flavor", "llama_swap") if stranger == "llama_swap" else ()
    server = servers("openai_compatible" if options else stranger, *options)
    backend = make(server, "m", id=backend_id, as_given=False, key="secret-key")
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert caught.value.title == f"What answers at 127.0.0.1:{server.port} is not {backend.name}."
    assert [request["method"] for request in server.requests()] == ["GET"] * len(server.requests())


async def test_an_engine_that_was_replaced_while_nobody_asked_is_noticed(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp")
    backend = make(server, "m", as_given=False, deadlines=Deadlines(listing=0.1))
    await backend.generate_text(ASK)
    server.kill()
    other = servers("openai_compatible", port=server.port)
    await asyncio.sleep(0.15)
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert "POST" not in {request["method"] for request in other.requests()}


async def test_an_engine_that_died_in_the_middle_is_recognised_before_the_next_question(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "die_mid_stream:2")
    backend = make(server, "m", as_given=False)
    with pytest.raises(BackendError):
        await backend.generate_text(ASK)
    server.kill()
    other = servers("openai_compatible", port=server.port)
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert "POST" not in {request["method"] for request in other.requests()}


async def test_an_address_that_a_person_wrote_counts_as_what_it_says(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("openai_compatible")
    assert (await make(server, "llama-3.2-3b-instruct", id="vllm").generate_text(ASK)).text


async def test_a_key_goes_to_a_server_only_once_it_wants_one(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--auth", "right-key")
    await make(server, "m", as_given=False, key="right-key").generate_text(ASK)
    sent = [request["headers"].get("authorization") for request in server.requests()]
    assert sent == [None, "Bearer right-key", "Bearer right-key"]


async def test_a_list_is_not_asked_of_a_stranger_either(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("openai_compatible")
    backend = make(server, id="vllm", as_given=False, key="secret-key")
    with pytest.raises(BackendError) as caught:
        await backend.list_models()
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert not await backend.is_healthy()
    assert all("authorization" not in request["headers"] for request in server.requests())


async def test_an_engine_that_is_still_loading_is_recognised_as_one(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp", "--fault", "loading:30")
    with pytest.raises(BackendError) as caught:
        await make(server, "m", as_given=False).generate_text(ASK)
    assert caught.value.kind is ErrorKind.LOADING


@pytest.mark.parametrize("kept", [True, False])
async def test_a_program_that_took_the_port_a_moment_ago_gets_neither_the_prompt_nor_the_key(
    servers: ServerFactory, http: Http, make: MakeBackend, kept: bool
) -> None:
    server = servers("llama_cpp", "--auth", "right-key")
    backend = make(server, "m", as_given=False, key="right-key")
    await backend.generate_text(ASK)
    if not kept:
        await http.refresh()
    server.kill()
    other = servers("openai_compatible", port=server.port)
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM
    assert {(asked["method"], asked["headers"].get("authorization")) for asked in other.requests()} == {
        ("GET", None)
    }


async def test_many_questions_at_once_each_go_to_a_server_that_was_recognised(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp")
    backend = make(server, "m", as_given=False)
    answers = await asyncio.gather(*(backend.generate_text(ASK) for _ in range(20)))
    assert all(answer.text for answer in answers)
    assert len(server.requests(CHAT)) == 20


async def test_a_kept_connection_needs_no_second_recognition(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("llama_cpp")
    backend = make(server, "m", as_given=False)
    for _ in range(5):
        await backend.generate_text(ASK)
    assert paths(server) == ["GET /props", *[f"POST {CHAT}"] * 5]
    assert len(server.log("connection")) == 1
