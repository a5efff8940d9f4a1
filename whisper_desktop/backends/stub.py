"""A stub for trying out the app and scripts around it: no model, no network, always the same answer.

It repeats the last message, one word at a time, and says that it is a stub. Its options change that:

    tokens        answer with so many numbered words instead
    delay         seconds before each word
    reasoning     what it thinks first
    tool_call     {"name": ..., "arguments": {...}}: it calls this function when it is given any
    fault         what goes wrong: the name of any `ErrorKind`, or "stall" (it falls silent)
    after_tokens  how many words come before that (default 0)
    times         how many answers go wrong before it is well again (default: all)
    retry_after   seconds, for "rate_limited" and the like

A message can ask for a fault, too: `fault: overloaded`, `fault: truncated after 3`. Names that say the HTTP
status, such as error_500 and rate_429, are understood.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2s
from typing import ClassVar

from whisper_desktop.backends.base import Backend, BackendConfig
from whisper_desktop.backends.options import COUNT, SECONDS, TEXT, TOKENS, Kind, read_options
from whisper_desktop.errors import BackendError, ConsentRequired, ReachError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import (
    BackendEvent,
    Deadlines,
    Embeddings,
    ErrorKind,
    GenerationConfig,
    Message,
    ModelInfo,
    Reach,
    ReasoningDelta,
    Role,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

MODEL = "stub"
STALL = "stall"

_BY_STATUS = {
    "bad_request_400": ErrorKind.BAD_REQUEST,
    "context_400": ErrorKind.CONTEXT_OVERFLOW,
    "unauthorized_401": ErrorKind.AUTH,
    "payment_402": ErrorKind.QUOTA,
    "not_found_404_model": ErrorKind.MODEL_MISSING,
    "rate_429": ErrorKind.RATE_LIMITED,
    "error_500": ErrorKind.SERVER_ERROR,
    "busy_503": ErrorKind.OVERLOADED,
}
_STATUS = {kind: int(re.sub(r"\D", "", name)) for name, kind in _BY_STATUS.items()}
_BEFORE_SENDING = frozenset(
    {
        ErrorKind.NOT_CONFIGURED,
        ErrorKind.CONNECT_REFUSED,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.NAME_NOT_FOUND,
        ErrorKind.TLS,
        ErrorKind.OFFLINE,
        ErrorKind.BUDGET,
        ErrorKind.QUEUE_FULL,
        ErrorKind.ENGINE,
    }
)
_ASKED_FOR = re.compile(r"\bfault:\s*(\w+)(?:\s+after\s+(\d{1,6}))?")
_DIMENSIONS = 8


def _read_fault(value: object) -> str | None:
    name = str(value).strip().lower()
    name = _BY_STATUS[name].value if name in _BY_STATUS else name
    return name if name == STALL or name in list(ErrorKind) else None


def _read_call(value: object) -> ToolCall | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    try:
        return ToolCall("call_stub", value["name"], json.dumps(value.get("arguments", {})))
    except (TypeError, ValueError):
        return None


class StubBackend(Backend):
    """See the module's docstring."""

    capabilities = frozenset({"completion", "stream", "tools", "embedding", "reasoning"})
    known_options: ClassVar[dict[str, Kind]] = {
        "tokens": TOKENS,
        "delay": SECONDS,
        "reasoning": TEXT,
        "tool_call": Kind(mark("a name and arguments"), _read_call),
        "fault": Kind(f"{STALL}, or one of {', '.join(ErrorKind)}", _read_fault),
        "after_tokens": COUNT,
        "times": COUNT,
        "retry_after": SECONDS,
    }

    def __init__(self, config: BackendConfig, *, deadlines: Deadlines) -> None:
        super().__init__(config, deadlines=deadlines)
        self._options = read_options(config.id, config.options, self.known_options)
        self._faults_left = self._number("times")

    def is_ready(self, model: str | None) -> bool | None:
        """Whether its model is loaded: there is none to load."""
        return True

    async def list_models(self, *, allowed: Reach | None = None) -> tuple[ModelInfo, ...]:
        """One model that is none."""
        return (ModelInfo(MODEL, loaded=True),)

    async def stream_batches(
        self,
        messages: Sequence[Message],
        config: GenerationConfig = GenerationConfig(),
        *,
        model: str | None = None,
        allowed: Reach | None = None,
    ) -> AsyncGenerator[Sequence[BackendEvent], None]:
        """Generate. See `Backend`."""
        asked = next((each.content for each in reversed(messages) if each.role is Role.USER), "")
        fault, after = self._fault(asked)
        thought = self._options.get("reasoning")
        call = self._options.get("tool_call")
        words = self._words(asked)
        limit = len(words) if config.max_tokens is None else min(config.max_tokens, len(words))
        if fault == ErrorKind.EMPTY:
            limit = after = 0
        if isinstance(thought, str) and fault is None:
            yield [ReasoningDelta(thought)]
        for number, word in enumerate(words[:limit]):
            if fault is not None and number == after:
                await self._break(fault)
            await asyncio.sleep(self._number("delay") or 0)
            yield [TextDelta(word)]
        if fault is not None:
            await self._break(fault)
        calls = isinstance(call, ToolCall) and bool(config.tools)
        if isinstance(call, ToolCall) and calls:
            yield [ToolCallDelta(call)]
        reason = "length" if limit < len(words) else "tool_calls" if calls else "stop"
        read = sum(len(message.content.split()) for message in messages)
        yield [StreamEnd(reason, Usage(read, limit), self.config.model or MODEL)]

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, allowed: Reach | None = None
    ) -> Embeddings:
        """A vector for each text that depends on nothing but the text, and means nothing."""
        vectors = (blake2s(text.encode(), digest_size=_DIMENSIONS).digest() for text in texts)
        return Embeddings(tuple(tuple(byte / 255 for byte in vector) for vector in vectors), MODEL)

    def _words(self, asked: str) -> list[str]:
        tokens = self._number("tokens")
        if tokens is not None:
            return [f"word{number} " for number in range(int(tokens))]
        return re.findall(r"\S+\s*", f"This is a stub, no model is running. You said: {asked}")

    def _number(self, name: str) -> float | None:
        value = self._options.get(name)
        return value if isinstance(value, int | float) else None

    def _fault(self, asked: str) -> tuple[str | None, int]:
        """The fault of this answer, and after how many words it comes."""
        wanted = _ASKED_FOR.search(asked)
        if wanted is not None and (named := _read_fault(wanted[1])):
            return named, int(wanted[2] or 0)
        fault = self._options.get("fault")
        if not isinstance(fault, str) or self._faults_left == 0:
            return None, 0
        if self._faults_left is not None:
            self._faults_left -= 1
        return fault, int(self._number("after_tokens") or 0)

    async def _break(self, fault: str) -> None:
        if fault == STALL:
            await asyncio.get_running_loop().create_future()
        raise self._failure(ErrorKind(fault))

    def _failure(self, kind: ErrorKind) -> BackendError | ReachError:
        title, step = (
            tr("{self_name} plays the fault “{kind}”.", self_name=self.name, kind=kind),
            tr("Take it out of the message or the options."),
        )
        if kind is ErrorKind.CONSENT_REQUIRED:
            return ConsentRequired(title, tr("Nothing was sent."), step, needed=Reach.CLOUD)
        return BackendError(
            kind,
            title,
            "",
            step,
            status=_STATUS.get(kind),
            retry_after=self._number("retry_after"),
            request_sent=kind not in _BEFORE_SENDING,
        )
