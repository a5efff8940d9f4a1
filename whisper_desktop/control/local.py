"""The owner's verbs over the `App` in this process."""

from collections.abc import AsyncGenerator

from whisper_desktop.app import App
from whisper_desktop.control.core import AskRequest
from whisper_desktop.events import WindowRequested
from whisper_desktop.values import EngineStatus, StreamEvent


class LocalCore:
    """`Core` in process. `has_desktop` says whether `show` can be answered."""

    is_owner = True

    def __init__(self, app: App, *, has_desktop: bool = False) -> None:
        self.app = app
        self.has_desktop = has_desktop

    def ask(self, request: AskRequest) -> AsyncGenerator[StreamEvent, None]:
        return self.app.stream(
            request.messages,
            guide=request.guide,
            backend=request.backend,
            model=request.model,
            reach=request.reach,
        )

    async def engine_status(self) -> EngineStatus | None:
        return self.app.engine_status()

    async def engine_start(self) -> EngineStatus:
        return await self.app.start_engine()

    async def engine_stop(self) -> None:
        await self.app.stop_engine()

    async def engine_log(self, lines: int) -> list[str]:
        return self.app.engine_log(lines)

    async def reload(self) -> None:
        await self.app.reload()

    async def show(self, window: str) -> bool:
        if self.has_desktop:
            self.app.bus.publish(WindowRequested(window))
        return self.has_desktop
