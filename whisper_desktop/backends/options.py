"""The options of a backend: each one owns its own, and says in a sentence what is wrong with one.

A backend declares them as a table from a name to a `Kind`; `read_options` gives the values that are set.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import mark, tr
from whisper_desktop.wire.key_shapes import may_hold_a_key

# What the app keeps under `llm.<backend>` for itself (addresses, files, how its own engine is started), and
# what `config_from` reads.
_THE_APPS = frozenset(
    {
        "port",
        "base_url",
        "model",
        "server_path",
        "model_path",
        "n_gpu_layers",
        "n_ctx",
        "cache_type",
        "engine_port",
        "idle_minutes",
        "sleep_under_pressure",
        "sleep_on_battery",
        "repairs",
        "extra_args",
        "rpc_servers",
        "build_index",
        "build_mirrors",
        "appimage_path",
        "use_xvfb",
        "context_length",
    }
)
_YEAR_S = 365 * 86_400
_KEYS = frozenset({"key", "api_key", "apikey", "token", "api_token", "secret", "password"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how it is read (None: it is not one), and the words for what it looks like."""

    expects: str
    read: Callable[[object], object]


def read_options(backend: str, given: Mapping[str, object], known: Mapping[str, Kind]) -> dict[str, object]:
    """The options that are set, checked. Raises `SettingsError` for the first that cannot be used."""
    values: dict[str, object] = {}
    for name, value in given.items():
        if name in known:
            if value is None:
                continue
            kind = known[name]
            values[name] = kind.read(value)
            if values[name] is None:
                key = _setting(backend, name)
                raise SettingsError(
                    tr("The setting {key} cannot be used.", key=key),
                    tr("Expected: {expects}.", expects=tr(kind.expects)),
                    tr("Change it: `whisper-desktop config set {key} …`.", key=key),
                    key=key,
                )
        elif name.lower() in _KEYS:
            key = _setting(backend, name)
            raise SettingsError(
                tr("A key does not belong in the settings ({key}).", key=key),
                tr("Anybody who reads the file could use it."),
                tr("Take it out, and store it with `whisper-desktop keys set`."),
                key=key,
            )
        elif name not in _THE_APPS:
            raise _unknown(backend, name, known)
    return values


def _unknown(backend: str, name: str, known: Mapping[str, Kind]) -> SettingsError:
    plain = name.isprintable() and len(name) <= 60 and not may_hold_a_key(name)
    shown = name if plain else tr("of that name")
    close = difflib.get_close_matches(name, known, n=1)
    named = ", ".join(sorted(known))
    return SettingsError(
        tr("There is no option {shown} for this backend.", shown=shown),
        tr("Its options are: {named}.", named=named) if known else tr("It has no options of its own."),
        tr("Did you mean {setting}?", setting=_setting(backend, close[0]))
        if close
        else tr("Take {setting} out.", setting=_setting(backend, shown)),
        key=_setting(backend, shown),
    )


def _setting(backend: str, name: str) -> str:
    """An option's name, with its section as it is written in the settings file."""
    from whisper_desktop.settings.schema import SECTION_OF_BACKEND  # slow to import, and rarely needed

    return f"llm.{SECTION_OF_BACKEND.get(backend, backend)}.{name}"


# --- kinds ------------------------------------------------------------------------------------------------


def read_number(value: object) -> float | None:
    """A finite number, or the text of one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _seconds(value: object) -> float | None:
    number = read_number(value)
    return number if number is not None and 0 <= number <= _YEAR_S else None


def _whole(least: int) -> Callable[[object], int | None]:
    def read(value: object) -> int | None:
        number = read_number(value)
        whole = number is not None and number.is_integer() and least <= number < 2**31
        return int(number) if number is not None and whole else None

    return read


_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_FLAGS = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())


def read_duration(value: object) -> float | str | None:
    """Seconds (-1 for ever), or Go's form of a duration."""
    if isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", value):
        return value
    number = read_number(value)
    return number if number is not None and (number == -1 or number >= 0) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 500 and value.isprintable() else None


SECONDS = Kind(mark("a number of seconds"), _seconds)
TOKENS = Kind(mark("a number of tokens such as 8192"), _whole(1))
COUNT = Kind(mark("a whole number from 0 up"), _whole(0))
FLAG = Kind(mark("yes or no"), _flag)
TEXT = Kind("text", _text)
