"""Many questions at once: bounded, in order, each with its own outcome, and figures about all of them."""

import asyncio

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.held import until
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.errors import BackendError, LLMConnectionError
from whisper_desktop.llm import InferenceEngine, LLMClient, Shared
from whisper_desktop.values import Completion, ErrorKind, Reach

CHAT = "/v1/chat/completions"
SAYS = "llama-3.2-3b-instruct"  # a model that is named needs no list before the first question


def engine(*steps: Backend, at_once: int = 10) -> InferenceEngine:
    return InferenceEngine(LLMClient(steps, shared=Shared(QUICK, at_once=at_once)))


def most_at_once(server: RunningServer, path: str = CHAT) -> int:
    """How many requests for an answer were being answered at the same moment."""
    moments = [(entry["time"], 1) for entry in server.requests(path)]
    moments += [(entry["time"], -1) for entry in server.log("response") if entry["path"] == path]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


async def test_one_answer_whole_or_piece_by_piece(servers: ServerFactory, step: MakeStep) -> None:
    asked = engine(step(servers("llama_cpp")))
    assert (await asked.generate_text("Hi", temperature=0.1)).text == "You said: Hi"
    async with asked.generate_stream("Ho") as events:
        assert "".join([event.text async for event in events]) == "You said: Ho"


async def test_a_batch_keeps_its_order_and_one_failure_does_not_sink_the_rest(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("llama_cpp", models=[{"id": "m", "context_length": 30}])
    prompts = [f"number {index}" if index != 3 else "word " * 100 for index in range(12)]
    results = await engine(step(server)).generate_batch(prompts)
    for index, result in enumerate(results):
        if index == 3:
            assert isinstance(result, BackendError)
            assert result.kind is ErrorKind.CONTEXT_OVERFLOW
        else:
            assert isinstance(result, Completion)
            assert result.text == f"You said: number {index}"


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_answers_are_generated_at_once_than_allowed(
    servers: ServerFactory, step: MakeStep, at_once: int
) -> None:
    server = servers("openai_compatible", "--token-delay", "0.01")
    results = await engine(step(server), at_once=at_once).generate_batch(["Hi"] * 12)
    assert all(isinstance(result, Completion) for result in results)
    assert most_at_once(server) == at_once


async def test_who_waits_at_a_screen_goes_before_a_batch(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openai_compatible", "--token-delay", "0.02")
    asked = engine(step(server), at_once=1)
    batch = asyncio.create_task(asked.generate_batch([f"batch {index}" for index in range(5)]))
    await asyncio.to_thread(server.wait_for, "request", 2)
    assert (await asked.generate_text("me first")).text == "You said: me first"
    assert not batch.done()
    await batch
    order = [entry["body"]["messages"][-1]["content"] for entry in server.requests(CHAT)]
    assert order.index("me first") == 1


async def test_cancelling_a_batch_ends_all_of_it(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openai_compatible", "--first-token-delay", "30")
    asked = engine(step(server, model=SAYS), at_once=2)
    batch = asyncio.create_task(asked.generate_batch(["Hi"] * 6))
    # The list of models is a request as well.
    await until(lambda: len(server.requests("/v1/chat/completions")) == 2)
    assert len(asked.get_active_requests()) == 6
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert asked.get_active_requests() == ()
    assert asked.get_performance_stats().cancelled == 6
    await asyncio.to_thread(server.wait_for, "disconnect", 2)


async def test_the_figures_say_who_answered_how_fast_and_what_went_wrong(
    servers: ServerFactory, step: MakeStep, dead: Backend
) -> None:
    server = servers("ollama")
    asked = engine(dead, step(server))
    for _ in range(4):
        await asked.generate_text("Hi")
    stats = asked.get_performance_stats()
    assert (stats.total, stats.answered, stats.failed, stats.active) == (4, 4, 0, 0)
    assert stats.failovers == 4
    assert stats.average_generation_time == pytest.approx(stats.total_generation_time / 4)
    assert stats.completion_tokens == 12
    assert stats.loaded_models == ("llama3.2:latest",)
    assert sorted(stats.breakers.values()) == ["closed", "open"]
    figures = {each.backend: each for each in stats.backends}
    assert figures["ollama"].answers == 4
    assert figures["ollama"].ttft_p50 is not None
    assert figures["lm_studio"].failures == {ErrorKind.CONNECT_REFUSED: 1}
    assert figures["lm_studio"].left_out == 3
    assert "Hi" not in repr(stats)


async def test_when_nobody_answers_that_is_counted_too(dead: Backend) -> None:
    asked = engine(dead)
    with pytest.raises(LLMConnectionError):
        await asked.generate_text("Hi")
    assert asked.get_performance_stats().failed == 1


async def test_a_provider_that_keeps_up_is_asked_four_at_once_to_begin_with(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("openrouter", "--token-delay", "0.02", models=["openai/gpt-4o"])
    cloud = step(server, reach=Reach.CLOUD, key=KEY, model="openai/gpt-4o")
    client = LLMClient([cloud], reach="cloud", shared=Shared(QUICK, at_once=10))
    await InferenceEngine(client).generate_batch(["Hi"] * 10)
    assert most_at_once(server, "/api/v1/chat/completions") == 4


@pytest.mark.parametrize(
    ("prompts", "error"), [(["a", []], ValueError), (["a", b"b"], TypeError), ("abc", TypeError)]
)
async def test_nothing_of_a_batch_is_sent_where_a_prompt_is_none(
    servers: ServerFactory, step: MakeStep, prompts: list[str], error: type[Exception]
) -> None:
    server = servers("openai_compatible")
    asked = engine(step(server))
    with pytest.raises(error):
        await asked.generate_batch(prompts)
    assert server.requests() == []
    assert asked.get_performance_stats().total == 0


async def test_a_script_that_says_nothing_asks_ten_at_once(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openai_compatible", "--fault", "hang@chat")
    client = LLMClient([step(server, model=SAYS)])
    batch = asyncio.create_task(InferenceEngine(client).generate_batch(["Hi"] * 30))
    await asyncio.to_thread(server.wait_for, "request", 10)
    assert (client.shared.limiter.active, client.shared.limiter.waiting) == (10, 20)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
