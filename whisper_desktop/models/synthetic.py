"""Writes a model of no use but to be timed: a dense llama with quantized weights of a fixed pattern.

Large enough that it does not fit a processor's cache, so that its answers wait for memory as a real model's
do. The engine cannot tell it from a real one; what it writes is noise.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

_MAGIC, _VERSION, _ALIGNMENT = b"GGUF", 3, 32
_UINT32, _FLOAT32, _STRING, _ARRAY = 4, 6, 8, 9
_F32, _Q4_K = 0, 12  # ggml_type
_BLOCK, _BLOCK_BYTES = 256, 144  # of Q4_K: two half floats, 12 bytes of scales, 128 bytes of figures
_SCALE = struct.pack("<ee", 0.0001, 0.0008)  # keeps what goes from layer to layer in bounds
_PATTERN_BLOCKS = 4096
_ONE = struct.pack("<f", 1.0)
_SPECIAL = ("<unk>", "<s>", "</s>")
_UNKNOWN, _CONTROL, _NORMAL, _BYTE = 2, 3, 1, 6
_CONTEXT = 8192

Dimensions = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Synthetic:
    """How large: `layers` like those of a model with 3 billion parameters, of 34 MB each by default."""

    layers: int = 28
    width: int = 2048
    kv_width: int = 512
    head_width: int = 128
    feed_forward: int = 8192
    vocabulary: int = 1024

    @property
    def size_bytes(self) -> int:
        """Of the weights, in bytes; the file is a few kilobytes larger."""
        return sum(_size(dimensions) for _, dimensions in self.tensors())

    def tensors(self) -> Iterator[tuple[str, Dimensions]]:
        """Name and dimensions, innermost first."""
        width, inner = self.width, self.feed_forward
        yield "token_embd.weight", (width, self.vocabulary)
        yield "output.weight", (width, self.vocabulary)
        yield "output_norm.weight", (width,)
        for layer in range(self.layers):
            for name, dimensions in (
                ("attn_norm", (width,)),
                ("attn_q", (width, width)),
                ("attn_k", (width, self.kv_width)),
                ("attn_v", (width, self.kv_width)),
                ("attn_output", (width, width)),
                ("ffn_norm", (width,)),
                ("ffn_gate", (width, inner)),
                ("ffn_up", (width, inner)),
                ("ffn_down", (inner, width)),
            ):
                yield f"blk.{layer}.{name}.weight", dimensions


def write_synthetic(path: Path, model: Synthetic, given_up: Callable[[], bool] = lambda: False) -> None:
    """Write it to `path`. Blocks for as long as the disk takes, or until `given_up`. Raises `OSError`."""
    pattern = _pattern()
    with path.open("xb") as file:
        file.write(_header(model))
        for _, dimensions in model.tensors():
            left = _size(dimensions)
            data = _ONE * prod(dimensions) if len(dimensions) == 1 else pattern
            while left > 0 and not given_up():
                left -= file.write(data[:left])


def _size(dimensions: Dimensions) -> int:
    return 4 * dimensions[0] if len(dimensions) == 1 else prod(dimensions) // _BLOCK * _BLOCK_BYTES


def _pattern() -> bytes:
    """Blocks of random figures: a graphics card computes zeros with less power, and so faster."""
    source = random.Random(7)  # noqa: S311 - no secret
    rest = _BLOCK_BYTES - len(_SCALE)
    return b"".join(_SCALE + source.randbytes(rest) for _ in range(_PATTERN_BLOCKS))


def _header(model: Synthetic) -> bytes:
    """Everything before the weights. Every tensor's size is a multiple of the alignment."""
    pairs = [
        _text("general.architecture", "llama"),
        _text("general.name", "Synthetic model for timing"),
        _number("llama.block_count", model.layers),
        _number("llama.context_length", _CONTEXT),
        _number("llama.embedding_length", model.width),
        _number("llama.feed_forward_length", model.feed_forward),
        _number("llama.attention.head_count", model.width // model.head_width),
        _number("llama.attention.head_count_kv", model.kv_width // model.head_width),
        _number("llama.rope.dimension_count", model.head_width),
        _pair("llama.attention.layer_norm_rms_epsilon", _FLOAT32, struct.pack("<f", 1e-5)),
        *_vocabulary(model.vocabulary),
    ]
    tensors, at = [], 0
    for name, dimensions in model.tensors():
        kind = _F32 if len(dimensions) == 1 else _Q4_K
        counts = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        tensors.append(_string(name) + counts + struct.pack("<IQ", kind, at))
        at += _size(dimensions)
    start = _MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(pairs))
    header = start + b"".join((*pairs, *tensors))
    return header + bytes(-len(header) % _ALIGNMENT)


def _vocabulary(count: int) -> list[bytes]:
    """Tokens for every byte, so that any text can be read, and some more that none is made of."""
    first = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = [*first, *(f"token{number}" for number in range(len(first), count))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256 + [_NORMAL] * (count - len(first))
    return [
        _text("tokenizer.ggml.model", "llama"),
        _pair("tokenizer.ggml.tokens", _ARRAY, _array(_STRING, count) + b"".join(map(_string, tokens))),
        _pair("tokenizer.ggml.scores", _ARRAY, _array(_FLOAT32, count) + bytes(4 * count)),
        _pair("tokenizer.ggml.token_type", _ARRAY, _array(5, count) + struct.pack(f"<{count}i", *kinds)),
        _number("tokenizer.ggml.unknown_token_id", 0),
        _number("tokenizer.ggml.bos_token_id", 1),
        _number("tokenizer.ggml.eos_token_id", 2),
        _text("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}\n{% endfor %}"),
    ]


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _array(kind: int, count: int) -> bytes:
    return struct.pack("<IQ", kind, count)


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _string(key) + struct.pack("<I", kind) + value


def _number(key: str, value: int) -> bytes:
    return _pair(key, _UINT32, struct.pack("<I", value))


def _text(key: str, value: str) -> bytes:
    return _pair(key, _STRING, _string(value))
