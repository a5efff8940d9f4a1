"""`engine status|start|stop|sleep|repair|logs`: the engine of the owner, whoever the owner is."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import aclosing

import click

from whisper_desktop.app import App
from whisper_desktop.app.engine_words import status_lines
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.lazy import LazyGroup
from whisper_desktop.cli.running import json_option, make_front, of_owner, run, with_app
from whisper_desktop.control import Core, RemoteCore
from whisper_desktop.control.changes import tell_owner
from whisper_desktop.engines.command import own_program
from whisper_desktop.errors import EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, Repair

_STARTING = "Starting the engine…"
_LOOK_AGAIN = 0.25  # seconds between two looks at a log that is followed


@click.group(cls=LazyGroup, modules={"plan": "engine_plan", "builds": "builds", "pool": "pool"})
def engine() -> None:
    """Look after this app's own engine.

    It runs a model without any other program: the one in llm.gguf_model_path, else the guide.
    """


@engine.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether it runs, its model, and its memory."""
    print_status(run(of_owner(RemoteCore.engine_status, None), as_json=as_json), as_json=as_json)


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
            error = data["error"]
            words = (str(error.get(part, "")) for part in ("title", "detail", "next_step"))
            raise EngineError(*words, repairs=_repairs_from(error.get("repairs", ())))
        repairs = _repairs_from(data["repairs"])
        return EngineStatus(**{**data, "state": EngineState(data["state"]), "repairs": repairs})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EngineError(
            "The engine could not be started in the background.",
            "The process that should keep it ended without a word.",
            "Run `whisper-desktop engine start` to see why.",
        ) from None


def _repairs_from(data: Iterable[Mapping[str, str]]) -> tuple[Repair, ...]:
    return tuple(Repair(**repair) for repair in data)


@engine.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the engine. The next question starts it again."""

    async def ended(remote: RemoteCore) -> bool:
        status = await remote.engine_status()
        await remote.engine_stop()
        return status is not None and status.state is not EngineState.STOPPED

    stopped = run(of_owner(ended, False), as_json=as_json)
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

    if follow:
        run(_follow(lines), as_json=False)

    async def work() -> list[str]:
        from whisper_desktop.engines import read_log

        nothing: list[str] = []
        newest = await of_owner(lambda remote: remote.engine_log(lines), nothing)
        return newest or await asyncio.to_thread(read_log, lines)

    newest = run(work(), as_json=as_json)
    if as_json:
        output.emit_json(shapes.log_shape(newest))
        return
    for line in newest:
        output.say(line)
    if not newest:
        output.note("The log is empty: no engine of ours has run yet.")


async def _follow(lines: int) -> None:
    """Print the newest lines, and what engines write from now on; Ctrl-C ends it as it is meant to."""
    from whisper_desktop.engines.follow import follow
    from whisper_desktop.settings.paths import log_dir

    async with aclosing(follow(log_dir(), _LOOK_AGAIN, earlier=lines)) as written:
        async for line in written:
            output.say(line)


@engine.command()
@json_option
def sleep(as_json: bool) -> None:
    """Free the engine's memory now. The next question wakes it."""

    async def slept(remote: RemoteCore) -> tuple[bool, EngineStatus | None]:
        return await remote.engine_sleep(), await remote.engine_status()

    freed, status = run(of_owner(slept, (False, None)), as_json=as_json)
    if as_json:
        output.emit_json(shapes.slept_shape(freed))
    elif freed:
        output.say("The engine sleeps, and its memory is free. The next question wakes it.")
    elif status is not None and status.memory_bytes:
        output.say("Nothing was freed: the engine is answering. Try again when it has finished.")
    else:
        output.say("There is nothing to free: no engine of ours is awake.")


@engine.command()
@click.argument("repair", required=False)
@click.option("--undo", is_flag=True, help="Forget every repair that was accepted for this model.")
@json_option
def repair(repair: str | None, undo: bool, as_json: bool) -> None:
    """Mend an engine that cannot run, or list what would.

    REPAIR is one of those that are offered; the engine is started with it. Without one, they are listed.

    An accepted repair is kept for the model that is set, and holds for each of its starts.
    """
    if undo and repair:
        raise click.UsageError("Either a repair, or --undo.")
    if repair:
        _repair(repair, as_json=as_json)
    elif undo:
        forgotten = run(with_app(_forget), as_json=as_json)
        run(tell_owner(), as_json=as_json, tell=False)
        if as_json:
            output.emit_json(shapes.repairs_shape((), ()))
        else:
            gone = ", ".join(forgotten)
            output.say(f"Forgotten: {gone}." if gone else "No repair was accepted for this model.")
    else:
        _list_repairs(as_json=as_json)


def _list_repairs(*, as_json: bool) -> None:
    async def listed() -> tuple[EngineStatus | None, tuple[str, ...]]:
        return await of_owner(RemoteCore.engine_status, None), await with_app(_accepted)

    status, accepted = run(listed(), as_json=as_json)
    offered = status.repairs if status is not None else ()
    if as_json:
        output.emit_json(shapes.repairs_shape(offered, accepted))
        return
    for line in output.repair_lines(offered):
        output.say(line.strip())
    if not offered:
        output.say("Nothing is to be repaired, as far as is known. Starting the engine tells.")
    if accepted:
        output.say(f"Accepted for this model: {', '.join(accepted)}. `engine repair --undo` forgets that.")


async def _accepted(app: App) -> tuple[str, ...]:
    return app.accepted_repairs()


async def _forget(app: App) -> tuple[str, ...]:
    """The changes that were accepted for the model that is set, forgotten now."""
    accepted = app.accepted_repairs()
    if accepted:
        await app.forget_repairs()
    return accepted


def _repair(repair: str, *, as_json: bool) -> None:
    needed, status = run(_repaired(repair), as_json=as_json, words=_STARTING)
    if as_json:
        output.emit_json(shapes.repaired_shape(repair if needed else None, status))
    elif not needed:
        output.say("There is nothing to repair: the engine starts as it is.")
    elif status is None:
        output.say("Repaired: the engine has started, and answered. The next question starts it again.")
    else:
        print_status(status, as_json=False)


async def _repaired(repair: str) -> tuple[bool, EngineStatus | None]:
    """Whether it was needed, and the engine's status now; None where the engine ends with this command."""
    async with make_front() as front:
        core = await front.core()
        known = await core.engine_status()
        needed = known is not None and bool(known.repairs)
        if not needed:  # the start that failed may have been another program's, which has ended since
            needed = await _fails_with(core, repair)
        if needed:
            await core.engine_repair(repair)
            await core.engine_start()
        return needed, None if core.is_owner else await core.engine_status()


async def _fails_with(core: Core, repair: str) -> bool:
    """Start the engine. True where it cannot, and offers this repair. Raises `EngineError` for another
    reason.
    """
    try:
        await core.engine_start()
    except EngineError as error:
        if all(each.id != repair for each in error.repairs):
            raise
        return True
    return False


def print_status(status: EngineStatus | None, *, as_json: bool) -> None:
    """The engine's status as JSON, or as sentences with its facts."""
    if as_json:
        output.emit_json(shapes.engine_shape(status))
        return
    for line in status_lines(status):
        output.say(line)
    for line in output.repair_lines(status.repairs if status is not None else ()):
        output.say(line)
