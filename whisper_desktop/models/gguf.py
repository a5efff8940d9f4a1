"""The header of a GGUF file: bounded, and safe against files that are broken or made to harm.

Format: github.com/ggml-org/ggml, docs/gguf.md. Versions 2 and 3 (little endian) are read: the metadata, and
what tensors there are; never the weights themselves.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from whisper_desktop.errors import ModelFileError

_MAGIC = b"GGUF"
_MOST_PAIRS = 10_000
_MOST_TENSORS = 100_000
_MOST_PARTS = 1_000
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_LARGEST = 2**50  # bytes of one tensor, and its elements
_LONGEST_TEXT = 1_000_000  # bytes: chat templates are tens of kilobytes
_LONGEST_NAME = 256  # bytes of a tensor's name; ggml's own limit is 64
_LONGEST_HEADER = 256_000_000  # bytes: the largest vocabularies take about 20 MB
_MOST_LAYERS = 10_000
_LONGEST_KEPT_ARRAY = 4_096  # elements; longer arrays (vocabularies) are passed over
_MOST_KEPT = 200_000  # values in all; models with a few hundred layers have thousands
_MOST_KEPT_TEXT = 10_000_000  # bytes in all
_MOST_PASSED_OVER = 2_000_000  # texts in all; the largest vocabularies have 800,000 with their merges
_CHUNK = 1 << 18  # bytes read at once

_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9

_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}
"""ggml_type (ggml.h): its name, the elements of one block, and the bytes of one block (ggml-common.h)."""

_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")
_LAYER = re.compile(r"blk\.(\d{1,5})\.")

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its type as ggml names it, such as "Q4_K", its dimensions innermost first, its bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def layer(self) -> int | None:
        """The layer it belongs to, counted from 0; None for embeddings, output and what all layers share."""
        match = _LAYER.match(self.name)
        return int(match[1]) if match else None

    @property
    def rows(self) -> int:
        """The second dimension: what repacking for the processor goes by."""
        return self.shape[1] if len(self.shape) > 1 else 1


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself. `metadata` holds scalars, texts and short arrays.

    For a model in several files it is all of them together. `tensors` is empty where they were not read.
    """

    metadata: Mapping[str, Scalar | tuple[Scalar, ...]]
    file_bytes: int
    tensors: tuple[Tensor, ...] = ()

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, such as "llama" or "gemma3"."""
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str) -> int | None:
        """A whole number above 0 under the architecture's own prefix, else None."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def train_ctx(self) -> int | None:
        """The context window that the model was trained with, in tokens."""
        return self.number("context_length")

    @property
    def layers(self) -> int | None:
        """How many repeating layers there are (llama.cpp counts the output as one more); None: not told."""
        count = self.number("block_count")
        return count if count is not None and count <= _MOST_LAYERS else None


def read_header(path: Path, *, tensors: bool = True) -> GgufHeader:
    """The header of the model at `path`, which may be the first of several files.

    `tensors` False reads the metadata alone, and of the first file alone, which is faster. Raises
    `ModelFileError` with what is wrong with it.
    """
    work = _Work()
    header = _read_file(path, tensors, work)
    count = header.metadata.get("split.count")
    match = _PART.search(path.name)
    if not tensors or match is None or not isinstance(count, int) or not 1 < count <= _MOST_PARTS:
        return header
    parts = [
        _read_file(
            path.with_name(f"{path.name[: match.start()]}-{number:05}-of-{match[1]}.gguf"), tensors, work
        )
        for number in range(2, count + 1)
    ]
    return GgufHeader(
        header.metadata,
        header.file_bytes + sum(part.file_bytes for part in parts),
        header.tensors + tuple(tensor for part in parts for tensor in part.tensors),
    )


def header_if_readable(path: Path | None) -> GgufHeader | None:
    """The metadata of the file at `path`; None without a file, or where it cannot be read."""
    try:
        return read_header(path) if path is not None else None
    except (ModelFileError, OSError):
        return None


def _read_file(path: Path, tensors: bool, work: "_Work") -> GgufHeader:
    try:
        if path.exists() and not path.is_file():  # to open a pipe is to wait for somebody who writes into it
            raise ModelFileError(
                f"The model file {path.name} cannot be read.",
                "It is a folder or a device, not a file.",
                "Choose a GGUF file.",
            )
        with path.open("rb") as file:
            size = path.stat().st_size
            reader = _Reader(file, size, work)
            metadata = reader.metadata()
            return GgufHeader(metadata, size, reader.tensors(metadata) if tensors else ())
    except FileNotFoundError:
        raise ModelFileError(
            f"The model file {path.name} is not there.",
            f"Nothing is at {path}.",
            "Choose another file in Setup, or download it again.",
        ) from None
    except OSError as error:
        raise ModelFileError(
            f"The model file {path.name} cannot be read.",
            f"The system says: {error.strerror}.",
            "Check the file and its permissions.",
        ) from None
    except _Broken as broken:
        raise ModelFileError(
            f"The file {path.name} is not a model that can be used.",
            f"{broken}",
            "Download it again, or choose another GGUF file.",
        ) from None


class _Broken(Exception):
    """The file breaks the format; the message is a sentence."""


@dataclass(slots=True)
class _Work:
    """What reading a model, with all its files, has come to so far: its time and its memory."""

    kept: int = 0
    text_bytes: int = 0
    passed_over: int = 0
    tensors: int = 0

    def add(self, *, kept: int = 0, text_bytes: int = 0, passed_over: int = 0, tensors: int = 0) -> None:
        """Count what is about to be read. Raises `_Broken` where that is more than any model needs."""
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
            raise _Broken("Its header claims more entries than any model has.")


class _Reader:
    def __init__(self, file: BinaryIO, size: int, work: _Work) -> None:
        self._file = file
        self._size = size
        self._work = work
        self._chunk = b""
        self._at = 0  # in the chunk
        self._before = 0  # bytes of the file before the chunk
        self._tensors = 0

    def metadata(self) -> dict[str, Scalar | tuple[Scalar, ...]]:
        if self._bytes(4) != _MAGIC:
            raise _Broken("It does not begin like a GGUF file.")
        version = self._number("<I")
        if version not in (2, 3):
            raise _Broken(f"It says it is version {version} of the format; versions 2 and 3 are known.")
        self._tensors = self._number("<Q")
        pairs = self._number("<Q")
        if pairs > _MOST_PAIRS:
            raise _Broken("Its header claims more entries than any model has.")
        self._work.add(kept=pairs, tensors=self._tensors)
        found: dict[str, Scalar | tuple[Scalar, ...]] = {}
        for _ in range(pairs):
            key = self._text()
            value = self._value(self._number("<I"))
            if value is not None:
                found[key] = value
        return found

    def tensors(self, metadata: Mapping[str, object]) -> tuple[Tensor, ...]:
        """What follows the metadata. `metadata` tells how the weights after it are aligned."""
        entries = [self._tensor() for _ in range(self._tensors)]
        given = metadata.get("general.alignment", 32)
        alignment = given if isinstance(given, int) and 0 < given <= 2**20 else 32
        start = -(-(self._before + self._at) // alignment) * alignment
        ends = dict(
            zip(*_neighbours(sorted({offset for *_, offset in entries}), self._size - start), strict=True)
        )
        return tuple(
            Tensor(name, kind, shape, max(0, ends[offset] - offset) if size is None else size)
            for name, kind, shape, size, offset in entries
        )

    def _tensor(self) -> tuple[str, str, tuple[int, ...], int | None, int]:
        """Name, type, dimensions, bytes where the type is known, and where its data begins."""
        name = self._text(_LONGEST_NAME)
        count = self._number("<I")
        if not 0 < count <= _MOST_DIMENSIONS:
            raise _Broken(f"One of its tensors has {count} dimensions.")
        shape = struct.unpack(f"<{count}Q", self._bytes(8 * count))
        kind, offset = struct.unpack("<IQ", self._bytes(12))
        elements = prod(shape)
        if not 0 < elements <= _LARGEST or max(shape) > _LARGEST or offset > _LARGEST:
            raise _Broken("It claims a tensor that is larger than any model's.")
        if kind not in _TYPES:
            return name, f"type {kind}", shape, None, offset
        label, block, size = _TYPES[kind]
        if shape[0] % block:
            raise _Broken(f"One of its tensors cannot be of the type {label}, as it claims.")
        return name, label, shape, elements // block * size, offset

    def _value(self, kind: int) -> Scalar | tuple[Scalar, ...] | None:
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            return self._scalar(kind)
        inner, count = self._number("<I"), self._number("<Q")
        if inner == _ARRAY:
            raise _Broken("Its header holds arrays inside arrays.")
        if inner == _TEXT:
            return self._texts(count)
        layout = self._format(inner)
        if count > _LONGEST_KEPT_ARRAY:
            self._skip(count * struct.calcsize(layout))
            return None
        self._work.add(kept=count)
        layout = f"<{count}{layout[1]}"
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def _texts(self, count: int) -> tuple[str, ...] | None:
        if count > _LONGEST_KEPT_ARRAY:
            self._work.add(passed_over=count)
            self._skip_texts(count)
            return None
        self._work.add(kept=count)
        return tuple(self._text() for _ in range(count))

    def _scalar(self, kind: int) -> Scalar:
        layout = self._format(kind)
        value: Scalar = struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]
        return value

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise _Broken(f"Its header holds a value of an unknown kind ({kind}).")
        return _SCALARS[kind]

    def _number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]
        return value

    def _text(self, longest: int = _LONGEST_TEXT) -> str:
        length = self._number("<Q")
        if length > longest:
            raise _Broken("Its header holds a text that is far too long.")
        self._work.add(text_bytes=length)
        return self._bytes(length).decode("utf-8", "replace")

    def _skip_texts(self, count: int) -> None:
        """Pass over `count` texts. Vocabularies have hundreds of thousands, so this works on the chunk."""
        while count:
            chunk, at, end = self._chunk, self._at, len(self._chunk) - 8
            while count and at <= end:
                following = at + 8 + int.from_bytes(chunk[at : at + 8], "little")
                if following > len(chunk):
                    break
                at, count = following, count - 1
            self._at = at
            if count:
                self._skip(self._number("<Q"))
                count -= 1

    def _bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._chunk):
            self._count(count)
            self._before += self._at
            self._chunk = self._chunk[self._at :] + self._file.read(max(count, _CHUNK))
            self._at, end = 0, count
            if end > len(self._chunk):
                raise _Broken("It ends in the middle of its header: the download was cut short.")
        data = self._chunk[self._at : end]
        self._at = end
        return data

    def _skip(self, count: int) -> None:
        end = self._at + count
        if end > len(self._chunk):
            self._count(count)
            self._before += end
            self._file.seek(self._before)
            self._chunk, end = b"", 0
        self._at = end

    def _count(self, count: int) -> None:
        if self._before + self._at + count > _LONGEST_HEADER:
            raise _Broken("Its header is larger than that of any model.")


def _neighbours(offsets: list[int], end: int) -> tuple[list[int], list[int]]:
    """The offsets, and for each where the next one, or the file, begins."""
    return offsets, [*offsets[1:], end] if offsets else []
