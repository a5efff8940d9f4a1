"""Any stream of lines, cut anywhere, gives the same lines; what it holds is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.dialects import cut, places
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.ndjson import NDJSONReader


def read(*pieces: bytes) -> list[str]:
    reader = NDJSONReader()
    lines = [line for piece in pieces for line in reader.feed(piece)]
    return lines + reader.finish()


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r\n\r\n{"b":2}\r\n', ['{"a":1}\r', '{"b":2}\r']),
        (b"\n \n\n", []),
        (b"", []),
        (b"\xef\xbb\xbf1\n", ["1"]),
        ('"\u2028\x85"\n'.encode(), ['"\u2028\x85"']),
        (b"\xff\xe2\n1", ["\ufffd\ufffd", "1"]),
    ],
)
def test_a_line_ends_with_a_line_feed_and_with_nothing_else(stream: bytes, lines: list[str]) -> None:
    assert read(stream) == lines


def test_a_line_is_handed_out_as_soon_as_it_is_complete() -> None:
    reader = NDJSONReader()
    assert reader.feed(b'{"a"') == []
    assert reader.feed(b":1}\n{") == ['{"a":1}']
    assert reader.finish() == ["{"]
    assert reader.finish() == []


def test_a_byte_order_mark_is_one_only_at_the_very_start() -> None:
    assert read(b"\n", b"\xef\xbb\xbf1\n") == read(b"\n\xef\xbb\xbf1\n") == ["\ufeff1"]


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=12)), places)
def test_any_way_of_cutting_a_stream_gives_the_same_lines(texts: list[str], at: list[int]) -> None:
    stream = "".join(f"{text}\n" for text in ["start", *texts]).encode()
    expected = ["start", *(text for text in texts if text.strip())]
    assert read(stream) == expected
    assert read(*cut(stream, at)) == expected
    assert read(*(stream[n : n + 1] for n in range(len(stream)))) == expected


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_give_the_same_lines_whole_or_in_pieces(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * 101], [b"x" * 101 + b"\n"], [b"x"] * 101, [b"x\n" + b"y" * 101], [b"x" * 60, b"y" * 60 + b"\n"]],
    ids=["endless", "long", "byte by byte", "long rest", "in two pieces"],
)
def test_a_line_beyond_the_bound_is_malformed(pieces: list[bytes]) -> None:
    reader = NDJSONReader(largest_line=100)
    with pytest.raises(BackendError) as caught:
        list(map(reader.feed, pieces))
    assert caught.value.kind is ErrorKind.MALFORMED


def test_a_long_stream_of_short_lines_is_not_bounded() -> None:
    reader = NDJSONReader(largest_line=100)
    assert len(reader.feed(b"0123456789\n" * 1000)) == 1000
