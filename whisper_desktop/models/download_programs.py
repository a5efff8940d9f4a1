"""Programs on this computer that fetch models themselves, and what can be wrong with that, in sentences.

What they say is matched against what they are known to say; anything else is quoted, bounded.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from whisper_desktop.errors import BackendError, TransferError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire import fields

CAN_PAUSE = {"ollama": True, "lm_studio": False}
"""Whether a download of this program can be stopped from outside and gone on with later."""

NAMES = {"ollama": "Ollama", "lm_studio": "LM Studio"}
_UNKNOWN = ("file does not exist", "manifest unknown", "not found", "invalid model name", "no such model")
_OFFLINE = (
    "no such host",
    "dial tcp",
    "connection",
    "timeout",
    "max retries exceeded",
    "network is unreachable",
)
_NO_ROOM = ("no space left", "disk is full", "not enough space")
_DENIED = ("unauthorized", "401", "403", "access denied", "gated", "restricted")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that fetches models itself: where it listens on this computer, and its key, if any."""

    id: Literal["ollama", "lm_studio"]
    url: str
    key: Callable[[], Awaitable[str | None]] | None = None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return NAMES[self.id]

    async def headers(self) -> dict[str, str]:
        """With the key, where there is one."""
        key = await self.key() if self.key is not None else None
        return {"authorization": f"Bearer {key}"} if key else {}


def error_in(body: bytes) -> str:
    """What a program says is wrong; LM Studio writes a text or an object."""
    error = fields.table(fields.parsed(body.decode("utf-8", "replace"))).get("error")
    return fields.name(error) or fields.name(fields.table(error).get("message")) or ""


def refused(program: Program, model: str, said: str, status: int | None) -> TransferError:
    name, low = program.name, said.lower()
    title = tr("{name} could not fetch {model}.", name=name, model=model)
    if status == 401:
        return TransferError(
            tr("{name} wants a key before it fetches {model}.", name=name, model=model),
            "",
            tr("Give it: `whisper-desktop keys set {program_id}`.", program_id=program.id),
        )
    if any(word in low for word in _NO_ROOM):
        return TransferError(
            title, tr("The disk that it keeps its models on is full."), tr("Free some space there.")
        )
    if any(word in low for word in _UNKNOWN) or status == 404:
        example = "https://ollama.com/library" if program.id == "ollama" else tr("LM Studio's search")
        return TransferError(
            tr("{name} knows no model {model}.", name=name, model=model),
            tr("Perhaps the name is misspelt."),
            tr("Look it up: {example}.", example=example),
        )
    if "newer version" in low or "412" in low:
        return TransferError(
            title,
            tr("The model needs a newer {name}.", name=name),
            tr("Update {name} and try again.", name=name),
        )
    if any(word in low for word in _DENIED):
        return TransferError(
            title,
            tr("Whoever offers it does not give it to everybody."),
            tr("Log in inside {name}, and try again.", name=name),
        )
    if any(word in low for word in _OFFLINE):
        return TransferError(
            title,
            tr("It cannot reach the place that the model comes from."),
            tr("Check the network and try again."),
        )
    return TransferError(
        title,
        tr("It says: {said}", said=said) if said else tr("It does not say why."),
        tr("Try again later."),
    )


def unreachable(program: Program, model: str, error: BackendError) -> TransferError:
    if error.kind in (ErrorKind.CONNECT_REFUSED, ErrorKind.CONNECT_TIMEOUT):
        return TransferError(
            tr(
                "{program_name} is not running, so it cannot fetch {model}.",
                program_name=program.name,
                model=model,
            ),
            tr("Nothing answers at {url}.", url=program.url),
            tr("Start {program_name} and try again.", program_name=program.name),
        )
    if error.kind in (ErrorKind.NOT_AN_LLM, ErrorKind.MALFORMED, ErrorKind.TOO_LARGE):
        return not_it(program)
    return TransferError(
        tr("{program_name} broke off while it fetched {model}.", program_name=program.name, model=model),
        error.title,
        tr(
            "See whether {program_name} still runs, and try again; it keeps what has arrived.",
            program_name=program.name,
        ),
    )


def not_it(program: Program) -> TransferError:
    return TransferError(
        tr(
            "What answers at {url} does not behave like {program_name}.",
            url=program.url,
            program_name=program.name,
        ),
        tr("Another program may listen there."),
        tr("Check the address of {program_name} in the settings.", program_name=program.name),
    )
