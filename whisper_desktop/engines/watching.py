"""Looking after an engine that is ready: whether it hangs, and whether it should sleep.

An engine that nobody uses, and that nothing could put to sleep, is not looked at: it costs nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_desktop.engines.launch import Launch
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.messages import Exited, Hung, Message, ProvedAgain, Tired
from whisper_desktop.engines.process import memory_of
from whisper_desktop.engines.readiness import one_token
from whisper_desktop.engines.rest import RestPolicy, Signs, needs_pressure, why_rest
from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.engines.speed import measured_speed
from whisper_desktop.engines.users import Users
from whisper_desktop.engines.watchdog import Action, Watchdog, look, slept
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.machine.pressure import measure
from whisper_desktop.values import Deadlines

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

Report = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class _Found:
    """Why a ready engine should be ended, as a sentence: it is stuck, or nobody needs it."""

    why: str
    stuck: bool


class Watch:
    """Looks at one launch from its proof on. `speed` is how many tokens a second it wrote; None before."""

    def __init__(
        self,
        launch: Launch,
        address: EngineAddress,
        *,
        http: "Http",
        log: EngineLog,
        deadlines: Deadlines,
        policy: RestPolicy,
        users: Users,
    ) -> None:
        self.speed: float | None = None
        self._launch = launch
        self._address = address
        self._http = http
        self._log = log
        self._deadlines = deadlines
        self._policy = policy
        self._users = users
        outcome = launch.outcome
        # What is not known may be on a card.
        on_processor = outcome is not None and bool(outcome.buffers) and not outcome.gpu_bytes
        self._watchdog = Watchdog(deadlines, offloaded=not on_processor)
        self._probing = 0
        self._unsettled = False  # somebody has left, and it has not been seen idle since
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Somebody came or left."""
        self._unsettled = True
        self._stirred.set()

    def doubt(self) -> None:
        """A question failed inside it: whether others fare better is to be seen."""
        self._watchdog.doubt()
        self.stir()

    def use_policy(self, policy: RestPolicy) -> None:
        """From now on this says when it should sleep."""
        self._policy = policy
        self._stirred.set()

    async def run(self, report: Report) -> None:
        """Report its exit, that it is stuck, or, as often as that is refused, that it should sleep."""
        assert self._launch.process is not None
        exited = self._launch.process.exited
        while not exited.done():
            looking = asyncio.create_task(self._until_found())
            waited: set[asyncio.Future[int] | asyncio.Future[_Found]] = {exited, looking}
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                looking.cancel()
            if exited.done():
                break
            if error := looking.exception():
                # A mistake of ours: an engine that nobody looks at is better than none.
                self._log.note(tr("nobody looks after this engine any more: {error!r}", error=error))
                await asyncio.wait({exited})
                break
            found = looking.result()
            if found.stuck:
                report(Hung(self._launch, await self._launch.hung(found.why)))
                return
            report(Tired(self._launch, found.why))
            await asyncio.sleep(0)  # the owner decides; where somebody came meanwhile, this goes on
        report(Exited(self._launch, await self._launch.ended()))

    # --- after a sleep of the computer --------------------------------------------------------------------

    @property
    def must_probe(self) -> bool:
        """Whether it has to prove itself before the next question, because the computer has slept."""
        return self._watchdog.must_probe(slept(), self._users.leases)

    async def prove_again(self, report: Report) -> None:
        """Report that it still answers, or that it is stuck."""
        why = await self._probe()
        if why:
            report(Hung(self._launch, await self._launch.hung(why)))
        else:
            report(ProvedAgain(self._launch))

    async def _probe(self) -> str:
        """Ask it for a token, and once more where none comes; "" or why it is stuck."""
        while True:
            self._probing += 1
            try:
                await one_token(self._http, self._launch.spec, self._address, self._deadlines.engine_ask)
                passed = True
            except EngineError:
                passed = False
            finally:
                self._probing -= 1
            verdict = self._watchdog.probed(passed)
            if verdict.action is not Action.PROBE:
                return verdict.why

    # --- while it is ready --------------------------------------------------------------------------------

    async def _until_found(self) -> _Found:
        """Look when there may be something to see, until it is stuck or should sleep."""
        while True:
            await self._until_worth_looking()
            if self._is_used:
                if why := await self._why_stuck():
                    return _Found(why, stuck=True)
            elif why := await self._why_rest():
                return _Found(why, stuck=False)

    @property
    def _is_used(self) -> bool:
        return self._unsettled or self._users.leases > 0

    async def _until_worth_looking(self) -> None:
        if not self._is_used:
            self._stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_rest()):
                    await self._stirred.wait()
        if self._is_used:
            await asyncio.sleep(self._deadlines.engine_watch)

    def _until_rest(self) -> float | None:
        """Seconds until it could be put to sleep; None where nothing does that."""
        idle_for, policy = self._users.idle_for, self._policy
        waits = [] if policy.idle is None else [policy.idle - idle_for]
        if policy.under_pressure or policy.on_battery:
            waits.append(max(policy.pause - idle_for, self._deadlines.engine_watch))
        # A timer may come a tick of the clock early.
        return max(min(waits), self._deadlines.engine_poll) if waits else None

    async def _why_stuck(self) -> str:
        self._unsettled = False
        pid = self._launch.pid
        assert pid is not None
        leases = self._users.leases + self._probing
        seen = await look(self._http, self._address, pid, leases=leases, deadlines=self._deadlines)
        if seen.slots is None or seen.busy or seen.leases:
            self._unsettled = True
        self._launch.saw(seen.memory_bytes)
        verdict = self._watchdog.see(seen)
        if verdict.action is Action.PROBE:
            return await self._probe()
        if verdict.action is Action.FINE and not self._is_used:
            self.speed = await measured_speed(self._http, self._address)
        return verdict.why

    async def _why_rest(self) -> str:
        pressure = memory = None
        idle_for, leases, pid = self._users.idle_for, self._users.leases, self._launch.pid
        if pid is not None and needs_pressure(self._policy, idle_for, leases):
            pressure = await asyncio.to_thread(measure)
            memory = await asyncio.to_thread(memory_of, pid)
        return why_rest(self._policy, Signs(idle_for, leases, pressure, memory)) or ""
