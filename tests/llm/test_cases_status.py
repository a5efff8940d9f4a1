"""What servers refuse for now, and what is done about it: cases C6 to C12."""

import time
from dataclasses import replace

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.promises import Asking, Clock, hits, pause_s, state
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import LLMConnectionError
from whisper_desktop.llm.breaker import LONGEST_FLOOR, State
from whisper_desktop.llm.health import Health
from whisper_desktop.llm.places import place_of
from whisper_desktop.values import AttemptFailed, ErrorKind, Phase, Progress, Reach

# --- failures that pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [True, False])
async def test_a_single_failure_of_the_last_one_is_tried_again_and_not_seen(
    servers: ServerFactory, step: MakeStep, dead: Backend, asking: Asking, alone: bool
) -> None:
    """C6: one quick second try of the same server, which answers."""
    server = servers("openai_compatible", "--fault", "error_500*1")
    chain = [step(server)] if alone else [dead, step(server)]
    outcome = await asking.ask(asking.client(*chain, deadlines=QUICK))
    assert outcome.text == "You said: Hi"
    assert outcome.kinds[-2:] == [ErrorKind.SERVER_ERROR, None]
    assert hits(server) == 2
    assert QUICK.retry_pause <= pause_s(server) <= QUICK.retry_pause + tolerance()


async def test_nobody_waits_for_a_second_try_while_somebody_else_is_there(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C6: with a later step a failing server is left at once, and comes first again the next time."""
    server = servers("openai_compatible", "--fault", "error_500*1")
    client = asking.client(step(server), step(servers("ollama")), deadlines=QUICK)
    assert (await asking.ask(client)).kinds == [ErrorKind.SERVER_ERROR, None]
    assert hits(server) == 1
    outcome = await asking.ask(client)
    assert outcome.kinds == [None]
    assert outcome.completion.provenance.backend == "openai_compatible"


async def test_after_three_failures_in_a_row_a_server_is_left_out(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C7: the fourth question goes straight to the next one."""
    server = servers("openai_compatible", "--fault", "busy_503")
    client = asking.client(step(server), step(servers("ollama")), deadlines=replace(QUICK, breaker_local=60))
    for number in range(1, 4):
        outcome = await asking.ask(client)
        assert outcome.kinds == [ErrorKind.OVERLOADED, None]
        assert hits(server) == number
    outcome = await asking.ask(client)
    assert outcome.text == "You said: Hi"
    assert [attempt.skipped for attempt in outcome.attempts] == [True, False]
    assert hits(server) == 3


# --- a model that is loading ------------------------------------------------------------------------------


async def test_a_loading_model_is_waited_for_where_nobody_else_could_answer(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C8: the person sees that it loads, and then the answer; nothing counts as a failure."""
    server = servers("llama_cpp", "--fault", "loading:0.5")
    backend = step(server)
    client = asking.client(backend, deadlines=QUICK)
    outcome = await asking.ask(client)
    assert (outcome.text, outcome.kinds) == ("You said: Hi", [None])
    assert Progress(Phase.LOADING, server_name=backend.name) in outcome.events
    assert not any(isinstance(event, AttemptFailed) for event in outcome.events)
    assert client.shared.metrics.stats().backends[0].failures == {}
    assert state(client, backend) is State.CLOSED


async def test_a_loading_model_is_left_for_somebody_who_answers_sooner_and_is_no_failure(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C8: after a short grace the next one answers; once it is loaded, it comes first again."""
    server = servers("llama_cpp", "--fault", "loading:60")
    backend = step(server)
    client = asking.client(backend, step(servers("ollama")), deadlines=replace(QUICK, loading_move_on=0.1))
    for _ in range(4):
        outcome = await asking.ask(client)
        assert outcome.kinds == [ErrorKind.LOADING, None]
        assert outcome.attempts[0].seconds <= 0.1 + QUICK.loading_poll + tolerance()
    assert outcome.completion.provenance.reason == (
        "llama.cpp was still loading its model, so Ollama answered"
    )
    assert state(client, backend) is State.CLOSED
    server.set_fault()
    assert (await asking.ask(client)).completion.provenance.backend == "llama_cpp"


@pytest.mark.parametrize("name", ["lm_studio", "ollama"])
async def test_a_server_that_loads_before_it_answers_is_not_taken_for_a_silent_one(
    servers: ServerFactory, step: MakeStep, asking: Asking, name: str
) -> None:
    """C8: where the answer simply waits for the model, the deadline is that of loading."""
    server = servers(name, "--load-seconds", "0.5", models=[{"id": "big", "loaded": False}])
    backend = step(server)
    client = asking.client(backend, deadlines=replace(QUICK, first_token=0.1, no_progress=0.1))
    outcome = await asking.ask(client)
    assert (outcome.text, outcome.kinds) == ("You said: Hi", [None])
    assert Progress(Phase.LOADING, server_name=backend.name) in outcome.events
    assert state(client, backend) is State.CLOSED


# --- too many questions -----------------------------------------------------------------------------------


async def test_a_short_wait_that_the_last_one_asks_for_is_waited_out(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C9: exactly that long, then the same server answers."""
    server = servers("openai_compatible", "--fault", "rate_429:0.4*1")
    outcome = await asking.ask(asking.client(step(server), deadlines=QUICK))
    assert outcome.text == "You said: Hi"
    assert outcome.kinds == [ErrorKind.RATE_LIMITED, None]
    assert 0.4 <= pause_s(server) <= 0.4 + tolerance()


@pytest.mark.parametrize("batch", [True, False])
async def test_a_longer_wait_is_waited_out_only_where_nobody_sits_at_a_screen(
    servers: ServerFactory, step: MakeStep, asking: Asking, batch: bool
) -> None:
    """C9: for a person the limit is `retry_after_most`, for a batch another one."""
    server = servers("openai_compatible", "--fault", "rate_429:0.4*1")
    times = replace(QUICK, retry_after_most=0.2)
    outcome = await asking.ask(asking.client(step(server), deadlines=times), batch=batch)
    assert hits(server) == (2 if batch else 1)
    assert (outcome.error is None) is batch
    if not batch:
        assert outcome.seconds < 0.4


async def test_a_server_that_asks_for_an_hour_is_left_alone_for_an_hour(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C10: the next one answers at once, and for an hour nobody asks again."""
    server = servers("openai_compatible", "--fault", "rate_429:3600*1")
    client = asking.client(step(server), step(servers("ollama")), deadlines=QUICK)
    clock = Clock(client)
    outcome = await asking.ask(client)
    assert outcome.kinds == [ErrorKind.RATE_LIMITED, None]
    assert outcome.attempts[0].seconds < 0.4
    for clock.ahead in (0.0, 3590.0):
        outcome = await asking.ask(client)
        assert outcome.attempts[0].skipped
        assert "It asked to be left alone" in outcome.attempts[0].detail
    assert hits(server) == 1
    clock.ahead = 3601.0
    assert (await asking.ask(client)).completion.provenance.backend == "openai_compatible"


async def test_new_settings_end_the_hour(servers: ServerFactory, step: MakeStep, asking: Asking) -> None:
    """C10: whoever enters another key does not wait for the limits of the old one."""
    server = servers("openai_compatible", "--fault", "rate_429:3600*1")
    client = asking.client(step(server), step(servers("ollama")), deadlines=QUICK)
    await asking.ask(client)
    client.shared.health.forgive(server.url)
    assert (await asking.ask(client)).completion.provenance.backend == "openai_compatible"


async def test_an_hour_is_not_waited_out_even_where_nobody_else_is_there(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C10: the person hears at once when to try again, and the server hears nothing until then."""
    server = servers("openai_compatible", "--fault", "rate_429:3600")
    client = asking.client(step(server), deadlines=QUICK)
    for _ in range(2):
        outcome = await asking.ask(client)
        outcome.failed(LLMConnectionError)
        assert outcome.seconds < 0.4
        assert hits(server) == 1
    assert "It asked to be left alone" in str(outcome.error)


OWN = None  # the wish is no wish: the second try comes after our own pause
LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"
ONE_SECOND_LATER = "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("0.4", 0.4),
        ("retry-after-ms=400", 0.4),
        ("x-ms-retry-after-ms=400", 0.4),
        ("Retry-After=3600|retry-after-ms=400", 0.4),
        ("x-ratelimit-reset-requests=400ms", 0.4),
        ("0", 0.0),
        (f"Date={LONG_AGO}|Retry-After={LONG_AGO}", 0.0),
        (f"Date={LONG_AGO}|Retry-After={ONE_SECOND_LATER}", 1.0),
        (LONG_AGO, OWN),
        ("-1", OWN),
        ("inf", OWN),
        ("nan", OWN),
        ("1e400", OWN),
        ("abc", OWN),
    ],
)
async def test_the_time_to_wait_is_understood_in_all_its_forms(
    servers: ServerFactory, step: MakeStep, asking: Asking, said: str, wait: float | None
) -> None:
    """C11: a moment counts by the server's own clock, and nonsense is no wish."""
    server = servers("openai_compatible")
    server.set_fault("rate_429", said, count=1)
    times = replace(QUICK, retry_pause=0.2)
    outcome = await asking.ask(asking.client(step(server), deadlines=times))
    assert outcome.text == "You said: Hi"
    expected = times.retry_pause if wait is OWN else wait
    assert expected <= pause_s(server) <= expected + tolerance()


@pytest.mark.parametrize(
    "said", ["3.5", "3600", "1e30", f"Date={LONG_AGO}|Retry-After=Fri, 21 Oct 2095 07:28:00 GMT"]
)
async def test_no_wait_is_longer_than_the_limit_whatever_a_server_says(
    servers: ServerFactory, step: MakeStep, asking: Asking, said: str
) -> None:
    """C11: nobody sleeps for longer than a person would, and a server is left alone for a day at most."""
    server = servers("openai_compatible")
    server.set_fault("rate_429", said)
    backend = step(server)
    client = asking.client(backend, deadlines=QUICK)
    outcome = await asking.ask(client)
    outcome.failed(LLMConnectionError)
    assert outcome.seconds < 0.4
    assert hits(server) == 1
    left_alone = client.shared.health.standing(place_of(backend, None)).until - time.monotonic()
    assert QUICK.retry_after_most < left_alone <= LONGEST_FLOOR


async def test_a_crowd_that_is_told_to_slow_down_does(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C12: of 50 questions at once four at most reach the server, all are answered, half as many at most go
    there from now on, and none for some seconds.
    """
    server = servers("openai_compatible", "--fault", "rate_429")
    far = step(server, reach=Reach.CLOUD)
    client = asking.client(far, step(servers("ollama")), reach="cloud", deadlines=QUICK)
    clock = Clock(client)
    outcomes = await asking.together(client, ["Hi"] * 50)
    assert {outcome.text for outcome in outcomes} == {"You said: Hi"}
    assert hits(server) <= 4
    limit = client.shared.limiter.limit_at(place_of(far, None).origin)
    assert limit is not None
    assert limit == 2
    clock.ahead = 3.0
    assert (await asking.ask(client)).attempts[0].skipped


async def test_those_who_were_told_to_slow_down_together_do_not_come_back_together(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C12: each program waits a little longer or shorter than the others, around five seconds."""
    server = servers("openai_compatible", "--fault", "rate_429")
    far, second = step(server, reach=Reach.CLOUD), step(servers("ollama"))
    waits = []
    for _ in range(5):
        client = asking.client(far, second, reach="cloud", deadlines=QUICK)
        client.shared.health = Health(QUICK, clock=lambda: 1000.0)
        await asking.together(client, ["Hi"] * 3)
        waits.append(client.shared.health.standing(place_of(far, None)).until - 1000.0)
    assert all(4 <= wait <= 6 for wait in waits)
    assert len(set(waits)) == 5
