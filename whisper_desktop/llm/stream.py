"""`AnswerStream`: the events of one answer, for whoever reads them, and for whoever stops them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from types import TracebackType
from typing import Self

from whisper_desktop.errors import WhisperError
from whisper_desktop.values import AnswerFinished, Completion, StreamEvent

Batches = AsyncGenerator[Sequence[StreamEvent], None]

_under_way: set[Batches] = set()
"""What is being answered. Where a stream that nobody reads any more is collected as garbage, its outermost
generator has to be the only one that is: each of several would be closed by itself, amid the others' closing.
"""


class AnswerStream:
    """The events of one answer: `async with client.stream(…) as events: async for event in events: …`.

    `event.text` is what an event adds to the answer, "" for most kinds. The last event is `AnswerFinished`;
    its completion is then in `completion`. Leaving the block, or `aclose`, stops the generation at once.
    """

    def __init__(self, batches: Batches) -> None:
        self._reading = _Reading(batches)
        self._events = _one_by_one(self._reading)

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once it is there."""
        return self._reading.completion

    async def whole(self) -> Completion:
        """Read to the end, and return the whole answer. Raises `CancelledError` where somebody stops it."""
        reading = self._reading
        if not reading.stopped:
            try:
                while await reading.next() is not None:
                    pass
            finally:
                await reading.end()
        if reading.completion is None:
            raise asyncio.CancelledError
        return reading.completion

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[StreamEvent]:
        return _nothing_more() if self._reading.stopped else anext(self._events)

    async def aclose(self) -> None:
        """Stop the generation, and let go of everything. Safe to call twice, and from any task of the loop:
        for whoever waits for the next event there is none, and `completion` stays None.
        """
        reading = self._reading
        if reading.stopped:
            await reading.ended.wait()
            return
        reading.stopped = True
        if reading.task is not None:
            reading.task.cancel()
            await reading.ended.wait()
            return
        try:
            await self._events.aclose()
        finally:
            await reading.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Reading:
    """How far a stream was read. `task` waits for a batch now; `ended` is set when all is let go of."""

    __slots__ = ("batches", "completion", "ended", "stopped", "task")

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.completion: Completion | None = None
        self.task: asyncio.Task[object] | None = None
        self.stopped = False
        self.ended = asyncio.Event()

    async def next(self) -> Sequence[StreamEvent] | None:
        """The next batch; None after the last one, and where another task has stopped the answer: it cancels
        this one, which is then nobody else's business.
        """
        batch: Sequence[StreamEvent] | None
        task = asyncio.current_task()
        assert task is not None
        pending = task.cancelling()
        self.task = task
        try:
            batch = await anext(self.batches)
        except StopAsyncIteration:
            batch = None
        except (asyncio.CancelledError, WhisperError):
            if not self.stopped or task.uncancel() > pending:
                raise
            return None
        finally:
            self.task = None
        if self.stopped:
            task.uncancel()
            return None
        if batch and type(batch[-1]) is AnswerFinished:
            self.completion = batch[-1].completion
        return batch

    async def end(self) -> None:
        """Let go of everything."""
        self.stopped = True
        try:
            await self.batches.aclose()
        finally:
            self.ended.set()


async def _one_by_one(reading: _Reading) -> AsyncGenerator[StreamEvent, None]:
    """The events of the batches. It knows nothing of its `AnswerStream`: in a circle of references both would
    live, and the server go on, until the garbage is collected some day.
    """
    _under_way.add(reading.batches)
    try:
        while (batch := await reading.next()) is not None:
            for event in batch:
                yield event
    finally:
        await reading.end()
        _under_way.discard(reading.batches)


async def _nothing_more() -> StreamEvent:
    raise StopAsyncIteration
