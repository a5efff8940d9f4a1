"""How a command runs: its coroutine on a fresh loop, errors as sentences or JSON, Ctrl-C clean."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output, shapes
from whisper_desktop.errors import WhisperError

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (stable shapes).")


class Failed(Exception):
    """A command has said why it could not be done; all that is left is the exit code."""


def make_app(**flags: object) -> App:
    """An app with settings from the command line; None means: not given."""
    return App(flags={key: value for key, value in flags.items() if value is not None})


def run(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run a command's coroutine. A `WhisperError` is told, and becomes exit code 1."""
    try:
        return asyncio.run(work)
    except WhisperError as error:
        if as_json:
            output.emit_json(shapes.error_shape(error))
        else:
            output.say_error(error)
        raise Failed from error


class LoopThread:
    """An asyncio loop in a thread of its own, so that the main thread may block on the terminal."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="core")

    def __enter__(self) -> "LoopThread":
        self._thread.start()
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it. Ctrl-C here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            with suppress(Exception, asyncio.CancelledError):
                self._settle()
            raise

    def _settle(self) -> None:
        """One round trip: what was cancelled has seen it when this returns."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def with_app(work: Callable[[App], Coroutine[Any, Any, T]]) -> T:
    """Run something on an app of one's own that is not the owner: for commands that only look."""
    app = make_app()
    await app.start()
    try:
        return await work(app)
    finally:
        await app.stop()
