"""The owner's verbs over the `App` in this process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from whisper_desktop.app import App
from whisper_desktop.control.core import AskRequest
from whisper_desktop.errors import OwnerGone
from whisper_desktop.events import WindowRequested
from whisper_desktop.values import EngineStatus, StreamEvent


class LocalCore:
    """`Core` in process. `has_desktop` says whether `show` can be answered."""

    is_owner = True

    def __init__(self, app: App, *, has_desktop: bool = False) -> None:
        self._app = app
        self.has_desktop = has_desktop
        self._answers: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def app(self) -> App:
        """The app. Raises `OwnerGone` once this program has stopped being the owner."""
        if self._closed:
            raise _ended()
        return self._app

    async def ask(self, request: AskRequest) -> AsyncGenerator[StreamEvent, None]:
        # In a task of its own, so that an answer can be ended from the owner's side and its asker told why.
        events: asyncio.Queue[StreamEvent | Exception | None] = asyncio.Queue()
        answer = asyncio.create_task(self._answer(self.app, request, events))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            answer.cancel()
            await asyncio.wait({answer})

    async def _answer(
        self, app: App, request: AskRequest, events: "asyncio.Queue[StreamEvent | Exception | None]"
    ) -> None:
        try:
            stream = app.stream(
                request.messages,
                guide=request.guide,
                backend=request.backend,
                model=request.model,
                reach=request.reach,
            )
            async with aclosing(stream):
                async for event in stream:
                    events.put_nowait(event)
            events.put_nowait(None)
        except asyncio.CancelledError:
            events.put_nowait(_ended())
            raise
        except Exception as error:  # raised again where the asker waits
            events.put_nowait(error)

    async def answered(self, seconds: float) -> bool:
        """Wait until no answer is being given, at most `seconds`. False when one still is."""
        try:
            async with asyncio.timeout(seconds):
                while self._answers:
                    await asyncio.wait(set(self._answers))
        except TimeoutError:
            return False
        return True

    @property
    def answering(self) -> bool:
        """Whether somebody is being answered."""
        return bool(self._answers)

    async def close(self) -> None:
        """End the answers that are being given; from now on every verb raises `OwnerGone`."""
        self._closed = True
        answers = set(self._answers)
        for answer in answers:
            answer.cancel()
        if answers:
            await asyncio.wait(answers)

    async def engine_status(self) -> EngineStatus | None:
        return self.app.engine_status()

    async def engine_start(self) -> EngineStatus:
        return await self.app.start_engine()

    async def engine_stop(self) -> None:
        await self.app.stop_engine()

    async def engine_sleep(self) -> bool:
        return await self.app.free_memory()

    async def engine_repair(self, repair: str) -> None:
        await self.app.repair_engine(repair)

    async def engine_log(self, lines: int) -> list[str]:
        return self.app.engine_log(lines)

    async def reload(self) -> None:
        await self.app.reload()

    async def show(self, window: str) -> bool:
        if self.has_desktop:
            self.app.bus.publish(WindowRequested(window))
        return self.has_desktop


def _ended() -> OwnerGone:
    return OwnerGone(
        "The program that ran the engine has ended.",
        "It was closed, or the desktop app has taken over.",
        "Ask again; another one takes its place.",
    )
