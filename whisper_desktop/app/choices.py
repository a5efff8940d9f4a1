"""What a person can choose between, as values: the Backend menu, and the state behind the tray icon."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.app.engine_words import in_gigabytes, state_words
from whisper_desktop.language import mark, tr, trn
from whisper_desktop.values import (
    IDENTITIES,
    EngineState,
    EngineStatus,
    Identity,
    Reach,
    ServerInfo,
    ServerStatus,
)

AUTOMATIC = mark("Automatic")


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """One line of the Backend menu. `id` None is *Automatic*; `detail` is what stands beside the name.

    `state` is one of "ready", "asleep", "loading", "no_model", "not_running", "needs_key", "cloud". `models`
    are those it can be asked for, `loaded` those of them that are in memory now.
    """

    id: str | None
    name: str
    detail: str
    state: str
    reach: Reach | None
    chosen: bool
    models: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppState:
    """The one glance: what the tray icon and its tooltip show.

    `activity` is "starting", "ready", "working" or "needs_attention"; `headline` is the sentence. `memory` is
    what our own engines could give back now, as "3.2 GB"; "" when there is nothing.
    """

    activity: str
    headline: str
    backend: str | None
    model: str | None
    first_run: bool
    memory: str = ""


_ALWAYS_LISTED = ("lm_studio", "ollama")
_STATES = {
    EngineState.READY: "ready",
    EngineState.STARTING: "loading",
    EngineState.BACKING_OFF: "loading",
    EngineState.FAILED: "not_running",
}
"""As a `BackendChoice.state`. An engine that is off is as good as asleep: the next question starts it."""


def backend_choices(
    servers: Sequence[ServerInfo],
    *,
    chosen: str | None,
    engine: EngineStatus | None,
    builtin_model: Path | None,
    keyed: Collection[str],
    cloud_allowed: bool,
    chain_names: Sequence[str],
) -> tuple[BackendChoice, ...]:
    """The Backend menu: Automatic, what was found, the two servers people look for, built-in, the cloud.

    Of the services in the cloud OpenRouter is always there, the others once they have a key (`keyed`).
    """
    found = [server for server in servers if server.id not in ("openrouter", "builtin", "unknown")]
    found = [server for server in found if server.status is not ServerStatus.UNREACHABLE]
    choices = [
        BackendChoice(
            None,
            tr(AUTOMATIC),
            " → ".join(chain_names) if chain_names else tr("nothing found yet"),
            "ready" if chain_names else "not_running",
            None,
            chosen is None,
        )
    ]
    choices += [_of_server(server, chosen) for server in found]
    listed = {server.id for server in found}
    choices += [
        BackendChoice(
            name, IDENTITIES[name].name, tr("not running"), "not_running", Reach.THIS_MACHINE, chosen == name
        )
        for name in _ALWAYS_LISTED
        if name not in listed
    ]
    choices.append(_of_builtin(engine, builtin_model, chosen))
    listed_services = {"openrouter", chosen, *keyed}
    choices += [
        _of_service(identity, identity.id in keyed, cloud_allowed, chosen)
        for identity in IDENTITIES.values()
        if identity.root and identity.id in listed_services
    ]
    return tuple(choices)


def _of_server(server: ServerInfo, chosen: str | None) -> BackendChoice:
    models = tuple(model.id for model in server.chat_models)
    words, state = _standing_of(server.status, len(models))
    loaded = tuple(model.id for model in server.chat_models if model.loaded)
    return BackendChoice(
        server.id, server.name, words, state, server.reach, chosen == server.id, models, loaded
    )


_STATE_OF = {
    ServerStatus.NO_MODELS: "no_model",
    ServerStatus.LOADING: "loading",
    ServerStatus.NEEDS_KEY: "needs_key",
}


def _standing_of(status: ServerStatus, models: int) -> tuple[str, str]:
    match status:
        case ServerStatus.AVAILABLE:
            return trn("one model · ready", "{count} models · ready", models), "ready"
        case ServerStatus.NO_MODELS | ServerStatus.LOADING | ServerStatus.NEEDS_KEY:
            return status_words(status), _STATE_OF[status]
    return tr("cannot be used"), "not_running"


def status_words(status: ServerStatus) -> str:
    """How a server stands, in a few words."""
    match status:
        case ServerStatus.AVAILABLE:
            return tr("ready")
        case ServerStatus.NO_MODELS:
            return tr("running, no model")
        case ServerStatus.LOADING:
            return tr("loading a model")
        case ServerStatus.NEEDS_KEY:
            return tr("needs a key")
        case ServerStatus.SOMETHING_ELSE:
            return tr("something else answers")
        case ServerStatus.UNREACHABLE:
            return tr("not running")


def _of_builtin(engine: EngineStatus | None, model: Path | None, chosen: str | None) -> BackendChoice:
    name = tr(IDENTITIES["builtin"].name)
    picked = chosen == "builtin"
    if model is None:
        return BackendChoice("builtin", name, tr("no model yet"), "no_model", Reach.THIS_MACHINE, picked)
    own = engine if engine is not None and engine.engine == "builtin" else None
    state = _STATES.get(own.state, "asleep") if own is not None else "asleep"
    words = tr("asleep") if state == "asleep" else state_words(own)
    if own is not None and own.memory_bytes:
        words = tr("{state} · {size} in use", state=words, size=in_gigabytes(own.memory_bytes))
    from whisper_desktop.models.naming import name_of

    called = name_of(model)
    loaded = (called,) if state == "ready" else ()
    return BackendChoice("builtin", name, words, state, Reach.THIS_MACHINE, picked, (called,), loaded)


def _of_service(identity: Identity, key: bool, allowed: bool, chosen: str | None) -> BackendChoice:
    words = tr("cloud") if allowed else tr("cloud · asks first")
    words = words if key else tr("cloud · needs a key")
    state = "cloud" if key else "needs_key"
    return BackendChoice(identity.id, identity.name, words, state, Reach.CLOUD, chosen == identity.id)


def standing(who: str, engine: EngineStatus | None, *, answering: bool) -> tuple[str, str]:
    """The activity and the headline where `who` is the first in line; `engine` is ours, if it is that."""
    match engine.state if engine is not None else None:
        case EngineState.STARTING:
            return "working", tr("Loading: {who}", who=who)
        case EngineState.BACKING_OFF:
            return "working", tr("Starting again: {who}", who=who)
        case _ if answering:
            return "working", tr("Working: {who}", who=who)
        case EngineState.FAILED:
            return "needs_attention", tr("Cannot run: {who}", who=who)
        case EngineState.SLEEPING:
            return "ready", tr("Ready: {who} (asleep)", who=who)
        case _:
            return "ready", tr("Ready: {who}", who=who)
