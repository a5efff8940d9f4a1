"""Servers whose models are listed the way OpenAI lists them, each with a sign and a detail of its own."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from whisper_desktop.discovery.answers import Answer, Answers, count, fields, objects, text
from whisper_desktop.discovery.description import Description
from whisper_desktop.language import tr
from whisper_desktop.values import ModelInfo, ServerStatus

_MODELS = "/v1/models"
# Fields that a list entry of any such server has, besides its id.
_ENTRY_SIGNS = ("object", "created", "owned_by")


# --- The list ---------------------------------------------------------------------------------------------


def is_model_list(answer: Answer) -> bool:
    """A model list, or a refusal of one in the words of such a server.

    Web apps answer any path with JSON that has a "data" list, so an empty list must also call itself one.
    """
    if answer.is_refusal:
        return _refuses_like_openai(answer)
    entries = _entries(answer)
    if entries is None:
        return False
    if not entries:
        return answer.fields.get("object") == "list"
    return all(text(entry.get("id")) and any(sign in entry for sign in _ENTRY_SIGNS) for entry in entries)


def _entries(answer: Answer) -> list[Mapping[str, object]] | None:
    """The entries of a list; None where it is no list. Ollama's is `null` where it is empty."""
    told = answer.fields
    if told.get("error") or "data" not in told:
        return None
    data = told["data"]
    if data is None:
        return []
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        return None
    return list(data)


def _refuses_like_openai(answer: Answer) -> bool:
    """{"error": {"message": ..., "type": ...}}: a login page or another API says it differently."""
    error = fields(fields(answer.json).get("error"))
    return text(error.get("message")) is not None and ("type" in error or "code" in error)


def is_bare_refusal(answer: Answer) -> bool:
    """How servers built on FastAPI refuse: {"error": "Unauthorized"} or {"detail": "Unauthorized"}."""
    said = fields(answer.json)
    return answer.is_refusal and (text(said.get("error")) or text(said.get("detail"))) is not None


def is_missing(answer: Answer) -> bool:
    """A path that is not there."""
    return answer.status == 404


def _models(
    answers: Answers, path: str = _MODELS, *, loaded: bool | None = None
) -> tuple[ModelInfo, ...] | None:
    entries = _entries(answers[path]) if path in answers else None
    if entries is None:
        return None
    names = (text(entry.get("id")) for entry in entries)
    return tuple(ModelInfo(name, loaded=loaded) for name in names if name)


def owned_by(owner: str) -> Callable[[Answer], bool]:
    """A sign: a model list whose entries name this owner."""

    def fits(answer: Answer) -> bool:
        entries = _entries(answer)
        return bool(entries) and all(entry.get("owned_by") == owner for entry in entries or ())

    return fits


def describe_list(answers: Answers, path: str = _MODELS) -> Description:
    """The names, and nothing more is known."""
    return Description(_models(answers, path))


def describe_running(answers: Answers) -> Description:
    """A server that lists only what it has loaded."""
    return Description(_models(answers, loaded=True))


# --- KoboldCpp, LocalAI, Lemonade, text-generation-webui ---------------------------------------------------


def is_koboldcpp(answer: Answer) -> bool:
    """Others imitate this path under their own name."""
    return answer.fields.get("result") == "KoboldCpp"


def describe_koboldcpp(answers: Answers) -> Description:
    """One model, always loaded; "inactive" where it was started without."""
    version = text(answers["/api/extra/version"].fields.get("version"))
    models = _models(answers, loaded=True)
    if models is None:
        return Description(version=version)
    told = answers.get("/api/v1/model")
    if told is not None and told.fields.get("result") == "inactive":
        return Description((), version)
    limit = answers.get("/api/extra/true_max_context_length")
    context = count(limit.fields.get("value")) if limit else None
    return Description(tuple(replace(model, context_length=context) for model in models), version)


def is_localai(answer: Answer) -> bool:
    """LocalAI's file about itself (4.x)."""
    return text(answer.fields.get("version")) is not None and "endpoints" in answer.fields


def is_old_localai(answer: Answer) -> bool:
    """What older versions say at their root to someone who wants JSON."""
    return str(answer.fields.get("Title", "")).startswith("LocalAI API")


def describe_localai(answers: Answers) -> Description:
    """The models it has; which of them are loaded it does not tell."""
    if "/.well-known/localai.json" in answers and is_localai(answers["/.well-known/localai.json"]):
        version = text(answers["/.well-known/localai.json"].fields.get("version"))
    else:
        version = text(answers["/"].fields.get("Version"))
    return Description(_models(answers), version)


def is_lemonade(answer: Answer) -> bool:
    """Its health names all that is loaded."""
    return isinstance(answer.fields.get("all_models_loaded"), list)


def describe_lemonade(answers: Answers) -> Description:
    """The models it has, and which are loaded."""
    health = answers["/v1/health"].fields
    loaded = {text(entry.get("model_name")): entry for entry in objects(health["all_models_loaded"])}
    version = text(health.get("version"))
    models = _models(answers, "/api/v1/models")
    if models is None:
        return Description(version=version)
    described = (replace(model, loaded=model.id in loaded) for model in models)
    return Description(
        tuple(
            replace(model, capabilities=("embedding",))
            if loaded.get(model.id, {}).get("type") == "embedding"
            else model
            for model in described
        ),
        version,
    )


def is_textgen(answer: Answer) -> bool:
    """What it says about the model it has loaded."""
    return isinstance(answer.fields.get("model_name"), str) and "lora_names" in answer.fields


def describe_textgen(answers: Answers) -> Description:
    """The loaded model; its name is the text "None" where there is none."""
    if answers["/v1/internal/model/info"].fields.get("model_name") == "None":
        return Description(
            (), note=tr("text-generation-webui is running but has no model loaded. Load one there.")
        )
    return describe_running(answers)


# --- vLLM, SGLang, llama-swap, Jan, Docker Model Runner ----------------------------------------------------


def is_version(answer: Answer) -> bool:
    """{"version": "0.11.2"}"""
    return text(answer.fields.get("version")) is not None


def describe_vllm(answers: Answers) -> Description:
    """What it serves is loaded, with the context that it was started with."""
    entries = _entries(answers[_MODELS]) or []
    version = text(answers["/version"].fields.get("version")) if "/version" in answers else None
    models = (
        ModelInfo(name, loaded=True, context_length=count(entry.get("max_model_len")))
        for entry in entries
        if (name := text(entry.get("id")))
    )
    return Description(tuple(models), version)


def is_llama_swap(answer: Answer) -> bool:
    """Its list of running models."""
    running = answer.fields.get("running")
    return isinstance(running, list) and all("model" in entry for entry in objects(running))


def describe_llama_swap(answers: Answers) -> Description:
    """The models it can swap in, and which of them run."""
    running = objects(answers["/running"].fields["running"])
    ready = {text(entry.get("model")) for entry in running if entry.get("state") == "ready"}
    models = _models(answers)
    if models is None:
        return Description()
    starting = not ready and any(entry.get("state") == "starting" for entry in running)
    return Description(
        tuple(replace(model, loaded=model.id in ready) for model in models),
        status=ServerStatus.LOADING if starting else None,
    )


def is_jan(answer: Answer) -> bool:
    """Its API's description bears its name."""
    info = fields(answer.fields.get("info"))
    named = f"{info.get('title', '')} {info.get('description', '')}"
    return "openapi" in answer.fields and re.search(r"\bJan\b", named) is not None


def is_docker(answer: Answer) -> bool:
    """A model list at a path that only Docker Model Runner has."""
    return answer.status == 200 and is_model_list(answer)


def describe_docker(answers: Answers) -> Description:
    """The models it has; they are loaded when asked."""
    return Description(_models(answers, "/engines/v1/models"))
