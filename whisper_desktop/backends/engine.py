"""A backend over a server process of our own: it is started, and started again, when somebody asks.

The engine is handed in by `app`; only the protocol below is known of it here.
"""

import asyncio
from typing import Protocol

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.llama_cpp import LlamaCppBackend
from whisper_desktop.backends.request import Endpoint, Secret
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, ErrorKind, ModelInfo, Reach
from whisper_desktop.wire.http import Http

_PROCESS_MAY_HAVE_ENDED = (
    ErrorKind.STREAM_CUT,
    ErrorKind.TRUNCATED,
    ErrorKind.CLOSED_EARLY,
    ErrorKind.CONNECT_REFUSED,
)


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


class EngineBackend(LlamaCppBackend):
    """The built-in engine, or the guide. The engine stays its owner's: `shutdown` leaves it running."""

    def __init__(
        self,
        config: BackendConfig,
        *,
        http: Http,
        deadlines: Deadlines,
        engine: EngineLike,
        owns_http: bool = False,
    ) -> None:
        super().__init__(config, http=http, deadlines=deadlines, owns_http=owns_http)
        self._engine = engine
        # The process ends with us, whatever it still generates.
        self._resumes = self._option("resume", bool) is not False
        self._asked_at = ""

    @property
    def base_url(self) -> str:
        """Where it listens now, "" while it does not run."""
        url = self._engine.status().url
        return f"{url}/v1" if url else ""

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """Its one model; asking does not start it."""
        model = self._engine.status().model or self.config.model
        return (ModelInfo(model, loaded=await self.is_healthy()),) if model else ()

    def is_ready(self, model: str | None) -> bool | None:
        """Whether it runs with its model loaded."""
        return self._engine.status().state is EngineState.READY

    def context_of(self, model: str | None) -> int | None:
        """The context window of its one model, which answers whatever is named."""
        return super().context_of(None)

    async def is_healthy(self) -> bool:
        """Whether it runs and answers now."""
        return self._engine.status().state is EngineState.READY

    async def unload_model(self) -> None:
        """Stop the process, which frees all of its memory."""
        await self._engine.stop()

    @property
    def _must_start(self) -> bool:
        return not self.is_ready(None)

    async def _endpoint(self) -> Endpoint:
        try:
            address = await self._engine.ensure_ready()
        except EngineError as error:
            raise BackendError(
                ErrorKind.ENGINE, error.title, error.detail, error.next_step, request_sent=False
            ) from None
        if address.url != self._asked_at:
            self._forget()  # It was started anew.
            self._asked_at = address.url
        self._model = address.model
        return Endpoint(f"{address.url}/v1", Secret(address.api_key) if address.api_key else None)

    async def _failure(
        self, error: BackendError, endpoint: Endpoint | None, model: str | None
    ) -> BackendError:
        told = await super()._failure(error, endpoint, model)
        if error.kind not in _PROCESS_MAY_HAVE_ENDED or not (why := await self._why_it_ended()):
            return told
        return BackendError(
            error.kind, f"The engine's process ended: {why}", "", "Ask again: it is started anew."
        )

    async def _why_it_ended(self) -> str:
        """What its supervisor found out, a moment after the connection broke; "" if it lives."""
        waited = 0.0
        while waited < self._deadlines.drain:
            status = self._engine.status()
            if status.state is EngineState.FAILED:
                return status.detail
            await asyncio.sleep(self._deadlines.engine_poll)
            waited += self._deadlines.engine_poll
        return ""

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        if self._props is None:
            await self._look(endpoint, allowed)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        # The process has one model. A name meant for another server of the chain must not be sent to it.
        return self._model
