"""When an engine that nobody uses gives its memory back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines.rest import RestPolicy, Signs, needs_pressure, why_rest
from whisper_desktop.machine.pressure import Pressure

GIB = 2**30
CALM = Pressure(8 * GIB, 16 * GIB, stalled=0.0, on_battery=False)
TIGHT = Pressure(4 * GIB, 16 * GIB, stalled=0.3, on_battery=False)
SOON = RestPolicy(under_pressure=True, on_battery=True)
IDLE = Signs(idle_for=150, leases=0, pressure=CALM, engine_bytes=5 * GIB)

shares = st.none() | st.floats(0, 1)
policies = st.builds(
    RestPolicy, st.none() | st.floats(0, 1e5), st.booleans(), st.booleans(), pause=st.floats(0, 1e4)
)
pressures = st.builds(
    Pressure,
    st.integers(0, 64 * GIB),
    st.integers(0, 64 * GIB),
    shares,
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
signs = st.builds(
    Signs,
    st.floats(0, 1e6),
    st.integers(0, 3),
    st.none() | pressures,
    st.none() | st.integers(0, 64 * GIB),
)


@given(policies, signs)
def test_it_never_sleeps_while_somebody_uses_it(policy: RestPolicy, signs: Signs) -> None:
    assert signs.leases == 0 or why_rest(policy, signs) is None


@given(signs)
def test_it_never_sleeps_by_itself_without_being_told_to(signs: Signs) -> None:
    assert why_rest(RestPolicy(), signs) is None


@given(policies, signs)
def test_it_never_sleeps_between_two_messages(policy: RestPolicy, signs: Signs) -> None:
    soon = min(policy.pause, policy.pause if policy.idle is None else policy.idle)
    assert signs.idle_for >= soon or why_rest(policy, signs) is None


@given(policies, signs, st.floats(0, 1e6))
def test_what_sleeps_now_would_sleep_later_as_well(policy: RestPolicy, signs: Signs, more: float) -> None:
    later = replace(signs, idle_for=signs.idle_for + more)
    assert why_rest(policy, signs) is None or why_rest(policy, later) is not None


@given(policies, signs)
def test_a_measurement_that_is_not_needed_changes_nothing(policy: RestPolicy, signs: Signs) -> None:
    if not needs_pressure(policy, signs.idle_for, signs.leases):
        assert why_rest(policy, signs) == why_rest(policy, replace(signs, pressure=None))


@given(policies, signs)
def test_a_reason_is_a_sentence(policy: RestPolicy, signs: Signs) -> None:
    why = why_rest(policy, signs)
    assert why is None or (why.startswith("It sleeps: ") and why.endswith("."))


@pytest.mark.parametrize(
    ("seconds", "words"), [(900, "15 minutes"), (60, "1 minute"), (90, "1.5 minutes"), (30, "30 seconds")]
)
def test_the_reason_says_how_long_nobody_asked(seconds: float, words: str) -> None:
    why = why_rest(RestPolicy(idle=seconds), Signs(seconds, 0))
    assert why == f"It sleeps: nobody asked for {words}."


def test_a_computer_with_room_keeps_it() -> None:
    assert why_rest(SOON, IDLE) is None


def test_programs_that_wait_for_memory_get_it() -> None:
    assert why_rest(SOON, replace(IDLE, pressure=TIGHT)) is not None


def test_a_conversation_goes_on_with_memory_short() -> None:
    between = replace(IDLE, idle_for=100, pressure=replace(TIGHT, on_battery=True))
    assert why_rest(SOON, between) is None


def test_pressure_counts_only_where_it_is_wanted() -> None:
    assert why_rest(RestPolicy(on_battery=True), replace(IDLE, pressure=TIGHT)) is None


def test_a_small_engine_is_not_ended_for_memory_that_it_does_not_hold() -> None:
    assert why_rest(SOON, replace(IDLE, pressure=TIGHT, engine_bytes=GIB)) is None
    assert why_rest(SOON, replace(IDLE, pressure=TIGHT, engine_bytes=None)) is None


@pytest.mark.parametrize(
    ("available", "stalled", "sleeps"),
    [(0.06, 0.0, False), (0.04, 0.0, True), (0.09, None, True), (0.11, None, False), (0.3, 0.09, False)],
)
def test_how_full_is_short(available: float, stalled: float | None, sleeps: bool) -> None:
    pressure = Pressure(int(available * 16 * GIB), 16 * GIB, stalled)
    assert (why_rest(SOON, replace(IDLE, pressure=pressure)) is not None) == sleeps


@pytest.mark.parametrize("short", [False, True])
def test_what_the_system_says_itself_goes_before_what_we_make_of_its_figures(short: bool) -> None:
    pressure = Pressure(GIB // 2 if not short else 8 * GIB, 16 * GIB, short=short)
    assert (why_rest(SOON, replace(IDLE, pressure=pressure)) is not None) == short


def test_memory_of_which_nothing_is_known_is_not_short() -> None:
    assert why_rest(SOON, replace(IDLE, pressure=Pressure(0, 0))) is None


def test_on_battery_it_sleeps_where_it_is_wanted() -> None:
    battery = replace(IDLE, pressure=replace(CALM, on_battery=True))
    assert why_rest(SOON, battery) is not None
    assert why_rest(RestPolicy(under_pressure=True), battery) is None
