"""When each model was used last by the app's own engine: a small file of JSON, replaced as a whole.

What cannot be read or written only makes a column of a list empty.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.files import locked, read_text, write_text

FILE = "models-used.json"

_FORMAT = 1
_MOST = 1000
_PATIENCE = 2.0  # seconds for another process that writes it


class LastUsed:
    """The file at `path`. Safe with several processes and threads; it may block on the disk."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def note(self, model: Path) -> None:
        """This model is used now."""
        with suppress(SettingsError, OSError), locked(self._path.parent, _PATIENCE):
            times = self.all() | {str(model): self._clock()}
            newest = sorted(times.items(), key=lambda entry: entry[1])[-_MOST:]
            write_text(self._path, json.dumps({"format": _FORMAT, "models": dict(newest)}, indent=1))

    def all(self) -> dict[str, float]:
        """When each model was used, in seconds since 1970, by its path."""
        try:
            told = json.loads(read_text(self._path) or "{}")
            models = told["models"] if told.get("format") == _FORMAT else {}
            return {
                str(path): float(when)
                for path, when in models.items()
                if isinstance(when, int | float) and math.isfinite(when)
            }
        except (SettingsError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}
