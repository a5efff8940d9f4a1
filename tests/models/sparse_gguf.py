"""Writes GGUF files with the header and the size of real models, without their weights: sparse files.

Every tensor has its real shape and type; the data is a hole of zeros that takes no room on disk. A real
llama.cpp loads such a file, needs the memory that the real model needs, and even answers from it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

_BLOCK = {"F32": (1, 4), "Q4_K": (256, 144), "Q6_K": (256, 210)}  # elements of a block, its bytes
_SPECIAL = ("<|bos|>", "<|eos|>")
_LETTERS = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]  # GPT-2's stand-ins for space and line feed


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


def write_sparse(path: Path, shape: Shape) -> Path:
    """Write a model of `shape` to `path` and return it."""
    import gguf
    import numpy as np

    writer: Any = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name("sparse")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.window is not None:
        writer.add_sliding_window(shape.window)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_feed_forward_length(shape.feed_forward)
    writer.add_vocab_size(shape.vocabulary)
    tokens = list(itertools.islice(_tokens(), shape.vocabulary - len(_SPECIAL)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *_SPECIAL])
    writer.add_token_types([1] * len(tokens) + [3] * len(_SPECIAL))
    writer.add_token_merges([f"{token[:-1]} {token[-1]}" for token in tokens[len(_LETTERS) :]])
    writer.add_bos_token_id(shape.vocabulary - 2)
    writer.add_eos_token_id(shape.vocabulary - 1)
    writer.add_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    for name, dimensions, kind in tensors(shape):
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
        file.truncate(start + sum(size_of(dimensions, kind) for _, dimensions, kind in tensors(shape)))
    return path


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], str]]:
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


_Tensors = tuple[tuple[str, tuple[int, ...], str], ...]


def _feed_forward(shape: Shape, better: str) -> _Tensors:
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


def _more_norms(shape: Shape) -> _Tensors:
    if shape.architecture == "llama":
        return ()
    heads: _Tensors = (
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
    block, size = _BLOCK[kind]
    return prod(dimensions) // block * size


def _tokens() -> Iterator[str]:
    """Texts of one letter, then two, then three: each but the first ones is a shorter one and a letter."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(_LETTERS, repeat=length))
