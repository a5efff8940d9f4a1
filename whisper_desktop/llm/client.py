"""`LLMClient`: asks a chain of backends and always says who answered."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from whisper_desktop.backends.base import Backend, BackendConfig
from whisper_desktop.llm.answering import Answering, Guidance, Wishes
from whisper_desktop.llm.attempt import Question
from whisper_desktop.llm.decisions import needs_of
from whisper_desktop.llm.messages import MessageLike, as_messages
from whisper_desktop.llm.shared import Shared
from whisper_desktop.values import (
    AnswerFinished,
    Completion,
    Deadlines,
    GenerationConfig,
    OnInterruption,
    Reach,
    StreamEvent,
)

if TYPE_CHECKING:
    from whisper_desktop.wire.http import Http

Step = Backend | BackendConfig | Mapping[str, object] | str
"""A step of a chain: a backend, what `create_backend` takes, or a backend's name or an address."""

Chain = Sequence[Step] | Callable[[], Sequence[Backend]]
"""The steps in the order of trying, or a function that gives the backends anew for every question."""

_OPTIONS = tuple(option.name for option in fields(GenerationConfig))


class AnswerStream:
    """The events of one answer: `async with client.stream(…) as events: async for event in events: …`.

    `event.text` is what an event adds to the answer, "" for most kinds. The last event is `AnswerFinished`;
    its completion is then in `completion`. Leaving the block, or `aclose`, stops the generation at once.
    """

    def __init__(self, batches: AsyncGenerator[Sequence[StreamEvent], None]) -> None:
        self._batches = batches
        self._finished: list[Completion] = []
        self._events = _one_by_one(batches, self._finished)

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once it is there."""
        return self._finished[0] if self._finished else None

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Stop the generation, and let go of everything. Safe to call twice."""
        await self._events.aclose()
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class LLMClient:
    """A chain of backends behind one door.

        async with LLMClient(["http://127.0.0.1:1234/v1", "ollama"], model="qwen3.5-4b") as client:
            answer = await client.chat_completion("Why is the sky blue?")
            print(answer.text, answer.provenance.reason)

    A step is an address, a backend's name, a configuration as `create_backend` takes it, or a backend. They
    are tried in their order. A question never goes farther than `reach`. `model` is asked for in place of the
    one each backend would choose. `on_interruption` says what happens when an answer breaks off after part of
    it was handed out: stop (`Interrupted`), restart with the next backend, or continue there.

    Raises `LLMConnectionError` when nobody answered, `Interrupted` when an answer broke off,
    `ConsentRequired` when only a step beyond `reach` is left, and `BackendError` for what no other backend
    should be asked (a bad request, a declined message, a conversation that is too long). Each has `kind` and
    `attempts`.

    `shared` is what several clients have in common (see `Shared`). A client that makes its own connections
    closes them in `aclose`, or at the end of `async with`.
    """

    _guide_only = False

    def __init__(
        self,
        chain: Chain,
        *,
        model: str | None = None,
        reach: Reach | str = Reach.THIS_MACHINE,
        on_interruption: OnInterruption | str = OnInterruption.STOP,
        hedge: bool = True,
        hedge_paid: bool = False,
        guidance: Guidance | None = None,
        shared: Shared | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._deadlines = deadlines or (shared.deadlines if shared is not None else Deadlines())
        self._shared = shared or Shared(self._deadlines)
        self._model = model
        self._reach = Reach(reach)
        self._wishes = Wishes(OnInterruption(on_interruption), hedge, hedge_paid)
        self._guidance = guidance
        self._http: Http | None = None
        self._own: list[Backend] = []
        self._chain: Callable[[], Sequence[Backend]]
        if callable(chain):
            self._chain = chain
        else:
            steps = self._check([self._step(step) for step in chain])
            self._chain = lambda: steps

    @property
    def shared(self) -> Shared:
        """What this client has learnt, and shares with others."""
        return self._shared

    def stream(
        self,
        messages: str | Sequence[MessageLike],
        config: GenerationConfig | None = None,
        *,
        reach: Reach | str | None = None,
        model: str | None = None,
        timeout: float | None = None,
        batch: bool = False,
        **options: object,
    ) -> AnswerStream:
        """Ask, and get the pieces of the answer as they come; raises as the class says, while it is read.

        `timeout` bounds the whole answer, in seconds, over all attempts together. `batch` says that nobody
        waits at a screen: others go first, and longer waits that a server asks for are waited out. `options`
        are the fields of `GenerationConfig`.
        """
        given = as_messages(messages)
        wanted = _generation(config, options)
        question = Question(
            given,
            wanted,
            Reach(reach) if reach is not None else self._reach,
            model or self._model,
            needs_of(given, wanted),
            batch,
        )
        wishes = self._wishes
        if timeout is not None:
            wishes = replace(wishes, timeout=timeout)
        answering = Answering(
            self._check(self._chain()),
            question,
            wishes,
            self._shared,
            self._deadlines,
            guidance=self._guidance,
        )
        return AnswerStream(answering.batches())

    async def chat_completion(
        self,
        messages: str | Sequence[MessageLike],
        config: GenerationConfig | None = None,
        *,
        reach: Reach | str | None = None,
        model: str | None = None,
        timeout: float | None = None,
        batch: bool = False,
        **options: object,
    ) -> Completion:
        """Ask, and return the whole answer. The arguments are those of `stream`."""
        stream = self.stream(
            messages, config, reach=reach, model=model, timeout=timeout, batch=batch, **options
        )
        async with stream as events:
            async for _ in events:
                pass
        if stream.completion is None:
            raise AssertionError("a stream ends with AnswerFinished or an exception")
        return stream.completion

    async def aclose(self) -> None:
        """Close what this client has made itself. An answer that is under way ends with an error."""
        own, self._own = self._own, []
        for backend in own:
            await backend.shutdown()
        if self._http is not None:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _step(self, step: Step) -> Backend:
        if isinstance(step, Backend):
            return step
        from whisper_desktop.llm import steps

        if self._http is None:
            self._http = steps.connections(self._deadlines)
        backend = steps.backend_of(step, http=self._http, deadlines=self._deadlines)
        self._own.append(backend)
        return backend

    def _check(self, chain: Sequence[Backend]) -> tuple[Backend, ...]:
        for backend in chain:
            if (backend.id == "guide") is not self._guide_only:
                raise ValueError(
                    "The guide is never a step of a chain."
                    if backend.id == "guide"
                    else f"A guide conversation cannot be answered by {backend.name}."
                )
        return tuple(chain)


class GuideClient(LLMClient):
    """The guide alone. It knows only this app, so nobody else answers in its place, and it for nobody."""

    _guide_only = True

    def __init__(
        self, guide: Backend, *, shared: Shared | None = None, deadlines: Deadlines | None = None
    ) -> None:
        super().__init__([guide], shared=shared, deadlines=deadlines)


async def _one_by_one(
    batches: AsyncGenerator[Sequence[StreamEvent], None], finished: list[Completion]
) -> AsyncGenerator[StreamEvent, None]:
    """The events of the batches. It knows nothing of its `AnswerStream`: in a circle of references both would
    live, and the server go on, until the garbage is collected some day.
    """
    try:
        async for batch in batches:
            for event in batch:
                if type(event) is AnswerFinished:
                    finished.append(event.completion)
                yield event
    finally:
        await batches.aclose()


def _generation(config: GenerationConfig | None, options: Mapping[str, object]) -> GenerationConfig:
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise TypeError(
            f"An answer has no option {', '.join(unknown)}. There are {', '.join(_OPTIONS)}, reach, model, "
            "timeout and batch; what only one backend knows goes into extra={...}."
        )
    if config is None:
        return GenerationConfig(**options)  # type: ignore[arg-type]  # as far as a caller of **options can be
    return replace(config, **options)  # type: ignore[arg-type]  # the same
