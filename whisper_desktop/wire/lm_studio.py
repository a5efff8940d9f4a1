"""LM Studio's own lists of models, to values. No I/O.

They know what `/v1/models` does not: what is loaded, with which context, which models only embed, and which
run on another computer (LM Link).
"""

from collections.abc import Mapping

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo
from whisper_desktop.wire import fields

LIST_V1 = "/api/v1/models"
LIST_V0 = "/api/v0/models"


def decode_list(value: object) -> tuple[ModelInfo, ...]:
    """The models of `/api/v1/models` (0.4 and later) or `/api/v0/models` (0.3.6 and later).

    Raises `BackendError` NOT_AN_LLM for anything else, which includes LM Studio's 200 for unknown paths.
    """
    if isinstance(value, dict) and isinstance(value.get("models"), list):
        return tuple(_v1(entry) for entry in value["models"] if _is_named(entry, "key"))
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        entries = [entry for entry in value["data"] if _is_named(entry, "id")]
        if all("state" in entry for entry in entries):
            return tuple(_v0(entry) for entry in entries)
    raise BackendError(ErrorKind.NOT_AN_LLM, "This is not LM Studio's list of models.")


def _v1(entry: Mapping[str, object]) -> ModelInfo:
    instances = entry.get("loaded_instances")
    loaded = [each for each in instances if isinstance(each, dict)] if isinstance(instances, list) else []
    config = fields.table(loaded[0].get("config")) if loaded else {}
    return ModelInfo(
        id=str(entry["key"]),
        loaded=bool(loaded),
        context_length=fields.count(config.get("context_length")),
        max_context_length=fields.count(entry.get("max_context_length")),
        size_bytes=fields.count(entry.get("size_bytes")),
        remote=bool(entry.get("deviceIdentifier")),
        capabilities=_capabilities(entry.get("type"), entry.get("capabilities")),
        quantization=fields.name(fields.table(entry.get("quantization")).get("name")),
        parameter_size=fields.name(entry.get("params_string")),
    )


def _v0(entry: Mapping[str, object]) -> ModelInfo:
    return ModelInfo(
        id=str(entry["id"]),
        loaded=entry.get("state") == "loaded",
        context_length=fields.count(entry.get("loaded_context_length")),
        max_context_length=fields.count(entry.get("max_context_length")),
        capabilities=_capabilities(entry.get("type"), entry.get("capabilities")),
        quantization=fields.name(entry.get("quantization")),
    )


def _capabilities(kind: object, given: object) -> tuple[str, ...]:
    if kind in ("embedding", "embeddings"):
        return ("embedding",)
    found = ["completion"]
    if kind == "vlm" or (isinstance(given, dict) and given.get("vision") is True):
        found.append("vision")
    if isinstance(given, dict):
        found += ["tools"] if given.get("trained_for_tool_use") is True else []
        found += ["reasoning"] if given.get("reasoning") else []
    if isinstance(given, list) and "tool_use" in given:
        found.append("tools")
    return tuple(found)


def _is_named(entry: object, field: str) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(field), str) and bool(entry[field])
