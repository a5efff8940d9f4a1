"""Writes GGUF files byte by byte, remembers what stands where, and so lets a test say what to damage.

Nothing here stops anybody from writing nonsense; `draw` writes files that llama.cpp's own reader takes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import gguf

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, TEXT, ARRAY, U64 = 4, 8, 9, 10
TYPES: dict[int, tuple[int, int]] = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
"""The types of tensors that the reference library knows: the elements of a block, its bytes."""

ARCHITECTURES = (
    "llama", "gemma2", "gemma3", "gemma3n", "gemma4", "qwen3moe", "qwen35", "qwen3next", "deepseek2", "lfm2",
    "rwkv7", "mamba", "falcon-h1", "granitehybrid", "jamba", "gpt-oss", "cohere2", "llama4", "unheard-of", "",
)  # fmt: skip
NUMBERS = (
    "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.key_length_mla", "attention.value_length_mla", "attention.key_length_swa",
    "attention.value_length_swa", "attention.sliding_window", "attention.sliding_window_pattern",
    "attention.shared_kv_layers", "attention.kv_lora_rank", "attention.q_lora_rank", "rope.dimension_count",
    "nextn_predict_layers", "full_attention_interval", "expert_count", "expert_used_count",
    "expert_shared_count", "expert_feed_forward_length", "leading_dense_block_count",
    "ssm.inner_size", "ssm.state_size", "ssm.conv_kernel", "ssm.group_count", "ssm.time_step_rank",
    "wkv.head_size", "token_shift_count", "shortconv.l_cache",
)  # fmt: skip
"""What a model's need follows from."""

_LAYER_TENSORS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down_exps", "ffn_gate_chexps")

Single = int | float | bool | bytes


class Value(NamedTuple):
    """A value as it is written: its kind, and that of the elements where it is an array."""

    kind: int
    value: Single | Sequence[Single]
    inner: int = 0


class TensorInfo(NamedTuple):
    """A tensor as it is written; `dims` innermost first."""

    name: bytes
    dims: tuple[int, ...]
    kind: int
    offset: int


class Field(NamedTuple):
    """A number in a file: "length", "count", "kind", "dimension" or "offset", where, and how many bytes."""

    role: str
    at: int
    size: int


@dataclass
class Model:
    """What is to be written."""

    pairs: list[tuple[bytes, Value]] = field(default_factory=list)
    tensors: list[TensorInfo] = field(default_factory=list)
    version: int = 3
    alignment: int = 32


class Written(NamedTuple):
    """The bytes of a header, the numbers in it, and the size that the file should have with its weights."""

    data: bytes
    fields: tuple[Field, ...]
    file_bytes: int


def write(model: Model) -> Written:
    """The header, padded to where the weights begin."""
    out = _Out()
    out.data += b"GGUF" + struct.pack("<I", model.version)
    out.number("count", len(model.tensors), 8)
    out.number("count", len(model.pairs), 8)
    for key, value in model.pairs:
        out.text(key)
        out.number("kind", value.kind, 4)
        out.value(value)
    for tensor in model.tensors:
        out.text(tensor.name)
        out.number("count", len(tensor.dims), 4)
        for size in tensor.dims:
            out.number("dimension", size, 8)
        out.number("kind", tensor.kind, 4)
        out.number("offset", tensor.offset, 8)
    out.data += bytes(-len(out.data) % model.alignment)
    end = max((each.offset + size_of(each) for each in model.tensors), default=0)
    return Written(bytes(out.data), tuple(out.fields), len(out.data) + end)


class _Out:
    def __init__(self) -> None:
        self.data = bytearray()
        self.fields: list[Field] = []

    def number(self, role: str, value: int, size: int) -> None:
        self.fields.append(Field(role, len(self.data), size))
        self.data += value.to_bytes(size, "little")

    def text(self, text: bytes) -> None:
        self.number("length", len(text), 8)
        self.data += text

    def value(self, value: Value) -> None:
        if value.kind != ARRAY:
            self._single(value.kind, value.value)
            return
        assert isinstance(value.value, Sequence)
        self.number("kind", value.inner, 4)
        self.number("count", len(value.value), 8)
        for each in value.value:
            self._single(value.inner, each)

    def _single(self, kind: int, value: object) -> None:
        if kind == TEXT:
            assert isinstance(value, bytes)
            self.text(value)
        else:
            self.data += struct.pack(f"<{SCALARS[kind]}", value)


def size_of(tensor: TensorInfo) -> int:
    """Its bytes, where its type is one of `TYPES`."""
    block, size = TYPES[tensor.kind]
    elements = 1
    for each in tensor.dims:
        elements *= each
    return elements // block * size


def number(key: str, value: int) -> tuple[bytes, Value]:
    """A pair of a key and a whole number."""
    return key.encode(), Value(U32 if 0 <= value < 2**32 else U64, value)


def text(key: str, value: str) -> tuple[bytes, Value]:
    """A pair of a key and a text."""
    return key.encode(), Value(TEXT, value.encode())


def texts(count: int, length: int) -> Value:
    """A vocabulary: so many texts, of this length on average."""
    return Value(ARRAY, [b"x" * (1 + place % (2 * length - 1)) for place in range(count)], TEXT)


def vocabulary(count: int, merges: int = 0, *, scores: bool = True) -> list[tuple[bytes, Value]]:
    """A tokenizer's pairs, as large as they are with a real vocabulary of that size."""
    pairs = [
        (b"tokenizer.ggml.tokens", texts(count, 7)),
        (b"tokenizer.ggml.token_type", Value(ARRAY, [1] * count, 5)),
    ]
    if scores:
        pairs.append((b"tokenizer.ggml.scores", Value(ARRAY, [0.0] * count, 6)))
    if merges:
        pairs.append((b"tokenizer.ggml.merges", texts(merges, 8)))
    return pairs


def placed(shapes: Sequence[tuple[bytes, tuple[int, ...], int]], alignment: int = 32) -> list[TensorInfo]:
    """Tensors of these names, dimensions and types, each behind the one before, as llama.cpp wants them."""
    found, offset = [], 0
    for name, dims, kind in shapes:
        tensor = TensorInfo(name, dims, kind, offset)
        found.append(tensor)
        offset += -(-size_of(tensor) // alignment) * alignment
    return found


def draw(random: Random) -> Model:
    """A model that is well formed; its numbers are those of a small one, or anything at all."""
    architecture = random.choice(ARCHITECTURES)
    pairs = {b"general.architecture": Value(TEXT, architecture.encode())}
    layers = random.choice((0, 1, 2, 5, 40))
    pairs[f"{architecture}.block_count".encode()] = Value(U32, layers)
    for key in random.sample(NUMBERS, random.randrange(len(NUMBERS))):
        pairs[f"{architecture}.{key}".encode()] = _figure(random, layers)
    for place in range(random.randrange(6)):
        pairs[f"more.{place}".encode()] = _any_value(random)
    alignment = 32
    if random.random() < 0.2:
        alignment = 1 << random.randrange(13)
        pairs[b"general.alignment"] = Value(U32, alignment)
    names = ["token_embd.weight", "output.weight", "output_norm.weight"]
    names += [f"blk.{layer}.{name}.weight" for layer in range(layers) for name in _LAYER_TENSORS]
    shapes = [
        (name.encode(), *_dims(random))
        for name in random.sample(names, random.randrange(min(40, len(names))))
    ]
    if random.random() < 0.5:
        pairs |= dict(vocabulary(random.choice((1, 300, 5000)), scores=False))
    if random.random() < 0.5:
        pairs[b"tokenizer.chat_template"] = Value(TEXT, random.choice((b"", b"{{ messages }}")))
        pairs[b"general.file_type"] = Value(U32, random.randrange(40))
    order = list(pairs.items())
    random.shuffle(order)
    return Model(order, placed(shapes, alignment), random.choice((2, 3)), alignment)


def _figure(random: Random, layers: int) -> Value:
    """A number, or one for each layer, mostly one that a model could have."""

    def one() -> int:
        if random.random() < 0.2:
            return random.choice((2**31 - 1, 2**32 - 1, random.randrange(2**32)))
        return random.choice((0, 1, 2, 4, 8, 64, 128, 512, 4096, 14336, 131_072))

    match random.randrange(10):
        case 0:
            count = random.choice((layers, layers, 0, layers + 1, 4097))
            return Value(ARRAY, [one() for _ in range(count)], U32)
        case 1:
            return Value(ARRAY, [random.random() < 0.5 for _ in range(layers)], 7)
        case 2:
            return _any_value(random)
        case 3:
            return Value(U64, random.choice((2**63, 2**64 - 1, random.randrange(2**64))))
        case _:
            return Value(U32, one())


def _any_value(random: Random) -> Value:
    kind = random.choice((*SCALARS, TEXT, ARRAY))
    if kind != ARRAY:
        return Value(kind, _single(random, kind))
    inner = random.choice((*SCALARS, TEXT))
    count = random.choice((0, 1, 3, 40, 4096, 4097))
    one = _single(random, inner)
    return Value(ARRAY, [one] * count, inner)


def _single(random: Random, kind: int) -> Single:
    match kind:
        case 7:
            return random.random() < 0.5
        case 6 | 12:
            return random.choice((0.0, -0.0, 1.5, float("inf"), float("nan"), 2.0**100))
        case 8:
            return random.choice((b"", b"a text", "größer \U0001f600".encode(), random.randbytes(30)))
        case _:
            return int.from_bytes(random.randbytes(8), "little") % 2**7


def _dims(random: Random) -> tuple[tuple[int, ...], int]:
    kind = random.choice(tuple(TYPES))
    block = TYPES[kind][0]
    first = block * random.choice((1, 2, 16))
    return (first, *(random.choice((1, 3, 8, 32)) for _ in range(random.randrange(4)))), kind
