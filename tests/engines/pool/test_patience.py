"""The patience with a start and with a request, over a clock of the test's own."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines import readiness
from whisper_desktop.engines.pool.limits import PoolLimits, limits_of
from whisper_desktop.engines.pool.patience import Over, Patience, RequestPatience, Signs
from whisper_desktop.settings.schema import PoolSettings
from whisper_desktop.values import BackendEvent, Deadlines, Phase, Progress, TextDelta

LIMITS = limits_of()
MIB = 2**20


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_limits_are_those_of_the_promise_where_nobody_set_others() -> None:
    assert limits_of(PoolSettings()) == PoolLimits(
        start=1800, grant=120, start_most=3600, stall=120, request=180, quorum="all"
    )


def test_what_a_person_set_counts_and_the_rest_follows_the_scaled_times() -> None:
    settings = PoolSettings(start_minutes=5, request_seconds=7, quorum=3)
    limits = limits_of(settings, Deadlines().scaled(0.1))
    assert limits == PoolLimits(300, 12, 360, 12, 7, quorum=3)
    assert (limits.needed(5), limits.needed(2), limits_of().needed(5)) == (3, 2, 5)


def test_no_engine_of_a_pool_gives_up_before_the_pool() -> None:
    settings = PoolSettings(stall_seconds=600.0, start_minutes=90.0, most_minutes=120.0)
    times = limits_of(settings).of_engines(Deadlines())
    assert (times.engine_stall, times.engine_start_most) == (600, 7200)
    clock = Clock()
    silent, steady = readiness.Progress(times, clock), readiness.Progress(times, clock)
    for minute in range(1, 110):
        clock.now += 60
        steady.see_loaded(minute / 120)
        assert (silent.left > 0) == (minute < 10)
        assert steady.left > 0


def test_without_any_progress_a_start_fails_after_the_stall() -> None:
    clock = Clock()
    patience = Patience(LIMITS, 1, clock)
    clock.now += 119.9
    assert patience.over is None
    clock.now += 0.2
    assert patience.over is Over.STALL


def test_a_start_that_progresses_goes_on_past_the_base_time_and_ends_at_the_most() -> None:
    clock = Clock()
    patience = Patience(LIMITS, 1, clock)
    for step in range(1, 61):
        assert patience.over is None
        patience.see({0: Signs(done=step / 100)})
        clock.now += 60
    assert patience.over is Over.TIME
    assert clock.now == 1000 + 3600


def test_each_sign_of_progress_gives_two_minutes_at_the_end_of_the_base_time() -> None:
    clock = Clock()
    patience = Patience(replace(LIMITS, stall=10_000), 1, clock)
    clock.now += 1790
    patience.see({0: Signs(memory_bytes=8 * MIB)})
    clock.now += 119
    assert patience.over is None
    clock.now += 2
    assert patience.over is Over.TIME


def test_one_engine_that_progresses_keeps_the_others_waiting_for() -> None:
    clock = Clock()
    patience = Patience(LIMITS, 2, clock)
    for step in range(5):
        clock.now += 100
        patience.see({0: Signs(), 1: Signs(done=step / 10 + 0.1)})
    assert patience.over is None


def test_the_same_again_is_no_progress() -> None:
    clock = Clock()
    patience = Patience(LIMITS, 1, clock)

    def moves(signs: Signs) -> bool:
        clock.now += 1
        patience.see({0: signs})
        return patience.left == LIMITS.stall

    first = Signs(0.5, 100 * MIB, ("0.01.2 load tensor 12",))
    assert moves(first)
    assert not moves(first)
    assert not moves(Signs(0.4, 20 * MIB, ("0.09.7 load tensor 13",)))  # less, and the same line
    assert not moves(Signs(0.5, 107 * MIB))
    assert moves(Signs(0.5, 108 * MIB))
    assert moves(Signs(0.5, 108 * MIB, ("0.09.8 warming up",)))
    assert moves(Signs(0.51, 108 * MIB))


def test_what_an_engine_says_is_progress_for_it_although_another_said_the_same() -> None:
    clock = Clock()
    patience = Patience(LIMITS, 2, clock)
    for number in range(2):
        clock.now += 100
        patience.see({number: Signs(lines=("load tensor 1",))})
    clock.now += 100
    assert patience.over is None


@given(
    st.lists(st.tuples(st.floats(0.01, 400), st.booleans()), max_size=60),
    st.builds(
        PoolLimits,
        start=st.floats(1, 2000),
        grant=st.floats(0, 500),
        start_most=st.floats(1, 4000),
        stall=st.floats(1, 500),
        request=st.just(1.0),
    ),
)
def test_patience_is_bounded_and_never_shorter_for_progress(
    steps: list[tuple[float, bool]], limits: PoolLimits
) -> None:
    clock = Clock()
    patience, began, moved, done = Patience(limits, 1, clock), clock.now, clock.now, 0.0
    for seconds, progresses in steps:
        clock.now += seconds
        before = patience.left
        if progresses:
            done += 0.01
            moved = clock.now
        patience.see({0: Signs(done=done)})
        assert patience.left >= before or not progresses
        assert patience.left == before or progresses
        end = clock.now + patience.left
        assert end <= began + limits.start_most + 1e-6
        assert end <= moved + limits.stall + 1e-6
        assert (patience.over is None) is (patience.left > 0)


def test_a_request_may_take_for_ever_while_it_progresses() -> None:
    clock = Clock()
    patience = RequestPatience(180, clock)
    progress: list[BackendEvent] = [
        Progress(Phase.READING, 0.1),
        Progress(Phase.READING, 0.2),
        TextDelta("a"),
    ]
    for event in (*progress, Progress(Phase.CALLING), Progress(Phase.CALLING), TextDelta("b")):
        clock.now += 179
        assert patience.left > 0
        patience.see([event])
        assert patience.left == 180


def test_a_request_that_says_the_same_again_is_stuck() -> None:
    clock = Clock()
    patience = RequestPatience(180, clock)
    patience.see([Progress(Phase.READING, 0.5)])
    clock.now += 100
    patience.see([Progress(Phase.READING, 0.5), Progress(Phase.READING, 0.4)])
    patience.see([])
    clock.now += 80
    assert patience.left <= 0
