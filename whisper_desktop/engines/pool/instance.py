"""One engine of a pool: who is answered there, how its start goes, and how far it is."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.pool.patience import Over, Signs
from whisper_desktop.engines.pool.place import EnginePlace, InstanceEnded, Turn
from whisper_desktop.engines.pool.plan import PlacedRole
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, EngineState, ErrorKind, GenerationConfig, Message, Role

if TYPE_CHECKING:
    from whisper_desktop.engines.supervisor import Engine
    from whisper_desktop.wire.http import Http

_LOADED = 0.9
"""How much of the way the load is; the rest is the warming of its roles."""

_NEWEST_LINES = 5  # of an engine's log, looked at for progress
_WARMING = GenerationConfig(max_tokens=1, temperature=0.0)


class Instance:
    """One engine. `failure` says why it could not be brought up; `begin` may be called again after that."""

    def __init__(
        self,
        engine: "Engine",
        roles: Sequence[PlacedRole],
        *,
        http: "Http",
        request: float,
        deadlines: Deadlines,
    ) -> None:
        self.engine = engine
        self.roles = tuple(roles)
        self.failure: EngineError | None = None
        self.task: asyncio.Task[None] | None = None
        self._warmed = 0
        turns = {each.slot: Turn() for each in roles}
        self.places = {
            each.role.name: EnginePlace(
                engine, each.slot, turns[each.slot], http=http, request=request, deadlines=deadlines
            )
            for each in roles
        }

    @property
    def ready(self) -> bool:
        """Whether all of its roles have been warmed."""
        return self._warmed == len(self.roles) and self.failure is None

    @property
    def settled(self) -> bool:
        """Whether its start has ended, well or not."""
        return self.task is None or self.task.done()

    @property
    def done(self) -> float:
        """How far its start is, from 0 to 1; a failed one is no longer waited for. From any thread."""
        if self.failure is not None:
            return 1.0
        status = self.engine.status()
        if status.state is EngineState.READY:
            return _LOADED + (1 - _LOADED) * self._warmed / len(self.roles)
        if status.state is not EngineState.STARTING:
            return 0.0
        loaded = status.progress
        if loaded is None:
            expected = self.engine.spec.expected
            total = expected.host_bytes if expected is not None else None
            loaded = min(0.9, (status.memory_bytes or 0) / total) if total else 0.0
        return _LOADED * loaded

    def signs(self) -> Signs:
        """How far it is, as the patience with it goes by. From any thread."""
        memory = self.engine.status().memory_bytes
        return Signs(self.done, memory or 0, self.engine.log_tail(_NEWEST_LINES))

    def begin(self, loads: asyncio.Semaphore) -> None:
        """Bring it up as soon as `loads` lets it."""
        self.failure, self._warmed = None, 0
        self.task = asyncio.create_task(self._bring_up(loads))

    async def give_up(self, over: Over, seconds: float) -> None:
        """It has had its time."""
        if over is Over.STALL:
            detail = tr("It made no progress for {seconds:g} s.", seconds=seconds)
        else:
            detail = tr("It was not ready after {seconds:g} s.", seconds=seconds)
        self.failure = explain("start_timeout", self.engine.spec, detail=detail)
        await self.end()

    async def end(self) -> EngineError | None:
        """End its start, and its process; the error where that cannot be ended."""
        if self.task is not None:
            self.task.cancel()
        try:
            await self.engine.stop()
        except EngineError as error:
            return error
        finally:
            if self.task is not None:
                await asyncio.wait({self.task})
        return None

    async def _bring_up(self, loads: asyncio.Semaphore) -> None:
        """Start the engine, and let each of its roles read its opening."""
        try:
            async with loads:
                await self.engine.ensure_ready()
                async with asyncio.TaskGroup() as warming:
                    for each in self.roles:
                        warming.create_task(self._warm(each))
        except EngineError as error:
            self.failure = error
        except ExceptionGroup as errors:
            self.failure = self._why_not_warmed(errors)

    def _why_not_warmed(self, errors: "ExceptionGroup[Exception]") -> EngineError:
        first = errors.exceptions[0]
        if isinstance(first, InstanceEnded):
            return first.why
        if isinstance(first, EngineError):
            return first
        if isinstance(first, BackendError):
            return explain("cannot_answer", self.engine.spec, detail=str(first))
        raise first

    async def _warm(self, placed: PlacedRole) -> None:
        messages = (*placed.role.opening, Message(Role.USER, "Hi"))
        try:
            async with aclosing(self.places[placed.role.name].batches(messages, _WARMING)) as batches:
                async for _ in batches:
                    pass
        except BackendError as error:
            if error.kind is not ErrorKind.EMPTY:  # the first token may be the last, or half a letter
                raise
        self._warmed += 1
