"""Settings: what can be set, where it was set, where it is kept, and the keys in the keyring.

Light to import: PyYAML and keyring load when a name that needs them is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.settings.layers import LoadedSettings, load_settings
    from whisper_desktop.settings.resolution import Layer
    from whisper_desktop.settings.schema import SETTINGS, LLMSettings, SettingInfo, Settings
    from whisper_desktop.settings.secrets import Secret, SecretStore
    from whisper_desktop.settings.store import example_config, forget, remember, remember_all, set_config

_HOMES = {
    "Layer": "resolution",
    "LoadedSettings": "layers",
    "load_settings": "layers",
    "LLMSettings": "schema",
    "SETTINGS": "schema",
    "SettingInfo": "schema",
    "Settings": "schema",
    "Secret": "secrets",
    "SecretStore": "secrets",
    "example_config": "store",
    "forget": "store",
    "remember": "store",
    "remember_all": "store",
    "set_config": "store",
}

__all__ = [
    "SETTINGS",
    "LLMSettings",
    "Layer",
    "LoadedSettings",
    "Secret",
    "SecretStore",
    "SettingInfo",
    "Settings",
    "example_config",
    "forget",
    "load_settings",
    "remember",
    "remember_all",
    "set_config",
]


def __getattr__(name: str) -> object:
    """Loads a public name from its module on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
