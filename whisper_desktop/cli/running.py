"""How a command runs: its coroutine on a loop, errors as sentences or JSON, Ctrl-C clean."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import Any, Never, TypeVar

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.control import Front, RemoteCore
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import Deadlines

T = TypeVar("T")
D = TypeVar("D")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (stable shapes).")


class Failed(Exception):
    """A command has said why it could not be done; all that is left is the exit code."""


def make_app() -> App:
    """An app with the settings of this person and this environment."""
    return App()


def make_front(*, on_handover: Callable[[], None] | None = None) -> Front:
    """This program's way to the owner."""
    return Front(make_app, on_handover=on_handover, on_linger=_say_why_we_stay)


def _say_why_we_stay() -> None:
    output.note(
        "Another program is still being answered through this one. It ends after that; Ctrl-C ends it now."
    )


def run(work: Coroutine[Any, Any, T], *, as_json: bool, tell: bool = True, words: str = "") -> T:
    """Run a command's coroutine. A `WhisperError` is told, and becomes exit code 1.

    Before that, problems with the settings are told, unless `tell` is False. `words` say on a terminal what
    is going on meanwhile.
    """
    if tell:
        tell_problems()
    try:
        with output.progress(words) if words else nullcontext():
            return asyncio.run(work)
    except WhisperError as error:
        fail(error, as_json=as_json)


def fail(error: WhisperError, *, as_json: bool) -> Never:
    """Tell an error, as JSON or in sentences, and end with exit code 1."""
    if as_json:
        output.emit_json(shapes.error_shape(error))
    else:
        output.say_error(error)
    raise Failed from error


def tell_problems() -> None:
    """Say on standard error which settings cannot be used, and what is used instead."""
    from whisper_desktop.settings import load_settings

    for problem in load_settings().problems:
        output.note(f"Note: {problem}")


async def with_app(work: Callable[[App], Coroutine[Any, Any, T]]) -> T:
    """Run something on an app of one's own that is not the owner: for commands that only look."""
    app = make_app()
    try:
        await app.start()
        return await work(app)
    finally:
        await app.stop()


async def of_owner(verb: Callable[[RemoteCore], Awaitable[T]], otherwise: D) -> T | D:
    """What the running owner says; `otherwise` where no owner runs."""
    remote = await make_front().running()
    if remote is None:
        return otherwise
    try:
        return await verb(remote)
    finally:
        await remote.close()


class LoopThread:
    """An asyncio loop in a thread of its own, so that the main thread may block on the terminal."""

    def __init__(self) -> None:
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._serve, name="core", daemon=True)

    def __enter__(self) -> "LoopThread":
        self._thread.start()
        self._loop = self._started.result()
        return self

    def _serve(self) -> None:
        async def until_ended() -> None:
            self._ended = asyncio.Event()
            self._started.set_result(asyncio.get_running_loop())
            await self._ended.wait()

        asyncio.run(until_ended())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it. Ctrl-C here cancels it, and waits until it has ended."""
        done: Future[T] = Future()
        task = asyncio.run_coroutine_threadsafe(_started_as_task(work, done), self._loop).result()
        try:
            return done.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(task.cancel)
            with suppress(Exception):
                done.result(Deadlines().shutdown)
            raise

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(Deadlines().shutdown)


async def _started_as_task(work: Coroutine[Any, Any, T], done: Future[T]) -> "asyncio.Task[T]":
    """Starts `work`; `done` has its outcome only when it has really ended, also after it was cancelled."""
    task = asyncio.ensure_future(work)

    def ended(_: object) -> None:
        if task.cancelled():
            done.cancel()
        elif (error := task.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(task.result())

    task.add_done_callback(ended)
    return task
