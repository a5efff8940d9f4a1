"""Ollama: its root, its version, what it has and what it runs. Several servers imitate parts of this."""

import re
from collections.abc import Mapping

from whisper_desktop.discovery.answers import Answer, Answers, count, fields, objects, text, texts
from whisper_desktop.discovery.description import Description
from whisper_desktop.values import ModelInfo

TAGS, RUNNING = "/api/tags", "/api/ps"

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:[-+.][\w.+-]+)?")
# Ollama's word -> ours, where they differ.
_CAPABILITIES: Mapping[str, str] = {"thinking": "reasoning"}


def is_root(answer: Answer) -> bool:
    """The text that Ollama greets with."""
    return answer.status == 200 and answer.text.strip() == "Ollama is running"


def is_version(answer: Answer) -> bool:
    """A version as Ollama numbers them; imitators often have another word there, or none."""
    return _version(answer) is not None


def _version(answer: Answer) -> str | None:
    version = text(answer.fields.get("version"))
    return version if version and _VERSION.fullmatch(version) else None


def describe(answers: Answers) -> Description:
    """The models that were pulled; which of them run, and with what context, where /api/ps answered."""
    version = _version(answers["/api/version"])
    tags = answers[TAGS].fields if TAGS in answers else {}
    if "models" not in tags:
        return Description(version=version)
    running = None
    if RUNNING in answers and "models" in answers[RUNNING].fields:
        entries = objects(answers[RUNNING].fields["models"])
        running = {text(entry.get("name")): count(entry.get("context_length")) for entry in entries}
    found = (_model(entry, running) for entry in objects(tags["models"]))
    return Description(tuple(model for model in found if model), version)


def _model(entry: Mapping[str, object], running: Mapping[str | None, int | None] | None) -> ModelInfo | None:
    name = text(entry.get("name"))
    if name is None:
        return None
    details = fields(entry.get("details"))
    remote = bool(entry.get("remote_host") or entry.get("remote_model"))
    return ModelInfo(
        id=name,
        loaded=None if running is None or remote else name in running,
        context_length=(running or {}).get(name),
        max_context_length=count(details.get("context_length")),
        # What a cloud model takes on this disk is the size of its description.
        size_bytes=None if remote else count(entry.get("size")),
        remote=remote,
        capabilities=_capabilities(entry, details),
        quantization=text(details.get("quantization_level")),
        parameter_size=text(details.get("parameter_size")),
    )


def _capabilities(entry: Mapping[str, object], details: Mapping[str, object]) -> tuple[str, ...]:
    told = texts(entry.get("capabilities"))
    if told:
        return tuple(_CAPABILITIES.get(word, word) for word in told)
    # Servers before 0.9 do not tell; models of the BERT families only embed.
    return ("embedding",) if (text(details.get("family")) or "").endswith("bert") else ()
