"""The engine as its users see it: ask for the outcome, `ensure_ready()` or `lease()`, never for the state.

One task owns the state (`owner`). Everyone else sends it a message and waits for a future; reading `status()`
is advice, never a reason to act. Everyone who waits is answered by what happens, failures included.

What a question (`ensure_ready`, `lease`) does, by state:

    ready        gets the address; after a sleep of the computer, once the engine has proved itself again
    starting     joins; cancelling one waiter leaves the start to the others, and when the last one has gone
                 it is ended after `engine_leave`
    backing off  joins the start to come
    stopped      starts
    sleeping     starts
    failed       gets the same error again, unless a file or the specification has changed, or `restarts`
                 leaves it another try: asking often never starts often
    stopping     waits for the end, then starts

An engine that ends or hangs by itself is diagnosed, and started again by itself as `restarts` says. `stop`
ends a start as well: those who wait for it get an `EngineError` with cause "stopped". After `close` nothing
starts it any more.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from whisper_desktop.engines import messages
from whisper_desktop.engines.launch import DescribeOwner
from whisper_desktop.engines.leases import Lease
from whisper_desktop.engines.log import EngineLog, log_path
from whisper_desktop.engines.outcome import Outcome
from whisper_desktop.engines.owner import Owner
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http


class Engine:
    """One engine: a server process that we own. Made by `make_engine`.

    It belongs to the event loop that first uses it, and that loop's thread must live as long as the engine
    should. `id` is canonical ("builtin", "guide", "llama_cpp").
    """

    def __init__(self, owner: Owner, log: EngineLog) -> None:
        self.id = owner.spec.id
        self._owner = owner
        self._log = log

    # --- using it -----------------------------------------------------------------------------------------

    async def ensure_ready(self) -> EngineAddress:
        """The address of the engine: running, proved to be ours, having answered. Raises `EngineError`."""
        return await self._ask()

    def lease(self) -> Lease:
        """`async with engine.lease() as address: ...`: ready, and in use until the end of the block."""
        return Lease(self.grant)

    async def grant(self, lease: Lease) -> EngineAddress:
        """What a `Lease` asks; it counts from the moment at which the engine is said to be ready."""
        return await self._ask(lease=lease)

    async def revive(self) -> EngineAddress:
        """A person's own start: it is tried whatever failed before, and goes on if nobody waits for it."""
        return await self._ask(ordered=True)

    async def stop(self) -> None:
        """End the engine; returns when its process is gone. Raises `EngineError` if it cannot be ended."""
        await self._end(for_good=False)

    async def close(self) -> None:
        """`stop` for good: whoever asks from now on gets an `EngineError` with cause "closing"."""
        await self._end(for_good=True)

    async def rest(self, reason: str) -> bool:
        """Free its memory now if nobody uses it; the next question starts it. False when it is in use, or
        does not run.

        `reason` is the sentence for its status. Raises `EngineError` if it cannot be ended.
        """
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._owner.send(messages.Rest(answer, reason))
        return await answer

    def respec(self, spec: EngineSpec) -> None:
        """Serve `spec` from the next start on. One that runs with another is started anew once it is idle."""
        if spec != self._owner.spec:
            self._owner.spec = spec
            self._owner.send(messages.Respecified())

    @property
    def rest_policy(self) -> RestPolicy:
        """When it sleeps by itself. May be changed at any time."""
        return self._owner.rest_policy

    @rest_policy.setter
    def rest_policy(self, policy: RestPolicy) -> None:
        if policy != self._owner.rest_policy:
            self._owner.use_policy(policy)

    async def _end(self, *, for_good: bool) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner.send(messages.Stop(answer, for_good))
        await answer

    async def _ask(self, *, lease: Lease | None = None, ordered: bool = False) -> EngineAddress:
        answer: asyncio.Future[EngineAddress] = asyncio.get_running_loop().create_future()
        self._owner.send(messages.Ensure(answer, lease, ordered))
        return await answer

    # --- looking at it ------------------------------------------------------------------------------------

    @property
    def spec(self) -> EngineSpec:
        """What the next start serves."""
        return self._owner.spec

    def status(self) -> EngineStatus:
        """What the engine is doing now, with its memory. From any thread, in microseconds; it may be old the
        next moment.
        """
        status, launch, watch = self._owner.status, self._owner.launch, self._owner.watch
        if status.state is EngineState.BACKING_OFF:
            left = self._owner.restart_at - time.monotonic()
            status = replace(status, restart_in=max(0.0, left))
        if launch is not None:
            status = replace(status, pid=launch.pid, memory_bytes=launch.memory)
        if status.state is EngineState.STARTING and launch is not None:
            status = replace(status, progress=launch.loaded)
        if status.state is EngineState.READY and watch is not None:
            status = replace(status, tokens_per_second=watch.speed)
        return status

    def log_tail(self, lines: int) -> list[str]:
        """The newest lines of its log, oldest first, without secrets. From any thread."""
        return self._log.tail(lines)

    def log_since(self, mark: int) -> tuple[int, list[str]]:
        """The mark for the next call, and the lines since `mark` (0: all in memory). From any thread."""
        return self._log.more(mark)

    @property
    def leases(self) -> int:
        """How many questions are being answered."""
        return self._owner.users.leases

    @property
    def outcome(self) -> Outcome | None:
        """What its start came to, as it told; None while it is not ready."""
        launch = self._owner.launch
        return launch.outcome if launch is not None else None


_NO_REST = RestPolicy()


def make_engine(
    spec: EngineSpec,
    *,
    http: "Http",
    deadlines: Deadlines | None = None,
    on_change: Callable[[EngineStatus], None] | None = None,
    rest_policy: RestPolicy = _NO_REST,
    chance: Callable[[], float] = random.random,
    describe_owner: DescribeOwner = lambda _port: "",
) -> Engine:
    """An engine for `spec`, not started. `on_change` is called on the loop's thread for every new state.

    `rest_policy` says when it sleeps by itself. `chance` gives numbers from 0 to 1 that spread restarts.
    `describe_owner` says who has a port that the engine should have.
    Where the log folder cannot be used, the log is kept in memory only.
    """
    try:
        path = log_path(log_dir(), spec.id)
    except SettingsError:
        path = None
    log = EngineLog(path)
    owner = Owner(
        spec,
        http=http,
        log=log,
        deadlines=deadlines or Deadlines(),
        on_change=on_change,
        rest_policy=rest_policy,
        chance=chance,
        describe_owner=describe_owner,
    )
    return Engine(owner, log)
