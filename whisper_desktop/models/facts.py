"""What a list of models says of each file: read from the metadata of its header alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.models.file_names import printable, quant_in
from whisper_desktop.models.gguf import GgufHeader, read_beginning
from whisper_desktop.values import ModelType

_EMBEDS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
"""Architectures that answer with vectors (llama.cpp, src/llama-arch.cpp)."""

_NO_MODELS = frozenset({"mmproj", "adapter", "imatrix"})
_CODES = re.compile(r"code(r|llama|gemma|qwen|geex|stral)?\b|starcoder|devstral|codestral", re.IGNORECASE)
_SEES = re.compile(r"\.vision\.")
_FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
}
"""llama_ftype (llama.h): what a file's `general.file_type` means."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a model file says of itself. `is_model` is False for what only belongs to one: a projector for
    images, an adapter. `train_ctx` is in tokens; None and "" are not told. `type` counts the file alone.
    """

    is_model: bool
    architecture: str = ""
    title: str = ""
    quant: str = ""
    train_ctx: int | None = None
    type: ModelType = ModelType.COMPLETION


def facts_of(path: Path) -> FileFacts:
    """Read them. Raises `ModelFileError` for a file that is no model."""
    return facts_in(read_beginning(path), path.name)


def facts_in(header: GgufHeader, name: str) -> FileFacts:
    """The facts in a header; `name` is the file's, which tells what the header leaves out."""
    told = header.metadata
    kind = str(told.get("general.type", "model"))
    projector = header.architecture == "clip" or kind == "mmproj"
    title = " ".join(str(told.get("general.name", "")).split())
    return FileFacts(
        is_model=not projector and kind not in _NO_MODELS and bool(header.architecture),
        architecture=printable(header.architecture)[:64],
        title=printable(title)[:200],
        quant=quant_in(name) or _file_type(told.get("general.file_type")),
        train_ctx=header.train_ctx,
        type=_type(header, f"{name} {title}"),
    )


def _file_type(value: object) -> str:
    return _FILE_TYPES.get(value, "") if isinstance(value, int) else ""


def _type(header: GgufHeader, names: str) -> ModelType:
    told = header.metadata
    pooling = told.get(f"{header.architecture}.pooling_type")
    if header.architecture in _EMBEDS or (isinstance(pooling, int) and pooling > 0):
        return ModelType.EMBEDDING
    if any(_SEES.search(key) for key in told):
        return ModelType.VISION
    if _CODES.search(names):
        return ModelType.CODE
    return ModelType.CHAT if told.get("tokenizer.chat_template") else ModelType.COMPLETION
