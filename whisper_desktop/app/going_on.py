"""A backend that is asked to go on with an answer: as a beginning where it can, else in words."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from whisper_desktop.backends.base import Backend
from whisper_desktop.chat.history import GO_ON
from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Price,
    Reach,
    Role,
)

_REFUSES_A_BEGINNING = (ErrorKind.BAD_REQUEST, ErrorKind.UNSUPPORTED)


class GoingOn(Backend):
    """Stands for a backend in one answer whose last message is what there is of that answer already.

    Who can take that as the beginning of their own answer does; who cannot, or refuses it, is told in words
    that it was cut off. Whose backend it is stays its owner.
    """

    def __init__(self, backend: Backend) -> None:
        self.config = backend.config
        self.capabilities = backend.capabilities
        self._backend = backend

    @property
    def base_url(self) -> str:
        """Where its API starts."""
        return self._backend.base_url

    @property
    def model_id(self) -> str | None:
        """The model that is configured, or was chosen last."""
        return self._backend.model_id

    @property
    def slots(self) -> int | None:
        """How many answers its server generates at once."""
        return self._backend.slots

    def reach_of(self, model: str | None) -> Reach | None:
        """Where a model runs."""
        return self._backend.reach_of(model)

    def context_of(self, model: str | None) -> int | None:
        """The context window of a model."""
        return self._backend.context_of(model)

    def is_ready(self, model: str | None) -> bool | None:
        """Whether a model is loaded."""
        return self._backend.is_ready(model)

    def is_paid(self, model: str | None) -> bool:
        """Whether an answer costs money."""
        return self._backend.is_paid(model)

    async def price(self, model: str | None = None) -> Price | None:
        """What a model costs."""
        return await self._backend.price(model)

    async def is_healthy(self) -> bool:
        """Whether it answers right now."""
        return await self._backend.is_healthy()

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models it offers."""
        return await self._backend.list_models(allowed=allowed)

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate. See `Backend`."""
        in_words = (*messages, Message(Role.USER, GO_ON))
        ways = (messages, in_words) if "prefill" in self.capabilities else (in_words,)
        for way in ways:
            begun = False
            try:
                answer = self._backend.stream_batches(way, config, model=model, allowed=allowed)
                async with aclosing(answer) as batches:
                    async for batch in batches:
                        begun = begun or bool(batch)
                        yield batch
                return
            except BackendError as error:
                if begun or way is in_words or error.kind not in _REFUSES_A_BEGINNING:
                    raise
