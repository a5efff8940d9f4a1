"""The rules of the chain, as a table: every failure, wherever it happens, has one right consequence."""

import pytest

from whisper_desktop.llm.decisions import (
    Action,
    Decision,
    Position,
    after_interruption,
    decide,
    may_ask,
    may_hedge,
    most_actionable,
    needs_of,
    reason_for,
)
from whisper_desktop.values import (
    Attempt,
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Image,
    Message,
    OnInterruption,
    Reach,
    Role,
    ToolSpec,
)

TIMES = Deadlines(loading_move_on=2, loading_wait=100, loading_poll=0.1, retry_pause=0.3, retry_after_most=3)
STOPPING = {ErrorKind.BAD_REQUEST, ErrorKind.CONTENT_FILTER, ErrorKind.CANCELLED}
SECOND_TRY = {ErrorKind.SERVER_ERROR, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED, ErrorKind.CLOSED_EARLY}


def attempt(kind: ErrorKind | None, name: str = "LM Studio", *, backend: str = "x") -> Attempt:
    return Attempt(backend, name, "http://127.0.0.1:1", None, kind, "", 0.0)


@pytest.mark.parametrize("kind", ErrorKind)
def test_with_somebody_left_to_ask_the_chain_moves_on_stops_or_waits_but_never_retries(
    kind: ErrorKind,
) -> None:
    action = decide(kind, Position(later_step=True), TIMES).action
    others = {ErrorKind.LOADING: Action.WAIT, ErrorKind.CONTEXT_OVERFLOW: Action.MOVE_ON_TO_LARGER}
    assert action is (Action.STOP if kind in STOPPING else others.get(kind, Action.MOVE_ON))


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_the_last_step_is_tried_twice_and_only_where_that_can_help(kind: ErrorKind) -> None:
    first = decide(kind, Position(later_step=False), TIMES)
    second = decide(kind, Position(later_step=False, retried=True), TIMES)
    assert (first.action is Action.RETRY) is (kind in SECOND_TRY)
    assert second.action is not Action.RETRY


def test_a_second_empty_answer_is_told() -> None:
    assert decide(ErrorKind.EMPTY, Position(later_step=True), TIMES).action is Action.MOVE_ON
    again = Position(later_step=True, empty_before=True)
    assert decide(ErrorKind.EMPTY, again, TIMES).action is Action.STOP


def test_a_batch_waits_longer_when_a_server_asks_for_it() -> None:
    waits = Decision(Action.RETRY, 100.0)
    assert decide(ErrorKind.RATE_LIMITED, Position(later_step=False, batch=True), TIMES, 100.0) == waits


@pytest.mark.parametrize("wish", OnInterruption)
def test_nothing_begins_anew_after_a_function_was_called(wish: OnInterruption) -> None:
    done = after_interruption(wish, kind=ErrorKind.STREAM_CUT, tool_called=True, plain_text=True)
    assert done is OnInterruption.STOP


@pytest.mark.parametrize("wish", OnInterruption)
def test_what_a_provider_withholds_half_way_is_not_passed_on(wish: OnInterruption) -> None:
    done = after_interruption(wish, kind=ErrorKind.CONTENT_FILTER, tool_called=False, plain_text=True)
    assert done is OnInterruption.STOP


@pytest.mark.parametrize(
    ("wish", "plain", "done"),
    [
        (OnInterruption.STOP, True, OnInterruption.STOP),
        (OnInterruption.RESTART, True, OnInterruption.RESTART),
        (OnInterruption.CONTINUE, True, OnInterruption.CONTINUE),
        (OnInterruption.CONTINUE, False, OnInterruption.RESTART),
    ],
)
def test_only_plain_text_is_continued(wish: OnInterruption, plain: bool, done: OnInterruption) -> None:
    kind = ErrorKind.STREAM_CUT
    assert after_interruption(wish, kind=kind, tool_called=False, plain_text=plain) is done


@pytest.mark.parametrize(
    ("reach", "ready", "paid", "allowed", "may"),
    [
        (Reach.THIS_MACHINE, True, False, False, True),
        (Reach.THIS_MACHINE, False, False, False, False),
        (Reach.THIS_MACHINE, None, False, False, False),
        (Reach.MY_NETWORK, None, False, False, True),
        (Reach.CLOUD, None, False, False, False),
        (Reach.MY_NETWORK, None, True, False, False),
        (Reach.CLOUD, None, True, True, True),
    ],
)
def test_side_by_side_loads_no_second_model_here_and_costs_nothing_without_consent(
    reach: Reach, ready: bool | None, paid: bool, allowed: bool, may: bool
) -> None:
    assert may_hedge(reach=reach, ready=ready, paid=paid, paid_allowed=allowed) is may


def test_a_question_needs_what_is_in_it() -> None:
    picture = Message(Role.USER, "What is this?", images=(Image(b"png"),))
    config = GenerationConfig(tools=(ToolSpec("now"),), json_schema={"type": "object"})
    assert needs_of([picture], config) == {"vision", "tools", "json_schema"}
    assert needs_of([Message(Role.USER, "Hi")], GenerationConfig()) == set()


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
            [attempt(ErrorKind.OFFLINE, "A"), attempt(ErrorKind.TLS, "B"), attempt(ErrorKind.EMPTY, "C")],
            "A and B did not answer and C gave an empty answer, so Ollama answered",
        ),
        ([attempt(ErrorKind.LOADING)], "LM Studio was still loading its model, so Ollama answered"),
        ([attempt(ErrorKind.SERVER_ERROR, "Ollama")], "Ollama answered at the second try"),
        # A key and credit are spoken of only where both are sure to exist.
        ([attempt(ErrorKind.AUTH, backend="lm_studio")], "LM Studio refused access, so Ollama answered"),
        (
            [attempt(ErrorKind.AUTH, "OpenAI", backend="openai")],
            "OpenAI did not accept the key, so Ollama answered",
        ),
        (
            [attempt(ErrorKind.QUOTA, "Jan"), attempt(ErrorKind.QUOTA, "OpenAI", backend="openai")],
            "Jan has reached its limit and OpenAI has no credit left, so Ollama answered",
        ),
    ],
)
def test_provenance_says_why_it_was_this_one(failed: list[Attempt], reason: str) -> None:
    assert reason_for("Ollama", failed) == reason
