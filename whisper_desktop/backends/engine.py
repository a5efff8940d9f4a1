"""A backend over a server process of our own: it is started, and started again, when somebody asks.

The engine is handed in by `app`; only the protocol below is known of it here.
"""

from typing import Protocol

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.openai_compatible import Endpoint, OpenAICompatibleBackend, Secret
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, ErrorKind, ModelInfo, Reach
from whisper_desktop.wire.http import Http


class ReadyAddress(Protocol):
    """Where a ready engine listens; `url` is its root."""

    @property
    def url(self) -> str: ...
    @property
    def api_key(self) -> str | None: ...
    @property
    def model(self) -> str: ...


class EngineLike(Protocol):
    """What a backend needs of an engine."""

    async def ensure_ready(self) -> ReadyAddress:
        """Start it if needed. Raises `EngineError`."""
        ...

    async def stop(self) -> None:
        """End the process."""
        ...

    def status(self) -> EngineStatus:
        """How it is now."""
        ...


class EngineBackend(OpenAICompatibleBackend):
    """The built-in engine, or the guide. The engine stays its owner's: `shutdown` leaves it running."""

    def __init__(
        self, config: BackendConfig, *, http: Http, deadlines: Deadlines, engine: EngineLike
    ) -> None:
        super().__init__(config, http=http, deadlines=deadlines)
        self._engine = engine

    @property
    def base_url(self) -> str:
        """Where it listens now, "" while it does not run."""
        url = self._engine.status().url
        return f"{url}/v1" if url else ""

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """Its one model; asking does not start it."""
        model = self._engine.status().model or self.config.model
        return (ModelInfo(model, loaded=await self.is_healthy()),) if model else ()

    async def is_healthy(self) -> bool:
        """Whether it runs and answers now."""
        return self._engine.status().state is EngineState.READY

    async def unload_model(self) -> None:
        """Stop the process, which frees all of its memory."""
        await self._engine.stop()

    async def _endpoint(self) -> Endpoint:
        try:
            address = await self._engine.ensure_ready()
        except EngineError as error:
            raise BackendError(
                ErrorKind.ENGINE, error.title, error.detail, error.next_step, request_sent=False
            ) from None
        self._model = address.model
        return Endpoint(f"{address.url}/v1", Secret(address.api_key) if address.api_key else None)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        # The process has one model. A name meant for another server of the chain must not be sent to it.
        return self._model
