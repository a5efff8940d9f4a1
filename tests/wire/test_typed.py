"""Plain data becomes values of declared types, or is refused: never something in between."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from whisper_desktop.wire.typed import After, Before, Bounds, plain, reader


class Colour(StrEnum):
    RED = "red"


class Number(Enum):
    ONE = 1


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    sizes: tuple[int, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    within: "Part | None" = None


Percent = Annotated[float, Bounds(0, 100)]


@pytest.mark.parametrize(
    ("type_", "given", "read"),
    [
        (bool, True, True),
        (int, 5, 5),
        (int, " 5 ", 5),
        (float, 5, 5.0),
        (float, "0.5", 0.5),
        (str, "5", "5"),
        (bytes, "AP8=", b"\x00\xff"),
        (Path, "/a/b", Path("/a/b")),
        (int | None, None, None),
        (int | Literal["auto"], "auto", "auto"),
        (Colour, "red", Colour.RED),
        (Number, 1, Number.ONE),
        (tuple[int, ...], ["1", 2], (1, 2)),
        (dict[str, Percent], {"a": "99.5"}, {"a": 99.5}),
        (Mapping[str, object], {"a": [None]}, {"a": [None]}),
        (Part, {"name": "a", "sizes": [1], "later": "unknown"}, Part("a", (1,))),
        (Part, {"name": "a", "within": {"name": "b"}}, Part("a", within=Part("b"))),
    ],
)
def test_what_is_meant_is_read(type_: Any, given: object, read: object) -> None:
    value = reader(type_)(given)
    assert (value, type(value)) == (read, type(read))
    assert reader(type_)(value) == value, "a value that was read is read again as it is"


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (bool, 1),
        (bool, "yes"),
        (int, True),
        (int, 5.0),
        (int, "5.0"),
        (int, "9" * 5000),
        (float, True),
        (float, "fast"),
        (float, 10**400),
        (str, 5),
        (bytes, "no base64!"),
        (Path, 5),
        (int | None, "none"),
        (Literal["auto", 1], True),
        (Colour, "blue"),
        (tuple[int, ...], "12"),
        (tuple[int, ...], [1, None]),
        (dict[str, int], [("a", 1)]),
        (dict[str, int], {1: 1}),
        (Part, {"sizes": []}),
        (Part, "a"),
        (Percent, -0.1),
        (Percent, 100.1),
        (Percent, "nan"),
        (Annotated[float, Bounds(0)], "inf"),
        (Annotated[float, Bounds(0, above=True)], 0),
    ],
)
def test_what_is_not_meant_is_refused(type_: Any, given: object) -> None:
    with pytest.raises(TypeError):
        reader(type_)(given)


def test_functions_read_before_and_after_the_type_proper_the_outermost_first() -> None:
    def add(letter: str) -> Any:
        return lambda value: value + letter

    inner = Annotated[str, Before(add("b")), After(add("c"))]
    assert reader(Annotated[inner, Before(add("a")), After(add("d"))])("") == "abcd"


def test_the_sentence_of_a_function_is_what_a_union_says() -> None:
    def refuse(_value: object) -> object:
        raise ValueError("It is too long.")

    with pytest.raises(ValueError, match="too long"):
        reader(Annotated[str, After(refuse)] | None)("x")


def test_plain_data_holds_nothing_but_what_json_has() -> None:
    value = Part("a", (1, 2), {"b": b"\x00", "c": Path("x"), "d": Colour.RED, "e": {1: None}})
    assert plain(value) == {
        "name": "a",
        "sizes": [1, 2],
        "extra": {"b": "AA==", "c": "x", "d": "red", "e": {"1": None}},
        "within": None,
    }
    assert type(plain(Colour.RED)) is str
