"""Which setting comes from where: command line > environment > dictionary > choices > config.yaml > defaults.

Loading never fails because of what stands in a layer: a bad value is reported with the place where it stands,
what was expected, and what is used instead; the rest is used. After a load without bad values `config.yaml`
is copied to `config.last-good.yaml`, and what cannot be read in `config.yaml` is taken from there.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from whisper_desktop.errors import SecretsError, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings import paths
from whisper_desktop.settings.address import OPENROUTER_ORIGIN, origin_of
from whisper_desktop.settings.environment import KEY_VARIABLE, URL_VARIABLE, from_environment
from whisper_desktop.settings.files import locked, read_text, write_text
from whisper_desktop.settings.resolution import NO_SPARE, Given, Layer, judged, resolve, unknown_key
from whisper_desktop.settings.schema import SECTIONS, SETTINGS, KeyPath, Settings, canonical_path
from whisper_desktop.settings.secrets import Secret, checked_key
from whisper_desktop.settings.yaml_text import YamlProblem, read_entries

_NOTHING: Mapping[str, object] = MappingProxyType({})
_MAX_PROBLEMS = 50
_MAX_DEPTH = 16
_BASE_URL = "llm.base_url"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and how they came about.

    `values` are the settings by dotted key, further keys that are set included. For each of them `sources`
    names the layer that won; `places` has the exact place (file and line, variable) of those that are set.
    `problems` are for the person. `env_keys` holds the key from the environment, by the origin it belongs to:
    hand it to `SecretStore`.
    """

    settings: Settings
    values: Mapping[str, object]
    sources: Mapping[str, Layer]
    places: Mapping[str, str]
    problems: tuple[SettingsError, ...]
    env_keys: Mapping[str, Secret]

    def get(self, key: str) -> object:
        """The value of a dotted key. Raises `SettingsError` when there is no such setting."""
        name = ".".join(canonical_path(tuple(key.split("."))))
        if name not in self.values:
            raise unknown_key(key)
        return self.values[name]


def load_settings(
    *,
    flags: Mapping[str, object] = _NOTHING,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NOTHING,
) -> LoadedSettings:
    """All settings, from all layers. Never raises for what a person wrote; see `problems` of the result.

    `flags` and `overrides` have dotted keys or nested mappings; a flag of None was not given. `env` stands in
    for the process's environment.
    """
    environ = os.environ if env is None else env
    files = _read_files(environ)
    layers = [
        *(given for given in _flattened(Layer.COMMAND_LINE, flags) if given.value is not None),
        *(Given(Layer.ENVIRONMENT, path, value, name) for path, value, name in from_environment(environ)),
        *_flattened(Layer.DICTIONARY, overrides),
        *files.choices,
        *(files.config if not files.config_lost else files.spare.values()),
    ]
    resolved = resolve(layers, files.spare)
    env_keys, key_problems = _keys_of(environ, resolved.settings.llm.base_url, resolved.sources[_BASE_URL])
    problems = [*files.problems, *resolved.problems, *key_problems]
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        problems[_MAX_PROBLEMS:] = [
            SettingsError(tr("There are {more} more problems like these.", more=more))
        ]
    return LoadedSettings(
        resolved.settings, resolved.values, resolved.sources, resolved.places, tuple(problems), env_keys
    )


# --- Reading the layers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Files:
    """What the files hold. `spare` is read only when needed; `config_lost` when config.yaml is unreadable."""

    choices: tuple[Given, ...] = ()
    config: tuple[Given, ...] = ()
    config_lost: bool = False
    spare: Mapping[KeyPath, Given] = field(default_factory=lambda: NO_SPARE)
    problems: tuple[SettingsError, ...] = ()


def _read_files(environ: Mapping[str, str]) -> _Files:
    try:
        folder = paths.config_dir(environ)
    except SettingsError as error:
        return _Files(problems=(error,))
    problems: list[SettingsError] = []
    choices: tuple[Given, ...] = ()
    try:
        choices, _ = _read(folder / paths.CHOICES_FILE, Layer.CHOICES)
    except SettingsError as error:
        problems.append(_with_next(error, tr("What the app remembered is not used, and begins anew.")))
    try:
        config, text = _read(folder / paths.CONFIG_FILE, Layer.CONFIG)
    except SettingsError as error:
        spare = _last_good(folder)
        used = tr("The last settings that worked are used") if spare else tr("The defaults are used")
        problems.append(_with_next(error, tr("{used} until it is corrected.", used=used)))
        return _Files(choices, (), True, spare, tuple(problems))
    if any(judged(given)[1] for given in config):
        return _Files(choices, config, False, _last_good(folder), tuple(problems))
    _keep_last_good(folder, text)
    return _Files(choices, config, False, NO_SPARE, tuple(problems))


def _read(path: Path, layer: Layer) -> tuple[tuple[Given, ...], str | None]:
    text = read_text(path)
    if text is None:
        return (), None
    try:
        entries = read_entries(text)
    except YamlProblem as problem:
        raise unreadable(path, problem) from None
    return tuple(
        Given(
            layer,
            entry.path,
            entry.value,
            tr("{path}, line {line}", path=path, line=entry.line),
            entry.problem,
        )
        for entry in entries
    ), text


def unreadable(path: Path, problem: YamlProblem) -> SettingsError:
    """The error for a file that cannot be read as a whole."""
    line = tr(", line {line},", line=problem.line) if problem.line else ""
    where = tr("{path}, line {line}", path=path, line=problem.line) if problem.line else str(path)
    return SettingsError(
        tr("{path_name}{line} cannot be read.", path_name=path.name, line=line),
        problem.reason,
        "",
        where=where,
    )


def _with_next(error: SettingsError, next_step: str) -> SettingsError:
    return SettingsError(error.title, error.detail, next_step, key=error.key, where=error.where)


def _last_good(folder: Path) -> Mapping[KeyPath, Given]:
    try:
        givens, _ = _read(folder / paths.LAST_GOOD_FILE, Layer.LAST_GOOD)
    except SettingsError as error:
        log.info("There are no last good settings: %s", error)
        return NO_SPARE
    return {given.path: given for given in givens if not judged(given)[1]}


def _keep_last_good(folder: Path, text: str | None) -> None:
    """Copies a good config.yaml. Where that cannot be (read-only folder, busy), the app works without."""
    try:
        if text is not None and read_text(folder / paths.LAST_GOOD_FILE) != text:
            with locked(folder, 0):
                write_text(folder / paths.LAST_GOOD_FILE, text)
    except SettingsError as error:
        log.info("The last good settings are not kept: %s", error)


def _flattened(layer: Layer, values: Mapping[str, object], above: KeyPath = ()) -> Iterator[Given]:
    for name, value in values.items():
        path = canonical_path((*above, *str(name).split(".")))
        nested = isinstance(value, Mapping) and path not in SETTINGS and len(path) < _MAX_DEPTH
        if isinstance(value, Mapping) and nested and (value or path in SECTIONS):
            yield from _flattened(layer, value, path)
        else:
            yield Given(layer, path, value)


def _keys_of(
    environ: Mapping[str, str], base_url: str | None, source: Layer
) -> tuple[Mapping[str, Secret], tuple[SettingsError, ...]]:
    """The environment's key by its origin: that of the URL beside it in the environment, else OpenRouter's.

    An address from elsewhere does not get it: nobody has said that the two belong together.
    """
    if not environ.get(KEY_VARIABLE, "").strip():
        return MappingProxyType({}), ()
    beside = environ.get(URL_VARIABLE, "").strip() or (base_url if source is Layer.ENVIRONMENT else None)
    try:
        key = checked_key(environ[KEY_VARIABLE])
        owner = origin_of(beside or OPENROUTER_ORIGIN)
    except SecretsError as error:
        why = error.detail
    except ValueError:
        # Never to another server than the one it was meant for.
        why = tr("It belongs to {url_variable}, which cannot be used.", url_variable=URL_VARIABLE)
    else:
        elsewhere = base_url is not None and beside is None and origin_of(base_url) != owner
        return MappingProxyType({owner: Secret(key)}), (_for_openrouter_only(),) if elsewhere else ()
    title, next_step = (
        tr("{key_variable} cannot be used.", key_variable=KEY_VARIABLE),
        tr("No key is sent from there until it is changed."),
    )
    return MappingProxyType({}), (SettingsError(title, why, next_step, where=KEY_VARIABLE),)


def _for_openrouter_only() -> SettingsError:
    return SettingsError(
        tr("{key_variable} is used for OpenRouter only.", key_variable=KEY_VARIABLE),
        tr(
            "{url_variable} is not set, so the key is not sent to the address in {base_url}.",
            url_variable=URL_VARIABLE,
            base_url=_BASE_URL,
        ),
        tr(
            "Set {url_variable} too, or keep the key for that address: `whisper-desktop keys set`.",
            url_variable=URL_VARIABLE,
        ),
        where=KEY_VARIABLE,
    )
