"""What every section of the settings is: a frozen tree of values that are checked when it is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from whisper_desktop.wire.typed import Reader, reader


@dataclass(frozen=True, slots=True)
class Declared:
    """What stands behind the name of a setting in its section. `if_bad` holds one value or none."""

    default: object
    title: str
    description: str
    env: str | None
    if_bad: tuple[object, ...]


class Section:
    """Settings that stand together: made from plain values by name; what is not given has its default.

    Raises `ValueError` with a sentence, or `TypeError`, for a value that its setting does not take. Names
    that are not declared are kept as they are, so that a newer version's file survives an older one.
    """

    types: ClassVar[Mapping[str, Any]] = {}
    """The declared settings and sections, by name."""

    _readers: ClassVar[Mapping[str, Reader]] = {}

    def __init_subclass__(cls) -> None:
        cls.types = cls.__dict__.get("__annotations__", {})
        cls._readers = {name: _reader_of(type_) for name, type_ in cls.types.items()}

    def __init__(self, /, **given: object) -> None:
        values = self.__dict__  # attributes cannot be set
        for name, read in self._readers.items():
            declared = getattr(type(self), name)
            if name in given:
                values[name] = read(given[name])
            else:
                values[name] = declared.default if isinstance(declared, Declared) else declared
        values["_given"] = frozenset(given)
        values["_further"] = {name: value for name, value in given.items() if name not in self.types}

    def given(self) -> frozenset[str]:
        """The names that somebody has set."""
        names: frozenset[str] = self.__dict__["_given"]
        return names

    def items(self) -> Iterator[tuple[str, Any]]:
        """Everything in it, what is not declared last."""
        for name in self.types:
            yield name, self.__dict__[name]
        yield from self.__dict__["_further"].items()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Section) and type(other) is type(self) and [*self.items()] == [*other.items()]
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is not changed once it is made")


def _reader_of(type_: Any) -> Reader:  # noqa: ANN401 - any annotation
    if not (isinstance(type_, type) and issubclass(type_, Section)):
        return reader(type_)

    def read(value: object) -> Section:
        if isinstance(value, type_):
            return value
        if not isinstance(value, Mapping):
            raise TypeError
        return type_(**value)

    return read
