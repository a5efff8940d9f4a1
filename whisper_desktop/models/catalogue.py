"""The models that the app knows: file, exact bytes, architecture, licence, abilities.

The figures come from `resources/catalogue/models.json`. `file_bytes_source` says how each size is known:
"published" (by who hosts the file), "computed" (llama.cpp's tensor sizes, within 0.3 %) or "approximate".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from whisper_desktop.models.shape import KvGroup
from whisper_desktop.settings.paths import resource


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model in one quantization. Sizes are bytes; `quality` is a score minus its uncertainty, or None.

    `gpu_weights` and `host_weights` are what lies where with every layer on the GPU. `state_bytes` is the
    recurrent state of one sequence; `compute_*` the buffers at 512 tokens a batch, to which one KiB for each
    token of context is added. `ollama` is its name there, None where it is fetched by its repository.
    """

    id: str
    repo: str
    file: str
    file_bytes: int
    file_bytes_source: str
    quant: str
    params: int
    gpu_weights: int
    host_weights: int
    train_ctx: int
    kv: tuple[KvGroup, ...]
    state_bytes: int
    compute_device_bytes: int
    compute_host_bytes: int
    licence: str
    vision: bool
    tools: bool
    reasoning: bool
    mixture: bool
    quality: float | None
    ollama: str | None

    @property
    def billions(self) -> float:
        """Parameters in billions: the "7B" of a model's name."""
        return self.params / 1e9

    @property
    def ollama_name(self) -> str:
        """What to give to `ollama pull`."""
        return self.ollama or f"hf.co/{self.repo}:{self.quant}"


@cache
def load() -> tuple[CatalogueModel, ...]:
    """Every model of the catalogue, in the order of the file."""
    entries = json.loads(resource("catalogue", "models.json").read_text("utf-8"))
    return tuple(_model(entry) for entry in entries)


def _model(entry: Mapping[str, Any]) -> CatalogueModel:
    quality = entry["quality"]
    return CatalogueModel(
        id=entry["id"],
        repo=entry["repo"],
        file=entry["file"],
        file_bytes=entry["file_bytes"],
        file_bytes_source=entry["file_bytes_source"],
        quant=entry["quant"],
        params=entry["params"],
        gpu_weights=entry["gpu_weights"],
        host_weights=entry["host_weights"],
        train_ctx=entry["train_ctx"],
        kv=tuple(KvGroup(**group) for group in entry["kv"]),
        state_bytes=entry["state_bytes_per_seq"],
        compute_device_bytes=entry["compute_device_bytes"],
        compute_host_bytes=entry["compute_host_bytes"],
        licence=entry["licence"],
        vision=entry["vision"],
        tools=entry["tools"],
        reasoning=entry["reasoning"],
        mixture=entry["expert_bytes"] > 0,
        quality=quality["score"] - quality["plus_minus"] if quality else None,
        ollama=entry["ollama"],
    )
