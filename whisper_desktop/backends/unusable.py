"""What stands in a chain for a backend whose settings cannot be used: it says so when it is asked.

One slip of the pen in the settings of one backend must not keep the others from answering.
"""

from collections.abc import AsyncGenerator, Sequence

from whisper_desktop.backends.base import Backend, BackendConfig
from whisper_desktop.errors import BackendError, SettingsError
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Reach,
)

_NOTHING: tuple[Sequence[BackendEvent], ...] = ()


class UnusableBackend(Backend):
    """Answers every question with what is wrong with its settings, as `BackendError` NOT_CONFIGURED."""

    def __init__(self, config: BackendConfig, wrong: SettingsError, *, deadlines: Deadlines) -> None:
        super().__init__(config, deadlines=deadlines)
        self._wrong = wrong

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """None that could be told."""
        raise self._failure()

    async def load_model(self) -> str | None:
        """There is nothing to load it with."""
        raise self._failure()

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """See `Backend`."""
        for batch in _NOTHING:
            yield batch
        raise self._failure()

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """See `Backend`."""
        raise self._failure()

    def _failure(self) -> BackendError:
        wrong = self._wrong
        return BackendError(
            ErrorKind.NOT_CONFIGURED, wrong.title, wrong.detail, wrong.next_step, request_sent=False
        )
