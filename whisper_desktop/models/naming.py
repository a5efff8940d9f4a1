"""What the model in a file is called: by its file, or by its header where the content names the file."""

import re
from functools import lru_cache
from pathlib import Path

from whisper_desktop.errors import ModelFileError

_DIGEST = re.compile(r"(?:sha256[-:])?[0-9a-f]{64}")


def name_of(path: Path) -> str:
    """Such as "Qwen3-4B-Q4_K_M"; of a blob, such as Ollama's, the title in its header where it tells one.

    Blocks for a blob that was not asked about before.
    """
    if not _DIGEST.fullmatch(path.stem):
        return path.stem
    try:
        return _title(path) or path.stem
    except (ModelFileError, OSError):
        return path.stem


@lru_cache(64)
def _title(blob: Path) -> str:
    # What is named by its content keeps its title. Errors are not kept: the file may come back.
    from whisper_desktop.models.facts import facts_of

    return facts_of(blob).title
