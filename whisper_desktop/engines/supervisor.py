"""The engine as its users see it: ask for the outcome, `ensure_ready()`, never for the state.

Rules of the state machine:
- `TRANSITIONS` holds every legal one; an illegal one is a bug and raises with the state in its message.
- One task owns the state. Everyone else sends it a message and waits for a future; reading `status()` is
  advice, never a reason to act.
- Every settled transition answers everyone who waits for it, failures included.

What `ensure_ready` does, by state:

    ready      returns the address
    starting   joins; cancelling one waiter leaves the start to the others, and it goes on for the next one
    stopped    starts
    failed     starts again: whoever asks may have mended the cause; there is no retry without a question
    stopping   waits for the end, then starts

`stop` ends a start as well: those who wait for it get an `EngineError` with cause "stopped".
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, TypeVar, assert_never, cast

from whisper_desktop.engines.diagnosis import explain
from whisper_desktop.engines.launch import Launch
from whisper_desktop.engines.log import EngineLog, log_path
from whisper_desktop.engines.process import memory_of
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError, SettingsError
from whisper_desktop.settings.paths import log_dir
from whisper_desktop.values import Deadlines, EngineState, EngineStatus

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http


T = TypeVar("T")


class Happening(Enum):
    """What can change an engine's state."""

    START = "start"
    PROVED = "proved"
    START_FAILED = "start failed"
    EXITED = "exited"
    STOP = "stop"
    GONE = "gone"
    STUCK = "stuck"


_S, _H = EngineState, Happening

TRANSITIONS: Mapping[tuple[EngineState, Happening], EngineState] = {
    (_S.STOPPED, _H.START): _S.STARTING,
    (_S.FAILED, _H.START): _S.STARTING,
    (_S.STARTING, _H.PROVED): _S.READY,
    (_S.STARTING, _H.START_FAILED): _S.FAILED,
    (_S.STARTING, _H.STOP): _S.STOPPING,
    (_S.READY, _H.EXITED): _S.FAILED,
    (_S.READY, _H.STOP): _S.STOPPING,
    (_S.STOPPING, _H.GONE): _S.STOPPED,
    (_S.STOPPING, _H.STUCK): _S.FAILED,
    (_S.FAILED, _H.STOP): _S.STOPPED,
}


def after(state: EngineState, happening: Happening) -> EngineState:
    """The state that follows. Raises `RuntimeError` for what must not happen in `state`."""
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        raise RuntimeError(f"an engine that is {state.value} cannot take: {happening.value}") from None


@dataclass(frozen=True, slots=True)
class _Ensure:
    answer: "asyncio.Future[EngineAddress]"


@dataclass(frozen=True, slots=True)
class _Stop:
    answer: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class _StartEnded:
    launch: Launch
    task: "asyncio.Task[EngineAddress]"


@dataclass(frozen=True, slots=True)
class _Exited:
    launch: Launch
    error: EngineError


@dataclass(frozen=True, slots=True)
class _StopEnded:
    gone: bool


_Message = _Ensure | _Stop | _StartEnded | _Exited | _StopEnded


class Engine:
    """One engine: a server process that we own. Made by `make_engine`.

    It belongs to the event loop that first uses it, and that loop's thread must live as long as the engine
    should. `id` is canonical ("builtin", "guide", "llama_cpp").
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        log: EngineLog,
        launch: Callable[[], Launch],
        on_change: Callable[[EngineStatus], None] | None,
    ) -> None:
        self.id = spec.id
        self.spec = spec
        self._log = log
        self._new_launch = launch
        self._on_change = on_change
        self._status = EngineStatus(spec.id, EngineState.STOPPED, spec.alias, None, None, "Not started.")
        self._messages: asyncio.Queue[_Message] = asyncio.Queue()
        self._owner: asyncio.Task[None] | None = None
        self._ready_waiters: list[asyncio.Future[EngineAddress]] = []
        self._stop_waiters: list[asyncio.Future[None]] = []
        self._launch: Launch | None = None
        self._address: EngineAddress | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[EngineAddress] | None = None
        self._crash = ""

    # --- what everyone may call ---------------------------------------------------------------------------

    async def ensure_ready(self) -> EngineAddress:
        """The address of the engine: running, proved to be ours, having answered. Raises `EngineError`."""
        answer: asyncio.Future[EngineAddress] = asyncio.get_running_loop().create_future()
        self._send(_Ensure(answer))
        return await answer

    async def stop(self) -> None:
        """End the engine; returns when its process is gone. Raises `EngineError` if it cannot be ended."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send(_Stop(answer))
        await answer

    def status(self) -> EngineStatus:
        """What the engine is doing now, with its memory. From any thread; it may be old the next moment."""
        status = self._status
        return status if status.pid is None else replace(status, memory_bytes=memory_of(status.pid))

    def log_tail(self, lines: int) -> list[str]:
        """The newest lines of its log, oldest first, without secrets. From any thread."""
        return self._log.tail(lines)

    # --- the owner of the state ---------------------------------------------------------------------------

    def _send(self, message: _Message) -> None:
        self._messages.put_nowait(message)
        if self._owner is None or self._owner.done():
            self._owner = asyncio.get_running_loop().create_task(self._own())

    async def _own(self) -> None:
        """Take messages until there is nothing left to look after."""
        try:
            while True:
                self._take(await self._messages.get())
                settled = self._state in (EngineState.STOPPED, EngineState.FAILED)
                if settled and self._messages.empty():
                    return
        except BaseException as error:
            # The loop ends under us, or a bug: nobody may be left waiting, nothing may be left running.
            if self._launch is not None and self._launch.process is not None:
                self._launch.process.kill()
            self._launch = self._address = None
            self._status = replace(
                self._status, state=EngineState.FAILED, url=None, pid=None, detail="Its supervision ended."
            )
            self._answer_ready(error)
            stoppers, self._stop_waiters = self._stop_waiters, []
            for stopper in stoppers:
                _answer(stopper, None, error)
            raise
        finally:
            self._log.close()

    @property
    def _state(self) -> EngineState:
        return self._status.state

    def _take(self, message: _Message) -> None:
        match message:
            case _Ensure(answer):
                self._ensure(answer)
            case _Stop(answer):
                self._begin_stop(answer)
            case _StartEnded(launch, task):
                if launch is self._launch and self._state is EngineState.STARTING:
                    self._start_ended(launch, task)
            case _Exited(launch, error):
                if launch is self._launch and self._state is EngineState.READY:
                    self._crashed(error)
            case _StopEnded(gone):
                self._stop_ended(gone)
            case _:
                assert_never(message)

    def _ensure(self, answer: "asyncio.Future[EngineAddress]") -> None:
        if self._state is EngineState.READY and self._address is not None and self._process_alive():
            _answer(answer, self._address)
            return
        # READY without a process: its exit is on its way here, and `_crashed` starts anew for who waits.
        self._ready_waiters.append(answer)
        if self._state in (EngineState.STOPPED, EngineState.FAILED):
            self._begin_start()

    def _begin_start(self) -> None:
        self._move(Happening.START, "Starting.")
        self._launch = launch = self._new_launch()
        self._starting = task = asyncio.create_task(launch.run())

        def ended(done: "asyncio.Task[EngineAddress]") -> None:
            if not done.cancelled():  # else whoever cancelled it goes on from there
                self._send(_StartEnded(launch, done))

        task.add_done_callback(ended)

    def _start_ended(self, launch: Launch, task: "asyncio.Task[EngineAddress]") -> None:
        error = task.exception()
        if error is not None:
            detail = str(error) if isinstance(error, EngineError) else "The start failed: our mistake."
            if launch.process is not None:
                launch.process.kill()
            self._launch = None
            self._move(Happening.START_FAILED, detail)
            self._answer_ready(error)
            return
        self._address = task.result()
        assert launch.process is not None
        self._move(Happening.PROVED, f"Ready again. {self._crash}" if self._crash else "Ready.")
        self._crash = ""
        self._help(self._watch(launch))
        waiters, self._ready_waiters = self._ready_waiters, []
        for waiter in waiters:
            _answer(waiter, self._address)

    async def _watch(self, launch: Launch) -> None:
        assert launch.process is not None
        await asyncio.wait({launch.process.exited})
        if self._state is EngineState.READY and launch is self._launch:
            self._send(_Exited(launch, await launch.ended()))

    def _crashed(self, error: EngineError) -> None:
        self._launch = self._address = None
        self._crash = f"Before: {error.title} {error.detail}".strip()
        self._move(Happening.EXITED, str(error))
        if self._waiting():
            self._begin_start()

    def _begin_stop(self, answer: "asyncio.Future[None]") -> None:
        self._answer_ready(explain("stopped", self.spec))
        self._crash = ""
        if self._state is EngineState.STOPPED:
            _answer(answer, None)
            return
        if self._state is EngineState.FAILED:
            self._move(Happening.STOP, "Stopped.")
            _answer(answer, None)
            return
        self._stop_waiters.append(answer)
        if self._state is not EngineState.STOPPING:
            self._move(Happening.STOP, "Stopping.")
            self._help(self._end_launch())

    async def _end_launch(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        gone = self._launch is None or await self._launch.stop()
        self._send(_StopEnded(gone))

    def _stop_ended(self, gone: bool) -> None:
        self._launch = self._address = None
        error = None if gone else explain("cannot_stop", self.spec)
        self._move(Happening.STUCK if error else Happening.GONE, str(error) if error else "Stopped.")
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            _answer(waiter, None, error)
        if self._waiting():
            self._begin_start()

    # --- small parts --------------------------------------------------------------------------------------

    def _move(self, happening: Happening, detail: str) -> None:
        state = after(self._state, happening)
        process = self._launch.process if self._launch is not None else None
        alive = process is not None and process.alive
        self._status = EngineStatus(
            self.id,
            state,
            self.spec.alias,
            self._address.url if alive and self._address is not None else None,
            process.pid if alive and process is not None else None,
            detail,
        )
        if self._on_change is not None:
            # Later, so that a listener's mistake cannot break the one task that owns the state.
            asyncio.get_running_loop().call_soon(self._on_change, self._status)

    def _process_alive(self) -> bool:
        return self._launch is not None and self._launch.process is not None and self._launch.process.alive

    def _waiting(self) -> bool:
        return any(not waiter.done() for waiter in self._ready_waiters)

    def _answer_ready(self, error: BaseException) -> None:
        waiters, self._ready_waiters = self._ready_waiters, []
        for waiter in waiters:
            _answer(waiter, None, error)

    def _help(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)


def _answer(future: "asyncio.Future[T]", value: T | None, error: BaseException | None = None) -> None:
    """Tell one waiter, unless it has stopped waiting."""
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(cast(T, value))


def make_engine(
    spec: EngineSpec,
    *,
    http: "Http",
    deadlines: Deadlines | None = None,
    on_change: Callable[[EngineStatus], None] | None = None,
) -> Engine:
    """An engine for `spec`, not started. `on_change` is called on the loop's thread for every new state.

    Where the log folder cannot be used, the log is kept in memory only.
    """
    deadlines = deadlines or Deadlines()
    try:
        path = log_path(log_dir(), spec.id)
    except SettingsError:
        path = None
    log = EngineLog(path)
    return Engine(
        spec,
        log=log,
        launch=lambda: Launch(spec, http=http, log=log, deadlines=deadlines),
        on_change=on_change,
    )
