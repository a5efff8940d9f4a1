"""The metadata of a GGUF file: bounded, and safe against files that are broken or made to harm.

Format: github.com/ggml-org/ggml, docs/gguf.md. Versions 2 and 3 (little endian) are read; tensors are not.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.catalogue import KvGroup

_MAGIC = b"GGUF"
_MOST_PAIRS = 10_000
_LONGEST_TEXT = 1_000_000  # bytes: chat templates are tens of kilobytes
_LONGEST_HEADER = 256_000_000  # bytes: the largest vocabularies take about 20 MB
_MOST_LAYERS = 10_000
_LONGEST_KEPT_ARRAY = 4_096  # elements; longer arrays (vocabularies) are passed over

_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself. `metadata` holds scalars, texts and short arrays."""

    metadata: Mapping[str, Scalar | tuple[Scalar, ...]]
    file_bytes: int

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
    def kv_groups(self) -> tuple[KvGroup, ...]:
        """The KV cache as if every layer kept every token (windows need less); () if it does not tell."""
        layers, width = self.number("block_count"), self.number("embedding_length")
        heads = self._per_layer("attention.head_count", layers, None)
        if not (layers and width and heads):
            return ()
        kv_heads = self._per_layer("attention.head_count_kv", layers, max(heads))
        k_dim = self.number("attention.key_length") or width // max(heads)
        v_dim = self.number("attention.value_length") or k_dim
        return tuple(KvGroup(1, count, k_dim, v_dim, None) for count in kv_heads if count)

    def _per_layer(self, key: str, layers: int | None, default: int | None) -> tuple[int, ...]:
        """A number that a file gives once, or once for each layer."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, tuple):
            return tuple(entry for entry in value if isinstance(entry, int) and entry >= 0)
        if not isinstance(value, int) or value <= 0 or not layers:
            return ()
        return (value,) * min(layers, _MOST_LAYERS)


def read_header(path: Path) -> GgufHeader:
    """The metadata of the file at `path`. Raises `ModelFileError` with what is wrong with it."""
    try:
        with path.open("rb") as file:
            return GgufHeader(_Reader(file).metadata(), path.stat().st_size)
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


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._read = 0

    def metadata(self) -> dict[str, Scalar | tuple[Scalar, ...]]:
        if self._bytes(4) != _MAGIC:
            raise _Broken("It does not begin like a GGUF file.")
        version = self._number("<I")
        if version not in (2, 3):
            raise _Broken(f"It says it is version {version} of the format; versions 2 and 3 are known.")
        self._number("<Q")  # how many tensors
        pairs = self._number("<Q")
        if pairs > _MOST_PAIRS:
            raise _Broken("Its header claims more entries than any model has.")
        found: dict[str, Scalar | tuple[Scalar, ...]] = {}
        for _ in range(pairs):
            key = self._text()
            value = self._value(self._number("<I"))
            if value is not None:
                found[key] = value
        return found

    def _value(self, kind: int) -> Scalar | tuple[Scalar, ...] | None:
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            return self._scalar(kind)
        inner, count = self._number("<I"), self._number("<Q")
        if inner == _ARRAY:
            raise _Broken("Its header holds arrays inside arrays.")
        if count <= _LONGEST_KEPT_ARRAY:
            return tuple(self._text() if inner == _TEXT else self._scalar(inner) for _ in range(count))
        if inner == _TEXT:
            for _ in range(count):
                self._skip(self._number("<Q"))
        else:
            self._skip(count * struct.calcsize(self._format(inner)))
        return None

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

    def _text(self) -> str:
        length = self._number("<Q")
        if length > _LONGEST_TEXT:
            raise _Broken("Its header holds a text that is far too long.")
        return self._bytes(length).decode("utf-8", "replace")

    def _bytes(self, count: int) -> bytes:
        self._count(count)
        data = self._file.read(count)
        if len(data) < count:
            raise _Broken("It ends in the middle of its header: the download was cut short.")
        return data

    def _skip(self, count: int) -> None:
        self._count(count)
        self._file.seek(count, 1)

    def _count(self, count: int) -> None:
        self._read += count
        if self._read > _LONGEST_HEADER:
            raise _Broken("Its header is larger than that of any model.")
