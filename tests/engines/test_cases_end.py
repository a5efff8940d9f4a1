"""Faults of an engine that runs, and of its end: told with their cause, started again, ended for certain."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import FAKE_SERVER, MakeEngine, cut_off, gone, until
from tests.engines.streaming import ForeignStream
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

Scripted = Callable[..., EngineSpec]

QUICK = replace(Deadlines(), engine_restart=0.1)
S = EngineState


def pid_of(engine: Engine) -> int:
    pid = engine.status().pid
    assert pid is not None
    return pid


def grandchild_of(engine: Engine) -> int:
    return next(int(line.split()[-1]) for line in engine.log_tail(999) if line.startswith("grandchild"))


@pytest.mark.parametrize("rest", [False, True], ids=["a stop", "a rest"])
async def test_a_question_while_it_stops_starts_it_again(
    rest: bool, spec: EngineSpec, start: MakeEngine
) -> None:
    """S11: no hang, whatever it stops for."""
    engine = start(spec)
    first = await engine.ensure_ready()
    stopping = asyncio.create_task(engine.rest("Resting.") if rest else engine.stop())
    while engine.status().state is not S.STOPPING:  # noqa: ASYNC110 - it lasts a few milliseconds
        await asyncio.sleep(0)
    second = await engine.ensure_ready()
    await stopping
    assert first.url != second.url
    assert engine.status().state is S.READY


async def test_a_crash_while_idle_is_seen_at_once_and_mended_unasked(
    spec: EngineSpec, start: MakeEngine
) -> None:
    """S12: seen within 100 ms because it is waited for, and started again although nobody asks."""
    seen: list[EngineStatus] = []
    engine = start(spec, seen=seen)
    first = await engine.ensure_ready()
    pid, killed = pid_of(engine), time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert await until(lambda: seen[-1].cause == "killed", 1)
    assert time.monotonic() - killed < 0.1 + 0.05
    assert await until(lambda: seen[-1].state is S.READY, 5)
    assert [status.state for status in seen] == [S.STARTING, S.READY, S.BACKING_OFF, S.STARTING, S.READY]
    assert "was ended from outside" in engine.status().detail
    assert (await engine.ensure_ready()).url != first.url
    assert pid_of(engine) != pid
    await engine.rest("Resting.")
    await engine.ensure_ready()
    assert (engine.status().detail, engine.status().cause) == ("Ready.", "")


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "crashed")])
async def test_who_uses_a_process_that_dies_hears_why(
    number: signal.Signals, cause: str, spec: EngineSpec, start: MakeEngine
) -> None:
    """S12: the lease ends with the cause, and the next question is answered."""
    engine = start(spec)
    error = await cut_off(engine, lambda pid: os.kill(pid, number))
    assert error.cause == cause
    assert engine.leases == 0
    await engine.ensure_ready()


async def test_a_process_that_somebody_else_tells_to_stop_does_not_hang_on(
    spec: EngineSpec, start: MakeEngine
) -> None:
    """S12: SIGTERM from outside. llama-server's handler may wait for a lock that the thread it interrupted
    holds, so that it hangs for ever (6 of 14 times while it wrote): then it is the watchdog who finds out.
    """
    engine = start(spec, deadlines=replace(QUICK, engine_watch=0.2, engine_hang=0.7))
    error = await cut_off(engine, lambda pid: os.kill(pid, signal.SIGTERM))
    assert error.cause in ("killed", "stuck")
    if error.cause == "killed":
        assert "told to stop" in error.detail
    await engine.ensure_ready()


async def test_a_crash_loop_backs_off_and_is_given_up_and_a_person_may_try_again(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S13: restarts after 0 and 1 units, FAILED at the third crash, `revive` works."""
    seen: list[EngineStatus] = []
    engine = start(scripted(), seen=seen, deadlines=QUICK)
    await engine.ensure_ready()
    for _ in range(3):
        assert await until(lambda: engine.status().state is S.READY, 5)
        os.kill(pid_of(engine), signal.SIGSEGV)
        assert await until(lambda: engine.status().state is not S.READY, 2)
    assert await until(lambda: engine.status().state is S.FAILED, 2)
    waits = [status.restart_in for status in seen if status.state is S.BACKING_OFF]
    assert waits == [0, pytest.approx(0.1)]
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert caught.value.cause == "crashed"
    await engine.revive()
    assert engine.status().state is S.READY


async def test_while_it_backs_off_a_question_waits_and_a_stop_ends_it(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S13: one joins the restart to come; stop means stop."""
    engine = start(scripted(), deadlines=replace(Deadlines(), engine_restart=0.3))
    await engine.ensure_ready()
    for _ in range(2):
        assert await until(lambda: engine.status().state is S.READY, 5)
        os.kill(pid_of(engine), signal.SIGSEGV)
        assert await until(lambda: engine.status().state is not S.READY, 2)
    assert engine.status().state is S.BACKING_OFF
    left = engine.status().restart_in
    assert left is not None
    assert 0 < left <= 0.3
    waiting = asyncio.create_task(engine.ensure_ready())
    await asyncio.sleep(0)
    await engine.stop()
    assert engine.status().state is S.STOPPED
    [error] = await asyncio.gather(waiting, return_exceptions=True)
    assert getattr(error, "cause", "") == "stopped"
    await asyncio.sleep(0.4)  # the restart that was to come must not
    assert engine.status().state is S.STOPPED


async def test_what_a_wrapper_forks_ends_with_it(
    scripted: Scripted, start: MakeEngine, tmp_path: Path
) -> None:
    """S17: a script that runs the real server as its child: the whole tree goes."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\n"{sys.executable}" -I -S "{FAKE_SERVER}" "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    engine = start(replace(scripted(), binary=wrapper))
    await engine.ensure_ready()
    tree = [pid_of(engine), *(one.pid for one in psutil.Process(pid_of(engine)).children(recursive=True))]
    assert len(tree) == 2
    await engine.stop()
    assert await until(lambda: all(gone(pid) for pid in tree), 1)


async def test_a_program_that_ignores_every_request_is_killed_in_time(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S18: SIGKILL at two seconds, over at three."""
    engine = start(scripted("ignore-term"))
    await engine.ensure_ready()
    pid, before = pid_of(engine), time.monotonic()
    await engine.stop()
    assert 2 - 0.05 < time.monotonic() - before < 3
    assert gone(pid)


@pytest.mark.parametrize("behaviour", ["no-fault", "ignore-term"])
async def test_what_an_engine_started_in_a_group_of_its_own_ends_with_it(
    behaviour: str, scripted: Scripted, start: MakeEngine
) -> None:
    """S19: whether the engine ends when asked or is killed; what it does not know of is left alone."""
    quick = replace(QUICK, engine_stop_grace=0.1, engine_stop_term=0.2, engine_stop_kill=0.6)
    engine = start(scripted("daemon", behaviour), deadlines=quick)
    other = start(replace(scripted("daemon"), engine_id="other"))
    await asyncio.gather(engine.ensure_ready(), other.ensure_ready())
    before = time.monotonic()
    await engine.stop()
    assert time.monotonic() - before < 1
    assert await until(lambda: gone(grandchild_of(engine)), 1)
    assert not gone(grandchild_of(other))


async def test_a_stuck_engine_takes_with_it_what_it_started(scripted: Scripted, start: MakeEngine) -> None:
    """S19: one that hangs is killed at once, and starts anew."""
    impatient = replace(QUICK, engine_watch=0.25, engine_hang=1.0, engine_slot_free=1.0)
    engine = start(scripted("daemon", "stop-writing=3"), deadlines=impatient)
    holders: list[int] = []
    error = await cut_off(engine, lambda _pid: holders.append(grandchild_of(engine)))
    assert error.cause == "stuck"
    assert await until(lambda: gone(holders[0]), 2)


async def test_a_grandchild_that_holds_the_output_does_not_delay_what_follows_a_crash(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S19: it keeps the pipe open, and after the crash nothing tells whose it was."""
    engine = start(scripted("daemon"))
    await engine.ensure_ready()
    holder, pid = grandchild_of(engine), pid_of(engine)
    try:
        before = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert await until(lambda: engine.status().pid not in (None, pid), 2)
        assert time.monotonic() - before < 2
        assert any("still held open" in line for line in engine.log_tail(999))
    finally:
        os.kill(holder, signal.SIGKILL)


@asynccontextmanager
async def held(pid: int) -> AsyncIterator[None]:
    """While inside, nothing ends the process."""
    holder = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("unkillable.py")), str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if (await asyncio.to_thread(holder.stdout.readline)).strip() != b"held":
            pytest.skip("this computer lets nobody trace another process")
        yield
    finally:
        holder.stdin.close()
        await asyncio.to_thread(holder.wait)
        holder.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the way to hold a process is Linux's")
async def test_a_process_that_cannot_be_killed_is_told_and_kept_apart(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S20: reported in time; nothing is started beside it; other engines work; the app can end."""
    quick = replace(QUICK, engine_stop_grace=0.1, engine_stop_term=0.2, engine_stop_kill=0.4)
    engine, other = start(scripted(), deadlines=quick), start(scripted(), deadlines=quick)
    await engine.ensure_ready()
    pid = pid_of(engine)
    async with held(pid):
        with pytest.raises(EngineError) as caught:
            await engine.stop()
        assert caught.value.cause == "cannot_stop"
        assert (engine.status().state, engine.status().cause) == (S.FAILED, "cannot_stop")
        with pytest.raises(EngineError) as caught:
            await engine.ensure_ready()
        assert caught.value.cause == "cannot_stop"
        await other.ensure_ready()
        await other.stop()
        await engine.stop()
        assert engine.status().state is S.STOPPED
        with pytest.raises(EngineError):
            await engine.ensure_ready()
    async with asyncio.timeout(2):
        while engine.status().state is not S.READY:
            with contextlib.suppress(EngineError):  # until its end has been heard of
                await engine.ensure_ready()
    assert gone(pid)


async def test_a_stop_during_streams_and_a_load_leaves_nothing_within_three_seconds(
    spec: EngineSpec, scripted: Scripted, start: MakeEngine
) -> None:
    """S34: three engines that answer and one that loads."""
    engines = [start(replace(spec, engine_id=f"engine{number}")) for number in range(3)]
    loading = start(scripted("hang"))
    waiting = asyncio.create_task(loading.ensure_ready())
    addresses = await asyncio.gather(*(engine.ensure_ready() for engine in engines))
    streams = [ForeignStream(address) for address in addresses]
    for stream in streams:
        assert await asyncio.to_thread(stream.first.wait, 10)
    assert await until(lambda: loading.status().pid is not None, 5)
    pids = [pid_of(engine) for engine in (*engines, loading)]
    before = time.monotonic()
    await asyncio.gather(*(engine.stop() for engine in (*engines, loading)))
    assert time.monotonic() - before < 3
    assert all(gone(pid) for pid in pids)
    assert list(run_dir().glob("engine-*")) == []
    with contextlib.suppress(EngineError):
        await waiting
    for stream in streams:
        stream.close()


async def test_a_stop_is_heard_by_who_streams_before_the_process_is_gone(
    spec: EngineSpec, start: MakeEngine
) -> None:
    """S34: our own streams end first, with a clean word."""
    engine = start(spec)
    stops: list[asyncio.Task[None]] = []
    error = await cut_off(engine, lambda _pid: stops.append(asyncio.create_task(engine.stop())))
    assert (error.cause, engine.status().state) == ("stopped", S.STOPPING)
    await asyncio.gather(*stops)


async def test_a_frozen_process_is_ended_in_time(builtin: EngineSpec, start: MakeEngine) -> None:
    """S18: stopped by SIGSTOP, it hears nothing but SIGKILL."""
    quick = replace(Deadlines(), engine_stop_grace=0.1, engine_stop_term=0.3, engine_stop_kill=0.6)
    engine = start(builtin, deadlines=quick)
    await engine.ensure_ready()
    pid = pid_of(engine)
    os.kill(pid, signal.SIGSTOP)
    await engine.stop()
    assert gone(pid)
