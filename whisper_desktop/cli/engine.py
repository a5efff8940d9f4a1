"""`engine status|start|stop|logs`: the engine of the owner, whoever the owner is."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.lazy import LazyGroup
from whisper_desktop.cli.running import json_option, make_front, run, with_app
from whisper_desktop.control import Core, RemoteCore
from whisper_desktop.control.changes import tell_owner
from whisper_desktop.engines.command import own_program
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, Repair

T = TypeVar("T")

_STARTING = "Starting the engine…"
_LOOK_AGAIN = 0.25  # seconds between two looks at a log that is followed
_REPAIR_COMMAND = "whisper-desktop engine repair {}"
_WORDS = {EngineState.BACKING_OFF: "about to start again", EngineState.SLEEPING: "asleep"}


@click.group(cls=LazyGroup, modules={"plan": "engine_plan", "builds": "builds", "pool": "pool"})
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
        repairs = tuple(Repair(**repair) for repair in data["repairs"])
        fields = {**data, "state": EngineState(data["state"]), "repairs": repairs}
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
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@json_option
def logs(lines: int, follow: bool, as_json: bool) -> None:
    """Show the engine's log. Keys are never in it."""
    if follow and as_json:
        raise click.UsageError("--follow never ends, so that it cannot be one JSON document.")

    async def work() -> list[str]:
        from whisper_desktop.engines import read_log

        nothing: list[str] = []
        newest = await _of_owner(lambda remote: remote.engine_log(lines), nothing)
        return newest or await asyncio.to_thread(read_log, lines)

    newest = run(work(), as_json=as_json)
    if as_json:
        output.emit_json(shapes.log_shape(newest))
        return
    for line in newest:
        output.say(line)
    if not newest:
        output.note("The log is empty: no engine of ours has run yet.")
    if follow:
        run(_follow(), as_json=False, tell=False)


async def _follow() -> None:
    """Print what engines write from now on; Ctrl-C ends it as it is meant to."""
    from whisper_desktop.engines.follow import follow
    from whisper_desktop.settings.paths import log_dir

    async with aclosing(follow(log_dir(), _LOOK_AGAIN)) as lines:
        async for line in lines:
            output.say(line)


@engine.command()
@json_option
def sleep(as_json: bool) -> None:
    """Free the engine's memory now. The next question wakes it."""
    freed = run(_of_owner(RemoteCore.engine_sleep, False), as_json=as_json)
    if as_json:
        output.emit_json(shapes.slept_shape(freed))
    else:
        output.say(
            "The engine sleeps; its memory is free." if freed else "There is nothing to free at the moment."
        )


@engine.command()
@click.argument("repair", required=False)
@click.option("--undo", is_flag=True, help="Forget every repair that was accepted for this model.")
@json_option
def repair(repair: str | None, undo: bool, as_json: bool) -> None:
    """Accept a REPAIR that is offered for an engine that does not start, and start it; or list them."""
    if undo and repair:
        raise click.UsageError("Either a repair, or --undo.")
    if repair:
        status = run(_repaired(repair), as_json=as_json, words=_STARTING)
        print_status(status, as_json=as_json)
        return

    async def listed() -> tuple[tuple[Repair, ...], tuple[str, ...]]:
        status = await _of_owner(RemoteCore.engine_status, None)
        return (status.repairs if status else ()), await with_app(_accepted(forget=undo))

    offered, accepted = run(listed(), as_json=as_json)
    if undo:
        run(tell_owner(), as_json=as_json, tell=False)
    if as_json:
        output.emit_json(shapes.repairs_shape(offered, () if undo else accepted))
        return
    for each in offered:
        output.say(f"{each.id}: {each.detail}")
    if undo:
        output.say(f"Forgotten: {', '.join(accepted)}." if accepted else "No repair was accepted for it.")
    elif accepted:
        output.say(f"Accepted for this model: {', '.join(accepted)}. `engine repair --undo` forgets that.")
    elif not offered:
        output.say("There is nothing to repair.")


async def _repaired(repair: str) -> EngineStatus:
    remote = await make_front().running()
    if remote is None:
        raise EngineError(
            "There is nothing to repair.",
            "No engine of ours is running, or has failed.",
            "Start it with `whisper-desktop engine start`; what can be repaired is offered then.",
        )
    try:
        await remote.engine_repair(repair)
        return await remote.engine_start()
    finally:
        await remote.close()


def _accepted(*, forget: bool) -> Callable[[App], Coroutine[Any, Any, tuple[str, ...]]]:
    """The changes that were accepted for the model that is set; forgotten now with `forget`."""

    async def work(app: App) -> tuple[str, ...]:
        accepted = app.accepted_repairs()
        if forget and accepted:
            await app.forget_repairs()
        return accepted

    return work


def print_status(status: EngineStatus | None, *, as_json: bool) -> None:
    """The engine's status as JSON or as a sentence with its facts."""
    if as_json:
        output.emit_json(shapes.engine_shape(status))
        return
    if status is None or status.state is EngineState.STOPPED:
        output.say("The engine is not running.")
        return
    facts = [f"The engine is {_WORDS.get(status.state, status.state.value)}"]
    if status.model:
        facts.append(f"model {status.model}")
    if status.memory_bytes:
        facts.append(f"{output.gigabytes(status.memory_bytes)} of memory")
    if status.url:
        facts.append(status.url)
    if status.pid:
        facts.append(f"process {status.pid}")
    if status.tokens_per_second:
        facts.append(f"{status.tokens_per_second:.1f} tokens a second")
    output.say(", ".join(facts) + ".")
    if status.detail and status.state is not EngineState.READY:
        output.say(status.detail)
    if status.warning:
        output.say(status.warning)
    for each in status.repairs:
        output.say(f"  {each.label}: {each.detail} Run: {each.command or _REPAIR_COMMAND.format(each.id)}")
