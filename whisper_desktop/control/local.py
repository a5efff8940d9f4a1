"""The owner's verbs over the `App` in this process."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from whisper_desktop.app import App
from whisper_desktop.app.links import WINDOWS
from whisper_desktop.control.core import AskRequest
from whisper_desktop.errors import ControlError, OwnerGone
from whisper_desktop.events import Notice, WindowRequested
from whisper_desktop.language import tr
from whisper_desktop.values import EngineStatus, StreamEvent


class LocalCore:
    """`Core` in process. `has_desktop` says whether `show` can be answered."""

    is_owner = True

    def __init__(self, app: App, *, has_desktop: bool = False) -> None:
        self._app = app
        self.has_desktop = has_desktop
        self._answers: set[asyncio.Task[None]] = set()
        self._activation_token = ""
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

    async def show(self, window: str, value: str = "", *, say: str = "", token: str = "") -> bool:
        """As `Core.show`. `token` is what lets a window come to the front, where the system asks for one."""
        if window not in WINDOWS:
            raise ControlError(
                tr("The running app has no window “{window}”.", window=window[:40]),
                tr("It is another version."),
                tr("Restart it."),
            )
        if self.has_desktop:
            self._activation_token = token
            self.app.bus.publish(WindowRequested(window, value))
            if say:
                self.app.bus.publish(Notice(say))
        return self.has_desktop

    def take_activation_token(self) -> str:
        """The token of the newest request to show a window, once; "" where none came. From any thread."""
        token, self._activation_token = self._activation_token, ""
        return token

    async def conversations_changed(self, ids: Sequence[str]) -> None:
        await self.app.chats.look_again(ids)


def _ended() -> OwnerGone:
    return OwnerGone(
        tr("The program that ran the engine has ended."),
        tr("It was closed, or the desktop app has taken over."),
        tr("Ask again; another one takes its place."),
    )
