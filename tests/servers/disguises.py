"""The same answer in other bytes: everything that HTTP, SSE and JSON allow, and a client must not notice."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.servers.reactions import Reaction, Response, Stream

BOM = b"\xef\xbb\xbf"


def crlf(piece: bytes) -> bytes:
    """Lines end with CR LF."""
    return piece.replace(b"\n", b"\r\n")


def cr(piece: bytes) -> bytes:
    """Lines end with CR alone, which SSE allows."""
    return piece.replace(b"\n", b"\r")


def no_space(piece: bytes) -> bytes:
    """`data:` without the space that may follow."""
    return piece.replace(b"data: ", b"data:").replace(b"event: ", b"event:")


def multi_line(piece: bytes) -> bytes:
    """The JSON of an event over several `data:` lines."""
    lines = []
    for line in piece.split(b"\n"):
        if line.startswith(b"data: {"):
            pretty = json.dumps(json.loads(line[6:]), indent=1, ensure_ascii=False).encode()
            lines += [b"data: " + part for part in pretty.split(b"\n")]
        else:
            lines.append(line)
    return b"\n".join(lines)


def with_comments(piece: bytes) -> bytes:
    """A comment and fields that no client knows before each event."""
    return b": still here\nid: 7\nretry: 3000\nunknown: x\n" + piece


PIECEWISE: Mapping[str, Callable[[bytes], bytes]] = {
    shape.__name__: shape for shape in (crlf, cr, no_space, multi_line, with_comments)
}
# How the bytes are cut into writes; the pieces stay as they are.
CUTS = frozenset({"byte_by_byte", "split_utf8"})
MODES = frozenset({*PIECEWISE, *CUTS, "bom", "gzip"})


def disguised(reaction: Reaction, mode: str) -> Reaction:
    """The reaction in this shape; the same where the mode does not concern it."""
    if isinstance(reaction, Response):
        if mode != "gzip":
            return reaction
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(reaction.body) + packer.flush()
        return replace(reaction, body=body, headers={**reaction.headers, "Content-Encoding": "gzip"})
    if not isinstance(reaction, Stream):
        return reaction
    if mode in PIECEWISE:
        return _each(reaction, PIECEWISE[mode])
    if mode == "bom":
        if reaction.reading:
            return replace(reaction, reading=(BOM + reaction.reading[0], *reaction.reading[1:]))
        return replace(reaction, opening=(BOM, *reaction.opening))
    if mode == "gzip":
        packer = zlib.compressobj(wbits=31)

        def packed(piece: bytes) -> bytes:
            return packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) if piece else b""

        stream = _each(reaction, packed)
        return replace(
            stream,
            headers={**stream.headers, "Content-Encoding": "gzip"},
            done=stream.done + packer.flush(),
        )
    return reaction


def _each(stream: Stream, shape: Callable[[bytes], bytes]) -> Stream:
    """Every piece in its order, because a compressor remembers."""

    def shaped(pieces: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(shape(piece) if piece else piece for piece in pieces)

    return replace(
        stream,
        reading=shaped(stream.reading),
        opening=shaped(stream.opening),
        tokens=shaped(stream.tokens),
        closing=shaped(stream.closing),
        done=shaped((stream.done,))[0],
    )


def cuts(piece: bytes, mode: str) -> list[bytes]:
    """The writes that one piece goes out in."""
    if mode == "byte_by_byte":
        return [piece[at : at + 1] for at in range(len(piece))]
    if mode == "split_utf8":  # before every byte that continues a character
        starts = [0, *(at for at, byte in enumerate(piece) if byte & 0xC0 == 0x80), len(piece)]
        return [piece[start:end] for start, end in zip(starts, starts[1:], strict=False) if end > start]
    return [piece]
