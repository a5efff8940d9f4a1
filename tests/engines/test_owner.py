"""Orders that cross each other while an engine ends or starts: none is lost, and every failure counts."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from tests.engines.conftest import MakeEngine, until
from whisper_desktop.engines import messages
from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine
from whisper_desktop.values import Deadlines, EngineState

Scripted = Callable[..., EngineSpec]
S = EngineState

QUICK = replace(
    Deadlines(), engine_leave=0.05, engine_stop_grace=0.1, engine_stop_term=0.2, engine_stop_kill=0.6
)


def hang(engine: Engine) -> None:
    """What the watchdog says of an engine that is stuck."""
    launch = engine._owner.launch
    assert launch is not None
    engine._owner.send(messages.Hung(launch, explain("stuck", engine.spec)))


@pytest.mark.parametrize("left_in", [S.STOPPING, S.STARTING])
async def test_a_start_that_is_ordered_while_it_stops_goes_on_when_nobody_waits(
    left_in: EngineState, scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("ignore-term", "load=0.5"), deadlines=QUICK)
    await engine.ensure_ready()
    stopping = asyncio.create_task(engine.stop())
    assert await until(lambda: engine.status().state is S.STOPPING, 1)
    ordered = asyncio.create_task(engine.revive())
    await asyncio.sleep(0)
    assert await until(lambda: engine.status().state is left_in, 1)
    ordered.cancel()
    await stopping
    assert await until(lambda: engine.status().state in (S.READY, S.STOPPED), 5)
    assert engine.status().state is S.READY


async def test_a_stop_takes_back_the_start_that_was_ordered_before_it(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("ignore-term"), deadlines=QUICK)
    await engine.ensure_ready()
    stopping = asyncio.create_task(engine.stop())
    assert await until(lambda: engine.status().state is S.STOPPING, 1)
    ordered = asyncio.create_task(engine.revive())
    await asyncio.sleep(0)
    await engine.stop()
    assert engine.status().state is S.STOPPED
    [error] = await asyncio.gather(ordered, return_exceptions=True)
    assert getattr(error, "cause", "") == "stopped"
    await stopping


async def test_a_rest_while_a_stuck_process_is_ended_frees_its_memory_and_the_failure_counts(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted(), deadlines=QUICK)
    for _ in range(2):
        await engine.ensure_ready()
        hang(engine)
        assert await engine.rest("Resting.")
        assert engine.status().state is S.SLEEPING
    await engine.ensure_ready()
    hang(engine)
    assert await until(lambda: engine.status().state is not S.STOPPING and not engine._owner.watch, 2)
    assert (engine.status().state, engine.status().cause) == (S.FAILED, "stuck")


async def test_a_start_that_gets_other_settings_is_no_more_wanted_than_before(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("hang"), deadlines=QUICK)
    asking = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: engine.status().pid is not None, 5)
    first = engine.status().pid
    engine.respec(replace(engine.spec, alias="another"))
    assert await until(lambda: engine.status().pid not in (None, first), 5)
    asking.cancel()
    assert await until(lambda: engine.status().state is S.STOPPED, 2)


async def test_a_mistake_of_ours_before_the_process_is_there_leaves_none(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted())
    others = asyncio.all_tasks()
    asking = asyncio.create_task(engine.ensure_ready())
    while engine.status().state is not S.STARTING:  # noqa: ASYNC110 - the next step of the loop
        await asyncio.sleep(0)
    assert engine.status().pid is None
    engine._owner.send(messages.Broken(RuntimeError("a mistake")))
    with pytest.raises(RuntimeError, match="a mistake"):
        await asking
    await asyncio.gather(*(asyncio.all_tasks() - others), return_exceptions=True)
    assert not [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert engine.status().state is S.FAILED
    assert (await engine.ensure_ready()).model == "tiny"
