"""What every backend is: something that can generate, through a server or in process.

A new backend is one module with a subclass of `Backend` (or, for a server that speaks the OpenAI dialect, of
`OpenAICompatibleBackend`), one line in `factory.BACKENDS`, and one test. It owns and checks its own options.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType

from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    GenerationConfig,
    Message,
    ModelInfo,
    Reach,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    Usage,
)

KeySource = Callable[[], Awaitable[str | None]]
"""Fetches the key for a backend's own origin, when it is needed and not before."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """One step of a chain, before it is built. `url` is a server's root or its API base ("" without one).

    `model` None leaves the choice to the backend. `reach` None: nobody can say where the model runs.
    `as_given` marks an address that the person wrote. `options` are the backend's own.
    """

    id: str
    name: str
    url: str = ""
    model: str | None = None
    reach: Reach | None = None
    as_given: bool = False
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of one backend."""

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage
    model: str | None


class Backend(ABC):
    """Something that can generate. All methods but the properties are coroutines on the core's loop.

    `generate_stream` yields deltas and ends with one `StreamEnd`; closing the generator ends the generation
    at once. Failures are `BackendError` with a kind, or a `ReachError` where nothing was sent. `allowed` is
    how far the prompt may travel; without it, as far as the backend's own address says.
    """

    capabilities: frozenset[str] = frozenset({"completion", "stream"})

    def __init__(self, config: BackendConfig, *, deadlines: Deadlines) -> None:
        self.config = config
        self._deadlines = deadlines
        self._model = config.model

    @property
    def id(self) -> str:
        """The canonical id from the table in `values`."""
        return self.config.id

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.config.name

    @property
    def base_url(self) -> str:
        """Where its API starts, "" for a backend without an address."""
        return self.config.url

    @property
    def model_id(self) -> str | None:
        """The model that is configured, else the one that was chosen last."""
        return self._model

    async def setup(self) -> None:
        """Prepare for the first request, without sending anything."""
        return

    async def load_model(self) -> str | None:
        """Choose the model that will answer, and return its id; None where there is none to choose."""
        return self.model_id

    async def unload_model(self) -> None:
        """Free the memory of the model, where that is ours to do."""
        return

    async def is_healthy(self) -> bool:
        """Whether it answers right now, as far as a short question can tell."""
        try:
            await self.list_models()
        except WhisperError:
            return False
        return True

    async def shutdown(self) -> None:
        """Let go of everything that this backend alone holds."""
        return

    @abstractmethod
    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """The models it offers."""

    @abstractmethod
    def generate_stream(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[BackendEvent, None]:
        """Generate, yielding the pieces as they come. Use it with `contextlib.aclosing`."""

    async def generate_text(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> Answer:
        """Generate, and return the whole answer."""
        text: list[str] = []
        reasoning: list[str] = []
        end = StreamEnd("stop")
        async with aclosing(self.generate_stream(messages, config, model=model, allowed=allowed)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text.append(event.text)
                elif isinstance(event, ReasoningDelta):
                    reasoning.append(event.text)
                else:
                    end = event
        return Answer("".join(text), "".join(reasoning), end.finish_reason, end.usage, end.model)
