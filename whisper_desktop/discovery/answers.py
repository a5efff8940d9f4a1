"""What a place answered, and how to read it without trusting it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `json` is None for a body that is no JSON; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: object = None

    @property
    def fields(self) -> Mapping[str, object]:
        """The fields of a JSON object that came with status 200; nothing for anything else."""
        return fields(self.json) if self.status == 200 else {}

    @property
    def is_refusal(self) -> bool:
        """Whether a key, or another one, is wanted."""
        return self.status in (401, 403)


Answers = Mapping[str, Answer]
"""Answers by the path that was asked; a path that gave none is missing."""


def fields(value: object) -> Mapping[str, object]:
    """A JSON object's fields; none for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> Sequence[Mapping[str, object]]:
    """The objects in a JSON list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """A short printable text, or None: it will be shown in a terminal and sent back as a model's name."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable():
        return value
    return None


def texts(value: object) -> tuple[str, ...]:
    """The short printable texts in a JSON list."""
    items = value if isinstance(value, list) else []
    return tuple(item for item in map(text, items) if item)


def count(value: object) -> int | None:
    """A whole number above zero, or None: servers write 0 for what they do not know."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
