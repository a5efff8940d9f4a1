"""The engine's life: one owner of the state, everyone who waits is answered, nothing is left behind."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine, gone, until
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.states import TRANSITIONS, Happening, after
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import log_dir, run_dir
from whisper_desktop.values import Deadlines, EngineState, Reach
from whisper_desktop.wire.http import Http

Scripted = Callable[..., EngineSpec]


# --- the table -------------------------------------------------------------------------------------------


@given(st.sampled_from(EngineState), st.sampled_from(Happening))
def test_what_is_not_in_the_table_raises_with_the_state(state: EngineState, happening: Happening) -> None:
    if (state, happening) in TRANSITIONS:
        assert after(state, happening) is TRANSITIONS[state, happening]
    else:
        with pytest.raises(RuntimeError, match=state.value):
            after(state, happening)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(EngineState)
    assert set(TRANSITIONS.values()) == set(EngineState)


# --- ensure_ready ----------------------------------------------------------------------------------------


async def test_a_caller_who_stops_waiting_does_not_stop_the_others(
    builtin: EngineSpec, start: MakeEngine
) -> None:
    engine = start(builtin)
    impatient, patient = (asyncio.create_task(engine.ensure_ready()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).url == engine.status().url
    assert impatient.cancelled()


async def test_all_callers_hear_of_a_failure(builtin: EngineSpec, start: MakeEngine, tmp_path: Path) -> None:
    engine = start(replace(builtin, model_path=tmp_path / "none.gguf"))
    results = await asyncio.gather(*(engine.ensure_ready() for _ in range(5)), return_exceptions=True)
    assert [getattr(result, "cause", None) for result in results] == ["model_missing"] * 5


async def test_after_a_failure_a_mended_cause_is_enough(
    builtin: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    model = tmp_path / "late.gguf"
    engine = start(replace(builtin, model_path=model))
    with pytest.raises(EngineError):
        await engine.ensure_ready()
    model.write_bytes(builtin.model_path.read_bytes())
    await engine.ensure_ready()
    assert engine.status().state is EngineState.READY


async def test_stopping_a_start_tells_who_waits_and_leaves_nothing(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("hang", "grandchild"))
    waiting = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: any(line.startswith("grandchild") for line in engine.log_tail(9)), 5)
    grandchild = next(int(line.split()[-1]) for line in engine.log_tail(9) if line.startswith("grandchild"))
    await engine.stop()
    with pytest.raises(EngineError) as caught:
        await waiting
    assert caught.value.cause == "stopped"
    assert await until(lambda: gone(grandchild), 2)
    assert list(run_dir().glob("engine-*")) == []


async def test_an_engine_that_was_closed_is_started_by_nobody_any_more(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted())
    await engine.ensure_ready()
    refused: list[str] = []

    async def ask_again_and_again() -> None:
        async with asyncio.timeout(5):
            while not refused:
                try:
                    await engine.ensure_ready()
                except EngineError as error:
                    refused.append(error.cause)
                await asyncio.sleep(0.001)

    asking = asyncio.create_task(ask_again_and_again())
    await engine.close()
    await asking
    assert refused == ["closing"]
    with pytest.raises(EngineError, match="is closing"):
        await engine.revive()
    await engine.close()
    assert engine.status().state is EngineState.STOPPED
    assert list(run_dir().glob("engine-*")) == []


async def test_what_a_start_came_to_is_known_although_the_engine_logs_later_than_it_answers(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("on-card", "late-log=0.1"))
    await engine.ensure_ready()
    assert engine.outcome is not None
    assert [each.device for each in engine.outcome.buffers] == ["CUDA0"]


async def test_an_engine_that_logs_nothing_of_its_load_is_ready_all_the_same(
    scripted: Scripted, start: MakeEngine
) -> None:
    engine = start(scripted("on-card", "late-log=30"))
    async with asyncio.timeout(10):
        await engine.ensure_ready()
    assert engine.outcome is not None
    assert engine.outcome.buffers == ()


async def test_a_start_on_its_way_has_a_process(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted("hang"))
    starting = asyncio.create_task(engine.ensure_ready())
    assert await until(lambda: engine.status().pid is not None, 5)
    status = engine.status()
    assert status.state is EngineState.STARTING
    assert not gone(status.pid or 0)
    await engine.stop()
    with pytest.raises(EngineError):
        await starting


async def test_a_look_at_the_status_takes_less_than_a_millisecond_from_any_thread(
    builtin: EngineSpec, start: MakeEngine
) -> None:
    engine = start(builtin)
    await engine.ensure_ready()

    def look() -> float:
        before = time.thread_time()
        for _ in range(100):
            assert engine.status().state is EngineState.READY
        return (time.thread_time() - before) / 100

    assert min(look(), look()) < 0.001
    assert await asyncio.to_thread(look) < 0.001


async def test_stopping_twice_at_once_and_again_is_fine(builtin: EngineSpec, start: MakeEngine) -> None:
    engine = start(builtin)
    await engine.stop()
    await engine.ensure_ready()
    await asyncio.gather(engine.stop(), engine.stop())
    await engine.stop()
    assert engine.status().state is EngineState.STOPPED


# --- readiness -------------------------------------------------------------------------------------------


async def test_health_without_answers_is_not_ready(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted("no-answer"))
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert caught.value.cause == "cannot_answer"
    assert "the cache is broken" in caught.value.detail
    assert engine.status().pid is None


async def test_a_flood_of_log_neither_blocks_nor_grows(scripted: Scripted, start: MakeEngine) -> None:
    """S29: while it starts: memory and disk stay bounded."""
    engine = start(scripted("flood"))
    await engine.ensure_ready()
    assert sum(len(line) for line in engine.log_tail(10**6)) < 70_000
    assert any("line 39999" in line for line in engine.log_tail(10))
    sizes = {path.name: path.stat().st_size for path in log_dir().iterdir()}
    assert sorted(sizes) == ["engine-llama_cpp.log", "engine-llama_cpp.log.1", "engine-llama_cpp.log.2"]
    assert max(sizes.values()) < 1_200_000


async def test_an_engine_that_pours_out_log_still_answers(
    scripted: Scripted, start: MakeEngine, http: Http
) -> None:
    """S29: while it runs, as fast as it can: no deadlock, and our loop goes on."""
    engine = start(scripted("pour=1"))
    async with engine.lease() as address:
        mark = engine.log_since(0)[0]
        reply = await http.request(
            "GET", f"{address.url}/slots", allowed=Reach.THIS_MACHINE, headers=authorization(address)
        )
        assert reply.status == 200
        assert await until(lambda: engine.log_since(0)[0] > mark + 20_000, 5)
    assert sum(len(line) for line in engine.log_tail(10**6)) < 70_000


async def test_the_key_is_removed_from_what_the_engine_prints(scripted: Scripted, start: MakeEngine) -> None:
    engine = start(scripted())
    address = await engine.ensure_ready()
    line = next(line for line in engine.log_tail(50) if " I key " in line)
    assert address.api_key is not None
    assert "[removed]" in line
    assert address.api_key not in (log_dir() / "engine-llama_cpp.log").read_text()


async def test_a_log_folder_that_cannot_be_written_costs_only_the_file(
    builtin: EngineSpec, start: MakeEngine
) -> None:
    """S31: a folder in the file's place."""
    (log_dir() / "engine-builtin.log").mkdir()
    engine = start(builtin)
    await engine.ensure_ready()
    assert any("kept in memory only" in line for line in engine.log_tail(200))


# --- programs that are none ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: None, "binary_missing"),
        (lambda path: path.mkdir(), "binary_not_executable"),
        (lambda path: path.write_text("text"), "binary_not_executable"),
        (lambda path: (path.write_bytes(b"\0\1"), path.chmod(0o755)), "binary_wrong"),
        (lambda path: (path.write_text("#!/bin/sh\necho hi\n"), path.chmod(0o755)), "binary_wrong"),
        (lambda path: (path.write_text("#!/bin/sh\nsleep 60\n"), path.chmod(0o755)), "binary_wrong"),
    ],
    ids=["missing", "a folder", "not executable", "not a program", "another program", "it hangs"],
)
async def test_a_binary_that_is_no_llama_server_is_explained(
    make: Callable[[Path], object], cause: str, builtin: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    make(program)
    quick = replace(Deadlines(), engine_ask=0.5)
    engine = start(replace(builtin, binary=program), deadlines=quick)
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert (caught.value.cause, str(program) in caught.value.title) == (cause, True)


@pytest.mark.parametrize("values", [{"port": 70000}, {"threads": 0}, {"n_ctx": -1}])
async def test_impossible_numbers_are_refused_before_anything_runs(
    values: dict[str, int], builtin: EngineSpec, start: MakeEngine
) -> None:
    engine = start(replace(builtin, **values))  # type: ignore[arg-type]
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert caught.value.cause == "bad_flag"
    assert engine.log_tail(9) == []


# Forgetting the process is the point here, and Python says so when it collects what is left of it.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.parametrize("quiet", [True, False])
def test_a_loop_that_ends_takes_its_engine_with_it(
    builtin: EngineSpec, scripted: Scripted, quiet: bool
) -> None:
    from whisper_desktop.engines.supervisor import make_engine

    async def forgetful() -> int | None:
        http = Http()
        engine = make_engine(builtin if quiet else scripted("pour=9"), http=http)
        await engine.ensure_ready()
        await http.aclose()
        return engine.status().pid

    pid = asyncio.run(forgetful())
    assert pid is not None
    assert asyncio.run(until(lambda: gone(pid), 2))
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):  # it holds what is left until the process has ended
            thread.join(5)
    gc.collect()
