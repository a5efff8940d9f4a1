"""The person's own llama-server options, as words of a command line. Pure.

They come last on it, so each wins over what the app, or a repair, would say about the same thing.
"""

from collections.abc import Sequence

FLAGS = {
    "n_ctx": ("-c", "--ctx-size"),
    "cache_type": ("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"),
    "n_gpu_layers": ("-ngl", "--gpu-layers", "--n-gpu-layers"),
    "repack": ("--no-repack", "-nr"),
    "port": ("--port",),
    "rpc": ("--rpc",),
}
"""The spellings of what a repair can change."""


def overriding(words: Sequence[str], key: str) -> str:
    """The option among `words` that wins over a change of `key`; "" where none does."""
    return next((flag for flag in FLAGS[key] if flag in words), "")


def named_by(words: Sequence[str], text: str) -> str:
    """The option that `text` is, or is a value of; "" where it is neither."""
    flag = ""
    for word in words:
        flag = word if is_flag(word) else flag
        if text and text in (word, flag):
            return flag
    return ""


def without(words: Sequence[str], flag: str) -> tuple[str, ...]:
    """`words` without each `flag` and the values that follow it."""
    left, dropping = [], False
    for word in words:
        if is_flag(word):
            dropping = word == flag
        if not dropping:
            left.append(word)
    return tuple(left)


def is_flag(word: str) -> bool:
    """Whether this is an option, and not a value such as -1."""
    return word.startswith("-") and not word[1:2].isdigit()


def no_flash_attention(words: Sequence[str]) -> bool:
    """Whether they switch off flash attention, without which llama.cpp refuses a quantized cache."""
    pairs = zip(words, words[1:], strict=False)
    return any(flag in ("-fa", "--flash-attn") and value in ("off", "0", "false") for flag, value in pairs)
