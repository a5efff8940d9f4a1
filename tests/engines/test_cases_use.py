"""Leases, sleep, and engines that hang: who uses an engine keeps it, and nobody waits in vain."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from tests.engines.conftest import MakeEngine, cut_off, gone, until
from tests.engines.streaming import ForeignStream
from tests.engines.test_cases_end import pid_of
from whisper_desktop.engines import messages
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

Scripted = Callable[..., EngineSpec]
S = EngineState

WATCHFUL = replace(
    Deadlines(), engine_watch=0.05, engine_hang=0.4, engine_slot_free=0.3, engine_restart=0.1, engine_ask=1.0
)


# --- leases ----------------------------------------------------------------------------------------------


async def test_a_lease_starts_the_engine_and_counts_until_its_end(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec)
    async with engine.lease() as address:
        assert address.url == engine.status().url
        assert engine.leases == 1
        async with engine.lease() as other:
            assert other == address
            assert engine.leases == 2
    assert engine.leases == 0


async def test_no_lease_is_left_behind_however_it_ends(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted("load=0.1"))
    for wait in (0.0, 0.05, 0.3, 0.5):  # while it starts, and while it is used

        async def use() -> None:
            async with engine.lease():
                await asyncio.sleep(60)

        using = asyncio.create_task(use())
        await asyncio.sleep(wait)
        using.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await using
    with pytest.raises(ZeroDivisionError):
        async with engine.lease():
            raise ZeroDivisionError
    assert engine.leases == 0


async def test_a_lease_granted_at_the_moment_of_a_cancel_is_given_back(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted())
    await engine.ensure_ready()
    for hops in range(8):

        async def use() -> None:
            async with engine.lease():
                await asyncio.sleep(60)

        using = asyncio.create_task(use())
        for _ in range(hops):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait({using})
        assert engine.leases == 0, hops


async def test_a_cancel_from_outside_is_not_taken_for_the_end_of_the_engine(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted())
    lease = engine.lease()
    async with lease:

        async def wait() -> None:
            with lease.interruptible():
                await asyncio.sleep(60)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()


async def test_a_cancel_and_a_stop_at_once_is_a_cancel(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted())
    lease = engine.lease()

    async def wait() -> None:
        async with lease:
            with lease.interruptible():
                await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    assert await until(lambda: engine.leases == 1, 5)
    await asyncio.sleep(0)
    lease.end(EngineError("It was stopped.", cause="stopped"))
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


# --- sleep -----------------------------------------------------------------------------------------------


async def test_it_sleeps_by_itself_when_nobody_asks_and_wakes_for_a_question(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec, rest=RestPolicy(idle=0.2))
    first = await engine.ensure_ready()
    pid = pid_of(engine)
    assert await until(lambda: engine.status().state is S.SLEEPING, 3)
    assert gone(pid)
    assert "nobody asked" in engine.status().detail
    assert (await engine.ensure_ready()).url != first.url


async def test_it_never_sleeps_while_a_lease_is_held(scripted: Scripted, start: MakeEngine) -> None:
    """S26: neither by itself nor when told; afterwards it does."""
    engine = start(scripted(), rest=RestPolicy(idle=0.1), deadlines=WATCHFUL)
    async with engine.lease() as address:
        stream = ForeignStream(address)
        assert await asyncio.to_thread(stream.first.wait, 5)
        assert not await engine.rest("Told to.")
        await asyncio.sleep(0.4)  # four times what it may idle
        assert engine.status().state is S.READY
        assert stream.running
        stream.close()
    assert await until(lambda: engine.status().state is S.SLEEPING, 3)


async def test_a_reason_to_sleep_that_comes_too_late_is_none(scripted: Scripted, start: MakeEngine) -> None:
    """S26: found while nobody asked, and told when somebody does."""
    engine = start(scripted())
    async with engine.lease() as address:
        launch = engine._owner.launch
        assert launch is not None
        engine._owner.send(messages.Tired(launch, "Nobody asked."))
        assert await engine.ensure_ready() == address


async def test_a_question_at_the_moment_of_a_rest_is_always_served(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S25: a thousand times side by side, in every order that the loop can bring about."""
    engine = start(scripted())
    await engine.ensure_ready()
    slept = 0
    for number in range(1000):
        rested = asyncio.Event()

        async def use(rested: asyncio.Event = rested) -> None:
            async with engine.lease():
                await rested.wait()

        using = asyncio.create_task(use())
        # Before the first hop the rest comes first, which costs a start: that is done four times.
        hops = 1 + number % 4 if number % 250 else 0
        for _ in range(hops):
            await asyncio.sleep(0)
        fell_asleep = await engine.rest("Resting.")
        assert fell_asleep == (hops == 0)
        slept += fell_asleep
        rested.set()
        await using
    assert engine.leases == 0
    assert slept == 4


async def test_a_policy_may_change_while_it_runs(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted())
    await engine.ensure_ready()
    engine.rest_policy = RestPolicy(idle=0.05)
    assert await until(lambda: engine.status().state is S.SLEEPING, 3)


async def test_rest_tells_whether_anything_sleeps_now(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted())
    assert not await engine.rest("Resting.")
    await engine.ensure_ready()
    assert await engine.rest("Resting.")
    assert (engine.status().state, engine.status().detail) == (S.SLEEPING, "Resting.")
    assert await engine.rest("Resting again.")
    await engine.stop()
    assert engine.status().state is S.STOPPED


async def test_an_idle_engine_is_not_looked_at(scripted: Scripted, start: MakeEngine) -> None:
    """What nothing could come of is not done: not one request, not one line."""
    engine = start(scripted(), deadlines=WATCHFUL)
    async with engine.lease():
        pass
    assert await until(lambda: engine._owner.watch is not None and not engine._owner.watch._is_used, 2)
    process = psutil.Process(pid_of(engine))
    before = process.num_ctx_switches().voluntary + process.io_counters().read_count
    connections = len(process.net_connections())
    await asyncio.sleep(0.3)  # six looks' worth of time
    assert len(process.net_connections()) <= connections
    assert process.io_counters().read_count + process.num_ctx_switches().voluntary - before < 50


# --- engines that hang -----------------------------------------------------------------------------------


async def test_an_answer_that_stops_in_the_middle_is_found_out_told_and_mended(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S7: the process lives and /health says yes; who waits hears that it is stuck, and it starts anew."""
    seen: list[EngineStatus] = []
    engine = start(scripted("stop-writing=5"), deadlines=WATCHFUL, seen=seen)
    error = await cut_off(engine, lambda _pid: None)
    assert error.cause == "stuck"
    await engine.ensure_ready()
    assert [status.state for status in seen] == [
        S.STARTING,
        S.READY,
        S.STOPPING,
        S.BACKING_OFF,
        S.STARTING,
        S.READY,
    ]


async def test_an_answer_that_goes_on_is_left_alone(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted(), deadlines=WATCHFUL)
    async with engine.lease() as address:
        stream = ForeignStream(address)
        await asyncio.sleep(1.0)  # more than twice the time for a hang
        assert stream.running
        stream.close()
    assert engine.status().state is S.READY


async def test_a_frozen_process_is_found_out_by_who_waits_for_it(spec: EngineSpec, start: MakeEngine) -> None:
    """S7: stopped by a signal, with both real engines: it is killed and started anew."""
    # Longer between two looks, since each one waits for an answer that does not come.
    engine = start(spec, deadlines=replace(WATCHFUL, engine_watch=0.2, engine_hang=0.7))
    frozen: list[int] = []

    def freeze(pid: int) -> None:
        frozen.append(pid)
        os.kill(pid, signal.SIGSTOP)

    assert (await cut_off(engine, freeze)).cause == "stuck"
    await engine.ensure_ready()
    assert gone(*frozen)


async def test_a_slot_that_nobody_uses_and_that_stays_busy_is_freed(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S32: busy for longer than it may be after everybody left, so the engine is started anew."""
    engine = start(scripted("keep-slot"), deadlines=replace(WATCHFUL, engine_hang=30.0))
    async with engine.lease() as address:
        stream = ForeignStream(address)
        assert await asyncio.to_thread(stream.first.wait, 5)
        stream.close()
    first, left = pid_of(engine), time.monotonic()
    assert await until(lambda: engine.status().state is S.READY and engine.status().pid != first, 5)
    assert time.monotonic() - left > 0.3
    assert "nobody waits" in engine.status().detail


async def test_a_slot_that_a_card_may_still_be_busy_with_has_longer_to_be_freed(
    scripted: Scripted, start: MakeEngine
) -> None:
    """A card computes a batch with next to no CPU time, and ending the engine would cost another load."""
    engine = start(scripted("keep-slot", "on-card"), deadlines=replace(WATCHFUL, engine_hang=1.5))
    async with engine.lease() as address:
        stream = ForeignStream(address)
        assert await asyncio.to_thread(stream.first.wait, 5)
        stream.close()
    first, left = pid_of(engine), time.monotonic()
    assert await until(lambda: engine.status().state is S.READY and engine.status().pid != first, 5)
    assert time.monotonic() - left > 1.2


async def test_a_slot_that_is_let_go_in_time_is_nothing(spec: EngineSpec, start: MakeEngine) -> None:
    """S32: both real engines notice that a reader has gone."""
    engine = start(spec, deadlines=replace(WATCHFUL, engine_slot_free=2.0))
    async with engine.lease() as address:
        stream = ForeignStream(address)
        assert await asyncio.to_thread(stream.first.wait, 5)
        pid = pid_of(engine)
        stream.close()
    assert await until(lambda: engine._owner.watch is not None and not engine._owner.watch._is_used, 5)
    assert pid_of(engine) == pid


async def test_after_a_sleep_of_the_computer_it_proves_itself_before_the_next_question(
    scripted: Scripted, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: a dead graphics context while /health says yes; only the clock of the sleep is not real."""
    asleep = 0.0
    monkeypatch.setattr("whisper_desktop.engines.watching.slept", lambda: asleep)
    monkeypatch.setattr("whisper_desktop.engines.watchdog.slept", lambda: asleep)
    engine = start(scripted("die-soon"), deadlines=WATCHFUL)
    await engine.ensure_ready()
    pid = pid_of(engine)
    asleep = 3600.0
    address = await engine.ensure_ready()  # the probe is its second answer, after which it dies
    assert address.url == engine.status().url
    assert await until(lambda: gone(pid), 2)


async def test_an_engine_that_is_dead_after_a_sleep_is_started_anew_unseen(
    scripted: Scripted, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: the probes fail, and the question that waits is answered by the next process."""
    asleep = 0.0
    monkeypatch.setattr("whisper_desktop.engines.watching.slept", lambda: asleep)
    monkeypatch.setattr("whisper_desktop.engines.watchdog.slept", lambda: asleep)
    engine = start(scripted(), deadlines=replace(WATCHFUL, engine_ask=0.2))
    await engine.ensure_ready()
    frozen = pid_of(engine)
    os.kill(frozen, signal.SIGSTOP)
    asleep = 3600.0
    await engine.ensure_ready()
    assert pid_of(engine) != frozen
    assert "since the computer woke up" in engine.status().detail


# --- another specification -------------------------------------------------------------------------------


async def test_another_specification_waits_for_who_uses_the_old_one_and_no_longer(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec)
    async with engine.lease() as old:
        engine.respec(replace(spec, alias="another"))
        asking = asyncio.create_task(engine.ensure_ready())
        await asyncio.sleep(0.05)
        assert engine.status().url == old.url
        assert not asking.done(), "a new question is for the new specification"
    new = await asking
    assert (old.model, new.model) == ("tiny", "another")


async def test_another_specification_restarts_an_idle_engine_and_a_start(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("hang"))
    asking = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: engine.status().pid is not None, 5)
    engine.respec(scripted())
    await asking
    pid = pid_of(engine)
    engine.respec(replace(scripted(), alias="another"))
    assert await until(lambda: engine.status().state is S.READY and engine.status().pid != pid, 5)
    assert (await engine.ensure_ready()).model == "another"
