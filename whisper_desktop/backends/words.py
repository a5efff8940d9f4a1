"""How a backend's failure is told to a person: what happened and why, in the backend's own name, and with no
key in a quotation. What can be done about it stands in `remedies`.
"""

import re

from whisper_desktop.backends.remedies import Asked, Site, what_to_do
from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
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
        case ErrorKind.CONNECT_REFUSED if here and error.detail == tr(NO_PROGRAM):
            return tr("{name} is not running.", name=name), error.title
        case ErrorKind.CONNECT_REFUSED | ErrorKind.NAME_NOT_FOUND | ErrorKind.OFFLINE | ErrorKind.TLS:
            return tr("{name} cannot be reached.", name=name), whole
        case ErrorKind.CONNECT_TIMEOUT:
            return tr("{name} does not answer.", name=name), whole
        case ErrorKind.CLOSED_EARLY:
            return tr("{name} closed the connection without an answer.", name=name), error.detail
        case ErrorKind.STALLED:
            return tr("{name} did not take the question.", name=name), whole
        case ErrorKind.TOTAL_TIMEOUT:
            return tr("{name} took too long.", name=name), whole
        case ErrorKind.STREAM_CUT:
            return tr("{name} closed the connection in the middle of its answer.", name=name), error.detail
        case ErrorKind.TRUNCATED:
            return tr("{name} stopped before its answer was complete.", name=name), error.detail
        case ErrorKind.EMPTY:
            return tr("{name} gave an empty answer.", name=name), error.detail
        case ErrorKind.NOT_AN_LLM:
            where = parse_url(asked.url).netloc if asked.url else tr("this address")
            return tr("What answers at {where} is not {within}.", where=where, within=asked.within), whole
        case ErrorKind.TOO_LARGE:
            return tr("{name} sent too much.", name=name), whole
        case ErrorKind.MALFORMED:
            return tr("{name} sent an answer that cannot be read.", name=name), whole
        case ErrorKind.LOADING:
            return (
                tr("{name} is still loading {model}.", name=name, model=model)
                if model
                else tr("{name} is still loading its model.", name=name)
            ), ""
        case ErrorKind.OVERLOADED:
            return tr("{name} is busy{status}.", name=name, status=status), error.detail
        case ErrorKind.RATE_LIMITED:
            return tr("{name} asks to slow down{status}.", name=name, status=status), error.detail
        case ErrorKind.QUOTA if asked.is_paid_for:
            why = error.detail or tr("The account or the key has reached its limit.")
            return tr("{name} says the key has no credit left{status}.", name=name, status=status), why
        case ErrorKind.QUOTA:
            return tr(
                "{name} says that its limit is reached{status}.", name=name, status=status
            ), error.detail
        case ErrorKind.AUTH if not error.request_sent:
            return tr("The key for {within} cannot be sent.", within=asked.within), error.detail
        case ErrorKind.AUTH if asked.key:
            return tr("{name} did not accept the key{status}.", name=name, status=status), error.detail
        case ErrorKind.AUTH:
            return tr("{name} wants a key{status}.", name=name, status=status), error.detail
        case ErrorKind.MODEL_MISSING if model:
            return tr("{name} has no model called “{model}”.", name=name, model=model), error.detail
        case ErrorKind.MODEL_MISSING if asked.site is Site.CLOUD:
            return tr("{name} offers no model.", name=name), error.detail
        case ErrorKind.MODEL_MISSING if asked.backend == "ollama":
            # It loads those that it has by itself.
            return tr("{name} is running but has no model yet.", name=name), error.detail
        case ErrorKind.MODEL_MISSING:
            return tr("{name} is running but has no model loaded.", name=name), error.detail
        case ErrorKind.CONTEXT_OVERFLOW:
            return tr(
                "The conversation is too long for {part} on {within}.",
                part=model or tr("the model"),
                within=asked.within,
            ), error.detail
        case ErrorKind.CONTENT_FILTER:
            why = error.detail or tr("Its content filter decided so.")
            return tr("{name} declined this message.", name=name), tr("{why} Nobody else was asked.", why=why)
        case ErrorKind.BAD_REQUEST:
            return tr("{name} did not accept the request{status}.", name=name, status=status), error.detail
        case ErrorKind.UNSUPPORTED:
            return tr("{name} cannot do what was asked{status}.", name=name, status=status), error.detail
        case ErrorKind.SERVER_ERROR:
            return tr("{name} failed{status}.", name=name, status=status), error.detail
        case _:
            return error.title, error.detail


def key_place(backend: str, url: str) -> str:
    """What to name to `keys set` for a server: a service in the cloud by its id, all else by its address."""
    return backend if IDENTITIES[backend].root or not url else origin(url)
