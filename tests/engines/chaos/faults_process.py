"""Faults of the process: ended, frozen, out of memory, orphaned."""

import asyncio
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from tests.engines.chaos.faults import Catalogue
from tests.engines.chaos.table import NOTHING
from tests.engines.chaos.world import LONG_ANSWER, Problem, S, World
from tests.engines.conftest import gone, until
from tests.engines.test_injected_causes import LONG, MIB, at_most, own_memory_group
from tests.engines.test_owner_death import owning
from whisper_desktop.engines import orphans
from whisper_desktop.engines.repair import changed

FAULTS = Catalogue()

# --- signals ----------------------------------------------------------------------------------------------

KILLED, CRASHED = {"killed"}, {"crashed"}

_SIGNALS = {
    signal.SIGKILL: KILLED,
    signal.SIGTERM: KILLED,
    signal.SIGSEGV: CRASHED,
    signal.SIGABRT: CRASHED,
    signal.SIGILL: CRASHED,
}
_FURTHER_SIGNALS = {
    signal.SIGINT: KILLED,
    signal.SIGHUP: KILLED,
    signal.SIGQUIT: KILLED,
    signal.SIGBUS: CRASHED,
    signal.SIGFPE: CRASHED,
}


def _causes(world: World, number: signal.Signals) -> set[str]:
    """What a signal to one that has answered is told as."""
    causes = (_SIGNALS | _FURTHER_SIGNALS)[number]
    # llama-server's handler takes a lock that its main loop may hold: then it hangs instead of ending.
    hangs = number in (signal.SIGTERM, signal.SIGINT) and world.spec.binary is not None
    return causes | {"stuck"} if hangs else causes


async def _while_idle(world: World, number: signal.Signals) -> set[str]:
    world.signal(number)
    await world.told()
    return _causes(world, number)


async def _while_streaming(world: World, number: signal.Signals) -> set[str]:
    async with world.streaming() as asked:
        world.signal(number)
    await world.told()
    world.says_why(asked)
    return _causes(world, number)


def _signals(number: signal.Signals) -> None:
    @FAULTS.add(f"{number.name}, idle")
    async def idle(world: World, chance: random.Random) -> set[str]:
        return await _while_idle(world, number)

    @FAULTS.add(f"{number.name}, streaming")
    async def streaming(world: World, chance: random.Random) -> set[str]:
        return await _while_streaming(world, number)

    @FAULTS.add(f"{number.name}, loading", lasting=number is signal.SIGILL)
    async def loading(world: World, chance: random.Random) -> set[str]:
        asked = await world.loading(chance.random())
        world.signal(number)
        # As llama-server gets ready, it loses this one between setting its handler and what that one calls.
        lossy = number is signal.SIGTERM and world.spec.binary is not None
        await world.told(may_be_lost=lossy)
        await world.end(asked)
        if world.was_ready:
            return _causes(world, number) | ({NOTHING} if lossy else set())
        # A program that never answered may well have been built for another processor.
        return {"cpu_unsupported"} if number is signal.SIGILL else _SIGNALS[number]


for _number in _SIGNALS:
    _signals(_number)


@FAULTS.add("another signal")
async def another_signal(world: World, chance: random.Random) -> set[str]:
    return await chance.choice([_while_idle, _while_streaming])(world, chance.choice([*_FURTHER_SIGNALS]))


@FAULTS.add("killed again and again", lasting=True)
async def crash_loop(world: World, chance: random.Random) -> set[str]:
    """After three failures it is left alone, and a question is told so."""
    asked = await world.loading(chance.random())
    for _ in range(3):
        if not await until(lambda: world.process is not None, 5):
            raise Problem("it was not started again")
        pid = world.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: world.process != pid, 5)  # type: ignore[misc]  # mypy cannot infer it
    await world.end(asked)
    await until(lambda: world.state is S.FAILED, 5)
    words = await world.refused()
    if world.state is not S.FAILED or "again and again" not in words:
        raise Problem(f"it was not left alone after three failures: {words}, {world.engine.status()}")
    return KILLED


# --- frozen -----------------------------------------------------------------------------------------------


@FAULTS.add("frozen for a moment, streaming")
async def frozen_shortly(world: World, chance: random.Random) -> set[str]:
    asked = world.begin(LONG_ANSWER)
    await asked.first.wait()
    await _freeze(world, chance.uniform(0.05, 0.4))
    await world.undisturbed(asked)
    return {NOTHING}


@FAULTS.add("frozen for a moment, loading")
async def load_frozen_shortly(world: World, chance: random.Random) -> set[str]:
    asked = await world.loading(chance.random(), LONG_ANSWER)
    await _freeze(world, chance.uniform(0.05, 0.4))
    await world.undisturbed(asked)
    return {NOTHING}


async def _freeze(world: World, seconds: float) -> None:
    world.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    world.signal(signal.SIGCONT)


@FAULTS.add("frozen for good, streaming")
async def frozen_streaming(world: World, chance: random.Random) -> set[str]:
    async with world.streaming() as asked:
        world.signal(signal.SIGSTOP)
    world.says_why(asked)
    return {"stuck"}


@FAULTS.add("frozen for good, idle")
async def frozen_idle(world: World, chance: random.Random) -> set[str]:
    """Nobody looks at it; who asks finds out."""
    world.signal(signal.SIGSTOP)
    world.says_why(await world.ask())
    return {"stuck"}


@FAULTS.add("frozen for good, loading")
async def frozen_loading(world: World, chance: random.Random) -> set[str]:
    """Before it listens, while it is asked for its first token, or once it is ready."""
    asked = await world.loading(chance.random())
    world.signal(signal.SIGSTOP)
    await world.end(asked)
    if world.cause == NOTHING:  # it had answered before
        await world.ask()
    return {"stuck"} if world.was_ready else {"start_timeout", "stuck"}


@FAULTS.add("frozen for good, then stopped")
async def frozen_then_stopped(world: World, chance: random.Random) -> set[str]:
    world.signal(signal.SIGSTOP)
    await world.stop("stop of a frozen engine")
    return {NOTHING}


@FAULTS.add("the computer slept")
async def slept(world: World, chance: random.Random) -> set[str]:
    pid = world.pid
    world.asleep += 3600
    await world.answered()
    if world.pid != pid:
        raise Problem("it was started anew although it still answers")
    return {NOTHING}


@FAULTS.add("the computer slept, and it is dead since")
async def slept_dead(world: World, chance: random.Random) -> set[str]:
    """The question that finds it out is answered by the next process."""
    world.signal(signal.SIGSTOP)
    world.asleep += 3600
    await world.answered()
    return {"stuck"}


# --- memory -----------------------------------------------------------------------------------------------


@contextmanager
def _at_most(world: World, mebibytes: int) -> Iterator[None]:
    """Every engine that is started gets at most this much memory."""
    before, program = sys.executable, world.model.with_name("limited-python")
    program.write_text(f'#!/bin/sh\n{at_most(mebibytes)}\nexec "{before}" "$@"\n')
    program.chmod(0o755)
    sys.executable = str(program)
    try:
        yield
    finally:
        sys.executable = before


@FAULTS.add("refused memory, loading")
async def refused_memory(world: World, chance: random.Random) -> set[str]:
    world.engine.respec(replace(world.spec, n_ctx=LONG))
    with _at_most(world, chance.choice([30, 60, 100, 140, 200])):
        await world.refused()
    world.engine.respec(world.spec)
    return {"out_of_memory"}


@FAULTS.add("refused memory, loading, repaired")
async def refused_memory_repaired(world: World, chance: random.Random) -> set[str]:
    """The repair that is offered, taken as often as it is, lets it start."""
    spec = replace(world.spec, n_ctx=LONG)
    with _at_most(world, 540):
        for _ in range(2):
            world.engine.respec(spec)
            await world.refused()
            repairs = world.engine.status().repairs
            spec = changed(spec, [each.change for each in repairs if each.id == "smaller_context"])
        world.engine.respec(spec)
        await world.answered()
    world.engine.respec(world.spec)
    return {"out_of_memory"}


LONG_PROMPT = "word " * 50_000


@FAULTS.add("refused memory, streaming")
async def refused_more_memory(world: World, chance: random.Random) -> set[str]:
    """While a long question comes. It may give up, or live on and answer with an error, which is told."""
    async with world.streaming() as streamed:
        limit = (_data_of(world.pid) + chance.choice([0, 64, 256, 1024])) * 1024
        resource.prlimit(world.pid, resource.RLIMIT_DATA, (limit, limit))
        await world.end(world.begin(prompt=LONG_PROMPT))
        streamed.cancel()
    await world.stop()  # what limits it ends with its process
    return {"out_of_memory", NOTHING}


def _data_of(pid: int) -> int:
    """What RLIMIT_DATA limits, in KiB: see setrlimit(2)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:"))


@FAULTS.add("ended by the kernel for lack of memory", group=True)
async def killed_for_memory(world: World, chance: random.Random) -> set[str]:
    """While a long question comes."""
    with control_group() as group:
        (group / "cgroup.procs").write_text(str(world.pid))
        async with world.streaming() as asked:
            await until(lambda: _is_known(world, group), 5)
            leave_no_memory(group)
            long_one = world.begin(prompt=LONG_PROMPT)
            await world.told()
            await world.end(long_one)
        world.says_why(asked)
    return {"oom_killed"}


_IS_OLD = "/memory/" in f"{own_memory_group()}" if sys.platform == "linux" else False
_USED, _LIMIT = (
    ("memory.usage_in_bytes", "memory.limit_in_bytes") if _IS_OLD else ("memory.current", "memory.max")
)


def _is_known(world: World, group: Path) -> bool:
    """Whether it was looked at since it is in this group; engines do not change groups anywhere else."""
    launch = world.engine._owner.launch
    return launch is not None and group.name in launch.before.group


def leave_no_memory(group: Path) -> None:
    """Whoever is in it and needs more than a little is ended by the kernel."""
    used = int((group / _USED).read_text())
    (group / _LIMIT).write_text(str(used + MIB // 4))


def can_limit_groups() -> bool:
    """Whether a control group can be made here, and its memory limited."""
    try:
        with control_group():
            return True
    except OSError:
        return False


@contextmanager
def control_group() -> Iterator[Path]:
    """A control group whose memory can be limited. Raises `OSError` where none can be made."""
    group = own_memory_group() / f"whisper-chaos-{os.getpid()}"
    group.mkdir()
    try:
        (group / _USED).read_text()
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        ends_at = time.monotonic() + 3
        while group.exists() and time.monotonic() < ends_at:
            with suppress(OSError):  # the kernel has not yet let go of who was in it
                group.rmdir()


# --- the app ----------------------------------------------------------------------------------------------

GONE_S = 1.0


def _app_killed(moment: str) -> None:
    @FAULTS.add(f"kill -9 of the app, {moment}")
    async def killed(world: World, chance: random.Random) -> set[str]:
        """Another run of the app, whose engine may be frozen besides; ours is left alone."""
        ours = world.pid
        with ExitStack() as stack:
            app, engine = await asyncio.to_thread(stack.enter_context, owning(world.spec, moment))
            family = {engine, *(each.pid for each in psutil.Process(app.pid).children(recursive=True))}
            if moment == "loading":
                await asyncio.sleep(chance.random() * world.load_s)
            if chance.random() < 0.3:
                os.kill(engine, signal.SIGSTOP)
            app.kill()
            began = time.monotonic()
            await until(lambda: all(map(gone, family)), GONE_S)
            world.table.took("life of an engine after its app", time.monotonic() - began, GONE_S)
            left = [pid for pid in family if not gone(pid)]
        await asyncio.to_thread(orphans.end_orphans)
        if left:
            raise Problem(f"of a killed app is left: {left}")
        if gone(ours):
            raise Problem("the engine of an app that lives was ended as an orphan")
        return {NOTHING}


for _moment in ("idle", "answering", "loading"):
    _app_killed(_moment)
