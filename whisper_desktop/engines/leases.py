"""One use of an engine: who holds a lease keeps it from sleeping, and hears at once when its process ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from whisper_desktop.engines.spec import EngineAddress
from whisper_desktop.errors import EngineError


class Lease:
    """`async with engine.lease() as address: ...` starts the engine if needed and counts the use.

    It holds for one process: when that ends, for whatever reason, so does the lease, with the reason.
    """

    def __init__(self, grant: Callable[["Lease"], Awaitable[EngineAddress]]) -> None:
        self._grant = grant
        self._give_back: Callable[[Lease], None] | None = None
        self._doubted: Callable[[str], EngineError | None] | None = None
        self._over = asyncio.Event()
        self._error: EngineError | None = None
        self._inside: asyncio.Task[object] | None = None
        self._interrupted = False

    async def __aenter__(self) -> EngineAddress:
        """Raises `EngineError`."""
        try:
            return await self._grant(self)
        except BaseException:
            self._release()  # It may have been granted at the moment at which its taker gave up.
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around one wait for the engine: raises the `EngineError` when its process ends meanwhile.

        Nothing may be yielded inside, for whoever runs then is not the one to be interrupted.
        """
        task = asyncio.current_task()
        assert task is not None
        if self._error is not None:
            raise self._error
        before, cancelled = task.cancelling(), False
        self._inside = task
        try:
            yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            self._inside = None
            if self._interrupted and task.uncancel() <= before and cancelled and self._error is not None:
                raise self._error from None

    async def why_ended(self, seconds: float) -> EngineError | None:
        """Why the process ended, waited for so long; None when it lives as far as is known.

        Asked while the lease is held: who has left is told nothing.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return None
        return self._error

    def doubt(self, said: str) -> EngineError | None:
        """A question failed inside the engine, which `said` this: it proves itself before the next one.

        Returns what the failure came from, where that can be told.
        """
        return self._doubted(said) if self._doubted is not None else None

    # --- what the engine does -----------------------------------------------------------------------------

    def granted(
        self, give_back: Callable[["Lease"], None], doubted: Callable[[str], EngineError | None]
    ) -> None:
        """From now on it counts; `give_back` is called once, when its holder leaves, `doubted` by `doubt`."""
        self._give_back, self._doubted = give_back, doubted

    def end(self, error: EngineError) -> None:
        """The process has ended, or is about to be ended: it counts no more, and its holder is told."""
        self._give_back = self._doubted = None
        self._error = error
        self._over.set()
        if self._inside is not None:
            self._interrupted = self._inside.cancel()

    def _release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self)
