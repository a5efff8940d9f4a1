"""Which control a setting takes, read off its declared type. No Qt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from whisper_desktop.language import LANGUAGES, mark, tr
from whisper_desktop.settings import SettingInfo, kinds
from whisper_desktop.values import IDENTITIES, Reach
from whisper_desktop.wire.typed import Bounds

_LARGEST = 2_000_000_000  # what a number field can count to


class Kind(StrEnum):
    """The kinds of controls."""

    SWITCH = "switch"
    CHOICE = "choice"
    WHOLE = "whole number"
    AMOUNT = "amount"
    TEXT = "text"
    OPTIONS = "command line"
    FILE = "file"
    FOLDER = "folder"
    LIST = "list"
    FOLDERS = "folders"
    KEYS = "keys"
    CONSENTS = "consents"
    KEPT = "kept by the app"


@dataclass(frozen=True, slots=True)
class Shape:
    """A control: what can be chosen (`choices`), or from where to where a number goes.

    `has_word`: the setting can also be `word`, which is no number or list, such as "auto" or None.
    """

    kind: Kind
    choices: tuple[object, ...] = ()
    least: float = 0
    most: float = _LARGEST
    has_word: bool = False
    word: object = None
    unit: str = ""


def shape_of(info: SettingInfo) -> Shape:
    """The control for a setting."""
    kind = _BY_KIND.get(info.expects)
    if kind is Kind.CHOICE:
        return Shape(kind, (None, *kinds.known_backends()))
    if kind is Kind.LIST:
        return Shape(kind, kinds.known_backends(), has_word=True)
    if kind is not None:
        return Shape(kind)
    return _shape(info, tuple(_arms(info.type, ())))


def _shape(info: SettingInfo, arms: tuple["_Arm", ...]) -> Shape:
    base = next(arm for arm in arms if not arm.is_word)
    if base.type is bool:
        return Shape(Kind.SWITCH)
    if base.values:
        return Shape(Kind.CHOICE, base.values)
    if base.type in (int, float):
        words = [arm.values[0] if arm.values else None for arm in arms if arm.is_word]
        least, most = _bounds(base.metadata)
        kind = Kind.WHOLE if base.type is int else Kind.AMOUNT
        unit = _UNITS.get(info.expects, "")
        return Shape(kind, (), least, most, bool(words), words[0] if words else None, unit)
    if base.type is Path:
        return Shape(Kind.FOLDER if info.path[-1].endswith("_dir") else Kind.FILE)
    if base.type is dict:
        return Shape(Kind.CONSENTS if base.inner is Reach else Kind.KEPT)
    if base.type is tuple:
        return Shape(Kind.FOLDERS if base.inner is Path else Kind.LIST)
    return Shape(Kind.TEXT)


@dataclass(frozen=True, slots=True)
class _Arm:
    """One of the types that a setting takes: its class, and what it is made of."""

    type: object
    metadata: tuple[object, ...] = ()
    values: tuple[object, ...] = ()
    inner: object = None

    @property
    def is_word(self) -> bool:
        """Whether it stands beside the type proper: None, or a single word."""
        return self.type is type(None) or (self.type is Literal and len(self.values) == 1)


def _arms(annotation: Any, metadata: Iterable[object]) -> Iterator[_Arm]:  # noqa: ANN401
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _arms(parts[0], (*metadata, *parts[1:]))
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _arms(part, metadata)
    elif origin is Literal:
        yield _Arm(Literal, tuple(metadata), parts)
    elif origin in (tuple, dict):
        inner = parts[1] if origin is dict else parts[0]
        yield _Arm(origin, tuple(metadata), inner=next(_arms(inner, ())).type)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield _Arm(annotation, tuple(metadata), tuple(annotation))
    else:
        yield _Arm(annotation, tuple(metadata))


def _bounds(metadata: Iterable[object]) -> tuple[float, float]:
    """The least and the most that the declared limits allow; "more than 0" begins at 0."""
    bounds = next((item for item in metadata if isinstance(item, Bounds)), Bounds(0))
    return bounds.least, min(bounds.most, _LARGEST)


_BY_KIND = {
    kinds.expected(kinds.Shortcut): Kind.KEYS,
    kinds.expected(kinds.Backend): Kind.CHOICE,
    kinds.expected(kinds.Chain): Kind.LIST,
    kinds.expected(kinds.Options): Kind.OPTIONS,
}
_UNITS = {
    kinds.expected(kinds.Seconds): mark("s"),
    kinds.expected(kinds.Minutes): mark("min"),
    kinds.expected(kinds.Days): mark("days"),
    kinds.expected(kinds.Megabytes): mark("MB/s"),
    kinds.expected(kinds.Dollars): mark("US dollars"),
}

# --- Words --------------------------------------------------------------------------------------------------

_WORDS = {
    "auto": mark("Automatic"),
    "system": mark("As the system"),
    "light": mark("Light"),
    "dark": mark("Dark"),
    "color": mark("In colour"),
    "all": mark("All"),
    "problems": mark("Only problems"),
    "none": mark("None"),
    "http": mark("Servers only"),
    "direct": mark("Own engine only"),
    "restart": mark("Ask the next one from the beginning"),
    "continue": mark("Let the next one go on with it"),
    "stop": mark("Stop with what came"),
    Reach.THIS_MACHINE.value: mark("This computer only"),
    Reach.MY_NETWORK.value: mark("My network"),
    Reach.CLOUD.value: mark("The cloud as well"),
}


def choice_words(value: object) -> str:
    """What can be chosen, as a person reads it."""
    if value is None:
        return tr("Automatic")
    text = str(value.value) if isinstance(value, Enum) else str(value)
    if text in LANGUAGES:
        return LANGUAGES[text]
    if text in IDENTITIES:
        return IDENTITIES[text].name
    return tr(_WORDS[text]) if text in _WORDS else text


def word_for(info: SettingInfo, shape: Shape) -> str:
    """What stands in place of the number where it is none."""
    if shape.word == "all":
        return tr("All")
    return tr("Automatic") if "auto" in info.expects else tr("No limit")
