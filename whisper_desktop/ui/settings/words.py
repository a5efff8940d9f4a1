"""Where a value comes from, in words, and whether it can be changed here. No Qt."""

from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.language import tr
from whisper_desktop.settings import Layer

if TYPE_CHECKING:
    from whisper_desktop.settings import LoadedSettings, SettingInfo

_STRONGER = (Layer.COMMAND_LINE, Layer.ENVIRONMENT, Layer.DICTIONARY)


def is_fixed(loaded: "LoadedSettings", info: "SettingInfo") -> bool:
    """Whether something stronger than this window says the value."""
    return loaded.sources.get(info.key, Layer.DEFAULT) in _STRONGER


def is_changed(loaded: "LoadedSettings", info: "SettingInfo") -> bool:
    """Whether the value is another than the default."""
    return loaded.get(info.key) != info.default


def origin_words(loaded: "LoadedSettings", info: "SettingInfo") -> str:
    """Where the value comes from; "" for the default."""
    place = loaded.places.get(info.key, "")
    match loaded.sources.get(info.key, Layer.DEFAULT):
        case Layer.COMMAND_LINE:
            return tr("Fixed for now: the command line of this start says so.")
        case Layer.ENVIRONMENT:
            return tr("Fixed: the environment variable {name} says so.", name=place or info.variable)
        case Layer.DICTIONARY:
            return tr("Fixed: the program that started the app says so.")
        case Layer.CHOICES:
            return tr("Changed here.")
        case Layer.CONFIG:
            line = place.rpartition(" ")[2]
            return tr("From config.yaml, line {line}.", line=line) if line else tr("From config.yaml.")
        case Layer.LAST_GOOD:
            return tr("From {file}: what config.yaml says cannot be used.", file=Path(Layer.LAST_GOOD).name)
        case _:
            return ""
