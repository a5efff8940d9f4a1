"""Writes small GGUF files that say of themselves what a test wants, with the reference library."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    name: str = "Tiny",
    kind: str = "model",
    context: int = 4096,
    file_type: int | None = 15,
    chat: bool = True,
    weights: int = 64,
    more: dict[str, int] | None = None,
) -> Path:
    """A model without a vocabulary: `weights` is how many 32-bit numbers its one tensor has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: Any = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_type(kind)
    writer.add_context_length(context)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    if file_type is not None:
        writer.add_file_type(file_type)
    if chat:
        writer.add_chat_template("{{ messages }}")
    for key, value in (more or {}).items():
        writer.add_uint32(key, value)
    writer.add_tensor("output.weight", np.arange(weights, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
