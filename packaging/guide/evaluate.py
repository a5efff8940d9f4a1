#!/usr/bin/env python3
"""Ask the guide every prompt of every set over HTTP, and print the scores.

    .venv/bin/python packaging/guide/evaluate.py                # starts the built-in engine itself
    .venv/bin/python packaging/guide/evaluate.py --url http://127.0.0.1:8080
    .venv/bin/python packaging/guide/evaluate.py --card         # and writes them into the model card

Needs the app's own packages only.
"""

import argparse
import http.client
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from guide_data import MODEL_FILE, Case, load
from guide_server import serving

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Miss:
    """A prompt that was not answered as it should be."""

    ask: str
    wanted: str
    got: str


@dataclass(frozen=True, slots=True)
class Score:
    """How one set went."""

    total: int
    misses: tuple[Miss, ...]

    @property
    def right(self) -> int:
        return self.total - len(self.misses)

    def __str__(self) -> str:
        return f"{self.right} of {self.total} ({100 * self.right / self.total:.1f} %)"


class Client:
    """One kept-alive connection to an OpenAI-compatible server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    def answer(self, ask: str, before: Iterable[tuple[str, str]] = (), system: str = "") -> str:
        """The answer to `ask` at temperature 0. Raises `RuntimeError` with the server's text if it fails."""
        messages = [{"role": "system", "content": system}] if system else []
        for question, answer in before:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": ask})
        body = {"messages": messages, "temperature": 0, "max_tokens": 120}
        content: str = self._json("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]
        return content

    def meta(self) -> dict[str, int]:
        """What the engine says of the model: `n_params`, `n_ctx_train`, `size` and more."""
        meta: dict[str, int] = self._json("GET", "/v1/models")["data"][0]["meta"]
        return meta

    def settings(self) -> dict[str, float]:
        """The sampling that the server uses for a request that names none."""
        settings: dict[str, float] = self._json("GET", "/props")["default_generation_settings"]["params"]
        return settings

    def _json(self, method: str, path: str, body: object = None) -> Any:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read().decode("utf-8")
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {text}")
        return json.loads(text)

    def close(self) -> None:
        self._connection.close()

    def score(self, cases: Iterable[Case]) -> Score:
        """Ask every case in a conversation of its own."""
        misses, total = [], 0
        for case in cases:
            total += 1
            got = self.answer(case.ask, case.before)
            if got not in case.accepted:
                misses.append(Miss(case.ask, min(case.accepted), got))
        return Score(total, tuple(misses))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print how well the guide answers.")
    parser.add_argument("--url", help="a running server; without it, the built-in engine is started")
    parser.add_argument("--model", type=Path, default=MODEL_FILE)
    parser.add_argument("--card", action="store_true", help="write the scores into the model card")
    parser.add_argument("--misses", action="store_true", help="list what went wrong")
    options = parser.parse_args(arguments)

    data = load()
    sets = {
        "trained": data.trained,
        "third turn": data.third_turn,
        "held-out": data.held_out,
        "off-topic": data.off_topic,
    }
    with nullcontext(options.url) if options.url else serving(options.model) as url:
        client = Client(url)
        scores = {name: client.score(cases) for name, cases in sets.items()}
        meta = client.meta()
    for name, score in scores.items():
        print(f"{name:10} {score}")
        for miss in score.misses if options.misses else ():
            print(f"    {miss.ask!r}\n        wanted: {miss.wanted}\n        got:    {miss.got}")
    if options.card:
        from guide_card import write_card

        write_card({name: str(score) for name, score in scores.items()}, meta)


if __name__ == "__main__":
    main()
