"""How a program gets its core: the owner's where one runs, its own where none does."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from whisper_desktop.app import App
from whisper_desktop.control.address import OwnerLock
from whisper_desktop.control.client import RemoteCore
from whisper_desktop.control.core import Core
from whisper_desktop.control.local import LocalCore
from whisper_desktop.control.server import ControlServer
from whisper_desktop.errors import ControlError
from whisper_desktop.events import EngineChanged
from whisper_desktop.values import EngineState

_RETRY = 0.05  # seconds between looks while another program is just becoming, or ceasing to be, the owner


class Front:
    """`async with Front(App) as front: core = await front.core()`

    `core()` is asked again before each use: the owner may have ended, or a desktop may have taken over.
    With `desktop`, this program must be the owner itself: a terminal that is gives way, and where another
    desktop is the owner `core()` returns that one's (ask it to show a window, and end).
    `on_handover` is called when this program was the owner and had to give way.
    """

    def __init__(
        self,
        make_app: Callable[[], App],
        *,
        desktop: bool = False,
        on_handover: Callable[[], None] | None = None,
    ) -> None:
        self._make_app = make_app
        self._desktop = desktop
        self._on_handover = on_handover
        self._lock = OwnerLock()
        self._local: LocalCore | None = None
        self._server: ControlServer | None = None
        self._remote: RemoteCore | None = None
        self._handover: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Front":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def core(self) -> Core:
        """The core to talk to now."""
        if self._handover is not None:
            await self._handover
            self._handover = None
        if self._local is not None:
            return self._local
        if self._remote is not None and self._remote.alive:
            return self._remote
        return await self._find_or_become()

    async def running(self) -> RemoteCore | None:
        """The owner, when one runs; never becomes it. The caller closes it."""
        return await RemoteCore.connect(self._make_app().deadlines)

    def end_with_engine(self, ended: Callable[[], None]) -> None:
        """Call `ended` when our engine stops: an owner that exists for its engine ends with it."""
        if self._local is not None:

            def look(event: EngineChanged) -> None:
                if event.status.state is EngineState.STOPPED:
                    ended()

            self._local.app.bus.listen(EngineChanged, look)

    async def _find_or_become(self) -> Core:
        app = self._make_app()
        deadline = asyncio.get_running_loop().time() + app.deadlines.control_reply
        while asyncio.get_running_loop().time() < deadline:
            self._remote = await RemoteCore.connect(app.deadlines)
            if self._remote is not None and not (self._desktop and await self._remote.handover()):
                return self._remote
            if record := self._lock.take():
                await app.start()
                self._local = LocalCore(app, has_desktop=self._desktop)
                self._server = ControlServer(self._local, record.token, on_handover=self._give_way)
                await self._server.start()
                return self._local
            await asyncio.sleep(_RETRY)
        raise ControlError(
            "Another Whisper Desktop is running but does not answer.",
            "It holds the lock and its socket is silent.",
            "End it (its tray menu, or your system's task list) and start again.",
        )

    def _give_way(self) -> None:
        self._handover = asyncio.create_task(self._stop_owning())

    async def _stop_owning(self) -> None:
        await asyncio.sleep(0)  # lets the reply to the handover leave first
        await self._close_local()
        if self._on_handover is not None:
            self._on_handover()

    async def _close_local(self) -> None:
        server, self._server = self._server, None
        local, self._local = self._local, None
        if server is not None:
            await server.stop()
        if local is not None:
            await local.app.stop()
        self._lock.release()

    async def close(self) -> None:
        """Hang up, or, as the owner, end everything we started and let go of the lock."""
        if self._handover is not None:
            await self._handover
        if self._remote is not None:
            await self._remote.close()
            self._remote = None
        await self._close_local()
