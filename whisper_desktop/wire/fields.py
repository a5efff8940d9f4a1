"""Reading single fields of JSON that a server sent: a value of the right type within bounds, or None."""

import json
import math

LONGEST_NAME = 200

# What json.loads puts around this costs nearly as much as parsing a short text itself.
_decode = json.JSONDecoder().raw_decode


def parsed(source: str) -> object:
    """What a JSON text says; None for what is no JSON, and for null."""
    try:
        value, end = _decode(source)
        if end == len(source):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(source)  # takes white space around it, too
    except (ValueError, RecursionError):
        return None


def name(value: object) -> str | None:
    """A printable string that is not empty, cut to `LONGEST_NAME` characters."""
    return value[:LONGEST_NAME] if isinstance(value, str) and value and value.isprintable() else None


def count(value: object) -> int | None:
    """A whole number from 0 up."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def number(value: object) -> float | None:
    """A finite number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 and math.isfinite(value) else None


def table(value: object) -> dict[str, object]:
    """A JSON object; {} for anything else."""
    return value if isinstance(value, dict) else {}
