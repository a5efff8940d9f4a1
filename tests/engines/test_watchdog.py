"""Whether an engine is stuck: looks at real engines, and what any sequence of looks means."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from tests.engines.streaming import ForeignStream
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.engines.watchdog import (
    FINE,
    PROBE,
    Action,
    Look,
    SlotLook,
    Verdict,
    Watchdog,
    look,
    read_slots,
    slept,
)
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

SAMPLES = tomllib.loads((Path(__file__).parent / "samples" / "slots.toml").read_text("utf-8"))

WATCH, HANG, HANG_BUSY, SLOT_FREE = 2.0, 20.0, 90.0, 3.0
TIMES = Deadlines(
    engine_watch=WATCH, engine_hang=HANG, engine_hang_busy=HANG_BUSY, engine_slot_free=SLOT_FREE
)
PUNCTUAL = 3 * WATCH
"""The longest time between two looks that is all the engine's."""

IDLE = SlotLook(0, False, 1, (9, 9))


def writing(count: int, *, task: int = 1) -> SlotLook:
    return SlotLook(0, True, task, (9, count))


def at(
    moment: float,
    *slots: SlotLook,
    silent: bool = False,
    cpu: float = 0.0,
    leases: int = 1,
    asleep: float = 0.0,
) -> Look:
    return Look(moment, None if silent else slots, cpu, 1000, leases, asleep)


def verdicts(looks: Iterable[Look], *, offloaded: bool = False) -> Iterator[tuple[float, Verdict]]:
    watchdog = Watchdog(TIMES, asleep=0.0, offloaded=offloaded)
    for one in looks:
        yield one.at, watchdog.see(one)


def stuck_at(looks: Iterable[Look], *, offloaded: bool = False) -> float | None:
    """When the first verdict STUCK was given."""
    found = verdicts(looks, offloaded=offloaded)
    return next((moment for moment, verdict in found if verdict.action is Action.STUCK), None)


def every(seconds: float, until: float) -> Iterator[float]:
    return itertools.takewhile(lambda moment: moment <= until, (n * seconds for n in itertools.count()))


# --- What any sequence of looks means ---------------------------------------------------------------------

gaps = st.lists(st.floats(0.05, PUNCTUAL - 1e-6), max_size=40)
"""Looks as a loop makes them that is sometimes busy. Sums of these round to less than `PUNCTUAL` apart."""


def moments(gaps: Iterable[float]) -> list[float]:
    """When they are made, and then on and on: for longer than any deadline."""
    begun = list(itertools.accumulate(gaps, initial=0.0))
    return [*begun, *(begun[-1] + WATCH + more for more in every(WATCH, HANG_BUSY + WATCH))]


@given(
    st.lists(st.tuples(st.floats(0.05, PUNCTUAL), st.sampled_from([0.0, 0.001, 3.0]), st.booleans())),
    st.integers(1, 3),
)
def test_it_is_never_stuck_while_it_progresses_in_time(
    steps: list[tuple[float, float, bool]], leases: int
) -> None:
    looks, moment, written, progress, cpu = [], 0.0, 0, 0.0, 0.0
    for gap, effort, silent in steps:
        due = moment + gap + PUNCTUAL - progress >= HANG
        moment, cpu = moment + gap, cpu + effort
        if due:
            written, progress = written + 1, moment
        looks.append(at(moment, writing(written), silent=silent and not due, cpu=cpu, leases=leases))
    assert stuck_at(looks) is None


@given(gaps, st.booleans(), st.integers(1, 3))
def test_without_progress_and_without_computing_it_is_stuck_in_time(
    gaps: list[float], silent: bool, leases: int
) -> None:
    found = stuck_at(at(m, writing(5), silent=silent, leases=leases) for m in moments(gaps))
    assert found is not None
    assert HANG <= found <= HANG + PUNCTUAL


def test_a_silent_engine_is_stuck_even_if_nobody_waits_for_it() -> None:
    assert stuck_at(at(m, silent=True, leases=0) for m in moments([])) == HANG


@given(gaps, st.floats(0, 0.03))
def test_what_an_idle_process_uses_is_not_computing(gaps: list[float], share: float) -> None:
    found = stuck_at(at(m, writing(5), cpu=m * share) for m in moments(gaps))
    assert found is not None
    assert HANG <= found <= 2 * HANG + 2 * PUNCTUAL


@given(gaps, st.floats(0.1, 16), st.booleans())
def test_while_it_computes_it_gets_more_time_but_not_for_ever(
    gaps: list[float], share: float, silent: bool
) -> None:
    found = stuck_at(at(m, writing(5), silent=silent, cpu=m * share) for m in moments(gaps))
    assert found is not None
    assert HANG_BUSY <= found <= HANG_BUSY + PUNCTUAL


@given(
    st.lists(st.tuples(st.floats(1, 40), st.sampled_from([0.0, 0.01, 0.05, 1.0]), st.booleans()), max_size=6),
    st.lists(st.integers(1, 5), min_size=1, max_size=9),
)
def test_looking_more_often_never_lets_it_hang_longer_and_less_often_finds_it_all_the_same(
    history: list[tuple[float, float, bool]], strides: list[int]
) -> None:
    ends = list(itertools.accumulate(seconds for seconds, _, _ in history))
    end = ends[-1] if ends else 0.0

    def seen(moment: float) -> Look:
        cpu, written, begin = 0.0, 0, 0.0
        for (_seconds, share, progress), until in zip(history, ends, strict=True):
            cpu += share * max(0.0, min(moment, until) - begin)
            written += progress and moment >= until
            begin = until
        return at(moment, writing(written), cpu=cpu)

    often = list(every(PUNCTUAL / 5, end + HANG_BUSY))
    chosen = itertools.accumulate(itertools.cycle(strides), initial=0)
    seldom = [often[index] for index in itertools.takewhile(lambda index: index < len(often), chosen)]
    sooner, later = stuck_at(map(seen, often)), stuck_at(map(seen, seldom))
    assert sooner is not None
    assert later is not None
    assert sooner <= later <= end + 2 * HANG + 2 * PUNCTUAL


@given(st.lists(st.floats(0.05, PUNCTUAL) | st.floats(PUNCTUAL, 1e5), max_size=30))
def test_time_in_which_we_did_not_look_is_not_held_against_it(gaps: list[float]) -> None:
    looked = moments(gaps)
    found = stuck_at(at(m, writing(5)) for m in looked)
    counted = itertools.accumulate(min(later - m, PUNCTUAL) for m, later in itertools.pairwise(looked))
    due = [m for m, silence in zip(looked[1:], counted, strict=True) if silence >= HANG - 1e-6]
    assert found == due[0]


def test_computing_before_we_were_away_counts_afterwards() -> None:
    looks = [at(m, writing(5), cpu=m) for m in every(WATCH, 2 * HANG)]
    back = looks[-1].at + 1000
    assert stuck_at([*looks, at(back, writing(5), cpu=2 * HANG)]) is None


def test_a_slot_that_was_left_busy_before_we_were_away_gets_its_time_anew() -> None:
    assert stuck_at([at(0, writing(5), leases=0), at(1000, writing(5), leases=0)]) is None


@given(gaps, st.integers(0, 3))
def test_an_engine_with_nothing_to_do_is_fine_for_ever(gaps: list[float], leases: int) -> None:
    assert all(v == FINE for _, v in verdicts(at(m, IDLE, leases=leases) for m in moments(gaps)))


@given(gaps, st.floats(0, 20))
def test_an_engine_that_tells_nothing_of_its_slots_is_not_judged(gaps: list[float], share: float) -> None:
    assert stuck_at(at(m, cpu=m * share) for m in moments(gaps)) is None


def test_one_slot_may_wait_for_another() -> None:
    waiting = SlotLook(1, True, 2, (0, 0))
    looks = (at(m, writing(int(m)), waiting) for m in every(WATCH, 500))
    assert stuck_at(looks) is None


def test_another_question_is_progress() -> None:
    assert stuck_at(at(m, writing(1, task=int(m // 15))) for m in every(WATCH, 2000)) is None


def test_reading_that_nobody_counts_may_take_long_while_it_computes() -> None:
    reading = SlotLook(0, True, 1, ())
    assert stuck_at(at(m, reading, cpu=m) for m in every(WATCH, 5000)) is None
    found = stuck_at(at(m, reading, cpu=0) for m in every(WATCH, 5000))
    assert found is not None


def test_a_process_that_lost_a_child_is_still_seen_to_compute() -> None:
    found = stuck_at(at(m, writing(5), cpu=m + (500 if m < HANG / 2 else 0)) for m in moments([]))
    assert found is not None
    assert found >= HANG_BUSY


# --- A slot that nobody waits for -------------------------------------------------------------------------


@given(gaps)
def test_a_slot_that_stays_busy_after_everybody_left_is_stuck_in_time(gaps: list[float]) -> None:
    looks = [at(-1, writing(5)), *(at(m, writing(5), leases=0) for m in moments(gaps))]
    found = stuck_at(looks)
    assert found is not None
    assert SLOT_FREE <= found <= SLOT_FREE + PUNCTUAL


@given(gaps)
def test_an_answer_that_is_written_on_for_nobody_is_stuck_however_much_it_computes(gaps: list[float]) -> None:
    looks = [at(m, writing(n), cpu=m * 4, leases=0) for n, m in enumerate(moments(gaps))]
    found = stuck_at(looks)
    assert found is not None
    assert SLOT_FREE <= found - looks[1].at <= SLOT_FREE + PUNCTUAL


def test_a_batch_that_is_under_way_when_everybody_leaves_may_be_finished() -> None:
    looks = [at(m, writing(5), cpu=m * 2, leases=0) for m in every(WATCH, 80)]
    after = [
        at(looks[-1].at + WATCH, writing(6), cpu=162, leases=0),
        at(looks[-1].at + 2 * WATCH, IDLE, leases=0),
    ]
    assert stuck_at([*looks, *after]) is None


@given(gaps)
def test_a_batch_on_a_card_takes_no_processor_and_may_be_finished(gaps: list[float]) -> None:
    """To stop a question with a long prompt costs no reload of the engine."""
    moments_of_batch = list(itertools.takewhile(lambda m: m < HANG - 1, moments(gaps)))
    looks = [at(-1, writing(5)), *(at(m, writing(5), leases=0) for m in moments_of_batch)]
    assert stuck_at([*looks, at(looks[-1].at + 0.5, IDLE, leases=0)], offloaded=True) is None


@given(gaps)
def test_a_slot_on_a_card_that_is_never_let_go_is_stuck_in_time(gaps: list[float]) -> None:
    looks = [at(-1, writing(5)), *(at(m, writing(5), leases=0) for m in moments(gaps))]
    found = stuck_at(looks, offloaded=True)
    assert found is not None
    assert HANG - 1 <= found <= HANG + PUNCTUAL


@given(gaps)
def test_an_answer_that_a_card_writes_on_for_nobody_is_stuck_as_soon(gaps: list[float]) -> None:
    looks = [at(m, writing(n), leases=0) for n, m in enumerate(moments(gaps))]
    found = stuck_at(looks, offloaded=True)
    assert found is not None
    assert SLOT_FREE <= found - looks[1].at <= SLOT_FREE + PUNCTUAL


@pytest.mark.parametrize("offloaded", [False, True])
def test_a_batch_that_began_before_the_engine_heard_of_the_leaving_may_be_finished(offloaded: bool) -> None:
    cpu = 0.0 if offloaded else 2.0
    before = at(0, writing(5), leases=0)
    looks = [at(m, writing(6), cpu=m * cpu, leases=0) for m in moments([]) if 0 < m < HANG]
    assert stuck_at([before, *looks, at(looks[-1].at + 0.5, IDLE, leases=0)], offloaded=offloaded) is None


def test_a_slot_is_not_forgotten_while_anybody_uses_the_engine() -> None:
    looks = (at(m, writing(int(m // 10)), leases=int(m) % 3) for m in every(1.0, 100))
    assert stuck_at(looks) is None


def test_questions_that_come_and_go_between_two_looks_are_not_one_forgotten_question() -> None:
    looks = (at(m, writing(5, task=n), leases=0) for n, m in enumerate(every(WATCH, 100)))
    assert stuck_at(looks) is None


def test_an_old_batch_that_keeps_it_silent_does_not_count_as_holding_on() -> None:
    looks = [at(m, writing(5), silent=m > 1, cpu=m, leases=0) for m in every(WATCH, 60)]
    assert stuck_at([*looks, at(62, writing(6), cpu=62, leases=0), at(64, IDLE, leases=0)]) is None


# --- After a sleep of the computer ------------------------------------------------------------------------


def test_after_a_sleep_it_must_answer_before_it_is_asked() -> None:
    watchdog = Watchdog(TIMES, asleep=100.0)
    assert watchdog.see(at(0, IDLE, leases=0, asleep=100.0)) == FINE
    assert not watchdog.must_probe(100.2, 0)
    assert watchdog.must_probe(500.0, 0)
    assert not watchdog.must_probe(500.0, 1)
    assert watchdog.see(at(2, IDLE, leases=0, asleep=500.0)) == PROBE
    assert watchdog.probed(True) == FINE
    assert not watchdog.must_probe(500.0, 0)
    assert watchdog.see(at(4, IDLE, leases=0, asleep=500.0)) == FINE


def test_a_sleep_before_the_first_look_counts() -> None:
    assert Watchdog(TIMES, asleep=0.0).see(at(0, IDLE, leases=0, asleep=60.0)) == PROBE


def test_two_probes_without_an_answer_mean_stuck() -> None:
    watchdog = Watchdog(TIMES, asleep=0.0)
    assert watchdog.must_probe(60.0, 0)
    assert watchdog.probed(False) == PROBE
    assert watchdog.must_probe(60.0, 0)
    assert watchdog.probed(False).action is Action.STUCK


def test_a_second_sleep_gives_both_probes_again() -> None:
    watchdog = Watchdog(TIMES, asleep=0.0)
    watchdog.must_probe(60.0, 0)
    watchdog.probed(False)
    watchdog.must_probe(120.0, 0)
    assert watchdog.probed(False) == PROBE


def test_an_answer_that_goes_on_after_the_sleep_is_proof_enough() -> None:
    watchdog = Watchdog(TIMES, asleep=0.0)
    assert watchdog.see(at(0, writing(5))) == FINE
    assert watchdog.see(at(2, writing(9), asleep=60.0)) == FINE  # it may have written that before the sleep
    assert watchdog.must_probe(60.0, 0)
    assert watchdog.see(at(4, writing(10), asleep=60.0)) == FINE
    assert not watchdog.must_probe(60.0, 0)


def test_an_answer_that_does_not_go_on_is_followed_by_a_probe() -> None:
    watchdog = Watchdog(TIMES, asleep=0.0)
    for moment in (0, 2, 4):
        assert watchdog.see(at(moment, writing(5), asleep=60.0)) == FINE
    assert watchdog.see(at(6, writing(5), leases=0, asleep=60.0)) == FINE  # a probe would wait behind it
    assert watchdog.see(at(8, IDLE, leases=0, asleep=60.0)) == PROBE


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3600), st.integers(0, 2), st.booleans()), max_size=30)
)
def test_no_question_is_let_in_after_a_sleep_without_proof(
    steps: list[tuple[float, float, int, bool]],
) -> None:
    watchdog, moment, asleep, proved = Watchdog(TIMES, asleep=0.0), 0.0, 0.0, True
    for gap, sleep, leases, passed in steps:
        moment, asleep, proved = moment + gap, asleep + sleep, proved and sleep <= 0.5
        watchdog.see(at(moment, IDLE, leases=leases, asleep=asleep))
        assert watchdog.must_probe(asleep, 0) is not proved
        if not proved:
            watchdog.probed(passed)
            proved = passed


def test_a_computer_that_is_awake_has_not_slept() -> None:
    before = slept()
    time.sleep(0.05)
    assert abs(slept() - before) < 0.02


# --- Answers of every shape -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_says_where_it_is_from(name: str) -> None:
    assert SAMPLES[name]["provenance"] in ("captured", "constructed")
    assert SAMPLES[name]["note"]


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("now_idle_never_used", (SlotLook(0, False, None, ()),)),
        ("now_writing", (SlotLook(0, True, 1, (771, 22, 750)),)),
        ("now_idle_after_use", (SlotLook(0, False, 1, (776, 0, 0)),)),
        ("winter_2024_writing", (SlotLook(0, True, 27, (136,)), SlotLook(1, False, -1, ()))),
        ("winter_2024_reading", (SlotLook(0, True, 28, ()),)),
        ("spring_2024_writing", (SlotLook(0, True, 3, ()), SlotLook(1, False, -1, ()))),
    ],
)
def test_slots_of_every_build_are_read(name: str, slots: tuple[SlotLook, ...]) -> None:
    assert read_slots(json.loads(SAMPLES[name]["text"])) == slots


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
odd_slots = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["id", "is_processing", "state", "id_task", "task_id", "next_token", "n_prompt_tokens"]
        ),
        json_values | st.just([{"n_decoded": 3}]) | st.just({"n_decoded": "3"}),
    )
    | json_values,
    max_size=5,
)


@given(json_values | odd_slots)
def test_any_json_is_read_or_left_out(answer: object) -> None:
    for slot in read_slots(answer):
        assert isinstance(slot.busy, bool)
        assert all(type(count) is int for count in slot.done)


def test_true_is_not_a_number() -> None:
    slots = [{"id": True, "is_processing": True}, {"id": 1, "is_processing": 1, "n_prompt_tokens": True}]
    assert read_slots(slots) == (SlotLook(1, True, None, ()),)


def test_more_slots_than_any_engine_has_are_cut_off() -> None:
    assert len(read_slots([{"id": n, "is_processing": True} for n in range(5000)])) == 1024


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[EngineAddress]:
    """A server that says these bytes to everybody and hangs up; None: it says nothing at all."""
    leave = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await leave.wait()
            else:
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield EngineAddress(f"http://127.0.0.1:{port}", "key", "tiny")
        leave.set()


def http_answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "slots"),
    [
        (http_answer(b'[{"id":3,"is_processing":true,"id_task":4}]'), (SlotLook(3, True, 4, ()),)),
        (http_answer(b"[" * 100_000), ()),
        (http_answer(b"<html>"), ()),
        (http_answer(b""), ()),
        (http_answer(b"[" + b'{"id":1,"is_processing":true},' * 60_000 + b"1]"), ()),
        (http_answer(b'{"error":{"code":501}}', "501 Not Implemented"), ()),
        (http_answer(b"{}", "401 Unauthorized"), ()),
        (b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n", ()),
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[", None),
        (None, None),
    ],
    ids=["slot", "deep", "page", "empty", "large", "off", "no key", "elsewhere", "hung up", "cut", "silent"],
)
async def test_whatever_it_answers_a_look_is_a_look(
    http: Http, answer: bytes | None, slots: tuple[SlotLook, ...] | None
) -> None:
    deadlines = replace(TIMES, engine_watch=0.3)
    await http.warm_up()
    async with answering(answer) as address:
        began = time.monotonic()
        seen = await look(http, address, os.getpid(), leases=2, deadlines=deadlines)
        assert seen.slots == slots
        assert seen.leases == 2
        assert began <= seen.at <= began + 0.3 + 0.25
        assert seen.memory_bytes is not None
        assert seen.memory_bytes > 2**20


async def test_a_process_that_is_gone_uses_nothing(http: Http) -> None:
    ended = await asyncio.create_subprocess_exec(sys.executable, "-Ic", "")
    await ended.wait()
    async with answering(http_answer(b"[]")) as address:
        seen = await look(http, address, ended.pid, leases=0, deadlines=TIMES)
    assert (seen.cpu_seconds, seen.memory_bytes) == (None, None)


# --- Real engines -----------------------------------------------------------------------------------------

QUICK = Deadlines(engine_watch=0.1, engine_hang=0.4, engine_hang_busy=30.0, engine_slot_free=0.2)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does not run inside this."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Watching:
    """Looks at a real engine without a pause until something is seen, and keeps the looks."""

    def __init__(self, http: Http, address: EngineAddress, pid: int) -> None:
        self._look: Callable[[int], Any] = lambda leases: look(
            http, address, pid, leases=leases, deadlines=QUICK
        )
        self._watchdog = Watchdog(QUICK)

    async def until(
        self, enough: Callable[[Look, Verdict], bool], *, leases: int, seconds: float
    ) -> tuple[Look, Verdict]:
        limit = time.monotonic() + seconds
        while True:
            seen: Look = await self._look(leases)
            verdict = self._watchdog.see(seen)
            if enough(seen, verdict):
                return seen, verdict
            assert seen.at < limit, f"it did not come to that: {seen}, {verdict}"


def is_stuck(_look: Look, verdict: Verdict) -> bool:
    return verdict.action is Action.STUCK


@asynccontextmanager
async def streaming(
    start: MakeEngine, http: Http, spec: EngineSpec
) -> AsyncIterator[tuple[Watching, ForeignStream, int]]:
    """A real engine that writes an answer without an end, its process id, and somebody who watches it."""
    engine = start(spec)
    address = await engine.ensure_ready()
    pid = engine.status().pid
    assert pid is not None
    stream = ForeignStream(address)
    try:
        assert await asyncio.to_thread(stream.first.wait, 10)
        yield Watching(http, address, pid), stream, pid
    finally:
        stream.close()


async def test_a_streaming_engine_shows_its_progress_and_is_fine(
    start: MakeEngine, http: Http, spec: EngineSpec
) -> None:
    async with streaming(start, http, spec) as (watching, _, _):
        first, _ = await watching.until(lambda seen, _: bool(seen.busy), leases=1, seconds=5)
        end = first.at + 1.5 * QUICK.engine_hang
        last, verdict = await watching.until(
            lambda seen, verdict: (seen.at > end and bool(seen.busy)) or is_stuck(seen, verdict),
            leases=1,
            seconds=5,
        )
        assert verdict == FINE
        assert last.busy[0].task == first.busy[0].task
        assert last.busy[0].done > first.busy[0].done
        assert last.cpu_seconds is not None
        assert first.cpu_seconds is not None
        assert last.cpu_seconds > first.cpu_seconds


async def test_a_stopped_engine_is_stuck_in_time_and_no_sooner(
    start: MakeEngine, http: Http, spec: EngineSpec
) -> None:
    async with streaming(start, http, spec) as (watching, _, pid):
        await watching.until(lambda seen, _: bool(seen.busy), leases=1, seconds=5)
        began = time.monotonic()
        with stopped(pid):
            seen, verdict = await watching.until(is_stuck, leases=1, seconds=5)
            assert verdict.why == "It no longer answers, and it computes nothing."
            assert seen.slots is None
            assert seen.at - began >= QUICK.engine_hang - 0.05
        # The first look may find that it answers again, and has not yet written anything.
        await watching.until(lambda seen, found: bool(seen.slots) and found == FINE, leases=1, seconds=5)


async def test_an_answer_that_nobody_waits_for_is_stuck(
    start: MakeEngine, http: Http, spec: EngineSpec
) -> None:
    async with streaming(start, http, spec) as (watching, _, _):
        await watching.until(lambda seen, _: bool(seen.busy), leases=1, seconds=5)
        began = time.monotonic()
        seen, verdict = await watching.until(is_stuck, leases=0, seconds=5)
        assert verdict.why == "It goes on with an answer that nobody waits for."
        assert seen.at - began >= QUICK.engine_slot_free


async def test_an_engine_whose_reader_hung_up_is_fine(
    start: MakeEngine, http: Http, spec: EngineSpec
) -> None:
    async with streaming(start, http, spec) as (watching, stream, _):
        await watching.until(lambda seen, _: bool(seen.busy), leases=1, seconds=5)
        stream.close()
        seen, verdict = await watching.until(
            lambda seen, verdict: seen.slots is not None and not seen.busy or is_stuck(seen, verdict),
            leases=0,
            seconds=5,
        )
        assert verdict == FINE
        assert not seen.busy
