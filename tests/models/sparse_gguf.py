"""Writes GGUF files with the header and the size of real models, without their weights: sparse files.

Every tensor has its real shape and type; the data is a hole of zeros that takes no room on disk. A real
llama.cpp loads such a file, needs the memory that the real model needs, and even answers from it. The
families of models are in `sparse_families`.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

Tensors = Iterator[tuple[str, tuple[int, ...], str]]
"""Name, dimensions (innermost first) and type of tensors."""

_SPECIAL = ("<|bos|>", "<|eos|>")
_LETTERS = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]  # GPT-2's stand-ins for space and line feed
_BYTES = [f"<0x{code:02X}>" for code in range(256)]
_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


@dataclass(frozen=True, slots=True)
class Sparse:
    """A model to be written. `metadata` is without the architecture's prefix; `tokenizer` is "gpt2" (pairs of
    tokens that are merged, most models have it) or "llama" (tokens with scores).
    """

    architecture: str
    metadata: Mapping[str, object]
    tensors: tuple[tuple[str, tuple[int, ...], str], ...]
    vocabulary: int
    tokenizer: str = "gpt2"


@dataclass(frozen=True, slots=True)
class Shape:
    """A model, quantized in the mix Q4_K_M. `tied`: the output uses the embeddings.

    `architecture` is "llama", "gemma3" (with a sliding `window` in five of six layers) or "qwen3moe" (with
    `experts`, of which `experts_used` serve a token; `feed_forward` is then that of one expert).
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    tied: bool
    context: int = 131_072
    architecture: str = "llama"
    window: int | None = None
    experts: int = 0
    experts_used: int = 0


ONE_BILLION = Shape(16, 2048, 32, 8, 64, 8192, 128_256, tied=True)
"""Llama 3.2 1B."""

THREE_BILLION = Shape(28, 3072, 24, 8, 128, 8192, 128_256, tied=True)
"""Llama 3.2 3B."""

EIGHT_BILLION = Shape(32, 4096, 32, 8, 128, 14336, 128_256, tied=False)
"""Llama 3.1 8B."""

SMALL = Shape(4, 1024, 16, 8, 64, 4096, 8_192, tied=False)
"""No real model: large enough to be measured, small enough for every test run."""

WINDOWED = Shape(
    12, 1024, 4, 2, 256, 4096, 8_192, tied=True, context=32_768, architecture="gemma3", window=512
)
"""No real model, with sliding windows."""

MIXTURE = Shape(
    4, 1024, 16, 4, 128, 512, 8_192, tied=False, architecture="qwen3moe", experts=32, experts_used=8
)
"""No real model, a mixture of experts."""


def write_sparse(path: Path, model: Shape | Sparse) -> Path:
    """Write `model` to `path` and return it."""
    import gguf
    import numpy as np

    sparse = model if isinstance(model, Sparse) else _of_shape(model)
    writer: Any = gguf.GGUFWriter(path, sparse.architecture)
    writer.add_name("sparse")
    for key, value in sparse.metadata.items():
        _ADD[type(value)](writer, f"{sparse.architecture}.{key}", value)
    writer.add_vocab_size(sparse.vocabulary)
    _add_tokens(writer, sparse)
    for name, dimensions, kind in sparse.tensors:
        writer.add_tensor_info(
            name,
            dimensions[::-1],
            np.dtype(np.float32),
            size_of(dimensions, kind),
            raw_dtype=gguf.GGMLQuantizationType[kind],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // 32) * 32
    with path.open("rb+") as file:
        file.truncate(start + sum(-(-size_of(each, kind) // 32) * 32 for _, each, kind in sparse.tensors))
    return path


_ADD: dict[type, Callable[[Any, str, Any], None]] = {
    int: lambda writer, key, value: writer.add_uint32(key, value),
    bool: lambda writer, key, value: writer.add_bool(key, value),
    float: lambda writer, key, value: writer.add_float32(key, value),
    list: lambda writer, key, value: writer.add_array(key, value),
}


def _add_tokens(writer: Any, sparse: Sparse) -> None:
    writer.add_tokenizer_model(sparse.tokenizer)
    writer.add_chat_template(_TEMPLATE)
    if sparse.tokenizer == "gpt2":
        tokens = _texts(sparse.vocabulary - len(_SPECIAL))
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list([*tokens, *_SPECIAL])
        writer.add_token_types([_NORMAL] * len(tokens) + [_CONTROL] * len(_SPECIAL))
        writer.add_token_merges([f"{token[:-1]} {token[-1]}" for token in tokens[len(_LETTERS) :]])
        writer.add_bos_token_id(sparse.vocabulary - 2)
        writer.add_eos_token_id(sparse.vocabulary - 1)
    else:
        first = ["<unk>", "<s>", "</s>", *_BYTES]
        tokens = [token.replace("Ġ", "▁") for token in _texts(sparse.vocabulary - len(first))]
        writer.add_tokenizer_pre("default")
        writer.add_token_list([*first, *tokens])
        writer.add_token_scores([-float(number) for number in range(sparse.vocabulary)])
        kinds = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * len(_BYTES) + [_NORMAL] * len(tokens)
        writer.add_token_types(kinds)
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)


def _of_shape(shape: Shape) -> Sparse:
    metadata: dict[str, object] = {
        "context_length": shape.context,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head_width,
        "attention.value_length": shape.head_width,
        "rope.dimension_count": shape.head_width,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if shape.window is not None:
        metadata["attention.sliding_window"] = shape.window
    if shape.experts:
        metadata["expert_count"] = shape.experts
        metadata["expert_used_count"] = shape.experts_used
        metadata["expert_feed_forward_length"] = shape.feed_forward
    return Sparse(shape.architecture, metadata, tuple(tensors(shape)), shape.vocabulary)


def tensors(shape: Shape) -> Tensors:
    """Name, dimensions (innermost first) and type of every tensor."""
    width, queries = shape.width, shape.heads * shape.head_width
    keys = shape.kv_heads * shape.head_width
    table = (width, shape.vocabulary)
    yield "token_embd.weight", table, "Q6_K" if shape.tied else "Q4_K"
    if not shape.tied:
        yield "output.weight", table, "Q6_K"
    yield "output_norm.weight", (width,), "F32"
    for layer in range(shape.layers):
        better = "Q6_K" if layer % 2 else "Q4_K"
        for name, dimensions, kind in (
            ("attn_norm", (width,), "F32"),
            ("attn_q", (width, queries), "Q4_K"),
            ("attn_k", (width, keys), "Q4_K"),
            ("attn_v", (width, keys), better),
            ("attn_output", (queries, width), "Q4_K"),
            ("ffn_norm", (width,), "F32"),
            *_feed_forward(shape, better),
            *_more_norms(shape),
        ):
            yield f"blk.{layer}.{name}.weight", dimensions, kind


_Some = tuple[tuple[str, tuple[int, ...], str], ...]


def _feed_forward(shape: Shape, better: str) -> _Some:
    width, inner = shape.width, shape.feed_forward
    if not shape.experts:
        return (
            ("ffn_gate", (width, inner), "Q4_K"),
            ("ffn_up", (width, inner), "Q4_K"),
            ("ffn_down", (inner, width), better),
        )
    return (
        ("ffn_gate_inp", (width, shape.experts), "F32"),
        ("ffn_gate_exps", (width, inner, shape.experts), "Q4_K"),
        ("ffn_up_exps", (width, inner, shape.experts), "Q4_K"),
        ("ffn_down_exps", (inner, width, shape.experts), better),
    )


def _more_norms(shape: Shape) -> _Some:
    if shape.architecture == "llama":
        return ()
    heads: _Some = (
        ("attn_q_norm", (shape.head_width,), "F32"),
        ("attn_k_norm", (shape.head_width,), "F32"),
    )
    if shape.architecture != "gemma3":
        return heads
    return (
        *heads,
        ("post_attention_norm", (shape.width,), "F32"),
        ("post_ffw_norm", (shape.width,), "F32"),
    )


def size_of(dimensions: tuple[int, ...], kind: str) -> int:
    """The bytes of a tensor."""
    block, size = _blocks()[kind]
    return prod(dimensions) // block * size


@cache
def _blocks() -> dict[str, tuple[int, int]]:
    """The elements of a block of each type, and its bytes."""
    import gguf

    return {kind.name: sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}


def _texts(count: int) -> list[str]:
    return list(itertools.islice(_tokens(), count))


def _tokens() -> Iterator[str]:
    """Texts of one letter, then two, then three: each but the first ones is a shorter one and a letter."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(_LETTERS, repeat=length))
