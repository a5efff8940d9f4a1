"""Which backends make up the chain, in which order, and with which model: a pure decision.

Order (the first rule that applies wins):
1. The stub, when it is asked for: alone.
2. A backend the person chose: alone. A failure then offers the others, it does not slip to them.
3. Mode `direct`: the built-in engine alone. Mode `http`: no built-in engine below.
4. `LLM_CHAT_API_URL`, when set, is the first step.
5. The fallback chain from the settings, in its order, whether or not each server was found: an attempt at one
   that is not there costs milliseconds and is told.
6. Without one: what was found, on this machine first (a loaded model before an idle one, the built-in engine
   after servers that already run), then the network, then the cloud: the services that a key is kept for, in
   the order of the table of ids. A server that lists the model that was asked for comes before one that does
   not.

The reach guard is not here: the client skips a step that goes too far and says so. But where a step goes is
said here: an address counts as this computer's own engine only as long as nothing else was seen there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whisper_desktop.backends import BACKENDS, BackendConfig
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, ModelInfo, Reach, ServerInfo, ServerStatus, canonical_id
from whisper_desktop.wire.address import parse_url, reach_of
from whisper_desktop.wire.key_shapes import may_hold_a_key

OPENROUTER_URL = IDENTITIES["openrouter"].root
_ANSWERS = (ServerStatus.AVAILABLE, ServerStatus.LOADING)
_LISTS_FIRST = ("lm_studio", "ollama")  # their backends look into the server's own list before they ask
_NEAREST_FIRST = {Reach.THIS_MACHINE: 0, None: 1, Reach.MY_NETWORK: 2, Reach.CLOUD: 3}


@dataclass(frozen=True, slots=True)
class ChainWishes:
    """What the settings and the person say about the chain.

    `keyed` are the services in the cloud that a key is kept for. `context_window` is how many tokens to count
    on where a server does not say. `server_reach` has what the person said about addresses that nobody else
    can place, by origin. `options` gives a backend's own settings.
    """

    stub: bool = False
    base_url: str | None = None
    backend: str | None = None
    model: str | None = None
    fallback_chain: tuple[str, ...] | None = None
    mode: str = "auto"
    builtin_model: Path | None = None
    keyed: frozenset[str] = frozenset()
    context_window: int | None = None
    openrouter_url: str = OPENROUTER_URL
    ports: Mapping[str, int] = field(default_factory=dict)
    server_reach: Mapping[str, Reach] = field(default_factory=dict)
    options: Callable[[str], Mapping[str, object]] = lambda backend: {}


def plan_chain(wishes: ChainWishes, servers: Sequence[ServerInfo]) -> tuple[BackendConfig, ...]:
    """The chain for these wishes and the servers last seen. Raises `SettingsError` for an unknown backend."""
    return tuple(
        replace(
            step,
            options=wishes.options(step.id),
            context_length=_context(step, wishes, servers),
            loaded=next((model.loaded for model in _listed_as(step, servers)), None),
        )
        for step in _steps(wishes, servers)
    )


def _steps(wishes: ChainWishes, servers: Sequence[ServerInfo]) -> tuple[BackendConfig, ...]:
    if wishes.stub:
        return (_plain("stub", "", wishes.model, Reach.THIS_MACHINE),)
    if wishes.backend is not None:
        return (_step_for(_known(wishes.backend), wishes, servers, wishes.model),)
    if wishes.mode == "direct":
        return (_builtin(wishes),)
    steps: list[BackendConfig] = []
    if wishes.base_url:
        steps.append(_written(wishes.base_url, wishes.model, servers))
    if wishes.fallback_chain is not None:
        steps += [_step_for(_known(name), wishes, servers, None) for name in wishes.fallback_chain]
    else:
        steps += _found(wishes, servers)
    return tuple(step for step in _without_repeats(steps) if wishes.mode != "http" or step.id != "builtin")


def preferred_model(server: ServerInfo) -> ModelInfo | None:
    """The model to ask for when nobody chose one: loaded before idle, local before remote."""
    return next(iter(server.chat_models), None)


def _known(name: str) -> str:
    try:
        backend = canonical_id(name)
    except KeyError:
        known = ", ".join(identity for identity in BACKENDS if identity != "guide")
        raise SettingsError(
            tr("There is no backend of this name.")
            if may_hold_a_key(name)
            else tr("There is no backend called “{name}”.", name=name),
            tr("Known are: {known}.", known=known),
            tr("Choose one of them."),
            key="llm.backend",
        ) from None
    if backend == "guide":
        raise SettingsError(
            tr("The guide cannot be a backend."),
            tr("It is a tiny demo model that only knows this app."),
            tr("Ask it in a conversation of its own: `whisper-desktop chat --guide`."),
            key="llm.backend",
        )
    if backend not in BACKENDS:
        raise SettingsError(
            tr("This version has no backend for {name}.", name=IDENTITIES[backend].name),
            "",
            tr("Choose another one: `whisper-desktop detect` shows what is there."),
            key="llm.backend",
        )
    return backend


def _step_for(
    backend: str, wishes: ChainWishes, servers: Sequence[ServerInfo], model: str | None
) -> BackendConfig:
    if backend == "builtin":
        return _builtin(wishes)
    if IDENTITIES[backend].root:
        return _service(backend, wishes, model)
    if backend == "openai_compatible" and wishes.base_url:
        return _written(wishes.base_url, model or wishes.model, servers)
    model = model or _own_model(wishes, backend)
    named = [server for server in servers if server.id == backend]
    found = min(named, key=lambda one: (one.status not in _ANSWERS, not one.as_given), default=None)
    if found is not None:
        return _from_server(found, model)
    port = wishes.ports.get(backend, IDENTITIES[backend].port)
    url = f"http://127.0.0.1:{port}" if port else ""
    return _plain(backend, url, model, _reach_at(url, backend, wishes, servers))


def _own_model(wishes: ChainWishes, backend: str) -> str | None:
    """The model that is set for this one backend (`llm.ollama.model`)."""
    model = wishes.options(backend).get("model")
    return model if isinstance(model, str) else None


def _reach_at(url: str, backend: str, wishes: ChainWishes, servers: Sequence[ServerInfo]) -> Reach | None:
    """How far a question to the usual place of a backend goes that was not found there.

    What was seen there instead may pass it on, so nobody can say; a program that is no model server is
    noticed by those backends that look first. Nor can anybody say it of a backend that passes requests on
    itself, except the person.
    """
    from whisper_desktop.discovery.known import reach_at  # a scan needs it first

    if not url:
        return Reach.THIS_MACHINE
    usual = parse_url(url)
    for server in servers:
        if server.status is ServerStatus.UNREACHABLE or not server.url:
            continue
        there = parse_url(server.url)
        if there.port == usual.port and there.reach is Reach.THIS_MACHINE:
            harmless = server.status is ServerStatus.SOMETHING_ELSE and backend in _LISTS_FIRST
            return Reach.THIS_MACHINE if harmless else server.reach
    return reach_at(backend, url, as_given=False) or wishes.server_reach.get(usual.origin)


def _found(wishes: ChainWishes, servers: Sequence[ServerInfo]) -> list[BackendConfig]:
    usable = [
        server
        for server in servers
        if server.status in _ANSWERS
        and server.id not in ("openrouter", "builtin")
        # No list at all: it is still loading, or slow to list; the backend then asks for it itself.
        and (server.chat_models or not server.models)
    ]
    ordered = sorted(usable, key=lambda server: _rank(server, wishes.model))
    steps = [_from_server(server, _wanted(server, wishes)) for server in ordered]
    if wishes.builtin_model is not None:
        here = sum(1 for step in steps if step.reach is Reach.THIS_MACHINE)
        steps.insert(here, _builtin(wishes))
    services = [each for each in IDENTITIES if each in wishes.keyed and each in BACKENDS]
    return steps + [_service(each, wishes, None) for each in services]


def _listed(server: ServerInfo, model: str | None) -> str | None:
    """The model's name where this server lists it: no server is asked for a model it does not have."""
    return model if any(entry.id == model for entry in server.models) else None


def _wanted(server: ServerInfo, wishes: ChainWishes) -> str | None:
    return _listed(server, wishes.model) or _listed(server, _own_model(wishes, server.id))


def _rank(server: ServerInfo, wanted: str | None) -> tuple[int, bool, bool, bool, int]:
    named = _listed(server, wanted)
    model = next((entry for entry in server.models if entry.id == named), preferred_model(server))
    reach = Reach.CLOUD if model is not None and model.remote else server.reach
    loading, idle = server.status is ServerStatus.LOADING, not (model and model.loaded)
    return (_NEAREST_FIRST[reach], named is None, loading, idle, list(IDENTITIES).index(server.id))


def _from_server(server: ServerInfo, model: str | None) -> BackendConfig:
    chosen = (
        next((entry for entry in server.models if entry.id == model), None)
        if model
        else preferred_model(server)
    )
    reach = Reach.CLOUD if chosen is not None and chosen.remote else server.reach
    return BackendConfig(
        id=server.id if server.id != "unknown" else "openai_compatible",
        name=server.name,
        url=server.api_base or server.url,
        model=model or (chosen.id if chosen else None),
        reach=reach,
        as_given=server.as_given,
    )


def _written(url: str, model: str | None, servers: Sequence[ServerInfo]) -> BackendConfig:
    """The address that the person wrote. It counts as what it says, but a model that LM Studio or Ollama
    only pass on stays a model that runs elsewhere.
    """
    found = next(
        (server for server in servers if server.id in _LISTS_FIRST and url in (server.url, server.api_base)),
        None,
    )
    if found is not None and found.status is not ServerStatus.UNREACHABLE:
        return replace(_from_server(found, model), url=url, as_given=True)
    return BackendConfig(
        id="openai_compatible",
        name=IDENTITIES["openai_compatible"].name,
        url=url,
        model=model,
        reach=reach_of(url),
        as_given=True,
    )


def _service(backend: str, wishes: ChainWishes, model: str | None) -> BackendConfig:
    """A service in the cloud. Which of its models answers is the person's choice: it decides the price."""
    identity = IDENTITIES[backend]
    url = wishes.openrouter_url if backend == "openrouter" else identity.root
    reach = reach_of(url)
    return BackendConfig(
        id=backend,
        name=identity.name,
        url=url + identity.api_path,
        model=model or _own_model(wishes, backend),
        # A server of one's own that plays the service (in tests, say) counts as the cloud it stands for.
        reach=Reach.CLOUD if reach is Reach.THIS_MACHINE else reach,
        as_given=url != identity.root,
    )


def _builtin(wishes: ChainWishes) -> BackendConfig:
    from whisper_desktop.models.naming import name_of

    model = name_of(wishes.builtin_model) if wishes.builtin_model else None
    return _plain("builtin", "", model, Reach.THIS_MACHINE)


def _plain(backend: str, url: str, model: str | None, reach: Reach | None) -> BackendConfig:
    return BackendConfig(
        id=backend, name=IDENTITIES[backend].name, url=url, model=model, reach=reach, as_given=False
    )


def _context(step: BackendConfig, wishes: ChainWishes, servers: Sequence[ServerInfo]) -> int | None:
    """The context window that a step's model has, as far as it is known.

    A local server loads a model with less than the most it could have, so only the cloud's counts for that.
    """
    if step.id == "stub":
        return None
    if step.id == "builtin":
        tokens = wishes.options("llama_cpp").get("n_ctx")
        return tokens if isinstance(tokens, int) else None
    for model in _listed_as(step, servers):
        most = model.max_context_length if step.reach is Reach.CLOUD else None
        if known := model.context_length or most:
            return known
    return wishes.context_window


def _listed_as(step: BackendConfig, servers: Sequence[ServerInfo]) -> list[ModelInfo]:
    """A step's model, as its server listed it."""
    at = [server for server in servers if step.url and step.url in (server.url, server.api_base)]
    return [model for server in at for model in server.models if model.id == step.model]


def _without_repeats(steps: Sequence[BackendConfig]) -> list[BackendConfig]:
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for step in steps:
        key = (step.url or step.id, step.model)
        if key not in seen:
            seen.add(key)
            kept.append(step)
    return kept
