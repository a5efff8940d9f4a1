"""What a person can do about a failed backend. That depends on where it runs: nobody restarts a service in
the cloud, or reads its log, and our own engine is started by the next question.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
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
            "builtin": tr("the built-in engine"),
            "guide": tr("the guide"),
            "openai_compatible": tr("the OpenAI-compatible server"),
        }
        usual = self.name == IDENTITIES[self.backend].name
        return plain.get(self.backend, self.name) if usual else self.name


_AGAIN = mark("Try again, or use another backend.")
_LATER = mark("Try again in a moment, or use another backend.")
_ANEW = mark("Ask again: it is started anew.")
_RESTART = mark("Stop it with `whisper-desktop engine stop`, and ask again.")
_RESTART_HERE = mark("Try again, or restart it.")
_RESTART_THERE = mark("Try again, or restart it on that computer.")
_FILE = mark("Choose another model file: `whisper-desktop config set llm.gguf_model_path FILE`.")
_LARGER_WINDOW = mark(
    "Start a new chat, shorten the message, or load the model with a larger context window."
)
_CHECK_NETWORK = mark("Check this computer's clock and its network connection.")

_BY_SITE: Mapping[ErrorKind, Mapping[Site, str]] = MappingProxyType(
    {
        ErrorKind.CONNECT_REFUSED: {
            Site.ENGINE: _ANEW,
            Site.GUIDE: _ANEW,
            Site.HERE: mark("Start it, or use another backend."),
            Site.MY_NETWORK: mark("Start it on that computer, or check the address."),
            Site.CLOUD: _LATER,
        },
        ErrorKind.CONNECT_TIMEOUT: {
            Site.ENGINE: _RESTART,
            Site.HERE: mark("Restart it, or use another backend."),
            Site.MY_NETWORK: mark("Check that computer and the address, or use another backend."),
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
            Site.ENGINE: mark("Try again, or look at its log: `whisper-desktop engine logs`."),
            Site.HERE: mark("Try again, or look at the log of {within}."),
            Site.MY_NETWORK: mark("Try again, or look at its log on that computer."),
            Site.CLOUD: _LATER,
        },
        ErrorKind.CONTEXT_OVERFLOW: {
            Site.ENGINE: mark(
                "Start a new chat, shorten the message, or set a larger context window: "
                "`whisper-desktop config set llm.llamacpp.n_ctx TOKENS`."
            ),
            Site.GUIDE: mark("Start a new chat, or shorten the message."),
            Site.HERE: _LARGER_WINDOW,
            Site.MY_NETWORK: _LARGER_WINDOW,
            Site.CLOUD: mark(
                "Start a new chat, shorten the message, or choose a model with a larger context window."
            ),
        },
    }
)
_EVERYWHERE: Mapping[ErrorKind, str] = MappingProxyType(
    {
        ErrorKind.TOTAL_TIMEOUT: _AGAIN,
        ErrorKind.STREAM_CUT: _AGAIN,
        ErrorKind.TRUNCATED: _AGAIN,
        ErrorKind.MALFORMED: _AGAIN,
        ErrorKind.EMPTY: mark("Try again, or choose another model."),
        ErrorKind.LOADING: mark("Wait a moment, then ask again."),
        ErrorKind.OVERLOADED: mark("Ask again in a moment, or use another backend."),
        ErrorKind.CONTENT_FILTER: mark("Change the message."),
        ErrorKind.BAD_REQUEST: mark("Check the model and its settings."),
        ErrorKind.UNSUPPORTED: mark("Use another model or backend."),
    }
)


def what_to_do(error: BackendError, asked: Asked) -> str:
    """The next step after a failure, as a sentence."""
    by_site = _BY_SITE.get(error.kind)
    if by_site is not None:
        return tr(by_site.get(asked.site, _AGAIN)).format(within=asked.within)
    if error.kind in _EVERYWHERE:
        return tr(_EVERYWHERE[error.kind])
    match error.kind:
        case ErrorKind.NAME_NOT_FOUND if asked.is_service:
            return tr("Check the network connection, or use a model on this computer.")
        case ErrorKind.TLS if asked.is_service:
            return tr(_CHECK_NETWORK)
        case ErrorKind.NOT_AN_LLM:
            return _elsewhere(error, asked)
        case ErrorKind.TOO_LARGE:
            return error.next_step or tr(_AGAIN)
        case ErrorKind.RATE_LIMITED:
            wait = error.retry_after
            return tr("Try again in {wait:.0f} s.", wait=wait) if wait else tr("Try again in a moment.")
        case ErrorKind.QUOTA:
            return (
                tr("Add credit, or use a local model.")
                if asked.is_paid_for
                else tr("Use another model or backend.")
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
        tr("Set the key in Setup, or with {command}.", command=command)
        if backend == "openrouter"
        else tr("Set the key: {command}.", command=command)
    )


def _elsewhere(error: BackendError, asked: Asked) -> str:
    if asked.site in (Site.ENGINE, Site.GUIDE):
        return tr(_RESTART if asked.site is Site.ENGINE else _AGAIN)
    if asked.is_service:
        return tr("Check the network connection: a login page or a proxy may have answered instead.")
    return error.next_step or tr("Check the address.")


def _another_key(asked: Asked) -> str:
    if asked.site is Site.ENGINE:
        return tr(_RESTART)
    return tr(_AGAIN) if asked.site is Site.GUIDE else set_key(asked.backend, asked.key_place)


def _another_model(asked: Asked) -> str:
    setting = f"llm.{asked.backend}.model" if asked.is_service else "llm.model_name"
    command = f"`whisper-desktop config set {setting} NAME`"
    match asked.site:
        case Site.ENGINE:
            return tr(_FILE)
        case Site.GUIDE:
            return tr(_AGAIN)
        case Site.CLOUD if asked.model:
            return tr("Check its name, or choose another one: {command}.", command=command)
        case Site.CLOUD:
            return tr("Name one: {command}.", command=command)
        case _ if asked.model:
            return tr("Choose one that it has, or add this one.")
        case _ if asked.backend == "ollama":
            return tr("Add one with `ollama pull NAME`, then ask again.")
        case _:
            return tr("Load one in {within}, then ask again.", within=asked.within)
