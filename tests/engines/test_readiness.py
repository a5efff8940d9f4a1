"""Ready is what is ours and has answered; how long a start may take."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from tests.servers.fixtures import ServerFactory
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


def test_log_lines_and_growing_memory_extend_it_but_not_for_ever() -> None:
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    clock.now += 95
    progress.see(1, None)
    assert progress.left == pytest.approx(20)
    clock.now += 15
    progress.see(1, 100 * 2**20)
    assert progress.left == pytest.approx(20)
    clock.now += 15
    progress.see(1, 101 * 2**20)
    assert progress.left == pytest.approx(5), "one MiB is not progress"
    for lines in range(2, 100):
        clock.now += 5
        progress.see(lines, None)
    assert progress.left < 0


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 9), st.none() | st.integers(0, 2**40)), max_size=30)
)
def test_it_never_takes_longer_than_the_most(events: list[tuple[float, int, int | None]]) -> None:
    clock = Clock()
    progress = Progress(DEADLINES, clock)
    for seconds, lines, memory in events:
        clock.now += seconds
        progress.see(lines, memory)
        assert progress.left <= 1000 + 500 - clock.now


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
