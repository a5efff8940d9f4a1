"""The door for scripts: addresses, names and backends as steps, plain options, all closed at the end."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.llm.held import Witness
from tests.servers.fixtures import ServerFactory
from whisper_desktop import LLMClient
from whisper_desktop.backends import BackendConfig, create_backend
from whisper_desktop.backends.stub import StubBackend
from whisper_desktop.errors import (
    ConsentRequired,
    Interrupted,
    LLMConnectionError,
    NetworkBlocked,
    SettingsError,
)
from whisper_desktop.llm import AnswerStream, Shared
from whisper_desktop.llm.client import Step
from whisper_desktop.values import BackendEvent, Deadlines, ErrorKind, GenerationConfig, Reach, TextDelta
from whisper_desktop.wire.http import Http

PROJECT = Path(__file__).parents[2]
MODEL = "llama-3.2-3b-instruct"  # what the test servers have
STUB = StubBackend(BackendConfig("stub", "Stub", reach=Reach.THIS_MACHINE), deadlines=Deadlines())


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


async def test_a_proxy_that_nobody_vouched_for_is_asked_about_and_gets_nothing(
    servers: ServerFactory,
) -> None:
    proxy = servers("openai_compatible", "--flavor", "llama_swap")
    step = {"backend": "llama_swap", "url": proxy.url, "as_given": False}
    async with LLMClient([step], model=MODEL) as client:
        with pytest.raises(ConsentRequired):
            await client.chat_completion("Hi")
    assert not [request for request in proxy.requests() if request["method"] == "POST"]


async def test_the_environment_can_switch_the_network_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_ALLOW_NETWORK", "no")
    step = {"backend": "openrouter", "api_key": "sk-or-v1-not-a-real-one", "model": "m"}
    async with LLMClient([step], reach="cloud") as client:
        with pytest.raises(LLMConnectionError) as caught:
            await client.chat_completion("Hi")
    assert isinstance(caught.value.last_error, NetworkBlocked)


def test_an_address_needs_no_scheme() -> None:
    for step in ("192.168.1.5:8000", "nas.local:8000", "example.com/v1"):
        LLMClient([step])


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        ("lm_studi", ValueError, "Unknown backend: lm_studi"),
        ("", ValueError, "Unknown backend"),
        ("sk-not-a-real-one-1", ValueError, "may be a key"),
        ("http://", SettingsError, "address"),
        ({"backend": "guide"}, ValueError, "guide"),
        ({"url": "http://127.0.0.1:1"}, ValueError, "Unknown backend"),
        (None, TypeError, "not NoneType"),
        (5, TypeError, "not int"),
    ],
)
def test_a_step_that_cannot_be_used_is_named_at_once(
    step: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LLMClient([step])  # type: ignore[list-item]  # what a script might pass


@pytest.mark.usefixtures("http")
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


@pytest.mark.parametrize("given", ["stub", {"backend": "stub"}, STUB])
async def test_one_step_needs_no_list(given: Step) -> None:
    async with LLMClient(given) as client:
        assert (await client.chat_completion("Hi")).provenance.backend == "stub"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"reach": "local"}, ValueError, "reach must be one of this_machine, my_network, cloud"),
        ({"on_interruption": "retry"}, ValueError, "on_interruption must be one of restart, continue, stop"),
        ({"model": 5}, TypeError, "model must be text"),
    ],
)
def test_a_client_says_at_once_what_it_cannot_be_told(
    options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LLMClient("stub", **options)  # type: ignore[arg-type]  # what a script might pass


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"temprature": 1}, TypeError, "no option temprature"),
        ({"config": {"temperature": 1}}, TypeError, "GenerationConfig, not dict"),
        ({"config": GenerationConfig(max_tokens="5")}, TypeError, "max_tokens must be a whole number"),  # type: ignore[arg-type]
        ({"max_tokens": "5"}, TypeError, "max_tokens must be a whole number, not str"),
        ({"max_tokens": True}, TypeError, "max_tokens must be a whole number, not bool"),
        ({"max_tokens": 0}, ValueError, "max_tokens must be at least 1"),
        ({"temperature": "hot"}, TypeError, "temperature must be a number"),
        ({"top_p": "1"}, TypeError, "top_p must be a number"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number"),
        ({"stop": 5}, TypeError, "stop must be text, or a list of texts"),
        ({"stop": ["a", 5]}, TypeError, "each of stop must be text"),
        ({"tools": "add"}, TypeError, "tools must be a list of ToolSpec"),
        ({"tools": [{"type": "function"}]}, TypeError, "each of tools must be a ToolSpec, not dict"),
        ({"tool_choice": 1}, TypeError, "tool_choice must be text"),
        ({"json_schema": "{}"}, TypeError, "json_schema must be a dictionary"),
        ({"reasoning": True}, TypeError, "reasoning must be text"),
        ({"context_length": "8k"}, TypeError, "context_length must be a whole number"),
        ({"extra": [1]}, TypeError, "extra must be a dictionary"),
        ({"timeout": "5"}, TypeError, "timeout must be a number"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds"),
        ({"timeout": float("nan")}, ValueError, "timeout must be more than 0 seconds"),
        ({"model": 5}, TypeError, "model must be text"),
        ({"reach": "local"}, ValueError, "this_machine, my_network, cloud"),
    ],
)
async def test_an_option_that_cannot_be_used_is_told_before_anything_is_sent(
    servers: ServerFactory, options: dict[str, object], error: type[Exception], words: str
) -> None:
    server = servers("openai_compatible")
    async with LLMClient(f"{server.url}/v1") as client:
        with pytest.raises(error, match=words):
            client.stream("Hi", **options)  # type: ignore[arg-type]  # what a script might pass
        with pytest.raises(error, match=words):
            await client.chat_completion("Hi", **options)  # type: ignore[arg-type]
    assert server.requests() == []


async def test_options_reach_the_server_as_they_were_meant(servers: ServerFactory) -> None:
    server = servers("openai_compatible")
    base = GenerationConfig(temperature=0.5, stop=("END",), max_tokens=9)
    async with LLMClient(f"{server.url}/v1") as client:
        await client.chat_completion("Hi", stop="\n", temperature=1, model=MODEL)
        await client.chat_completion("Hi", base, max_tokens=None, model=MODEL)
    first, second = [entry["body"] for entry in server.requests("/v1/chat/completions")]
    assert (first["stop"], first["temperature"]) == (["\n"], 1)
    assert (second["stop"], second["temperature"]) == (["END"], 0.5)
    assert "max_tokens" not in second


async def test_a_closed_client_says_so(servers: ServerFactory) -> None:
    server = servers("openai_compatible")
    async with LLMClient(f"{server.url}/v1") as client:
        pass
    await client.aclose()
    with pytest.raises(RuntimeError, match="This client is closed"):
        await client.chat_completion("Hi")
    assert server.requests() == []


TWO_LOOPS = """
import asyncio, sys
from whisper_desktop import LLMClient

client = LLMClient(sys.argv[1])
for question in ("Hi", "Ho"):
    print(asyncio.run(client.chat_completion(question)).text)
asyncio.run(client.aclose())
"""


def test_a_script_may_run_one_loop_after_another(servers: ServerFactory) -> None:
    server = servers("openai_compatible")
    command = [sys.executable, "-c", TWO_LOOPS, f"{server.url}/v1"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=30, check=False)
    assert (ran.stdout, ran.stderr) == ("You said: Hi\nYou said: Ho\n", "")


# --- a Stop button ------------------------------------------------------------------------------------------


class Reader:
    """Reads a stream in a task of its own."""

    def __init__(self, stream: AnswerStream) -> None:
        self.stream = stream
        self.text = ""
        self.spoke = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> str:
        async for event in self.stream:
            self.text += event.text
            if event.text:
                self.spoke.set()
        return "ended"


@pytest.mark.parametrize("fault", ["hang@chat", "stall_mid_stream:2"])
@pytest.mark.parametrize("presses", [1, 3])
async def test_another_task_may_stop_an_answer(servers: ServerFactory, fault: str, presses: int) -> None:
    server = servers("openai_compatible", "--fault", fault)
    async with LLMClient(f"{server.url}/v1") as client:
        reader = Reader(client.stream("Hi"))
        if fault.startswith("stall"):
            await reader.spoke.wait()
        else:
            await asyncio.to_thread(server.wait_for, "request", 2)
        await asyncio.gather(*(reader.stream.aclose() for _ in range(presses)))
        await asyncio.to_thread(server.wait_for, "disconnect", 1, 1.0)
        assert await asyncio.wait_for(reader.task, 1) == "ended"
        assert reader.task.cancelling() == 0
        assert reader.stream.completion is None
        assert [event async for event in reader.stream] == []
        stats = client.shared.stats()
        assert (stats.cancelled, stats.active, client.shared.limiter.active) == (1, 0, 0)


async def test_a_stop_at_any_moment_ends_the_reader_quietly(servers: ServerFactory) -> None:
    """At any turn of the loop, also where it is busy with an event, and where the answer ends by itself."""
    server = servers("openai_compatible", "--tokens", "20")
    shared = Shared(hooks=[Witness()])  # it takes a moment of its own when an answer is stopped
    async with LLMClient(f"{server.url}/v1", model=MODEL, shared=shared) as client:
        turns = whole = 0
        while whole < 3:
            stream = client.stream("Hi")
            busy = Busy(stream)
            for _ in range(turns):
                await asyncio.sleep(0)
            await stream.aclose()
            assert await asyncio.wait_for(busy.task, 1) == "ended", turns
            assert client.shared.limiter.active == 0, turns
            assert client.shared.metrics.active() == (), turns
            whole += stream.completion is not None
            turns += 1


class Busy(Reader):
    """Takes its time with every event."""

    async def _read(self) -> str:
        async for event in self.stream:
            self.text += event.text
            for _ in range(2):
                await asyncio.sleep(0)
        return "ended"


class Stubborn(StubBackend):
    """Takes no notice of being cancelled."""

    async def stream_batches(
        self, *_args: object, **_options: object
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        yield [TextDelta("first")]
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield [TextDelta("second")]


async def test_a_backend_that_takes_no_notice_is_stopped_at_its_next_piece() -> None:
    reader = Reader(LLMClient(Stubborn(STUB.config, deadlines=Deadlines())).stream("Hi"))
    await reader.spoke.wait()
    async with asyncio.timeout(1):
        await reader.stream.aclose()
        assert await reader.task == "ended"
    assert (reader.text, reader.task.cancelling()) == ("first", 0)


async def test_the_reader_may_stop_it_and_go_on_reading(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--tokens", "1000", "--token-delay", "0.01")
    async with LLMClient(f"{server.url}/v1") as client, client.stream("Hi") as events:
        read = 0
        async for event in events:
            read += bool(event.text)
            if event.text:
                await events.aclose()
        await asyncio.to_thread(server.wait_for, "disconnect", 1, 1.0)
        assert read == 1


async def test_a_reader_that_is_cancelled_itself_is_cancelled_for_all_that(servers: ServerFactory) -> None:
    server = servers("openai_compatible", "--fault", "hang@chat")
    async with LLMClient(f"{server.url}/v1") as client:
        reader = Reader(client.stream("Hi"))
        await asyncio.to_thread(server.wait_for, "request", 2)
        reader.task.cancel()
        await reader.stream.aclose()
        with pytest.raises(asyncio.CancelledError):
            await reader.task
