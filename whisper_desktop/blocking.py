"""Backends for scripts without asyncio: the same names, without `await`.

from whisper_desktop.blocking import create_backend

with create_backend({"backend": "ollama", "model": "llama3.2"}) as backend:
    print(backend.generate_text("Why is the sky blue?").text)
    for event in backend.generate_stream("Tell me a story"):
        print(event.text, end="", flush=True)
"""

import asyncio
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from whisper_desktop import backends
from whisper_desktop.backends import Answer, Backend, BackendConfig
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.llm.messages import MessageLike, as_messages
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    ModelInfo,
    Price,
    Reach,
)

T = TypeVar("T")

# On Windows Ctrl+C does not end a wait for a lock, so that the wait is taken in pieces.
_LONGEST_WAIT_S = 0.2 if sys.platform == "win32" else None

Question = str | Sequence[MessageLike]
"""What the user says, or a conversation."""


def create_backend(
    config: BackendConfig | Mapping[str, object], *, deadlines: Deadlines | None = None
) -> "BlockingBackend":
    """The backend that a configuration names; see `backends.create_backend`. Raises as it does.

    The engines of the app ("builtin", "guide") belong to the app and cannot be had here.
    """
    deadlines = deadlines or Deadlines()
    return BlockingBackend(backends.create_backend(config, deadlines=deadlines), deadlines)


class BlockingBackend:
    """A backend whose methods wait for their result. It may be used by several threads at once.

    Its work is done on an event loop in a thread of its own, which ends with `shutdown()`, with the `with`
    block, or with the program. Inside a running event loop it works as well, but stops that loop while it
    waits; there the asynchronous backend is the better one. Ctrl+C during a wait ends the request.
    """

    def __init__(self, backend: Backend, deadlines: Deadlines) -> None:
        self._backend = backend
        self._loop = _Loop(deadlines)
        # Also runs when nobody refers to this object any more, and at the end of the program.
        self._end = weakref.finalize(self, _end, backend, self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<BlockingBackend {self._backend.id} at {self.base_url or 'no address'}>"

    @property
    def id(self) -> str:
        """The canonical id of the backend."""
        return self._backend.id

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self._backend.name

    @property
    def base_url(self) -> str:
        """Where its API starts, "" for a backend without an address."""
        return self._backend.base_url

    @property
    def model_id(self) -> str | None:
        """The model that is configured, else the one that was chosen last."""
        return self._backend.model_id

    @property
    def capabilities(self) -> frozenset[str]:
        """What it may be asked for; see `Backend`."""
        return self._backend.capabilities

    def is_paid(self, model: str | None = None) -> bool:
        """Whether an answer of a model costs money."""
        return self._backend.is_paid(model)

    def setup(self) -> None:
        """Prepare for the first request, without sending anything."""
        self._loop.run(self._backend.setup)

    def load_model(self) -> str | None:
        """Choose the model that will answer, load it where the server takes orders, and return its id."""
        return self._loop.run(self._backend.load_model)

    def unload_model(self) -> None:
        """Free the memory of the model, where that is ours to do."""
        self._loop.run(self._backend.unload_model)

    def is_healthy(self) -> bool:
        """Whether it answers right now."""
        return self._loop.run(self._backend.is_healthy)

    def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models it offers."""
        return self._loop.run(lambda: self._backend.list_models(allowed=allowed))

    def price(self, model: str | None = None) -> Price | None:
        """What a model costs; None where nobody knows."""
        return self._loop.run(lambda: self._backend.price(model))

    def generate_text(
        self,
        messages: Question,
        config: GenerationConfig | None = None,
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> Answer:
        """Generate, and return the whole answer."""
        question, config = as_messages(messages), config or GenerationConfig()
        return self._loop.run(
            lambda: self._backend.generate_text(question, config, model=model, allowed=allowed)
        )

    def generate_stream(
        self,
        messages: Question,
        config: GenerationConfig | None = None,
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> "BlockingStream":
        """Generate, and iterate over the pieces as they come; the last one is a `StreamEnd`.

        A `for` loop that is left early ends the generation. Who keeps the iterator ends it with `close()`.
        """
        question, config = as_messages(messages), config or GenerationConfig()
        batches = self._backend.stream_batches(question, config, model=model, allowed=allowed)
        return BlockingStream(self, self._loop, batches)

    def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """Vectors for texts. Raises `BackendError` UNSUPPORTED where it cannot."""
        return self._loop.run(lambda: self._backend.embed(texts, model=model, allowed=allowed))

    def shutdown(self) -> None:
        """End what is under way, close the connections, and end the thread. Does nothing the second time."""
        self._end()


class BlockingStream(Iterator[BackendEvent]):
    """The pieces of one answer. Closing it, or letting go of it, ends the generation."""

    def __init__(
        self, owner: BlockingBackend, loop: "_Loop", batches: AsyncGenerator[Sequence[BackendEvent], None]
    ) -> None:
        self._owner = owner  # The loop lives as long as it.
        self._loop = loop
        self._batches = batches
        self._events: Iterator[BackendEvent] = iter(())
        self._step: asyncio.Task[Any] | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BackendEvent:
        while not self._closed:
            event = next(self._events, None)
            if event is not None:
                return event
            try:
                batch = self._loop.run(self._next_batch)
            except BaseException:
                self.close()
                raise
            if batch is None:
                self._closed = True
            else:
                self._events = iter(batch)
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the generation. Another thread that waits for the next piece gets no more."""
        if not self._closed:
            self._closed = True
            self._loop.finish(self._aclose)

    async def _next_batch(self) -> Sequence[BackendEvent] | None:
        self._step = asyncio.current_task()
        try:
            return await anext(self._batches, None)
        finally:
            self._step = None

    async def _aclose(self) -> None:
        if self._step is not None:
            self._step.cancel()
            await asyncio.wait([self._step])
        await self._batches.aclose()


class _Loop:
    """An event loop in a thread of its own, which starts when it is first needed."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._lock = threading.RLock()  # A stream may be let go of while it is held.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run what `make` makes, and wait for its result. An exception in the wait (Ctrl+C) cancels it."""
        finished = threading.Event()

        async def tracked() -> T:
            try:
                return await make()
            finally:
                finished.set()

        job = self._submit(tracked)
        try:
            return _result(job)
        except CancelledError:
            raise _was_shut_down() from None
        except BaseException:
            if not job.done():
                job.cancel()
                finished.wait(self._deadlines.cleanup)
            raise

    def finish(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it if the loop still lives, and wait unless that would be this loop waiting for itself."""
        with suppress(BackendError):
            job = self._submit(make)
            if threading.current_thread() is not self._thread:
                with suppress(CancelledError):
                    _result(job)

    def close(self) -> None:
        """Cancel what is under way, and end the thread."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not thread:
            thread.join(self._deadlines.shutdown)

    def _submit(self, make: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        with self._lock:
            if self._closed:
                raise _was_shut_down()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="whisper-backend", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(make(), self._loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then end what is left of its tasks."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


def _result(job: "Future[T]") -> T:
    while True:
        try:
            return job.result(_LONGEST_WAIT_S)
        except TimeoutError:
            if job.done():
                raise


def _end(backend: Backend, loop: _Loop) -> None:
    loop.finish(backend.shutdown)
    loop.close()


def _was_shut_down() -> BackendError:
    return BackendError(
        ErrorKind.CANCELLED,
        tr("The backend was shut down."),
        tr("Nothing more can be asked of it."),
        tr("Create another one."),
        request_sent=False,
    )
