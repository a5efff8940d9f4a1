"""Google's own Python client against our server: it has to be served as by the real one."""

from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types

from tests.servers.fixtures import ServerFactory

OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather at a place.",
            parameters_json_schema={"type": "object", "properties": {"place": {"type": "string"}}},
        )
    ]
)


class Clients:
    """Makes clients, and closes them."""

    def __init__(self) -> None:
        self._made: list[genai.Client] = []

    def __call__(self, url: str, key: str = "gemini-test-key", version: str = "v1beta") -> genai.Client:
        options = types.HttpOptions(base_url=url, api_version=version)
        client = genai.Client(api_key=key, http_options=options)
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_content(servers: ServerFactory, clients: Clients, version: str) -> None:
    client = clients(servers("gemini").url, version=version)
    answer = client.models.generate_content(model=NEW, contents="Hello, Gemini")
    assert answer.text == "You said: Hello, Gemini"
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count) == (6, 4)


def test_a_stream(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("gemini").url)
    chunks = list(client.models.generate_content_stream(model=NEW, contents="Hello, Gemini"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: Hello, Gemini"
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP


@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_chat_with_a_tool_and_thoughts(servers: ServerFactory, clients: Clients, model: str) -> None:
    url = servers("gemini", "--reasoning", "Look it up", "--tool-call", 'get_weather:{"place": "Rome"}').url
    config = types.GenerateContentConfig(
        tools=[WEATHER], thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    chat = clients(url).chats.create(model=model, config=config)
    first = chat.send_message("What is the weather in Rome?")
    assert first.function_calls is not None
    (used,) = first.function_calls
    assert (used.name, used.args, bool(used.id)) == ("get_weather", {"place": "Rome"}, model == NEW)
    result = types.Part.from_function_response(name="get_weather", response={"output": "15 degrees"})
    second = chat.send_message(result)
    assert second.text == "get_weather said: 15 degrees"


def test_structured_output(servers: ServerFactory, clients: Clients) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_json_schema=schema,
        system_instruction="Be brief.",
        temperature=0.5,
        max_output_tokens=50,
        seed=1,
    )
    answer = clients(servers("gemini").url).models.generate_content(model=NEW, contents="Hi", config=config)
    assert answer.text == '{"n": 0}'


def test_models_and_embeddings(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("gemini", "--dimensions", "4").url)
    names = [model.name for model in client.models.list(config={"page_size": 1})]
    assert names == [f"models/{OLD}", f"models/{NEW}", "models/gemini-embedding-001"]
    found = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"]).embeddings
    assert found is not None
    assert [len(each.values or []) for each in found] == [4, 4]


def test_a_prompt_that_is_not_accepted(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("gemini", "--fault", "refusal").url)
    answer = client.models.generate_content(model=NEW, contents="Hi")
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    assert answer.text is None


@pytest.mark.parametrize("options", [(), ("--list-errors",)])
@pytest.mark.parametrize(
    ("fault", "kind", "code", "status"),
    [
        ("unauthorized_401", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("context_400", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("not_found_404_model", errors.ClientError, 404, "NOT_FOUND"),
        ("rate_429:3", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("error_500", errors.ServerError, 500, "INTERNAL"),
        ("busy_503", errors.ServerError, 503, "UNAVAILABLE"),
    ],
)
def test_a_refusal_is_the_clients_own_error(
    servers: ServerFactory,
    clients: Clients,
    fault: str,
    kind: type[errors.APIError],
    code: int,
    status: str,
    options: tuple[str, ...],
) -> None:
    client = clients(servers("gemini", "--fault", fault, *options).url)
    with pytest.raises(kind) as caught:
        client.models.generate_content(model=NEW, contents="Hi")
    assert (caught.value.code, caught.value.status) == (code, status)


def test_an_error_in_a_stream_is_the_clients_own_error(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("gemini", "--fault", "error_mid_stream:1").url)
    seen: list[str | None] = []

    def read() -> None:
        for chunk in client.models.generate_content_stream(model=NEW, contents="Hi"):
            seen.append(chunk.text)

    with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
        read()
    assert seen == ["You"]
