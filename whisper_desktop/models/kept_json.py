"""Reading the small JSON files that this app and others keep: bounded, and none of it trusted."""

import json
from pathlib import Path


def read_json(path: Path, most: int) -> object:
    """What the file says; None where there is none, or where it has over `most` bytes or is no JSON.

    Raises `OSError`: then it may be there, and is not to be written over.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    try:
        return json.loads(data) if len(data) <= most else None
    except (ValueError, RecursionError):
        return None
