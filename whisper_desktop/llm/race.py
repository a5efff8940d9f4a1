"""Two backends side by side: the second is asked when the first has been silent for a while; the first output
wins, and the other one is stopped.

Each contender runs in a task of its own and puts what happens into one queue. All tasks have ended, and the
loser's connection is closed, before `events` ends, however it ends.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from whisper_desktop.values import Phase, Progress, StreamEvent
from whisper_desktop.wire.endings import to_the_end


class Contender(Protocol):
    """Something that is tried until it begins to answer: `won` is then set."""

    @property
    def won(self) -> object | None: ...

    def overtaken(self) -> bool:
        """Another one has won, and this one is about to be stopped; whether it was still trying."""
        ...

    def events(self) -> AsyncGenerator[StreamEvent, None]:
        """What happens until then. Raises what ends the race for all."""
        ...


C = TypeVar("C", bound=Contender)

_AT_WORK = (Phase.READING, Phase.CALLING)


class Race(Generic[C]):
    """`second` makes the other contender, or None where nobody may be asked any more. `after` is in seconds;
    it begins anew whenever the first one shows that it reads its prompt, or writes a function call.

    `tried` are all contenders. When it has ended, `left` are those that had not, and `lost` those of them
    that were still trying.
    """

    def __init__(self, first: C, second: Callable[[], C | None], after: float) -> None:
        self.won: C | None = None
        self.lost: list[C] = []
        self.left: list[C] = []
        self.tried: list[C] = []
        self._second = second
        self._after = after
        self._running: dict[asyncio.Task[None], C] = {}
        self._news: asyncio.Queue[tuple[C, StreamEvent | None]] = asyncio.Queue()
        self._start(first)

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """The events of all contenders until one has won or none is left."""
        clock = asyncio.get_running_loop().time
        hedge_at: float | None = clock() + self._after
        try:
            while self._running:
                try:
                    async with asyncio.timeout_at(hedge_at):
                        contender, event = await self._news.get()
                except TimeoutError:
                    hedge_at = None
                    if (other := self._second()) is not None:
                        self._start(other)
                    continue
                if event is not None:
                    if isinstance(event, Progress) and event.phase in _AT_WORK and hedge_at is not None:
                        hedge_at = clock() + self._after
                    yield event
                    continue
                await self._ended(contender)
                if contender.won is not None:
                    self.won = contender
                    return
        finally:
            await self._stop_all()

    def _start(self, contender: C) -> None:
        self.tried.append(contender)
        self._running[asyncio.create_task(self._run(contender))] = contender

    async def _run(self, contender: C) -> None:
        try:
            async with aclosing(contender.events()) as events:
                async for event in events:
                    self._news.put_nowait((contender, event))
        finally:
            self._news.put_nowait((contender, None))

    async def _ended(self, contender: C) -> None:
        """Take the contender's task off, and raise what it raised."""
        task = next(task for task, one in self._running.items() if one is contender)
        del self._running[task]
        await task

    async def _stop_all(self) -> None:
        running, self._running = self._running, {}
        self.left = [contender for contender in running.values() if contender is not self.won]
        if self.won is not None:
            self.lost = [contender for contender in self.left if contender.overtaken()]
        for task in running:
            task.cancel()
        await to_the_end(*running)

    @property
    def running(self) -> int:
        """How many are being tried."""
        return len(self._running)
