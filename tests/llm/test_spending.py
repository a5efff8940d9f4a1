"""Paid backends: what an answer cost is said, and limits are kept, also where a price is unknown."""

from pathlib import Path

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import LLMConnectionError
from whisper_desktop.llm import InferenceEngine, LLMClient, Shared
from whisper_desktop.llm.ledger import Ledger
from whisper_desktop.values import Completion, ErrorKind, Reach

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
