"""Servers that come and go, and what is remembered of them: cases C40 to C43."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.held import Question, until
from tests.llm.promises import Asking, Clock, Outcome, hits, state
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.errors import Interrupted, LLMConnectionError
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.places import place_of
from whisper_desktop.values import ErrorKind

SAID = "You said: Hi"
LEAST, MOST = 0.8, 1.2  # of a window, which is never quite as long as another one
CALLS_EVERY_S = 3.0
SLOW_TO_FORGET = replace(QUICK, breaker_local=10, not_an_llm=60)


def who(outcome: Outcome) -> str:
    """Who answered."""
    return outcome.completion.provenance.backend


# --- C40 --------------------------------------------------------------------------------------------------


async def test_who_comes_and_goes_is_asked_once_a_window_and_soon_comes_first_again(
    servers: ServerFactory, step: MakeStep, asking: Asking, unused_tcp_port: int
) -> None:
    """C40: twice a minute of outage with twenty questions, all of which are answered."""
    first = step(f"http://127.0.0.1:{unused_tcp_port}", "lm_studio")
    client = asking.client(first, step(servers("ollama")), deadlines=QUICK)
    clock = Clock(client)
    for _ in range(2):
        asked_at = []
        for _ in range(20):
            outcome = await asking.ask(client)
            assert (outcome.text, who(outcome)) == (SAID, "ollama")
            if not outcome.attempts[0].skipped:
                asked_at.append(clock())
            clock.ahead += CALLS_EVERY_S
        windows = [min(QUICK.breaker_local * 2**number, QUICK.breaker_local_most) for number in range(20)]
        waits = [later - earlier for earlier, later in pairwise(asked_at)]
        assert len(waits) >= 3
        assert all(wait >= LEAST * window for wait, window in zip(waits, windows, strict=False))

        server = servers("lm_studio", port=unused_tcp_port)
        recovered_at = clock()
        while who(await asking.ask(client)) != "lm_studio":
            clock.ahead += CALLS_EVERY_S
        assert clock() - recovered_at <= MOST * windows[len(waits)] + CALLS_EVERY_S
        assert state(client, first) is State.CLOSED
        server.kill()


async def test_of_many_questions_only_one_tries_it_out(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C40: the others do not wait for what becomes of it."""
    server = servers("openai_compatible", "--fault", "html_200")
    client = asking.client(step(server), step(servers("ollama")), hedge=False, deadlines=QUICK)
    clock = Clock(client)
    await asking.ask(client)
    server.set_fault("hang", on="chat")
    clock.ahead = MOST * QUICK.not_an_llm
    probe = Question(client)
    await until(lambda: hits(server) == 2)
    outcomes = await asking.together(client, ["Hi"] * 10)
    assert {who(outcome) for outcome in outcomes} == {"ollama"}
    assert hits(server) == 2
    probe.task.cancel()
    assert await probe.ended()


# --- C41 --------------------------------------------------------------------------------------------------


async def opened(asking: Asking, client: LLMClient, server: RunningServer) -> Clock:
    """The client's clock, at the moment when a server that was taken for a web page may be tried again."""
    clock = Clock(client)
    server.set_fault("html_200")
    await asking.ask(client)
    clock.ahead = MOST * QUICK.not_an_llm
    return clock


@pytest.mark.parametrize("held_at", ["hang", "hang_headers", "stall_mid_stream:1"])
async def test_who_cancels_a_probe_leaves_it_to_the_next_question(
    servers: ServerFactory, step: MakeStep, asking: Asking, held_at: str
) -> None:
    """C41: wherever it was, the server is not left out for ever."""
    server = servers("openai_compatible")
    backend = step(server)
    client = asking.client(backend, step(servers("ollama")), hedge=False, deadlines=QUICK)
    await opened(asking, client, server)
    mode, _, arg = held_at.partition(":")
    server.set_fault(mode, arg, on="chat")
    probe = Question(client)
    await until(lambda: hits(server) == 2)
    if mode == "stall_mid_stream":
        await probe.until(lambda: probe.text != "")
    probe.task.cancel()
    assert await probe.ended()
    server.set_fault()
    outcome = await asking.ask(client)
    assert (outcome.kinds, who(outcome)) == ([None], "openai_compatible")
    assert state(client, backend) is State.CLOSED


async def test_a_short_question_in_advance_can_be_cancelled_too(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C41: who was silent is first asked for its models, which costs less than its deadline."""
    server = servers("openai_compatible", "--fault", "hang@chat")
    backend = step(server)
    times = replace(QUICK, first_token=0.05, progress_grace=0.05)
    client = asking.client(backend, step(servers("ollama")), hedge=False, deadlines=times)
    clock = Clock(client)
    for _ in range(3):
        assert (await asking.ask(client)).kinds == [ErrorKind.FIRST_TOKEN_TIMEOUT, None]
    clock.ahead = MOST * QUICK.breaker_local
    assert state(client, backend) is State.HALF_OPEN
    server.set_fault("hang", on="/v1/models")
    lists, asked = len(server.requests("/v1/models")), hits(server)  # a busy server may not read all of three
    probe = Question(client)
    await until(lambda: len(server.requests("/v1/models")) > lists)
    probe.task.cancel()
    assert await probe.ended()
    assert hits(server) == asked
    server.set_fault()
    assert who(await asking.ask(client)) == "openai_compatible"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("bad_request_400", ErrorKind.BAD_REQUEST),
        ("context_400", ErrorKind.CONTEXT_OVERFLOW),
        ("forbidden_403_moderation", ErrorKind.CONTENT_FILTER),
    ],
)
async def test_a_probe_that_is_refused_for_its_question_is_no_verdict(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str, kind: ErrorKind
) -> None:
    """C41: the question goes where it would go anyway, and the next one tries again."""
    server, second = servers("openai_compatible"), servers("ollama")
    backend = step(server)
    client = asking.client(backend, step(second), hedge=False, deadlines=QUICK)
    await opened(asking, client, server)
    server.set_fault(fault)
    asked = hits(second)
    assert (await asking.ask(client)).kinds[0] is kind
    assert hits(second) - asked == (kind is ErrorKind.CONTEXT_OVERFLOW)
    assert state(client, backend) is State.HALF_OPEN
    server.set_fault()
    outcome = await asking.ask(client)
    assert (outcome.kinds, who(outcome)) == ([None], "openai_compatible")


# --- C42 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["answered", "broken off"])
async def test_what_was_asked_before_it_failed_is_counted_and_opens_nothing_when_it_ends(
    servers: ServerFactory, step: MakeStep, asking: Asking, ending: str
) -> None:
    """C42: a server is as it is now, and not as it was when a question set out."""
    server = servers("openai_compatible", "--first-token-delay", "0.4")
    if ending == "broken off":
        server.set_fault("cut_mid_stream", 1, count=1)
    backend = step(server)
    client = asking.client(backend, step(servers("ollama")), hedge=False, deadlines=SLOW_TO_FORGET)
    late = Question(client)
    await until(lambda: hits(server) == 1)
    server.set_fault("error_500")
    for _ in range(3):
        assert (await asking.ask(client)).kinds == [ErrorKind.SERVER_ERROR, None]
    place = place_of(backend, None)
    before = client.shared.health.standing(place)
    assert before.state is State.OPEN
    assert not late.task.done()
    await asyncio.wait({late.task})
    assert client.shared.health.standing(place) == before
    figures = next(each for each in client.shared.stats().backends if each.backend == backend.id)
    if ending == "answered":
        assert (late.task.result(), figures.answers) == (None, 1)
    else:
        assert isinstance(late.task.exception(), Interrupted)
        assert figures.failures == {ErrorKind.SERVER_ERROR: 3, ErrorKind.STREAM_CUT: 1}


# --- C43 --------------------------------------------------------------------------------------------------


async def test_when_all_have_just_failed_the_one_that_is_due_first_is_asked_after_all(
    servers: ServerFactory, step: MakeStep, asking: Asking, unused_tcp_port: int
) -> None:
    """C43: that one and no other; a moment ago is not now."""
    web_page = servers("openai_compatible", "--fault", "html_200")
    back_soon = step(f"http://127.0.0.1:{unused_tcp_port}", "lm_studio")
    client = asking.client(step(web_page), back_soon, deadlines=SLOW_TO_FORGET)
    (await asking.ask(client)).failed(LLMConnectionError)
    back = servers("lm_studio", port=unused_tcp_port)
    outcome = await asking.ask(client)
    assert outcome.text == SAID
    assert outcome.kinds == [ErrorKind.NOT_AN_LLM, ErrorKind.CONNECT_REFUSED, None]
    assert [attempt.skipped for attempt in outcome.attempts] == [True, True, False]
    assert (hits(web_page), hits(back)) == (1, 1)


async def test_when_all_have_just_failed_and_still_do_that_is_told_at_once(
    servers: ServerFactory, step: MakeStep, asking: Asking, dead: Backend
) -> None:
    """C43: after one attempt, with the cause of each."""
    web_page = servers("openai_compatible", "--fault", "html_200")
    client = asking.client(step(web_page), dead, deadlines=SLOW_TO_FORGET)
    (await asking.ask(client)).failed(LLMConnectionError)
    outcome = await asking.ask(client)
    outcome.failed(LLMConnectionError)
    assert outcome.seconds <= tolerance()
    told = {attempt.server_name: attempt.kind for attempt in outcome.attempts}
    assert told == {
        "OpenAI-compatible server": ErrorKind.NOT_AN_LLM,
        "LM Studio": ErrorKind.CONNECT_REFUSED,
    }
    assert [attempt.skipped for attempt in outcome.attempts].count(False) == 1
    assert all("asked again in" in attempt.detail for attempt in outcome.attempts if attempt.skipped)
    assert hits(web_page) == 1


async def test_when_all_want_to_be_left_alone_nobody_is_asked(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C43: the person hears at once who may be asked again when."""
    chain = [servers(name, "--fault", "rate_429:3600") for name in ("openai_compatible", "lm_studio")]
    client = asking.client(*(step(server) for server in chain), deadlines=QUICK)
    (await asking.ask(client)).failed(LLMConnectionError)
    asked = [hits(server) for server in chain]
    outcome = await asking.ask(client)
    outcome.failed(LLMConnectionError)
    assert outcome.seconds <= tolerance()
    assert {attempt.kind for attempt in outcome.attempts} == {ErrorKind.RATE_LIMITED}
    assert [attempt.backend for attempt in outcome.attempts] == ["openai_compatible", "lm_studio"]
    assert all("It asked to be left alone until" in attempt.detail for attempt in outcome.attempts)
    assert [hits(server) for server in chain] == asked


async def test_when_all_want_to_be_left_alone_for_a_moment_that_moment_is_waited_for(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C43: the one that may be asked first answers, and none is told twice."""
    later = servers("openai_compatible", "--fault", "rate_429:3600")
    soon = servers("lm_studio", "--fault", "rate_429:1.5*2")
    client = asking.client(step(later), step(soon), deadlines=replace(QUICK, connect_local=5))
    (await asking.ask(client)).failed(LLMConnectionError)
    outcome = await asking.ask(client)
    assert [(each.backend, each.skipped) for each in outcome.attempts] == [
        ("openai_compatible", True),
        ("lm_studio", True),
        ("lm_studio", False),
    ]
    assert (outcome.text, hits(later)) == ("You said: Hi", 1)
