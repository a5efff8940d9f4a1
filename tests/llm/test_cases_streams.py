"""Streams that are odd, or broken, or too long: cases C25 to C33."""

import asyncio
from dataclasses import replace

import pytest

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.promises import Asking, hits
from tests.llm.tolerance import tolerance
from tests.servers.fixtures import ServerFactory
from whisper_desktop.backends import Backend
from whisper_desktop.errors import Interrupted, LLMConnectionError
from whisper_desktop.values import AnswerStarted, ErrorKind, OnInterruption

DRAIN_S = 0.25
SAID = "You said: Hi"


async def test_an_answer_that_is_complete_is_finished_although_the_server_keeps_the_line_open(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C25: with a finish reason and no end of the stream it is done a quarter of a second later."""
    server = servers("openai_compatible", "--fault", "no_done")
    outcome = await asking.ask(asking.client(step(server, deadlines=replace(QUICK, drain=DRAIN_S))))
    assert (outcome.text, outcome.kinds) == (SAID, [None])
    told = outcome.completion.provenance
    assert told.ttft_seconds is not None
    assert told.total_seconds - told.ttft_seconds < DRAIN_S + tolerance()
    left = await asyncio.to_thread(server.wait_for, "disconnect")
    assert left["path"].endswith("/chat/completions")


@pytest.mark.parametrize("tokens", [1, 20])
async def test_a_stall_in_the_middle_ends_at_its_limit(
    servers: ServerFactory, step: MakeStep, asking: Asking, tokens: int
) -> None:
    """C26: the text that came is kept, and the connection is closed."""
    server = servers("openai_compatible", "--tokens", "30", "--fault", f"stall_mid_stream:{tokens}")
    outcome = await asking.ask(asking.client(step(server), deadlines=replace(QUICK, stall=0.3)))
    error = outcome.failed(Interrupted)
    assert isinstance(error, Interrupted)
    assert error.kind is ErrorKind.STALLED
    assert error.partial_text == " ".join(f"word{number}" for number in range(tokens))
    assert 0.3 <= outcome.attempts[0].seconds < 0.3 + 4 * tolerance()
    await asyncio.to_thread(server.wait_for, "disconnect")


async def test_after_a_stall_the_next_one_begins_anew_if_that_is_wished(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C26, with *restart*: what came is set aside, the answer is whole, and says why."""
    first = servers("openai_compatible", "--tokens", "30", "--fault", "stall_mid_stream:20")
    client = asking.client(
        step(first),
        step(servers("ollama")),
        on_interruption=OnInterruption.RESTART,
        deadlines=replace(QUICK, stall=0.3),
    )
    outcome = await asking.ask(client)
    assert outcome.text == SAID
    assert outcome.kinds == [ErrorKind.STALLED, None]
    assert outcome.completion.provenance.reason == (
        "OpenAI-compatible server stopped in the middle, so Ollama answered"
    )


async def test_comments_alone_do_not_keep_a_dead_stream_alive(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C27: a stream of nothing but keep-alive comments is left, and asked only once."""
    server = servers("openai_compatible", "--fault", "comments_only:0.01")
    times = replace(QUICK, first_token=0.3, comments_only=0.5)
    outcome = await asking.ask(asking.client(step(server), step(servers("ollama")), deadlines=times))
    assert outcome.kinds == [ErrorKind.FIRST_TOKEN_TIMEOUT, None]
    assert outcome.attempts[0].seconds < times.comments_only + tolerance()
    assert hits(server) == 1


@pytest.mark.parametrize("fault", ["error_first", "error_mid_stream:0", "json_error_200"])
async def test_an_error_in_place_of_an_answer_is_not_shown_when_another_one_answers(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C28, and C29 before any text: the next one answers, and only provenance tells."""
    first = servers("openai_compatible", "--fault", fault)
    outcome = await asking.ask(asking.client(step(first), step(servers("ollama"))))
    assert outcome.kinds == [ErrorKind.SERVER_ERROR, None]
    assert outcome.text == SAID
    started = [event.backend for event in outcome.events if isinstance(event, AnswerStarted)]
    assert started == ["ollama"], "nobody begins to answer who has nothing to say"


@pytest.mark.parametrize(("wish", "ended"), [("stop", Interrupted), ("restart", None)])
async def test_an_error_after_text_is_handled_as_the_person_wishes(
    servers: ServerFactory, step: MakeStep, asking: Asking, wish: str, ended: type[Exception] | None
) -> None:
    """C29: after ten words."""
    first = servers("openai_compatible", "--tokens", "20", "--fault", "error_mid_stream:10")
    second = servers("ollama")
    outcome = await asking.ask(asking.client(step(first), step(second), on_interruption=wish))
    if ended is None:
        assert outcome.text == SAID
    else:
        assert isinstance(outcome.error, Interrupted)
        assert len(outcome.error.partial_text.split()) == 10
        assert second.requests() == []
    assert outcome.kinds[0] is ErrorKind.SERVER_ERROR


async def test_one_broken_event_is_passed_over_and_many_are_not(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C30: one costs nothing, five end the answer as broken."""
    server = servers("openai_compatible", "--tokens", "10", "--fault", "malformed:4:1")
    words = " ".join(f"word{number}" for number in range(10))
    client = asking.client(step(server))
    assert (await asking.ask(client)).text == words
    server.set_fault("malformed", "4:5", on="chat")
    outcome = await asking.ask(client)
    assert isinstance(outcome.error, Interrupted)
    assert outcome.error.kind is ErrorKind.MALFORMED


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("html_200", ErrorKind.NOT_AN_LLM),
        ("empty_200", ErrorKind.EMPTY),
        ("login_302", ErrorKind.NOT_AN_LLM),
        ("redirect", ErrorKind.NOT_AN_LLM),
        ("garbage", ErrorKind.MALFORMED),
    ],
)
async def test_what_is_no_model_server_is_named_with_its_address_and_left(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str, kind: ErrorKind
) -> None:
    """C31: a web page, nothing at all, another program's answer, a login page."""
    first = servers("openai_compatible", "--fault", fault)
    outcome = await asking.ask(asking.client(step(first), step(servers("ollama"))))
    assert outcome.kinds == [kind, None]
    if kind is ErrorKind.NOT_AN_LLM:
        assert f"127.0.0.1:{first.port}" in outcome.attempts[0].detail
    assert outcome.text == SAID
    assert hits(first) == 1


async def test_json_of_another_api_is_no_answer(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C31: 200 and JSON, but a list."""
    other = step(servers("impostor", "--mode", "json_list"), "openai_compatible", model="m")
    outcome = await asking.ask(asking.client(other, step(servers("ollama"))))
    assert outcome.kinds == [ErrorKind.NOT_AN_LLM, None]


async def test_an_empty_answer_is_asked_for_elsewhere_once(
    servers: ServerFactory, step: MakeStep, asking: Asking, dead: Backend
) -> None:
    """C32: the second empty one is told, and nobody else is bothered."""
    empty = [servers("openai_compatible", "--fault", "empty_answer") for _ in range(2)]
    third = servers("ollama")
    outcome = await asking.ask(asking.client(step(empty[0]), step(third)))
    assert outcome.kinds == [ErrorKind.EMPTY, None]
    asked = len(third.requests())
    outcome = await asking.ask(asking.client(step(empty[0]), step(empty[1]), step(third)))
    assert outcome.error is not None
    assert outcome.kinds == [ErrorKind.EMPTY, ErrorKind.EMPTY]
    assert len(third.requests()) == asked


@pytest.mark.parametrize(
    "fault",
    [
        "crlf",
        "cr",
        "no_space",
        "multi_line",
        "with_comments",
        "bom",
        "gzip",
        "byte_by_byte",
        "split_utf8",
        "no_finish",
    ],
)
async def test_the_same_answer_in_other_bytes_is_the_same_answer(
    servers: ServerFactory, step: MakeStep, asking: Asking, fault: str
) -> None:
    """C33: line ends, comments, packing, cuts in the middle of a letter. C24: an end without a reason."""
    text = "Grüße, 日本 und 🦙 zurück."
    server = servers("openai_compatible", "--answer", text, "--fault", fault)
    outcome = await asking.ask(asking.client(step(server)))
    assert (outcome.text, outcome.kinds) == (text, [None])


async def test_an_event_too_large_to_be_true_is_refused(
    servers: ServerFactory, step: MakeStep, asking: Asking
) -> None:
    """C33: nine megabytes in one event."""
    server = servers("openai_compatible", "--fault", "huge_event:9")
    outcome = await asking.ask(asking.client(step(server)))
    assert isinstance(outcome.error, LLMConnectionError)
    assert outcome.kinds == [ErrorKind.MALFORMED]
