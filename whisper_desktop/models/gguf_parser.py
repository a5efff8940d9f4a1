"""From the first bytes of a GGUF file to what they say: bounded, and safe against files made to harm.

Format: github.com/ggml-org/ggml, docs/gguf.md. Versions 2 and 3 (little endian) are read: the metadata, and
what tensors there are; never the weights themselves. Where the bytes come from is not known here: the parser
gets the beginning of a file and says how much more it needs (`NeedMore`).

What llama.cpp refuses (ggml/src/gguf.cpp) is refused here too, with two exceptions: types of tensors that are
newer than this file, and gaps between tensors.
"""

from collections.abc import Set
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from struct import Struct
from struct import error as StructError
from typing import Any, BinaryIO

from whisper_desktop.models.gguf_types import TYPES, Scalar, Tensor

LONGEST_HEADER = 64_000_000  # bytes: the largest vocabularies take about 20 MB

_MAGIC = b"GGUF"
_MOST_PAIRS = 10_000
_MOST_TENSORS = 30_000  # models of a trillion parameters have 2,000
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_LARGEST = 2**50  # bytes of one tensor, and its elements
_LONGEST_TEXT = 1_000_000  # bytes: chat templates are tens of kilobytes
_LONGEST_KEY = 65_535  # bytes, docs/gguf.md
_LONGEST_NAME = 256  # bytes of a tensor's name; ggml's own limit is 64
_LONGEST_KEPT_ARRAY = 4_096  # elements; longer arrays (vocabularies) are passed over
_MOST_KEPT = 200_000  # values in all; models with a few hundred layers have thousands
_MOST_KEPT_TEXT = 10_000_000  # bytes in all
_MOST_PASSED_OVER = 2_000_000  # texts in all; the largest vocabularies have 800,000 with their merges
_CHUNK = 1 << 18  # bytes read at once
_NEWEST_TYPE = max(TYPES)
_BEHIND_TEXTS = 8  # bytes for each: after the tokens there are their scores and types

_SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY, _U32 = 8, 9, 4
_READ = {kind: Struct(f"<{letter}") for kind, letter in _SCALARS.items()}
_NUMBER, _LENGTH = Struct("<I"), Struct("<Q")
_COUNTS, _ARRAY_HEAD = Struct("<QQ"), Struct("<IQ")
_TENSOR = {count: Struct(f"<{count}QIQ") for count in range(1, _MOST_DIMENSIONS + 1)}

_VOCABULARY = "tokenizer.ggml.tokens"


def _string(text: str) -> bytes:
    """A text as it stands in a file."""
    return _LENGTH.pack(len(text)) + text.encode()


_BEHIND_VOCABULARY = {
    key: _string(key) + _NUMBER.pack(kind)
    for key, kind in (("tokenizer.chat_template", _TEXT), ("general.file_type", _U32))
}
"""What a list of models needs of the metadata that follows the vocabulary, and how it stands in a file."""

_FIRST_TENSOR = _string("token_embd.weight")
_FARTHEST = 32_000_000  # bytes that are looked through for them
_LONGEST_MARK = 64  # bytes, with the number behind it

_OTHERS = {
    b"": "It is empty.",
    b"lmgg": "It has the format that was there before GGUF, until August 2023.",
    b"fmgg": "It has the format that was there before GGUF, until August 2023.",
    b"tjgg": "It has the format that was there before GGUF, until August 2023.",
    b"PK\x03\x04": "It is an archive or a PyTorch model, not a GGUF file.",
    b"vers": "It is a note of Git LFS that stands in for the file, not the file.",
    b"<!do": "It is a web page, not a model.",
    b"<htm": "It is a web page, not a model.",
}
"""What a file is that begins with these four bytes (in lower case)."""

Metadata = dict[str, Scalar | tuple[Scalar, ...]]


class Broken(Exception):
    """The file breaks the format, or is not one for us; the message is a sentence.

    `next_step` says what to do about it, "" where another copy of the file may be whole.
    """

    def __init__(self, why: str, next_step: str = "") -> None:
        super().__init__(why)
        self.next_step = next_step


class NeedMore(Exception):
    """The beginning that was given is too short: it takes the first `offset` bytes to go on.

    `likely` is how many it will take as far as can be guessed from what was read.
    """

    def __init__(self, offset: int, likely: int) -> None:
        super().__init__(f"the first {offset} bytes are needed")
        self.offset = offset
        self.likely = likely


@dataclass(slots=True)
class Work:
    """What reading a model, with all its files, has come to so far: its time and its memory."""

    kept: int = 0
    text_bytes: int = 0
    passed_over: int = 0
    tensors: int = 0

    def add(self, *, kept: int = 0, text_bytes: int = 0, passed_over: int = 0, tensors: int = 0) -> None:
        """Count what is about to be read. Raises `Broken` where that is more than any model needs."""
        self.kept += kept
        self.text_bytes += text_bytes
        self.passed_over += passed_over
        self.tensors += tensors
        if (
            self.kept > _MOST_KEPT
            or self.text_bytes > _MOST_KEPT_TEXT
            or self.passed_over > _MOST_PASSED_OVER
            or self.tensors > _MOST_TENSORS
        ):
            raise Broken("Its header claims more entries than any model has.")

    def include(self, other: "Work") -> None:
        """Count what reading another file of the same model has come to. Raises like `add`."""
        self.add(
            kept=other.kept,
            text_bytes=other.text_bytes,
            passed_over=other.passed_over,
            tensors=other.tensors,
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one file says. `end` is where its last tensor ends: how many bytes the file should have."""

    metadata: Metadata
    tensors: tuple[Tensor, ...]
    end: int


def parse_beginning(beginning: BinaryIO, size: int, work: Work) -> Metadata:
    """The metadata before the vocabulary, which is most of a header and slow to go through.

    Of what follows it, two entries are looked for as they stand in the file: `general.file_type`, and whether
    there is a `tokenizer.chat_template` (True or False). A file whose architecture or context stands behind
    its vocabulary is gone through. Raises like `parse`.
    """
    reader = _Reader(beginning, size, work)
    return reader.metadata(reader.counts()[1], until_vocabulary=True)


def parse(beginning: BinaryIO, size: int, work: Work, *, tensors: bool = True) -> Parsed:
    """Read a header from the beginning of a file that has `size` bytes in all, and count it in `work`.

    `tensors` False leaves them out. Raises `Broken`, or `NeedMore` where `beginning` ends too early.
    """
    reader = _Reader(beginning, size, work)
    count, pairs = reader.counts()
    metadata = reader.metadata(pairs)
    if not tensors:
        return Parsed(metadata, (), 0)
    return Parsed(metadata, *reader.tensors(count, reader.alignment))


class _Reader:
    def __init__(self, beginning: BinaryIO, size: int, work: Work) -> None:
        self._file = beginning
        self._size = size
        self._work = work
        self._chunk = b""
        self._at = 0  # in the chunk
        self._before = 0  # bytes of the file before the chunk
        self.alignment = 32

    def counts(self) -> tuple[int, int]:
        """How many tensors and how many pairs of key and value follow."""
        start = self._bytes(min(len(_MAGIC), self._size))
        if start != _MAGIC:
            raise Broken(_OTHERS.get(start.lower(), "It does not begin like a GGUF file."))
        version: int = self._take(_NUMBER)[0]
        if version and not version & 0xFFFF:
            raise Broken(
                "Its numbers are in the order of big-endian processors, which hardly any computer has.",
                "Choose another file of the same model.",
            )
        if version == 1:
            raise Broken(
                "It has version 1 of the format, from August 2023, which is not in use any more.",
                "Choose a newer file of the same model.",
            )
        if version not in (2, 3):
            raise Broken(f"It says it is version {version} of the format; versions 2 and 3 are known.")
        tensors, pairs = self._take(_COUNTS)
        if pairs > _MOST_PAIRS:
            raise Broken("Its header claims more entries than any model has.")
        self._work.add(kept=pairs, tensors=tensors)
        return tensors, pairs

    def metadata(self, pairs: int, *, until_vocabulary: bool = False) -> Metadata:
        """The pairs, without arrays that are long."""
        found: Metadata = {}
        seen = set()
        for _ in range(pairs):
            key = self._text(_LONGEST_KEY)
            if not key or key in seen:
                raise Broken("Its header holds an entry twice, or one without a name.")
            seen.add(key)
            if until_vocabulary and key == _VOCABULARY and _is_told(found):
                return found | self._behind_vocabulary(_BEHIND_VOCABULARY.keys() - found)
            kind: int = self._take(_NUMBER)[0]
            value = self._value(kind)
            if key == "general.alignment":
                self.alignment = _alignment(kind, value)
            if value is not None:
                found[key] = value
        return found

    def _behind_vocabulary(self, keys: Set[str]) -> Metadata:
        """The entries of these keys, looked for until the tensors begin."""
        found: Metadata = {}
        window = self._chunk[self._at :]
        for _ in range(_FARTHEST // _CHUNK):
            for key in keys - found.keys():
                mark = _BEHIND_VOCABULARY[key]
                # The key alone is found many times faster: vocabularies are full of the zeros around it.
                at = window.find(mark) if key.encode() in window else -1
                behind = window[at + len(mark) : at + len(mark) + _NUMBER.size] if at >= 0 else b""
                if len(behind) == _NUMBER.size:
                    (number,) = _NUMBER.unpack(behind)  # of a text it is its length
                    found[key] = number if key == "general.file_type" else number > 0
            if len(found) == len(keys) or _FIRST_TENSOR in window:
                break
            more = self._file.read(_CHUNK)
            if not more:
                break
            window = window[-_LONGEST_MARK:] + more  # a mark may lie across two chunks
        return found

    def tensors(self, count: int, alignment: int) -> tuple[tuple[Tensor, ...], int]:
        """What follows the metadata, and where the last tensor ends."""
        entries = [self._tensor() for _ in range(count)]
        if len({entry[0] for entry in entries}) < count:
            raise Broken("It holds two tensors of one name.")
        position = self._before + self._at
        start = -(-position // alignment) * alignment
        places = sorted({entry[4] for entry in entries})
        room = {here: there - here for here, there in pairwise([*places, max(0, self._size - start)])}
        found, end = [], position
        taken = set()
        for name, kind, shape, size, offset in entries:
            known = max(0, room[offset]) if size is None else size
            end = max(end, start + offset + known)
            if offset in taken or (known > room[offset] and offset != places[-1]):
                raise Broken("Two of its tensors lie in the same place.")
            taken.add(offset)
            found.append(Tensor(name, kind, shape, known))
        return tuple(found), end

    def _tensor(self) -> tuple[str, str, tuple[int, ...], int | None, int]:
        """Name, type, dimensions, bytes where the type is known, and where its data begins."""
        name = self._text(_LONGEST_NAME)
        count: int = self._take(_NUMBER)[0]
        if not 0 < count <= _MOST_DIMENSIONS:
            raise Broken(f"One of its tensors has {count} dimensions.")
        *sizes, kind, offset = self._take(_TENSOR[count])
        shape = tuple(sizes)
        elements = prod(shape)
        if max(shape) > _LARGEST or elements > _LARGEST or offset > _LARGEST:
            raise Broken("It claims a tensor that is larger than any model's.")
        if not elements:
            raise Broken("One of its tensors is empty.")
        if kind > _NEWEST_TYPE:
            return name, f"type {kind}", shape, None, offset
        if kind not in TYPES:
            raise Broken(
                f"Its weights have a type ({kind}) that llama.cpp has given up.",
                "Choose a newer file of the same model.",
            )
        label, block, size = TYPES[kind]
        if shape[0] % block:
            raise Broken(f"One of its tensors cannot be of the type {label}, as it claims.")
        return name, label, shape, elements // block * size, offset

    def _value(self, kind: int) -> Scalar | tuple[Scalar, ...] | None:
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            value: Scalar = self._take(_layout(kind))[0]
            return value
        inner, count = self._take(_ARRAY_HEAD)
        if inner == _ARRAY:
            raise Broken("Its header holds arrays inside arrays.")
        if inner == _TEXT:
            return self._texts(count)
        layout = _layout(inner)
        if count > _LONGEST_KEPT_ARRAY:
            self._go_to(self._before + self._at + count * layout.size)
            return None
        self._work.add(kept=count)
        return self._take(Struct(f"<{count}{_SCALARS[inner]}"))

    def _texts(self, count: int) -> tuple[str, ...] | None:
        if count > _LONGEST_KEPT_ARRAY:
            self._work.add(passed_over=count)
            self._pass_over_texts(count)
            return None
        self._work.add(kept=count)
        return tuple(self._text() for _ in range(count))

    def _text(self, longest: int = _LONGEST_TEXT) -> str:
        length: int = self._take(_LENGTH)[0]
        if length > longest:
            raise Broken("Its header holds a text that is far too long.")
        self._work.add(text_bytes=length)
        return self._bytes(length).decode("utf-8", "replace")

    def _pass_over_texts(self, count: int) -> None:
        """Vocabularies have hundreds of thousands, so this goes through the chunk without looking up."""
        began, left, length = self._before + self._at, count, _LENGTH.unpack_from
        while left:
            chunk, at = self._chunk, self._at
            try:
                for unread in range(left, 0, -1):  # noqa: B007 - counts for those that are left in the end
                    at += 8 + length(chunk, at)[0]
                left = 0
            except (StructError, OverflowError):
                left = unread  # the next one lies behind the chunk
            try:
                self._go_to(self._before + at)
                if left:
                    self._fill(8)
            except NeedMore as more:
                passed = count - left
                average = (more.offset - began) / passed if passed else 8
                behind = _BEHIND_TEXTS * count
                raise NeedMore(more.offset, more.offset + round(average * left) + behind) from None

    def _take(self, layout: Struct) -> tuple[Any, ...]:
        at = self._at
        if at + layout.size > len(self._chunk):
            self._fill(layout.size)
            at = 0
        self._at = at + layout.size
        return layout.unpack_from(self._chunk, at)

    def _bytes(self, count: int) -> bytes:
        at = self._at
        if at + count > len(self._chunk):
            self._fill(count)
            at = 0
        self._at = at + count
        return self._chunk[at : at + count]

    def _fill(self, count: int) -> None:
        """Let the chunk begin here and hold so many bytes at least."""
        here = self._before + self._at
        self._check(here + count)
        rest = self._chunk[self._at :]
        self._chunk = rest + self._file.read(max(count - len(rest), _CHUNK))
        self._before, self._at = here, 0
        if count > len(self._chunk):
            raise NeedMore(here + count, here + count)

    def _go_to(self, position: int) -> None:
        self._check(position)
        at = position - self._before
        if at > len(self._chunk):
            self._file.seek(position)
            self._chunk, self._before, at = b"", position, 0
        self._at = at

    def _check(self, position: int) -> None:
        """Raises `Broken` where no header, or not this file, has so many bytes."""
        if position > LONGEST_HEADER:
            raise Broken("Its header is larger than that of any model.")
        if position > self._size:
            raise Broken("It ends in the middle of its header: the download was cut short.")


def _is_told(found: Metadata) -> bool:
    """Whether a list of models has what it needs of the entries that belong before the vocabulary."""
    return f"{found.get('general.architecture')}.context_length" in found


def _layout(kind: int) -> Struct:
    if kind not in _READ:
        raise Broken(f"Its header holds a value of an unknown kind ({kind}).")
    return _READ[kind]


def _alignment(kind: int, value: object) -> int:
    """Of the weights behind the header, in bytes. llama.cpp takes a 32-bit power of two and nothing else."""
    if kind != _U32 or not isinstance(value, int) or not value or value & (value - 1):
        raise Broken("Its weights are aligned in a way that no model has.")
    return value
