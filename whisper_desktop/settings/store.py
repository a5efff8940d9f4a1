"""Writing settings: `config.yaml` for the person (`config set`), `choices.yaml` for what the app remembers.

Every write is atomic, and one writer at a time holds the folder's lock. Calls block: use them from a thread.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings import paths
from whisper_desktop.settings.environment import value_of_text
from whisper_desktop.settings.files import locked, read_text, write_text
from whisper_desktop.settings.kinds import shown
from whisper_desktop.settings.layers import unreadable
from whisper_desktop.settings.resolution import ABSENT, Given, Layer, judged, unknown_key
from whisper_desktop.settings.schema import (
    SETTINGS,
    KeyPath,
    SettingInfo,
    canonical_path,
    heading,
    is_passed_through,
)
from whisper_desktop.settings.yaml_text import YamlProblem, as_block, as_yaml, read_entries, with_value
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.typed import plain

_BROKEN_CHOICES = "choices.broken.yaml"
_CHOICES_HEADER = (
    "# Kept by Whisper Desktop: what was chosen in its windows. Your own settings: config.yaml.\n"
)


def set_config(
    key: str,
    value: object,
    *,
    env: Mapping[str, str] | None = None,
    deadlines: Deadlines = Deadlines(),
) -> object:
    """Sets one key in the person's `config.yaml`; comments and order stay. Returns the value as its type.

    It is the person's newest word: what the app's windows had remembered for the same key is taken back.

    `value` is the text of the command line, or already a value. Raises `SettingsError`: no such setting, a
    bad value, a file that cannot be read or written. Then the file is as it was.
    """
    path = canonical_path(tuple(key.split(".")))
    info = SETTINGS.get(path)
    raw = value_of_text(info, value) if isinstance(value, str) else value
    new, fault = judged(Given(Layer.COMMAND_LINE, path, raw))
    if fault or new is ABSENT:
        raise _refused(key, info, value, fault)
    if info is None and not is_passed_through(path):
        raise unknown_key(key)
    # `~` stays as the person wrote it, so that the file goes along to another computer.
    written = raw if isinstance(raw, str) and raw.startswith("~") else plain(new)
    folder = paths.config_dir(env)
    file = folder / paths.CONFIG_FILE
    with locked(folder, deadlines.settings_lock):
        text = read_text(file) or ""
        try:
            write_text(file, with_value(text, path, written))
        except YamlProblem as problem:
            error = unreadable(file, problem)
            line = f"{key}: {as_yaml(written)}"
            raise SettingsError(
                error.title.replace("read", "changed"),
                error.detail,
                tr("Nothing was changed. Open {file} and set it there: {line}", file=file, line=line),
                key=key,
                where=error.where,
            ) from None
    if any(remembered[: len(path)] == path for remembered in _choices_in(folder / paths.CHOICES_FILE)):
        _change_choices({}, path, env, deadlines)
    return new


def remember(
    key: str,
    value: object,
    *,
    env: Mapping[str, str] | None = None,
    deadlines: Deadlines = Deadlines(),
) -> None:
    """Keeps one choice in `choices.yaml`. None means "automatic", and wins over `config.yaml` too."""
    remember_all({key: value}, env=env, deadlines=deadlines)


def remember_all(
    values: Mapping[str, object],
    *,
    env: Mapping[str, str] | None = None,
    deadlines: Deadlines = Deadlines(),
) -> None:
    """Keeps several choices (dotted keys) in one write: all of them, or on an error none.

    Raises `SettingsError` for a value that its setting does not take. Keys that no setting has
    are kept as they are.
    """
    changes: dict[KeyPath, object] = {}
    for key, value in values.items():
        path = canonical_path(tuple(key.split(".")))
        new, fault = judged(Given(Layer.CHOICES, path, value))
        if fault or new is ABSENT:
            raise _refused(key, SETTINGS.get(path), value, fault)
        changes[path] = plain(new)
    _change_choices(changes, (), env, deadlines)


def forget(key: str, *, env: Mapping[str, str] | None = None, deadlines: Deadlines = Deadlines()) -> None:
    """Takes a choice back, with everything under it, so that `config.yaml` or the default holds again."""
    _change_choices({}, canonical_path(tuple(key.split("."))), env, deadlines)


def example_config() -> str:
    """A `config.yaml` with every setting in it, explained and switched off by a `#`, with its default."""
    lines = [
        "# Settings of Whisper Desktop. Remove the # in front of a setting to use it.",
        "# Stronger than this file, from the strongest: the command line, the environment, what you choose",
        "# in the app's windows (choices.yaml).",
        "# Keys of servers never stand here: whisper-desktop keys set.",
    ]
    told: set[KeyPath] = set()
    for info in SETTINGS.values():
        for depth in range(1, len(info.path)):
            section = info.path[:depth]
            if section not in told:
                told.add(section)
                lines += ["", f"{'  ' * (depth - 1)}{section[-1]}:  # {heading(section)}"]
        lines += _explained(info)
    return "\n".join(lines) + "\n"


def _explained(info: SettingInfo) -> list[str]:
    indent = "  " * (len(info.path) - 1)
    variable = f" ({info.env})" if info.env else ""
    default = "auto" if info.default is None and "auto" in info.expects else info.default
    return [
        *textwrap.wrap(
            info.description + variable, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        ),
        f"{indent}#{info.path[-1]}: {'' if default is None else as_yaml(plain(default))}".rstrip(),
    ]


def _change_choices(
    changes: dict[KeyPath, object], dropped: KeyPath, env: Mapping[str, str] | None, deadlines: Deadlines
) -> None:
    folder = paths.config_dir(env)
    file = folder / paths.CHOICES_FILE
    with locked(folder, deadlines.settings_lock):
        choices = {
            path: value
            for path, value in _choices_in(file).items()
            if path not in changes and (not dropped or path[: len(dropped)] != dropped)
        }
        write_text(file, _CHOICES_HEADER + as_block(_nested(choices | changes)))


def _choices_in(file: Path) -> dict[KeyPath, object]:
    """What is remembered so far. A broken file is put aside: nobody is there to be asked to mend it."""
    try:
        text = read_text(file)
        return {entry.path: entry.value for entry in read_entries(text or "") if not entry.problem}
    except (SettingsError, YamlProblem):
        try:
            file.replace(file.with_name(_BROKEN_CHOICES))
        except OSError as error:
            raise SettingsError(
                tr("{file} cannot be read, nor put aside.", file=file.name),
                tr("The system says: {strerror}.", strerror=error.strerror),
                tr("Remove {file}.", file=file),
                where=str(file),
            ) from error
        return {}


def _nested(values: Mapping[KeyPath, object]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for path, value in values.items():
        branch = tree
        for name in path[:-1]:
            below = branch.setdefault(name, {})
            if not isinstance(below, dict):
                # A value stands where settings go now: the newer choice counts.
                below = branch[name] = {}
            branch = below
        branch[path[-1]] = value
    return tree


def _refused(key: str, info: SettingInfo | None, value: object, fault: str) -> SettingsError:
    expected = tr("Expected: {expects}.", expects=tr(info.expects)) if info is not None else ""
    return SettingsError(
        tr("{key} cannot be {value}.", key=key, value=shown(value))
        if info is not None
        else tr("{key} cannot be set.", key=key),
        fault or expected,
        tr("Nothing was changed."),
        key=key,
    )
