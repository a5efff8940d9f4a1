"""The one task that owns an engine's state. `messages` is what it is told, `states` what may follow.

Nothing here waits but for the next message: work that takes time is done by helpers, which report. So what a
message finds, it finds as the message before left it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from whisper_desktop.engines import messages
from whisper_desktop.engines.diagnosis import explain, of_answer
from whisper_desktop.engines.failures import Failures
from whisper_desktop.engines.launch import DescribeOwner, Files, Launch, files_of
from whisper_desktop.engines.log import EngineLog
from whisper_desktop.engines.messages import Ending
from whisper_desktop.engines.rest import RestPolicy
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.engines.states import Happening, after
from whisper_desktop.engines.users import Users, answer
from whisper_desktop.engines.watching import Watch
from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

_S = EngineState


class Owner:
    """Takes messages, one after the other. What is public may be read anywhere, as advice."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        http: "Http",
        log: EngineLog,
        deadlines: Deadlines,
        on_change: Callable[[EngineStatus], None] | None,
        rest_policy: RestPolicy,
        chance: Callable[[], float],
        describe_owner: DescribeOwner,
    ) -> None:
        self.spec = spec
        self.status = EngineStatus(spec.id, _S.STOPPED, spec.alias, None, None, tr("Not started."))
        self.users = Users(came_or_went=self._came_or_went, gave_up=self._gave_up, doubted=self._doubted)
        self.launch: Launch | None = None
        self.watch: Watch | None = None
        self.restart_at = 0.0
        self.rest_policy = rest_policy
        self._http = http
        self._log = log
        self._deadlines = deadlines
        self._on_change = on_change
        self._describe_owner = describe_owner
        self._messages: asyncio.Queue[messages.Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._helpers: set[asyncio.Task[None]] = set()

        self._address: EngineAddress | None = None
        self._starting: asyncio.Task[EngineAddress] | None = None
        self._wanted = False  # a start goes on although nobody waits for it
        self._deserted: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._proving = False
        self._ready_at = 0.0
        self._ending = Ending("stopped", "Stopped.")
        self._unending: set[Launch] = set()
        self._closed = False

        self._failures = Failures(deadlines, chance)
        self._restart: asyncio.TimerHandle | None = None
        self._reconsidering = False

    def send(self, message: messages.Message) -> None:
        """Tell the owner something. On the loop's thread."""
        self._messages.put_nowait(message)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._own())

    def use_policy(self, policy: RestPolicy) -> None:
        """When it sleeps by itself, from now on."""
        self.rest_policy = policy
        if self.watch is not None:
            self.watch.use_policy(policy)

    async def _own(self) -> None:
        """Take messages until there is nothing left to look after."""
        try:
            while True:
                self._take(await self._messages.get())
                settled = self._state in (_S.STOPPED, _S.FAILED, _S.SLEEPING)
                if settled and self._messages.empty():
                    return
        except BaseException as error:
            # The loop ends under us, or a bug: nobody may be left waiting, nothing may be left running.
            if self._starting is not None:
                self._starting.cancel()
            if self.launch is not None:
                self.launch.kill()
            self._leave_ready(explain("stopped", self.spec))
            self.launch = self._address = self._starting = None
            self.status = replace(
                self.status, state=_S.FAILED, url=None, pid=None, detail=tr("Its supervision ended.")
            )
            self.users.refuse_all(error)
            self.users.tell_end(error)
            raise
        finally:
            self._log.close()

    @property
    def _state(self) -> EngineState:
        return self.status.state

    def _take(self, message: messages.Message) -> None:
        match message:
            case messages.Ensure():
                self._ensure(message)
            case messages.GaveUp():
                self._begin_to_desert()
            case messages.Stop(stopper, for_good):
                self._closed = self._closed or for_good
                self._stop(stopper)
            case messages.Rest(rester, reason):
                self._rest(rester, reason)
            case messages.Respecified():
                self._respecified()
            case messages.StartEnded(launch, task):
                if launch is self.launch and self._state is _S.STARTING:
                    self._start_ended(launch, task)
            case messages.Deserted(launch):
                self._keep_start()
                if launch is self.launch and self._may_be_deserted:
                    self._end_whatever_runs(Ending("stopped", tr("Nobody waited for its start any more.")))
            case messages.Exited(launch, error):
                if launch is self.launch and self._state is _S.READY:
                    self._lost(error, ready_for=time.monotonic() - self._ready_at)
            case messages.Hung(launch, error):
                if launch is self.launch and self._state is _S.READY:
                    self._end(Ending("lost", str(error), error))
            case messages.Tired(launch, reason):
                if launch is self.launch and self._state is _S.READY and not self.users.present:
                    self._end(Ending("asleep", reason))
            case messages.ProvedAgain(launch):
                self._proving = False
                if launch is self.launch and self._state is _S.READY and self._address is not None:
                    self.users.grant_all(self._address)
            case messages.EndEnded(gone):
                if self._state is _S.STOPPING:
                    self._end_ended(gone)
            case messages.TimeToRestart():
                if self._state is _S.BACKING_OFF:
                    self._begin_start()
            case messages.Reconsidered(files):
                self._reconsidering = False
                if self._state is _S.FAILED:
                    self._reconsidered(files)
            case messages.Broken(error):
                raise error
            case _:
                assert_never(message)

    # --- questions ----------------------------------------------------------------------------------------

    def _ensure(self, asker: messages.Ensure) -> None:
        if self._closed:
            answer(asker.answer, None, explain("closing", self.spec))
            return
        self._keep_start()
        if asker.ordered:
            self._failures.forget()
            self._wanted = True
        answers = self._state is _S.READY and self._is_alive and not self._is_outdated
        if answers and self._address is not None and self.watch is not None and not self.watch.must_probe:
            self.users.grant(asker, self._address)
            return
        # READY without a process: its exit is on its way here, and what follows answers who waits.
        self.users.add(asker)
        match self._state:
            case _S.READY if self._is_outdated:
                self._respecified()
            case _S.READY if answers:
                self._prove_again()
            case _S.STOPPED | _S.SLEEPING:
                self._start_for(asker)
            case _S.BACKING_OFF if asker.ordered:
                self._begin_start()
            case _S.FAILED if self._failures.last is None:
                self._start_for(asker)
            case _S.FAILED if not self._reconsidering:
                self._reconsidering = True
                self._help(self._reconsider())

    def _start_for(self, asker: messages.Ensure | None) -> None:
        """Start, but not beside a process of ours that cannot be ended, unless a person orders it."""
        ordered = asker is not None and asker.ordered
        if self._unending and not ordered:
            self.users.refuse_all(explain("cannot_stop", self.spec))
            return
        self._wanted = ordered
        self._begin_start()

    def _came_or_went(self) -> None:
        if self.watch is not None:
            self.watch.stir()
        if self._is_outdated and not self.users.leases:
            self.send(messages.Respecified())

    def _doubted(self, said: str) -> EngineError | None:
        if self.watch is not None:
            self.watch.doubt()
        return of_answer(self.spec, said)

    def _gave_up(self) -> None:
        if self._task is not None and not self._task.done():  # else the loop ends
            self.send(messages.GaveUp())

    def _begin_to_desert(self) -> None:
        if self._may_be_deserted and self._deserted is None:
            self._deserted = asyncio.get_running_loop().call_later(
                self._deadlines.engine_leave, self.send, messages.Deserted(self.launch)
            )

    @property
    def _may_be_deserted(self) -> bool:
        on_its_way = self._state in (_S.STARTING, _S.BACKING_OFF)
        return on_its_way and not self._wanted and not self.users.waiting

    def _keep_start(self) -> None:
        if self._deserted is not None:
            self._deserted.cancel()
            self._deserted = None

    # --- starting -----------------------------------------------------------------------------------------

    def _begin_start(self) -> None:
        self._keep_start()
        self._move(Happening.START, "Starting.", self._failures.last)
        self.launch = launch = Launch(
            self.spec,
            http=self._http,
            log=self._log,
            deadlines=self._deadlines,
            describe_owner=self._describe_owner,
        )
        self._starting = task = asyncio.create_task(launch.run())

        def ended(done: "asyncio.Task[EngineAddress]") -> None:
            if not done.cancelled():  # else whoever cancelled it goes on from there
                self.send(messages.StartEnded(launch, done))

        task.add_done_callback(ended)
        self._begin_to_desert()  # those who waited may have gone while it backed off

    def _start_ended(self, launch: Launch, task: "asyncio.Task[EngineAddress]") -> None:
        self._starting = None
        error = task.exception()
        if isinstance(error, EngineError):
            self._lost(error, ready_for=None)
            return
        if error is not None:
            launch.kill()
            self.launch = None
            self._move(Happening.GIVEN_UP, tr("The start failed: our mistake."))
            self.users.refuse_all(error)
            return
        self._address = address = task.result()
        self._ready_at = time.monotonic()
        self.users.begin()
        self.watch = Watch(
            launch,
            address,
            http=self._http,
            log=self._log,
            deadlines=self._deadlines,
            policy=self.rest_policy,
            users=self.users,
        )
        before, self._failures.last = self._failures.last, None
        detail = (
            tr("Ready again. Before: {title} {detail}", title=before.title, detail=before.detail).strip()
            if before
            else tr("Ready.")
        )
        self._move(Happening.PROVED, detail, before)
        self._watching = self._help(self.watch.run(self.send))
        self.users.grant_all(address)

    def _prove_again(self) -> None:
        if not self._proving and self.watch is not None:
            self._proving = True
            self._help(self.watch.prove_again(self.send))

    # --- failing ------------------------------------------------------------------------------------------

    def _lost(self, error: EngineError, *, ready_for: float | None) -> None:
        """It ended or hung by itself, or could not start."""
        self._leave_ready(error)
        launch, self.launch, self._address = self.launch, None, None
        if launch is not None and launch.pid is not None:
            self._keep_apart(launch)
        if ready_for is not None:
            self._wanted = True
        delay = self._count(error, launch, ready_for)
        if delay is None:
            self._give_up(self._failures.last or error)
        else:
            self._back_off(error, delay)

    def _count(self, error: EngineError, launch: Launch | None, ready_for: float | None) -> float | None:
        """Remember a failure; in how many seconds to start again, None for never."""
        return self._failures.take(error, launch.files if launch is not None else None, ready_for=ready_for)

    def _back_off(self, error: EngineError, delay: float) -> None:
        self.restart_at = time.monotonic() + delay
        detail = " ".join(
            tr("{title} {detail} It starts again by itself.", title=error.title, detail=error.detail).split()
        )
        self._move(Happening.LOST, detail, error, delay)
        if delay <= 0:
            self._begin_start()
            return
        loop = asyncio.get_running_loop()
        self._restart = loop.call_later(delay, self.send, messages.TimeToRestart())
        self._begin_to_desert()

    def _give_up(self, error: EngineError) -> None:
        self._move(Happening.GIVEN_UP, str(error), error)
        self.users.refuse_all(error)

    async def _reconsider(self) -> None:
        self.send(messages.Reconsidered(await asyncio.to_thread(files_of, self.spec)))

    def _reconsidered(self, files: Files) -> None:
        error = self._failures.forbid(files)
        if error is not None:
            self.users.refuse_all(error)
        else:
            self._start_for(None)

    # --- ending -------------------------------------------------------------------------------------------

    def _stop(self, stopper: "asyncio.Future[None]") -> None:
        self.users.refuse_all(explain("stopped", self.spec))
        self.users.add_stopper(stopper)
        self._end_whatever_runs(Ending("stopped", "Stopped."))
        self._failures.last = None

    def _rest(self, rester: "asyncio.Future[bool]", reason: str) -> None:
        asleep = self._state is _S.SLEEPING
        if asleep or self.users.present or self._state in (_S.STOPPED, _S.FAILED):
            answer(rester, asleep)
            return
        self.users.add_rester(rester)
        if self._state is not _S.STOPPING or self._ending.then != "stopped":
            self._end_whatever_runs(Ending("asleep", reason))

    def _respecified(self) -> None:
        ending = Ending("again", tr("It starts again with other settings."))
        match self._state:
            case _S.STARTING if self._is_outdated:
                self._end(ending)
            case _S.READY if self._is_outdated and not self.users.leases:
                self._end(ending)
            case _S.BACKING_OFF:
                self._failures.forget()
                self._begin_start()
            case _S.FAILED:
                self._failures.forget()

    def _end_whatever_runs(self, ending: Ending) -> None:
        self._wanted = False
        match self._state:
            case _S.STARTING | _S.READY:
                self._end(ending)
                return
            case _S.STOPPING:
                if self._ending.error is not None:  # it hung, which counts whatever follows now
                    self._count(self._ending.error, self.launch, time.monotonic() - self._ready_at)
                self._ending = ending
                return
            case _S.BACKING_OFF if ending.then == "asleep":
                self._move(Happening.ASLEEP, ending.detail)
            case _S.BACKING_OFF | _S.FAILED | _S.SLEEPING:
                self._move(Happening.STOP, ending.detail)
        self.users.tell_end()

    def _end(self, ending: Ending) -> None:
        self._keep_start()
        self._leave_ready(ending.error or explain("stopped", self.spec))
        self._ending = ending
        # One that was on its way is as wanted as before, one that was ready is used.
        self._wanted = ending.then == "again" and (self._wanted or self._state is _S.READY)
        self._move(Happening.STOP, "Stopping." if ending.then == "stopped" else ending.detail, ending.error)
        self._help(self._end_launch(hangs=ending.then == "lost"))

    async def _end_launch(self, *, hangs: bool) -> None:
        launch, starting = self.launch, self._starting
        if starting is not None:
            starting.cancel()
            await asyncio.wait({starting})
            if not starting.cancelled():
                starting.exception()  # it ended just then, and nobody asks any more how
        gone = launch is None or await (launch.end_now() if hangs else launch.stop())
        self.send(messages.EndEnded(gone))

    def _end_ended(self, gone: bool) -> None:
        ending, launch = self._ending, self.launch
        self._starting = self._address = None
        if not gone and launch is not None:
            self._keep_apart(launch)
            self.launch = None
            error = explain("cannot_stop", self.spec)
            self._count(error, launch, None)
            self._give_up(error)
            self.users.tell_end(error)
            return
        if ending.then == "lost" and ending.error is not None:
            self._lost(ending.error, ready_for=time.monotonic() - self._ready_at)
        elif ending.then == "again" or self._wanted or self.users.waiting:
            self._begin_start()
        else:
            self.launch = None
            self._move(Happening.ASLEEP if ending.then == "asleep" else Happening.GONE, ending.detail)
        self.users.tell_end()

    def _keep_apart(self, launch: Launch) -> None:
        """Nothing ends its process; it may end by itself some day."""
        self._unending.add(launch)
        self._help(self._await_end(launch))

    async def _await_end(self, launch: Launch) -> None:
        if launch.process is not None:
            await asyncio.wait({launch.process.exited})
            await launch.stop()
        self._unending.discard(launch)

    def _leave_ready(self, error: EngineError) -> None:
        """What only a ready engine has ends: leases, with `error`, and the watch over it."""
        self.users.end_leases(error)
        if self._watching is not None:
            self._watching.cancel()
        self.watch = self._watching = None
        self._proving = False

    # --- small parts --------------------------------------------------------------------------------------

    def _move(
        self,
        happening: Happening,
        detail: str,
        error: EngineError | None = None,
        restart_in: float | None = None,
    ) -> None:
        state = after(self._state, happening)
        if self._restart is not None:  # it belongs to the state that ends here
            self._restart.cancel()
            self._restart = None
        pid = self.launch.pid if self.launch is not None else None
        self.status = EngineStatus(
            self.status.engine,
            state,
            self.spec.alias,
            self._address.url if pid is not None and self._address is not None else None,
            pid,
            detail,
            cause=error.cause if error is not None else "",
            repairs=error.repairs if error is not None else (),
            warning=self.launch.warning if self.launch is not None and state is _S.READY else "",
            restart_in=restart_in,
        )
        if self._on_change is not None:
            # Later, so that a listener's mistake cannot break the one task that owns the state.
            asyncio.get_running_loop().call_soon(self._on_change, self.status)

    @property
    def _is_alive(self) -> bool:
        return self.launch is not None and self.launch.pid is not None

    @property
    def _is_outdated(self) -> bool:
        return self.launch is not None and self.launch.spec != self.spec

    def _help(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._helpers.add(task)

        def ended(done: "asyncio.Task[None]") -> None:
            self._helpers.discard(done)
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self.send(messages.Broken(error))

        task.add_done_callback(ended)
        return task
