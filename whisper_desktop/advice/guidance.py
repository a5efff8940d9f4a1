"""What to do when nothing answered: one headline and steps that follow from what the attempts said."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from whisper_desktop.advice.recommend import get_recommended_setup
from whisper_desktop.advice.steps import links, load_steps
from whisper_desktop.backends.words import key_place
from whisper_desktop.language import mark, tr
from whisper_desktop.values import (
    IDENTITIES,
    Attempt,
    ErrorKind,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupGuidance,
    SetupRecommendation,
)
from whisper_desktop.wire.address import reach_of

_NOBODY_THERE = (ErrorKind.CONNECT_REFUSED, ErrorKind.CONNECT_TIMEOUT, ErrorKind.CLOSED_EARLY)
_START = {
    "lm_studio": mark("Start LM Studio, open its Developer page and switch the server on."),
    "ollama": mark("Start Ollama: open its app, or run `ollama serve` in a terminal."),
    "llama_cpp": mark(
        "Start llama-server, or let the app run a model itself: `whisper-desktop engine start`."
    ),
}
_NO_MODEL = mark(
    "Give the app's own engine a model: `whisper-desktop recommend` names one that fits, "
    "`whisper-desktop models pull NAME` fetches it, `whisper-desktop models use NAME` "
    "sets it."
)
_FAILED = mark("{name} failed. Try again; if it fails once more, restart it.")
_SLOW = mark("{name} took too long. Try a smaller model, or restart it.")
_AFTER = {
    ErrorKind.AUTH: mark("Enter a valid key: `whisper-desktop keys set {place}`."),
    ErrorKind.QUOTA: mark("Add credit at {name}, or use a model on this computer."),
    ErrorKind.BUDGET: mark(
        "Raise the limit (`whisper-desktop config set llm.spending.daily AMOUNT`), or use a "
        "model on this computer."
    ),
    ErrorKind.CONSENT_REQUIRED: mark("Allow {name} for this conversation, or use a model on this computer."),
    ErrorKind.LOADING: mark("{name} is loading its model. Wait a moment and ask again."),
    ErrorKind.OVERLOADED: mark("{name} is busy. Wait a moment and ask again."),
    ErrorKind.QUEUE_FULL: mark("Wait until another answer has ended, or stop one, and ask again."),
    ErrorKind.RATE_LIMITED: mark("{name} limits how often it may be asked. Wait a while and ask again."),
    ErrorKind.OFFLINE: mark("Connect to the network, or use a model on this computer."),
    ErrorKind.NOT_AN_LLM: mark("Another program answers where {name} should be. Check its address."),
    ErrorKind.NAME_NOT_FOUND: mark("Check how the address of {name} is spelt."),
    ErrorKind.TLS: mark("Check the address of {name}, and this computer's clock."),
    ErrorKind.UNSUPPORTED: mark("{name} cannot do this. Use another model or backend."),
    ErrorKind.ENGINE: mark(
        "Choose another model file, or see why in the log: `whisper-desktop engine logs`."
    ),
    ErrorKind.FIRST_TOKEN_TIMEOUT: _SLOW,
    ErrorKind.STALLED: _SLOW,
    ErrorKind.TOTAL_TIMEOUT: _SLOW,
    ErrorKind.SERVER_ERROR: _FAILED,
    ErrorKind.STREAM_CUT: _FAILED,
    ErrorKind.TRUNCATED: _FAILED,
    ErrorKind.EMPTY: _FAILED,
    ErrorKind.MALFORMED: _FAILED,
    ErrorKind.TOO_LARGE: _FAILED,
}
_SERVICE_SILENT = mark("{name} cannot be reached. Ask again in a moment, or use another backend.")
_SERVICE_FAILED = mark("{name} failed. Try again in a moment, or use another backend.")
_SERVICE_SLOW = mark("{name} took too long. Try a smaller model, or use another backend.")
_NETWORK = mark("Check the network connection and this computer's clock, or use a model on this computer.")
_AFTER_A_SERVICE = {
    **dict.fromkeys(_NOBODY_THERE, _SERVICE_SILENT),
    **{kind: _SERVICE_FAILED for kind, step in _AFTER.items() if step is _FAILED},
    **{kind: _SERVICE_SLOW for kind, step in _AFTER.items() if step is _SLOW},
    ErrorKind.MODEL_MISSING: mark(
        "Check the name of the model at {name}, or choose another one: `whisper-desktop "
        "config set {setting} NAME`."
    ),
    ErrorKind.NOT_CONFIGURED: mark(
        "Set what is missing: the key with `whisper-desktop keys set {place}`, the model "
        "with `whisper-desktop config set {setting} NAME`."
    ),
}
_AFTER_A_KNOWN_SERVICE = dict.fromkeys(
    (ErrorKind.NOT_AN_LLM, ErrorKind.NAME_NOT_FOUND, ErrorKind.TLS), _NETWORK
)


def setup_guidance(
    attempts: Sequence[Attempt],
    servers: Sequence[ServerInfo] = (),
    resources: ResourceInfo | None = None,
) -> SetupGuidance:
    """Guidance after these attempts, given the servers last seen and the machine, where known."""
    if not attempts:
        return _from_scratch(servers, resources)
    steps = [step for attempt in attempts if (step := _step_after(attempt))]
    if not steps:
        return _from_scratch(servers, resources)
    names = list(dict.fromkeys(attempt.server_name for attempt in attempts))
    headline = (
        tr("{names} did not answer.", names=names[0])
        if len(names) == 1
        else tr("None of {listed} answered.", listed=_listed(names))
    )
    return SetupGuidance(
        headline,
        tuple(dict.fromkeys(steps)),
        tuple(dict.fromkeys(link for attempt in attempts for link in links(attempt.backend))),
    )


def _step_after(attempt: Attempt) -> str | None:
    """The one thing to do about this attempt; None where there is nothing a person can do."""
    name = attempt.server_name
    if (sentence := _after_a_service(attempt)) is not None:
        return sentence
    if attempt.kind in _NOBODY_THERE:
        known = _START.get(attempt.backend)
        return tr(known) if known else tr("Start {name}, or check its address.", name=name)
    if attempt.backend == "builtin" and (attempt.kind is ErrorKind.NOT_CONFIGURED or attempt.model is None):
        return tr(_NO_MODEL)
    if attempt.kind is ErrorKind.NOT_CONFIGURED:
        return tr(
            "Tell the app where {name} is: `whisper-desktop config set llm.base_url ADDRESS`.", name=name
        )
    if attempt.kind is ErrorKind.MODEL_MISSING:
        return load_steps(attempt.backend, name, attempt.model)[0]
    if attempt.kind is None:
        return None
    sentence = _AFTER.get(attempt.kind)
    return tr(sentence).format(name=name, place=key_place(attempt.backend, attempt.url)) if sentence else None


def _after_a_service(attempt: Attempt) -> str | None:
    """What to do where that differs for a service in the cloud: nobody starts it, or loads a model there."""
    known = attempt.backend in IDENTITIES and bool(IDENTITIES[attempt.backend].root)
    if attempt.kind is None or not (known or (attempt.url and reach_of(attempt.url) is Reach.CLOUD)):
        return None
    steps = _AFTER_A_SERVICE | _AFTER_A_KNOWN_SERVICE if known else _AFTER_A_SERVICE
    sentence = steps.get(attempt.kind)
    if sentence is None:
        return None
    setting = f"llm.{attempt.backend}.model" if known else "llm.model_name"
    place = key_place(attempt.backend, attempt.url)
    return tr(sentence).format(name=attempt.server_name, setting=setting, place=place)


def _from_scratch(servers: Sequence[ServerInfo], resources: ResourceInfo | None) -> SetupGuidance:
    waiting = next((server for server in servers if server.status is ServerStatus.NO_MODELS), None)
    if waiting is not None and waiting.id in IDENTITIES and waiting.id != "builtin":
        return SetupGuidance(
            tr("{waiting_name} is running but has no model loaded.", waiting_name=waiting.name),
            load_steps(waiting.id, waiting.name, None),
            links(waiting.id),
        )
    locked = next((server for server in servers if server.status is ServerStatus.NEEDS_KEY), None)
    if locked is not None:
        return SetupGuidance(
            tr("{locked_name} is running and wants a key.", locked_name=locked.name),
            (tr(_AFTER[ErrorKind.AUTH]).format(place=key_place(locked.id, locked.url)), tr("Ask again.")),
        )
    if resources is None:
        return SetupGuidance(
            tr("No model is set up yet."),
            (tr("Open Setup, or run `whisper-desktop recommend`, to see what suits this computer."),),
            (*links("lm_studio"), *links("ollama")),
        )
    advice = _advice(replace(resources, ram_available_bytes=resources.ram_total_bytes), tuple(servers))
    name = IDENTITIES[advice.preferred_server].name
    return SetupGuidance(
        tr("No model is set up yet. For this computer: {name}.", name=name),
        advice.steps,
        advice.download_links,
    )


@lru_cache(maxsize=1)
def _advice(resources: ResourceInfo, servers: tuple[ServerInfo, ...]) -> SetupRecommendation:
    """Kept, as it may be asked for after each failure, and nothing here goes by what is free now."""
    return get_recommended_setup(resources, servers)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + tr(" and {names}", names=names[-1])
