"""`engine status|start|stop|logs`: the engine of the owner, whoever the owner is."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import json_option, make_front, run
from whisper_desktop.control import Core, RemoteCore
from whisper_desktop.engines.command import own_program
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

T = TypeVar("T")

_STARTING = "Starting the engine…"


@click.group()
def engine() -> None:
    """Look after this app's own engine.

    It runs a model without any other program: the one in llm.gguf_model_path, else the guide.
    """


async def _of_owner(verb: Callable[[RemoteCore], Awaitable[T]], otherwise: T) -> T:
    """What the running owner says; `otherwise` where no owner runs."""
    remote = await make_front().running()
    if remote is None:
        return otherwise
    try:
        return await verb(remote)
    finally:
        await remote.close()


@engine.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether the engine runs, with which model, and how much memory it uses."""
    print_status(run(_of_owner(RemoteCore.engine_status, None), as_json=as_json), as_json=as_json)


@engine.command()
@click.option("--detach", is_flag=True, help="Leave it running in the background.")
@click.option("--detached", is_flag=True, hidden=True)
@json_option
def start(detach: bool, detached: bool, as_json: bool) -> None:
    """Start the engine, and say so when it has answered.

    Where no app runs that could keep it, it runs here until Ctrl-C; or, with --detach, in the background
    until `whisper-desktop engine stop`.
    """
    if detach:
        status = run(_start_in_background(), as_json=as_json, words=_STARTING)
        print_status(status, as_json=as_json)
    else:
        run(_start_here(as_json=as_json, detached=detached), as_json=as_json)


async def _start_here(*, as_json: bool, detached: bool) -> None:
    ending = asyncio.Event()
    if sys.platform != "win32":  # there, Ctrl-C cancels this coroutine, which ends the engine as well
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)

    def taken_over() -> None:
        output.note("The desktop app has taken over. It starts the engine there when somebody asks.")
        ending.set()

    async with make_front(on_handover=taken_over) as front:
        core = await front.core()
        with output.progress(_STARTING):
            status = await _started(core, ending)
        print_status(status, as_json=as_json)
        if not core.is_owner:
            return
        if detached:
            _let_go_of_terminal()
        elif not as_json:
            output.say("It runs here until Ctrl-C.")
        front.end_with_engine(ending.set)
        await ending.wait()


async def _started(core: Core, ending: asyncio.Event) -> EngineStatus:
    """The engine's status when it has started. Raises `KeyboardInterrupt` when it is to end before that."""
    starting = asyncio.ensure_future(core.engine_start())
    told_to_end = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({starting, told_to_end}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            raise KeyboardInterrupt
        return starting.result()
    finally:
        starting.cancel()
        told_to_end.cancel()
        await asyncio.gather(starting, told_to_end, return_exceptions=True)


async def _start_in_background() -> EngineStatus:
    remote = await make_front().running()
    if remote is not None:
        try:
            return await remote.engine_start()
        finally:
            await remote.close()
    owner = _spawn_owner()
    assert owner.stdout is not None
    try:
        async with asyncio.timeout(Deadlines().engine_start_most):
            said = await asyncio.to_thread(owner.stdout.read)
    except BaseException:
        owner.terminate()
        raise
    finally:
        owner.stdout.close()
    return _status_from(said)


def _spawn_owner() -> "subprocess.Popen[bytes]":
    """A process of its own session that owns the engine and outlives this terminal."""
    return subprocess.Popen(
        [*own_program(), "engine", "start", "--detached", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0),  # on Windows, where this has never run
    )


def _let_go_of_terminal() -> None:
    """Whoever started us in the background waits for the end of our output: it has all it needs now."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _status_from(said: bytes) -> EngineStatus:
    """What the process in the background printed: the engine's status, or the error that ended it."""
    try:
        data = json.loads(said)
        if "error" in data:
            raise EngineError(
                *(str(data["error"].get(part, "")) for part in ("title", "detail", "next_step"))
            )
        fields = {**data, "state": EngineState(data["state"])}
        return EngineStatus(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EngineError(
            "The engine could not be started in the background.",
            "The process that should keep it ended without a word.",
            "Run `whisper-desktop engine start` to see why.",
        ) from None


@engine.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the engine. The next question starts it again."""

    async def ended(remote: RemoteCore) -> bool:
        status = await remote.engine_status()
        await remote.engine_stop()
        return status is not None and status.state is not EngineState.STOPPED

    stopped = run(_of_owner(ended, False), as_json=as_json)
    if as_json:
        output.emit_json(shapes.stopped_shape(stopped))
    else:
        output.say("The engine is stopped." if stopped else "No engine of ours is running.")


@engine.command()
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="How many of the newest lines.",
)
@json_option
def logs(lines: int, as_json: bool) -> None:
    """Show the engine's log. Keys are never in it."""

    async def work() -> list[str]:
        from whisper_desktop.engines import read_log

        nothing: list[str] = []
        newest = await _of_owner(lambda remote: remote.engine_log(lines), nothing)
        return newest or await asyncio.to_thread(read_log, lines)

    newest = run(work(), as_json=as_json)
    if as_json:
        output.emit_json(shapes.log_shape(newest))
    elif newest:
        for line in newest:
            output.say(line)
    else:
        output.note("The log is empty: no engine of ours has run yet.")


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
    if status.pid:
        facts.append(f"process {status.pid}")
    output.say(", ".join(facts) + ".")
    if status.detail and status.state is not EngineState.READY:
        output.say(status.detail)
