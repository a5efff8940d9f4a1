"""LM Studio: its greeting, and its model lists of three generations.

The native list (since 0.4) has what is loaded and with which context; the legacy one (since 0.3.6) nearly
so; the OpenAI list names all downloaded models while just-in-time loading is on, else only the loaded ones.
"""

from collections.abc import Mapping, Sequence

from whisper_desktop.discovery.answers import Answer, Answers, count, fields, objects, text, texts
from whisper_desktop.discovery.description import Description
from whisper_desktop.language import tr
from whisper_desktop.values import ModelInfo, ServerStatus

NATIVE, LEGACY, PLAIN = "/api/v1/models", "/api/v0/models", "/v1/models"


def is_greeting(answer: Answer) -> bool:
    """The greeting that LM Studio's own tools look for, or its refusal of someone without a token."""
    return answer.fields.get("lmstudio") is True or (
        answer.status == 401 and "LM Studio API token" in answer.text
    )


def describe(answers: Answers) -> Description:
    """The models of the newest list that answered, and whether a message would find one."""
    legacy = objects(answers[LEGACY].fields.get("data")) if LEGACY in answers else ()
    models = _native(answers) or _legacy(legacy)
    if models is None:
        listed = _plain(answers)
        return Description(None if listed is None else tuple(ModelInfo(id) for id in listed))
    if any(model.loaded for model in models):
        return Description(models)
    if any(entry.get("state") == "loading" for entry in legacy):
        return Description(models, status=ServerStatus.LOADING)
    if models and _plain(answers) == ():
        return Description(
            models,
            status=ServerStatus.NO_MODELS,
            note=tr(
                "LM Studio is running but has no model loaded. Load one there, or switch on "
                "just-in-time loading."
            ),
        )
    return Description(models)


def _native(answers: Answers) -> tuple[ModelInfo, ...] | None:
    if NATIVE not in answers:
        return None
    answer = answers[NATIVE].fields
    if "error" in answer or not isinstance(answer.get("models"), list):
        return None
    return tuple(model for entry in objects(answer["models"]) for model in _native_models(entry))


def _native_models(entry: Mapping[str, object]) -> list[ModelInfo]:
    """One model for each loaded instance (each has a name of its own to ask for), one where none is
    loaded.
    """
    key = text(entry.get("key"))
    if key is None:
        return []
    capabilities = fields(entry.get("capabilities"))
    quantization = fields(entry.get("quantization"))
    instances = [
        (name, count(fields(instance.get("config")).get("context_length")))
        for instance in objects(entry.get("loaded_instances"))
        if (name := text(instance.get("id")))
    ]
    return [
        ModelInfo(
            id=name,
            loaded=bool(instances),
            context_length=context,
            max_context_length=count(entry.get("max_context_length")),
            size_bytes=count(entry.get("size_bytes")),
            # A model that LM Link runs on another computer names that computer.
            remote=text(entry.get("deviceIdentifier")) is not None,
            capabilities=_capabilities(
                entry.get("type") == "embedding",
                vision=capabilities.get("vision") is True,
                tools=capabilities.get("trained_for_tool_use") is True,
                reasoning=bool(fields(capabilities.get("reasoning"))),
            ),
            quantization=text(quantization.get("name")),
            parameter_size=text(entry.get("params_string")),
        )
        for name, context in instances or [(key, None)]
    ]


def _legacy(entries: Sequence[Mapping[str, object]]) -> tuple[ModelInfo, ...] | None:
    models = []
    for entry in entries:
        name = text(entry.get("id"))
        if name is None or "state" not in entry:
            continue
        kind = entry.get("type")
        models.append(
            ModelInfo(
                id=name,
                loaded=entry.get("state") == "loaded",
                context_length=count(entry.get("loaded_context_length")),
                max_context_length=count(entry.get("max_context_length")),
                capabilities=_capabilities(
                    kind == "embeddings",
                    vision=kind == "vlm",
                    tools="tool_use" in texts(entry.get("capabilities")),
                ),
                quantization=text(entry.get("quantization")),
            )
        )
    return tuple(models) or None


def _capabilities(
    embedding: bool, *, vision: bool = False, tools: bool = False, reasoning: bool = False
) -> tuple[str, ...]:
    if embedding:
        return ("embedding",)
    named = {"vision": vision, "tools": tools, "reasoning": reasoning}
    return ("completion", *(name for name, has in named.items() if has))


def _plain(answers: Answers) -> tuple[str, ...] | None:
    answer = answers[PLAIN].fields if PLAIN in answers else {}
    if "error" in answer or "data" not in answer:
        return None
    return tuple(name for entry in objects(answer["data"]) if (name := text(entry.get("id"))))
