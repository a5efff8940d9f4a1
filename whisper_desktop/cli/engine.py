"""`engine status|start|stop|logs`: the engine of the owner, whoever the owner is."""

import asyncio
import signal
import subprocess
import sys

import click

from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, make_app, run
from whisper_desktop.control import Front
from whisper_desktop.engines.command import own_program
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus


@click.group()
def engine() -> None:
    """Look after the built-in engine."""


@engine.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether the engine runs, with which model, and how much memory it uses."""

    async def work() -> EngineStatus | None:
        remote = await Front(make_app).running()
        if remote is None:
            return None
        try:
            return await remote.engine_status()
        finally:
            await remote.close()

    print_status(run(work(), as_json=as_json), as_json=as_json)


@engine.command()
@click.option("--detach", is_flag=True, help="Leave it running in the background.")
@json_option
def start(detach: bool, as_json: bool) -> None:
    """Start the engine and say when it answers. Without a running app it stays here until Ctrl-C."""
    run(_start_detached(as_json) if detach else _start_here(as_json), as_json=as_json)


async def _start_here(as_json: bool) -> None:
    ending = asyncio.Event()
    if sys.platform != "win32":  # there, Ctrl-C cancels this coroutine, which ends the engine as well
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with Front(make_app, on_handover=ending.set) as front:
        core = await front.core()
        starting = asyncio.create_task(core.engine_start())
        waiting = asyncio.create_task(ending.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        print_status(await starting, as_json=as_json)
        if core.is_owner:
            output.say("" if as_json else "It runs until Ctrl-C.")
            front.end_with_engine(ending.set)
            await waiting
        else:
            waiting.cancel()


async def _start_detached(as_json: bool) -> None:
    deadlines = Deadlines()
    front = Front(make_app)
    remote = await front.running()
    if remote is None:
        _spawn_owner()
        deadline = asyncio.get_running_loop().time() + deadlines.control_reply
        while remote is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(deadlines.engine_poll)
            remote = await front.running()
    if remote is None:
        raise EngineError(
            "The engine could not be started in the background.",
            "The process that should own it did not answer.",
            "Run `whisper-desktop engine start` to see why.",
        )
    try:
        print_status(await remote.engine_start(), as_json=as_json)
    finally:
        await remote.close()


def _spawn_owner() -> None:
    """A process of its own session that outlives this terminal and owns the engine."""
    subprocess.Popen(
        [*own_program(), "engine", "start"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@engine.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the engine. The next question starts it again."""

    async def work() -> bool:
        remote = await Front(make_app).running()
        if remote is None:
            return False
        try:
            await remote.engine_stop()
        finally:
            await remote.close()
        return True

    stopped = run(work(), as_json=as_json)
    if as_json:
        output.emit_json({"stopped": stopped})
    else:
        output.say("The engine is stopped." if stopped else "No engine of ours is running.")


@engine.command()
@click.option("-n", "--lines", default=200, show_default=True, help="How many of the newest lines.")
@json_option
def logs(lines: int, as_json: bool) -> None:
    """Show the engine's log. Keys are never in it."""

    async def work() -> list[str]:
        remote = await Front(make_app).running()
        if remote is None:
            from whisper_desktop.engines.log import read_log

            return read_log(lines)
        try:
            return await remote.engine_log(lines)
        finally:
            await remote.close()

    newest = run(work(), as_json=as_json)
    if as_json:
        output.emit_json({"lines": newest})
    elif newest:
        for line in newest:
            output.say(line)
    else:
        output.say("The log is empty: no engine of ours has run yet.")


def print_status(status: EngineStatus | None, *, as_json: bool) -> None:
    """The engine's status as JSON or as a sentence with its facts."""
    if as_json:
        output.emit_json(shapes.engine_shape(status))
        return
    if status is None or status.state is EngineState.STOPPED:
        output.say("The engine is not running.")
        return
    facts = [f"The engine is {status.state.value}"]
    if status.model:
        facts.append(f"model {status.model}")
    if status.memory_bytes:
        facts.append(f"{output.gigabytes(status.memory_bytes)} of memory")
    if status.url:
        facts.append(status.url)
    output.say(", ".join(facts) + ".")
    if status.detail:
        output.say(status.detail)
