"""A pool without engines: fixed texts, the same interface, for trying out programs and for their tests."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType

from whisper_desktop.engines.pool.place import Turn
from whisper_desktop.engines.pool.roles import PoolRole
from whisper_desktop.engines.pool.session import RoleSession
from whisper_desktop.engines.pool.state import PoolProgress, PoolStatus, RoleStatus
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    EngineState,
    EngineStatus,
    GenerationConfig,
    Message,
    StreamEnd,
    TextDelta,
    Usage,
)

STUB = "stub"


class StubPlace:
    """Always says the same, a word at a time."""

    backend = STUB

    def __init__(self, text: str) -> None:
        self.turn = Turn()
        self._text = text

    def status(self) -> EngineStatus:
        """See `Place`."""
        return EngineStatus(STUB, EngineState.READY, STUB, None, None, tr("No model is running."))

    async def batches(
        self, messages: Sequence[Message], config: GenerationConfig
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """See `Place`."""
        words = self._text.split(" ")
        limit = len(words) if config.max_tokens is None else min(config.max_tokens, len(words))
        for number, word in enumerate(words[:limit]):
            yield [TextDelta(word if number == 0 else f" {word}")]
        read = sum(len(message.content.split()) for message in messages)
        yield [StreamEnd("stop" if limit == len(words) else "length", Usage(read, limit), STUB)]


class StubPool:
    """Use it like `Pool`. `texts` are what roles say; a role without one says that it is a stub."""

    def __init__(
        self,
        roles: Sequence[PoolRole],
        texts: Mapping[str, str] | None = None,
        *,
        on_progress: Callable[[PoolProgress], None] | None = None,
    ) -> None:
        self._roles = {role.name: role for role in roles}
        self._places = {
            name: StubPlace((texts or {}).get(name, f"This is a stub of the {name}; no model is running."))
            for name in self._roles
        }
        self._on_progress = on_progress
        self._state = EngineState.STOPPED

    async def start(self) -> PoolStatus:
        """See `AnyPool`; it is ready at once."""
        self._state = EngineState.READY
        if self._on_progress is not None:
            self._on_progress(self._progress())
        return self.status()

    async def stop(self) -> None:
        """See `AnyPool`."""
        self._state = EngineState.STOPPED

    async def __aenter__(self) -> "StubPool":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def session(self, role: str) -> RoleSession:
        """See `AnyPool`."""
        return RoleSession(self._roles[role], self._places[role])

    def status(self) -> PoolStatus:
        """See `AnyPool`."""
        roles = tuple(
            RoleStatus(name, self._state, tr("A stub."), number, ahead=place.turn.ahead)
            for number, (name, place) in enumerate(self._places.items())
        )
        return PoolStatus(self._state, None, tr("All roles are ready, as stubs."), self._progress(), roles)

    def _progress(self) -> PoolProgress:
        count = len(self._roles)
        if self._state is not EngineState.READY:
            return PoolProgress(0.0, tr("0 of {count} roles are ready.", count=count), 0, count)
        return PoolProgress(1.0, tr("All roles are ready, as stubs."), count, count)
