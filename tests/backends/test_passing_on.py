"""Servers that pass a question on to another machine: never without consent, and never told as here."""

import asyncio
from typing import Any

import pytest

from tests.backends.conftest import ASK, MakeBackend, paths
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import create_backend
from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http

CLOUD: dict[str, Any] = {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"}
LINKED: dict[str, Any] = {"id": "big", "device": "another-computer", "loaded": True}
FAR = {"ollama": CLOUD, "lm_studio": LINKED}
HERE: dict[str, dict[str, Any]] = {"ollama": {"id": "llama3:latest"}, "lm_studio": {"id": "small"}}
GENERIC = "openai_compatible"
SIGNS = ["GET /lmstudio-greeting", "GET /"]


def posts(asked: list[str]) -> list[str]:
    return [path for path in asked if path.startswith("POST")]


# --- an address -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("id", [GENERIC, "vllm"])
async def test_a_model_that_runs_elsewhere_is_not_asked_at_an_address_without_consent(
    servers: ServerFactory, make: MakeBackend, name: str, id: str
) -> None:
    server = servers(name, models=[FAR[name]])
    backend = make(server, FAR[name]["id"], id=id)
    with pytest.raises(ConsentRequired):
        await backend.generate_text(ASK)
    assert posts(paths(server)) == []
    assert backend.reach_of(None) is Reach.CLOUD
    assert (await backend.generate_text(ASK, allowed=Reach.CLOUD)).text


@pytest.mark.parametrize("name", FAR)
async def test_without_a_name_an_address_answers_with_a_model_that_runs_here(
    servers: ServerFactory, make: MakeBackend, name: str
) -> None:
    server = servers(name, models=[FAR[name], HERE[name]])
    backend = make(server, id=GENERIC)
    assert (await backend.generate_text(ASK)).model == HERE[name]["id"]
    assert backend.reach_of(None) is Reach.THIS_MACHINE
    assert {model.id: model.remote for model in await backend.list_models()} == {
        FAR[name]["id"]: True,
        HERE[name]["id"]: False,
    }


@pytest.mark.parametrize("path", ["/api/v0", "/v1", ""])
async def test_the_path_of_an_address_hides_nobody(servers: ServerFactory, http: Http, path: str) -> None:
    server = servers("lm_studio", models=[LINKED])
    config = {"backend": GENERIC, "url": server.url + path, "model": "big", "reach": "this_machine"}
    with pytest.raises(ConsentRequired):
        await create_backend(config, http=http).generate_text(ASK)
    assert posts(paths(server)) == []


async def test_a_server_of_another_kind_is_asked_for_two_signs_and_no_more(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers(GENERIC, models=["m"])
    backend = make(server, "m")
    for _ in range(3):
        await backend.generate_text(ASK)
    assert paths(server) == [*SIGNS, *["POST /v1/chat/completions"] * 3]


async def test_one_that_imitates_ollama_is_not_taken_for_it(http: Http) -> None:
    asked: list[bytes] = []
    says = {
        b"/": b"Ollama is running",
        b"/api/version": b'{"version":"0.7.0"}',
        b"/api/extra/version": b'{"result":"KoboldCpp","version":"1.100"}',
        b"/v1/chat/completions": b'{"choices":[{"message":{"content":"Fine."},"finish_reason":"stop"}]}',
    }

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        asked.append(path)
        status = b"200 OK" if path in says else b"404 Not Found"
        body = says.get(path, b"")
        kind = b"\r\nContent-Type: application/json\r\nConnection: close"
        writer.write(b"HTTP/1.1 %s%s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body))
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        backend = create_backend({"backend": GENERIC, "url": url, "model": "any-name"}, http=http)
        assert (await backend.generate_text(ASK)).text == "Fine."
    assert b"/api/tags" not in asked


async def test_ollama_that_took_the_place_of_another_server_is_noticed(
    servers: ServerFactory, make: MakeBackend
) -> None:
    first = servers(GENERIC, models=[CLOUD["id"]])
    backend = make(first, CLOUD["id"])
    await backend.generate_text(ASK)
    first.kill()
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.CONNECT_REFUSED
    second = servers("ollama", port=first.port, models=[CLOUD])
    with pytest.raises(ConsentRequired):
        await backend.generate_text(ASK)
    assert posts(paths(second)) == []


# --- the network is switched off --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("id", ["", GENERIC])
async def test_without_a_network_nothing_is_passed_on_whatever_is_allowed(
    servers: ServerFactory, make: MakeBackend, http: Http, name: str, id: str
) -> None:
    server = servers(name, models=[FAR[name], HERE[name]])
    http.allow_network = False
    backend = make(server, FAR[name]["id"], id=id or name, reach=Reach.CLOUD)
    with pytest.raises(NetworkBlocked) as caught:
        await backend.generate_text(ASK, allowed=Reach.CLOUD)
    assert "WHISPER_ALLOW_NETWORK=0" in str(caught.value)
    assert posts(paths(server)) == []
    answer = await make(server, id=id or name).generate_text(ASK, allowed=Reach.CLOUD)
    assert answer.model == HERE[name]["id"]


async def test_without_a_network_a_far_model_is_not_chosen_either(
    servers: ServerFactory, make: MakeBackend, http: Http
) -> None:
    server = servers("ollama", models=[CLOUD])
    http.allow_network = False
    with pytest.raises(BackendError) as caught:
        await make(server, reach=Reach.CLOUD).generate_text(ASK, allowed=Reach.CLOUD)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert posts(paths(server)) == []


# --- what an answer tells ---------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["llama3", "llama3:latest", None])
async def test_an_answer_that_came_from_elsewhere_is_told_as_that_whatever_the_list_said(
    servers: ServerFactory, make: MakeBackend, named: str | None
) -> None:
    server = servers("ollama", models=["llama3:latest"])
    backend = make(server, named, deadlines=Deadlines(listing=60.0))
    await backend.generate_text(ASK)
    assert backend.reach_of(None) is Reach.THIS_MACHINE
    server.set_models([{"id": "llama3:latest", "remote_host": "https://ollama.com:443"}])
    await backend.generate_text(ASK)
    assert backend.reach_of(None) is backend.reach_of("llama3:latest") is Reach.CLOUD
    before = posts(paths(server))
    with pytest.raises(ConsentRequired):
        await backend.generate_text(ASK, model="llama3:latest")
    assert posts(paths(server)) == before
