"""Real engines under hundreds of faults: every question ends, every cause is told right, nothing is left.

Each engine gets half of WHISPER_CHAOS_FAULTS, every fault as often as every other (WHISPER_CHAOS_ONLY: those
with this in their name), in an order and at moments by chance. What is drawn comes from one seed, which a
failure prints; WHISPER_TEST_SEED repeats it.
"""

import os
import random
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engines.chaos import faults_files, faults_orders, faults_process
from tests.engines.chaos.faults import Fault
from tests.engines.chaos.table import Table
from tests.engines.chaos.world import HASTY, Problem, World
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.values import EngineState
from whisper_desktop.wire.http import Http

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.random_runs,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and signals as Linux has them"),
]

COUNT = int(os.environ.get("WHISPER_CHAOS_FAULTS") or 240)
ONLY = os.environ.get("WHISPER_CHAOS_ONLY") or ""
SEED = int(os.environ.get("WHISPER_TEST_SEED") or random.SystemRandom().getrandbits(32))
MOST_PROBLEMS = 10
RUN_S = 900
"""After which a run is ended. It takes two minutes an engine on two cores."""


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """Connections that wait no longer than the engine's own deadlines."""
    client = Http(HASTY)
    yield client
    await client.aclose()


@pytest.fixture
def chance(spec: EngineSpec) -> random.Random:
    """What is drawn, by each engine for itself: a run of one repeats what it did beside the other."""
    return random.Random(f"{SEED} {spec.id}")


@pytest.fixture
async def world(
    spec: EngineSpec, tmp_path: Path, http: Http, table: Table, monkeypatch: pytest.MonkeyPatch
) -> World:
    """An engine with a model of its own, which leaves no files but where we look for them."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    world = World(spec, tmp_path, http, table)
    for module in ("watching", "watchdog"):
        monkeypatch.setattr(f"whisper_desktop.engines.{module}.slept", lambda: world.asleep)
    await world.learn()
    return world


@pytest.fixture(autouse=True)
def _no_core_files() -> Iterator[None]:
    """A crash on purpose is nothing to look into."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, limits)


def possible(world: World, table: Table) -> list[Fault]:
    """The faults that this engine and this computer can have."""
    faults = [*faults_process.FAULTS, *faults_files.FAULTS, *faults_orders.FAULTS]
    if world.spec.binary is None:
        faults = [fault for fault in faults if not fault.reference]
    if not faults_process.can_limit_groups():
        table.note("no control group can be made here, so none was ended by the kernel for lack of memory")
        faults = [fault for fault in faults if not fault.group]
    return [fault for fault in faults if ONLY in fault.name]


def drawn(faults: list[Fault], count: int, chance: random.Random) -> Iterator[Fault]:
    """So many of them: all once in an order by chance, then all once more."""
    left: list[Fault] = []
    for _ in range(count):
        left = left or chance.sample(faults, len(faults))
        yield left.pop()


async def suffer(world: World, fault: Fault, chance: random.Random) -> None:
    """A fault, its diagnosis, the next healthy answer, and nothing left behind. Raises what was not so."""
    await world.engine.revive()  # forgets the failures that were, as a person's own start does
    world.begin_round()
    right = await fault.do(world, chance)
    told = world.cause
    world.table.saw(world.spec.id, fault.name, told, right=told in right)
    if fault.lasting and world.state is EngineState.FAILED:
        await world.refused()
        await world.engine.revive()
    await world.answered()
    if chance.random() < 0.5:
        await world.stop()
    await world.settle()
    if told not in right:
        raise Problem(f"diagnosed as {told}; right is {' or '.join(sorted(right))}")


@pytest.mark.timeout(RUN_S)
async def test_whatever_happens_to_an_engine_it_is_told_right_mended_and_nothing_is_left(
    world: World, chance: random.Random, table: Table
) -> None:
    problems: list[str] = []
    for number, fault in enumerate(drawn(possible(world, table), COUNT // 2, chance), 1):
        try:
            await suffer(world, fault, chance)
        except Exception as error:
            problems.append(world.report(f"fault {number}, {fault.name}", error))
            if len(problems) == MOST_PROBLEMS:
                break
            await world.recover()
    await world.stop()
    assert not problems, "\n\n".join([f"WHISPER_TEST_SEED={SEED} repeats this", *problems])
