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
_KEY_FAULT = (
    "A key, token or password is never kept with the settings. Give it with: whisper-desktop keys set."
)


class Layer(StrEnum):
    """Where a value may stand, the strongest first."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    DICTIONARY = "dictionary"
    CHOICES = paths.CHOICES_FILE
    CONFIG = paths.CONFIG_FILE
    LAST_GOOD = paths.LAST_GOOD_FILE
    DEFAULT = "default"


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
                return f"{self.key}, given on the command line,"
            case Layer.ENVIRONMENT:
                return f"{self.place} ({self.key})"
            case Layer.DICTIONARY:
                return f"{self.key}, given by the program,"
            case _:
                return f"{self.key} in {Path(self.place).name},"


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
            "" if given.value is None else "Settings stand under it, so it has no value of its own.",
        )
    above = next((path[:depth] for depth in range(1, len(path)) if path[:depth] in SETTINGS), None)
    if above is not None:
        return ABSENT, f"{'.'.join(above)} has one value and nothing under it."
    return given.value, ""


def unknown_key(key: str) -> SettingsError:
    """The error for a dotted name that no setting has."""
    near = nearest(canonical_path(tuple(key.split("."))))
    return SettingsError(
        f"{key} is not a setting.",
        f"Did you mean {near}?" if near else "",
        "All settings: whisper-desktop config show.",
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
    return Settings.model_validate(tree)


def _repeated(earlier: Given, later: Given) -> SettingsError:
    return SettingsError(
        f"{later.key} is set twice.",
        f"{earlier.place or earlier.layer} and {later.place or later.layer}.",
        "The second one is used. Remove one of them.",
        key=later.key,
        where=later.place or later.layer,
    )


def _unknown(given: Given) -> SettingsError:
    near = nearest(given.path)
    backend = given.path[:2] in SECTIONS and given.path[0] == "llm"
    kept = "It is kept and handed to the backend as it is." if backend else "It is kept, and has no effect."
    return SettingsError(
        f"{given.subject.rstrip(',')} is not a setting that the app knows.",
        f"Did you mean {near}?" if near else "",
        kept,
        key=given.key,
        where=given.place or given.layer,
    )


def _unusable(given: Given, fault: str, winner: Given | None) -> SettingsError:
    if fault is _KEY_FAULT:
        next_step = "It is not used. Remove it here."
    elif given.path in SETTINGS:
        next_step = f"Until it is changed, {_used_instead(given, winner)}."
        if not given.problem:
            fault = f"It says {shown(given.value)}. {fault}"
    else:
        next_step = "It is not used."
    return SettingsError(
        f"{given.subject} cannot be used.", fault, next_step, key=given.key, where=given.place or given.layer
    )


def _used_instead(given: Given, winner: Given | None) -> str:
    if SETTINGS[given.path].if_bad and winner is not None and winner.layer is given.layer:
        return f"the careful choice is used: {shown(winner.value)}"
    if winner is None:
        default = SETTINGS[given.path].default
        return "it counts as not set" if default is None else f"the default is used: {shown(default)}"
    return f"{shown(judged(winner)[0])} is used ({winner.place or winner.layer})"
