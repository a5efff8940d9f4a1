"""The rules of the chain, as a table: every failure, wherever it happens, has one right consequence."""

import pytest

from whisper_desktop.llm.decisions import (
    Action,
    Decision,
    Position,
    decide,
    may_ask,
    most_actionable,
    reason_for,
)
from whisper_desktop.values import Attempt, Deadlines, ErrorKind, Reach

TIMES = Deadlines(loading_move_on=2, loading_wait=100, loading_poll=0.1, retry_pause=0.3, retry_after_most=3)
STOPPING = {ErrorKind.BAD_REQUEST, ErrorKind.CONTENT_FILTER, ErrorKind.CONTEXT_OVERFLOW, ErrorKind.CANCELLED}
SECOND_TRY = {ErrorKind.SERVER_ERROR, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED, ErrorKind.CLOSED_EARLY}


def attempt(kind: ErrorKind | None, name: str = "LM Studio") -> Attempt:
    return Attempt("x", name, "http://127.0.0.1:1", None, kind, "", 0.0)


@pytest.mark.parametrize("kind", ErrorKind)
def test_with_somebody_left_to_ask_the_chain_moves_on_stops_or_waits_but_never_retries(
    kind: ErrorKind,
) -> None:
    action = decide(kind, Position(later_step=True), TIMES).action
    expected = (
        Action.STOP if kind in STOPPING else Action.WAIT if kind is ErrorKind.LOADING else Action.MOVE_ON
    )
    assert action is expected


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_the_last_step_is_tried_twice_and_only_where_that_can_help(kind: ErrorKind) -> None:
    first = decide(kind, Position(later_step=False), TIMES)
    second = decide(kind, Position(later_step=False, retried=True), TIMES)
    assert (first.action is Action.RETRY) is (kind in SECOND_TRY)
    assert second.action is not Action.RETRY


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("later", [True, False])
def test_after_output_was_shown_nobody_else_answers(kind: ErrorKind, later: bool) -> None:
    assert decide(kind, Position(later, output_seen=True), TIMES) == Decision(Action.INTERRUPT)


@pytest.mark.parametrize(
    ("later", "waited", "action"),
    [
        (True, 1.9, Action.WAIT),
        (True, 2.0, Action.MOVE_ON),
        (False, 99.0, Action.WAIT),
        (False, 100.0, Action.MOVE_ON),
    ],
)
def test_a_loading_server_gets_a_grace_or_the_whole_wait(later: bool, waited: float, action: Action) -> None:
    assert decide(ErrorKind.LOADING, Position(later, waited=waited), TIMES).action is action


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, Decision(Action.RETRY, 0.3)),
        (0.0, Decision(Action.RETRY, 0.0)),
        (3.0, Decision(Action.RETRY, 3.0)),
        (3600.0, Decision(Action.MOVE_ON)),
    ],
)
def test_a_wait_that_the_server_asks_for_is_kept_when_it_is_short(
    retry_after: float | None, expected: Decision
) -> None:
    assert decide(ErrorKind.RATE_LIMITED, Position(later_step=False), TIMES, retry_after) == expected


@pytest.mark.parametrize(
    ("reach", "allowed", "may"),
    [
        (Reach.THIS_MACHINE, Reach.THIS_MACHINE, True),
        (Reach.MY_NETWORK, Reach.THIS_MACHINE, False),
        (Reach.CLOUD, Reach.MY_NETWORK, False),
        (None, Reach.THIS_MACHINE, False),
        (None, Reach.MY_NETWORK, False),
        (None, Reach.CLOUD, True),
        (Reach.MY_NETWORK, Reach.CLOUD, True),
    ],
)
def test_a_backend_that_nobody_can_place_counts_as_the_cloud(
    reach: Reach | None, allowed: Reach, may: bool
) -> None:
    assert may_ask(reach, allowed) is may


@pytest.mark.parametrize(
    ("kinds", "headline"),
    [
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.AUTH, ErrorKind.OFFLINE], 1),
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.MODEL_MISSING], 1),
        ([ErrorKind.LOADING, ErrorKind.CONNECT_REFUSED], 0),
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.CONSENT_REQUIRED], 1),
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.NOT_CONFIGURED], 0),
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.CONNECT_REFUSED], 0),
        ([ErrorKind.CONNECT_REFUSED, ErrorKind.STREAM_CUT], 1),
    ],
)
def test_the_headline_is_what_a_person_can_do_most_about(kinds: list[ErrorKind], headline: int) -> None:
    assert most_actionable([attempt(kind) for kind in kinds]) == headline


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        ([], "Ollama comes first"),
        ([attempt(ErrorKind.CONNECT_REFUSED)], "LM Studio did not answer, so Ollama did"),
        (
            [attempt(ErrorKind.CONNECT_REFUSED), attempt(ErrorKind.FIRST_TOKEN_TIMEOUT, "llama.cpp")],
            "LM Studio and llama.cpp did not answer, so Ollama did",
        ),
        (
            [attempt(ErrorKind.STALLED, "A"), attempt(ErrorKind.TLS, "B"), attempt(ErrorKind.EMPTY, "C")],
            "A and B did not answer and C gave an empty answer, so Ollama answered",
        ),
        ([attempt(ErrorKind.LOADING)], "LM Studio was still loading its model, so Ollama answered"),
        ([attempt(ErrorKind.SERVER_ERROR, "Ollama")], "Ollama answered at the second try"),
    ],
)
def test_provenance_says_why_it_was_this_one(failed: list[Attempt], reason: str) -> None:
    assert reason_for("Ollama", failed) == reason
