"""Where LM Studio keeps its things. Every start of the app looks there."""

import os
from contextlib import suppress
from pathlib import Path

_MOST_BYTES = 10_000


def lm_studio_home(home: Path) -> Path:
    """LM Studio's own folder, which the person may have moved (src/lmstudioPaths.ts of lms)."""
    with suppress(OSError, UnicodeDecodeError):
        with (home / ".lmstudio-home-pointer").open("rb") as file:
            named = file.read(_MOST_BYTES).decode().strip()
        if os.path.isabs(named) and "\0" not in named:
            return Path(named)
    old = home / ".cache" / "lm-studio"
    return old if old.is_dir() else home / ".lmstudio"
