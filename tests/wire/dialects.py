"""What the tests of the dialects share: a decoder fed with bytes, cut anywhere, and JSON of every shape."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import (
    BackendEvent,
    ErrorKind,
    Phase,
    Progress,
    ReasoningDelta,
    StreamEnd,
    TextDelta,
    ToolCallDelta,
)
from whisper_desktop.wire.decoding import StreamDecoder

Json = dict[str, object]


def events_of(decoder: StreamDecoder, *pieces: bytes) -> list[BackendEvent]:
    """All events of an answer that arrives in these pieces."""
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def without_calling(events: Sequence[BackendEvent]) -> list[BackendEvent]:
    """The events that do not depend on how the bytes of an answer were cut."""
    return [event for event in events if event != Progress(Phase.CALLING)]


def text_of(events: Sequence[BackendEvent]) -> str:
    """The answer's text."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: Sequence[BackendEvent]) -> str:
    """The answer's reasoning."""
    return "".join(event.reasoning for event in events if isinstance(event, ReasoningDelta))


def calls_of(events: Sequence[BackendEvent]) -> list[tuple[str, object]]:
    """The names and arguments of the answer's calls."""
    return [
        (event.call.name, json.loads(event.call.arguments))
        for event in events
        if isinstance(event, ToolCallDelta)
    ]


def end_of(decoder: StreamDecoder) -> StreamEnd | ErrorKind:
    """How the answer ended: well, or with which kind of failure."""
    try:
        return decoder.end()
    except BackendError as error:
        return error.kind


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    """The stream in pieces, cut at these places (taken modulo its length)."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def in_sevens(stream: bytes) -> list[bytes]:
    """The stream in pieces of seven bytes, which fit no record."""
    return [stream[start : start + 7] for start in range(0, len(stream), 7)]


places = st.lists(st.integers(0, 10**6), max_size=12)


def json_of(*names: str, words: Sequence[str] = ()) -> st.SearchStrategy[object]:
    """JSON of every shape, with these field names and words in it more often than chance has them."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    leaves |= st.sampled_from([*words, "\ud83d", ""])
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=5)
        ),
        max_leaves=15,
    )
