"""Writes the guide's model card from `card.md`, and reads its scores, which the tests hold the model to."""

import re
from collections.abc import Mapping

from guide_data import CARD_FILE, HASH_FILE, HERE, load

_ROWS = {
    "trained": "trained phrasings, answered with the exact answer",
    "third turn": "trained phrasings as third turn of a conversation, exact",
    "held-out": "held-out paraphrases, never trained on, answered with the right answer",
    "off-topic": "off-topic prompts, never trained on, refused",
}

TRAINING = "measured: 29 minutes with --threads 1 on a busy machine of two cores"


def write_card(scores: Mapping[str, str], meta: Mapping[str, int]) -> None:
    """Write the card from the scores of `evaluate.py` and what the engine says of the model."""
    data = load()
    about_app = [entry for entry in data.entries if not entry.refusal]
    refusals = [entry for entry in data.entries if entry.refusal]
    text = (
        (HERE / "card.md")
        .read_text(encoding="utf-8")
        .format(
            size=meta["size"],
            digest=HASH_FILE.read_text(encoding="utf-8").split()[0],
            params=meta["n_params"],
            vocab=meta["n_vocab"],
            context=meta["n_ctx_train"],
            answers=len(about_app),
            phrasings=sum(len(entry.asks) for entry in about_app),
            refusals=len(refusals),
            refused=sum(len(entry.asks) for entry in refusals),
            scores="\n".join(f"| {_ROWS[name]} | {score} |" for name, score in scores.items()),
            training=TRAINING,
        )
    )
    CARD_FILE.write_text(text, encoding="utf-8")


def stated_scores() -> dict[str, tuple[int, int]]:
    """The card's scores: (right, total) for each set."""
    text = CARD_FILE.read_text(encoding="utf-8")
    found = {}
    for name, words in _ROWS.items():
        match = re.search(rf"^\| {re.escape(words)} \| (\d+) of (\d+) ", text, re.MULTILINE)
        if match is None:
            raise ValueError(f"the model card has no score for {name}")
        found[name] = (int(match[1]), int(match[2]))
    return found
