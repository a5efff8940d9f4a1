"""What decoding an answer has in common in all dialects: bytes of one answer in, events out. No I/O.

A dialect is a subclass that says what one JSON object of the stream means (`_chunk`), and what an answer in
one piece means (`_whole`). Framing, parsing, their bounds, and the decision whether an answer is complete are
here, so that no dialect takes half an answer for a whole one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    Phase,
    Progress,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from whisper_desktop.wire import fields
from whisper_desktop.wire.errors import error_in, is_error
from whisper_desktop.wire.ndjson import NDJSONReader
from whisper_desktop.wire.sse import WHOLE, SSEReader

MOST_MALFORMED = 3
MOST_CALLS = 64
LARGEST_ANSWER = 32 * 2**20
"""Characters of text, reasoning and arguments: several times what the largest context windows hold."""
LARGEST_ARGUMENTS = 2**20

# Looking whether arguments are complete reads all of them, so a call gets only so many looks.
_MOST_LOOKS = 64

Json = dict[str, object]


class StreamDecoder(ABC):
    """Decodes one answer: `feed` it what the network gives, `close` it when the bytes end, ask for the `end`.

    `done` is true once nothing can follow, `finished` once the server has said that the answer is complete,
    and `model` is the one that the server names, if any.
    `failure` is an error met in the bytes: it is set and not raised, so that the events before it are not
    lost. What goes wrong after the answer is complete does not take it back.

    A subclass sets `done`, `model`, `_finish_reason` ("stop", "length", "tool_calls", "content_filter",
    "error" or the server's own word), `_usage`, and `_calling` while the arguments of a function call arrive,
    and raises `BackendError` for an error in the stream. `_last_mark` is what its dialect says in place of a
    last object, if anything: it is not looked at as JSON.
    """

    _last_mark: ClassVar[str | None] = None

    def __init__(self, reader: SSEReader | NDJSONReader) -> None:
        self.done = False
        self.failure: BackendError | None = None
        self.model: str | None = None
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._calling = False
        self._reader = reader
        self._chunks = 0
        self._malformed = 0
        self._output = False
        self._size = 0

    @property
    def finished(self) -> bool:
        """Whether the server has said that the answer is complete."""
        return self.done or self._finish_reason is not None

    def feed(self, piece: bytes) -> list[BackendEvent]:
        """The events that these bytes complete; at the end of them, that a function call is on its way."""
        self._calling = False
        events = self._decode(piece)
        if self._calling and not self.finished and self.failure is None:
            events.append(Progress(Phase.CALLING))
        return events

    def close(self) -> list[BackendEvent]:
        """The bytes have ended: the events of a last record that lacks its end."""
        return self._decode(None)

    def whole(self, value: object) -> list[BackendEvent]:
        """The events of an answer that came in one piece, as parsed JSON. May raise `BackendError`."""
        events = list(self._whole(value))
        self._chunks += 1
        self._notice(events)
        if self.failure is not None:
            raise self.failure
        return events

    def end(self) -> StreamEnd:
        """What is known once nothing more comes.

        Raises the `failure`, or `BackendError` MALFORMED, TRUNCATED, SERVER_ERROR, CONTENT_FILTER or EMPTY.
        """
        if self.failure is not None:
            raise self.failure
        if not self._chunks and self._malformed:
            raise self._broken()
        if not self.finished and self._chunks:
            raise BackendError(
                ErrorKind.TRUNCATED,
                tr("The stream ended without saying that the answer is complete."),
                tr("The model or the server may have crashed."),
                tr("Try again, or use another backend."),
            )
        if self._finish_reason == "error":
            raise BackendError(ErrorKind.SERVER_ERROR, tr("The server gave up in the middle of the answer."))
        if self._finish_reason == "content_filter":
            raise BackendError(ErrorKind.CONTENT_FILTER, tr("The answer was withheld by a content filter."))
        if not self._output:
            raise BackendError(
                ErrorKind.EMPTY,
                tr("The answer is empty."),
                "" if self._chunks else tr("The server opened a stream and sent nothing."),
                tr("Try again, or choose another model."),
            )
        return StreamEnd(self._finish_reason or "stop", self._usage, self.model)

    @abstractmethod
    def _chunk(self, chunk: Json, name: str) -> Iterable[BackendEvent]:
        """The events of one object of the stream; `name` is that of its server-sent event, if any."""

    @abstractmethod
    def _whole(self, value: object) -> Iterable[BackendEvent]:
        """The events of an answer in one piece; it says itself whether it is complete, as a stream does.

        Raises `BackendError`; for what is no answer, `not_an_answer()`.
        """

    def _decode(self, piece: bytes | None) -> list[BackendEvent]:
        events: list[BackendEvent] = []
        if self.failure is not None:
            return events
        try:
            for record in self._reader.finish() if piece is None else self._reader.feed(piece):
                if self.done:
                    break
                data, name = (record, "") if isinstance(record, str) else record
                value = fields.parsed(data) if data != self._last_mark else None
                if name == WHOLE:
                    events += self._body(value, data)
                elif not isinstance(value, dict):
                    events += self._mark(data, name)
                elif name == "error":
                    raise error_in(value if is_error(value) else {"error": value})
                else:
                    self._chunks += 1
                    over = self.finished
                    told = self._chunk(value, name)
                    if not over:
                        events += told  # Only a usage may follow the end.
        except BackendError as error:
            if self.finished:
                self.done = True
            else:
                self.failure = error
        self._notice(events)
        return events

    def _body(self, value: object, body: str) -> list[BackendEvent]:
        if value is None:
            raise not_an_answer() if body.startswith("<") else _unreadable()
        return self.whole(value)

    def _mark(self, data: str, name: str) -> Iterable[BackendEvent]:
        """What is no JSON object: in some dialects a mark, else it is broken, which is borne a few times."""
        if name == "error":
            raise error_in(data)
        self._malformed += 1
        if self._malformed > MOST_MALFORMED:
            raise self._broken()
        return ()

    def _notice(self, events: list[BackendEvent]) -> None:
        for event in events:
            if type(event) is TextDelta:
                self._size += len(event.text)
            elif type(event) is ReasoningDelta:
                self._size += len(event.reasoning)
            elif type(event) is ToolCallDelta:
                self._size += len(event.call.arguments)
            else:
                continue
            self._output = True
        if self._size > LARGEST_ANSWER and self.failure is None:
            self.failure = BackendError(
                ErrorKind.TOO_LARGE,
                tr(
                    "The answer is longer than {largest_answer:.0f} million characters.",
                    largest_answer=LARGEST_ANSWER / 1000000.0,
                ),
                tr("The model or the server does not stop, so it was stopped here."),
                tr("Ask again, or use another model."),
            )

    def _broken(self) -> BackendError:
        return BackendError(
            ErrorKind.MALFORMED,
            tr("The server's stream is broken: it is not valid JSON."),
            tr("{malformed} of its events could not be read.", malformed=self._malformed),
            tr("Try again, or use another backend."),
        )


class CallParts:
    """One function call of an answer while its pieces arrive."""

    def __init__(self, id: str = "", name: str = "") -> None:
        self.id = id
        self.name = name
        self._pieces: list[str] = []
        self._size = 0
        self._looks = 0

    def add(self, arguments: str) -> None:
        """Append a piece of the arguments' JSON text. Raises `BackendError` MALFORMED beyond the bound."""
        self._size += len(arguments)
        if self._size > LARGEST_ARGUMENTS:
            raise broken_call(
                tr(
                    "Its arguments are longer than {largest_arguments:.1f} MB.",
                    largest_arguments=LARGEST_ARGUMENTS / 1000000.0,
                )
            )
        if arguments:
            self._pieces.append(arguments)

    @property
    def complete(self) -> bool:
        """Whether nothing can be missing: the arguments that came are a whole JSON object."""
        if not self._pieces or not self._pieces[-1].rstrip().endswith("}") or self._looks == _MOST_LOOKS:
            return False
        self._looks += 1
        return isinstance(fields.parsed(self._arguments), dict)

    def call(self) -> ToolCall:
        """The call. Raises `BackendError` MALFORMED for one without a name or with half of its arguments."""
        if not self.name:
            raise broken_call(tr("It does not say which function."))
        arguments = self._arguments
        if fields.parsed(arguments) is None:
            raise broken_call(tr("Its arguments are not valid JSON."))
        return ToolCall(self.id, self.name, arguments)

    @property
    def _arguments(self) -> str:
        text = "".join(self._pieces).strip()
        # How servers say that there are none.
        return "{}" if text in ("", "null") else text


def broken_call(why: str) -> BackendError:
    """What to raise for a function call that cannot be run."""
    return BackendError(
        ErrorKind.MALFORMED,
        tr("The model's function call is broken."),
        why,
        tr("Try again, or use another model."),
    )


def not_an_answer() -> BackendError:
    """What to raise for something that is no answer of a model."""
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        tr("The answer is not a chat completion."),
        tr("Another kind of program answers at this address."),
        tr("Check the address; for most servers it ends in /v1."),
    )


def _unreadable() -> BackendError:
    return BackendError(
        ErrorKind.MALFORMED,
        tr("The server's answer is broken: it is not valid JSON."),
        "",
        tr("Try again, or use another backend."),
    )
