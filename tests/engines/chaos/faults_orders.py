"""Faults of the moment: stopped, put to sleep, changed or cancelled while it is busy with something else."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from dataclasses import replace

from tests.engines.chaos.faults import Catalogue
from tests.engines.chaos.table import NOTHING
from tests.engines.chaos.world import ENDLESS, LONG_ANSWER, SHORT, Problem, S, World
from tests.engines.conftest import until
from tests.engines.streaming import ForeignStream
from whisper_desktop.engines.rest import RestPolicy

FAULTS = Catalogue()
STREAM_STOP = "stop during a stream"


@FAULTS.add("stopped, streaming")
async def stopped_streaming(world: World, chance: random.Random) -> set[str]:
    async with world.streaming() as asked:
        await world.stop(STREAM_STOP)
    if "was stopped" not in str(asked.error):
        raise Problem(f"the error does not say that it was stopped: {asked}")
    return {NOTHING}


@FAULTS.add("stopped, another program streaming")
async def stopped_foreign(world: World, chance: random.Random) -> set[str]:
    stream = ForeignStream(await world.engine.ensure_ready())
    try:
        if not await asyncio.to_thread(stream.first.wait, 10):
            raise Problem("it does not answer another program")
        await world.stop(STREAM_STOP)
    finally:
        await asyncio.to_thread(stream.close)
    return {NOTHING}


@FAULTS.add("stopped, loading")
async def stopped_loading(world: World, chance: random.Random) -> set[str]:
    asked = await world.loading(chance.random(), ENDLESS)
    await world.stop("stop during a load")
    await world.end(asked)
    return {NOTHING}


@FAULTS.add("stopped at the moment of a question")
async def stopped_and_asked(world: World, chance: random.Random) -> set[str]:
    """The question is answered before or after, or told that it was stopped."""
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.1)]))
    await world.ask()
    await stopping
    return {NOTHING}


@FAULTS.add("killed while it stops")
async def killed_while_it_stops(world: World, chance: random.Random) -> set[str]:
    """Where the kill is seen before the stop begins, it is told."""
    pid = world.pid
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.02)]))
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, signal.SIGKILL)
    await stopping
    return {NOTHING, "killed"}


@FAULTS.add("put to sleep at the moment of a question")
async def rested_at_a_question(world: World, chance: random.Random) -> set[str]:
    """Each is answered, whoever was first."""
    for _ in range(5):
        resting = asyncio.create_task(world.engine.rest("Resting."))
        await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.05)]))
        await world.answered()
        await resting
    return {NOTHING}


@FAULTS.add("falls asleep at the moment of a question")
async def falls_asleep(world: World, chance: random.Random) -> set[str]:
    idle = 0.05
    world.engine.rest_policy = RestPolicy(idle=idle)
    for _ in range(5):
        await world.answered()
        await asyncio.sleep(idle + chance.uniform(-0.01, 0.02))
    world.engine.rest_policy = RestPolicy()
    return {NOTHING}


@FAULTS.add("another specification, streaming")
async def respecified(world: World, chance: random.Random) -> set[str]:
    """The answer is not disturbed; the next question is for the new one."""
    asked = world.begin(LONG_ANSWER)
    await asked.first.wait()
    alias = _respecify(world, chance)
    await world.undisturbed(asked)
    await _serves(world, alias)
    return {NOTHING}


@FAULTS.add("another specification, loading")
async def respecified_loading(world: World, chance: random.Random) -> set[str]:
    asked = await world.loading(chance.random(), LONG_ANSWER)
    alias = _respecify(world, chance)
    await world.undisturbed(asked)
    await _serves(world, alias)
    return {NOTHING}


def _respecify(world: World, chance: random.Random) -> str:
    alias = f"tiny-{chance.randrange(1000)}"
    world.engine.respec(replace(world.spec, alias=alias))
    return alias


async def _serves(world: World, alias: str) -> None:
    await world.answered()
    if (serves := (await world.engine.ensure_ready()).model) != alias:
        raise Problem(f"it serves {serves} instead of {alias}")
    world.engine.respec(world.spec)


@FAULTS.add("a question cancelled, streaming")
async def cancelled_streaming(world: World, chance: random.Random) -> set[str]:
    pid = world.pid
    async with world.streaming() as asked:
        await asyncio.sleep(chance.uniform(0, 0.1))
        asked.cancel()
    await world.answered()
    if world.process != pid:
        raise Problem("it was started anew because a question was cancelled")
    return {NOTHING}


@FAULTS.add("a question cancelled, loading")
async def cancelled_loading(world: World, chance: random.Random) -> set[str]:
    """The start goes on for a while, for who comes, and is then ended."""
    asked = await world.loading(chance.random())
    asked.cancel()
    await world.end(asked)
    if chance.random() < 0.5 and not await until(lambda: world.state in (S.STOPPED, S.READY), 5):
        raise Problem(f"a start that nobody waits for goes on: {world.engine.status()}")
    return {NOTHING}


@FAULTS.add("a kill, a stop and a rest while many ask")
async def storm(world: World, chance: random.Random) -> set[str]:
    """Where no process runs at the moment of the kill, nothing is told."""

    async def ask() -> None:
        await asyncio.sleep(chance.uniform(0, 0.3))
        asked = world.begin(replace(SHORT, max_tokens=chance.choice([1, 20, 500])))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.uniform(0, 0.2))
            asked.cancel()
        await world.end(asked)

    async def kill() -> None:
        await asyncio.sleep(chance.uniform(0, 0.3))
        if (pid := world.process) is not None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)

    async def stop() -> None:
        await asyncio.sleep(chance.uniform(0, 0.3))
        await world.stop()

    async def rest() -> None:
        await asyncio.sleep(chance.uniform(0, 0.3))
        await world.engine.rest("Resting.")

    await asyncio.gather(*(ask() for _ in range(6)), kill(), stop(), rest())
    return {"killed", NOTHING}
