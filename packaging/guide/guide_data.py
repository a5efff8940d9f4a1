"""The guide's questions and answers: read from the YAML files beside this module, and checked.

Used by training, by `evaluate.py` and by the tests, so that all three speak of the same sets.
Needs PyYAML only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESOURCES = HERE.parent.parent / "resources" / "guide"
MODEL_FILE = RESOURCES / "guide.gguf"
HASH_FILE = RESOURCES / "guide.sha256"
CARD_FILE = RESOURCES / "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer with the prompts that lead to it. `refusal` marks the answers to off-topic prompts."""

    id: str
    answer: str
    asks: tuple[str, ...]
    refusal: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt, the answers that count as right, and the turns (question, answer) that went before."""

    ask: str
    accepted: frozenset[str]
    before: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GuideData:
    """All sets. `held_out` and `off_topic` are never trained on; their prompts are in no entry."""

    entries: tuple[Entry, ...]
    held_out: tuple[Case, ...]
    off_topic: tuple[Case, ...]

    @property
    def trained(self) -> tuple[Case, ...]:
        """Every phrasing in the data with its exact answer, refusals included."""
        return tuple(Case(ask, frozenset({entry.answer})) for entry in self.entries for ask in entry.asks)

    @property
    def third_turn(self) -> tuple[Case, ...]:
        """A sample of the trained phrasings, each asked after two turns about something else."""
        cases, step = self.trained, 8
        asked = [(case.ask, min(case.accepted)) for case in cases]
        return tuple(
            replace(case, before=(asked[at - len(cases) // 3], asked[at - len(cases) // 2]))
            for at, case in list(enumerate(cases))[::step]
        )

    def unseen(self) -> Iterator[str]:
        """The normalised prompts that training must never use."""
        for case in (*self.held_out, *self.off_topic):
            yield normalised(case.ask)


def lowered(text: str) -> str:
    """Lower-case ASCII letters only, as the chat template's `lower` does in llama.cpp, and trim."""
    return "".join(char.lower() if char.isascii() else char for char in text).strip()


def normalised(text: str) -> str:
    """A prompt without case, outer punctuation and doubled spaces: what makes two prompts the same."""
    words = " ".join(lowered(text).split())
    return words.strip(" ?!.,") or words


def read_yaml(name: str) -> Any:
    """The parsed content of one of the YAML files beside this module."""
    import yaml

    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


@cache
def load() -> GuideData:
    """Read and check all sets. Raises `ValueError` that names what is wrong: a phrasing with two answers,
    a held-out prompt that is trained, an unknown id, something that YAML did not read as text."""
    entries = tuple(
        Entry(row["id"], row["answer"], tuple(row["ask"]), refusal)
        for name, refusal in (("answers.yaml", False), ("off_topic.yaml", True))
        for row in read_yaml(name)
    )
    answers = {entry.id: entry.answer for entry in entries}
    if len(answers) != len(entries) or len(set(answers.values())) != len(entries):
        raise ValueError("two entries have the same id or the same answer")
    owner: dict[str, str] = {}
    for entry in entries:
        for ask in entry.asks:
            if not isinstance(ask, str):
                raise ValueError(f"{entry.id}: {ask!r} is not text; put it in quotes")
            if owner.setdefault(normalised(ask), entry.id) != entry.id:
                raise ValueError(f"{ask!r} belongs to {owner[normalised(ask)]} and to {entry.id}")
    held_out = tuple(
        Case(row["ask"], frozenset({answers[row["answer"]]})) for row in read_yaml("held_out.yaml")
    )
    refusals = frozenset(entry.answer for entry in entries if entry.refusal)
    off_topic = tuple(Case(ask, refusals) for ask in read_yaml("off_topic_test.yaml"))
    data = GuideData(entries, held_out, off_topic)
    for ask in data.unseen():
        if ask in owner:
            raise ValueError(f"{ask!r} is in a test set and in the training set ({owner[ask]})")
    return data
