"""Servers that are not there, do not let anybody in, or say nothing: cases C1 to C5, C20 and C21."""

import asyncio
import sys
from dataclasses import replace

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.promises import Asking, hits
from tests.llm.small_server import SAYS, small_server
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import LLMConnectionError
from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.places import place_of
from whisper_desktop.values import Deadlines, ErrorKind

PATIENCE_S = 0.3
IDLE_S = 0.005  # after so long the server of C21 closes an idle connection


async def first_token_s(asking: Asking, *chain: Backend) -> float:
    """The seconds until the first token of a chain that has learnt nothing yet; the best of ten."""
    fastest = float("inf")
    for _ in range(10):
        completion = (await asking.ask(asking.client(*chain))).completion
        assert completion.provenance.ttft_seconds is not None
        fastest = min(fastest, completion.provenance.ttft_seconds)
    return fastest


async def test_a_server_that_is_not_running_costs_next_to_nothing_once(
    servers: ServerFactory, step: MakeStep, dead: Backend, asking: Asking, unused_tcp_port: int
) -> None:
    """C1: the next one begins to answer at most 20 ms later, and until its time comes nobody knocks again."""
    second = step(servers("ollama"))
    await asking.ask(asking.client(second))
    added = await first_token_s(asking, dead, second) - await first_token_s(asking, second)
    assert added <= 0.02

    client = asking.client(dead, second, deadlines=replace(QUICK, breaker_local=60))
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.CONNECT_REFUSED, None]
    assert outcome.completion.provenance.reason == "LM Studio did not answer, so Ollama did"
    assert client.shared.health.standing(place_of(dead, None)).state is State.OPEN

    now_there = servers("lm_studio", port=unused_tcp_port)
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.CONNECT_REFUSED, None]
    assert outcome.attempts[0].skipped
    assert outcome.text == "You said: Hi"
    assert now_there.log("connection") == []


@pytest.mark.skipif(sys.platform == "win32", reason="its kernel refuses where others drop")
async def test_a_server_that_lets_nobody_in_costs_the_connect_deadline(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C2: half a second by default, then the next one is asked."""
    full = step(servers("impostor", "--mode", "syn_backlog"), "llama_cpp", model="m")
    outcome = await asking.ask(asking.client(full, step(servers("ollama"))))
    assert outcome.kinds == [ErrorKind.CONNECT_TIMEOUT, None]
    assert outcome.attempts[0].seconds == pytest.approx(Deadlines().connect_local, abs=0.1)
    assert outcome.text == "You said: Hi"
    assert outcome.seconds < 2 * Deadlines().connect_local + tolerance()


@pytest.mark.parametrize(
    "silent",
    [
        ("impostor", "--mode", "hang_accept"),
        ("openai_compatible", "--fault", "hang@all"),
        ("openai_compatible", "--fault", "hang@chat"),
    ],
    ids=["accepts", "reads", "reads the question"],
)
async def test_a_server_that_never_answers_costs_its_first_token_deadline(
    servers: ServerFactory, step: MakeStep, asking: Asking, silent: tuple[str, ...]
) -> None:
    """C3: that long, at most 50 ms more, and it is asked once."""
    server = servers(*silent)
    await leaves_when_its_patience_ends(
        asking, step(server, "openai_compatible", model="m"), step(servers("ollama"))
    )
    assert hits(server) <= 1
    assert len(server.log("connection")) == 1
    await asyncio.to_thread(server.wait_for, "disconnect")


async def test_a_server_that_never_answers_is_asked_once_even_where_nobody_else_is_there(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C3: a second try would cost the whole time again."""
    server = servers("openai_compatible", "--fault", "hang@chat")
    times = replace(QUICK, first_token=PATIENCE_S, no_progress=PATIENCE_S)
    outcome = await asking.ask(asking.client(step(server), deadlines=times))
    error = outcome.failed(LLMConnectionError)
    assert f"did not begin to answer within {PATIENCE_S} s" in str(error)
    assert (outcome.kinds, hits(server)) == ([ErrorKind.FIRST_TOKEN_TIMEOUT], 1)


@pytest.mark.parametrize("fault", ["hang_headers", "stall_mid_stream:0"])
async def test_a_server_that_says_only_hello_costs_its_first_token_deadline_too(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C4: headers, or an empty beginning, are no first token; the failure says what was waited for."""
    server = servers("openai_compatible", "--fault", fault)
    await leaves_when_its_patience_ends(asking, step(server), step(servers("ollama")))
    assert hits(server) == 1
    await asyncio.to_thread(server.wait_for, "disconnect")


async def leaves_when_its_patience_ends(asking: Asking, silent: Backend, second: Backend) -> None:
    """The silent one is left at its first-token deadline, and the second one answers at once."""
    await asking.ask(asking.client(second))
    client = asking.client(silent, second, deadlines=replace(QUICK, first_token=PATIENCE_S))
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.FIRST_TOKEN_TIMEOUT, None]
    assert outcome.text == "You said: Hi"
    left = outcome.attempts[0]
    assert PATIENCE_S <= left.seconds <= PATIENCE_S + tolerance()
    assert left.detail.startswith(f"{left.server_name} did not begin to answer within {PATIENCE_S} s.")
    assert outcome.completion.provenance.ttft_seconds is not None
    assert outcome.completion.provenance.ttft_seconds - outcome.attempts[1].seconds <= (
        PATIENCE_S + tolerance()
    )


@pytest.mark.parametrize("alone", [True, False])
async def test_the_last_one_is_given_more_time_than_the_first_token_deadline(
    servers: ServerFactory, step: MakeStep, dead: Backend, asking: Asking, alone: bool
) -> None:
    """C5: with nobody else left a slow first token is waited for, twice as long as it would be otherwise."""
    slow = step(servers("openai_compatible", "--first-token-delay", f"{2 * PATIENCE_S}"))
    chain = [slow] if alone else [dead, slow]
    outcome = await asking.ask(asking.client(*chain, deadlines=replace(QUICK, first_token=PATIENCE_S)))
    assert outcome.text == "You said: Hi"
    assert outcome.kinds[-1] is None
    assert outcome.attempts[-1].seconds >= 2 * PATIENCE_S


# --- connections that break before the answer ---------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset_before_headers", "close_before_headers"])
async def test_a_connection_that_breaks_before_the_answer_is_asked_for_once_more(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C20: the answer comes, after at most two attempts."""
    server = servers("openai_compatible", "--fault", f"{fault}*1")
    outcome = await asking.ask(asking.client(step(server), deadlines=QUICK))
    assert outcome.text == "You said: Hi"
    assert len(outcome.attempts) <= 2
    assert hits(server) == 2


@pytest.mark.parametrize("fault", ["reset_before_headers", "close_before_headers"])
async def test_a_server_whose_connections_always_break_is_left(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C20: at once where somebody else is there, else after a second attempt."""
    server = servers("openai_compatible", "--fault", fault)
    broken = step(server)
    outcome = await asking.ask(asking.client(broken, step(servers("ollama")), deadlines=QUICK))
    assert outcome.kinds == [ErrorKind.CLOSED_EARLY, None]
    assert outcome.text == "You said: Hi"
    # A kept connection is replaced once without being counted: the server may have closed it meanwhile.
    assert hits(server) <= 2

    outcome = await asking.ask(asking.client(broken, deadlines=QUICK))
    outcome.failed(LLMConnectionError)
    assert outcome.kinds == [ErrorKind.CLOSED_EARLY] * 2


async def test_a_kept_connection_that_the_server_closes_at_that_moment_is_replaced_unseen(
    asking: Asking,
) -> None:
    """C21: 200 questions within milliseconds of the moment at which idle connections are closed; none fails,
    none needs a second attempt.
    """
    async with small_server(idle_s=IDLE_S) as server:
        client = asking.client(server.backend(asking.http))
        for number in range(200):
            outcome = await asking.ask(client)
            assert (outcome.kinds, outcome.text) == ([None], SAYS)
            await asyncio.sleep(IDLE_S * (number % 41) / 40)
        assert server.answers == 200
        assert 1 < server.connections < 200, "some were closed in between, and some were not"


async def test_a_kept_connection_that_closes_without_a_word_counts_as_no_failure(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C21: the question goes out again on a new connection, and the breaker hears nothing of it."""
    server = servers("openai_compatible")
    backend = step(server)
    client = asking.client(backend, deadlines=QUICK)
    for _ in range(4):
        assert (await asking.ask(client)).kinds == [None]
        server.set_fault("close_before_headers", count=1)
        outcome = await asking.ask(client)
        assert outcome.kinds == [None]
        assert outcome.completion.provenance.reason == "OpenAI-compatible server comes first"
    assert hits(server) == 4 * (1 + 2)
    assert client.shared.health.standing(place_of(backend, None)).state is State.CLOSED
