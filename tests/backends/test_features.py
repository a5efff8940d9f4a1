"""Tools, pictures, schemas, embeddings and refusals: the same through every backend."""

import asyncio
import json
import traceback
from collections.abc import Callable
from contextlib import aclosing

import pytest

from tests.backends.conftest import ASK, KEY, PICTURE, SCHEMA, WEATHER, MakeBackend, seen, until
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend, create_backend
from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.values import (
    ErrorKind,
    GenerationConfig,
    Message,
    Reach,
    Role,
    TextDelta,
)
from whisper_desktop.wire.http import Http

CLOUD = {
    "openrouter": ("openrouter", (), KEY, "openai/gpt-4o-mini"),
    "openai": ("openai_compatible", ("--auth", "sk-test"), "sk-test", "llama-3.2-3b-instruct"),
    "anthropic": ("anthropic", (), "sk-ant-test", "claude-haiku-4-5-20251001"),
    "gemini": ("gemini", (), "gemini-test-key", "gemini-2.5-flash"),
}
LOCAL = {
    "lm_studio": ("lm_studio", (), None, None),
    "ollama": ("ollama", (), None, None),
    "llama_cpp": ("llama_cpp", (), None, "tiny"),
    "openai_compatible": ("openai_compatible", (), None, "llama-3.2-3b-instruct"),
    "vllm": ("openai_compatible", ("--flavor", "vllm"), None, "llama-3.2-3b-instruct"),
}
ALL = {**LOCAL, **CLOUD}
FULL = ["completion", "tools", "vision", "thinking"]


@pytest.fixture
def start(servers: ServerFactory, make: MakeBackend) -> Callable[..., tuple[RunningServer, Backend]]:
    """`start(backend_id, *options)`: a server of this kind that can do everything, and its backend."""

    def build(
        backend_id: str, *options: str, key: str | None = None, model: str | None = None, **more: object
    ) -> tuple[RunningServer, Backend]:
        name, own, right_key, its_model = ALL[backend_id]
        models = [{"id": its_model or "m", "capabilities": FULL, "context_length": 4096}]
        server = servers(name, *own, *options, models=models)
        return server, make(server, model or its_model, id=backend_id, key=key or right_key, **more)

    return build


Start = Callable[..., tuple[RunningServer, Backend]]


@pytest.mark.parametrize("backend_id", CLOUD)
async def test_a_service_in_the_cloud_answers_with_its_key(start: Start, backend_id: str) -> None:
    server, backend = start(backend_id)
    answer = await backend.generate_text(ASK)
    assert answer.text == "You said: Hello there"
    assert answer.usage.completion_tokens
    assert answer.model == backend.model_id
    assert backend.is_ready(None)
    assert backend.is_paid(None)
    assert await backend.list_models()
    assert await backend.is_healthy()


@pytest.mark.parametrize("backend_id", ALL)
async def test_a_tool_is_called_once_with_whole_arguments_and_its_result_is_understood(
    start: Start, backend_id: str
) -> None:
    _, backend = start(backend_id, "--tool-call", 'weather:{"place": "Lisbon"}')
    config = GenerationConfig(tools=(WEATHER,))
    first = await backend.generate_text(ASK, config)
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("weather", {"place": "Lisbon"})
    assert first.finish_reason == "tool_calls"
    conversation = [
        *ASK,
        Message(Role.ASSISTANT, first.text, tool_calls=first.tool_calls),
        Message(Role.TOOL, "sunny", tool_call_id=call.id, name="weather"),
    ]
    assert (await backend.generate_text(conversation, config)).text == "weather said: sunny"


@pytest.mark.parametrize("backend_id", ALL)
async def test_a_picture_arrives_as_one(start: Start, backend_id: str) -> None:
    _, backend = start(backend_id)
    answer = await backend.generate_text([Message(Role.USER, "What is it?", images=(PICTURE,))])
    assert answer.text == "You showed 1 image: image/png."


@pytest.mark.parametrize("backend_id", ALL)
async def test_an_answer_has_the_shape_that_was_asked_for(start: Start, backend_id: str) -> None:
    _, backend = start(backend_id)
    answer = await backend.generate_text(ASK, GenerationConfig(json_schema=SCHEMA))
    assert set(json.loads(answer.text)) == {"name"}


@pytest.mark.parametrize("backend_id", [*LOCAL, "openai", "gemini"])
async def test_texts_become_vectors_in_their_order(
    servers: ServerFactory, make: MakeBackend, backend_id: str
) -> None:
    name, own, key, _ = ALL[backend_id]
    own = (*own, "--embeddings") if backend_id == "llama_cpp" else own
    server = servers(name, *own, models=[{"id": "embedder", "embedding": True}])
    backend = make(server, id=backend_id, key=key, embedding_model="embedder" if key else None)
    found = await backend.embed(["one", "two", "one"])
    assert len(found.vectors) == 3
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]


async def test_a_server_whose_models_only_write_makes_no_vectors(
    servers: ServerFactory, make: MakeBackend
) -> None:
    with pytest.raises(BackendError) as caught:
        await make(servers("lm_studio")).embed(["one"])
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == "LM Studio has no embedding model."
    with pytest.raises(BackendError) as caught:
        await make(servers("gpt4all")).embed(["one"])
    assert caught.value.kind is ErrorKind.UNSUPPORTED


@pytest.mark.parametrize("backend_id", [*CLOUD, "openai_compatible", "llama_cpp", "lm_studio"])
async def test_a_wrong_key_is_told_and_never_repeated(start: Start, backend_id: str) -> None:
    _, backend = start(
        backend_id, *(() if backend_id in CLOUD else ("--auth", "right")), key="wrong-secret-key"
    )
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.AUTH
    assert "did not accept the key" in caught.value.title
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "wrong-secret-key" not in repr(shown) + str(shown) + "".join(traceback.format_exception(shown))
        shown = shown.__cause__ or shown.__context__
    assert "wrong-secret-key" not in repr(backend) + repr(backend.config)


@pytest.mark.parametrize("backend_id", [*CLOUD, "ollama", "lm_studio", "openai_compatible"])
async def test_a_model_that_is_not_there_is_told(start: Start, backend_id: str) -> None:
    _, backend = start(backend_id, model="nobody")
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.MODEL_MISSING
    assert caught.value.title == f"{backend.name} has no model called “nobody”."


@pytest.mark.parametrize("backend_id", ALL)
async def test_a_path_that_is_not_there_is_told(servers: ServerFactory, http: Http, backend_id: str) -> None:
    name, own, key, model = ALL[backend_id]
    url = servers(name, *own).url + "/nope"
    config = {"backend": backend_id, "url": url, "model": model or "m", "api_key": key}
    with pytest.raises(BackendError) as caught:
        await create_backend(config, http=http).generate_text(ASK)
    assert caught.value.kind is ErrorKind.NOT_AN_LLM


@pytest.mark.parametrize("backend_id", CLOUD)
async def test_a_service_in_the_cloud_is_not_asked_from_a_conversation_that_stays_here(
    http: Http, backend_id: str
) -> None:
    config = {"backend": backend_id, "model": "m", "api_key": "k"}
    with pytest.raises(ConsentRequired):
        await create_backend(config, http=http).generate_text(ASK, allowed=Reach.THIS_MACHINE)


@pytest.mark.parametrize("backend_id", CLOUD)
async def test_a_service_in_the_cloud_needs_a_key_and_a_model_that_was_chosen(
    http: Http, backend_id: str
) -> None:
    for config, title in (({"model": "m"}, "needs a key."), ({"api_key": "k"}, "model is chosen.")):
        with pytest.raises(BackendError) as caught:
            await create_backend({"backend": backend_id, **config}, http=http).generate_text(ASK)
        assert caught.value.kind is ErrorKind.NOT_CONFIGURED
        assert caught.value.title.endswith(title)


@pytest.mark.parametrize("backend_id", ALL)
async def test_closing_an_answer_closes_the_connection_and_leaves_no_task(
    start: Start, backend_id: str
) -> None:
    server, backend = start(backend_id, "--tokens", "1000", "--token-delay", "0.02")
    async with aclosing(backend.generate_stream(ASK)) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
    gone = await seen(server, "disconnect")
    assert gone["tokens_sent"] < 30
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("backend_id", ALL)
async def test_cancelling_before_the_first_token_closes_the_connection_too(
    start: Start, backend_id: str
) -> None:
    server, backend = start(backend_id, "--first-token-delay", "30")
    reading = asyncio.ensure_future(backend.generate_text(ASK))
    assert await until(lambda: any(request["method"] == "POST" for request in server.requests()))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await seen(server, "disconnect")
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("backend_id", ALL)
async def test_the_words_before_a_failure_are_handed_out(start: Start, backend_id: str) -> None:
    _, backend = start(backend_id, "--tokens", "20", "--fault", "error_mid_stream:3")
    words: list[str] = []

    async def read() -> None:
        async with aclosing(backend.generate_stream(ASK)) as events:
            async for event in events:
                words.append(event.text if isinstance(event, TextDelta) else "")

    with pytest.raises(BackendError) as caught:
        await read()
    assert "".join(words) == "word0 word1 word2"
    assert backend.name in caught.value.title


async def test_reasoning_is_asked_for_in_the_words_of_each_server(start: Start) -> None:
    asked = {}
    for backend_id in ("llama_cpp", "openrouter", "openai", "lm_studio"):
        server, backend = start(backend_id)
        await backend.generate_text(ASK, GenerationConfig(reasoning="low", max_tokens=50))
        (body,) = [request["body"] for request in server.requests() if request["method"] == "POST"]
        asked[backend_id] = body
    assert asked["llama_cpp"]["chat_template_kwargs"]["reasoning_effort"] == "low"
    assert asked["openrouter"]["reasoning"] == {"effort": "low"}
    assert asked["openai"]["reasoning_effort"] == "low"
    assert asked["openai"]["max_completion_tokens"] == 50
