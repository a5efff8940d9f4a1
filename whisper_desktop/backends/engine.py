"""A backend over a server process of our own: it is started, and started again, when somebody asks.

The engine is handed in by `app`; only the protocol below is known of it here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Protocol

from whisper_desktop.backends.base import BackendConfig
from whisper_desktop.backends.llama_cpp import LlamaCppBackend
from whisper_desktop.backends.request import Call, Endpoint, Question, Secret
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    EngineState,
    EngineStatus,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Phase,
    Progress,
    Reach,
)
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


class LeaseLike(Protocol):
    """One use of an engine, from `async with` to the end of its block."""

    async def __aenter__(self) -> ReadyAddress:
        """Start the engine if needed. Raises `EngineError`."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def interruptible(self) -> AbstractContextManager[None]:
        """Around one wait: raises the `EngineError` when the process ends meanwhile."""
        ...

    def doubt(self, said: str) -> EngineError | None:
        """A question failed inside the engine, which said this. Returns why, where that can be told."""
        ...

    async def why_ended(self, seconds: float) -> EngineError | None:
        """Why the process ended, waited for so long; None when it lives."""
        ...


class EngineLike(Protocol):
    """What a backend needs of an engine."""

    async def ensure_ready(self) -> ReadyAddress:
        """Start it if needed. Raises `EngineError`."""
        ...

    def lease(self) -> LeaseLike:
        """Start it if needed, and keep it while it is used."""
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

    # --- every use holds a lease --------------------------------------------------------------------------

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate. See `Backend`."""
        if not self.is_ready(None):
            async with aclosing(self._loading()) as told:
                async for progress in told:
                    yield [progress]
        async with self._leased() as lease:
            answer = super().stream_batches(messages, config, model=model, allowed=allowed)
            async with aclosing(answer) as batches:
                while True:
                    with lease.interruptible():
                        batch = await anext(batches, None)
                    if batch is None:
                        return
                    yield batch

    async def _loading(self) -> AsyncGenerator[Progress, None]:
        """How much of its model is loaded, as far as the engine tells, until it is ready.

        Raises `BackendError`.
        """
        yield Progress(Phase.LOADING)
        starting = asyncio.ensure_future(self._engine.ensure_ready())
        told: float | None = None
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=self._deadlines.loading_poll)
                loaded = self._engine.status().progress
                if loaded is not None and loaded != told:
                    told = loaded
                    yield Progress(Phase.LOADING, loaded)
            await starting
        except EngineError as error:
            raise await self._unable(error) from None
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """Vectors for texts. See `Backend`."""
        async with self._leased() as lease:
            with lease.interruptible():
                return await super().embed(texts, model=model, allowed=allowed)

    async def load_model(self) -> str | None:
        """Start it with its model."""
        async with self._leased() as lease:
            with lease.interruptible():
                return await super().load_model()

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[LeaseLike]:
        """A lease; what the engine says about its end becomes what the request failed of."""
        lease, granted = self._engine.lease(), False
        try:
            async with lease:
                granted = True
                try:
                    yield lease
                except BackendError as error:
                    if error.kind is ErrorKind.SERVER_ERROR and (why := lease.doubt(error.detail)):
                        raise _ended(error.kind, why) from None
                    if error.kind not in _PROCESS_MAY_HAVE_ENDED:
                        raise
                    # The connection breaks a moment before the end of the process is known.
                    why = await lease.why_ended(self._deadlines.drain)
                    if why is None:
                        raise
                    raise _ended(error.kind, why) from None
        except EngineError as error:
            if granted:
                raise _ended(ErrorKind.STREAM_CUT, error) from None
            raise await self._unable(error) from None

    async def _unable(self, error: EngineError) -> BackendError:
        return await self._failure(_cannot_start(error), None, self.config.model)

    async def _endpoint(self) -> Endpoint:
        try:
            address = await self._engine.ensure_ready()
        except EngineError as error:
            raise _cannot_start(error) from None
        if address.url != self._asked_at:
            self._forget()  # It was started anew.
            self._asked_at = address.url
        self._model = address.model
        return Endpoint(f"{address.url}/v1", Secret(address.api_key) if address.api_key else None)

    async def _failure(
        self, error: BackendError, endpoint: Endpoint | None, model: str | None
    ) -> BackendError:
        told = await super()._failure(error, endpoint, model)
        told.repairs = error.repairs
        return told

    async def _abandoned(self, question: Question, call: Call) -> None:
        if await self.is_healthy():  # else there is nobody who could go on generating
            await super()._abandoned(question, call)

    async def _identify(self, endpoint: Endpoint, allowed: Reach) -> None:
        if self._props is None:
            await self._look(endpoint, allowed)

    async def _choose(self, endpoint: Endpoint, model: str | None, allowed: Reach) -> str | None:
        # The process has one model. A name meant for another server of the chain must not be sent to it.
        return self._model


def _cannot_start(error: EngineError) -> BackendError:
    return BackendError(
        ErrorKind.ENGINE,
        error.title,
        error.detail,
        error.next_step,
        request_sent=False,
        repairs=error.repairs,
    )


def _ended(kind: ErrorKind, error: EngineError) -> BackendError:
    return BackendError(kind, error.title, error.detail, error.next_step, repairs=error.repairs)
