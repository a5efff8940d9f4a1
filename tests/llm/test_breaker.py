"""When a backend that failed is left out: the table, the windows, the permit, the generations."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from whisper_desktop.llm.breaker import (
    LONGEST_FLOOR,
    Breaker,
    Outcome,
    Rules,
    State,
    Ticket,
    ask,
    failed,
    forgiven,
    outcome_of,
    released,
    rules,
    settled,
    succeeded,
)
from whisper_desktop.values import Deadlines, ErrorKind

DEADLINES = Deadlines()
LOCAL = rules(DEADLINES, local=True)
FAR = rules(DEADLINES, local=False)

NEUTRAL = (
    ErrorKind.LOADING,
    ErrorKind.BAD_REQUEST,
    ErrorKind.UNSUPPORTED,
    ErrorKind.CONTEXT_OVERFLOW,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.CANCELLED,
    ErrorKind.QUEUE_FULL,
    ErrorKind.BUDGET,
    ErrorKind.CONSENT_REQUIRED,
    ErrorKind.NOT_CONFIGURED,
)
THREE_TIMES = (
    ErrorKind.CLOSED_EARLY,
    ErrorKind.OVERLOADED,
    ErrorKind.RATE_LIMITED,
    ErrorKind.SERVER_ERROR,
    ErrorKind.FIRST_TOKEN_TIMEOUT,
    ErrorKind.STALLED,
    ErrorKind.STREAM_CUT,
    ErrorKind.TRUNCATED,
    ErrorKind.MALFORMED,
)
AT_ONCE = (
    ErrorKind.CONNECT_REFUSED,
    ErrorKind.CONNECT_TIMEOUT,
    ErrorKind.NAME_NOT_FOUND,
    ErrorKind.TLS,
    ErrorKind.OFFLINE,
    ErrorKind.NOT_AN_LLM,
    ErrorKind.MODEL_MISSING,
)


def fail(
    breaker: Breaker,
    kind: ErrorKind,
    now: float,
    rules: Rules = LOCAL,
    *,
    retry_after: float | None = None,
    jitter: float = 1.0,
) -> Breaker:
    """A question that is let through and fails."""
    breaker, ticket = ask(breaker, now, rules)
    assert ticket is not None
    return failed(breaker, ticket, kind, now, rules, retry_after=retry_after, jitter=jitter)


def answer(breaker: Breaker, now: float, rules: Rules = LOCAL) -> Breaker:
    """A question that is let through and answered."""
    breaker, ticket = ask(breaker, now, rules)
    assert ticket is not None
    return succeeded(breaker, ticket, now, rules)


def opened(rules: Rules = LOCAL) -> Breaker:
    return fail(Breaker(), ErrorKind.CONNECT_REFUSED, 0.0, rules)


# --- what counts -----------------------------------------------------------------------------------------


def test_every_kind_of_failure_has_its_place_in_the_table() -> None:
    counted = {kind for kind in ErrorKind if outcome_of(kind) is Outcome.BAD}
    assert counted >= {*THREE_TIMES, *AT_ONCE, ErrorKind.EMPTY}
    assert {kind for kind in ErrorKind if outcome_of(kind) is Outcome.REFUSED} == {
        ErrorKind.AUTH,
        ErrorKind.QUOTA,
    }


@pytest.mark.parametrize("kind", AT_ONCE)
def test_what_fails_everybody_opens_at_once(kind: ErrorKind) -> None:
    assert fail(Breaker(), kind, 0.0).state is State.OPEN


@pytest.mark.parametrize("kind", THREE_TIMES)
def test_other_failures_open_at_the_third_in_a_row(kind: ErrorKind) -> None:
    breaker = fail(fail(Breaker(), kind, 0.0), kind, 1.0)
    assert breaker.state is State.CLOSED
    assert fail(breaker, kind, 2.0).state is State.OPEN


@pytest.mark.parametrize("kind", NEUTRAL)
def test_what_says_nothing_about_the_server_never_counts(kind: ErrorKind) -> None:
    breaker = Breaker()
    for moment in range(50):
        breaker = fail(breaker, kind, moment, retry_after=60.0)
    assert breaker == Breaker()


def test_an_empty_answer_counts_half() -> None:
    breaker = Breaker()
    for moment in range(3):
        breaker = fail(breaker, ErrorKind.EMPTY, moment)
    assert breaker.state is State.CLOSED
    breaker = fail(fail(breaker, ErrorKind.SERVER_ERROR, 3.0), ErrorKind.EMPTY, 4.0)
    assert breaker.state is State.OPEN


def test_an_answer_in_between_starts_the_row_anew() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker = answer(breaker, 0.0)
    for moment in range(4):
        breaker = fail(fail(breaker, ErrorKind.SERVER_ERROR, moment), ErrorKind.SERVER_ERROR, moment)
        breaker = answer(answer(answer(breaker, moment), moment), moment)
    assert breaker.state is State.CLOSED


def test_half_of_the_last_questions_failing_opens() -> None:
    breaker = Breaker()
    for moment, kind in enumerate((ErrorKind.SERVER_ERROR, None, ErrorKind.SERVER_ERROR, None)):
        breaker = answer(breaker, moment) if kind is None else fail(breaker, kind, moment)
    assert breaker.state is State.CLOSED
    assert fail(breaker, ErrorKind.SERVER_ERROR, 4.0).state is State.OPEN


def test_half_of_less_than_five_is_not_enough() -> None:
    breaker = fail(answer(fail(Breaker(), ErrorKind.STALLED, 0.0), 1.0), ErrorKind.STALLED, 2.0)
    assert breaker.state is State.CLOSED


def test_failures_of_a_minute_ago_do_not_add_up() -> None:
    breaker = Breaker()
    for moment in (0.0, 2.0, 70.0, 72.0, 140.0, 142.0):
        breaker = fail(breaker, ErrorKind.SERVER_ERROR, moment)
        assert breaker.state is State.CLOSED
        breaker = answer(breaker, moment + 1)


def test_only_the_last_twenty_questions_are_looked_at() -> None:
    breaker = Breaker()
    for _ in range(100):
        breaker = answer(breaker, 0.0)
    assert len(breaker.recent) == 20
    for _ in range(9):
        breaker = answer(fail(breaker, ErrorKind.SERVER_ERROR, 0.0), 0.0)
    assert breaker.state is State.CLOSED
    assert fail(breaker, ErrorKind.SERVER_ERROR, 0.0).state is State.OPEN


# --- windows ---------------------------------------------------------------------------------------------


def windows(rules: Rules, kind: ErrorKind, count: int, jitter: float = 1.0) -> list[float]:
    """The windows of a backend that never recovers."""
    now, breaker, found = 0.0, Breaker(), []
    for _ in range(count):
        breaker = fail(breaker, kind, now, rules, jitter=jitter)
        found.append(breaker.until - now)
        now = breaker.until
    return found


def test_a_local_server_is_left_out_for_1_2_4_at_most_30_seconds() -> None:
    assert windows(LOCAL, ErrorKind.CONNECT_REFUSED, 7) == [1, 2, 4, 8, 16, 30, 30]


def test_a_far_one_for_5_10_20_at_most_120_seconds() -> None:
    assert windows(FAR, ErrorKind.CONNECT_REFUSED, 7) == [5, 10, 20, 40, 80, 120, 120]


def test_the_jitter_does_not_build_up() -> None:
    assert windows(LOCAL, ErrorKind.CONNECT_REFUSED, 3, jitter=1.2) == pytest.approx([1.2, 2.4, 4.8])


def test_another_program_at_the_port_is_left_out_for_30_seconds() -> None:
    assert windows(LOCAL, ErrorKind.NOT_AN_LLM, 2) == [30, 30]


def test_a_local_server_that_swallows_connections_is_left_out_for_5_seconds() -> None:
    assert windows(LOCAL, ErrorKind.CONNECT_TIMEOUT, 3) == [5, 10, 20]


def test_after_an_answer_the_windows_begin_small_again() -> None:
    breaker = opened()
    breaker = fail(breaker, ErrorKind.CONNECT_REFUSED, 1.0)
    breaker = answer(breaker, breaker.until)
    assert fail(breaker, ErrorKind.CONNECT_REFUSED, 100.0).until == 101.0


def test_nobody_is_let_through_until_the_window_ends() -> None:
    breaker = opened()
    assert ask(breaker, 0.999, LOCAL)[1] is None
    _, ticket = ask(breaker, 1.0, LOCAL)
    assert ticket is not None
    assert ticket.probe


def test_a_monotonic_gap_of_an_hour_simply_ends_the_window() -> None:
    breaker = fail(opened(), ErrorKind.CONNECT_REFUSED, 1.0)
    assert settled(breaker, 3600.0, LOCAL).state is State.HALF_OPEN


# --- a server's own wish ---------------------------------------------------------------------------------


def test_a_server_that_names_its_time_is_taken_at_its_word() -> None:
    breaker = fail(Breaker(), ErrorKind.RATE_LIMITED, 10.0, FAR, retry_after=3600.0, jitter=0.8)
    assert (breaker.state, breaker.until) == (State.OPEN, 3610.0)
    assert ask(breaker, 3609.9, FAR)[1] is None
    assert ask(breaker, 3610.0, FAR)[1] is not None
    assert fail(Breaker(), ErrorKind.RATE_LIMITED, 10.0, FAR, retry_after=2.0).until == 12.0


def test_even_nobody_else_being_there_does_not_overrule_it() -> None:
    breaker = fail(Breaker(), ErrorKind.RATE_LIMITED, 0.0, retry_after=60.0)
    assert ask(breaker, 59.9, LOCAL, alone=True)[1] is None
    assert ask(opened(), 0.5, LOCAL, alone=True)[1] is not None


def test_the_longer_of_window_and_wish_wins() -> None:
    again = opened(FAR)
    short = fail(again, ErrorKind.RATE_LIMITED, 5.0, FAR, retry_after=2.0)
    long = fail(again, ErrorKind.RATE_LIMITED, 5.0, FAR, retry_after=60.0)
    assert (short.until, long.until) == (15.0, 65.0)


def test_a_later_longer_wish_wins_over_an_earlier_short_one() -> None:
    breaker, first = ask(Breaker(), 0.0, FAR)
    breaker, second = ask(breaker, 0.0, FAR)
    assert first is not None
    assert second is not None
    breaker = failed(breaker, first, ErrorKind.RATE_LIMITED, 1.0, FAR, retry_after=2.0)
    breaker = failed(breaker, second, ErrorKind.RATE_LIMITED, 1.0, FAR, retry_after=600.0)
    assert breaker.until == 601.0
    assert ask(breaker, 600.0, FAR, alone=True)[1] is None


def test_an_earlier_longer_wish_is_not_shortened() -> None:
    breaker, first = ask(Breaker(), 0.0, FAR)
    breaker, second = ask(breaker, 0.0, FAR)
    assert first is not None
    assert second is not None
    breaker = failed(breaker, first, ErrorKind.RATE_LIMITED, 1.0, FAR, retry_after=600.0)
    breaker = failed(breaker, second, ErrorKind.RATE_LIMITED, 1.0, FAR, retry_after=2.0)
    assert breaker.until == 601.0


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf, -1.0, 0.0, None])
def test_nonsense_is_no_wish(nonsense: float | None) -> None:
    breaker = fail(Breaker(), ErrorKind.RATE_LIMITED, 0.0, retry_after=nonsense)
    assert breaker.state is State.CLOSED
    assert breaker.in_a_row == 1.0


def test_no_wish_is_longer_than_a_day() -> None:
    breaker = fail(Breaker(), ErrorKind.OVERLOADED, 0.0, retry_after=1e300)
    assert breaker.until == LONGEST_FLOOR


# --- the probe -------------------------------------------------------------------------------------------


def half_open(rules: Rules = LOCAL) -> tuple[Breaker, Ticket, float]:
    """A breaker whose probe is on its way, the probe's ticket, and when it was given."""
    breaker = opened(rules)
    now = breaker.until
    breaker, ticket = ask(breaker, now, rules)
    assert ticket is not None
    assert ticket.probe
    return breaker, ticket, now


def test_only_one_probe_at_a_time() -> None:
    breaker, _, now = half_open()
    assert ask(breaker, now, LOCAL)[1] is None


def test_one_good_answer_closes_a_local_breaker() -> None:
    breaker, probe, now = half_open()
    assert succeeded(breaker, probe, now, LOCAL).state is State.CLOSED


def test_a_far_one_needs_two() -> None:
    breaker, probe, now = half_open(FAR)
    breaker = succeeded(breaker, probe, now, FAR)
    assert breaker.state is State.HALF_OPEN
    breaker, second = ask(breaker, now, FAR)
    assert second is not None
    assert second.probe
    assert succeeded(breaker, second, now, FAR).state is State.CLOSED


@pytest.mark.parametrize("kind", [*NEUTRAL, None])
def test_a_probe_that_says_nothing_gives_its_permit_back(kind: ErrorKind | None) -> None:
    breaker, probe, now = half_open()
    after = failed(breaker, probe, kind, now, LOCAL) if kind else released(breaker, probe, now, LOCAL)
    assert after.state is State.HALF_OPEN
    ticket = ask(after, now, LOCAL)[1]
    assert ticket is not None
    assert ticket.probe


def test_a_probe_that_is_never_heard_of_counts_as_lost() -> None:
    breaker, probe, now = half_open()
    lost = now + 2 * DEADLINES.first_token
    assert settled(breaker, lost - 0.01, LOCAL).state is State.HALF_OPEN
    after = settled(breaker, lost, LOCAL)
    assert (after.state, after.until) == (State.OPEN, lost + 2.0)
    late = succeeded(after, probe, lost, LOCAL)
    assert late == after


def test_a_lost_probe_never_shuts_the_door_for_good() -> None:
    breaker, _, now = half_open()
    ticket = ask(breaker, now + 10_000.0, LOCAL)[1]
    assert ticket is not None
    assert ticket.probe


# --- generations -----------------------------------------------------------------------------------------


def test_a_success_from_before_it_opened_changes_nothing() -> None:
    breaker, early = ask(Breaker(), 0.0, LOCAL)
    assert early is not None
    breaker = fail(breaker, ErrorKind.CONNECT_REFUSED, 0.1)
    assert succeeded(breaker, early, 0.2, LOCAL) == breaker


def test_a_failure_from_before_it_closed_again_changes_nothing() -> None:
    breaker, early = ask(Breaker(), 0.0, LOCAL)
    assert early is not None
    breaker = fail(breaker, ErrorKind.CONNECT_REFUSED, 0.1)
    breaker = answer(breaker, 2.0)
    for kind in (ErrorKind.CONNECT_REFUSED, ErrorKind.AUTH, ErrorKind.SERVER_ERROR):
        assert failed(breaker, early, kind, 3.0, LOCAL, retry_after=9.0) == breaker


def test_fifty_that_fail_together_open_it_once() -> None:
    breaker = Breaker()
    tickets = []
    for _ in range(50):
        breaker, ticket = ask(breaker, 0.0, LOCAL)
        assert ticket is not None
        tickets.append(ticket)
    for ticket in tickets:
        breaker = failed(breaker, ticket, ErrorKind.SERVER_ERROR, 1.0, LOCAL)
    assert (breaker.window, breaker.until, breaker.generation) == (1.0, 2.0, 1)


# --- nobody else could answer ----------------------------------------------------------------------------


def test_a_question_let_through_while_open_can_close_it() -> None:
    breaker, ticket = ask(opened(), 0.5, LOCAL, alone=True)
    assert ticket == Ticket(breaker.generation, probe=False)
    assert succeeded(breaker, ticket, 0.6, LOCAL).state is State.CLOSED


def test_many_let_through_while_open_do_not_double_the_window() -> None:
    breaker = opened()
    tickets = []
    for _ in range(50):
        breaker, ticket = ask(breaker, 0.5, LOCAL, alone=True)
        assert ticket is not None
        tickets.append(ticket)
    for ticket in tickets:
        breaker = failed(breaker, ticket, ErrorKind.CONNECT_REFUSED, 0.6, LOCAL)
    assert (breaker.state, breaker.until, breaker.window) == (State.OPEN, 1.6, 1.0)


def test_one_let_through_while_open_puts_off_for_as_long_as_the_last_window() -> None:
    breaker = opened()
    for now in (1.0, 3.0, 7.0):
        breaker = fail(breaker, ErrorKind.CONNECT_REFUSED, now)
    breaker, ticket = ask(breaker, 14.0, LOCAL, alone=True)
    assert ticket is not None
    breaker = failed(breaker, ticket, ErrorKind.CONNECT_REFUSED, 14.0, LOCAL)
    assert breaker.until == 22.0
    assert fail(breaker, ErrorKind.CONNECT_REFUSED, 22.0).until == 38.0


def test_one_let_through_beside_the_probe_does_not_free_its_permit() -> None:
    breaker, _, now = half_open()
    breaker, beside = ask(breaker, now, LOCAL, alone=True)
    assert beside is not None
    assert not beside.probe
    breaker = released(breaker, beside, now, LOCAL)
    assert ask(breaker, now, LOCAL)[1] is None


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.QUOTA])
def test_a_refused_key_blocks_for_a_quarter_of_an_hour(kind: ErrorKind) -> None:
    breaker = fail(Breaker(), kind, 0.0)
    assert (breaker.state, breaker.until) == (State.BLOCKED, DEADLINES.key_blocked)
    assert ask(breaker, DEADLINES.key_blocked - 1, LOCAL)[1] is None
    assert settled(breaker, DEADLINES.key_blocked, LOCAL).state is State.HALF_OPEN


def test_a_key_that_works_after_all_unblocks() -> None:
    breaker, ticket = ask(fail(Breaker(), ErrorKind.QUOTA, 0.0, FAR), 1.0, FAR, alone=True)
    assert ticket is not None
    assert succeeded(breaker, ticket, 2.0, FAR).state is State.CLOSED


# --- news from outside -----------------------------------------------------------------------------------


def test_a_changed_setting_ends_blocks_and_wishes() -> None:
    for kind in (ErrorKind.AUTH, ErrorKind.RATE_LIMITED):
        breaker = forgiven(fail(Breaker(), kind, 0.0, retry_after=3600.0), 1.0, changed=True)
        assert breaker.state is State.HALF_OPEN
        assert ask(breaker, 1.0, LOCAL)[1] is not None


def test_being_seen_to_answer_ends_a_window() -> None:
    breaker = forgiven(opened(), 0.1, changed=False)
    assert ask(breaker, 0.1, LOCAL)[1] is not None


def test_being_seen_to_answer_ends_neither_a_block_nor_a_wish() -> None:
    blocked = fail(Breaker(), ErrorKind.AUTH, 0.0)
    assert forgiven(blocked, 1.0, changed=False) == blocked
    asked_for = fail(Breaker(), ErrorKind.RATE_LIMITED, 0.0, retry_after=60.0)
    assert forgiven(asked_for, 1.0, changed=False).until == 60.0


def test_being_seen_to_answer_does_not_forget_the_failures_of_one_that_is_still_asked() -> None:
    breaker = fail(Breaker(), ErrorKind.SERVER_ERROR, 0.0)
    assert forgiven(breaker, 1.0, changed=False) == breaker
    assert forgiven(breaker, 1.0, changed=True).in_a_row == 0.0


def test_waking_up_frees_the_permit_of_a_probe_that_died_in_the_sleep() -> None:
    breaker, probe, now = half_open()
    after = forgiven(breaker, now, changed=False)
    assert ask(after, now, LOCAL)[1] is not None
    assert failed(after, probe, ErrorKind.STREAM_CUT, now, LOCAL) == after


def test_a_question_from_before_the_change_says_nothing_about_the_new_key() -> None:
    breaker, early = ask(Breaker(), 0.0, LOCAL)
    assert early is not None
    breaker = forgiven(breaker, 1.0, changed=True)
    assert failed(breaker, early, ErrorKind.AUTH, 2.0, LOCAL).state is State.CLOSED


# --- any order of events ---------------------------------------------------------------------------------


class BreakerMachine(RuleBasedStateMachine):
    """Questions begin and end in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.times = LOCAL
        self.now = 0.0
        self.breaker = Breaker()
        self.under_way: list[tuple[Ticket, float]] = []

    def take(self, data: st.DataObject) -> Ticket:
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        return self.under_way.pop(index)[0]

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 7.0, 31.0, 119.0, 500.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(alone=st.booleans(), jitter=st.floats(0.8, 1.2))
    def a_question(self, alone: bool, jitter: float) -> None:
        floor = self.breaker.floor
        self.breaker, ticket = ask(self.breaker, self.now, self.times, jitter=jitter, alone=alone)
        if ticket is None:
            assert self.breaker.state is not State.CLOSED
            assert not alone or floor > self.now
            return
        assert ticket.generation == self.breaker.generation
        assert floor <= self.now or self.breaker.state in (State.CLOSED, State.HALF_OPEN)
        self.under_way.append((ticket, self.now))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def an_answer(self, data: st.DataObject) -> None:
        self.breaker = succeeded(self.breaker, self.take(data), self.now, self.times)

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(),
        kind=st.sampled_from(ErrorKind),
        retry_after=st.sampled_from([None, 0.0, 2.0, 3600.0, math.nan, math.inf]),
        jitter=st.floats(0.8, 1.2),
    )
    def a_failure(
        self, data: st.DataObject, kind: ErrorKind, retry_after: float | None, jitter: float
    ) -> None:
        self.breaker = failed(
            self.breaker,
            self.take(data),
            kind,
            self.now,
            self.times,
            retry_after=retry_after,
            jitter=jitter,
        )

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def a_cancellation(self, data: st.DataObject) -> None:
        self.breaker = released(self.breaker, self.take(data), self.now, self.times)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def a_question_is_never_heard_of_again(self, data: st.DataObject) -> None:
        self.take(data)

    @rule(changed=st.booleans())
    def news(self, changed: bool) -> None:
        self.breaker = forgiven(self.breaker, self.now, changed=changed)

    @invariant()
    def there_are_never_two_probes(self) -> None:
        live = [
            ticket
            for ticket, since in self.under_way
            if ticket.probe
            and ticket.generation == self.breaker.generation
            and self.breaker.state is State.HALF_OPEN
            and since + self.times.permit > self.now
        ]
        assert len(live) <= 1
        assert not live or self.breaker.permit_out

    @invariant()
    def it_always_lets_somebody_through_in_the_end(self) -> None:
        late = self.now + LONGEST_FLOOR + self.times.permit + 10 * self.times.most
        assert ask(self.breaker, late, self.times, jitter=1.2)[1] is not None

    @invariant()
    def nothing_grows(self) -> None:
        assert len(self.breaker.recent) <= 20
        assert self.breaker.window <= max(self.times.most, *self.times.longer.values())


class FarBreakerMachine(BreakerMachine):
    def __init__(self) -> None:
        super().__init__()
        self.times = FAR


TestAnyOrderOfEvents = BreakerMachine.TestCase
TestAnyOrderOfEventsFarAway = FarBreakerMachine.TestCase


@given(st.floats(0.01, 10.0))
def test_scaled_deadlines_scale_every_window(factor: float) -> None:
    scaled = rules(DEADLINES.scaled(factor), local=True)
    for kind in AT_ONCE:
        plain, other = windows(LOCAL, kind, 4), windows(scaled, kind, 4)
        assert other == pytest.approx([factor * window for window in plain])


def test_a_breaker_is_a_value() -> None:
    breaker = opened()
    assert replace(breaker) == breaker
    ask(breaker, 5.0, LOCAL)
    assert breaker == opened()
