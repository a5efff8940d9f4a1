"""How a backend's failure is told to a person: what happened and why, in the backend's own name, and with no
key in a quotation. What can be done about it stands in `remedies`.
"""

import re

from whisper_desktop.backends.remedies import Asked, Site, what_to_do
from whisper_desktop.errors import BackendError
from whisper_desktop.values import IDENTITIES, ErrorKind, Reach
from whisper_desktop.wire.address import origin, parse_url
from whisper_desktop.wire.failures import NO_PROGRAM

_SHORTEST_PART = 6  # of a key that is worth hiding
_SHORTEST_SECRET = 12  # What is shorter is a word such as "not-needed", and stands in other words, too.
_END = r"(?:%(?:25)*[0-9a-f]?)?(?=\W*\Z)"  # half an escaped letter, and a dot or quotes that a sentence adds


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
    parts = _parts(quoted, Asked(backend, name, url, model, reach, bool(key), key_place(backend, url)))
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


def _parts(error: BackendError, asked: Asked) -> tuple[str, str, str]:
    if error.title.startswith(asked.name):
        return error.title, error.detail, error.next_step  # The backend itself said it.
    title, detail = _what_and_why(error, asked)
    return title, detail, what_to_do(error, asked)


def _what_and_why(error: BackendError, asked: Asked) -> tuple[str, str]:
    name, model = asked.name, asked.model
    status = f" ({error.status})" if error.status else ""
    whole = f"{error.title} {error.detail}".strip()
    here = asked.site not in (Site.MY_NETWORK, Site.CLOUD)
    match error.kind:
        case ErrorKind.CONNECT_REFUSED if here and error.detail == NO_PROGRAM:
            return f"{name} is not running.", error.title
        case ErrorKind.CONNECT_REFUSED | ErrorKind.NAME_NOT_FOUND | ErrorKind.OFFLINE | ErrorKind.TLS:
            return f"{name} cannot be reached.", whole
        case ErrorKind.CONNECT_TIMEOUT:
            return f"{name} does not answer.", whole
        case ErrorKind.CLOSED_EARLY:
            return f"{name} closed the connection without an answer.", error.detail
        case ErrorKind.STALLED:
            return f"{name} did not take the question.", whole
        case ErrorKind.TOTAL_TIMEOUT:
            return f"{name} took too long.", whole
        case ErrorKind.STREAM_CUT:
            return f"{name} closed the connection in the middle of its answer.", error.detail
        case ErrorKind.TRUNCATED:
            return f"{name} stopped before its answer was complete.", error.detail
        case ErrorKind.EMPTY:
            return f"{name} gave an empty answer.", error.detail
        case ErrorKind.NOT_AN_LLM:
            where = parse_url(asked.url).netloc if asked.url else "this address"
            return f"What answers at {where} is not {asked.within}.", whole
        case ErrorKind.TOO_LARGE:
            return f"{name} sent too much.", whole
        case ErrorKind.MALFORMED:
            return f"{name} sent an answer that cannot be read.", whole
        case ErrorKind.LOADING:
            return f"{name} is still loading {model or 'its model'}.", ""
        case ErrorKind.OVERLOADED:
            return f"{name} is busy{status}.", error.detail
        case ErrorKind.RATE_LIMITED:
            return f"{name} asks to slow down{status}.", error.detail
        case ErrorKind.QUOTA if asked.is_paid_for:
            why = error.detail or "The account or the key has reached its limit."
            return f"{name} says the key has no credit left{status}.", why
        case ErrorKind.QUOTA:
            return f"{name} says that its limit is reached{status}.", error.detail
        case ErrorKind.AUTH if not error.request_sent:
            return f"The key for {asked.within} cannot be sent.", error.detail
        case ErrorKind.AUTH if asked.key:
            return f"{name} did not accept the key{status}.", error.detail
        case ErrorKind.AUTH:
            return f"{name} wants a key{status}.", error.detail
        case ErrorKind.MODEL_MISSING if model:
            return f"{name} has no model called “{model}”.", error.detail
        case ErrorKind.MODEL_MISSING if asked.site is Site.CLOUD:
            return f"{name} offers no model.", error.detail
        case ErrorKind.MODEL_MISSING if asked.backend == "ollama":
            # It loads those that it has by itself.
            return f"{name} is running but has no model yet.", error.detail
        case ErrorKind.MODEL_MISSING:
            return f"{name} is running but has no model loaded.", error.detail
        case ErrorKind.CONTEXT_OVERFLOW:
            return f"The conversation is too long for {model or 'the model'} on {asked.within}.", error.detail
        case ErrorKind.CONTENT_FILTER:
            why = error.detail or "Its content filter decided so."
            return f"{name} declined this message.", f"{why} Nobody else was asked."
        case ErrorKind.BAD_REQUEST:
            return f"{name} did not accept the request{status}.", error.detail
        case ErrorKind.UNSUPPORTED:
            return f"{name} cannot do what was asked{status}.", error.detail
        case ErrorKind.SERVER_ERROR:
            return f"{name} failed{status}.", error.detail
        case _:
            return error.title, error.detail


def key_place(backend: str, url: str) -> str:
    """What to name to `keys set` for a server: a service in the cloud by its id, all else by its address."""
    return backend if IDENTITIES[backend].root or not url else origin(url)
