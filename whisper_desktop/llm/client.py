"""`LLMClient`: asks a chain of backends and always says who answered."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import fields

from whisper_desktop.backends.base import Backend
from whisper_desktop.llm.answering import Answering, Guidance
from whisper_desktop.llm.messages import MessageLike, as_messages
from whisper_desktop.values import (
    AnswerFinished,
    Completion,
    Deadlines,
    GenerationConfig,
    Reach,
    StreamEvent,
)

Chain = Sequence[Backend] | Callable[[], Sequence[Backend]]
"""The backends in the order of trying, or a function that gives them anew for every question."""

_OPTIONS = tuple(option.name for option in fields(GenerationConfig))


class LLMClient:
    """A chain of backends behind one door.

        client = LLMClient(chain, reach=Reach.THIS_MACHINE)
        completion = await client.chat_completion("Why is the sky blue?")
        print(completion.text, completion.provenance.reason)

    A question never goes farther than `reach`. Raises `LLMConnectionError` when nobody answered,
    `AnswerInterrupted` when an answer broke off after part of it was handed out, and `BackendError` for what
    no other backend should be asked (a bad request, a declined message, a conversation that is too long).
    """

    _guide_only = False

    def __init__(
        self,
        chain: Chain,
        *,
        reach: Reach = Reach.THIS_MACHINE,
        guidance: Guidance | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._chain = chain
        self._reach = reach
        self._guidance = guidance
        self._deadlines = deadlines or Deadlines()
        if not callable(chain):
            self._check(chain)

    async def stream(
        self,
        messages: str | Sequence[MessageLike],
        config: GenerationConfig | None = None,
        *,
        reach: Reach | None = None,
        model: str | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the pieces of the answer as they come; the last event is `AnswerFinished`.

        Use it with `contextlib.aclosing`: closing it stops the generation at once. `model` is asked for in
        place of the one each backend would choose. Raises as the class says.
        """
        answering = Answering(
            self._check(self._chain() if callable(self._chain) else self._chain),
            as_messages(messages),
            config or GenerationConfig(),
            reach=reach or self._reach,
            model=model,
            deadlines=self._deadlines,
            guidance=self._guidance,
        )
        async with aclosing(answering.events()) as events:
            async for event in events:
                yield event

    async def chat_completion(
        self,
        messages: str | Sequence[MessageLike],
        *,
        reach: Reach | None = None,
        model: str | None = None,
        **options: object,
    ) -> Completion:
        """Ask, and return the whole answer. `options` are the fields of `GenerationConfig`."""
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            raise TypeError(
                f"chat_completion() does not know {', '.join(unknown)}. It knows {', '.join(_OPTIONS)}, "
                "reach and model; what only one backend knows goes into extra={...}."
            )
        config = GenerationConfig(**options)  # type: ignore[arg-type]  # as far as a caller of **options can be
        async with aclosing(self.stream(messages, config, reach=reach, model=model)) as events:
            async for event in events:
                if isinstance(event, AnswerFinished):
                    return event.completion
        raise AssertionError("a stream ends with AnswerFinished or an exception")

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

    def __init__(self, guide: Backend, *, deadlines: Deadlines | None = None) -> None:
        super().__init__([guide], deadlines=deadlines)
