"""The models a test server claims to have, read from JSON."""

import json
from dataclasses import dataclass, fields
from typing import Any


@dataclass
class ModelSpec:
    """One model. Sizes in bytes, contexts in tokens.

    `context_length` is the loaded instance's, `max_context_length` what it was trained for. `remote_host` and
    `remote_model` make an Ollama cloud model, `device` an LM Link one. `capabilities` uses completion, tools,
    vision, thinking, embedding. Prices are OpenRouter's: USD a token, as text.
    """

    id: str
    loaded: bool = True
    context_length: int = 4096
    max_context_length: int = 131072
    size_bytes: int = 2_019_393_189
    capabilities: tuple[str, ...] = ("completion", "tools")
    embedding: bool = False
    remote_host: str = ""
    remote_model: str = ""
    device: str = ""
    quantization: str = "Q4_K_M"
    parameter_size: str = "3.2B"
    family: str = "llama"
    prompt_price: str = "0.00000015"
    completion_price: str = "0.0000006"

    def __post_init__(self) -> None:
        self.capabilities = ("embedding",) if self.embedding else tuple(self.capabilities)


def read_models(value: object) -> list[ModelSpec]:
    """Models from a JSON list of ids or objects with the fields of `ModelSpec`. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError("models must be a list")
    known = {field.name for field in fields(ModelSpec)}
    models = []
    for item in value:
        entry: dict[str, Any] = {"id": item} if isinstance(item, str) else dict(item)
        if unknown := set(entry) - known:
            raise ValueError(
                f"a model has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
            )
        models.append(ModelSpec(**entry))
    return models


def parse_models(text: str) -> list[ModelSpec]:
    """`read_models` on JSON text."""
    return read_models(json.loads(text))
