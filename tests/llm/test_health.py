"""What is learnt of backends: who is left out and why, in words, and what they cannot do."""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.llm.breaker import State
from whisper_desktop.llm.health import MOST_PLACES, Health, Permit, Place, Shut
from whisper_desktop.values import Deadlines, ErrorKind

DEADLINES = Deadlines()
HERE = Place("lm_studio", "http://127.0.0.1:1234", "qwen", True)
ALSO_HERE = Place("ollama", "http://127.0.0.1:11434", "qwen", True)
CLOUD = Place("openrouter", "https://openrouter.ai", "big", False)
OTHER_CLOUD = Place("openai", "https://api.openai.com", "big", False)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Even(random.Random):
    """No jitter: the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    # 13:05 on a day in November, wherever the test runs.
    return Health(DEADLINES, clock=clock, wall=lambda: _noon_and(65 * 60), rng=Even())


def _noon_and(seconds: float) -> float:
    return time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1)) + seconds


def permit(answer: Permit | Shut) -> Permit:
    assert isinstance(answer, Permit)
    return answer


def shut(answer: Permit | Shut) -> Shut:
    assert isinstance(answer, Shut)
    return answer


def fail(health: Health, place: Place, kind: ErrorKind, retry_after: float | None = None) -> None:
    permit(health.ask(place, alone=False)).failed(kind, retry_after)


# --- who is left out -------------------------------------------------------------------------------------


def test_a_refused_connection_leaves_the_server_out_at_once(health: Health, clock: Clock) -> None:
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    assert shut(health.ask(HERE, alone=False)).until == clock.now + 1.0


def test_a_persistent_503_is_left_out_at_the_fourth_question(health: Health) -> None:
    for _ in range(3):
        fail(health, HERE, ErrorKind.OVERLOADED)
    assert shut(health.ask(HERE, alone=False)).kind is ErrorKind.OVERLOADED


def test_a_429_with_an_hour_is_left_out_for_an_hour_or_until_the_settings_change(
    health: Health, clock: Clock
) -> None:
    fail(health, CLOUD, ErrorKind.RATE_LIMITED, 3600.0)
    clock.now += 3599.0
    assert shut(health.ask(CLOUD, alone=False)).kind is ErrorKind.RATE_LIMITED
    assert isinstance(health.ask(CLOUD, alone=True), Shut)
    health.forgive(CLOUD.origin)
    permit(health.ask(CLOUD, alone=False)).released()
    fail(health, OTHER_CLOUD, ErrorKind.RATE_LIMITED, 3600.0)
    clock.now += 3600.0
    permit(health.ask(OTHER_CLOUD, alone=False))


def test_who_waits_for_the_only_one_waits_no_longer_than_it_asked_for(health: Health, clock: Clock) -> None:
    fail(health, CLOUD, ErrorKind.CONNECT_REFUSED)
    clock.now += 5.0
    fail(health, CLOUD, ErrorKind.RATE_LIMITED, 2.0)
    assert shut(health.ask(CLOUD, alone=False)).until == clock.now + 10.0
    assert shut(health.ask(CLOUD, alone=True)).until == clock.now + 2.0
    clock.now += 2.0
    permit(health.ask(CLOUD, alone=True))


def test_a_refused_key_is_left_out_until_another_one_is_set(health: Health) -> None:
    fail(health, CLOUD, ErrorKind.AUTH)
    refusal = shut(health.ask(CLOUD, alone=False))
    assert refusal.kind is ErrorKind.AUTH
    assert refusal.detail == "It refused access; set its key, or another one."
    health.ask_again()
    assert isinstance(health.ask(CLOUD, alone=False), Shut)
    health.forgive(CLOUD.origin)
    permit(health.ask(CLOUD, alone=False))


def test_a_missing_model_leaves_the_servers_other_models_alone(health: Health) -> None:
    fail(health, HERE, ErrorKind.MODEL_MISSING)
    assert shut(health.ask(HERE, alone=False)).kind is ErrorKind.MODEL_MISSING
    permit(health.ask(Place(HERE.backend, HERE.origin, "llama", True), alone=False))


def test_a_dead_server_takes_all_its_models_with_it(health: Health) -> None:
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    assert isinstance(health.ask(Place(HERE.backend, HERE.origin, "llama", True), alone=False), Shut)
    permit(health.ask(Place(HERE.backend, "http://127.0.0.1:9", "qwen", True), alone=False))


def test_without_a_network_no_single_provider_is_to_blame(health: Health, clock: Clock) -> None:
    fail(health, CLOUD, ErrorKind.OFFLINE)
    assert shut(health.ask(OTHER_CLOUD, alone=False)).detail == (
        "There was no network just now; it is asked again in 1 s."
    )
    permit(health.ask(HERE, alone=False)).succeeded()
    clock.now += 1.0
    permit(health.ask(OTHER_CLOUD, alone=False)).succeeded()
    assert health.standing(CLOUD).state is State.CLOSED


def test_the_permit_of_a_server_is_not_lost_when_its_model_is_left_out(health: Health, clock: Clock) -> None:
    other = Place(HERE.backend, HERE.origin, "llama", True)
    for _ in range(4):
        fail(health, HERE, ErrorKind.MODEL_MISSING)
        clock.now = health.standing(HERE).until
    early = permit(health.ask(other, alone=False))
    fail(health, HERE, ErrorKind.MODEL_MISSING)
    early.failed(ErrorKind.CONNECT_REFUSED)
    clock.now += 1.0
    assert shut(health.ask(HERE, alone=False)).kind is ErrorKind.MODEL_MISSING
    assert permit(health.ask(other, alone=False)).probe


def test_when_nobody_else_could_answer_it_is_asked_in_spite_of_its_failures(health: Health) -> None:
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    answer = permit(health.ask(HERE, alone=True))
    assert not answer.probe
    answer.succeeded()
    assert health.standing(HERE).state is State.CLOSED


# --- permits ---------------------------------------------------------------------------------------------


def half_open(health: Health, clock: Clock, place: Place = HERE) -> Permit:
    fail(health, place, ErrorKind.CONNECT_REFUSED)
    clock.now = health.standing(place).until
    probe = permit(health.ask(place, alone=False))
    assert probe.probe
    return probe


def test_one_question_at_a_time_tries_out_a_server_that_failed(health: Health, clock: Clock) -> None:
    probe = half_open(health, clock)
    clock.now += 3.0
    assert shut(health.ask(HERE, alone=False)).detail == (
        "It did not answer 4 s ago; another question is trying it now."
    )
    probe.succeeded()
    assert not permit(health.ask(HERE, alone=False)).probe


@pytest.mark.parametrize(
    "end",
    [
        lambda probe: probe.released(),
        lambda probe: probe.failed(ErrorKind.BAD_REQUEST),
        lambda probe: probe.failed(ErrorKind.CONTENT_FILTER),
        lambda probe: probe.failed(ErrorKind.LOADING),
    ],
)
def test_a_cancelled_or_refused_probe_is_followed_by_the_next(
    health: Health, clock: Clock, end: Callable[[Permit], None]
) -> None:
    end(half_open(health, clock))
    assert permit(health.ask(HERE, alone=False)).probe


def test_what_is_said_after_the_first_word_is_ignored(health: Health, clock: Clock) -> None:
    probe = half_open(health, clock)
    probe.released()
    second = permit(health.ask(HERE, alone=False))
    probe.succeeded()
    probe.failed(ErrorKind.CONNECT_REFUSED)
    probe.began()
    probe.released()
    assert health.standing(HERE).state is State.HALF_OPEN
    assert isinstance(health.ask(HERE, alone=False), Shut)
    second.succeeded()
    assert health.standing(HERE).state is State.CLOSED


def test_a_success_from_before_the_failure_changes_nothing(health: Health) -> None:
    early = permit(health.ask(HERE, alone=False))
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    early.succeeded()
    assert health.standing(HERE).state is State.OPEN


def test_a_probe_that_has_begun_to_answer_lets_the_others_through(health: Health, clock: Clock) -> None:
    probe = half_open(health, clock)
    probe.began()
    clock.now += 10 * DEADLINES.first_token
    permit(health.ask(HERE, alone=False)).released()
    for _ in range(2):
        fail(health, HERE, ErrorKind.STREAM_CUT)
    probe.failed(ErrorKind.STREAM_CUT)
    assert health.standing(HERE).state is State.OPEN


def test_one_long_answer_is_one_success(health: Health, clock: Clock) -> None:
    probe = half_open(health, clock, CLOUD)
    probe.began()
    probe.succeeded()
    assert health.standing(CLOUD).state is State.HALF_OPEN
    permit(health.ask(CLOUD, alone=False)).succeeded()
    assert health.standing(CLOUD).state is State.CLOSED


def test_a_probe_that_begins_after_it_was_given_up_changes_nothing(health: Health, clock: Clock) -> None:
    probe = half_open(health, clock)
    clock.now += 2 * DEADLINES.first_token
    assert isinstance(health.ask(HERE, alone=False), Shut)
    probe.began()
    probe.failed(ErrorKind.AUTH)
    assert health.standing(HERE).state is State.OPEN


def test_waking_up_asks_everybody_again_at_once(health: Health, clock: Clock) -> None:
    half_open(health, clock)
    fail(health, CLOUD, ErrorKind.OFFLINE)
    health.ask_again()
    assert permit(health.ask(HERE, alone=False)).probe
    assert permit(health.ask(CLOUD, alone=False)).probe


def test_forgiving_one_origin_leaves_the_others(health: Health) -> None:
    for place in (HERE, ALSO_HERE):
        fail(health, place, ErrorKind.CONNECT_REFUSED)
    health.forgive(HERE.origin)
    permit(health.ask(HERE, alone=False))
    assert isinstance(health.ask(ALSO_HERE, alone=False), Shut)


# --- looks that change nothing ---------------------------------------------------------------------------


def test_a_look_changes_nothing(health: Health, clock: Clock) -> None:
    assert health.standing(HERE).state is State.CLOSED
    assert health.why(HERE) == ""
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    clock.now += 1.0
    for _ in range(3):
        assert health.standing(HERE).state is State.HALF_OPEN
        assert health.why(HERE) == "It did not answer 1 s ago."
    assert permit(health.ask(HERE, alone=False)).probe


def test_the_one_whose_window_ends_first_is_asked_first(health: Health, clock: Clock) -> None:
    fail(health, CLOUD, ErrorKind.AUTH)
    fail(health, OTHER_CLOUD, ErrorKind.CONNECT_REFUSED)
    fail(health, HERE, ErrorKind.NOT_AN_LLM)
    assert health.soonest([CLOUD, HERE, OTHER_CLOUD]) == 2
    clock.now += 31.0
    assert health.soonest([CLOUD, HERE]) == 1
    assert health.soonest([HERE, ALSO_HERE, CLOUD]) == 1


def test_a_wall_clock_that_is_set_changes_nothing(clock: Clock) -> None:
    wall = [_noon_and(0.0)]
    health = Health(DEADLINES, clock=clock, wall=lambda: wall[0], rng=Even())
    fail(health, HERE, ErrorKind.CONNECT_REFUSED)
    fail(health, CLOUD, ErrorKind.RATE_LIMITED, 600.0)
    before = [health.standing(place) for place in (HERE, CLOUD)]
    for jump in (3600.0, -7200.0):
        wall[0] += jump
        assert [health.standing(place) for place in (HERE, CLOUD)] == before
        assert isinstance(health.ask(HERE, alone=False), Shut)
    clock.now += 3600.0
    permit(health.ask(HERE, alone=False))
    permit(health.ask(CLOUD, alone=False))


# --- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "retry_after", "later", "sentence"),
    [
        (ErrorKind.CONNECT_REFUSED, None, 0.4, "It did not answer just now; it is asked again in 1 s."),
        (
            ErrorKind.NOT_AN_LLM,
            None,
            3.0,
            "Something that is not a model server answered at its address 3 s ago; "
            "it is asked again in 27 s.",
        ),
        (ErrorKind.RATE_LIMITED, 3600.0, 0.0, "It asked to be left alone until 14:05."),
        (ErrorKind.RATE_LIMITED, 12.0, 1.5, "It asked to be left alone for 11 s."),
        (ErrorKind.RATE_LIMITED, 80_000.0, 0.0, "It asked to be left alone until 11:18 tomorrow."),
        (ErrorKind.QUOTA, None, 60.0, "It had no credit left 1 minute ago; it is asked again in 14 minutes."),
        (ErrorKind.AUTH, None, 5.0, "It refused access; set its key, or another one."),
    ],
)
def test_why_it_is_left_out_is_a_plain_sentence(
    health: Health, clock: Clock, kind: ErrorKind, retry_after: float | None, later: float, sentence: str
) -> None:
    fail(health, HERE, kind, retry_after)
    clock.now += later
    assert shut(health.ask(HERE, alone=False)).detail == sentence
    assert health.why(HERE) == sentence


@given(
    st.sampled_from(ErrorKind),
    st.sampled_from([None, 1.0, 100.0, 1e6]),
    st.floats(0.0, 1e6, allow_nan=False),
    st.booleans(),
)
def test_every_reason_is_a_whole_sentence(
    kind: ErrorKind, retry_after: float | None, later: float, local: bool
) -> None:
    clock = Clock()
    health = Health(DEADLINES, clock=clock)
    place = Place("ollama", "http://127.0.0.1:11434", None, local)
    for _ in range(6):
        answer = health.ask(place, alone=True)
        if isinstance(answer, Permit):
            answer.failed(kind, retry_after)
    clock.now += later
    answer = health.ask(place, alone=False)
    if isinstance(answer, Shut):
        assert answer.detail.endswith(".")
        assert answer.until > clock.now
        assert not any(word in answer.detail for word in ("  ", "None", "-"))


# --- what is learnt --------------------------------------------------------------------------------------


def test_what_a_model_cannot_do_is_remembered_until_forgiven(health: Health) -> None:
    tools, more = frozenset({"tools"}), frozenset({"tools", "vision"})
    health.refused(HERE, tools)
    assert health.is_refused(HERE, tools)
    assert health.is_refused(HERE, more)
    assert not health.is_refused(HERE, frozenset({"vision"}))
    assert not health.is_refused(Place(HERE.backend, HERE.origin, "llama", True), tools)
    assert health.standing(HERE).state is State.CLOSED
    health.forgive(ALSO_HERE.origin)
    assert health.is_refused(HERE, tools)
    health.forgive(HERE.origin)
    assert not health.is_refused(HERE, tools)


def test_what_it_cannot_do_together_it_may_do_alone(health: Health) -> None:
    health.refused(HERE, frozenset({"tools", "json_schema"}))
    assert not health.is_refused(HERE, frozenset({"tools"}))


def test_a_refusal_of_a_plain_question_is_not_remembered_for_all_others(health: Health) -> None:
    health.refused(HERE, frozenset())
    assert not health.is_refused(HERE, frozenset())
    assert not health.is_refused(HERE, frozenset({"tools"}))


def test_the_p95_is_that_of_the_last_64_answers(health: Health) -> None:
    for seconds in (0.1, 0.2, 0.3, 0.4):
        health.learn(HERE, ttft=seconds)
    assert health.first_token_p95(HERE) is None
    health.learn(HERE, ttft=0.5)
    assert health.first_token_p95(HERE) == 0.5
    for _ in range(64):
        health.learn(HERE, ttft=1.0)
    assert health.first_token_p95(HERE) == 1.0
    for _ in range(4):
        health.learn(HERE, ttft=9.0)
    assert health.first_token_p95(HERE) == 9.0
    assert health.first_token_p95(ALSO_HERE) is None


def test_three_slow_answers_of_64_are_not_the_p95(health: Health) -> None:
    for seconds in [1.0] * 61 + [9.0] * 3:
        health.learn(HERE, ttft=seconds)
    assert health.first_token_p95(HERE) == 1.0


def test_the_speed_of_reading_follows_the_recent_answers(health: Health) -> None:
    assert health.prompt_speed(HERE) is None
    health.learn(HERE, prompt_tokens_per_second=1000.0)
    assert health.prompt_speed(HERE) == 1000.0
    for _ in range(20):
        health.learn(HERE, prompt_tokens_per_second=100.0)
    assert health.prompt_speed(HERE) == pytest.approx(100.0, rel=0.02)
    for nonsense in (0.0, -1.0, float("inf"), float("nan"), None):
        health.learn(HERE, prompt_tokens_per_second=nonsense)
    assert health.prompt_speed(HERE) == pytest.approx(100.0, rel=0.02)


def test_memory_is_bounded(health: Health) -> None:
    for number in range(3 * MOST_PLACES):
        place = Place("openai_compatible", f"http://127.0.0.1:{number}", f"model {number}", True)
        fail(health, place, ErrorKind.CONNECT_REFUSED)
        health.learn(place, ttft=1.0)
        health.refused(place, frozenset({f"need {number}"}))
    for kept in (health._servers, health._models, health._learnt):
        assert len(kept) == MOST_PLACES
    for number in range(1000):
        health.refused(HERE, frozenset({f"need {number}"}))
    assert len(health._learnt[HERE.backend, HERE.origin, HERE.model].refused) <= 16
