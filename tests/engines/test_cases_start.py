"""Faults of a start: each ends in an answer or a named error, in bounded time, with nothing left behind."""

import asyncio
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import MakeEngine, gone, until
from tests.servers.fixtures import ServerFactory
from whisper_desktop.engines.launch import free_port
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import Engine
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

Scripted = Callable[..., EngineSpec]

QUICK = replace(Deadlines(), engine_restart=0.1, engine_leave=0.2)


async def failure(engine: Engine) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert engine.status().pid is None
    assert list(run_dir().glob("engine-*")) == []
    return caught.value


def starts(seen: list[EngineStatus]) -> int:
    return [status.state for status in seen].count(EngineState.STARTING)


async def test_a_refused_option_fails_at_once_and_is_not_tried_again(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S1: FAILED at once, with what the program said, and no second start."""
    seen: list[EngineStatus] = []
    engine = start(scripted("bad-flag"), seen=seen)
    error = await failure(engine)
    assert (error.cause, "--behave" in error.title) == ("bad_flag", True)
    assert engine.status().cause == "bad_flag"
    assert engine.status().state is EngineState.FAILED
    assert starts(seen) == 1


async def test_a_port_that_is_taken_before_it_listens_is_replaced(
    spec: EngineSpec, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2: another port, which is no failure: nothing is backed off from."""
    seen: list[EngineStatus] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = iter([taken, taken, free_port()])
        monkeypatch.setattr("whisper_desktop.engines.launch.free_port", lambda: next(ports))
        engine = start(spec, seen=seen)
        address = await engine.ensure_ready()
    assert str(taken) not in address.url
    assert [status.state for status in seen] == [EngineState.STARTING, EngineState.READY]


async def test_ports_that_are_always_taken_end_in_an_error(
    scripted: Scripted, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2: at most three tries."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = []

        def taken() -> int:
            asked.append(1)
            port: int = other.getsockname()[1]
            return port

        monkeypatch.setattr("whisper_desktop.engines.launch.free_port", taken)
        error = await failure(start(scripted()))
    assert error.cause in ("port_taken", "foreign_server")
    assert len(asked) == 3


async def test_a_foreign_server_on_the_port_is_not_ready_and_gets_no_key(
    servers: ServerFactory, scripted: Scripted, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: /health answers 200 there, and it is not ours."""
    foreign = servers("llama_cpp")
    monkeypatch.setattr("whisper_desktop.engines.launch.free_port", lambda: foreign.port)
    error = await failure(start(scripted("hang")))
    assert error.cause == "foreign_server"
    assert all("authorization" not in one["headers"] for one in foreign.requests("/props"))


async def test_a_load_with_progress_outlives_the_deadline_for_one_without(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S4: ready, after four times the deadline; the status says how far it is."""
    quick = replace(QUICK, engine_start=0.2, engine_stall=0.3, engine_start_most=10)
    engine = start(scripted("load=0.8"), deadlines=quick)
    starting = asyncio.create_task(engine.ensure_ready())
    told: list[float] = []
    while not starting.done():
        progress = engine.status().progress
        if progress is not None and (not told or told[-1] != progress):
            told.append(progress)
        await asyncio.sleep(0.01)
    await starting
    assert told == sorted(told)
    assert len(told) > 2  # of the eleven that it tells, as many as a busy computer lets us see
    assert engine.status().progress is None


async def test_a_load_that_halts_is_given_up(scripted: Scripted, start: MakeEngine) -> None:
    """S5: progress stops at 40 %; the stall ends it, not the longest time a start may take."""
    quick = replace(QUICK, engine_start=0.2, engine_stall=0.4)
    engine = start(scripted("load=0.2", "halt=0.4"), deadlines=quick)
    before = time.monotonic()
    error = await failure(engine)
    assert error.cause == "start_timeout"
    assert time.monotonic() - before < 2


async def test_a_start_that_says_the_same_for_ever_is_given_up(scripted: Scripted, start: MakeEngine) -> None:
    """S6: lines that differ in their numbers only are no progress."""
    quick = replace(QUICK, engine_start=0.2, engine_stall=0.4)
    error = await failure(start(scripted("repeat"), deadlines=quick))
    assert error.cause == "start_timeout"


async def test_a_completion_that_hangs_in_the_warm_up_is_stuck_not_ready(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S7: /health says yes; it is started anew, and given up as stuck."""
    seen: list[EngineStatus] = []
    quick = replace(QUICK, engine_start=0.2, engine_stall=0.3)
    engine = start(scripted("no-token"), deadlines=quick, seen=seen)
    error = await failure(engine)
    assert error.cause == "stuck"
    assert starts(seen) == 3
    assert EngineState.READY not in [status.state for status in seen]


async def test_twenty_callers_are_released_together_by_one_process(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S8: all within 50 ms of each other, from one start."""
    seen: list[EngineStatus] = []
    engine = start(scripted("load=0.2"), seen=seen)

    async def moment() -> float:
        await engine.ensure_ready()
        return time.monotonic()

    moments = await asyncio.gather(*(moment() for _ in range(20)))
    assert max(moments) - min(moments) < 0.05
    assert starts(seen) == 1


async def test_the_start_goes_on_while_one_waits_and_ends_after_the_last(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S9: one of three cancels: nothing; the last cancels: stopped after a grace, nothing left behind."""
    engine = start(scripted("hang"), deadlines=QUICK)
    first, second, third = (asyncio.create_task(engine.ensure_ready()) for _ in range(3))
    assert await until(lambda: any("loading" in line for line in engine.log_tail(9)), 5)
    first.cancel()
    second.cancel()
    await asyncio.sleep(2 * QUICK.engine_leave)  # the promise is that nothing happens
    assert engine.status().state is EngineState.STARTING
    third.cancel()
    assert await until(lambda: engine.status().state is EngineState.STOPPED, 2)
    assert "Nobody waited" in engine.status().detail
    assert list(run_dir().glob("engine-*")) == []


async def test_who_comes_within_the_grace_keeps_the_start(scripted: Scripted, start: MakeEngine) -> None:
    """S9: the start that its last waiter left is joined by the next one."""
    seen: list[EngineStatus] = []
    engine = start(scripted("load=0.4"), deadlines=QUICK, seen=seen)
    first = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: engine.status().progress is not None, 5)
    first.cancel()
    await asyncio.sleep(0.05)
    await engine.ensure_ready()
    assert starts(seen) == 1


async def test_a_start_that_backs_off_and_that_nobody_waits_for_is_not_tried_again(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S9: the last waiter leaves between two tries."""
    seen: list[EngineStatus] = []
    slow = replace(QUICK, engine_restart=5.0)
    engine = start(scripted("die=7"), deadlines=slow, seen=seen)
    waiting = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: starts(seen) == 2 and engine.status().state is EngineState.BACKING_OFF, 5)
    waiting.cancel()
    assert await until(lambda: engine.status().state is EngineState.STOPPED, 2)
    assert starts(seen) == 2


async def test_a_start_that_was_ordered_goes_on_when_nobody_waits(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S9: `revive` is a person's own start."""
    engine = start(scripted("load=0.5"), deadlines=replace(QUICK, engine_leave=0.05))
    ordering = asyncio.create_task(engine.revive())
    assert await until(lambda: engine.status().progress is not None, 5)
    ordering.cancel()
    assert await until(lambda: engine.status().state is EngineState.READY, 5)


async def test_stopping_a_load_tells_who_waits_and_leaves_nothing(
    spec: EngineSpec, start: MakeEngine
) -> None:
    """S10: with both real engines, at any moment of the start."""
    for moment in (0.0, 0.03, 0.08, 0.15):
        engine = start(spec)
        waiting = asyncio.create_task(engine.ensure_ready())
        await asyncio.sleep(moment)
        pid = engine.status().pid
        await engine.stop()
        [result] = await asyncio.gather(waiting, return_exceptions=True)
        assert not isinstance(result, BaseException) or getattr(result, "cause", "") == "stopped"
        assert engine.status().state is EngineState.STOPPED
        assert pid is None or gone(pid)
        assert list(run_dir().glob("engine-*")) == []


async def test_a_start_from_a_worker_thread_outlives_that_thread(spec: EngineSpec, start: MakeEngine) -> None:
    """S16: the kernel's death signal is bound to the loop's thread, not to whoever asked."""
    engine, loop = start(spec), asyncio.get_running_loop()

    def work() -> None:
        asyncio.run_coroutine_threadsafe(engine.ensure_ready(), loop).result()

    worker = threading.Thread(target=work)
    worker.start()
    assert await until(lambda: not worker.is_alive(), 10)
    pid = engine.status().pid
    assert pid is not None
    await asyncio.sleep(0.1)  # the signal would come at once
    assert not gone(pid)
    assert engine.status().state is EngineState.READY


@pytest.mark.parametrize("name", ["Modelle für Anna", "模型", "a" * 200])
async def test_names_with_spaces_other_scripts_and_great_length_start(
    name: str, spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    """S33: a path beyond 260 characters, other letters, spaces; in the model's name and the program's."""
    folder = tmp_path / name / ("b" * 100)
    folder.mkdir(parents=True)
    model = folder / f"{name}.gguf"
    model.symlink_to(spec.model_path)
    binary = None
    if spec.binary is not None:
        binary = folder / "llama server"
        binary.symlink_to(spec.binary)
    engine = start(replace(spec, model_path=model, binary=binary, alias=name))
    address = await engine.ensure_ready()
    assert address.model == name


async def test_a_failed_engine_is_not_started_by_asking_a_thousand_times(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S13: no respawn loop, whoever asks how often; a person's own start still tries."""
    seen: list[EngineStatus] = []
    engine = start(scripted("die=7"), deadlines=QUICK, seen=seen)
    for _ in range(100):
        errors = await asyncio.gather(*(engine.ensure_ready() for _ in range(10)), return_exceptions=True)
        assert {getattr(error, "cause", "") for error in errors} == {"ended"}
    assert starts(seen) == 3
    assert "again and again" in engine.status().detail
    with pytest.raises(EngineError):
        await engine.revive()
    assert starts(seen) == 6


@pytest.mark.parametrize("content", [b"", b"GGUF cut off"])
async def test_a_broken_model_is_not_tried_again_until_it_is_replaced(
    content: bytes, spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    """S30: replaced under us; a deterministic cause waits for a change of the file, and sees it."""
    seen: list[EngineStatus] = []
    model = tmp_path / "model.gguf"
    model.write_bytes(content)
    engine = start(replace(spec, model_path=model), seen=seen)
    for _ in range(5):
        error = await failure(engine)
        assert str(model.name) in str(error)
    assert starts(seen) == 1
    model.write_bytes(spec.model_path.read_bytes())
    await engine.ensure_ready()
    assert starts(seen) == 2


async def test_a_model_deleted_under_a_running_engine_is_named_at_its_next_start(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    """S30: the running engine goes on; the next start says what is missing and where."""
    model = tmp_path / "model.gguf"
    model.write_bytes(spec.model_path.read_bytes())
    engine = start(replace(spec, model_path=model))
    await engine.ensure_ready()
    model.unlink()
    await engine.ensure_ready()
    await engine.stop()
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert (caught.value.cause, str(model) in caught.value.title) == ("model_missing", True)


@pytest.mark.skipif(sys.platform != "linux", reason="a file mode that keeps the owner out")
async def test_permission_given_counts_as_mended(
    scripted: Scripted, start: MakeEngine, fake_server: Path, tmp_path: Path
) -> None:
    """S30: neither size nor time of the file change, only who may run it."""
    program = Path(shutil.copy(fake_server, tmp_path))
    os.chmod(program, 0o644)
    engine = start(replace(scripted(), binary=program))
    assert (await failure(engine)).cause == "binary_not_executable"
    os.chmod(program, 0o755)
    await engine.ensure_ready()


async def test_another_specification_is_tried_at_the_next_question(
    scripted: Scripted, start: MakeEngine
) -> None:
    """S13: what a person changed counts, whatever the budget."""
    engine = start(scripted("die=7"), deadlines=QUICK)
    await failure(engine)
    engine.respec(scripted())
    await engine.ensure_ready()
    assert engine.status().state is EngineState.READY
