"""What a person can do about a failed backend. That depends on where it runs: nobody restarts a service in
the cloud, or reads its log, and our own engine is started by the next question.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from whisper_desktop.errors import BackendError
from whisper_desktop.values import IDENTITIES, ErrorKind, Reach


class Site(Enum):
    """Where a backend runs, as far as it matters for what can be done about it."""

    ENGINE = auto()
    GUIDE = auto()
    HERE = auto()
    MY_NETWORK = auto()
    CLOUD = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """Who failed: its id, the name that a person knows, its address and its reach, and what it was asked for.

    `key` says whether it was given one, `key_place` is what its key is kept under.
    """

    backend: str
    name: str
    url: str
    model: str | None
    reach: Reach | None
    key: bool
    key_place: str

    @property
    def site(self) -> Site:
        """Where it runs. One that nobody can place is, if anything, a program on this computer."""
        if self.backend == "builtin":
            return Site.ENGINE
        if self.backend == "guide":
            return Site.GUIDE
        if self.is_service or self.reach is Reach.CLOUD:
            return Site.CLOUD
        return Site.MY_NETWORK if self.reach is Reach.MY_NETWORK else Site.HERE

    @property
    def is_service(self) -> bool:
        """Whether it is a service whose address is known to all, so that nobody has misspelt it."""
        return bool(IDENTITIES[self.backend].root)

    @property
    def is_paid_for(self) -> bool:
        """Whether it has credit that may be used up."""
        return self.key or self.is_service

    @property
    def within(self) -> str:
        """Its name in the middle of a sentence."""
        plain = {
            "builtin": "the built-in engine",
            "guide": "the guide",
            "openai_compatible": "the OpenAI-compatible server",
        }
        usual = self.name == IDENTITIES[self.backend].name
        return plain.get(self.backend, self.name) if usual else self.name


_AGAIN = "Try again, or use another backend."
_LATER = "Try again in a moment, or use another backend."
_ANEW = "Ask again: it is started anew."
_RESTART = "Stop it with `whisper-desktop engine stop`, and ask again."
_RESTART_HERE = "Try again, or restart it."
_RESTART_THERE = "Try again, or restart it on that computer."
_SHORTER = "Start a new chat, shorten the message"
_WINDOW = "whisper-desktop config set llm.llamacpp.n_ctx TOKENS"
_FILE = "Choose another model file: `whisper-desktop config set llm.gguf_model_path FILE`."
_CHECK_NETWORK = "Check this computer's clock and its network connection."

_BY_SITE: Mapping[ErrorKind, Mapping[Site, str]] = MappingProxyType(
    {
        ErrorKind.CONNECT_REFUSED: {
            Site.ENGINE: _ANEW,
            Site.GUIDE: _ANEW,
            Site.HERE: "Start it, or use another backend.",
            Site.MY_NETWORK: "Start it on that computer, or check the address.",
            Site.CLOUD: _LATER,
        },
        ErrorKind.CONNECT_TIMEOUT: {
            Site.ENGINE: _RESTART,
            Site.HERE: "Restart it, or use another backend.",
            Site.MY_NETWORK: "Check that computer and the address, or use another backend.",
            Site.CLOUD: _LATER,
        },
        ErrorKind.CLOSED_EARLY: {
            Site.ENGINE: _RESTART,
            Site.HERE: _RESTART_HERE,
            Site.MY_NETWORK: _RESTART_THERE,
            Site.CLOUD: _LATER,
        },
        ErrorKind.STALLED: {
            Site.ENGINE: _RESTART,
            Site.HERE: _RESTART_HERE,
            Site.MY_NETWORK: _RESTART_THERE,
            Site.CLOUD: _LATER,
        },
        ErrorKind.SERVER_ERROR: {
            Site.ENGINE: "Try again, or look at its log: `whisper-desktop engine logs`.",
            Site.HERE: "Try again, or look at the log of {within}.",
            Site.MY_NETWORK: "Try again, or look at its log on that computer.",
            Site.CLOUD: _LATER,
        },
        ErrorKind.CONTEXT_OVERFLOW: {
            Site.ENGINE: f"{_SHORTER}, or set a larger context window: `{_WINDOW}`.",
            Site.GUIDE: "Start a new chat, or shorten the message.",
            Site.HERE: f"{_SHORTER}, or load the model with a larger context window.",
            Site.MY_NETWORK: f"{_SHORTER}, or load the model with a larger context window.",
            Site.CLOUD: f"{_SHORTER}, or choose a model with a larger context window.",
        },
    }
)
_EVERYWHERE: Mapping[ErrorKind, str] = MappingProxyType(
    {
        ErrorKind.TOTAL_TIMEOUT: _AGAIN,
        ErrorKind.STREAM_CUT: _AGAIN,
        ErrorKind.TRUNCATED: _AGAIN,
        ErrorKind.MALFORMED: _AGAIN,
        ErrorKind.EMPTY: "Try again, or choose another model.",
        ErrorKind.LOADING: "Wait a moment, then ask again.",
        ErrorKind.OVERLOADED: "Ask again in a moment, or use another backend.",
        ErrorKind.CONTENT_FILTER: "Change the message.",
        ErrorKind.BAD_REQUEST: "Check the model and its settings.",
        ErrorKind.UNSUPPORTED: "Use another model or backend.",
    }
)


def what_to_do(error: BackendError, asked: Asked) -> str:
    """The next step after a failure, as a sentence."""
    by_site = _BY_SITE.get(error.kind)
    if by_site is not None:
        return by_site.get(asked.site, _AGAIN).format(within=asked.within)
    if error.kind in _EVERYWHERE:
        return _EVERYWHERE[error.kind]
    match error.kind:
        case ErrorKind.NAME_NOT_FOUND if asked.is_service:
            return "Check the network connection, or use a model on this computer."
        case ErrorKind.TLS if asked.is_service:
            return _CHECK_NETWORK
        case ErrorKind.NOT_AN_LLM:
            return _elsewhere(error, asked)
        case ErrorKind.TOO_LARGE:
            return error.next_step or _AGAIN
        case ErrorKind.RATE_LIMITED:
            wait = error.retry_after
            return f"Try again in {wait:.0f} s." if wait else "Try again in a moment."
        case ErrorKind.QUOTA:
            return (
                "Add credit, or use a local model." if asked.is_paid_for else "Use another model or backend."
            )
        case ErrorKind.AUTH:
            return _another_key(asked)
        case ErrorKind.MODEL_MISSING:
            return _another_model(asked)
        case _:
            return error.next_step


def set_key(backend: str, place: str) -> str:
    """How the key that is kept under `place` is set, as a sentence. Setup takes OpenRouter's only."""
    command = f"`whisper-desktop keys set {place}`"
    return (
        f"Set the key in Setup, or with {command}." if backend == "openrouter" else f"Set the key: {command}."
    )


def _elsewhere(error: BackendError, asked: Asked) -> str:
    if asked.site in (Site.ENGINE, Site.GUIDE):
        return _RESTART if asked.site is Site.ENGINE else _AGAIN
    if asked.is_service:
        return "Check the network connection: a login page or a proxy may have answered instead."
    return error.next_step or "Check the address."


def _another_key(asked: Asked) -> str:
    if asked.site is Site.ENGINE:
        return _RESTART
    return _AGAIN if asked.site is Site.GUIDE else set_key(asked.backend, asked.key_place)


def _another_model(asked: Asked) -> str:
    setting = f"llm.{asked.backend}.model" if asked.is_service else "llm.model_name"
    command = f"`whisper-desktop config set {setting} NAME`"
    match asked.site:
        case Site.ENGINE:
            return _FILE
        case Site.GUIDE:
            return _AGAIN
        case Site.CLOUD if asked.model:
            return f"Check its name, or choose another one: {command}."
        case Site.CLOUD:
            return f"Name one: {command}."
        case _ if asked.model:
            return "Choose one that it has, or add this one."
        case _ if asked.backend == "ollama":
            return "Add one with `ollama pull NAME`, then ask again."
        case _:
            return f"Load one in {asked.within}, then ask again."
