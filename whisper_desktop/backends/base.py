"""What every backend is: something that can generate, through a server or in process.

A new backend is one module with a subclass of `Backend` (or, for a server that speaks the OpenAI dialect, of
`OpenAICompatibleBackend`), one line in `factory.BACKENDS`, and one test. It owns and checks its own options.

A backend yields its events in batches, one for each piece that came from the network, because a generator
that hands on every token costs more than decoding it does, and a chain has several of them in a row.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType

from whisper_desktop.errors import BackendError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Price,
    Reach,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

KeySource = Callable[[], Awaitable[str | None]]
"""Fetches the key for a backend's own origin, when it is needed and not before."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """One step of a chain, before it is built. `url` is a server's root or its API base ("" without one).

    `model` None leaves the choice to the backend. `reach` None: nobody can say where the model runs.
    `as_given` marks an address that the person wrote. `context_length` is the window, in tokens, that its
    model is known to have. `loaded` says whether that model was seen to be loaded. `options` are the
    backend's own.
    """

    id: str
    name: str
    url: str = ""
    model: str | None = None
    reach: Reach | None = None
    as_given: bool = False
    context_length: int | None = None
    loaded: bool | None = field(default=None, compare=False)
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of one backend."""

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage
    model: str | None
    tool_calls: tuple[ToolCall, ...] = ()


class Backend(ABC):
    """Something that can generate. All methods but the properties are coroutines on the core's loop.

    `generate_stream` yields deltas and ends with one `StreamEnd`; closing the generator ends the generation
    at once. Failures are `BackendError` with a kind, or a `ReachError` where nothing was sent. `allowed` is
    how far the prompt may travel; without it, as far as the backend's own address says.

    `capabilities` are what it may be asked for: "completion", "stream", "tools", "vision", "json_schema",
    "prefill" (going on with an assistant's last message without repeating it), "embedding", "reasoning". A
    server that turns out not to have one says so with `ErrorKind.UNSUPPORTED`.
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
        """The model that is configured, else the one that was chosen last for a question that named none."""
        return self._model

    @property
    def slots(self) -> int | None:
        """How many answers its server generates at once, as far as it is known without asking."""
        return None

    # What is known of a model without asking; None stands for the one that would be chosen.

    def reach_of(self, model: str | None) -> Reach | None:
        """Where a model runs; None where nobody can say."""
        return self.config.reach

    def context_of(self, model: str | None) -> int | None:
        """The context window, in tokens, that a model would have."""
        return self.config.context_length if model in (None, self._model) else None

    def is_ready(self, model: str | None) -> bool | None:
        """Whether a model is loaded or runs elsewhere (None: not known)."""
        return self.config.loaded if model in (None, self.config.model) else None

    def is_paid(self, model: str | None) -> bool:
        """Whether an answer of a model costs money."""
        return False

    async def price(self, model: str | None = None) -> Price | None:
        """What a model costs; None where nobody knows."""
        return None

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
    def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate, yielding events in batches as they come; the last event is a `StreamEnd`.

        An empty batch is a sign of life without progress (a keep-alive comment).
        """

    async def generate_stream(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[BackendEvent, None]:
        """Generate, yielding the pieces as they come. Use it with `contextlib.aclosing`."""
        async with aclosing(self.stream_batches(messages, config, model=model, allowed=allowed)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """Vectors for texts. Raises `BackendError` UNSUPPORTED where it cannot."""
        raise BackendError(
            ErrorKind.UNSUPPORTED,
            tr("{self_name} makes no embeddings.", self_name=self.name),
            "",
            tr("Use a backend with an embedding model."),
            request_sent=False,
        )

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
        calls: list[ToolCall] = []
        end = StreamEnd("stop")
        async with aclosing(self.generate_stream(messages, config, model=model, allowed=allowed)) as events:
            async for event in events:
                match event:
                    case TextDelta(piece):
                        text.append(piece)
                    case ReasoningDelta(piece):
                        reasoning.append(piece)
                    case ToolCallDelta(call):
                        calls.append(call)
                    case StreamEnd():
                        end = event
        return Answer(
            "".join(text), "".join(reasoning), end.finish_reason, end.usage, end.model, tuple(calls)
        )
