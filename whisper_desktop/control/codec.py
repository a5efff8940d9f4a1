"""Values and errors as JSON, for the line between a program and the owner.

A line is one JSON object: {"id", "verb", "args"} goes up, {"id", "event" | "ok" | "error"} comes down.
"""

import json
from functools import cache
from typing import Any, cast

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


def value_from_json(data: object) -> Any:
    """The value again. Raises `ControlError` for anything that is not one."""
    try:
        assert isinstance(data, dict)
        return _adapter(data["type"]).validate_python(data["value"])
    except (AssertionError, KeyError, ValidationError) as error:
        raise ControlError("The running app answered in a way this one does not understand.") from error


def error_to_json(error: WhisperError) -> dict[str, object]:
    """An error with everything a front end shows or decides by."""
    data: dict[str, object] = {
        "type": type(error).__name__,
        "title": error.title,
        "detail": error.detail,
        "next_step": error.next_step,
    }
    for name in ("attempts",):
        if (attempts := getattr(error, name, None)) is not None:
            data[name] = [value_to_json(attempt) for attempt in attempts]
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
        return ControlError("The running app answered in a way this one does not understand.")
    words = tuple(str(data.get(part, "")) for part in ("title", "detail", "next_step"))
    name = str(data.get("type"))
    kind = _ERRORS.get(name, ControlError)
    details: dict[str, object] = {}
    if kind in (errors.LLMConnectionError, errors.AnswerInterrupted):
        details["attempts"] = tuple(
            value_from_json(item) for item in cast(list[object], data.get("attempts", []))
        )
    if kind is errors.LLMConnectionError:
        if "setup_guidance" in data:
            details["setup_guidance"] = value_from_json(data["setup_guidance"])
        if "last_error" in data:
            details["last_error"] = error_from_json(data["last_error"])
    if kind in (errors.AnswerInterrupted, errors.BackendError):
        details["kind"] = values.ErrorKind(str(data.get("kind", values.ErrorKind.STREAM_CUT)))
    if kind is errors.AnswerInterrupted:
        details["partial_text"] = str(data.get("partial_text", ""))
    if kind is errors.EngineError:
        details["cause"] = str(data.get("cause", "unknown"))
    if kind is errors.ConsentRequired and "needed" in data:
        details["needed"] = values.Reach(str(data["needed"]))
    if kind is errors.BackendError:
        return errors.BackendError(cast(values.ErrorKind, details["kind"]), *words)
    return cast(WhisperError, cast(Any, kind)(*words, **details))


def to_line(data: dict[str, object]) -> bytes:
    """One line of the protocol."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> dict[str, Any]:
    """One line of the protocol. Raises `ControlError` when it is not a JSON object."""
    try:
        data = json.loads(line)
    except ValueError as error:
        raise ControlError("A line on the control socket was not JSON.") from error
    if not isinstance(data, dict):
        raise ControlError("A line on the control socket was not a JSON object.")
    return data
