"""How long a context the engine gets when the person leaves it to us: as trained, as far as it fits.

The model's shape is read from the head of its GGUF file. The cache is counted as if every layer kept every
token; models with sliding windows need less, so they may get a shorter context than would fit.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from whisper_desktop.models.catalogue import KvGroup
from whisper_desktop.models.fit import CONTEXTS, budget_for, kv_cache_bytes
from whisper_desktop.values import ResourceInfo

_STRING, _ARRAY = 8, 9
# GGUF value types with their struct formats (gguf.md of the ggml repository).
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_LONGEST_STRING = 1_000_000
_MOST_ENTRIES = 1_000
_MOST_LAYERS = 10_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides its memory: trained context in tokens, file size in bytes, its KV heads."""

    trained_context: int
    file_bytes: int
    layers: tuple[KvGroup, ...]


def choose_context(shape: Shape | None, resources: ResourceInfo | None) -> int:
    """The longest of the usual contexts that the model knows and that fits; the shortest when in doubt."""
    shortest = min(CONTEXTS)
    if shape is None:
        return shortest
    if resources is not None:
        gpus = [gpu for gpu in resources.gpus if not gpu.unified and gpu.total_bytes]
        budget = budget_for(resources, gpus[0] if gpus else None)
        for context in CONTEXTS:
            need = shape.file_bytes + kv_cache_bytes(shape.layers, context)
            if context <= shape.trained_context and need <= budget.host + budget.gpu:
                return context
    return min(shortest, shape.trained_context)


def read_shape(path: Path) -> Shape | None:
    """The shape of the model in a GGUF file, or None when the file does not tell. Reads only its head."""
    try:
        with path.open("rb") as file:
            facts = _read_facts(file)
        return _shape(facts, path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def _shape(facts: Mapping[str, object], file_bytes: int) -> Shape:
    arch = facts["general.architecture"]

    def number(name: str, default: int | None = None) -> int:
        value = facts.get(f"{arch}.{name}", default)
        if not isinstance(value, int) or value <= 0:
            raise ValueError(name)
        return value

    layers, embedding = number("block_count"), number("embedding_length")
    heads = facts.get(f"{arch}.attention.head_count")
    most_heads = max(heads) if isinstance(heads, list) else number("attention.head_count")
    width = embedding // most_heads
    kv_heads = facts.get(f"{arch}.attention.head_count_kv", most_heads)
    per_layer = kv_heads if isinstance(kv_heads, list) else [kv_heads] * min(layers, _MOST_LAYERS)
    key, value = number("attention.key_length", width), number("attention.value_length", width)
    groups = tuple(KvGroup(1, count, key, value, None) for count in per_layer if isinstance(count, int))
    return Shape(number("context_length"), file_bytes, groups)


def _read_facts(file: BinaryIO) -> dict[str, object]:
    """The metadata before the tokenizer's, which is long and comes last."""
    magic, version, _tensors, entries = struct.unpack("<4sIQQ", _exactly(file, 24))
    if magic != b"GGUF" or version not in (2, 3) or entries > _MOST_ENTRIES:
        raise ValueError("not a GGUF file")
    facts: dict[str, object] = {}
    for _ in range(entries):
        key = _string(file)
        if key.startswith("tokenizer."):
            break
        (kind,) = struct.unpack("<I", _exactly(file, 4))
        facts[key] = _value(file, kind)
    return facts


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item, count = struct.unpack("<IQ", _exactly(file, 12))
        if count > _MOST_LAYERS or item == _ARRAY:
            raise ValueError("a list that long is not about layers")
        return [_value(file, item) for _ in range(count)]
    form = "<" + _NUMBERS[kind]
    return struct.unpack(form, _exactly(file, struct.calcsize(form)))[0]


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _LONGEST_STRING:
        raise ValueError("a name that long is not one")
    return _exactly(file, length).decode("utf-8", "replace")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("the file ends too early")
    return data
