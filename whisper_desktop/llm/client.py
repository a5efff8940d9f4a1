"""`LLMClient`: asks a chain of backends and always says who answered."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from whisper_desktop.backends.base import Backend, BackendConfig
from whisper_desktop.language import tr
from whisper_desktop.llm.decisions import needs_of
from whisper_desktop.llm.messages import Prompt, as_messages
from whisper_desktop.llm.options import generation, one_of, seconds, text
from whisper_desktop.llm.question import Question, Wishes
from whisper_desktop.llm.shared import Shared
from whisper_desktop.llm.stream import AnswerStream
from whisper_desktop.values import (
    Completion,
    Deadlines,
    GenerationConfig,
    OnInterruption,
    Reach,
)

if TYPE_CHECKING:
    from whisper_desktop.llm.answering import Guidance
    from whisper_desktop.wire.http import Http

Step = Backend | BackendConfig | Mapping[str, object] | str
"""A step of a chain: a backend, what `create_backend` takes, or a backend's name or an address."""

Chain = Step | Sequence[Step] | Callable[[], Sequence[Backend]]
"""A step, or several in the order of trying, or a function that gives the backends for every question."""


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
        guidance: "Guidance | None" = None,
        shared: Shared | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._deadlines = deadlines or (shared.deadlines if shared is not None else Deadlines())
        self._shared = shared or Shared(self._deadlines)
        self._model = text("model", model) if model else None
        self._reach = one_of(Reach, "reach", reach)
        self._wishes = Wishes(one_of(OnInterruption, "on_interruption", on_interruption), hedge, hedge_paid)
        self._guidance = guidance
        self._http: Http | None = None
        self._outlived: list[Http] = []
        self._own: list[Backend] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._chain: Callable[[], Sequence[Backend]]
        if callable(chain):
            self._chain = chain
        else:
            self._written = _several(chain)
            self._build()

    @property
    def shared(self) -> Shared:
        """What this client has learnt, and shares with others."""
        return self._shared

    def stream(
        self,
        messages: Prompt,
        config: GenerationConfig | None = None,
        *,
        reach: Reach | str | None = None,
        model: str | None = None,
        timeout: float | None = None,
        batch: bool = False,
        **options: object,
    ) -> AnswerStream:
        """Ask, and get the pieces of the answer as they come; raises as the class says, while it is read.

        What cannot be asked raises here (`TypeError`, `ValueError`), before anything is sent, and so does a
        client that is closed (`RuntimeError`).

        `timeout` bounds the whole answer, in seconds, over all attempts together. `batch` says that nobody
        waits at a screen: others go first, and longer waits that a server asks for are waited out. `options`
        are the fields of `GenerationConfig`.
        """
        from whisper_desktop.llm.answering import Answering  # the chain loads with the first question

        self._make_ready()
        given = as_messages(messages)
        wanted = generation(config, options)
        question = Question(
            given,
            wanted,
            self._reach if reach is None else one_of(Reach, "reach", reach),
            text("model", model) if model else self._model,
            needs_of(given, wanted),
            batch,
            None if timeout is None else time.monotonic() + seconds("timeout", timeout),
        )
        answering = Answering(
            self._check(self._chain()),
            question,
            self._wishes,
            self._shared,
            self._deadlines,
            guidance=self._guidance,
        )
        return AnswerStream(answering.batches())

    async def chat_completion(
        self,
        messages: Prompt,
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
        return await stream.whole()

    async def aclose(self) -> None:
        """Close what this client has made itself, and wait until the costs are written down.

        An answer that is under way ends with an error.
        """
        self._closed = True
        own, self._own = self._own, []
        for backend in own:
            await backend.shutdown()
        for http in (self._http, *self._outlived):
            if http is not None:
                await http.aclose()
        if self._shared.ledger is not None:
            await self._shared.ledger.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _make_ready(self) -> None:
        """Connections belong to a loop: a script that runs another one gets new ones."""
        if self._closed:
            raise RuntimeError("This client is closed. Make a new one.")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._http is not None and self._loop not in (None, loop):
            self._outlived.append(self._http)
            self._http, self._own = None, []
            self._build()
        self._loop = loop

    def _build(self) -> None:
        steps = self._check([self._step(step) for step in self._written])
        self._chain = lambda: steps

    def _step(self, step: Step) -> Backend:
        if isinstance(step, Backend):
            return step
        if not isinstance(step, BackendConfig | Mapping | str):
            raise TypeError(
                "A step of a chain must be an address, a backend's name, a configuration or a backend, "
                f"not {type(step).__name__}."
            )
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
                    tr("The guide is never a step of a chain.")
                    if backend.id == "guide"
                    else tr(
                        "A guide conversation cannot be answered by {backend_name}.",
                        backend_name=backend.name,
                    )
                )
        return tuple(chain)


class GuideClient(LLMClient):
    """The guide alone. It knows only this app, so nobody else answers in its place, and it for nobody."""

    _guide_only = True

    def __init__(
        self, guide: Backend, *, shared: Shared | None = None, deadlines: Deadlines | None = None
    ) -> None:
        super().__init__([guide], shared=shared, deadlines=deadlines)


def _several(chain: Step | Sequence[Step]) -> Sequence[Step]:
    if isinstance(chain, Backend | BackendConfig | Mapping | str) or not isinstance(chain, Iterable):
        return (chain,)
    return tuple(chain)
