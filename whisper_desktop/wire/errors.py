"""What a server's refusal means: status and body to one `ErrorKind`. No I/O.

Every server has its own form: an object, a plain string, FastAPI's `detail`, text, nothing. The order below
matters: what must not be passed on to another server (too long, declined) is recognised first, then what
concerns the key, then the model, and only at the end the bare status. Provider codes come before phrases, and
phrases before the status, because several servers answer 400, 403 or even 200 for anything.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire import fields

LONGEST_MESSAGE = 300
LONGEST_RETRY_AFTER_S = 86_400.0

_CONTEXT_CODES = {
    "exceed_context_size_error",
    "context_length_exceeded",
    "model_context_window_exceeded",
    "token_limit_exceeded",
    "string_too_long",
    "payload_too_large",
}
_CONTEXT_PHRASES = (
    "exceed context limit",
    "maximum context length is",
    "maximum context limit",
    "string too long. expected a string with maximum length",
    "longer than the model's context length",
    "input tokens exceed the configured limit",
    "exceeds the available context size",
    "exceed_context_size_error",
    "exceeds the maximum number of tokens allowed",
    "context_length_exceeded",
    "input length exceeds the context length",
    "number of tokens to keep from the initial prompt is greater than the context length",
    "trying to keep the first",
    "prompt is too long",
)
_FILTER_CODES = {"content_policy_violation", "content_filter", "refusal", "moderation_blocked"}
_QUOTA_CODES = {"insufficient_quota", "payment_required", "billing_hard_limit_reached"}
_QUOTA_PHRASES = (
    "insufficient_quota",
    "exceeded your current quota",
    "insufficient credits",
    "credit balance",
)
_AUTH_CODES = {
    "invalid_api_key",
    "authentication",
    "authentication_error",
    "permission_denied",
    "permission_error",
}
_RATE_CODES = {"rate_limit_exceeded", "capacity_exhausted", "rate_limit_error"}
_BUSY_CODES = {"provider_overloaded", "overloaded_error", "temporarily_unavailable"}
_FAILED_CODES = {
    "provider_unavailable",
    "server",
    "server_error",
    "api_error",
    "timeout",
    "unmapped",
    "internal_error",
}
_MODEL_CODES = {
    "model_not_found",
    "no_endpoints",
    "model_deprecated",
    "model_unavailable_upstream",
    "privacy_restricted",
    "constraint_filtered",
    "free_variant_ended",
}
_MODEL_PHRASES = (
    "try pulling it first",
    "is not a valid model id",
    "no models loaded",
    "no models are available",
    "model name is missing",
    "no running session found",
)
_MODEL_WORDS = re.compile(r"\bmodel\b.*\b(not found|does not exist|not exist|unknown|not available)\b", re.S)
_CRASHED = (
    "has crashed",
    "process has terminated",
    "out-of-memory",
    "unexpectedly stopped",
    "system memory",
    "insufficient system resources",
    "failed to load",
)
_UNSUPPORTED_PHRASES = ("is not supported", "does not support", "not_supported", "unsupported parameter")


@dataclass(frozen=True, slots=True)
class _Said:
    """A server's refusal, read: its words, and every code it gave, in lower case."""

    status: int | None
    message: str
    codes: frozenset[str]
    retry_after: float | None
    withheld: bool


def is_error(value: object) -> bool:
    """Whether a JSON value that should be an answer (or one chunk or choice of it) is an error instead."""
    return isinstance(value, dict) and (bool(value.get("error")) or value.get("object") == "error")


def error_in(value: object) -> BackendError:
    """An error that came inside a 200."""
    return _told(_read(value, None))


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
    """An error that came as a status, with its body as JSON, text, or nothing."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        value = body.decode("utf-8", "replace")
    said = _read(value, status)
    asked = retry_after(headers)
    if asked is not None:
        said = _Said(said.status, said.message, said.codes, asked, said.withheld)
    return _told(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms`, `x-ms-retry-after-ms` or `retry-after` (seconds or a date).

    A date is compared with the response's own Date header, since clocks differ. Negative, infinite and
    unreadable values are None; more than a day is a day.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _seconds(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _seconds(text)
    if seconds is not None or text is None:
        return seconds
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers["date"])
        return _bounded((until - now).total_seconds())
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    try:
        return _bounded(float(text)) if text is not None else None
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(seconds, LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) and seconds >= 0 else None


def _read(value: object, status: int | None) -> _Said:
    if isinstance(value, str):
        return _Said(
            status, "" if value.lstrip().startswith("<") else _words(value), frozenset(), None, False
        )
    if not isinstance(value, dict):
        return _Said(status, "", frozenset(), None, False)
    error = value.get("error") or value.get("detail") or value
    if isinstance(error, str):
        own = value.get("StatusCode")  # Ollama's cloud models
        return _Said(
            status or (own if isinstance(own, int) else None), _words(error), frozenset(), None, False
        )
    if not isinstance(error, dict):
        return _Said(status, _words(json.dumps(error)), frozenset(), None, False)
    metadata = fields.table(error.get("metadata"))
    availability = fields.table(error.get("availability"))
    given = (
        *(error.get(name) for name in ("code", "type", "error_type")),
        metadata.get("error_type"),
        availability.get("code"),
    )
    inner = next((n for n in (error.get("code"), error.get("http_status")) if isinstance(n, int)), None)
    wait = availability.get("retry_after")
    return _Said(
        status=status or inner,
        message=_words(str(error.get("message") or error.get("error") or "")),
        codes=frozenset(code.lower() for code in given if isinstance(code, str)),
        retry_after=_bounded(float(wait)) if isinstance(wait, int | float) else None,
        withheld=any(name in metadata for name in ("reasons", "flagged_input", "patterns")),
    )


def _words(message: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in message)
    text = " ".join(printable.split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _told(said: _Said) -> BackendError:
    kind = _kind(said)
    # What a server says about a key may repeat the key.
    quoted = said.message and kind is not ErrorKind.AUTH
    return BackendError(
        kind,
        "The server refused." if said.status else "The server reported an error.",
        f"It says: “{said.message}”" if quoted else "",
        status=said.status,
        retry_after=said.retry_after,
    )


def _kind(said: _Said) -> ErrorKind:
    text = said.message.lower()
    special = _kind_of_content(said, text) or _kind_of_key(said, text) or _kind_of_model(said, text)
    return special or _kind_of_status(said, text)


def _kind_of_content(said: _Said, text: str) -> ErrorKind | None:
    if said.codes & _CONTEXT_CODES or said.status == 413 or any(each in text for each in _CONTEXT_PHRASES):
        return ErrorKind.CONTEXT_OVERFLOW
    if said.codes & _FILTER_CODES or said.withheld:
        return ErrorKind.CONTENT_FILTER
    return None


def _kind_of_key(said: _Said, text: str) -> ErrorKind | None:
    if said.status == 402 or said.codes & _QUOTA_CODES or any(each in text for each in _QUOTA_PHRASES):
        return ErrorKind.QUOTA
    if said.status == 429 or said.codes & _RATE_CODES:
        return ErrorKind.RATE_LIMITED
    if said.status in (401, 403) or said.codes & _AUTH_CODES:
        return ErrorKind.AUTH
    return None


def _kind_of_model(said: _Said, text: str) -> ErrorKind | None:
    if said.status == 503 and "loading" in text:
        return ErrorKind.LOADING
    if said.codes & _MODEL_CODES or any(each in text for each in _MODEL_PHRASES):
        return ErrorKind.MODEL_MISSING
    if said.status in (None, 400, 404, 422) and _MODEL_WORDS.search(text):
        return ErrorKind.MODEL_MISSING
    return None


def _kind_of_status(said: _Said, text: str) -> ErrorKind:
    status = said.status
    if "unexpected endpoint" in text or status in (404, 405):
        return ErrorKind.NOT_AN_LLM
    if status in (503, 529) or said.codes & _BUSY_CODES:
        return ErrorKind.OVERLOADED
    if any(each in text for each in _CRASHED):
        return ErrorKind.SERVER_ERROR
    if status == 501 or any(each in text for each in _UNSUPPORTED_PHRASES):
        return ErrorKind.UNSUPPORTED
    if status == 500 and "parse_error" in text:
        return ErrorKind.BAD_REQUEST  # llama.cpp: the request was not valid JSON
    if status in (408, 409) or said.codes & _FAILED_CODES:
        return ErrorKind.SERVER_ERROR
    if status is not None and 400 <= status < 500:
        return ErrorKind.BAD_REQUEST
    return ErrorKind.SERVER_ERROR
