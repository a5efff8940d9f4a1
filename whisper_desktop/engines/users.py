"""Everyone who uses one engine or waits for it: who asked, who holds a lease, who waits for its end."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar, cast

from whisper_desktop.engines.leases import Lease
from whisper_desktop.engines.messages import Ensure
from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.errors import EngineError

T = TypeVar("T")


class Users:
    """The people around one engine; its owner alone decides what they are told.

    `came_or_went` is called when a lease begins or ends, `gave_up` when one who asked waits no longer,
    `doubted` when a holder's question failed inside the engine.
    """

    def __init__(
        self,
        *,
        came_or_went: Callable[[], None],
        gave_up: Callable[[], None],
        doubted: Callable[[str], EngineError | None],
    ) -> None:
        self._came_or_went = came_or_went
        self._doubted = doubted
        self._gave_up = gave_up
        self._askers: list[Ensure] = []
        self._leases: set[Lease] = set()
        self._used_at = time.monotonic()
        self._stoppers: list[asyncio.Future[None]] = []
        self._resters: list[asyncio.Future[bool]] = []

    # --- those who ask ------------------------------------------------------------------------------------

    def add(self, asker: Ensure) -> None:
        """Somebody who waits until it is ready."""
        self._askers.append(asker)
        asker.answer.add_done_callback(lambda answer: self._gave_up() if answer.cancelled() else None)

    @property
    def waiting(self) -> bool:
        """Whether anybody who asked still waits."""
        return any(not asker.answer.done() for asker in self._askers)

    def grant(self, asker: Ensure, address: EngineAddress) -> None:
        """It is ready: the asker gets its address, and the lease begins at this moment."""
        if asker.answer.done():
            return
        if asker.lease is not None:
            self._leases.add(asker.lease)
            asker.lease.granted(self._given_back, self._doubted)
            self._came_or_went()
        asker.answer.set_result(address)

    def grant_all(self, address: EngineAddress) -> None:
        """The same for all who wait."""
        askers, self._askers = self._askers, []
        for asker in askers:
            self.grant(asker, address)

    def refuse_all(self, error: BaseException) -> None:
        """All who wait get an error."""
        askers, self._askers = self._askers, []
        for asker in askers:
            answer(asker.answer, None, _anew(error))

    # --- those who hold a lease ---------------------------------------------------------------------------

    @property
    def leases(self) -> int:
        """How many there are."""
        return len(self._leases)

    @property
    def idle_for(self) -> float:
        """Seconds since the last lease ended, or since it got ready; 0 while there is one."""
        return 0.0 if self._leases else time.monotonic() - self._used_at

    @property
    def present(self) -> bool:
        """Whether anybody holds a lease or waits for one."""
        return bool(self._leases) or self.waiting

    def begin(self) -> None:
        """It is ready now, and so far nobody has used it."""
        self._used_at = time.monotonic()

    def end_leases(self, error: EngineError) -> None:
        """The process ends: every holder is told why."""
        leases, self._leases = self._leases, set()
        for lease in leases:
            lease.end(error)

    def _given_back(self, lease: Lease) -> None:
        self._leases.discard(lease)
        if not self._leases:
            self._used_at = time.monotonic()
        self._came_or_went()

    # --- those who wait for the end -----------------------------------------------------------------------

    def add_stopper(self, stopper: "asyncio.Future[None]") -> None:
        """Somebody who waits until the process is gone."""
        self._stoppers.append(stopper)

    def add_rester(self, rester: "asyncio.Future[bool]") -> None:
        """Somebody who waits until its memory is free."""
        self._resters.append(rester)

    def tell_end(self, error: BaseException | None = None) -> None:
        """The process is gone, or cannot be ended for the reason given."""
        stoppers, self._stoppers = self._stoppers, []
        resters, self._resters = self._resters, []
        for stopper in stoppers:
            answer(stopper, None, error)
        for rester in resters:
            answer(rester, True, error)


def answer(future: "asyncio.Future[T]", value: T | None, error: BaseException | None = None) -> None:
    """Tell one who waits, unless he has stopped waiting."""
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(cast(T, value))


def _anew(error: BaseException) -> BaseException:
    """An error for one of many who are told: raised again and again, the same one would grow every time."""
    if not isinstance(error, EngineError):
        return error
    return EngineError(error.title, error.detail, error.next_step, cause=error.cause, repairs=error.repairs)
