"""Where a role is answered: a slot of an engine. One try of one question, nothing retried here."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from whisper_desktop.engines.pool.patience import RequestPatience
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.errors import BackendError, EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    EngineStatus,
    ErrorKind,
    GenerationConfig,
    Message,
    Reach,
)
from whisper_desktop.wire import openai
from whisper_desktop.wire.errors import error_of

if TYPE_CHECKING:
    from whisper_desktop.engines.spec import EngineAddress
    from whisper_desktop.engines.supervisor import Engine
    from whisper_desktop.wire.http import Http
    from whisper_desktop.wire.replies import StreamReply

T = TypeVar("T")

_MOST_AFTER_THE_END = 2**20  # bytes; a usage is a few hundred
_WHERE_THE_PROCESS_MAY_HAVE_ENDED = frozenset(
    {
        ErrorKind.STREAM_CUT,
        ErrorKind.TRUNCATED,
        ErrorKind.CLOSED_EARLY,
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
    }
)


class InstanceEnded(Exception):
    """The process that was answering has ended; `why` says of what. It is started again by itself."""

    def __init__(self, why: EngineError) -> None:
        super().__init__(why)
        self.why = why


class Place(Protocol):
    """Where one role is answered. Several roles, and several sessions of one, may share a place: in turns."""

    @property
    def backend(self) -> str:
        """The canonical id of who answers here."""
        ...

    @property
    def turn(self) -> "Turn":
        """Whose turn it is here."""
        ...

    def status(self) -> EngineStatus:
        """How the engine behind it is."""
        ...

    def batches(
        self, messages: Sequence[Message], config: GenerationConfig
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Answer once. Raises `BackendError`, `EngineError` where it cannot be started, `InstanceEnded`."""
        ...


class Turn:
    """First come, first served; leaving the queue early costs the others nothing."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.ahead = 0
        """How many are being answered or wait here."""

    async def __aenter__(self) -> None:
        self.ahead += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self.ahead -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self.ahead -= 1
        self._lock.release()


class EnginePlace:
    """One slot of an engine of ours. `request` is how many seconds a question may make no progress in it.

    Every question names its slot, so that the slot keeps what it has read of this role's conversation: the
    next question of it is then read from where it differs.
    """

    def __init__(
        self, engine: "Engine", slot: int, turn: Turn, *, http: "Http", request: float, deadlines: Deadlines
    ) -> None:
        self.turn = turn
        self._engine = engine
        self._slot = slot
        self._http = http
        self._request = request
        self._deadlines = deadlines

    @property
    def backend(self) -> str:
        """See `Place`."""
        return "builtin" if self._engine.spec.binary is None else "llama_cpp"

    def status(self) -> EngineStatus:
        """See `Place`."""
        return self._engine.status()

    async def batches(
        self, messages: Sequence[Message], config: GenerationConfig
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """See `Place`."""
        lease = self._engine.lease()
        async with lease as address:
            answer = self._answer(address, messages, config)
            try:
                async with aclosing(answer):
                    while True:
                        with lease.interruptible():
                            batch = await anext(answer, None)
                        if batch is None:
                            return
                        yield batch
            except EngineError as error:
                raise InstanceEnded(error) from None
            except BackendError as error:
                if error.kind not in _WHERE_THE_PROCESS_MAY_HAVE_ENDED:
                    raise
                # A socket closes a moment before the end of its process is known.
                why = await lease.why_ended(self._deadlines.drain)
                if why is None:
                    raise
                raise InstanceEnded(why) from None

    async def _answer(
        self, address: "EngineAddress", messages: Sequence[Message], config: GenerationConfig
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        body = openai.encode_chat(messages, config, address.model, reasoning=openai.reasoning_in_template)
        body |= {"id_slot": self._slot, "cache_prompt": True, "return_progress": True}
        decoder = openai.ChatDecoder()
        patience = RequestPatience(self._request)
        opening = self._http.stream(
            "POST",
            f"{address.url}/v1/chat/completions",
            allowed=Reach.THIS_MACHINE,
            json=body,
            headers=authorization(address),
        )
        async with AsyncExitStack() as stack:
            reply = await self._patiently(patience, stack.enter_async_context(opening))
            if reply.status >= 400:
                raise error_of(reply.status, reply.headers, await self._patiently(patience, reply.read()))
            while not decoder.finished and decoder.failure is None:
                piece = await self._patiently(patience, reply.next_piece())
                events = decoder.feed(piece) if piece else decoder.close()
                patience.see(events)
                yield events
                if not piece:
                    break
            if decoder.finished and not reply.ended:
                await self._drain(reply, decoder)
            yield [decoder.end()]

    async def _patiently(self, patience: RequestPatience, step: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(patience.left):
                return await step
        except TimeoutError:
            raise BackendError(
                ErrorKind.STALLED,
                tr(
                    "The engine made no progress for {request:g} s, so the question was given up.",
                    request=self._request,
                ),
                tr("It may be stuck, or the computer is too busy."),
                tr("Ask again, or set llm.pool.request_seconds higher."),
            ) from None

    async def _drain(self, reply: "StreamReply", decoder: openai.ChatDecoder) -> None:
        """What follows a complete answer: the usage."""
        size = 0
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(self._deadlines.drain):
                while size < _MOST_AFTER_THE_END and (piece := await reply.next_piece()):
                    decoder.feed(piece)
                    size += len(piece)
