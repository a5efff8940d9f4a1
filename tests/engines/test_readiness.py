"""Ready is what is ours and has answered; how long a start may take."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from tests.servers.fixtures import ServerFactory
from whisper_desktop.engines.child_mode import STATE, load_progress
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.readiness import Progress, prove
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.engines.windows_job import ExtendedLimits
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

DEADLINES = replace(Deadlines(), engine_start=100, engine_stall=20, engine_start_most=500)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_start_may_take_its_least_time_without_progress() -> None:
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    clock.now += 99
    assert progress.left == pytest.approx(1)


def test_new_lines_and_growing_memory_extend_it_but_not_for_ever() -> None:
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    clock.now += 95
    progress.see(["loading"], None)
    assert progress.left == pytest.approx(20)
    clock.now += 15
    progress.see([], 100 * 2**20)
    assert progress.left == pytest.approx(20)
    clock.now += 15
    progress.see([], 101 * 2**20)
    assert progress.left == pytest.approx(5), "one MiB is not progress"
    for number in range(100):
        clock.now += 5
        progress.see(["x" * number], None)
    assert progress.left < 0
    assert progress.peak_bytes == 101 * 2**20


def test_a_load_of_40_minutes_with_steady_progress_gets_its_time() -> None:
    """S4: the deadline moves with the progress, and never beyond the most."""
    clock = Clock()
    most = 3600.0
    progress = Progress(replace(Deadlines(), engine_start_most=most), clock)
    for second in range(0, 2400, 30):
        clock.now = 1000 + second
        progress.see_loaded(second / 2400)
        assert progress.left > 0
    assert progress.loaded == pytest.approx(0.9875)
    clock.now = 1000 + most
    progress.see_loaded(0.99)
    assert progress.left <= 0


def test_a_load_that_halts_fails_after_the_stall_not_at_the_end_of_all_time() -> None:
    """S5: 42 % again and again is no progress."""
    clock = Clock()
    progress = Progress(Deadlines(), clock)
    clock.now += 200
    progress.see_loaded(0.42)
    for _ in range(24):
        clock.now += 5
        progress.see_loaded(0.42)
    assert progress.left == pytest.approx(0)


def test_a_line_that_only_counts_is_no_progress() -> None:
    """S6: the same line for ever, but for its numbers."""
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    for number in range(100):
        clock.now += 1
        progress.see([f"0.00.{number:06d} I cuda: waiting for device 0x{number:x}"], None)
    assert progress.left == pytest.approx(0)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 50),
            st.lists(st.text(max_size=9), max_size=3),
            st.none() | st.integers(0, 2**40),
            st.floats(0, 1),
        ),
        max_size=30,
    )
)
def test_it_never_takes_longer_than_the_most(
    events: list[tuple[float, list[str], int | None, float]],
) -> None:
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    for seconds, lines, memory, loaded in events:
        clock.now += seconds
        progress.see(lines, memory)
        progress.see_loaded(loaded)
        assert progress.left <= 1000 + 500 - clock.now


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        ('{"state": "loading", "payload": {"stages": ["a"], "current": "a", "value": 0.25}}', 0.25),
        ('{"state": "loading", "payload": {"stages": ["a", "b"], "current": "b", "value": 0.5}}', 0.75),
        ('{"state": "ready", "payload": {"id": "x"}}', None),
        ('{"state": "loading", "payload": {"stages": ["a"], "current": "b", "value": 0.5}}', None),
        ('{"state": "loading", "payload": {"stages": [], "current": "b", "value": 0.5}}', None),
        ('{"state": "loading", "payload": {"stages": ["a"], "current": "a", "value": 7}}', None),
        ('{"state": "loading", "payload": {"stages": ["a"], "current": "a", "value": NaN}}', None),
        ('{"state": "loading", "payload": {"stages": 5, "current": "a", "value": 0.5}}', None),
        ('{"state": "loading", "payload": []}', None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_how_much_is_loaded_is_read_from_what_a_child_says(line: str, loaded: float | None) -> None:
    assert load_progress(f"{STATE}{line}") == loaded


@pytest.mark.reference_engine
async def test_a_real_llama_server_says_how_much_it_has_loaded(
    reference: EngineSpec, start: MakeEngine
) -> None:
    engine = start(reference)
    starting = asyncio.create_task(engine.ensure_ready())
    told = set()
    while not starting.done():
        told.add(engine.status().progress)
        await asyncio.sleep(0.001)
    assert 1.0 in told
    assert engine.status().progress is None
    assert not any(STATE in line for line in engine.log_tail(10_000))


@pytest.mark.parametrize("name", ["llama_cpp", "lm_studio", "ollama"])
async def test_a_foreign_server_on_the_port_is_not_taken_for_ours(
    name: str, servers: ServerFactory, builtin: EngineSpec, http: Http
) -> None:
    port = servers(name).port
    address = EngineAddress(f"http://127.0.0.1:{port}", "our key", "tiny")
    with pytest.raises(EngineError) as caught:
        await prove(http, builtin, address, port=port, pid=1, log=EngineLog(None), deadlines=Deadlines())
    assert (caught.value.cause, f"port {port}" in caught.value.title) == ("foreign_server", True)


async def test_another_engine_of_ours_is_not_taken_for_this_one(
    builtin: EngineSpec, start: MakeEngine, http: Http
) -> None:
    address = await start(builtin).ensure_ready()
    port = int(address.url.rpartition(":")[2])
    other = replace(address, api_key="the key of another start")
    with pytest.raises(EngineError) as caught:
        await prove(http, builtin, other, port=port, pid=1, log=EngineLog(None), deadlines=Deadlines())
    assert caught.value.cause == "foreign_server"


def test_the_windows_job_structure_has_the_documented_size() -> None:
    import ctypes

    assert ctypes.sizeof(ExtendedLimits) == (144 if ctypes.sizeof(ctypes.c_void_p) == 8 else 112)
