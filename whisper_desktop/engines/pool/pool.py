"""The pool: engines for several roles, started together, warmed, and gated until enough of them are ready.

    stopped -> starting -> ready -> stopping -> stopped
               starting -> failed: too few can still get ready, or the patience is over; all are ended

Once ready, each engine's own supervisor looks after it: one that ends is started again and touches no other.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.pool import words
from whisper_desktop.engines.pool.instance import Instance
from whisper_desktop.engines.pool.limits import PoolLimits, limits_of
from whisper_desktop.engines.pool.patience import Over, Patience, Signs
from whisper_desktop.engines.pool.plan import PlacedRole, PoolPlan
from whisper_desktop.engines.pool.session import RoleSession
from whisper_desktop.engines.pool.state import PoolProgress, PoolStatus, RoleStatus
from whisper_desktop.engines.supervisor import make_engine
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, EngineState
from whisper_desktop.wire.endings import to_the_end

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

log = logging.getLogger(__name__)


class AnyPool(Protocol):
    """What programs use: a pool of engines, or a stub of one. `async with` starts it and stops it."""

    async def start(self) -> PoolStatus:
        """Return when as many roles as asked for are ready. Raises `EngineError`, with all ended."""
        ...

    async def stop(self) -> None:
        """End everything, within three seconds."""
        ...

    def session(self, role: str) -> RoleSession:
        """A conversation of its own with a role. Raises `KeyError` for a role that the pool does not have."""
        ...

    def status(self) -> PoolStatus:
        """How it is now."""
        ...

    async def __aenter__(self) -> "AnyPool": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Pool:
    """Engines for roles, as a `PoolPlan` says. It belongs to the event loop that starts it.

    `on_progress` is called on that loop while it starts: for a bar. Use it with `async with`, or call `stop`
    in a `finally`: a start whose caller is cancelled goes on until then.
    """

    def __init__(
        self,
        plan: PoolPlan,
        *,
        http: "Http",
        limits: PoolLimits | None = None,
        deadlines: Deadlines | None = None,
        on_progress: Callable[[PoolProgress], None] | None = None,
    ) -> None:
        deadlines = deadlines or Deadlines()
        self.plan = plan
        self._limits = limits or limits_of(None, deadlines)
        self._on_progress = on_progress
        self._state, self._detail, self._fraction = EngineState.STOPPED, tr("Not started."), 0.0
        self._told: PoolProgress | None = None
        self._starting: asyncio.Task[None] | None = None
        self._gate: asyncio.Future[None] | None = None
        self._instances = [
            Instance(
                make_engine(spec, http=http, deadlines=self._limits.of_engines(deadlines)),
                [each for each in plan.roles if each.instance == number],
                http=http,
                request=self._limits.request,
                deadlines=deadlines,
            )
            for number, spec in enumerate(plan.specs)
        ]

    # --- what programs use --------------------------------------------------------------------------------

    async def start(self) -> PoolStatus:
        """See `AnyPool`. What is not ready by then goes on loading; a second caller joins the first."""
        if self._starting is None or self._gate is None:
            self._gate = asyncio.get_running_loop().create_future()
            self._starting = asyncio.create_task(self._start(self._gate))
        await asyncio.shield(self._gate)
        return self.status()

    async def stop(self) -> None:
        """See `AnyPool`. Raises `EngineError` when an engine cannot be ended, after all the others are."""
        await to_the_end(stopping := asyncio.create_task(self._stop()))
        stopping.result()

    async def __aenter__(self) -> "Pool":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def session(self, role: str) -> RoleSession:
        """See `AnyPool`. One of a role that is not ready waits for it, or says why it cannot get ready."""
        placed = {each.role.name: each for each in self.plan.roles}[role]
        return RoleSession(placed.role, self._instances[placed.instance].places[role])

    def status(self) -> PoolStatus:
        """See `AnyPool`."""
        roles = tuple(self._role_status(each) for each in self.plan.roles)
        return PoolStatus(self._state, self.plan.form, self._detail, self._progress(), roles)

    # --- the start ----------------------------------------------------------------------------------------

    async def _start(self, gate: "asyncio.Future[None]") -> None:
        self._state, self._detail, self._fraction = EngineState.STARTING, "Starting.", 0.0
        loads = asyncio.Semaphore(self.plan.loads_at_once)
        for instance in self._instances:
            instance.begin(loads)
        try:
            await self._watch_start(gate)
        except EngineError as error:
            await self._end_all()
            self._state, self._detail, self._starting = EngineState.FAILED, str(error), None
            _refuse(gate, error)
        except asyncio.CancelledError:
            _refuse(gate, explain("stopped", self.plan.specs[0]))
            raise
        except BaseException as mistake:
            _refuse(gate, mistake)
            raise

    async def _watch_start(self, gate: "asyncio.Future[None]") -> None:
        """Until all have settled; the gate is opened on the way. Raises `EngineError` when it cannot be."""
        patience, loop = Patience(self._limits, len(self._instances)), asyncio.get_running_loop()
        began = beat = loop.time()
        while pending := [each for each in self._instances if not each.settled]:
            wait = max(0.0, min(self._limits.look, patience.left))
            tasks = [each.task for each in pending if each.task is not None]
            await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            patience.see(await asyncio.to_thread(self._signs))
            self._tell(gate)
            if loop.time() - beat >= self._limits.heartbeat:
                beat = loop.time()
                log.info("The pool has been starting for %.0f s: %s", beat - began, self._heartbeat())
            if (over := patience.over) is not None:
                seconds = self._limits.stall if over is Over.STALL else loop.time() - began
                late = [each for each in self._instances if not each.settled]
                await asyncio.gather(*(each.give_up(over, round(seconds)) for each in late))
        for each in self._instances:
            if each.task is not None and not each.task.cancelled():
                each.task.result()  # raises a mistake of ours
        self._tell(gate)

    def _signs(self) -> dict[int, Signs]:
        return {number: each.signs() for number, each in enumerate(self._instances) if not each.settled}

    def _tell(self, gate: "asyncio.Future[None]") -> None:
        """Tell how far it is, and open the gate once enough are ready. Raises `EngineError` if never."""
        done = sum(each.done for each in self._instances) / len(self._instances)
        self._fraction = max(self._fraction, done)
        ready, total = self._ready, len(self.plan.roles)
        failed = [(tuple(each.places), each.failure) for each in self._instances if each.failure is not None]
        needed = self._limits.needed(total)
        if not gate.done():
            if total - sum(len(roles) for roles, _ in failed) < needed:
                raise words.too_few(failed, needed, total)
            if ready >= needed:
                self._state = EngineState.READY
                gate.set_result(None)
        if gate.done():
            self._detail = words.works_without(failed) if failed else words.ready(ready, total)
        progress = self._progress()
        if progress != self._told and self._on_progress is not None:
            self._on_progress(progress)
        self._told = progress

    # --- the end ------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        self._state, self._detail = EngineState.STOPPING, "Stopping."
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
        errors = await self._end_all()
        if starting is not None:
            await asyncio.wait({starting})
        if errors:
            self._state, self._detail = EngineState.FAILED, str(errors[0])
            raise errors[0]
        self._state, self._detail = EngineState.STOPPED, "Stopped."

    async def _end_all(self) -> list[EngineError]:
        ended = await asyncio.gather(*(each.end() for each in self._instances))
        return [error for error in ended if error is not None]

    # --- what is told -------------------------------------------------------------------------------------

    @property
    def _ready(self) -> int:
        return sum(len(each.roles) for each in self._instances if each.ready)

    def _progress(self) -> PoolProgress:
        ready, total = self._ready, len(self.plan.roles)
        return PoolProgress(self._fraction, words.ready(ready, total), ready, total)

    def _heartbeat(self) -> str:
        parts = (f"{'/'.join(each.places)} {each.done:.0%}" for each in self._instances)
        return f"{self._fraction:.0%} ({', '.join(parts)})"

    def _role_status(self, placed: PlacedRole) -> RoleStatus:
        instance = self._instances[placed.instance]
        status = instance.engine.status()
        warming = status.state is EngineState.READY and not instance.settled
        return RoleStatus(
            placed.role.name,
            EngineState.STARTING if warming else status.state,
            str(instance.failure) if instance.failure is not None else status.detail,
            placed.instance,
            placed.slot,
            status.pid,
            instance.places[placed.role.name].turn.ahead,
        )


def _refuse(gate: "asyncio.Future[None]", error: BaseException) -> None:
    """Tell who waits at the gate, if it is still shut."""
    if not gate.done():
        gate.set_exception(error)
        gate.exception()  # perhaps nobody waits any more, which is no mistake
