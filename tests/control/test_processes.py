"""The owner between real processes: killed, raced for, shared."""

import asyncio
import json
import os
import signal
import time

import pytest

from tests.cli.program import PATIENCE_S, Program, Running, engines_of, wait_until_gone
from tests.control.asking import events_of, question, socket_file
from tests.servers.fixtures import ServerFactory
from whisper_desktop.app import App
from whisper_desktop.control import Front
from whisper_desktop.errors import ControlError, EngineError, OwnerGone
from whisper_desktop.values import AnswerFinished, Deadlines, EngineState

HELLO = question("Hello", guide=True)


@pytest.mark.chaos
async def test_the_owner_is_killed_while_a_client_streams_and_the_client_goes_on(
    program: Program, servers: ServerFactory
) -> None:
    server = servers("openai_compatible", "--tokens", "500", "--token-delay", "0.02", models=[{"id": "m"}])
    owner = await asyncio.to_thread(
        program.start, "engine", "start", env={"LLM_CHAT_API_URL": f"{server.url}/v1"}
    )
    await asyncio.to_thread(owner.expect, "until Ctrl-C")
    (engine,) = engines_of(program.home)
    async with Front(App) as front:
        with pytest.raises(OwnerGone) as caught:
            await events_of(front, question(), at="word3", do=owner.process.kill)
        assert "gone away" in caught.value.title
        await asyncio.to_thread(owner.kill)
        assert socket_file().exists()  # a killed owner cleans nothing up
        assert wait_until_gone(engine, 2)

        assert isinstance((await events_of(front, HELLO))[-1], AnswerFinished)
        assert (await front.core()).is_owner
    assert engines_of(program.home) == []


@pytest.mark.chaos
async def test_an_owner_that_is_stopped_is_told_as_not_answering(program: Program) -> None:
    owner = await asyncio.to_thread(program.start, "engine", "start")
    await asyncio.to_thread(owner.expect, "until Ctrl-C")
    deadlines = Deadlines(control_reply=0.5)
    async with Front(lambda: App(deadlines=deadlines)) as front:
        core = await front.core()
        assert not core.is_owner
        os.kill(owner.pid, signal.SIGSTOP)
        with pytest.raises(ControlError, match="does not answer"):
            await events_of(front, HELLO)
        os.kill(owner.pid, signal.SIGCONT)
        assert await core.engine_status() is not None


async def test_a_desktop_takes_the_engine_of_a_terminal_over(program: Program) -> None:
    terminal = await asyncio.to_thread(program.start, "engine", "start")
    await asyncio.to_thread(terminal.expect, "until Ctrl-C")
    (engine,) = engines_of(program.home)
    async with Front(App, desktop=True) as desktop:
        assert (await desktop.core()).is_owner
        assert "taken over" in await asyncio.to_thread(terminal.rest)
        assert await asyncio.to_thread(terminal.wait) == 0
        assert wait_until_gone(engine, 2)

        theirs = await asyncio.to_thread(program.run, "chat", "--guide", "--json", "Hello")
        assert theirs.code == 0
        assert program.owner_pid() == os.getpid()
        (engine,) = engines_of(program.home)
        status = await (await desktop.core()).engine_status()
        assert status is not None
        assert status.pid == engine


async def test_the_engine_of_another_process_is_put_to_sleep_woken_and_not_repaired_at_will(
    program: Program,
) -> None:
    owner = await asyncio.to_thread(program.start, "engine", "start")
    await asyncio.to_thread(owner.expect, "until Ctrl-C")
    (engine,) = engines_of(program.home)
    async with Front(App) as front:
        core = await front.core()
        assert not core.is_owner
        assert await core.engine_sleep()
        assert wait_until_gone(engine, 1)
        status = await core.engine_status()
        assert status is not None
        assert (status.state, status.pid) == (EngineState.SLEEPING, None)
        assert not await core.engine_sleep()

        assert isinstance((await events_of(core, HELLO))[-1], AnswerFinished)
        with pytest.raises(EngineError) as caught:
            await core.engine_repair("smaller_context")
        assert caught.value.cause == "no_such_repair"


def test_programs_that_start_at_the_same_moment_share_one_owner_and_one_engine(program: Program) -> None:
    asked = [program.start("chat", "--guide", "--json", "Hello") for _ in range(3)]
    said = [each.rest() for each in asked]
    answers = [json.loads(text[text.index("{") :]) for text in said]  # one may have said why it stays
    assert [each.wait() for each in asked] == [0, 0, 0]
    assert {answer["provenance"]["backend"] for answer in answers} == {"guide"}
    assert program.owner_pid() is None
    assert engines_of(program.home) == []


OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen", "WHISPER_LLM_STUB": "1", "DBUS_SESSION_BUS_ADDRESS": "disabled:"}


def left_of(started: list[Running]) -> list[Running]:
    """Those that still run when all others have ended, of which there must be one."""
    until = time.monotonic() + PATIENCE_S
    while len(running := [each for each in started if each.process.poll() is None]) > 1:
        assert time.monotonic() < until, "several desktops run side by side"
        time.sleep(0.02)
    return running


def test_of_desktops_that_start_at_the_same_moment_one_stays_and_a_killed_one_is_replaced(
    program: Program,
) -> None:
    started = [program.start("--background", env=OFFSCREEN) for _ in range(3)]
    (first,) = left_of(started)
    assert sorted(each.process.poll() or 0 for each in started if each is not first) == [0, 0]
    assert program.owner_pid() == first.pid

    first.kill()
    assert (program.home / "run" / "owner.sock").exists()  # a killed one cleans nothing up
    second = program.start("--background", env=OFFSCREEN)
    until = time.monotonic() + PATIENCE_S
    while program.run("ask", "Hello", env=OFFSCREEN).raw != b"":  # answered here until it listens
        assert time.monotonic() < until
    assert program.owner_pid() == second.pid
    second.process.terminate()
    assert second.wait() == 0
    assert program.owner_pid() is None
