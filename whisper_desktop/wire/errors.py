"""What a server's refusal means: status and body to one `ErrorKind`, for all dialects. No I/O.

Every server has its own form: an object, a plain string, a list with an object in it, FastAPI's `detail`,
text, nothing. The order below matters: what must not be passed on to another server (too long, declined) is
recognised first, then what concerns the key, then what the model or the server cannot do, then the model, and
only at the end the bare status. Codes come before phrases, and phrases before the status, because several
servers answer 400, 403, 500 or even 200 for anything.

A 413 is CONTEXT_OVERFLOW, not TOO_LARGE: services answer it for prompts that are too long as well as for
bodies that are, and the same helps against both: a shorter conversation, or a model that takes more.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire import fields
from whisper_desktop.wire.retry_after import retry_after, seconds_in

LONGEST_MESSAGE = 300

Json = Mapping[str, object]

# So much of a message is searched for phrases: some servers wrap the message of another one.
_SEARCHED = 4000

_CONTEXT_CODES = {
    "exceed_context_size_error",
    "context_length_exceeded",
    "model_context_window_exceeded",
    "token_limit_exceeded",
    "max_tokens_exceeded",
    "string_too_long",
    "payload_too_large",
    "request_too_large",
}
_CONTEXT_PHRASES = (
    "exceed context limit",
    "maximum context length",
    "maximum context limit",
    "string too long. expected a string with maximum length",
    "longer than the model's context length",
    "longer than the maximum model length",
    "input tokens exceed the configured limit",
    "exceeds the available context size",
    "context size has been exceeded",
    "exceed_context_size_error",
    "exceeds the maximum number of tokens allowed",
    "context_length_exceeded",
    "input length exceeds the context length",
    "number of tokens to keep from the initial prompt is greater than the context length",
    "trying to keep the first",
    "prompt is too long",
    "too large to process",
    "reduce the length of the messages",
)
_FILTER_CODES = {
    "content_policy_violation",
    "content_filter",
    "refusal",
    "moderation_blocked",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
}
_FILTER_PHRASES = ("violating our usage policy", "content management policy")
_QUOTA_CODES = {
    "insufficient_quota",
    "payment_required",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "enforced_spend_limit_reached",
}
_QUOTA_PHRASES = (
    "insufficient_quota",
    "exceeded your current quota",
    "insufficient credits",
    "insufficient balance",
    "requires more credits",
    "credit balance",
    "spend limit",
    "spending limit",
    "billing to be enabled",
    "billing is not active",
    "free-models-per-day",
)
_LASTING = re.compile("per(?:day|month)", re.IGNORECASE)
_AUTH_CODES = {
    "invalid_api_key",
    "authentication",
    "authentication_error",
    "unauthenticated",
    "permission_denied",
    "permission_error",
}
_AUTH_PHRASES = ("api key not valid", "incorrect api key", "invalid api key", "api token is required")
_RATE_CODES = {"rate_limit_exceeded", "capacity_exhausted", "rate_limit_error", "resource_exhausted"}
_BUSY_CODES = {
    "provider_overloaded",
    "overloaded_error",
    "temporarily_unavailable",
    "unavailable",
    "unavailable_error",
}
_BUSY_PHRASES = ("server busy", "is overloaded", "currently overloaded")
_FAILED_CODES = {
    "provider_unavailable",
    "server",
    "server_error",
    "api_error",
    "timeout",
    "timeout_error",
    "deadline_exceeded",
    "unmapped",
    "internal",
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
    "invalid model identifier",
    "multiple models are loaded",
    "no models loaded",
    "no models are available",
    "no endpoints found",
    "model name is missing",
    "no running session found",
)
_MODEL_WORDS = re.compile(
    r"\bmodels?\b.*\b(not found|does not exist|not exist|unknown|not available)\b|^model: \S+$", re.S | re.M
)
_CRASHED = (
    "has crashed",
    "channel error",
    "process has terminated",
    "out-of-memory",
    "unexpectedly stopped",
    "model unloaded",
    "was unloaded",
    "system memory",
    "insufficient system resources",
    "failed to load",
    "error loading model",
    "invalid host header",  # the server's own setting about who may call it by which name
)
_UNSUPPORTED_CODES = {
    "not_supported_error",
    "unsupported_parameter",
    "unsupported_value",
    "feature_disabled",
    "not_implemented",
    "unimplemented",
    "region_restricted",
    "unsupported_country_region_territory",
}
_CANNOT_PHRASES = (
    "does not support",
    "no endpoints found that support",
    "--jinja",
    "--enable-auto-tool-choice",
    "message prefill",
    "response prefill",
    "prefill is",
    "continue_final_message",
    "add_generation_prompt",
    "must end with a user message",
    "image_url is only supported",
    "not a multimodal model",
    "at most 0 image",
    "failed to parse grammar",
    "ollama cloud is disabled",
)
_UNSUPPORTED_PHRASES = ("is not supported", "not_supported", "unsupported parameter")

_KEYS = re.compile(
    r"""
      \b(?:sk|pk|rk|gsk|xai|hf|pplx|nvapi|tgp)[-_][\w:.*-]{4,}
    | \bAIza[\w-]{8,}
    | (?<=\bbearer\ )\S+
    | (?<=key[ :=])\s?["'`“]?(?=\S*\d)[\w+/=.:~-]{12,}
    | (?<=token[ :=])\s?["'`“]?(?=\S*\d)[\w+/=.:~-]{12,}
    | \b(?=[A-Za-z+=]*\d)(?=[\d+=]*[A-Za-z])[A-Za-z0-9+=]{24,}
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Said:
    """A server's refusal, read. `message` can be quoted; `text` and `codes` are in lower case.

    `withheld` is moderation's mark; `lasting` says that a quota is used up for a day or longer.
    """

    status: int | None
    message: str = ""
    text: str = ""
    codes: frozenset[str] = frozenset()
    retry_after: float | None = None
    withheld: bool = False
    lasting: bool = False

    def has(self, phrases: Sequence[str]) -> bool:
        """Whether any of the phrases is in the text."""
        return any(phrase in self.text for phrase in phrases)


def is_error(value: object) -> bool:
    """Whether a JSON value that should be an answer (or one chunk or choice of it) is an error instead."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
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
    asked = retry_after(headers, limited=status == 429)
    return _told(said if asked is None else replace(said, retry_after=asked))


# --- reading ----------------------------------------------------------------------------------------------


def _read(value: object, status: int | None) -> _Said:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return _Said(status) if value.lstrip().startswith("<") else _said(status, value)
    if not isinstance(value, dict):
        return _Said(status)
    error = value.get("error") or value.get("detail") or value
    if isinstance(error, str):
        return _said(status or _status(value.get("StatusCode")), error)  # Ollama's cloud models
    if isinstance(error, list):  # FastAPI: what is wrong, place by place
        return _said(status, "; ".join(map(_complaint, _tables(error))))
    return _read_object(error if isinstance(error, dict) else value, status)


def _read_object(error: Json, status: int | None) -> _Said:
    metadata = fields.table(error.get("metadata"))
    availability = fields.table(error.get("availability"))
    details = error.get("details")
    codes = [error.get(name) for name in ("code", "type", "status", "error_type")]
    codes += [metadata.get("error_type"), availability.get("code"), fields.table(details).get("error_code")]
    waits = [availability.get("retry_after")]
    lasting = False
    for detail in _tables(details):  # Google's
        codes.append(detail.get("reason"))
        waits.append(detail.get("retryDelay"))
        quotas = (_text(violation, "quotaId") for violation in _tables(detail.get("violations")))
        lasting = lasting or any(map(_LASTING.search, quotas))
    said = _said(
        status or _status(error.get("code")) or _status(error.get("http_status")),
        _text(error, "message") or _text(error, "error"),
        _text(metadata, "raw"),  # the refusal of the provider behind OpenRouter
    )
    return replace(
        said,
        codes=frozenset(code.lower() for code in codes if isinstance(code, str)),
        retry_after=next((wait for wait in map(seconds_in, waits) if wait is not None), None),
        withheld=any(name in metadata for name in ("reasons", "flagged_input", "patterns")),
        lasting=lasting,
    )


def _said(status: int | None, message: str, more: str = "") -> _Said:
    text = f"{message[:_SEARCHED]}\n{more[:_SEARCHED]}".lower()
    return _Said(status, _quotable(message), text)


def _tables(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(table: Json, name: str) -> str:
    value = table.get(name)
    return value if isinstance(value, str) else ""


def _complaint(entry: Json) -> str:
    """One of FastAPI's complaints: which field, and what is wrong with it."""
    place = entry.get("loc")
    field = f"{place[-1]}: " if isinstance(place, list) and place else ""
    return field + _text(entry, "msg")


def _status(code: object) -> int | None:
    """An HTTP status that came as a code, as a number or as text."""
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
    return number if isinstance(number, int) and 400 <= number <= 599 else None


def _quotable(message: str) -> str:
    """One short line of printable text without anything that looks like a key."""
    head = message[:_SEARCHED]
    words = "".join(character if character.isprintable() else " " for character in head).split()
    if len(message) > _SEARCHED:
        words = words[:-1]  # half a key does not look like one
    text = _KEYS.sub("…", " ".join(words))
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


# --- deciding ---------------------------------------------------------------------------------------------


def _told(said: _Said) -> BackendError:
    kind = _kind(said)
    # What a server says about a key may repeat the key.
    quoted = said.message and kind is not ErrorKind.AUTH
    return BackendError(
        kind,
        tr("The server refused.") if said.status else tr("The server reported an error."),
        tr("It says: “{message}”", message=said.message) if quoted else "",
        status=said.status,
        retry_after=said.retry_after,
    )


def _kind(said: _Said) -> ErrorKind:
    for decide in (_of_content, _of_key, _of_ability, _of_model):
        kind = decide(said)
        if kind is not None:
            return kind
    return _of_status(said)


def _of_content(said: _Said) -> ErrorKind | None:
    if said.codes & _CONTEXT_CODES or said.status == 413 or said.has(_CONTEXT_PHRASES):
        return ErrorKind.CONTEXT_OVERFLOW
    if said.codes & _FILTER_CODES or said.withheld or said.has(_FILTER_PHRASES):
        return ErrorKind.CONTENT_FILTER
    return None


def _of_key(said: _Said) -> ErrorKind | None:
    if said.lasting or said.status == 402 or said.codes & _QUOTA_CODES:
        return ErrorKind.QUOTA
    if "resource_exhausted" in said.codes:
        return ErrorKind.RATE_LIMITED  # Google speaks of a quota in any case.
    if said.has(_QUOTA_PHRASES):
        return ErrorKind.QUOTA
    if said.status == 429 or said.codes & _RATE_CODES:
        return ErrorKind.RATE_LIMITED
    if said.status == 401 or said.codes & _AUTH_CODES or said.has(_AUTH_PHRASES):
        return ErrorKind.AUTH
    return ErrorKind.AUTH if any(code.startswith("api_key_") for code in said.codes) else None


def _of_ability(said: _Said) -> ErrorKind | None:
    if said.codes & _UNSUPPORTED_CODES or said.has(_CANNOT_PHRASES):
        return ErrorKind.UNSUPPORTED
    return None


def _of_model(said: _Said) -> ErrorKind | None:
    if said.status == 503 and "loading" in said.text and not said.has(_CRASHED):
        return ErrorKind.LOADING
    if said.codes & _MODEL_CODES or said.has(_MODEL_PHRASES):
        return ErrorKind.MODEL_MISSING
    if said.status in (None, 400, 404, 422) and _MODEL_WORDS.search(said.message.lower()):
        return ErrorKind.MODEL_MISSING
    return None


def _of_status(said: _Said) -> ErrorKind:
    status = said.status
    if "unexpected endpoint" in said.text or status in (404, 405):
        return ErrorKind.NOT_AN_LLM
    if status in (503, 529) or said.codes & _BUSY_CODES or said.has(_BUSY_PHRASES):
        return ErrorKind.OVERLOADED
    if said.has(_CRASHED):
        return ErrorKind.SERVER_ERROR
    if status == 403:
        return ErrorKind.AUTH
    if status == 501 or said.has(_UNSUPPORTED_PHRASES):
        return ErrorKind.UNSUPPORTED
    if status == 500 and "parse_error" in said.text:
        return ErrorKind.BAD_REQUEST  # llama.cpp: the request was not valid JSON
    if status in (408, 409, 499) or said.codes & _FAILED_CODES:
        return ErrorKind.SERVER_ERROR
    if status is not None and 400 <= status < 500:
        return ErrorKind.BAD_REQUEST
    return ErrorKind.SERVER_ERROR
