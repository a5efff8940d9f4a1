"""Any valid stream, cut anywhere, gives the same events; any bytes at all stay within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.sse import WHOLE, ServerSentEvent, SSEReader


def read(*pieces: bytes) -> list[ServerSentEvent]:
    reader = SSEReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.finish()


def data(*pieces: bytes) -> list[str]:
    return [text for text, _ in read(*pieces)]


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
        (b"data: a\ndata\ndata:b\n\n\n\ndata: c\n\n", ["a\n\nb", "c"]),
        (b"datax: a\ndat: b\n\n", []),
    ],
)
def test_a_stream_is_read_as_the_grammar_says(stream: bytes, expected: list[str]) -> None:
    assert data(stream) == expected


def test_an_event_carries_its_name() -> None:
    stream = b"event: error\ndata: x\n\ndata: y\n\nevent\ndata: z\n\n"
    assert read(stream) == [("x", "error"), ("y", "message"), ("z", "message")]


def test_an_event_is_handed_out_with_its_blank_line_and_not_later() -> None:
    reader = SSEReader()
    assert reader.feed(b"data: x\r\n") == []
    assert reader.feed(b"\r") == [("x", "message")]
    assert reader.feed(b"\ndata: y\r\n") == []
    assert reader.feed(b"\n") == [("y", "message")]


def test_what_follows_an_event_in_its_piece_is_kept_for_the_next() -> None:
    reader = SSEReader()
    assert reader.feed(b"data: x\n\ndata: y") == [("x", "message")]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"\ndata: z\n\n") == [("y", "message"), ("z", "message")]


@pytest.mark.parametrize("body", ['{"error": "a\\nb"}', '[{"error": 1}]', "<html>\n\n<h1>Oops</h1>"])
@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf", b" "])
def test_a_body_that_is_no_stream_is_handed_out_whole_when_it_ends(before: bytes, body: str) -> None:
    pieces = [bytes([byte]) for byte in before + body.encode()]
    reader = SSEReader()
    assert [event for piece in pieces for event in reader.feed(piece)] == []
    assert reader.finish() == [(body, WHOLE)]


def test_a_stream_whose_data_begins_like_json_is_a_stream() -> None:
    assert read(b'\ndata: {"a": 1}\n\n{\n\n') == [('{"a": 1}', "message")]


@given(st.data())
def test_any_way_of_cutting_a_stream_gives_the_same_events(choice: st.DataObject) -> None:
    texts = choice.draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"), max_size=12), max_size=6
        )
    )
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    end = choice.draw(ends)
    stream = "".join(f"data: {text}{end}: comment{end}data:2{end}{end}" for text in texts).encode()
    expected = [f"{text}\n2" for text in texts]
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert data(*pieces) == expected
    assert data(*(stream[n : n + 1] for n in range(len(stream)))) == expected


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
        [b"data: x\n\ndata: " + b"x" * 200 + b"\n\ndata: x\n\n"],
        [b"{" + b"x" * 60] * 2,
    ],
    ids=["endless line", "large event", "byte by byte", "endless event", "large among small", "no stream"],
)
def test_an_event_beyond_the_bound_is_malformed(pieces: list[bytes]) -> None:
    reader = SSEReader(largest_event=100)
    with pytest.raises(BackendError) as caught:
        list(map(reader.feed, pieces))
    assert caught.value.kind is ErrorKind.MALFORMED


def test_a_long_stream_of_small_events_is_not_bounded() -> None:
    reader = SSEReader(largest_event=100)
    assert sum(len(reader.feed(b"data: 0123456789\n\n")) for _ in range(100)) == 100
    assert len(reader.feed(b"data: 0123456789\n\n" * 100)) == 100
