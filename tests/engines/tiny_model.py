"""Makes the engine tests' model: a random llama of about 100 kB that a real llama.cpp loads and runs.

Its answers are random letters without an end, which is all that start, stop and supervision need; it keeps
these tests independent of the guide. Letters, because a random byte is mostly half a character, which servers
hold back: whether an answer had text, and in how many pieces, would be chance. The weights come from a fixed
seed, so every run makes the same file.
"""

from pathlib import Path
from typing import Any

CONTEXT = 131_072
"""Trained context, in tokens: long enough that an answer with `ignore_eos` outlives every stop test."""

_SPECIAL = ("<|bos|>", "<|eos|>")
_LAYERS, _EMBED, _HEADS, _FEED_FORWARD = 1, 32, 1, 64
_LETTERS = [ord(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
_BIAS = 8.0
"""What the first dimension, which all tokens share, adds to a letter's logit and takes from the others'."""


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    stand_ins = iter(range(256, 512))
    return [chr(byte if byte in printable else next(stand_ins)) for byte in range(256)]


def write_tiny_model(
    path: Path, *, name: str = "tiny random llama", architecture: str = "llama", tokenizer: str = "gpt-2"
) -> Path:
    """Write the model to `path` and return it.

    `name` is what it calls itself. `architecture` and `tokenizer` (the pre-tokenizer's name) can be ones that
    no llama.cpp knows.
    """
    import gguf
    import numpy as np

    random = np.random.default_rng(7)
    tokens = [*_byte_characters(), "th", *_SPECIAL]
    writer: Any = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_EMBED)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_EMBED // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(_SPECIAL)) + [3] * len(_SPECIAL))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")

    def add(name: str, *shape: int) -> None:
        tensor = random.normal(0, 0.3, shape).astype(np.float32)
        if name == "token_embd.weight":
            tensor[:, 0] = 1.0
        elif name == "output_norm.weight":
            tensor[0] = 1.0
        elif name == "output.weight":
            tensor[:, 0] = -_BIAS
            tensor[_LETTERS, 0] = _BIAS
        elif name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensor[0] = 0.0  # the layers leave the first dimension as it came
        writer.add_tensor(name, tensor)

    add("token_embd.weight", len(tokens), _EMBED)
    add("output_norm.weight", _EMBED)
    add("output.weight", len(tokens), _EMBED)
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}.weight", _EMBED)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", _EMBED, _EMBED)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{layer}.{name}.weight", _FEED_FORWARD, _EMBED)
        add(f"blk.{layer}.ffn_down.weight", _EMBED, _FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
