"""Paid backends: what an answer cost is said, and limits are kept, also where a price is unknown."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import Interrupted, LLMConnectionError
from whisper_desktop.llm import InferenceEngine, LLMClient, Shared
from whisper_desktop.llm.ledger import Count, Ledger
from whisper_desktop.llm.messages import as_messages
from whisper_desktop.values import Completion, ErrorKind, GenerationConfig, Reach

MODEL = "openai/gpt-4o"


def client(ledger: Ledger | None, *steps: Backend) -> LLMClient:
    return LLMClient(steps, reach="cloud", shared=Shared(QUICK, ledger=ledger))


@pytest.fixture
def cloud(servers: ServerFactory, step: MakeStep) -> Backend:
    return step(servers("openrouter", models=[MODEL]), reach=Reach.CLOUD, key=KEY, model=MODEL)


async def test_an_answer_says_what_it_cost_and_the_ledger_counts_it(cloud: Backend) -> None:
    ledger = Ledger(None)
    told = (await client(ledger, cloud).chat_completion("Hi")).provenance
    assert told.cost_usd
    assert ledger.today().total.cost_usd == pytest.approx(told.cost_usd)
    assert ledger.today().by_model[("openrouter", MODEL)].answers == 1


async def test_a_limit_that_is_reached_sends_nothing_and_says_so(
    cloud: Backend, servers: ServerFactory
) -> None:
    ledger = Ledger(None, daily_cap=0.0)
    with pytest.raises(LLMConnectionError) as caught:
        await client(ledger, cloud).chat_completion("Hi")
    assert caught.value.kind is ErrorKind.BUDGET
    assert caught.value.next_step


async def test_with_a_limit_the_chain_goes_on_to_what_costs_nothing(
    cloud: Backend, servers: ServerFactory, step: MakeStep
) -> None:
    told = (
        await client(Ledger(None, daily_cap=0.0), cloud, step(servers("ollama"))).chat_completion("Hi")
    ).provenance
    assert [attempt.kind for attempt in told.attempts] == [ErrorKind.BUDGET, None]
    assert told.reason == "OpenRouter would cost more than is allowed, so Ollama answered"
    assert told.cost_usd is None


async def test_with_a_limit_and_no_known_price_nothing_is_sent(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("anthropic")
    backend = step(server, reach=Reach.CLOUD, key=KEY, model="claude-x")
    with pytest.raises(LLMConnectionError) as caught:
        await client(Ledger(None, monthly_cap=100.0), backend).chat_completion("Hi")
    assert caught.value.kind is ErrorKind.BUDGET
    assert [entry for entry in server.requests() if entry["method"] == "POST"] == []


async def test_many_at_once_do_not_overshoot_the_limit_together(cloud: Backend, tmp_path: Path) -> None:
    first = Ledger(None)
    cost = (await client(first, cloud).chat_completion("Hi", max_tokens=4)).provenance.cost_usd
    assert cost
    ledger = Ledger(tmp_path / "spent.db", daily_cap=cost * 20)
    asked = InferenceEngine(client(ledger, cloud))
    results = await asked.generate_batch(["Hi"] * 60, max_tokens=4)
    answered = [result for result in results if isinstance(result, Completion)]
    assert 0 < len(answered) < 60
    assert ledger.today().total.cost_usd <= cost * 20
    await ledger.flush()


@pytest.mark.parametrize("fault", ["error_500", "hang"])
async def test_a_whole_answer_stands_even_if_nobody_says_what_it_cost(
    servers: ServerFactory, step: MakeStep, fault: str
) -> None:
    server = servers("openai_compatible", "--fault", f"{fault}@/v1/models", models=[MODEL])
    quick = replace(QUICK, request=0.2)
    cloud = step(f"{server.url}/v1", "openrouter", reach=Reach.CLOUD, key=KEY, model=MODEL, deadlines=QUICK)
    ledger = Ledger(None)
    shared = Shared(quick, ledger=ledger)
    async with asyncio.timeout(2):
        answer = await LLMClient([cloud], reach="cloud", shared=shared).chat_completion("Hi")
    assert answer.text == "You said: Hi"
    assert answer.provenance.cost_usd is None
    assert ledger.today().total == Count(1, 1, 5, 3, 0)


async def test_without_a_limit_no_price_is_asked_for_before_the_answer(cloud: Backend) -> None:
    shared = Shared(QUICK, ledger=Ledger(None))
    config = GenerationConfig()
    assert await shared.leave_to_spend(cloud, MODEL, prompt=as_messages("Hi"), config=config) is None


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_an_answer_that_nobody_wants_any_more_is_counted_with_what_came_of_it(
    servers: ServerFactory, step: MakeStep, how: str
) -> None:
    server = servers("openrouter", "--tokens", "50", "--fault", "stall_mid_stream:3", models=[MODEL])
    ledger = Ledger(None)
    asked = client(ledger, step(server, reach=Reach.CLOUD, key=KEY, model=MODEL))
    came = asyncio.Event()

    async def read() -> None:
        async with asked.stream("Hi " * 40) as events:
            async for event in events:
                if "word2" in event.text:
                    came.set()
                    if how == "stopped":
                        return

    reading = asyncio.create_task(read())
    await came.wait()
    if how == "cancelled":
        reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    count = ledger.today().by_model[("openrouter", MODEL)]
    assert (count.answers, count.unpriced, count.prompt_tokens) == (1, 0, 30)
    assert 0 < count.completion_tokens < 50
    assert count.nanodollars > 0


async def test_what_was_never_sent_costs_nothing(step: MakeStep, unused_tcp_port: int) -> None:
    ledger = Ledger(None)
    nowhere = f"http://127.0.0.1:{unused_tcp_port}/api/v1"
    with pytest.raises(LLMConnectionError):
        await client(
            ledger, step(nowhere, "openrouter", reach=Reach.CLOUD, key=KEY, model=MODEL)
        ).chat_completion("Hi")
    assert ledger.today().total == Count()


async def test_an_answer_in_vain_is_counted_even_if_nobody_waits_for_its_price(
    servers: ServerFactory, step: MakeStep
) -> None:
    server = servers("openai_compatible", "--fault", "hang@/v1/models")
    cloud = step(f"{server.url}/v1", "openrouter", reach=Reach.CLOUD, key=KEY, model=MODEL)
    ledger = Ledger(None)
    shared = Shared(QUICK, ledger=ledger)
    counting = asyncio.create_task(shared.spent_in_vain(cloud, MODEL, prompt_tokens=7, completion_tokens=2))
    await asyncio.to_thread(server.wait_for, "request", 1)
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting
    assert ledger.today().total == Count(1, 1, 7, 2, 0)


async def test_a_script_that_closes_its_client_has_its_costs_written_down(
    cloud: Backend, tmp_path: Path
) -> None:
    path = tmp_path / "spent.db"
    async with client(Ledger(path), cloud) as asked:
        await asyncio.gather(*(asked.chat_completion("Hi") for _ in range(5)))
    read = Ledger(path)
    await read.refresh()
    assert read.today().total.answers == 5


async def test_the_whole_prompt_counts_against_a_limit(cloud: Backend) -> None:
    price = await cloud.price(MODEL)
    assert price is not None
    cap = 1900 * price.prompt + price.completion
    await client(Ledger(None, daily_cap=cap), cloud).chat_completion("x" * 1800, max_tokens=1)
    with pytest.raises(LLMConnectionError) as caught:
        await client(Ledger(None, daily_cap=cap), cloud).chat_completion("字" * 700, max_tokens=1)
    assert caught.value.kind is ErrorKind.BUDGET


@pytest.mark.parametrize("fault", ["cut_mid_stream:3", "stall_mid_stream:3"])
async def test_an_answer_that_breaks_off_is_counted_all_the_same(
    servers: ServerFactory, step: MakeStep, fault: str
) -> None:
    server = servers("openrouter", "--tokens", "8", "--fault", fault, models=[MODEL])
    ledger = Ledger(None)
    backend = step(server, reach=Reach.CLOUD, key=KEY, model=MODEL)
    times = replace(QUICK, stall_cloud=0.1)
    broken = LLMClient([backend], reach="cloud", shared=Shared(times, ledger=ledger))
    with pytest.raises(Interrupted):
        await broken.chat_completion("Hi")
    assert ledger.today().total.answers == 1
    assert ledger.today().total.cost_usd > 0


async def test_a_refusal_costs_nothing(servers: ServerFactory, step: MakeStep) -> None:
    server = servers("openrouter", "--fault", "error_500", models=[MODEL])
    ledger = Ledger(None)
    backend = step(server, reach=Reach.CLOUD, key=KEY, model=MODEL)
    with pytest.raises(LLMConnectionError):
        await client(ledger, backend).chat_completion("Hi")
    assert ledger.today().total.answers == 0
