"""An engine that is only planned when somebody needs it.

A chain names its steps before it tries them: a model file that is missing must fail the attempt at the
built-in engine, with its sentence, and not the whole chain. Nor is what engines need imported before.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from whisper_desktop.errors import EngineError, ModelFileError
from whisper_desktop.language import tr
from whisper_desktop.values import EngineState, EngineStatus

if TYPE_CHECKING:
    from whisper_desktop.engines.leases import Lease
    from whisper_desktop.engines.spec import EngineAddress
    from whisper_desktop.engines.supervisor import Engine


class LazyEngine:
    """Stands for the engine of one kind until somebody needs it."""

    def __init__(self, kind: str, make: "Callable[[], Awaitable[Engine]]") -> None:
        self._kind = kind
        self._make = make
        self._engine: Engine | None = None

    async def ensure_ready(self) -> "EngineAddress":
        """The address of the running engine. Raises `EngineError`."""
        return await (await self._made()).ensure_ready()

    def lease(self) -> "Lease":
        """The address of the running engine, which is in use until the end of the block."""
        from whisper_desktop.engines.leases import Lease

        return Lease(self._grant)

    async def _grant(self, lease: "Lease") -> "EngineAddress":
        return await (await self._made()).grant(lease)

    async def _made(self) -> "Engine":
        try:
            self._engine = await self._make()
        except ModelFileError as error:
            raise EngineError(error.title, error.detail, error.next_step, cause="model_file") from error
        return self._engine

    async def stop(self) -> None:
        """End the process, if there is one."""
        if self._engine is not None:
            await self._engine.stop()

    def status(self) -> EngineStatus:
        """The engine's status; stopped while there is none."""
        if self._engine is not None:
            return self._engine.status()
        return EngineStatus(self._kind, EngineState.STOPPED, None, None, None, tr("Not started."))
