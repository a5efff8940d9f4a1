"""Ollama's own list of models, to values: it knows which run in the cloud, `/v1/models` does not. No I/O."""

from collections.abc import Mapping

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, ModelInfo
from whisper_desktop.wire import fields

LIST = "/api/tags"

_CAPABILITIES = {"thinking": "reasoning"}


def decode_tags(value: object) -> tuple[ModelInfo, ...]:
    """The models of `/api/tags`. Raises `BackendError` NOT_AN_LLM for anything else."""
    if not isinstance(value, dict) or "models" not in value:
        raise BackendError(ErrorKind.NOT_AN_LLM, "This is not Ollama's list of models.")
    listed = value["models"] if isinstance(value["models"], list) else []
    return tuple(_model(entry) for entry in listed if isinstance(entry, dict) and _name(entry))


def _model(entry: Mapping[str, object]) -> ModelInfo:
    details = fields.table(entry.get("details"))
    given = entry.get("capabilities")
    named = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    return ModelInfo(
        id=_name(entry),
        max_context_length=fields.count(details.get("context_length")),
        size_bytes=fields.count(entry.get("size")),
        remote=bool(entry.get("remote_model") or entry.get("remote_host")),
        capabilities=tuple(_CAPABILITIES.get(each, each) for each in named),
        quantization=fields.name(details.get("quantization_level")),
        parameter_size=fields.name(details.get("parameter_size")),
    )


def _name(entry: Mapping[str, object]) -> str:
    return fields.name(entry.get("model")) or fields.name(entry.get("name")) or ""
