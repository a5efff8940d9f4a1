"""Anthropic's own Python client against our server: it has to be served as by the real one."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.servers.fixtures import ServerFactory

HAIKU, OPUS = "claude-haiku-4-5-20251001", "claude-opus-5-5"
TOOL: anthropic.types.ToolParam = {
    "name": "get_weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
ASK: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hello, Claude"}]


class Clients:
    """Makes clients, and closes them."""

    def __init__(self) -> None:
        self._made: list[anthropic.Anthropic] = []

    def __call__(self, url: str, key: str = "sk-ant-test") -> anthropic.Anthropic:
        client = anthropic.Anthropic(api_key=key, base_url=url, max_retries=0)
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


def test_a_message(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("anthropic").url)
    message = client.messages.create(max_tokens=1024, messages=ASK, model=HAIKU)
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: Hello, Claude"
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        6,
        4,
    )


def test_a_stream_of_text(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("anthropic").url)
    with client.messages.stream(max_tokens=1024, messages=ASK, model=HAIKU) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert pieces == ["You", " said:", " Hello,", " Claude"]
    assert final.usage.output_tokens == 4


def test_raw_events_of_a_stream(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("anthropic", "--answer", "Hi").url)
    with client.messages.create(max_tokens=9, messages=ASK, model=HAIKU, stream=True) as events:
        kinds = [event.type for event in events]
    # The client keeps pings to itself.
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_a_tool_and_its_result_with_thinking(servers: ServerFactory, clients: Clients) -> None:
    url = servers(
        "anthropic", "--reasoning", "Look it up", "--tool-call", 'get_weather:{"place": "Rome"}'
    ).url
    client = clients(url)
    thinking: anthropic.types.ThinkingConfigParam = {"type": "adaptive", "display": "summarized"}
    with client.messages.stream(
        max_tokens=1024, messages=ASK, model=OPUS, tools=[TOOL], thinking=thinking
    ) as stream:
        first = stream.get_final_message()
    thought, use = first.content
    assert (thought.type, use.type, first.stop_reason) == ("thinking", "tool_use", "tool_use")
    assert use.type == "tool_use"
    assert use.input == {"place": "Rome"}
    result: anthropic.types.ToolResultBlockParam = {
        "type": "tool_result",
        "tool_use_id": use.id,
        "content": "15 degrees",
    }
    history: list[anthropic.types.MessageParam] = [
        *ASK,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(
        max_tokens=1024, messages=history, model=OPUS, tools=[TOOL], thinking=thinking
    )
    assert second.content[-1].type == "text"
    assert second.content[-1].text == "get_weather said: 15 degrees"


def test_structured_output(servers: ServerFactory, clients: Clients) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    message = clients(servers("anthropic").url).messages.create(
        max_tokens=99,
        messages=ASK,
        model=HAIKU,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == '{"n": 0}'


def test_models_are_listed_page_by_page(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("anthropic").url)
    models = list(client.models.list(limit=1))
    assert [model.id for model in models] == [HAIKU, OPUS]
    assert client.models.retrieve(OPUS).max_input_tokens == 1_000_000


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("bad_request_400", anthropic.BadRequestError, 400),
        ("context_400", anthropic.BadRequestError, 400),
        ("unauthorized_401", anthropic.AuthenticationError, 401),
        ("payment_402", anthropic.APIStatusError, 402),
        ("not_found_404_model", anthropic.NotFoundError, 404),
        ("rate_429:3", anthropic.RateLimitError, 429),
        ("quota_429", anthropic.RateLimitError, 429),
        ("error_500", anthropic.InternalServerError, 500),
        ("busy_503", anthropic.APIStatusError, 529),
    ],
)
def test_a_refusal_is_the_clients_own_error(
    servers: ServerFactory, clients: Clients, fault: str, kind: type[anthropic.APIStatusError], status: int
) -> None:
    client = clients(servers("anthropic", "--fault", fault).url)
    with pytest.raises(kind) as caught:
        client.messages.create(max_tokens=9, messages=ASK, model=HAIKU)
    assert caught.value.status_code == status
    assert caught.value.request_id is not None


def test_an_error_in_a_stream_is_the_clients_own_error(servers: ServerFactory, clients: Clients) -> None:
    client = clients(servers("anthropic", "--fault", "error_mid_stream:1").url)
    seen: list[str] = []

    def read() -> None:
        with client.messages.stream(max_tokens=9, messages=ASK, model=HAIKU) as stream:
            seen.extend(stream.text_stream)

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        read()
    assert seen == ["You"]
