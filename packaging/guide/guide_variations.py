"""Varies what is asked, so that the guide learns questions rather than strings.

Everything here is driven by one `random.Random`, so that training is repeatable. The vocabulary of the
variations is `augment.yaml`.
"""

import random
import re
from dataclasses import dataclass

from guide_data import Entry, GuideData, lowered, normalised, read_yaml

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: row[max(at - 1, 0) : at] + row[at + 1 : at + 2] for row in _KEYBOARD for at, key in enumerate(row)
}
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, as the model sees them."""

    ask: str
    answer: str


def typo(word: str, rng: random.Random) -> str:
    """The word with one letter swapped, dropped, doubled or mistyped; short words and numbers stay."""
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + rng.choice(_NEIGHBOURS.get(word[at], word[at])) + word[at + 1 :]


class Variations:
    """Draws training turns from the data: verbatim, varied, or made from a template."""

    def __init__(self, data: GuideData) -> None:
        words = read_yaml("augment.yaml")
        self._prefixes: list[str] = words["prefixes"]
        self._suffixes: list[str] = words["suffixes"]
        self._droppable = frozenset(words["droppable"])
        self._templates: dict[str, list[str]] = words["templates"]
        self._slots: dict[str, list[str]] = words["slots"]
        self._synonyms: dict[str, list[list[str]]] = {}
        for group in words["synonyms"]:
            for phrase in group:
                self._synonyms.setdefault(phrase, []).append([other for other in group if other != phrase])
        phrases = sorted(self._synonyms, key=len, reverse=True)
        self._phrase = re.compile(r"(?<![\w.-])(?:" + "|".join(map(re.escape, phrases)) + r")(?![\w-])")
        self._entries = data.entries
        self._answers = {entry.id: entry.answer for entry in data.entries}
        self._known = [(ask, entry) for entry in data.entries if not entry.refusal for ask in entry.asks]
        self._refused = [(ask, entry) for entry in data.entries if entry.refusal for ask in entry.asks]
        self._owner = {normalised(ask): entry.answer for entry in data.entries for ask in entry.asks}
        self._unseen = frozenset(data.unseen())

    def texts(self) -> list[str]:
        """Every text of the data, for the tokenizer's training."""
        slots = [" ".join(values) for values in self._slots.values()]
        templates = [_SLOT.sub("", text) for texts in self._templates.values() for text in texts]
        asks = [" " + lowered(ask) for entry in self._entries for ask in entry.asks]
        answers = [entry.answer for entry in self._entries]
        synonyms = [" " + phrase for phrase in self._synonyms]
        return asks + 2 * answers + slots + templates + synonyms

    def turn(self, rng: random.Random) -> Turn:
        """One turn. About two thirds are questions about the app, the others are refused."""
        while True:
            kind = rng.random()
            if kind < 0.66:
                ask, entry = rng.choice(self._known)
                ask = ask if rng.random() < 0.4 else self.varied(ask, entry, rng)
                answer = entry.answer
            elif kind < 0.80:
                ask, entry = rng.choice(self._refused)
                ask = ask if rng.random() < 0.6 else self.varied(ask, entry, rng)
                answer = entry.answer
            else:
                refusal = rng.choice(list(self._templates))
                if rng.random() < 0.4:
                    refusal = "refuse-general"
                ask = self._filled(rng.choice(self._templates[refusal]), rng)
                ask = ask if rng.random() < 0.6 else self._noisy(ask, rng)
                answer = self._answers[refusal]
            ask = self._punctuated(lowered(ask), rng)
            # A variation may hit a test prompt, which must stay unseen, or a question with another answer.
            if normalised(ask) not in self._unseen and self._owner.get(normalised(ask), answer) == answer:
                return Turn(ask, answer)

    def varied(self, ask: str, entry: Entry, rng: random.Random) -> str:
        """The question with some synonyms, then with noise. Single words get noise only."""
        if len(ask.split()) > 1 and not (entry.refusal and entry.id == "refuse-unclear"):
            chance = rng.choice((0.0, 0.35, 0.7))
            ask = self._phrase.sub(
                lambda found: self._synonym(found[0], rng) if rng.random() < chance else found[0], ask
            )
        return self._noisy(ask, rng)

    def _synonym(self, phrase: str, rng: random.Random) -> str:
        return rng.choice(rng.choice(self._synonyms[phrase]))

    def _filled(self, template: str, rng: random.Random) -> str:
        return _SLOT.sub(lambda found: self._slot(found[1], rng), template)

    def _slot(self, name: str, rng: random.Random) -> str:
        if name == "number":
            return str(rng.randrange(rng.choice((20, 1000, 100_000))))
        if name == "noise":
            letters = rng.choice((*_KEYBOARD, "".join(_KEYBOARD)))
            return "".join(rng.choice(letters) for _ in range(rng.randrange(3, 9)))
        return rng.choice(self._slots[name])

    def _noisy(self, ask: str, rng: random.Random) -> str:
        words = ask.split()
        if len(words) > 3 and rng.random() < 0.25:
            words = [word for word in words if word not in self._droppable or rng.random() < 0.4] or words
        if rng.random() < 0.3:
            at = rng.randrange(len(words))
            words[at] = typo(words[at], rng)
        if rng.random() < 0.1:
            words = [typo(word, rng) if rng.random() < 0.4 else word for word in words]
        ask = " ".join(words)
        if len(words) > 1 and rng.random() < 0.25:
            ask = rng.choice(self._prefixes) + " " + ask
        if len(words) > 1 and rng.random() < 0.15:
            ask = ask.rstrip("?!. ") + " " + rng.choice(self._suffixes)
        return ask

    @staticmethod
    def _punctuated(ask: str, rng: random.Random) -> str:
        chance = rng.random()
        if chance < 0.15 and ask[-1:].isalnum():
            return ask + rng.choice("??.!")
        if chance < 0.3 and len(ask) > 2:
            return ask.rstrip("?!.") or ask
        return ask
