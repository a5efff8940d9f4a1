"""The guide's tokenizer, chat template and GGUF file.

Three things must agree byte for byte between training and llama.cpp, or answers go wrong without any error:
the pre-tokenizer (`gpt-2` equals `ByteLevel(use_regex=True)`; others split digits differently), the special
tokens (type CONTROL, otherwise they are spelt out in characters) and the chat template
(`chat_template.jinja`).
"""

import json
import random
from pathlib import Path
from typing import Any

from guide_data import HERE

BOS, USER, GUIDE, END = "<|bos|>", "<|user|>", "<|guide|>", "<|end|>"
SPECIAL = (BOS, USER, GUIDE, END)


def train_tokenizer(texts: list[str], vocab: int, rng: random.Random) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` with the special tokens at the end of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng.shuffle(texts)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens instead of {vocab}")
    return tokenizer


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """Write `model` (a `guide_model.Guide`) and its tokenizer as a q8_0 GGUF file."""
    import gguf

    shape = model.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Whisper Desktop Guide")
    writer.add_description("A tiny demo model that only knows the app Whisper Desktop.")
    writer.add_license("MIT")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    # Greedy unless asked otherwise: there is one right answer to each question.
    writer.add_sampling_temp(0.0)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocab)

    ids: dict[str, int] = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(ids[BOS])
    writer.add_eos_token_id(ids[END])
    writer.add_pad_token_id(ids[END])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template((HERE / "chat_template.jinja").read_text(encoding="utf-8").strip())

    for name, weight in model.state_dict().items():
        full_name = name if name.endswith(".weight") else name + ".weight"
        values = weight.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(full_name, values)
        else:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(full_name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
