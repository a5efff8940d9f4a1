"""Values and errors as JSON, for the line between a program and the owner.

A line is one JSON object: {"id", "verb", "args"} goes up, {"id", "event" | "ok" | "error"} comes down.
"""

import json
from functools import cache
from inspect import signature
from typing import Any, get_args

from whisper_desktop import errors, values
from whisper_desktop.errors import ControlError, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.wire.typed import Reader, plain, reader

MAX_LINE = 16_000_000  # bytes: a long conversation with its history fits, a runaway peer does not

_VALUES = {
    kind.__name__: kind for kind in (*get_args(values.StreamEvent), values.EngineStatus, values.Message)
}
_ERRORS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, WhisperError)
}
_WORDS = ("title", "detail", "next_step")
_FIELDS: dict[str, Any] = {
    "kind": values.ErrorKind,
    "status": int | None,
    "retry_after": float | None,
    "request_sent": bool,
    "needed": values.Reach | None,
    "partial_text": str,
    "cause": str,
    "repairs": tuple[values.Repair, ...],
    "key": str,
    "where": str,
    "attempts": tuple[values.Attempt, ...],
    "setup_guidance": values.SetupGuidance | None,
}
"""What errors carry besides their words and the error behind them. Each type takes its own of these."""


@cache
def _reader(name: str) -> Reader:
    """Reads what an error carries under a name, or a value of one of the known types."""
    return reader(_FIELDS[name] if name in _FIELDS else _VALUES[name])


def value_to_json(value: object) -> dict[str, object]:
    """A value of one of the known types, as {"type", "value"}."""
    return {"type": type(value).__name__, "value": plain(value)}


def not_understood() -> ControlError:
    return ControlError(
        tr("The running app and this program do not understand each other."),
        tr("They are probably two different versions."),
        tr("Quit the running one and start it again."),
    )


def value_from_json(data: object) -> Any:
    """The value again. Raises `ControlError` for anything that is not one."""
    if not isinstance(data, dict) or str(data.get("type")) not in _VALUES:
        raise not_understood()
    try:
        return _reader(str(data["type"]))(data.get("value"))
    except (TypeError, ValueError):
        raise not_understood() from None  # its text would repeat what a person wrote


def error_to_json(error: WhisperError) -> dict[str, object]:
    """An error with everything a front end shows or decides by."""
    data: dict[str, object] = {"type": type(error).__name__}
    data |= {part: getattr(error, part) for part in _WORDS}
    data |= {name: plain(getattr(error, name)) for name in _fields_of(type(error))}
    last = getattr(error, "last_error", None)
    return {**data, "last_error": error_to_json(last)} if last is not None else data


def _fields_of(kind: type[WhisperError]) -> tuple[str, ...]:
    return tuple(name for name in signature(kind).parameters if name in _FIELDS)


def error_from_json(data: object) -> WhisperError:
    """The error again; an unknown kind becomes a `ControlError` with the same words."""
    if not isinstance(data, dict):
        return not_understood()
    kind = _ERRORS.get(str(data.get("type")), ControlError)
    try:
        carried: dict[str, Any] = {part: str(data.get(part, "")) for part in _WORDS}
        carried |= {name: _reader(name)(data[name]) for name in _fields_of(kind) if name in data}
        if data.get("last_error") is not None:
            carried["last_error"] = error_from_json(data["last_error"])
        return kind(**carried)
    except (ValueError, TypeError):
        return not_understood()


def to_line(data: dict[str, object]) -> bytes:
    """One line of the protocol."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"  # a model may send half a character


def from_line(line: bytes) -> dict[str, Any]:
    """One line of the protocol. Raises `ControlError` when it is not a JSON object."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError(tr("A line on the control socket was not JSON.")) from None
    if not isinstance(data, dict):
        raise ControlError(tr("A line on the control socket was not a JSON object."))
    return data
