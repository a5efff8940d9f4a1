"""What callers may pass as options of an answer, checked before anything is sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import TypeVar

from whisper_desktop.language import tr
from whisper_desktop.values import GenerationConfig, ToolSpec

E = TypeVar("E", bound=Enum)

_NAMES = tuple(option.name for option in fields(GenerationConfig))


def generation(config: GenerationConfig | None, options: Mapping[str, object]) -> GenerationConfig:
    """A configuration with options in place of its own. Raises `TypeError` or `ValueError` in plain words."""
    unknown = [name for name in options if name not in _NAMES]
    if unknown:
        raise TypeError(
            f"An answer has no option {', '.join(unknown)}. There are {', '.join(_NAMES)}, reach, model, "
            "timeout and batch; what only one backend knows goes into extra={...}."
        )
    if config is not None and not isinstance(config, GenerationConfig):
        raise TypeError(
            f"The configuration of an answer must be a GenerationConfig, not {_kind(config)}. "
            "Its fields can also be given by themselves: temperature=0.2."
        )
    set_before = {} if config is None else {name: getattr(config, name) for name in _NAMES}
    wanted = {**set_before, **options}
    checked = {name: _CHECKS[name](name, value) for name, value in wanted.items() if value is not None}
    return GenerationConfig(**checked)  # type: ignore[arg-type]  # the checks see to it


def one_of(kind: type[E], name: str, value: object) -> E:
    """A member of an enumeration, given as such or as its word. Raises `ValueError` with the words."""
    try:
        return kind(value)
    except ValueError:
        words = ", ".join(str(each.value) for each in kind)
        raise ValueError(
            tr("{name} must be one of {words}, not {value!r}.", name=name, words=words, value=value)
        ) from None


def seconds(name: str, value: object) -> float:
    """A time to wait. Raises `TypeError` or `ValueError`."""
    amount = _number(name, value)
    if not amount > 0:
        raise ValueError(tr("{name} must be more than 0 seconds, not {value!r}.", name=name, value=value))
    return amount


def text(name: str, value: object) -> str:
    """Raises `TypeError` for anything else."""
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(name, tr("a number"), value)
    return value


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, tr("a whole number"), value)
    return value


def _tokens(name: str, value: object) -> int:
    tokens = _whole(name, value)
    if tokens < 1:
        raise ValueError(
            tr(
                "{name} must be at least 1, not {value!r}. Leave it out for no limit of your own.",
                name=name,
                value=value,
            )
        )
    return tokens


def _words(name: str, value: object) -> tuple[str, ...]:
    words = _several(name, (value,) if isinstance(value, str) else value, tr("text, or a list of texts"))
    return tuple(text(tr("each of {name}", name=name), word) for word in words)


def _tools(name: str, value: object) -> tuple[ToolSpec, ...]:
    tools = _several(name, value, tr("a list of ToolSpec"))
    for tool in tools:
        if not isinstance(tool, ToolSpec):
            raise _wrong(tr("each of {name}", name=name), "a ToolSpec", tool)
    return tools  # type: ignore[return-value]  # each was looked at


def _table(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _wrong(name, tr("a dictionary"), value)
    return value


def _several(name: str, value: object, what: str) -> tuple[object, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise _wrong(name, what, value)
    return tuple(value)


def _wrong(name: str, what: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {what}, not {_kind(value)}.")


def _kind(value: object) -> str:
    return type(value).__name__


_CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "temperature": _number,
    "top_p": _number,
    "max_tokens": _tokens,
    "seed": _whole,
    "stop": _words,
    "tools": _tools,
    "tool_choice": text,
    "json_schema": _table,
    "reasoning": text,
    "context_length": _tokens,
    "extra": _table,
}
