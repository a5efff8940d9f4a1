"""Restarts: at once, then later and later, then no more; and what a question may try again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines.diagnosis import DETERMINISTIC, NEEDS_CHANGE, TRANSIENT
from whisper_desktop.engines.restarts import (
    Again,
    History,
    Never,
    after_failure,
    is_spent,
    may_be_tried,
)
from whisper_desktop.values import Deadlines

D = Deadlines()
CAUSES = sorted(TRANSIENT | DETERMINISTIC | NEEDS_CHANGE | {"unknown", "port_taken", "start_timeout"})


def fail(
    history: History,
    now: float,
    cause: str = "crashed",
    *,
    ready_for: float | None = None,
    jitter: float = 0.5,
) -> Again | Never:
    return after_failure(history, cause, now, ready_for=ready_for, deadlines=D, jitter=jitter)


def test_the_third_failure_within_five_minutes_ends_the_restarts() -> None:
    """S13: back-off 0, 1 ...; given up at the third."""
    first = fail(History(), 0.0)
    second = fail(first.history, 1.0)
    third = fail(second.history, 2.0)
    assert isinstance(first, Again)
    assert isinstance(second, Again)
    assert (first.delay, second.delay) == (0.0, 1.0)
    assert isinstance(third, Never)
    assert third.reason == "budget"


def test_failures_far_apart_double_the_wait_up_to_a_minute() -> None:
    history, delays = History(), []
    for number in range(12):
        decision = fail(history, number * 200.0)
        assert isinstance(decision, Again)
        history = decision.history
        delays.append(decision.delay)
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


@given(st.floats(0, 1))
def test_the_wait_is_spread_by_a_fifth(jitter: float) -> None:
    decision = fail(History((0.0, 200.0, 400.0)), 600.0, jitter=jitter)
    assert isinstance(decision, Again)
    assert decision.delay == pytest.approx(4, abs=0.8 + 1e-9)


@pytest.mark.parametrize(("ready_for", "counted"), [(None, 2), (59.9, 2), (60.0, 1)])
def test_a_minute_of_good_running_is_a_new_beginning(ready_for: float | None, counted: int) -> None:
    decision = fail(History((0.0,)), 100.0, ready_for=ready_for)
    assert len(decision.history.failures) == counted


@pytest.mark.parametrize("cause", sorted(DETERMINISTIC | NEEDS_CHANGE | {"port_taken", "unknown"}))
def test_what_does_not_pass_by_itself_is_not_started_again(cause: str) -> None:
    assert isinstance(fail(History(), 0.0, cause), Never)


def test_what_stays_is_never_tried_for_a_question_and_the_rest_within_the_budget() -> None:
    spent = History((0.0, 1.0, 2.0))
    assert not may_be_tried(History((0.0,)), "model_corrupt", 9999.0, D)
    assert may_be_tried(History((0.0,)), "out_of_memory", 1.0, D)
    assert not may_be_tried(spent, "out_of_memory", 3.0, D)
    assert may_be_tried(spent, "out_of_memory", 301.0, D), "the window has passed"
    assert may_be_tried(History((0.0,)), "library_missing", 1.0, D), "nothing shows it"


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.sampled_from(CAUSES), st.none() | st.floats(0, 1000))),
    st.floats(0, 1),
)
def test_whatever_happens_restarts_are_bounded(
    events: list[tuple[float, str, float | None]], jitter: float
) -> None:
    history, now, restarts = History(), 0.0, []
    for pause, cause, ready_for in events:
        now += pause
        decision = fail(history, now, cause, ready_for=ready_for, jitter=jitter)
        history = decision.history
        assert len(history.failures) <= 16
        assert all(one <= other for one, other in pairwise(history.failures))
        if isinstance(decision, Again):
            assert 0 <= decision.delay <= D.engine_restart_most * 1.2
            assert not is_spent(history, now, D)
            restarts.append(now)
        elif decision.reason == "budget":
            assert is_spent(history, now, D)
