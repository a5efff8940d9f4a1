"""How many run at once, who comes first, and that nothing is lost when somebody stops waiting."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.llm.tolerance import tolerance
from whisper_desktop.errors import BackendError
from whisper_desktop.llm.limits import Limiter
from whisper_desktop.values import Deadlines, ErrorKind

PATIENT = Deadlines(queue=60.0)
HASTY = Deadlines(queue=0.05)


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


class Asking:
    """A question that holds its place until told to end."""

    def __init__(
        self,
        limiter: Limiter,
        place: str = "here",
        *,
        limit: int | None = None,
        batch: bool = False,
        started: list[str] | None = None,
        name: str = "",
        on_wait: Callable[[int], None] | None = None,
    ) -> None:
        self.place = place
        self.runs = False
        self._end = asyncio.Event()
        self._slot = limiter.slot(place, limit=limit, batch=batch, on_wait=on_wait)
        self._started = started
        self._name = name
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._slot:
            self.runs = True
            if self._started is not None:
                self._started.append(self._name)
            try:
                await self._end.wait()
            finally:
                self.runs = False

    def end(self) -> None:
        self._end.set()


async def stop(*asking: Asking) -> None:
    for each in asking:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in asking), return_exceptions=True)


def at_rest(limiter: Limiter, *places: str) -> bool:
    return (limiter.active, limiter.waiting) == (0, 0) and not any(
        limiter.active_at(place) or limiter.waiting_at(place) for place in places
    )


# --- limits ----------------------------------------------------------------------------------------------


async def test_no_more_than_the_total_run_at_once() -> None:
    limiter = Limiter(2, deadlines=PATIENT)
    asking = [Asking(limiter, f"place {number}") for number in range(5)]
    await settle()
    assert [each.runs for each in asking] == [True, True, False, False, False]
    assert (limiter.active, limiter.waiting) == (2, 3)
    asking[0].end()
    await settle()
    assert [each.runs for each in asking] == [False, True, True, False, False]
    await stop(*asking)
    assert at_rest(limiter)


async def test_no_more_than_a_place_takes_run_there_and_others_pass_by() -> None:
    limiter = Limiter(10, deadlines=PATIENT)
    full = [Asking(limiter, "slow", limit=1) for _ in range(3)]
    other = Asking(limiter, "quick", limit=1)
    await settle()
    assert [each.runs for each in full] == [True, False, False]
    assert other.runs
    assert (limiter.active_at("slow"), limiter.waiting_at("slow")) == (1, 2)
    await stop(*full, other)
    assert at_rest(limiter, "slow", "quick")


async def test_a_free_place_goes_to_who_can_use_it() -> None:
    limiter = Limiter(2, deadlines=PATIENT)
    first = Asking(limiter, "slow", limit=1)
    second = Asking(limiter, "quick", limit=1)
    await settle()
    held_up = Asking(limiter, "slow", limit=1)
    next_one = Asking(limiter, "quick", limit=1)
    await settle()
    second.end()
    await settle()
    assert not held_up.runs
    assert next_one.runs
    await stop(first, held_up, next_one)


async def test_a_server_that_got_more_slots_serves_who_waits() -> None:
    limiter = Limiter(10, deadlines=PATIENT)
    asking = [Asking(limiter, limit=1) for _ in range(3)]
    await settle()
    asking.append(Asking(limiter, limit=4))
    await settle()
    assert all(each.runs for each in asking)
    await stop(*asking)
    assert at_rest(limiter, "here")


async def test_an_error_gives_the_place_back() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    with pytest.raises(ValueError, match="inside"):
        async with limiter.slot("here", limit=1):
            raise ValueError("inside")
    assert at_rest(limiter, "here")


# --- order -----------------------------------------------------------------------------------------------


async def order_of(limiter: Limiter, *batches: bool, after: Callable[[], None] = lambda: None) -> list[str]:
    """The order in which questions are served that arrive one after the other at a full limiter."""
    started: list[str] = []
    blocking = Asking(limiter)
    await settle()
    waiting = []
    for number, batch in enumerate(batches):
        name = f"{'batch' if batch else 'person'} {number}"
        waiting.append(Asking(limiter, batch=batch, started=started, name=name))
        await settle()
    after()
    for each in (blocking, *waiting):
        each.end()
    await asyncio.gather(*(each.task for each in waiting))
    return started


async def test_who_came_first_is_served_first() -> None:
    order = await order_of(Limiter(1, deadlines=PATIENT), False, False, False)
    assert order == ["person 0", "person 1", "person 2"]


async def test_a_person_goes_before_a_batch() -> None:
    order = await order_of(Limiter(1, deadlines=PATIENT), True, True, False, False)
    assert order == ["person 2", "person 3", "batch 0", "batch 1"]


async def test_a_batch_that_has_waited_long_counts_by_its_arrival() -> None:
    now = [0.0]
    limiter = Limiter(1, deadlines=PATIENT, clock=lambda: now[0])
    order = await order_of(limiter, True, False, after=lambda: now.__setitem__(0, 61.0))
    assert order == ["batch 0", "person 1"]


async def test_a_newcomer_does_not_jump_the_queue() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    started: list[str] = []
    first = Asking(limiter)
    await settle()
    second = Asking(limiter, started=started, name="second")
    await settle()
    first.end()
    await first.task
    third = Asking(limiter, started=started, name="third")
    await settle()
    assert started == ["second"]
    await stop(second, third)


# --- waiting ---------------------------------------------------------------------------------------------


async def test_a_person_waits_no_longer_than_the_deadline() -> None:
    limiter = Limiter(1, deadlines=HASTY)
    blocking = Asking(limiter)
    await settle()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(BackendError) as caught:
        async with limiter.slot("here"):
            pytest.fail("there was no place")
    assert 0.05 <= loop.time() - began < 0.05 + tolerance()
    assert caught.value.kind is ErrorKind.QUEUE_FULL
    assert not caught.value.request_sent
    assert str(caught.value) == (
        "The question waited 0.05 s for its turn. 1 other answer is being written, and none has ended. "
        "Ask again when one has ended, or stop one."
    )
    assert (limiter.active, limiter.waiting) == (1, 0)
    await stop(blocking)


async def test_a_batch_waits_for_as_long_as_it_takes() -> None:
    limiter = Limiter(1, deadlines=HASTY)
    blocking = Asking(limiter)
    patient = Asking(limiter, batch=True)
    await settle()
    with pytest.raises(BackendError):
        async with limiter.slot("here"):
            pytest.fail("there was no place")
    assert not patient.task.done()
    blocking.end()
    await settle()
    assert patient.runs
    await stop(patient)


async def test_whoever_waits_hears_how_many_wait_before() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    heard: list[int] = []
    asking = [Asking(limiter, on_wait=heard.append, batch=batch) for batch in (False, True, False, True)]
    await settle()
    assert heard == [0, 0, 2]  # the first batch; the person, who passes it; the second batch
    await stop(*asking)


async def test_a_listener_that_raises_leaves_no_trace() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    blocking = Asking(limiter)
    await settle()

    def broken(ahead: int) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with limiter.slot("here", on_wait=broken):
            pytest.fail("there was no place")
    assert limiter.waiting == 0
    await stop(blocking)


# --- cancellation ----------------------------------------------------------------------------------------


async def test_whoever_stops_waiting_leaves_the_queue() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    first, second, third = (Asking(limiter) for _ in range(3))
    await settle()
    await stop(second)
    assert limiter.waiting == 1
    first.end()
    await settle()
    assert third.runs
    await stop(third)
    assert at_rest(limiter, "here")


async def test_a_place_given_to_somebody_who_just_left_goes_to_the_next() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    async with limiter.slot("here"):
        second, third = (Asking(limiter) for _ in range(2))
        await settle()
    second.task.cancel()
    await settle()
    assert second.task.cancelled()
    assert third.runs
    await stop(third)
    assert at_rest(limiter, "here")


async def test_a_place_is_not_given_to_somebody_who_is_leaving() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    async with limiter.slot("here"):
        second, third = (Asking(limiter) for _ in range(2))
        await settle()
        second.task.cancel()
    await settle()
    assert third.runs
    await stop(third)
    assert at_rest(limiter, "here")


async def test_no_timer_is_left_behind() -> None:
    limiter = Limiter(1, deadlines=PATIENT)
    loop = asyncio.get_running_loop()
    before = {timer for timer in loop._scheduled if not timer.cancelled()}  # type: ignore[attr-defined]
    asking = [Asking(limiter) for _ in range(10)]
    await settle()
    for each in asking[:5]:
        each.end()
    await settle()
    await stop(*asking)
    after = {timer for timer in loop._scheduled if not timer.cancelled()}  # type: ignore[attr-defined]
    assert after == before


Step = tuple[str, int, bool, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "end", "cancel", "end and cancel", "hand over and cancel", "429", "answer"]),
        st.integers(0, 30),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4))
def test_in_any_order_of_events_nothing_is_lost(events: list[Step], total: int) -> None:
    asyncio.run(_any_order(events, total))


async def _any_order(events: list[Step], total: int) -> None:
    limiter = Limiter(total, deadlines=PATIENT)
    limits = {"a": 1, "b": 2, "c": None}
    asking: list[Asking] = []
    for what, which, batch, ticks in events:
        place = "abc"[which % 3]
        chosen = asking[which % len(asking)] if asking else None
        if what == "ask":
            asking.append(Asking(limiter, place, limit=limits[place], batch=batch))
        elif what == "429":
            limiter.slower(place)
        elif what == "answer":
            for _ in range(10):
                limiter.faster(place)
        elif what.startswith("hand over"):
            for each in asking:
                each.end()
            await asyncio.sleep(0)
            for each in asking:
                if not each.runs:
                    each.task.cancel()
        elif chosen is not None:
            if what.startswith("end"):
                chosen.end()
            if what.endswith("cancel"):
                chosen.task.cancel()
        for _ in range(ticks):
            await asyncio.sleep(0)
        assert limiter.active <= total
    await settle()
    running = [each for each in asking if each.runs]
    assert limiter.active == len(running)
    assert limiter.waiting == len([each for each in asking if not each.task.done()]) - len(running)
    for place in "abc":
        limit = limiter.limit_at(place)
        may_run = limiter.active < total and (limit is None or limiter.active_at(place) < limit)
        assert not (may_run and limiter.waiting_at(place))
    for _ in range(len(asking) + 1):
        for each in asking:
            each.end()
        await settle()
    assert all(each.task.done() for each in asking)
    assert at_rest(limiter, "a", "b", "c")


# --- a place that finds its own limit --------------------------------------------------------------------


async def test_a_429_halves_and_ten_answers_add_one() -> None:
    limiter = Limiter(20, deadlines=PATIENT)
    async with limiter.slot("far", limit=8):
        limiter.slower("far")
    assert limiter.limit_at("far") == 4
    for _ in range(9):
        limiter.faster("far")
    assert limiter.limit_at("far") == 4
    limiter.faster("far")
    assert limiter.limit_at("far") == 5
    async with limiter.slot("far", limit=8):
        assert limiter.limit_at("far") == 5


async def test_429s_to_questions_of_the_same_moment_count_once() -> None:
    limiter = Limiter(20, deadlines=PATIENT)
    burst = [Asking(limiter, "far", limit=8) for _ in range(8)]
    await settle()
    for each in burst:
        limiter.slower("far")
        each.end()
        await each.task
    assert limiter.limit_at("far") == 4
    limiter.slower("far")
    assert limiter.limit_at("far") == 2


async def test_there_is_always_room_for_one_and_never_for_more_than_the_total() -> None:
    limiter = Limiter(3, deadlines=PATIENT)
    async with limiter.slot("far", limit=2):
        pass
    for _ in range(10):
        limiter.slower("far")
    assert limiter.limit_at("far") == 1
    for _ in range(1000):
        limiter.faster("far")
    assert limiter.limit_at("far") == 3


async def test_one_more_serves_who_waits() -> None:
    limiter = Limiter(10, deadlines=PATIENT)
    first, second = (Asking(limiter, "far", limit=1) for _ in range(2))
    await settle()
    for _ in range(10):
        limiter.faster("far")
    await settle()
    assert second.runs
    await stop(first, second)


async def test_memory_is_bounded() -> None:
    limiter = Limiter(10, deadlines=PATIENT)
    async with limiter.slot("kept"):
        for number in range(2000):
            async with limiter.slot(f"place {number}", limit=1):
                pass
        assert len(limiter._places) < 300
        assert limiter.active_at("kept") == 1
    assert at_rest(limiter, "kept")
