"""Killed with -9: the app takes its engine along, and the engine's death is told and mended."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from tests.integration.worlds import world
from whisper_desktop.backends import BackendConfig, create_backend
from whisper_desktop.chat import TurnState
from whisper_desktop.errors import BackendError, WhisperError
from whisper_desktop.events import EngineChanged
from whisper_desktop.values import EngineState, GenerationConfig, Message, Reach, Role

pytestmark = pytest.mark.chaos

GONE_WITHIN = 2.0  # seconds: what the app promises


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX matter; Windows was never run")
def test_kill_9_of_the_app_while_it_streams_leaves_no_process_behind() -> None:
    program = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "streaming_app.py")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert program.stdout is not None
        engine = int(program.stdout.readline().split()[0])
        assert not is_gone(engine)
        family = [engine, *(child.pid for child in psutil.Process(program.pid).children(recursive=True))]
        program.kill()
        deadline, pause = time.monotonic() + GONE_WITHIN, threading.Event()
        while not all(is_gone(pid) for pid in family) and time.monotonic() < deadline:
            pause.wait(0.02)
        assert [pid for pid in family if not is_gone(pid)] == []
    finally:
        program.kill()
        program.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX matter; Windows was never run")
async def test_an_engine_that_is_killed_while_it_answers_is_named_as_the_reason() -> None:
    async with world() as app:
        engine = app.host.guide(app.loaded.settings.llm)
        config = BackendConfig("guide", "Guide", model="guide", reach=Reach.THIS_MACHINE)
        guide = create_backend(config, http=app.http, engine=engine, deadlines=app.deadlines)
        endless = GenerationConfig(max_tokens=10_000_000, extra={"ignore_eos": True})

        async def answer_and_be_killed() -> None:
            while True:  # the tiny context fills within moments; then it is asked again, until the kill tells
                stream = guide.generate_stream([Message(Role.USER, "Hello")], endless)
                async with aclosing(stream) as events:
                    async for _ in events:
                        if (pid := engine.status().pid) is not None and not is_gone(pid):
                            os.kill(pid, signal.SIGKILL)

        with pytest.raises(BackendError, match="was ended from outside"):
            await asyncio.wait_for(answer_and_be_killed(), 20)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX matter; Windows was never run")
async def test_a_killed_engine_is_told_and_the_next_message_works() -> None:
    async with world() as app:
        session = app.open_session(guide=True)
        async with aclosing(session.send("Hello")) as events:
            async for _ in events:
                pass
        status = app.engine_status()
        assert status is not None
        assert status.pid is not None
        noticed: asyncio.Queue[EngineChanged] = asyncio.Queue()
        app.bus.listen(EngineChanged, noticed.put_nowait)
        os.kill(status.pid, signal.SIGKILL)
        change = await asyncio.wait_for(noticed.get(), 5)
        assert change.status.state is not EngineState.READY
        assert change.status.detail.endswith(".")

        with suppress(WhisperError):
            async with aclosing(session.send("What is a token?")) as events:
                async for _ in events:
                    pass
        assert session.turns[-1].state is TurnState.COMPLETE
        again = app.engine_status()
        assert again is not None
        assert again.pid != status.pid
