"""Two backends side by side: when the second is asked, who wins, and that the loser is stopped."""

import asyncio
from dataclasses import replace

import pytest

from tests.llm.conftest import KEY, QUICK, MakeStep
from tests.llm.promises import Asking
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import AnswerFinished, ErrorKind, Reach

CHAT = "/v1/chat/completions"
SOON = replace(QUICK, hedge=0.2)


async def knows_its_model(backend: Backend) -> Backend:
    """The backend, after it has seen that its model is loaded."""
    await backend.load_model()
    assert backend.is_ready(None) is True
    return backend


async def test_the_next_one_is_asked_when_the_first_is_slow_and_the_first_token_wins(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    slow = servers("openai_compatible", "--first-token-delay", "30")
    fast = await knows_its_model(step(servers("lm_studio")))
    outcome = await asking.ask(asking.client(step(slow), fast, deadlines=SOON))
    assert outcome.text == "You said: Hi"
    assert outcome.completion.provenance.backend == "lm_studio"
    assert outcome.kinds == [ErrorKind.CANCELLED, None]
    assert outcome.completion.provenance.reason == (
        "OpenAI-compatible server was slower, so LM Studio answered"
    )
    assert outcome.seconds >= SOON.hedge
    await asyncio.to_thread(slow.wait_for, "disconnect")


async def test_the_first_one_may_still_win(servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
    first = servers("openai_compatible", "--first-token-delay", "0.5")
    second = servers("lm_studio", "--first-token-delay", "30")
    chain = [step(first), await knows_its_model(step(second))]
    outcome = await asking.ask(asking.client(*chain, deadlines=SOON))
    assert outcome.completion.provenance.backend == "openai_compatible"
    assert outcome.kinds == [ErrorKind.CANCELLED, None]
    assert isinstance(outcome.events[-1], AnswerFinished)
    await asyncio.to_thread(second.wait_for, "disconnect")


async def test_a_quick_first_one_keeps_the_second_out_of_it(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    second = servers("lm_studio")
    chain = [step(servers("openai_compatible")), await knows_its_model(step(second))]
    outcome = await asking.ask(asking.client(*chain, deadlines=SOON))
    assert outcome.kinds == [None]
    assert second.requests(CHAT) == []


async def test_no_second_model_is_loaded_onto_this_computer_for_it(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    slow = servers("openai_compatible", "--first-token-delay", "0.6")
    idle = servers("lm_studio", models=[{"id": "big", "loaded": False}])
    cold = step(idle)
    await cold.list_models()
    outcome = await asking.ask(asking.client(step(slow), cold, deadlines=SOON))
    assert outcome.kinds == [None]
    assert idle.requests(CHAT) == []


@pytest.mark.parametrize(("paid_allowed", "kinds"), [(False, [None]), (True, [ErrorKind.CANCELLED, None])])
async def test_money_is_only_spent_on_it_with_consent(
    servers: ServerFactory,
    step: MakeStep,
    asking: Asking,
    paid_allowed: bool,
    kinds: list[ErrorKind | None],
) -> None:
    slow = servers("openai_compatible", "--first-token-delay", "1")
    cloud = servers("openrouter", models=["openai/gpt-4o"])
    paid = step(cloud, reach=Reach.CLOUD, key=KEY, model="openai/gpt-4o")
    client = asking.client(step(slow), paid, reach="cloud", hedge_paid=paid_allowed, deadlines=SOON)
    assert (await asking.ask(client)).kinds == kinds


async def test_it_can_be_switched_off(servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
    slow = servers("openai_compatible", "--first-token-delay", "0.5")
    second = await knows_its_model(step(servers("lm_studio")))
    client = asking.client(step(slow), second, hedge=False, deadlines=SOON)
    assert (await asking.ask(client)).kinds == [None]


async def test_a_prompt_that_is_being_read_is_no_reason_to_ask_somebody_else(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    reading = servers("llama_cpp", "--prompt-seconds", "1")
    second = servers("lm_studio")
    chain = [step(reading), await knows_its_model(step(second))]
    outcome = await asking.ask(asking.client(*chain, deadlines=replace(SOON, hedge=0.5)), "word " * 50)
    assert outcome.kinds == [None]
    assert second.requests(CHAT) == []


async def test_when_the_second_fails_the_first_is_still_waited_for(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    first = servers("openai_compatible", "--first-token-delay", "0.5")
    broken = await knows_its_model(step(servers("lm_studio", "--fault", "error_500")))
    outcome = await asking.ask(asking.client(step(first), broken, deadlines=SOON))
    assert outcome.kinds == [ErrorKind.SERVER_ERROR, None]
    assert outcome.completion.provenance.backend == "openai_compatible"


async def test_when_the_first_fails_meanwhile_the_second_answers(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    first = servers("openai_compatible")
    first.set_fault("hang", on="chat")
    second = await knows_its_model(step(servers("lm_studio", "--first-token-delay", "0.5")))
    times = replace(SOON, first_token=0.4)
    outcome = await asking.ask(asking.client(step(first), second, deadlines=times))
    assert outcome.kinds == [ErrorKind.FIRST_TOKEN_TIMEOUT, None]


async def test_a_question_that_would_fail_everywhere_ends_the_race(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    first = servers("openai_compatible", "--first-token-delay", "30")
    second = await knows_its_model(step(servers("lm_studio", "--fault", "bad_request_400")))
    outcome = await asking.ask(asking.client(step(first), second, deadlines=SOON))
    assert outcome.failed(BackendError).args
    assert outcome.attempts[-1].kind is ErrorKind.BAD_REQUEST
    await asyncio.to_thread(first.wait_for, "disconnect")


async def test_cancelling_stops_both(servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
    first, second = (
        servers(name, "--first-token-delay", "30") for name in ("openai_compatible", "lm_studio")
    )
    client = asking.client(step(first), await knows_its_model(step(second)), deadlines=SOON)
    task = asyncio.create_task(client.chat_completion("Hi"))
    await asyncio.to_thread(second.wait_for, "request", 1 + len(second.requests()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for server in (first, second):
        assert (await asyncio.to_thread(server.wait_for, "disconnect"))["after_s"] < 5


async def test_who_is_usually_quick_is_not_waited_for_longer_than_usual(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    first = servers("openai_compatible")
    second = await knows_its_model(step(servers("lm_studio")))
    client = asking.client(step(first), second, deadlines=QUICK)
    for _ in range(5):
        await asking.ask(client)
    first.set_fault("hang", on="chat")
    outcome = await asking.ask(client)
    assert outcome.completion.provenance.backend == "lm_studio"
    assert outcome.seconds < QUICK.hedge / 2
