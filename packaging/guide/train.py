#!/usr/bin/env python3
"""Train the guide from scratch and write resources/guide/guide.gguf and guide.sha256.

    python3 -m venv train-env
    train-env/bin/pip install torch==2.13.0 tokenizers==0.23.3 gguf==0.19.0 pyyaml
    train-env/bin/python packaging/guide/train.py            # minutes on two processor cores

torch and tokenizers are for training only; the app and its tests need neither. The same seed, package
versions and kind of processor give the same file, with one thread or two. Afterwards run
`evaluate.py --card`, which measures the scores and writes them into the model card.
"""

import argparse
import hashlib
import math
import random
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as nnf
from guide_data import HASH_FILE, MODEL_FILE, load
from guide_gguf import BOS, END, GUIDE, USER, train_tokenizer, write_gguf
from guide_model import Guide, Shape
from guide_variations import Turn, Variations
from torch import Tensor

SEED = 7
TOKENS_PER_STEP, POOL = 3000, 2000
PEAK_RATE = 3e-3
FIRST_TOKENS, FIRST_WEIGHT = 4, 2.0
"""An answer is decided by its first tokens, so they weigh more in the loss."""
SHORTENED, SHORT_TOKENS = 0.6, 12
"""This share of the answers is trained on its first tokens only: the rest is soon known by heart, and the
time is better spent on more questions."""


class Batches:
    """Draws turns and packs each into one padded row, as the chat template writes it."""

    def __init__(self, variations: Variations, tokenizer: Any, rng: random.Random) -> None:
        self._variations, self._tokenizer, self._rng = variations, tokenizer, rng
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._bos, self._user = vocabulary[BOS], vocabulary[USER]
        self._guide, self._end = vocabulary[GUIDE], vocabulary[END]
        self._answers: dict[str, list[int]] = {}

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _turn(self, turn: Turn) -> tuple[list[int], list[float]]:
        """Token ids of a turn and, for each, the weight of predicting it."""
        if turn.answer not in self._answers:
            self._answers[turn.answer] = self._encode(turn.answer)
        answer = [*self._answers[turn.answer], self._end]
        if self._rng.random() < SHORTENED:
            answer = answer[:SHORT_TOKENS]
        question = [self._bos, self._user, *self._encode(" " + turn.ask), self._end, self._guide]
        weights = [FIRST_WEIGHT if at < FIRST_TOKENS else 1.0 for at in range(len(answer))]
        return question + answer, [0.0] * len(question) + weights

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without end, each of about `TOKENS_PER_STEP` tokens: ids and weights, a row for each turn.

        Turns of similar length go together, so that little is spent on padding.
        """
        while True:
            pool = [self._turn(self._variations.turn(self._rng)) for _ in range(POOL)]
            pool.sort(key=lambda row: len(row[0]))
            batches = []
            while pool:
                size = max(TOKENS_PER_STEP // len(pool[-1][0]), 1)
                batches.append(pool[-size:])
                del pool[-size:]
            self._rng.shuffle(batches)
            yield from map(self._padded, batches)

    def _padded(self, rows: Sequence[tuple[list[int], list[float]]]) -> tuple[Tensor, Tensor]:
        longest = max(len(ids) for ids, _ in rows)
        tokens = torch.tensor([ids + [self._end] * (longest - len(ids)) for ids, _ in rows])
        weight = torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in rows])
        return tokens, weight


def learning_rate(step: int, steps: int) -> float:
    """A short linear warm-up, then a cosine to a hundredth of the peak."""
    if step < 100:
        return PEAK_RATE * (step + 1) / 100
    cosine = math.cos(math.pi * (step - 100) / (steps - 100))
    return PEAK_RATE * (0.01 + 0.99 * (1 + cosine) / 2)


def train(model: Guide, batches: Batches, steps: int) -> None:
    """Run all steps, printing the loss now and then."""
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    began, seen, shown = time.monotonic(), 0, 0.0
    for step, (tokens, weight) in enumerate(islice(batches, steps)):
        at = weight[:, 1:] > 0
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(tokens[:, :-1], at)
        losses = nnf.cross_entropy(logits.float(), tokens[:, 1:][at], reduction="none")
        loss = (losses * weight[:, 1:][at]).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += tokens.numel()
        shown = loss.item() if step == 0 else 0.95 * shown + 0.05 * loss.item()
        if step % 50 == 0 or step == steps - 1:
            spent = time.monotonic() - began
            speed = f"{seen / spent:,.0f} tokens/s"
            print(f"step {step:5} of {steps}  loss {shown:.4f}  {speed}  {spent:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the guide from scratch and write its GGUF file.")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=MODEL_FILE)
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    shape = Shape()
    variations = Variations(load())
    tokenizer = train_tokenizer(variations.texts(), shape.vocab, random.Random(SEED))
    model = Guide(shape)
    print(f"{model.parameter_count:,} parameters")
    train(model, Batches(variations, tokenizer, random.Random(SEED)), options.steps)
    write_gguf(options.out, model, tokenizer)
    digest = hashlib.sha256(options.out.read_bytes()).hexdigest()
    if options.out == MODEL_FILE:
        HASH_FILE.write_text(f"{digest}  {MODEL_FILE.name}\n", encoding="utf-8")
    print(f"{options.out.name}: {options.out.stat().st_size:,} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
