"""Ollama in its own dialect, with its cloud models kept apart."""

from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, MakeBackend
from tests.servers.fixtures import ServerFactory
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Message,
    Phase,
    Progress,
    Reach,
    Role,
    TextDelta,
)

CHAT = "/api/chat"

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


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("error_mid_stream:2", ErrorKind.SERVER_ERROR), ("eof_mid_stream:2", ErrorKind.TRUNCATED)],
)
async def test_an_answer_that_breaks_off_is_a_failure_after_the_words_that_came(
    servers: ServerFactory, make: MakeBackend, fault: str, kind: ErrorKind
) -> None:
    server = servers("ollama", "--fault", fault)
    words: list[str] = []

    async def read() -> None:
        async with aclosing(make(server).generate_stream(ASK)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    words.append(event.text)

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.kind is kind
    assert "".join(words) == "You said:"


async def test_a_request_chooses_its_context_window_and_how_long_the_model_stays(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", models=[{"id": "m:latest", "loaded": False, "context_length": 4096}])
    backend = make(server, "m", num_ctx=8192, keep_alive="10m")
    await backend.generate_text(ASK)
    body = server.requests(CHAT)[0]["body"]
    assert (body["options"]["num_ctx"], body["keep_alive"]) == (8192, "10m")
    assert backend.context_of(None) == 8192
    await backend.generate_text(ASK, GenerationConfig(context_length=2048))
    # Less than what is loaded would only make Ollama load the model anew.
    assert server.requests(CHAT)[1]["body"]["options"]["num_ctx"] == 8192


async def test_a_model_that_does_not_think_is_not_told_to(servers: ServerFactory, make: MakeBackend) -> None:
    models = [{"id": "plain"}, {"id": "thinker", "capabilities": ["completion", "thinking"]}]
    server = servers("ollama", models=models)
    for name in ("plain", "thinker"):
        await make(server, name).generate_text(ASK, GenerationConfig(reasoning="low"))
    assert [request["body"].get("think") for request in server.requests(CHAT)] == [None, "low"]


async def test_a_model_that_has_to_be_loaded_first_is_told(servers: ServerFactory, make: MakeBackend) -> None:
    server = servers("ollama", models=[{"id": "m:latest", "loaded": False}])
    backend = make(server, "m")
    async with aclosing(backend.generate_stream(ASK)) as stream:
        assert await anext(stream) == Progress(Phase.LOADING)
    server.set_models([{"id": "m:latest", "context_length": 4096}])
    await backend.list_models()
    assert backend.is_ready(None)
    async with aclosing(backend.generate_stream(ASK, GenerationConfig(context_length=9000))) as stream:
        assert await anext(stream) == Progress(Phase.LOADING)  # a larger window is a new load


async def test_loading_and_unloading_are_real_and_leave_what_others_have_loaded(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", models=[{"id": "theirs:latest"}, {"id": "ours:latest", "loaded": False}])
    theirs, ours = make(server, "theirs"), make(server, "ours", keep_alive=-1)
    await theirs.load_model()
    await ours.load_model()
    assert [entry.id for entry in await ours.list_models() if entry.loaded] == [
        "theirs:latest",
        "ours:latest",
    ]
    await theirs.unload_model()
    await ours.unload_model()
    assert [entry.id for entry in await ours.list_models() if entry.loaded] == ["theirs:latest"]
    assert [request["body"]["keep_alive"] for request in server.requests(CHAT)] == [-1, 0]


async def test_a_cloud_that_is_not_signed_in_is_told_in_plain_words(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", "--fault", "unauthorized_401", models=[CLOUD_MODEL])
    with pytest.raises(BackendError) as caught:
        await make(server).generate_text(ASK, allowed=Reach.CLOUD)
    assert caught.value.kind is ErrorKind.AUTH
    assert caught.value.title == "Ollama is not signed in to its cloud."
    assert "ollama signin" in caught.value.next_step


async def test_a_conversation_that_is_too_long_is_refused_and_not_cut_in_silence(
    servers: ServerFactory, make: MakeBackend
) -> None:
    server = servers("ollama", models=[{"id": "m:latest", "context_length": 10}])
    with pytest.raises(BackendError) as caught:
        await make(server).generate_text([Message(Role.USER, "word " * 50)])
    assert caught.value.kind is ErrorKind.CONTEXT_OVERFLOW
