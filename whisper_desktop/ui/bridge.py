"""The only place that knows both loops: the core's asyncio loop in a thread, and Qt's on the main thread.

The core loop owns sockets, timers and child processes. The Qt loop only awaits futures of the core loop, so a
busy window never stalls a stream, and a stalled server never freezes a window.

    answer = await bridge.run(app.recommend())            # a coroutine, result on the Qt thread
    async with aclosing(bridge.stream(session.send(q))) as batches:
        async for events in batches: ...                  # at most about 30 batches a second
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from whisper_desktop.events import Bus
from whisper_desktop.ui.garbage import QtThreadCollector

T = TypeVar("T")

FLUSH_INTERVAL = 1 / 30  # seconds between two batches of a stream: a window cannot show more than that


class Bridge(QObject):
    """Runs core coroutines in their own thread and hands results to coroutines of the Qt loop.

    `loop` is the asyncio loop of the Qt thread; `report` is told the error of a UI task that nobody awaits.

    Signals:
        event_arrived: a core event (`events.Event`), delivered on the Qt thread in the order of publishing.
    """

    event_arrived = Signal(object)
    _incoming = Signal(object)

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[BaseException], None]) -> None:
        super().__init__()
        self.loop = loop
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_listening: Callable[[], None] | None = None
        # The one connection between the threads: queued, and to a declared slot. PySide crashes now and then
        # on other kinds of receivers, so the signal that everybody listens to is emitted in Qt's thread.
        self._incoming.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._garbage = QtThreadCollector()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="core", daemon=True)

    def start(self) -> None:
        """Start the core thread; returns when its loop takes work (about a millisecond)."""
        self._garbage.start()
        self._thread.start()
        self._ready.wait()

    def _serve(self) -> None:
        async def until_stopped() -> None:
            self._core = asyncio.get_running_loop()
            self._ready.set()
            await self._ended.wait()

        # The runner cancels what is left, closes generators and joins the helper threads.
        with asyncio.Runner() as runner:
            runner.run(until_stopped())

    @property
    def busy(self) -> bool:
        """Whether the core thread is alive."""
        return self._thread.is_alive()

    # --- work for the core ----------------------------------------------------------------------------------

    def run(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run a coroutine on the core loop. Cancelling the returned future cancels the coroutine."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._core), loop=self.loop)

    def stream(self, source: AsyncGenerator[T, None]) -> AsyncGenerator[tuple[T, ...], None]:
        """What a core generator yields, in batches. Closing it closes the source and waits for that."""
        return _batches(self, _Pump(source, self.loop))

    def listen(self, bus: Bus) -> None:
        """Deliver every event of `bus` by `event_arrived` from now on."""
        self._stop_listening = bus.listen(object, self._incoming.emit)

    @Slot(object)
    def _deliver(self, event: object) -> None:
        self.event_arrived.emit(event)

    # --- work for the Qt loop -------------------------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a UI coroutine on the Qt loop; an error that nobody awaits goes to `report`."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    # --- the end --------------------------------------------------------------------------------------------

    async def stop(self, seconds: float) -> bool:
        """Cancel the UI tasks, end the core loop and join its thread. False when it is still busy then."""
        current = asyncio.current_task(self.loop)
        others = [task for task in self._tasks if task is not current]
        for task in others:
            task.cancel()
        for task in others:
            settled = self.loop.create_future()
            task.add_done_callback(settled.set_result)
            await settled
        if self._stop_listening is not None:
            self._stop_listening()
        self._core.call_soon_threadsafe(self._ended.set)
        gone = self.loop.create_future()
        threading.Thread(target=self._join, args=(gone, seconds), name="core-join", daemon=True).start()
        await gone
        if not self.busy:
            self._garbage.stop()
        return not self.busy

    def _join(self, gone: asyncio.Future[None], seconds: float) -> None:
        self._thread.join(seconds)
        self.loop.call_soon_threadsafe(gone.set_result, None)


class _Pump(Generic[T]):
    """Takes items from a core generator as they come and hands them to the Qt loop in batches."""

    def __init__(self, source: AsyncGenerator[T, None], qt_loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._qt_loop = qt_loop
        self._task: asyncio.Task[None] | None = None
        self._collected: list[T] = []
        self._flush_due: asyncio.TimerHandle | None = None
        self._last_flush = 0.0
        self._lock = threading.Lock()
        # Guarded by the lock; the Qt loop reads them.
        self._ready: list[T] = []
        self._error: Exception | None = None
        self._over = False
        # Only the Qt loop touches it.
        self._waiter: asyncio.Future[None] | None = None

    # --- on the core loop -----------------------------------------------------------------------------------

    async def open(self) -> None:
        self._task = asyncio.create_task(self._pump())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _pump(self) -> None:
        error: Exception | None = None
        try:
            async with aclosing(self._source) as items:
                async for item in items:
                    self._collect(item)
        except Exception as problem:
            error = problem
        finally:
            self._flush(error, over=True)

    def _collect(self, item: T) -> None:
        self._collected.append(item)
        if self._flush_due is None:
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._last_flush + FLUSH_INTERVAL - loop.time())
            self._flush_due = loop.call_later(wait, self._flush)

    def _flush(self, error: Exception | None = None, *, over: bool = False) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        self._last_flush = asyncio.get_running_loop().time()
        with self._lock:
            self._ready += self._collected
            self._error, self._over = error, over
        self._collected.clear()
        self._qt_loop.call_soon_threadsafe(self._wake)

    # --- on the Qt loop -------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next_batch(self) -> tuple[T, ...]:
        """The next items, an empty tuple at the end; raises what the source raised, after its last items."""
        while True:
            with self._lock:
                batch, over, error = tuple(self._ready), self._over, self._error
                self._ready.clear()
            if batch:
                return batch
            if error is not None:
                raise error
            if over:
                return ()
            self._waiter = self._qt_loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


async def _batches(bridge: Bridge, pump: _Pump[T]) -> AsyncGenerator[tuple[T, ...], None]:
    await bridge.run(pump.open())
    try:
        while batch := await pump.next_batch():
            yield batch
    finally:
        await bridge.run(pump.close())
