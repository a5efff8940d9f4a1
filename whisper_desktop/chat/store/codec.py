"""Values as JSON text and back: strict in what is written, forgiving in what is read.

What equals its default is not written. What is read may come from a newer app, or from a file that was
damaged: fields that are not known are left out, fields that cannot be understood get their default, and what
cannot do without them is left out itself. Readers are built once from the types of the fields.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from whisper_desktop import errors
from whisper_desktop.errors import WhisperError

_PLAIN: Mapping[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    bool: (bool,),
    float: (float, int),
    str | None: (str, NoneType),
    int | None: (int, NoneType),
    float | None: (float, int, NoneType),
}
"""The types of which JSON has the value itself."""

Read = Callable[[Any], Any]
"""Makes a value of what JSON has for it. Raises `Unreadable`."""


class Unreadable(Exception):
    """Something is not what it should be."""


def encoded(value: object, without: frozenset[str] = frozenset()) -> str | None:
    """A dataclass as JSON text, without the fields of these names; None where all others are as always.

    It is plain ASCII, so that even half a surrogate pair survives.
    """
    plain = _plain_fields(value, without)
    return json.dumps(plain, separators=(",", ":")) if plain else None


def parsed(text: object) -> Any:
    """What this JSON text says. Raises `Unreadable`."""
    if not isinstance(text, str):
        raise Unreadable
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable from None


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, WhisperError):
        return _plain_error(value)
    return _plain_fields(value)


def _plain_fields(value: Any, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    kind: Any = type(value)
    plain = {}
    for name, default in _defaults(kind):
        item = getattr(value, name)
        if item is not default and (default is MISSING or item != default) and name not in without:
            plain[name] = _plain(item)
    return plain


def _plain_error(error: WhisperError) -> dict[str, Any]:
    kind: Any = next(kind for kind in type(error).__mro__ if kind.__name__ in _ERRORS)
    said = {name: _plain(getattr(error, name)) for name in _parameters(kind)}
    return {
        "type": kind.__name__,
        **{name: item for name, item in said.items() if item not in (None, [])},
    }


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass with their defaults; MISSING where there is none."""
    return tuple(
        (one.name, one.default_factory() if one.default_factory is not MISSING else one.default)
        for one in fields(kind)
    )


@cache
def reader(kind: Any) -> Read:
    """What makes a `kind` of what JSON has for it."""
    if kind in _PLAIN:
        return _of_type(_PLAIN[kind])
    if get_origin(kind) in (Union, UnionType):
        inner = [part for part in get_args(kind) if part is not NoneType]
        return _optional(reader(inner[0]))
    if get_origin(kind) is tuple:
        return _many(reader(get_args(kind)[0]))
    if is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, Enum):
        return _member(kind)
    return _error


def _of_type(kinds: tuple[type, ...]) -> Read:
    def read(value: Any) -> Any:
        if type(value) in kinds:
            return value
        raise Unreadable

    return read


def _optional(inner: Read) -> Read:
    def read(value: Any) -> Any:
        return None if value is None else inner(value)

    return read


def _many(inner: Read) -> Read:
    """Items that cannot be read are left out."""

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Unreadable
        found = []
        for item in value:
            try:
                found.append(inner(item))
            except Unreadable:
                continue
        return tuple(found)

    return read


def _member(kind: type[Enum]) -> Read:
    members = {member.value: member for member in kind}

    def read(value: Any) -> Any:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise Unreadable from None

    return read


def _dataclass(kind: Any) -> Read:
    values = fields_reader(kind)
    return lambda value: kind(*values(value))


@cache
def fields_reader(kind: Any, without: frozenset[str] = frozenset()) -> Callable[[Any], list[Any]]:
    """What makes the values of a dataclass's fields, in order, of what JSON has for it."""
    hints = get_type_hints(kind)
    table = tuple(
        (name, _PLAIN.get(hints[name], ()), reader(hints[name]), _instead(hints[name], default))
        for name, default in _defaults(kind)
        if name not in without
    )

    def read(value: Any) -> list[Any]:
        if type(value) is not dict:
            raise Unreadable
        found = []
        for name, plain, inner, default in table:
            item = value.get(name, MISSING)
            if type(item) not in plain:  # most are: a long conversation has hundreds of thousands of them
                try:
                    item = default if item is MISSING else inner(item)
                except Unreadable:
                    item = default
                if item is MISSING:
                    raise Unreadable
            found.append(item)
        return found

    return read


def _instead(kind: Any, default: Any) -> Any:
    """What stands for a field that is not there: its default, else None or nothing where it may be that."""
    if default is not MISSING:
        return default
    if get_origin(kind) is tuple:
        return ()
    return None if NoneType in get_args(kind) else MISSING


_ERRORS: Mapping[str, type[WhisperError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, WhisperError)
}


@cache
def _parameters(kind: Any) -> Mapping[str, Any]:
    """The names and types of what an error is made of; each is an attribute of the same name."""
    hints = get_type_hints(kind.__init__)
    return {name: hints[name] for name in inspect.signature(kind).parameters}


def _error(value: Any) -> WhisperError:
    """An error again. One of a kind that is not known here keeps its words."""
    if type(value) is not dict:
        raise Unreadable
    kind: Any = _ERRORS.get(str(value.get("type")), WhisperError)
    said: dict[str, Any] = {}
    for name, hint in _parameters(kind).items():
        try:
            said[name] = reader(hint)(value[name])
        except (KeyError, Unreadable):
            continue
    try:
        made: WhisperError = kind(**{"title": "", **said})
    except TypeError:  # it lacks something that it cannot do without
        made = WhisperError(*(str(value.get(name, "")) for name in ("title", "detail", "next_step")))
    return made
