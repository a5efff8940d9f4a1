"""The vendors' own clients against the test servers: what they understand is what the real servers say."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import ollama
import openai
import pytest
from pydantic import BaseModel

from tests.servers.answers import embedding_of
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.servers.tests.test_faults import CHAT

SAY: list[Any] = [{"role": "user", "content": "one two"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CALL = ["--tool-call", 'weather:{"city": "Zürich"}']
FLAVORS = [f"openai_compatible:{flavor}" for flavor in ("vllm", "sglang", "llama_swap", "mlx")]
ALL = [*CHAT, *FLAVORS]


class Trip(BaseModel):
    """What structured output is asked for."""

    city: str
    days: int
    by_train: bool


class Connected:
    """A test server and the `openai` client that talks to it."""

    def __init__(self, server: RunningServer, client: openai.OpenAI) -> None:
        self.server = server
        self.client = client

    @property
    def chat(self) -> Any:
        return self.client.chat.completions


Connect = Callable[..., Connected]
Local = Callable[..., tuple[RunningServer, ollama.Client]]


@pytest.fixture
def connect(servers: ServerFactory) -> Iterator[Connect]:
    """`connect("lm_studio", ...)` starts a server and a client of it."""
    clients: list[openai.OpenAI] = []

    def make(name: str, *options: str) -> Connected:
        name, _, flavor = name.partition(":")
        options = (*options, "--flavor", flavor) if flavor else options
        options = (*options, "--embeddings") if name == "llama_cpp" else options
        server = servers(name, *options, models=["m"])
        client = openai.OpenAI(
            base_url=server.url + CHAT[name].removesuffix("/chat/completions"),
            api_key="sk-or-v1-test",
            max_retries=0,
            timeout=5,
            http_client=openai.DefaultHttpxClient(trust_env=False, verify=False),
        )
        clients.append(client)
        return Connected(server, client)

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize("name", ALL)
def test_openai_reads_a_whole_answer_and_the_list(connect: Connect, name: str) -> None:
    there = connect(name, "--reasoning", "let me think")
    said = there.chat.create(model="m", messages=SAY)
    assert said.choices[0].message.content == "You said: one two"
    assert said.choices[0].finish_reason == "stop"
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens == 6 + 7
    assert [model.id.removesuffix(":latest") for model in there.client.models.list()] == ["m"]


@pytest.mark.parametrize("name", ALL)
def test_openai_reads_a_stream(connect: Connect, name: str) -> None:
    there = connect(name)
    options = {"include_usage": True}
    with there.chat.create(model="m", messages=SAY, stream=True, stream_options=options) as stream:
        chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "You said: one two"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.completion_tokens == 4


@pytest.mark.parametrize("name", ALL)
def test_openai_joins_a_streamed_call_and_sends_its_result(connect: Connect, name: str) -> None:
    there = connect(name, *CALL)
    with there.chat.stream(model="m", messages=SAY, tools=[WEATHER]) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls
    assert (call.function.name, call.function.parsed_arguments) == ("weather", {"city": "Zürich"})
    assert "tool_calls.function.arguments.done" in kinds
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    history = [*SAY, message.model_dump(exclude_none=True, exclude={"parsed"}), result]
    told = there.chat.create(model="m", messages=history, tools=[WEATHER])
    assert told.choices[0].message.content == "weather said: rain"


@pytest.mark.parametrize("name", ALL)
def test_openai_parses_structured_output(connect: Connect, name: str) -> None:
    said = connect(name).chat.parse(model="m", messages=SAY, response_format=Trip)
    assert said.choices[0].message.parsed == Trip(city="", days=0, by_train=False)


@pytest.mark.parametrize("name", ALL)
def test_openai_reads_embeddings(connect: Connect, name: str) -> None:
    there = connect(name)
    got = there.client.embeddings.create(model="m", input=["a", "b"])
    assert got.data[0].embedding == pytest.approx(embedding_of("a", 8))
    assert got.data[1].embedding == pytest.approx(embedding_of("b", 8))


@pytest.mark.parametrize("name", ALL)
def test_openai_sends_images(connect: Connect, name: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}, picture]}]
    said = connect(name).chat.create(model="m", messages=messages)
    assert said.choices[0].message.content == "You showed 1 image: image/png."


@pytest.mark.parametrize("name", ALL)
def test_openai_raises_its_own_classes(connect: Connect, name: str) -> None:
    there = connect(name)

    def fails(fault: str, arg: object = "", *, stream: bool = False) -> openai.APIError:
        there.server.set_fault(fault, arg)
        with pytest.raises(openai.APIError) as raised:  # noqa: PT012 - reading the stream belongs to it
            said = there.chat.create(model="m", messages=SAY, stream=stream)
            if stream:
                list(said)
        return raised.value

    assert isinstance(fails("unauthorized_401"), openai.AuthenticationError)
    assert isinstance(fails("forbidden_403_moderation"), openai.PermissionDeniedError)
    assert isinstance(fails("not_found_404_model"), openai.NotFoundError)
    assert isinstance(fails("context_400"), openai.BadRequestError)
    assert isinstance(fails("error_500"), openai.InternalServerError)
    assert isinstance(fails("busy_503"), openai.InternalServerError)
    limited = fails("rate_429", 7)
    assert isinstance(limited, openai.RateLimitError)
    assert limited.response.headers["retry-after"] == "7"
    assert isinstance(fails("reset_before_headers"), openai.APIConnectionError)
    if name != "ollama":  # it swallows late errors
        assert type(fails("error_mid_stream", 1, stream=True)) is openai.APIError


def test_openai_takes_a_cut_stream_for_a_whole_one(connect: Connect) -> None:
    """Why our own decoder looks for a finish reason."""
    there = connect("openai_compatible", "--fault", "eof_mid_stream:1")
    chunks = list(there.chat.create(model="m", messages=SAY, stream=True))
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


def test_openai_sees_what_was_filtered_or_refused(connect: Connect) -> None:
    there = connect("openai_compatible", "--fault", "content_filter:1")
    with pytest.raises(openai.ContentFilterFinishReasonError):
        there.chat.parse(model="m", messages=SAY, response_format=Trip)
    there.server.set_fault("refusal")
    said = there.chat.parse(model="m", messages=SAY, response_format=Trip)
    assert said.choices[0].message.refusal.startswith("I'm sorry")


# --- ollama -----------------------------------------------------------------------------------------------


@pytest.fixture
def local(servers: ServerFactory) -> Iterator[Local]:
    """`local("--tokens", "3")` starts an Ollama and the vendor's client of it."""
    clients: list[ollama.Client] = []

    def make(*options: str) -> tuple[RunningServer, ollama.Client]:
        capabilities = ["completion", "tools", "vision", "thinking"]
        server = servers("ollama", *options, models=[{"id": "m", "capabilities": capabilities}])
        clients.append(ollama.Client(host=server.url, trust_env=False, verify=False, timeout=5))
        return server, clients[-1]

    yield make
    for client in clients:
        client._client.close()  # it has no other way


def test_ollama_reads_answers_thoughts_and_counts(local: Local) -> None:
    _, client = local("--reasoning", "hm hm")
    said = client.chat(model="m", messages=SAY, think=True, options={"num_ctx": 8192}, keep_alive="10m")
    assert (said.message.content, said.message.thinking) == ("You said: one two", "hm hm")
    assert (said.done, said.done_reason, said.prompt_eval_count, said.eval_count) == (True, "stop", 6, 6)
    assert client.ps().models[0].context_length == 8192
    parts = list(client.chat(model="m", messages=SAY, stream=True, think=False))
    assert "".join(part.message.content or "" for part in parts) == "You said: one two"
    assert parts[-1].done
    assert client.generate(model="m", prompt="x y").response == "You said: x y"
    assert client.list().models[0].model == "m:latest"
    assert client.show("m").capabilities == ["completion", "tools", "vision", "thinking"]


def test_ollama_calls_tools_and_sends_results(local: Local) -> None:
    _, client = local(*CALL)
    said = client.chat(model="m", messages=SAY, tools=[WEATHER])
    (call,) = said.message.tool_calls or ()
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Zürich"})
    result = {"role": "tool", "tool_name": "weather", "content": "rain"}
    told = client.chat(model="m", messages=[*SAY, said.message, result], tools=[WEATHER])
    assert told.message.content == "weather said: rain"
    parts = list(client.chat(model="m", messages=SAY, tools=[WEATHER], stream=True))
    assert [part.message.tool_calls[0].function.name for part in parts if part.message.tool_calls] == [
        "weather"
    ]


def test_ollama_asks_for_formats_images_and_embeddings(local: Local) -> None:
    _, client = local()
    said = client.chat(model="m", messages=SAY, format=Trip.model_json_schema())
    assert Trip.model_validate_json(said.message.content or "").days == 0
    seen = client.chat(
        model="m", messages=[{"role": "user", "content": "?", "images": [b"\x89PNG\r\n\x1a\n12"]}]
    )
    assert seen.message.content == "You showed 1 image: image/png."
    assert client.embed(model="m", input=["a", "b"]).embeddings == [
        embedding_of("a", 8),
        embedding_of("b", 8),
    ]


def test_ollama_raises_what_the_server_says(local: Local) -> None:
    server, client = local()
    with pytest.raises(ollama.ResponseError, match="model 'no' not found") as raised:
        client.chat(model="no", messages=SAY)
    assert raised.value.status_code == 404
    server.set_fault("busy_503")
    with pytest.raises(ollama.ResponseError, match="server busy") as raised:
        client.chat(model="m", messages=SAY)
    assert raised.value.status_code == 503
    server.set_fault("error_mid_stream", 1)
    stream = client.chat(model="m", messages=SAY, stream=True)
    assert next(stream).message.content == "You"
    with pytest.raises(ollama.ResponseError, match="unexpectedly stopped"):
        next(stream)
    server.set_fault("reset_before_headers")
    with pytest.raises(httpx.ReadError):
        client.chat(model="m", messages=SAY)


def test_ollama_follows_a_pull(local: Local) -> None:
    _, client = local()
    steps = [step.status for step in client.pull("new", stream=True)]
    assert (steps[0], steps[-1]) == ("pulling manifest", "success")
    assert json.loads(client.show("new").model_dump_json())["capabilities"]
