"""Which value of each setting counts, and what to say about those that cannot be used. No effects.

The order: command line > environment > dictionary > choices.yaml > config.yaml > defaults.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import mark, tr
from whisper_desktop.settings import paths
from whisper_desktop.settings.kinds import shown
from whisper_desktop.settings.schema import (
    SECTIONS,
    SETTINGS,
    KeyPath,
    Settings,
    canonical_path,
    checked,
    is_passed_through,
    nearest,
)

ABSENT = object()
"""Stands for a value that counts as not set."""

NO_SPARE: Mapping[KeyPath, "Given"] = MappingProxyType({})

_KEY_NAME = re.compile(r"(?:.*_)?(?:api_?key|key|token|secret|password|passwd|authorization|bearer)")
_KEY_FAULT = mark(
    "A key, token or password is never kept with the settings. Give it with: whisper-desktop keys set."
)


class Layer(StrEnum):
    """Where a value may stand, the strongest first."""

    COMMAND_LINE = mark("command line")
    ENVIRONMENT = mark("environment")
    DICTIONARY = mark("dictionary")
    CHOICES = paths.CHOICES_FILE
    CONFIG = paths.CONFIG_FILE
    LAST_GOOD = paths.LAST_GOOD_FILE
    DEFAULT = mark("default")


_STRENGTH = {layer: place for place, layer in enumerate(Layer)}


@dataclass(frozen=True, slots=True)
class Given:
    """One value in one layer. `place` is a variable, or a file and line; `problem` why it is unreadable."""

    layer: Layer
    path: KeyPath
    value: object
    place: str = ""
    problem: str = ""

    @property
    def key(self) -> str:
        """The dotted name."""
        return ".".join(self.path)

    @property
    def subject(self) -> str:
        """What a sentence about it begins with."""
        match self.layer:
            case Layer.COMMAND_LINE:
                return tr("{key}, given on the command line,", key=self.key)
            case Layer.ENVIRONMENT:
                return f"{self.place} ({self.key})"
            case Layer.DICTIONARY:
                return tr("{key}, given by the program,", key=self.key)
            case _:
                return tr("{key} in {path_name},", key=self.key, path_name=Path(self.place).name)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What `resolve` decided: see `LoadedSettings`."""

    settings: Settings
    values: Mapping[str, object]
    sources: Mapping[str, Layer]
    places: Mapping[str, str]
    problems: tuple[SettingsError, ...]


def resolve(layers: Iterable[Given], spare: Mapping[KeyPath, Given] = NO_SPARE) -> Resolution:
    """The strongest usable value of each key. In one layer, the last of a repeated key counts.

    `spare` are the last good values of `config.yaml`, used where its present value is not usable.
    """
    givens = sorted(layers, key=lambda given: _STRENGTH[given.layer])
    usable: dict[KeyPath, dict[Layer, Given]] = {}
    seen: dict[tuple[Layer, KeyPath], Given] = {}
    faults: list[tuple[Given, str]] = []
    problems: list[SettingsError] = []
    for given in givens:
        earlier = seen.get((given.layer, given.path))
        if earlier is not None:
            problems.append(_repeated(earlier, given))
        seen[given.layer, given.path] = given
    for given in seen.values():
        value, fault = judged(given)
        if fault:
            faults.append((given, fault))
            last_good = spare.get(given.path)
            info = SETTINGS.get(given.path)
            if info is not None and info.if_bad:
                usable.setdefault(given.path, {})[given.layer] = replace(
                    given, value=info.if_bad[0], problem=""
                )
            elif given.layer is Layer.CONFIG and last_good is not None and not judged(last_good)[1]:
                usable.setdefault(given.path, {})[Layer.LAST_GOOD] = last_good
        elif value is not ABSENT:
            usable.setdefault(given.path, {})[given.layer] = given
            if _is_unknown(given.path):
                problems.append(_unknown(given))
    winners = {path: found[min(found, key=_STRENGTH.__getitem__)] for path, found in usable.items()}
    settings = _built(sorted(winners.values(), key=lambda given: _STRENGTH[given.layer]))
    values = {info.key: info.default for info in SETTINGS.values()}
    values |= {given.key: judged(given)[0] for given in winners.values()}
    sources = {info.key: Layer.DEFAULT for info in SETTINGS.values()}
    sources |= {given.key: given.layer for given in winners.values()}
    places = {given.key: given.place or given.layer for given in winners.values()}
    problems += [_unusable(given, fault, winners.get(given.path)) for given, fault in faults]
    return Resolution(
        settings,
        MappingProxyType(values),
        MappingProxyType(sources),
        MappingProxyType(places),
        tuple(problems),
    )


def judged(given: Given) -> tuple[object, str]:
    """The value as its type, and what is wrong with it ("" if nothing)."""
    path, info = given.path, SETTINGS.get(given.path)
    if any(_KEY_NAME.fullmatch(name.lower().replace("-", "_")) for name in path):
        return ABSENT, _KEY_FAULT
    if given.problem:
        return ABSENT, given.problem
    if info is not None:
        if given.value is None and not info.nullable:
            return ABSENT, ""
        try:
            return checked(info, given.value), ""
        except ValueError as error:
            return ABSENT, str(error)
    if path in SECTIONS:
        return (
            ABSENT,
            "" if given.value is None else tr("Settings stand under it, so it has no value of its own."),
        )
    above = next((path[:depth] for depth in range(1, len(path)) if path[:depth] in SETTINGS), None)
    if above is not None:
        return ABSENT, tr("{items} has one value and nothing under it.", items=".".join(above))
    return given.value, ""


def unknown_key(key: str) -> SettingsError:
    """The error for a dotted name that no setting has."""
    near = nearest(canonical_path(tuple(key.split("."))))
    return SettingsError(
        tr("{key} is not a setting.", key=key),
        tr("Did you mean {near}?", near=near) if near else "",
        tr("All settings: whisper-desktop config show."),
        key=key,
    )


def _is_unknown(path: KeyPath) -> bool:
    return path not in SETTINGS and not is_passed_through(path)


def _built(winners: Sequence[Given]) -> Settings:
    """The settings object; `winners` are usable, the strongest first, so that they win over what overlaps."""
    tree: dict[str, object] = {}
    for given in winners:
        branch: object = tree
        for name in given.path[:-1]:
            branch = branch.setdefault(name, {}) if isinstance(branch, dict) else None
        if isinstance(branch, dict):
            branch.setdefault(given.path[-1], judged(given)[0])
    return Settings(**tree)


def _repeated(earlier: Given, later: Given) -> SettingsError:
    return SettingsError(
        tr("{key} is set twice.", key=later.key),
        tr("{part} and {part2}.", part=earlier.place or earlier.layer, part2=later.place or later.layer),
        tr("The second one is used. Remove one of them."),
        key=later.key,
        where=later.place or later.layer,
    )


def _unknown(given: Given) -> SettingsError:
    near = nearest(given.path)
    backend = given.path[:2] in SECTIONS and given.path[0] == "llm"
    kept = (
        tr("It is kept and handed to the backend as it is.")
        if backend
        else tr("It is kept, and has no effect.")
    )
    return SettingsError(
        tr("{part} is not a setting that the app knows.", part=given.subject.rstrip(",")),
        tr("Did you mean {near}?", near=near) if near else "",
        kept,
        key=given.key,
        where=given.place or given.layer,
    )


def _unusable(given: Given, fault: str, winner: Given | None) -> SettingsError:
    if fault is _KEY_FAULT:
        fault, next_step = tr(fault), tr("It is not used. Remove it here.")
    elif given.path in SETTINGS:
        next_step = tr("Until it is changed, {used_instead}.", used_instead=_used_instead(given, winner))
        if not given.problem:
            fault = tr("It says {given}. {fault}", given=shown(given.value), fault=fault)
    else:
        next_step = tr("It is not used.")
    return SettingsError(
        tr("{subject} cannot be used.", subject=given.subject),
        fault,
        next_step,
        key=given.key,
        where=given.place or given.layer,
    )


def _used_instead(given: Given, winner: Given | None) -> str:
    if SETTINGS[given.path].if_bad and winner is not None and winner.layer is given.layer:
        return tr("the careful choice is used: {winner}", winner=shown(winner.value))
    if winner is None:
        default = SETTINGS[given.path].default
        return (
            tr("it counts as not set")
            if default is None
            else tr("the default is used: {default}", default=shown(default))
        )
    return tr("{judged} is used ({part})", judged=shown(judged(winner)[0]), part=winner.place or winner.layer)
