"""Any valid stream, cut anywhere, gives the same events; any bytes at all stay within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.sse import ServerSentEvent, SSEReader


def read(*pieces: bytes) -> list[ServerSentEvent]:
    reader = SSEReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.finish()


def data(*pieces: bytes) -> list[str]:
    return [event.data for event in read(*pieces)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data:no space\n\n", ["no space"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\n", [""]),
        (b": keep-alive\n\ndata: x\n\n: OPENROUTER PROCESSING\n\n", ["x"]),
        (b"\xef\xbb\xbfdata: bom\n\n", ["bom"]),
        (b"id: 7\nretry: 10\ndata: x\nunknown: y\n\n", ["x"]),
        (b"data: [DONE]", ["[DONE]"]),
        (b"data: [DONE]\n", ["[DONE]"]),
        (b"\n\n\n", []),
        (b"", []),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_a_stream_is_read_as_the_grammar_says(stream: bytes, expected: list[str]) -> None:
    assert data(stream) == expected


def test_an_event_carries_its_name() -> None:
    assert read(b"event: error\ndata: x\n\ndata: y\n\n") == [
        ServerSentEvent("x", "error"),
        ServerSentEvent("y", "message"),
    ]


def test_an_event_is_handed_out_with_its_blank_line_and_not_later() -> None:
    reader = SSEReader()
    assert reader.feed(b"data: x\r\n") == []
    assert [event.data for event in reader.feed(b"\r")] == ["x"]
    assert reader.feed(b"\ndata: y\r\n") == []
    assert [event.data for event in reader.feed(b"\n")] == ["y"]


@given(st.data())
def test_any_way_of_cutting_a_stream_gives_the_same_events(choice: st.DataObject) -> None:
    texts = choice.draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"), max_size=12), max_size=6
        )
    )
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    end = choice.draw(ends)
    stream = "".join(f"data: {text}{end}: comment{end}{end}" for text in texts).encode()
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert data(*pieces) == texts
    assert data(*(stream[n : n + 1] for n in range(len(stream)))) == texts


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_give_the_same_events_whole_or_in_pieces(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 200],
        [b"data: " + b"x" * 200 + b"\n\n"],
        [b"x"] * 200,
        [b"data: xxxxxxxxx\n"] * 20,
    ],
    ids=["endless line", "large event", "byte by byte", "endless event"],
)
def test_an_event_beyond_the_bound_is_malformed(pieces: list[bytes]) -> None:
    reader = SSEReader(largest_event=100)
    with pytest.raises(BackendError) as caught:
        list(map(reader.feed, pieces))
    assert caught.value.kind is ErrorKind.MALFORMED


def test_a_long_stream_of_small_events_is_not_bounded() -> None:
    reader = SSEReader(largest_event=100)
    assert sum(len(reader.feed(b"data: 0123456789\n\n")) for _ in range(100)) == 100
