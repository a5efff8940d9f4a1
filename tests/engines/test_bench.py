"""The benchmark on the real built-in engine, with a model of a few megabytes: what it finds and leaves."""

import asyncio
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import until
from whisper_desktop.engines import bench_conditions as conditions
from whisper_desktop.engines.bench import Bench, is_steady, rate_of, rates_in
from whisper_desktop.engines.bench_conditions import LARGE, SMALL
from whisper_desktop.engines.command import ENGINE_CHILD
from whisper_desktop.errors import EngineError
from whisper_desktop.machine import detect_resources
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.machine.pressure import Pressure
from whisper_desktop.models.synthetic import Synthetic
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import Deadlines, ResourceInfo
from whisper_desktop.wire.http import Http

TINY = Synthetic(layers=2, width=512, kv_width=256, feed_forward=1024)
TABLE = MachineFigures(28e9, 1e12)
ROOM = Pressure(16 * 10**9, 32 * 10**9)


@pytest.fixture(scope="module")
def one_core() -> ResourceInfo:
    """This computer, as if it had one core: less to measure."""
    return replace(detect_resources(), cores_physical=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the synthetic model is written."""
    return tmp_path / "cache"


def engines_of_ours() -> list[psutil.Process]:
    """Our engine children; other tests in this process may have left helpers of Python's own."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if ENGINE_CHILD in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def assert_nothing_left(folder: Path) -> None:
    assert not list(folder.iterdir())
    assert not engines_of_ours()


# --- a whole benchmark ------------------------------------------------------------------------------------


async def test_it_measures_and_leaves_nothing_behind(
    one_core: ResourceInfo, http: Http, folder: Path
) -> None:
    said: list[str] = []
    bench = Bench(
        one_core,
        TABLE,
        http=http,
        folder=folder,
        deadlines=Deadlines(),
        model=TINY,
        say=said.append,
        limit=20,
    )
    done = await bench.run()
    large, guide = done.compared
    assert (large.timing.model, guide.timing.model) == ("synthetic model", "guide")
    for compared in done.compared:
        for rate in (compared.timing.prompt, compared.timing.answer):
            assert rate is not None
            assert rate.median > 0
            assert 1 <= rate.runs <= 7
        assert compared.predicted.answer
        assert not compared.predicted.known, "the table that it began with was a guess"
    assert done.figures.source == "measured"
    assert 1e8 < done.figures.host_bandwidth < 1e12
    assert 1e9 < done.figures.host_compute < 1e14
    assert 0 <= done.figures.layer_s < 0.01
    assert [(each.threads, each.busy) for each in done.trials] == [(1, False), (1, True)]
    assert done.threads == 1
    assert any("busy core" in words for words in said)
    assert_nothing_left(folder)
    assert not list(run_dir().glob("engine-bench*"))


async def test_with_more_cores_one_thread_less_is_tried_too(
    one_core: ResourceInfo, http: Http, folder: Path
) -> None:
    bench = Bench(
        replace(one_core, cores_physical=2),
        TABLE,
        http=http,
        folder=folder,
        deadlines=Deadlines(),
        model=TINY,
        limit=30,
    )
    done = await bench.run()
    assert [(each.threads, each.busy) for each in done.trials] == [
        (2, False),
        (2, True),
        (1, False),
        (1, True),
    ]
    assert done.threads in (1, 2)


@pytest.mark.parametrize("when", ["Writing", "Timing the synthetic"])
async def test_one_that_is_cancelled_leaves_nothing_behind(
    one_core: ResourceInfo, http: Http, folder: Path, when: str
) -> None:
    reached = asyncio.Event()

    def say(words: str) -> None:
        if words.startswith(when):
            reached.set()

    bench = Bench(one_core, TABLE, http=http, folder=folder, deadlines=Deadlines(), model=TINY, say=say)
    running = asyncio.create_task(bench.run())
    await reached.wait()
    if when != "Writing":
        await until(lambda: bool(engines_of_ours()), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_nothing_left(folder)


async def test_one_that_takes_too_long_is_given_up(one_core: ResourceInfo, http: Http, folder: Path) -> None:
    bench = Bench(one_core, TABLE, http=http, folder=folder, deadlines=Deadlines(), model=TINY, limit=0.7)
    with pytest.raises(EngineError) as caught:
        await bench.run()
    assert caught.value.cause == "bench_late"
    assert_nothing_left(folder)


# --- what it needs ----------------------------------------------------------------------------------------


def test_the_model_is_smaller_where_memory_or_disk_are_short() -> None:
    assert conditions.chosen(ROOM, 10**10) == LARGE
    assert conditions.chosen(replace(ROOM, available_bytes=10**9), 10**10) == SMALL
    assert conditions.chosen(ROOM, 10**9) == SMALL


@pytest.mark.parametrize(
    ("available", "disk", "cause"), [(8 * 10**8, 10**10, "bench_memory"), (10**10, 5 * 10**8, "bench_disk")]
)
def test_without_room_nothing_is_written(available: int, disk: int, cause: str) -> None:
    with pytest.raises(EngineError) as caught:
        conditions.chosen(replace(ROOM, available_bytes=available), disk)
    assert caught.value.cause == cause
    assert caught.value.next_step


def test_it_is_said_what_may_disturb_it() -> None:
    assert conditions.warnings_for(ROOM, 0.1) == ()
    (busy,) = conditions.warnings_for(ROOM, 1.24)
    assert "1.2 processor cores" in busy
    (battery,) = conditions.warnings_for(replace(ROOM, on_battery=True), 0.0)
    assert "battery" in battery


async def test_other_work_is_noticed() -> None:
    with conditions.busy_core():
        assert await conditions.other_load() > 0.5


def test_the_busy_core_is_idle_again_afterwards() -> None:
    with conditions.busy_core():
        assert any(thread.name == "busy" for thread in threading.enumerate())
    assert not any(thread.name == "busy" for thread in threading.enumerate())


def test_only_old_folders_of_killed_runs_are_removed(tmp_path: Path) -> None:
    for name in ("bench-old", "bench-new", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "synthetic.gguf").write_bytes(b"x")
    long_ago = time.time() - 7200
    for name in ("bench-old", "other"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    conditions.remove_old(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bench-new", "other"]


# --- what is measured -------------------------------------------------------------------------------------


def test_the_first_token_of_an_answer_is_not_in_the_engines_time() -> None:
    timings: dict[str, object] = {
        "prompt_n": 100,
        "prompt_ms": 500.0,
        "predicted_n": 11,
        "predicted_ms": 1000.0,
    }
    assert rates_in(timings) == (200.0, 10.0)


@pytest.mark.parametrize(
    "lack",
    [{"prompt_n": 0}, {"prompt_ms": 0}, {"predicted_n": 1}, {"predicted_ms": "fast"}, {"predicted_ms": None}],
)
def test_timings_that_say_nothing_are_none(lack: dict[str, object]) -> None:
    whole: dict[str, object] = {
        "prompt_n": 100,
        "prompt_ms": 500.0,
        "predicted_n": 11,
        "predicted_ms": 1000.0,
    }
    assert rates_in(whole | lack) is None
    assert rates_in({}) is None


def test_runs_are_steady_when_the_middle_three_lie_close_together() -> None:
    assert is_steady([10.0, 10.1, 10.2])
    assert is_steady([1.0, 10.0, 10.1, 10.2, 99.0])
    assert not is_steady([10.0, 11.0, 12.0])
    assert not is_steady([10.0, 10.0])
    rate = rate_of([8.0, 10.0, 11.0], 100)
    assert (rate.median, rate.runs, rate.tokens) == (10.0, 3, 100)
    assert rate.spread == pytest.approx(0.3)
