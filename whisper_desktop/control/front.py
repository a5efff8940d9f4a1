"""How a program gets its core: the owner's where one runs, its own where none does."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType

from whisper_desktop.app import App
from whisper_desktop.app.links import Opening
from whisper_desktop.control.address import OwnerLock, OwnerRecord
from whisper_desktop.control.client import RemoteCore
from whisper_desktop.control.core import AskRequest, Core
from whisper_desktop.control.local import LocalCore
from whisper_desktop.control.server import ControlServer
from whisper_desktop.errors import ControlError, OwnerGone
from whisper_desktop.events import EngineChanged
from whisper_desktop.language import tr
from whisper_desktop.values import EngineState, StreamEvent

_TRIES = 5
_RETRY = 0.05  # seconds between looks while another program is just becoming, or ceasing to be, the owner


class Front:
    """`async with Front(App) as front: core = await front.core()`

    `core()` is asked again before each use: the owner may have ended, or a desktop may have taken over.
    With `desktop`, this program must be the owner itself: a terminal that is gives way, and where another
    desktop is the owner `core()` returns that one's (ask it to show a window, and end).
    `on_handover` is called when this program was the owner and has given way; `on_linger` when it leaves
    `async with` while another program is still being answered by it: it stays until that answer has ended.
    """

    def __init__(
        self,
        make_app: Callable[[], App],
        *,
        desktop: bool = False,
        on_handover: Callable[[], None] | None = None,
        on_linger: Callable[[], None] | None = None,
    ) -> None:
        self._make_app = make_app
        self._desktop = desktop
        self._on_handover = on_handover
        self._on_linger = on_linger
        self._turn = asyncio.Lock()
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
        try:
            if kind is None:
                await self.linger()
        finally:
            await self.close()

    async def core(self) -> Core:
        """The core to talk to now. Raises `ControlError`, and what `App.start` raises."""
        async with self._turn:
            if self._handover is not None:
                handover, self._handover = self._handover, None
                await handover
            if self._local is not None:
                return self._local
            if self._remote is not None and self._remote.alive:
                return self._remote
            return await self._find_or_become()

    async def own_or_show(self, opening: Opening | None) -> bool:
        """Become the owner (True), or have the desktop that is the owner show a window (False; None: none).

        Raises what `core` raises.
        """
        for _ in range(_TRIES):
            core = await self.core()
            if core.is_owner:
                return True
            try:
                if opening is not None:
                    await core.show(opening.window, opening.value, say=opening.problem)
                return False
            except OwnerGone:  # it is just quitting: whoever is next is asked, or it is us
                await self._hang_up()
        raise _not_answering()

    async def ask(self, request: AskRequest) -> AsyncGenerator[StreamEvent, None]:
        """One answer from whoever is the owner now; from the next one, if that ends before it has begun."""
        begun = False
        try:
            async with aclosing((await self.core()).ask(request)) as events:
                async for event in events:
                    begun = True
                    yield event
            return
        except OwnerGone:
            if begun:
                raise
        async with aclosing((await self.core()).ask(request)) as events:
            async for event in events:
                yield event

    async def running(self) -> RemoteCore | None:
        """The owner, when one runs; never becomes it. The caller closes it."""
        return await RemoteCore.connect(self._make_app().deadlines)

    def activation_token(self) -> str:
        """What lets the window that was asked for last come to the front; taken once, from any thread."""
        return self._local.take_activation_token() if self._local is not None else ""

    def end_with_engine(self, ended: Callable[[], None]) -> None:
        """Call `ended` when our engine stops: an owner that exists for its engine ends with it."""
        if self._local is not None:

            def look(event: EngineChanged) -> None:
                if event.status.state is EngineState.STOPPED:
                    ended()

            self._local.app.bus.listen(EngineChanged, look)

    async def linger(self) -> None:
        """As the owner, stay until nobody is being answered any more, within `control_linger` seconds."""
        if self._local is not None and self._local.answering:
            if self._on_linger is not None:
                self._on_linger()
            await self._local.answered(self._local.app.deadlines.control_linger)

    async def close(self) -> None:
        """Hang up, or, as the owner, end everything we started and let go of the lock. At once."""
        if self._handover is not None:
            await self._handover
            self._handover = None
        await self._hang_up()
        await self._stop_owning()

    async def _find_or_become(self) -> Core:
        app = self._make_app()
        clock = asyncio.get_running_loop().time
        until = clock() + app.deadlines.control_reply
        while clock() < until:
            await self._hang_up()
            self._remote = await RemoteCore.connect(app.deadlines)
            if self._remote is not None and not await self._gives_way(self._remote):
                return self._remote
            if record := self._lock.take():
                await self._hang_up()
                return await self._own(app, record)
            await asyncio.sleep(_RETRY)
        raise _not_answering()

    async def _gives_way(self, owner: RemoteCore) -> bool:
        """Whether we may take the owner's place: only a desktop asks for that."""
        try:
            return self._desktop and await owner.handover()
        except OwnerGone:
            return True

    async def _own(self, app: App, record: OwnerRecord) -> Core:
        try:
            await app.start()
            local = LocalCore(app, has_desktop=self._desktop)
            server = ControlServer(local, record.token, app.deadlines, on_handover=self._give_way)
            await server.start()
        except BaseException:
            await app.stop()
            self._lock.release()
            raise
        self._local, self._server = local, server
        return local

    def _give_way(self) -> None:
        if self._handover is None:
            self._handover = asyncio.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        if self._server is not None and self._local is not None:
            self._server.stop_listening()
            await self._local.answered(self._local.app.deadlines.shutdown)
        await self._stop_owning()
        if self._on_handover is not None:
            self._on_handover()

    async def _stop_owning(self) -> None:
        server, self._server = self._server, None
        local, self._local = self._local, None
        if server is None or local is None:
            return
        app = local.app
        try:
            # In this order everyone who waits for us is told how it ended before the line goes dead.
            server.stop_listening()
            await local.close()
            await app.stop()
            await server.stop()
        finally:
            self._lock.release()

    async def _hang_up(self) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            await remote.close()


def _not_answering() -> ControlError:
    return ControlError(
        tr("Another Whisper Desktop is running but does not answer."),
        tr("It holds the lock, and nothing listens on its socket."),
        tr("Quit it (its tray menu, or your system's task list) and start again."),
    )
