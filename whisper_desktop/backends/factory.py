"""From a configuration to a backend. The table is static: it works frozen and costs nothing until used."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from whisper_desktop.backends.base import Backend, BackendConfig, KeySource
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, canonical_id
from whisper_desktop.wire.key_shapes import may_hold_a_key

if TYPE_CHECKING:
    from whisper_desktop.backends.engine import EngineLike
    from whisper_desktop.wire.http import Http

_GENERIC = "address:AddressBackend"

BACKENDS: Mapping[str, str] = {
    "lm_studio": "lm_studio:LMStudioBackend",
    "ollama": "ollama:OllamaBackend",
    "llama_cpp": "llama_cpp:LlamaCppBackend",
    "openrouter": "openrouter:OpenRouterBackend",
    "builtin": "engine:EngineBackend",
    "guide": "engine:EngineBackend",
    "stub": "stub:StubBackend",
    "openai": "openai:OpenAIBackend",
    "anthropic": "anthropic:AnthropicBackend",
    "gemini": "gemini:GeminiBackend",
    "gpt4all": "gpt4all:GPT4AllBackend",
    "openai_compatible": _GENERIC,
    "jan": _GENERIC,
    "koboldcpp": _GENERIC,
    "textgen": _GENERIC,
    "localai": _GENERIC,
    "llamafile": "llama_cpp:LlamafileBackend",
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
_KEY = "api_key"
_NETWORK_VARIABLE = "WHISPER_ALLOW_NETWORK"


def create_backend(
    config: BackendConfig | Mapping[str, object],
    *,
    http: "Http | None" = None,
    key: KeySource | None = None,
    engine: "EngineLike | None" = None,
    deadlines: Deadlines | None = None,
) -> Backend:
    """Build the backend that a configuration names.

    A mapping needs `backend` (an id or an alias) and may have `url`, `model`, `reach`, `name`,
    `context_length` and `api_key`; the rest is handed to the backend as its options. Without `http` the
    backend has connections of its own, which `shutdown()` closes. `key` is only asked when a request is about
    to be sent. `engine` is needed for "builtin" and "guide".

    Raises `ValueError` for an unknown backend, `SettingsError` for an address or an option that cannot be
    used.
    """
    if not isinstance(config, BackendConfig):
        given = dict(config)
        key = key or _as_source(given.pop(_KEY, None))
        config = config_from(given)
    spot = BACKENDS.get(config.id)
    if spot is None:
        raise _unknown(config.id)
    module, _, name = spot.partition(":")
    kind: Any = getattr(import_module(f"whisper_desktop.backends.{module}"), name)
    deadlines = deadlines or Deadlines()
    needs: dict[str, object] = {"deadlines": deadlines}
    if config.id != "stub":
        needs |= {"http": http or connections(deadlines), "owns_http": http is None}
    if config.id in _ENGINES:
        if engine is None:
            raise ValueError(tr("The backend {config_id} needs an engine.", config_id=config.id))
        needs["engine"] = engine
    elif config.id != "stub":
        needs["key"] = key
    backend: Backend = kind(config, **needs)
    return backend


def config_from(given: Mapping[str, object]) -> BackendConfig:
    """A configuration from a dictionary. An address that is written here counts as what it says."""
    renamed = {_NAMED.get(name, name): value for name, value in given.items()}
    from whisper_desktop.discovery.known import reach_at  # a backend brings it along, its name alone need not

    try:
        backend = canonical_id(str(renamed.get("id") or ""))
    except KeyError:
        raise _unknown(str(renamed.get("id") or "")) from None
    identity = IDENTITIES[backend]
    default = identity.root or (f"http://127.0.0.1:{identity.port}" if identity.port else "")
    written = _text(renamed, "url")
    url = written or default
    as_given = bool(renamed.get("as_given", written is not None))
    reach = renamed.get("reach")
    if reach:
        reach = Reach(str(reach))
    else:
        reach = reach_at(backend, url, as_given=as_given) if url else Reach.THIS_MACHINE
    return BackendConfig(
        id=backend,
        name=_text(renamed, "name") or identity.name,
        url=url,
        model=_text(renamed, "model"),
        reach=reach,
        as_given=as_given,
        context_length=_tokens(renamed.get("context_length")),
        options={name: value for name, value in renamed.items() if name not in _FIELDS},
    )


def connections(deadlines: Deadlines) -> "Http":
    """Connections of a script's own, as far as the environment allows any."""
    from whisper_desktop.wire.http import Http

    return Http(deadlines, allow_network=_network_allowed(os.environ.get(_NETWORK_VARIABLE, "").strip()))


def _network_allowed(text: str) -> bool:
    """As in the settings: an empty variable is not set, and what cannot be read opens nothing."""
    if not text:
        return True
    from whisper_desktop.settings.kinds import flag  # slow to import, and rarely needed

    return flag(text, if_bad=False)


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise SettingsError(
            tr("The backend's {name} cannot be used.", name=name),
            tr("It is not text."),
            tr("Write it in quotes."),
            key=f"llm.{name}",
        )
    return value or None


def _tokens(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise SettingsError(
        tr("The backend's context_length cannot be used."),
        tr("It is not a number of tokens."),
        tr("Write a whole number such as 8192."),
        key="llm.context_length",
    )


def _as_source(key: object) -> KeySource | None:
    """A key that was written in code, as a source of it that shows it to nobody else."""
    if key is None or key == "":
        return None
    if not isinstance(key, str):
        raise SettingsError(
            tr("The backend's api_key cannot be used."), tr("It is not text."), tr("Write it in quotes.")
        )

    async def fetch() -> str | None:
        return key

    return fetch


def _unknown(name: str) -> ValueError:
    shown = tr("(not shown, because it may be a key)") if may_hold_a_key(name) else name[:60]
    return ValueError(
        tr("Unknown backend: {shown}. Known: {items}", shown=shown, items=", ".join(sorted(BACKENDS)))
    )
