"""Values of declared types out of plain data, and back: what a settings file or the control socket holds.

The types are those of annotations: scalars, `Enum`, `Literal`, `Path`, unions, tuples, tables, dataclasses.
`Annotated` adds the functions to read with (`Before`, `After`) and the limits of a number (`Bounds`).
"""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Reader = Callable[[Any], Any]
"""Raises `ValueError` with a sentence where it can say what is wrong, else `TypeError`."""


@dataclass(frozen=True, slots=True)
class Before:
    """Reads what is given before the type proper does; of several, the outermost first."""

    read: Reader


@dataclass(frozen=True, slots=True)
class After:
    """Reads what the type proper has read."""

    read: Reader


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where to where a number goes; not endless in any case. `above`: the least itself is too little."""

    least: float
    most: float = math.inf
    above: bool = False

    def hold(self, number: float) -> float:
        """The number. Raises `TypeError` where it lies outside."""
        inside = self.least < number if self.above else self.least <= number
        if not (inside and number <= self.most and number < math.inf):
            raise TypeError
        return number


def reader(type_: Any) -> Reader:  # noqa: ANN401 - any annotation
    """The function that makes a value of a type from plain data. It takes its own results as well."""
    origin, parts = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _annotated(reader(parts[0]), parts[1:])
    if origin in (Union, UnionType):
        return _one_of([reader(part) for part in parts])
    if origin is Literal:
        return _literal(parts)
    if origin is tuple:
        return _tuple(parts)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _table(reader(parts[0]), reader(parts[1]))
    if is_dataclass(type_):
        return lambda value: _record(type_, value)
    if isinstance(type_, type) and issubclass(type_, Enum):
        return lambda value: _member(type_, value)
    return _SCALARS[type_]


def plain(value: object) -> Any:
    """The value in the few types that JSON and YAML have; bytes as base64."""
    if value is None or isinstance(value, bool | int | float) or type(value) is str:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value) if isinstance(value, Path | str) else value


# --- One function for each kind of type -------------------------------------------------------------------


def _annotated(inner: Reader, extras: tuple[object, ...]) -> Reader:
    before = [extra.read for extra in reversed(extras) if isinstance(extra, Before)]
    after = [extra.read for extra in extras if isinstance(extra, After)]
    after += [extra.hold for extra in extras if isinstance(extra, Bounds)]
    if not before and not after:
        return inner
    steps = (*before, inner, *after)

    def read(value: object) -> object:
        for step in steps:
            value = step(value)
        return value

    return read


def _one_of(arms: list[Reader]) -> Reader:
    def read(value: object) -> object:
        sentence = ""
        for arm in arms:
            try:
                return arm(value)
            except TypeError:
                continue
            except ValueError as error:
                sentence = sentence or str(error)
        raise ValueError(sentence) if sentence else TypeError

    return read


def _literal(values: tuple[object, ...]) -> Reader:
    def read(value: object) -> object:
        for known in values:
            if type(known) is type(value) and known == value:
                return known
        raise TypeError

    return read


def _tuple(parts: tuple[Any, ...]) -> Reader:
    item = reader(parts[0])  # all tuples here are of any length

    def read(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(item(each) for each in value)

    return read


def _table(key: Reader, item: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, Mapping):
            raise TypeError
        return {key(name): item(each) for name, each in value.items()}

    return read


@cache
def _readers(kind: type) -> tuple[tuple[str, Reader, bool], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        (
            field.name,
            reader(hints[field.name]),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(kind)
    )


def _record(kind: Any, value: object) -> object:  # noqa: ANN401 - any dataclass
    """Names that it does not know are left out: a newer program may have sent them."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise TypeError
    given = {}
    for name, read, is_needed in _readers(kind):
        if name in value:
            given[name] = read(value[name])
        elif is_needed:
            raise TypeError
    return kind(**given)


def _member(kind: type[Enum], value: object) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise TypeError from None


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    try:
        return int(value)
    except ValueError:
        raise TypeError from None


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise TypeError from None


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(_as_it_is(str)(value), validate=True)
    except ValueError:
        raise TypeError from None


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise TypeError
    return Path(value)


def _as_it_is(kind: type) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return read


_SCALARS: Mapping[Any, Reader] = {
    bool: _as_it_is(bool),
    int: _whole,
    float: _amount,
    str: _as_it_is(str),
    bytes: _bytes,
    Path: _path,
    type(None): _as_it_is(type(None)),
    object: _as_it_is(object),
}
