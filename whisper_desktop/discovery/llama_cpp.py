"""llama.cpp's llama-server, alone with one model or as a router over several, and llamafile, which contains
it.
"""

from collections.abc import Mapping, Sequence

from whisper_desktop.discovery.answers import Answer, Answers, count, fields, objects, text, texts
from whisper_desktop.discovery.description import Description
from whisper_desktop.values import ModelInfo, ServerStatus

_PROPS, _MODELS = "/props", "/v1/models"


def is_props(answer: Answer) -> bool:
    """Its properties; or, with its name in the header, that it loads a model or wants a key."""
    if "default_generation_settings" in answer.fields or answer.fields.get("role") == "router":
        return True
    return answer.headers.get("server") == "llama.cpp" and (is_loading(answer) or _wants_key(answer))


def is_llamafile(answer: Answer) -> bool:
    """The same properties under another name."""
    is_named = "llamafile" in answer.headers.get("server", "").lower()
    return is_named and "default_generation_settings" in answer.fields


def is_loading(answer: Answer) -> bool:
    """What every path says, before any key is checked, while a model loads."""
    error = fields(fields(answer.json).get("error"))
    return answer.status == 503 and error.get("type") == "unavailable_error"


def _wants_key(answer: Answer) -> bool:
    error = fields(fields(answer.json).get("error"))
    return answer.is_refusal and error.get("type") == "authentication_error"


def describe(answers: Answers) -> Description:
    """The model it was started with, or a router's models with the state of each."""
    props = answers[_PROPS]
    if is_loading(props):
        return Description(models=(), status=ServerStatus.LOADING)
    if _MODELS not in answers or "data" not in answers[_MODELS].fields:
        return Description(version=text(props.fields.get("build_info")))
    listed = objects(answers[_MODELS].fields["data"])
    if props.fields.get("role") == "router":
        return _router(listed)
    like_ollama = objects(answers[_MODELS].fields.get("models"))
    models = (_model(entry, props.fields, like_ollama) for entry in listed)
    return Description(
        tuple(model for model in models if model), version=text(props.fields.get("build_info"))
    )


def _model(
    entry: Mapping[str, object],
    props: Mapping[str, object],
    like_ollama: Sequence[Mapping[str, object]],
) -> ModelInfo | None:
    name = text(entry.get("id"))
    if name is None:
        return None
    meta = fields(entry.get("meta"))
    settings = fields(props.get("default_generation_settings"))
    twin = next((model for model in like_ollama if model.get("name") == name), {})
    multimodal = "multimodal" in texts(twin.get("capabilities"))
    sees = multimodal or fields(props.get("modalities")).get("vision") is True
    return ModelInfo(
        id=name,
        loaded=props.get("is_sleeping") is not True,
        context_length=count(meta.get("n_ctx")) or count(settings.get("n_ctx")),
        max_context_length=count(meta.get("n_ctx_train")),
        size_bytes=count(meta.get("size")),
        capabilities=("completion", "vision") if sees else ("completion",),
        quantization=text(meta.get("ftype")) or text(props.get("model_ftype")),
    )


def _router(listed: Sequence[Mapping[str, object]]) -> Description:
    states = [
        (name, fields(entry.get("status")).get("value"))
        for entry in listed
        if (name := text(entry.get("id")))
    ]
    models = tuple(ModelInfo(name, loaded=state == "loaded") for name, state in states)
    only_loading = any(state == "loading" for _, state in states) and not any(
        model.loaded for model in models
    )
    return Description(models, status=ServerStatus.LOADING if only_loading else None)
