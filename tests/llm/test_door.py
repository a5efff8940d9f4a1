"""The door for scripts: addresses, names and backends as steps, plain options, all closed at the end."""

import asyncio

import pytest

from tests.servers.fixtures import ServerFactory
from whisper_desktop import LLMClient
from whisper_desktop.backends import create_backend
from whisper_desktop.errors import (
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
    SettingsError,
)
from whisper_desktop.llm.client import Step
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.http import Http


async def test_addresses_names_and_backends_are_steps_in_the_order_of_trying(
    servers: ServerFactory, http: Http, unused_tcp_port: int
) -> None:
    dead = f"http://127.0.0.1:{unused_tcp_port}/v1"
    mute = servers("llama_cpp", "--fault", "empty_200")
    ready = servers("ollama")
    backend = create_backend({"backend": "ollama", "url": ready.url}, http=http)
    chain: list[Step] = [dead, {"backend": "llama_cpp", "url": mute.url, "model": "m"}, backend]
    async with LLMClient(chain, reach="this_machine") as client:
        answer = await client.chat_completion("Hi", temperature=0.2, max_tokens=50)
    assert answer.text == "You said: Hi"
    assert answer.usage.completion_tokens == 3
    told = answer.provenance
    assert (told.backend, told.reach) == ("ollama", Reach.THIS_MACHINE)
    assert [(attempt.url, attempt.kind) for attempt in told.attempts] == [
        (dead, ErrorKind.CONNECT_REFUSED),
        (f"{mute.url}/v1", ErrorKind.EMPTY),
        (backend.base_url, None),
    ]
    assert all(attempt.ms == attempt.seconds * 1000 for attempt in told.attempts)


async def test_events_have_text_that_adds_up_to_the_answer(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--reasoning", "hm hm", "--tokens", "20")
    async with LLMClient([f"{server.url}/v1"]) as client, client.stream("Hi") as events:
        text = "".join([event.text async for event in events])
    assert text == " ".join(f"word{number}" for number in range(20))
    assert events.completion is not None
    assert events.completion.text == text


async def test_leaving_the_block_stops_the_generation(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "100000", "--token-delay", "0.01")
    async with LLMClient([f"{server.url}/v1"]) as client:
        async with client.stream("Hi") as events:
            async for event in events:
                if event.text:
                    break
        await asyncio.to_thread(server.wait_for, "disconnect", 1, 1.0)


async def test_closing_the_client_ends_an_answer_that_is_under_way(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--fault", "stall_mid_stream:2")
    client = LLMClient([f"{server.url}/v1"])

    async def read() -> str:
        text = ""
        try:
            async with client.stream("Hi") as events:
                async for event in events:
                    text += event.text
                    if text == "You said:":
                        reading.set()
        except Interrupted as broken:
            return broken.partial_text
        return text

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    await client.aclose()
    assert await asyncio.wait_for(task, 1) == "You said:"


async def test_the_cloud_is_asked_about_and_gets_nothing(servers: ServerFactory) -> None:
    async with LLMClient(["openrouter"], model="openai/gpt-4o") as client:
        with pytest.raises(ConsentRequired) as caught:
            await client.chat_completion("Hi")
    assert caught.value.needed is Reach.CLOUD
    assert caught.value.kind is ErrorKind.CONSENT_REQUIRED
    assert [attempt.skipped for attempt in caught.value.attempts] == [True]


async def test_the_environment_can_switch_the_network_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_ALLOW_NETWORK", "no")
    step = {"backend": "openrouter", "api_key": "sk-or-v1-not-a-real-one", "model": "m"}
    async with LLMClient([step], reach="cloud") as client:
        with pytest.raises(LLMConnectionError) as caught:
            await client.chat_completion("Hi")
    assert isinstance(caught.value.last_error, NetworkBlocked)


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        ("lm_studi", ValueError, "Unknown backend: lm_studi"),
        ("", ValueError, "Unknown backend"),
        ("http://", SettingsError, "address"),
        ({"backend": "guide"}, ValueError, "guide"),
        ({"url": "http://127.0.0.1:1"}, ValueError, "Unknown backend"),
    ],
)
def test_a_step_that_cannot_be_used_is_named_at_once(
    step: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LLMClient([step])  # type: ignore[list-item]  # what a script might pass


async def test_one_time_limit_holds_for_all_attempts_together(servers: ServerFactory) -> None:
    first, second = servers("llama_cpp"), servers("ollama")
    for server in (first, second):
        server.set_fault("hang", on="all")
    chain = [{"backend": "llama_cpp", "url": first.url}, {"backend": "ollama", "url": second.url}]
    async with LLMClient(chain) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(LLMConnectionError) as caught:
            await client.chat_completion("Hi", timeout=0.5)
        assert asyncio.get_running_loop().time() - began < 0.75
    assert [attempt.kind for attempt in caught.value.attempts][0] is ErrorKind.TOTAL_TIMEOUT
