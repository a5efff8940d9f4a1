"""Values and errors as JSON, for the line between a program and the owner.

A line is one JSON object: {"id", "verb", "args"} goes up, {"id", "event" | "ok" | "error"} comes down.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from whisper_desktop import errors, values
from whisper_desktop.errors import ControlError, WhisperError

MAX_LINE = 16_000_000  # bytes: a long conversation with its history fits, a runaway peer does not

_VALUES = {
    kind.__name__: kind
    for kind in (
        values.AttemptFailed,
        values.AnswerStarted,
        values.TextDelta,
        values.ReasoningDelta,
        values.AnswerFinished,
        values.EngineStatus,
        values.Message,
        values.Attempt,
        values.SetupGuidance,
    )
}
_ERRORS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, WhisperError)
}


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_VALUES[name])


def value_to_json(value: object) -> dict[str, object]:
    """A value of one of the known types, as {"type", "value"}."""
    name = type(value).__name__
    return {"type": name, "value": _adapter(name).dump_python(value, mode="json")}


def not_understood() -> ControlError:
    return ControlError(
        "The running app and this program do not understand each other.",
        "They are probably two different versions.",
        "Quit the running one and start it again.",
    )


def value_from_json(data: object) -> Any:
    """The value again. Raises `ControlError` for anything that is not one."""
    if not isinstance(data, dict) or str(data.get("type")) not in _VALUES:
        raise not_understood()
    try:
        return _adapter(str(data["type"])).validate_python(data.get("value"))
    except ValidationError:
        raise not_understood() from None  # its text would repeat what a person wrote


def error_to_json(error: WhisperError) -> dict[str, object]:
    """An error with everything a front end shows or decides by."""
    data: dict[str, object] = {
        "type": type(error).__name__,
        "title": error.title,
        "detail": error.detail,
        "next_step": error.next_step,
    }
    if (attempts := getattr(error, "attempts", None)) is not None:
        data["attempts"] = [value_to_json(attempt) for attempt in attempts]
    if (guidance := getattr(error, "setup_guidance", None)) is not None:
        data["setup_guidance"] = value_to_json(guidance)
    if (last := getattr(error, "last_error", None)) is not None:
        data["last_error"] = error_to_json(last)
    for name in ("partial_text", "cause", "key", "where"):
        if (text := getattr(error, name, None)) is not None:
            data[name] = text
    for name in ("kind", "needed"):
        if (word := getattr(error, name, None)) is not None:
            data[name] = str(word)
    return data


def error_from_json(data: object) -> WhisperError:
    """The error again; an unknown kind becomes a `ControlError` with the same words."""
    if not isinstance(data, dict):
        return not_understood()
    try:
        return _known_error(data)
    except (ValueError, TypeError, ControlError):
        return not_understood()


def _known_error(data: Mapping[str, Any]) -> WhisperError:
    words = [str(data.get(part, "")) for part in ("title", "detail", "next_step")]
    attempts = tuple(value_from_json(item) for item in data.get("attempts", []))
    kind = _ERRORS.get(str(data.get("type")), ControlError)
    if kind is errors.LLMConnectionError:
        guidance, last = data.get("setup_guidance"), data.get("last_error")
        return errors.LLMConnectionError(
            *words,
            attempts=attempts,
            last_error=error_from_json(last) if last is not None else None,
            setup_guidance=value_from_json(guidance) if guidance is not None else None,
        )
    if kind is errors.AnswerInterrupted:
        why = values.ErrorKind(data.get("kind", values.ErrorKind.STREAM_CUT))
        partial = str(data.get("partial_text", ""))
        return errors.AnswerInterrupted(*words, partial_text=partial, kind=why, attempts=attempts)
    if kind is errors.BackendError:
        return errors.BackendError(values.ErrorKind(str(data.get("kind"))), *words, attempts=attempts)
    if kind is errors.EngineError:
        return errors.EngineError(*words, cause=str(data.get("cause", "unknown")))
    if kind is errors.ConsentRequired:
        needed = data.get("needed")
        return errors.ConsentRequired(*words, needed=values.Reach(needed) if needed is not None else None)
    if kind is errors.SettingsError:
        return errors.SettingsError(*words, key=str(data.get("key", "")), where=str(data.get("where", "")))
    return kind(*words)


def to_line(data: dict[str, object]) -> bytes:
    """One line of the protocol."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"  # a model may send half a character


def from_line(line: bytes) -> dict[str, Any]:
    """One line of the protocol. Raises `ControlError` when it is not a JSON object."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError("A line on the control socket was not JSON.") from None
    if not isinstance(data, dict):
        raise ControlError("A line on the control socket was not a JSON object.")
    return data
