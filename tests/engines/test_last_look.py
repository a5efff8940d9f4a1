"""What is known of an engine at its end, where the end is told a moment after what it does."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.engines.chaos.faults_process import LONG_PROMPT, control_group, leave_no_memory
from tests.engines.conftest import MakeEngine, until
from whisper_desktop.engines.evidence import Before, gather
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups and pipes as Linux has them")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose memory can be limited."""
    try:
        with control_group() as made:
            yield made
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")


def ask_something_long(address: EngineAddress) -> None:
    body = f'{{"prompt": "{LONG_PROMPT}", "n_predict": 1}}'.encode()
    request = Request(f"{address.url}/completion", body, authorization(address))
    with suppress(OSError), urlopen(request):
        pass


async def test_a_look_just_after_the_kernel_s_kill_does_not_hide_it(
    builtin: EngineSpec, start: MakeEngine, group: Path
) -> None:
    """The kernel has counted by then, while its exit has not yet been told."""
    seen: list[EngineStatus] = []
    engine = start(builtin, seen=seen)
    address = await engine.ensure_ready()
    launch, pid = engine._owner.launch, engine.status().pid
    assert launch is not None
    assert pid is not None
    (group / "cgroup.procs").write_text(str(pid))
    launch.saw(None)
    launch.saw(None)
    leave_no_memory(group)
    asking = threading.Thread(target=ask_something_long, args=(address,))
    asking.start()
    asking.join()  # without the loop, so that nothing tells of the exit
    launch.saw(None)
    assert await until(lambda: any(status.cause for status in seen), 5)
    assert {status.cause for status in seen} == {"", "oom_killed"}


async def test_a_crash_over_its_first_token_is_told_as_one_and_tried_again(
    scripted: Callable[..., EngineSpec], start: MakeEngine
) -> None:
    """The connection breaks before the exit is known; what the exit says counts."""
    seen: list[EngineStatus] = []
    engine = start(scripted("crash-asked"), deadlines=replace(Deadlines(), engine_restart=0.05), seen=seen)
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert caught.value.cause == "crashed"
    assert [status.state for status in seen].count(EngineState.BACKING_OFF) == 2


async def test_a_pipe_in_place_of_its_model_does_not_keep_the_end_from_being_told(tmp_path: Path) -> None:
    pipe = tmp_path / "model.gguf"
    os.mkfifo(pipe)
    gathering = asyncio.create_task(
        asyncio.to_thread(gather, Before(None, None), code=-9, lines=(), model=pipe)
    )
    done, _ = await asyncio.wait({gathering}, timeout=5)
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # lets one that waits for a writer go
    assert done, "it waits for somebody who writes into the pipe"
    assert (await gathering).header is None
