"""How a backend's failure is told to a person: what happened, why, what to do, in the backend's own name."""

import re

from whisper_desktop.errors import BackendError
from whisper_desktop.values import IDENTITIES, ErrorKind, Reach
from whisper_desktop.wire.address import origin, parse_url

_SHORTEST_PART = 6  # of a key that is worth hiding
_SHORTEST_SECRET = 12  # What is shorter is a word such as "not-needed", and stands in other words, too.
_END = r"(?:%(?:25)*[0-9a-f]?)?(?=\W*\Z)"  # half an escaped letter, and a dot or quotes that a sentence adds
_ELSEWHERE = "Try again, or use another backend."


def told(
    error: BackendError,
    *,
    backend: str,
    name: str,
    url: str,
    model: str | None,
    reach: Reach | None,
    key: str | None,
) -> BackendError:
    """The same failure with the server's name instead of its address, and with no key in a quotation."""
    # Before, since what a server said was cut to a length, and its end may be half a key; and after, since a
    # name in it may be one.
    quoted = _with(error, *(without(key, part) for part in (error.title, error.detail, error.next_step)))
    parts = _parts(quoted, backend, name, url, model, reach, key)
    return _with(error, *(without(key, part) for part in parts))


def without(key: str | None, text: str) -> str:
    """A text with "…" in place of a key, however its letters and percent signs are written, and in place of
    the beginning of one at its end.
    """
    if not key:
        return text
    if len(key) < _SHORTEST_SECRET:
        return text.replace(key, "…")
    if "%" not in text and key[:_SHORTEST_PART].lower() not in text.lower():
        return text
    text = re.sub(_spelled(key), "…", text, flags=re.IGNORECASE)
    for length in range(len(key) - 1, _SHORTEST_PART - 1, -1):
        at_the_end = _spelled(key[:length]) + _END
        if re.search(at_the_end, text, re.IGNORECASE):
            return re.sub(at_the_end, "…", text, flags=re.IGNORECASE)
    return text


def shown(key: str | None, model: str) -> str:
    """A model's name as a server told it, which may be the key that the server was sent."""
    return without(key, model) if key and len(key) >= _SHORTEST_SECRET else model


def _spelled(part: str) -> str:
    return "".join(f"(?:{re.escape(letter)}|%(?:25)*{ord(letter):02x})" for letter in part)


def _with(error: BackendError, title: str, detail: str, next_step: str) -> BackendError:
    return BackendError(
        error.kind,
        title,
        detail,
        next_step,
        status=error.status,
        retry_after=error.retry_after,
        request_sent=error.request_sent,
    )


def _parts(
    error: BackendError,
    backend: str,
    name: str,
    url: str,
    model: str | None,
    reach: Reach | None,
    key: str | None,
) -> tuple[str, str, str]:
    status = f" ({error.status})" if error.status else ""
    where = parse_url(url).netloc if url else ""
    whole = f"{error.title} {error.detail}".strip()
    if error.title.startswith(name):
        return error.title, error.detail, error.next_step  # The backend itself said it.
    match error.kind:
        case ErrorKind.CONNECT_REFUSED if reach in (Reach.THIS_MACHINE, None):
            return f"{name} is not running.", error.title, "Start it, or use another backend."
        case ErrorKind.CONNECT_REFUSED | ErrorKind.NAME_NOT_FOUND | ErrorKind.OFFLINE | ErrorKind.TLS:
            return f"{name} cannot be reached.", whole, error.next_step
        case ErrorKind.CONNECT_TIMEOUT:
            return f"{name} does not answer.", whole, error.next_step
        case ErrorKind.CLOSED_EARLY:
            return f"{name} closed the connection without an answer.", error.detail, error.next_step
        case ErrorKind.STREAM_CUT:
            return f"{name} closed the connection in the middle of its answer.", error.detail, _ELSEWHERE
        case ErrorKind.TRUNCATED:
            return f"{name} stopped before its answer was complete.", error.detail, _ELSEWHERE
        case ErrorKind.EMPTY:
            return f"{name} gave an empty answer.", error.detail, "Try again, or choose another model."
        case ErrorKind.NOT_AN_LLM:
            return f"What answers at {where} is not {name}.", whole, error.next_step or "Check the address."
        case ErrorKind.TOO_LARGE:
            return f"{name} sent too much.", whole, error.next_step or _ELSEWHERE
        case ErrorKind.MALFORMED:
            return f"{name} sent an answer that cannot be read.", whole, _ELSEWHERE
        case ErrorKind.LOADING:
            return f"{name} is still loading {model or 'its model'}.", "", "Wait a moment, then ask again."
        case ErrorKind.OVERLOADED:
            return f"{name} is busy{status}.", error.detail, "Ask again in a moment, or use another backend."
        case ErrorKind.RATE_LIMITED:
            return f"{name} asks to slow down{status}.", error.detail, _slower(error.retry_after)
        case ErrorKind.QUOTA:
            why = error.detail or "The account or the key has reached its limit."
            return (
                f"{name} says the key has no credit left{status}.",
                why,
                "Add credit, or use a local model.",
            )
        case ErrorKind.AUTH if key:
            return f"{name} did not accept the key{status}.", error.detail, _set_key(backend, url)
        case ErrorKind.AUTH:
            return f"{name} wants a key{status}.", error.detail, _set_key(backend, url)
        case ErrorKind.MODEL_MISSING if model:
            return (
                f"{name} has no model called “{model}”.",
                error.detail,
                "Choose one that it has, or add this one.",
            )
        case ErrorKind.MODEL_MISSING:
            return (
                f"{name} is running but has no model loaded.",
                error.detail,
                f"Load one in {name}, then ask again.",
            )
        case ErrorKind.CONTEXT_OVERFLOW:
            return (
                f"The conversation is too long for {model or 'the model'} on {name}.",
                error.detail,
                "Start a new chat, shorten the message, or load the model with a larger context window.",
            )
        case ErrorKind.CONTENT_FILTER:
            why = error.detail or "Its content filter decided so."
            return f"{name} declined this message.", f"{why} Nobody else was asked.", "Change the message."
        case ErrorKind.BAD_REQUEST:
            return (
                f"{name} did not accept the request{status}.",
                error.detail,
                "Check the model and its settings.",
            )
        case ErrorKind.UNSUPPORTED:
            return f"{name} cannot do what was asked{status}.", error.detail, "Use another model or backend."
        case ErrorKind.SERVER_ERROR:
            return f"{name} failed{status}.", error.detail, f"Try again, or look at the log of {name}."
        case _:
            return error.title, error.detail, error.next_step


def _slower(retry_after: float | None) -> str:
    return f"Try again in {retry_after:.0f} s." if retry_after else "Try again in a moment."


def key_place(backend: str, url: str) -> str:
    """What to name to `keys set` for a server: a service in the cloud by its id, all else by its address."""
    return backend if IDENTITIES[backend].root or not url else origin(url)


def _set_key(backend: str, url: str) -> str:
    return f"Set the key in Settings, or with `whisper-desktop keys set {key_place(backend, url)}`."
