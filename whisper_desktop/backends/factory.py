"""From a configuration to a backend. The table is static: it works frozen and costs nothing until used."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from whisper_desktop.backends.base import Backend, BackendConfig, KeySource
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, canonical_id
from whisper_desktop.wire.address import reach_of

if TYPE_CHECKING:
    from whisper_desktop.backends.engine import EngineLike
    from whisper_desktop.wire.http import Http

_GENERIC = "openai_compatible:OpenAICompatibleBackend"

BACKENDS: Mapping[str, str] = {
    "lm_studio": "lm_studio:LMStudioBackend",
    "ollama": "ollama:OllamaBackend",
    "llama_cpp": "llama_cpp:LlamaCppBackend",
    "openrouter": "openrouter:OpenRouterBackend",
    "builtin": "engine:EngineBackend",
    "guide": "engine:EngineBackend",
    "stub": "stub:StubBackend",
    "openai": "openai:OpenAIBackend",
    "gpt4all": "gpt4all:GPT4AllBackend",
    "openai_compatible": _GENERIC,
    "jan": _GENERIC,
    "koboldcpp": _GENERIC,
    "textgen": _GENERIC,
    "localai": _GENERIC,
    "llamafile": "llama_cpp:LlamaCppBackend",
    "vllm": _GENERIC,
    "sglang": _GENERIC,
    "lemonade": _GENERIC,
    "docker_model_runner": _GENERIC,
    "llama_swap": _GENERIC,
}
"""Which module and class of this package stands behind each id."""

_ENGINES = ("builtin", "guide")
_NAMED = {"backend": "id", "base_url": "url", "model_name": "model"}
_FIELDS = ("id", "name", "url", "model", "reach", "as_given")


def create_backend(
    config: BackendConfig | Mapping[str, object],
    *,
    http: "Http",
    key: KeySource | None = None,
    engine: "EngineLike | None" = None,
    deadlines: Deadlines | None = None,
) -> Backend:
    """Build the backend that a configuration names.

    A mapping needs `backend` (an id or an alias) and may have `url`, `model`, `reach`, `name`; the rest is
    handed to the backend as its options. `key` is only asked when a request is about to be sent. `engine` is
    needed for "builtin" and "guide". Raises `ValueError` for an unknown backend, `SettingsError` for an
    address that cannot be used.
    """
    wanted = config if isinstance(config, BackendConfig) else config_from(config)
    spot = BACKENDS.get(wanted.id)
    if spot is None:
        raise _unknown(wanted.id)
    module, _, name = spot.partition(":")
    kind: Any = getattr(import_module(f"whisper_desktop.backends.{module}"), name)
    options: dict[str, object] = {"deadlines": deadlines or Deadlines()}
    if wanted.id in _ENGINES:
        if engine is None:
            raise ValueError(f"The backend {wanted.id} needs an engine.")
        options |= {"http": http, "engine": engine}
    elif wanted.id != "stub":
        options |= {"http": http, "key": key}
    backend: Backend = kind(wanted, **options)
    return backend


def config_from(given: Mapping[str, object]) -> BackendConfig:
    """A configuration from a dictionary. An address that is written here counts as what it says."""
    renamed = {_NAMED.get(name, name): value for name, value in given.items()}
    try:
        backend = canonical_id(str(renamed.get("id") or ""))
    except KeyError:
        raise _unknown(str(renamed.get("id") or "")) from None
    identity = IDENTITIES[backend]
    default = identity.root or (f"http://127.0.0.1:{identity.port}" if identity.port else "")
    url = _text(renamed, "url") or default
    reach = renamed.get("reach")
    return BackendConfig(
        id=backend,
        name=_text(renamed, "name") or identity.name,
        url=url,
        model=_text(renamed, "model"),
        reach=Reach(str(reach)) if reach else reach_of(url) if url else Reach.THIS_MACHINE,
        as_given=bool(renamed.get("as_given", "url" in renamed)),
        options={name: value for name, value in renamed.items() if name not in _FIELDS},
    )


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise SettingsError(
            f"The backend's {name} cannot be used.",
            "It is not text.",
            "Write it in quotes.",
            key=f"llm.{name}",
        )
    return value or None


def _unknown(name: str) -> ValueError:
    return ValueError(f"Unknown backend: {name}. Known: {', '.join(sorted(BACKENDS))}")
