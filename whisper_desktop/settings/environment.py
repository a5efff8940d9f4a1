"""Environment variables to settings. The variables' names stand with the declarations in `schema`."""

import re
from collections.abc import Iterator, Mapping

from whisper_desktop.settings.schema import SETTINGS, KeyPath, SettingInfo, canonical_path
from whisper_desktop.settings.yaml_text import plain_value

KEY_VARIABLE = "LLM_CHAT_API_KEY"
URL_VARIABLE = "LLM_CHAT_API_URL"

# WHISPER_<SECTION>__<KEY>[__<KEY>...]: two underscores part the names, one belongs to a name.
_GENERAL = re.compile(r"WHISPER_([A-Z0-9]+(?:_[A-Z0-9]+)*(?:__[A-Z0-9]+(?:_[A-Z0-9]+)*)+)")


def from_environment(environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, object, str]]:
    """Path, value and variable of everything set; a setting's own variable comes after the general form.

    An empty variable counts as not set: that is how shells and service files take one away.
    """
    for name in sorted(environ):
        match = _GENERAL.fullmatch(name)
        if match and environ[name].strip():
            path = canonical_path(tuple(match[1].lower().split("__")))
            yield path, value_of_text(SETTINGS.get(path), environ[name]), name
    for info in SETTINGS.values():
        if info.env and environ.get(info.env, "").strip():
            yield info.path, value_of_text(info, environ[info.env]), info.env


def value_of_text(info: SettingInfo | None, text: str) -> object:
    """A text as the value it stands for: declared settings read text themselves, all else is as in a file.

    Tables are written as YAML: `{name: value}`.
    """
    if info is not None and not isinstance(info.default, dict):
        return text.strip()
    return plain_value(text)
