"""Reads hostile GGUF files for a while and says what came of it. Exit status 1 where anything went wrong.

    python -m tests.fuzz.run [--seconds 60] [--seed N] [--only NUMBER]

The inputs follow from the seed, which is printed: `--seed N --only NUMBER` tries one of them again.
"""

import argparse
import faulthandler
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.judge import MOST_BYTES, MOST_S, Outcome, judge
from tests.fuzz.mutations import KINDS

_HANG_S = 60.0  # without an end in sight: the stack is printed, and the run is over
_COSTLY_EVERY = 25  # rounds of all other kinds
_MOST_SHOWN = 20


@dataclass
class Figures:
    """Of one kind of input."""

    tried: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    largest_bytes: int = 0
    failed: int = 0

    def count(self, outcome: Outcome) -> None:
        """One more."""
        self.tried += 1
        self.refused += bool(outcome.refused)
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.largest_bytes = max(self.largest_bytes, outcome.peak_bytes)
        self.failed += bool(outcome.failure)


def main(arguments: Sequence[str]) -> int:
    """Try inputs until the time is over; the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Reads hostile GGUF files.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=None, help="what the inputs follow from (chance)")
    parser.add_argument("--only", type=int, default=None, metavar="NUMBER", help="try this input alone")
    options = parser.parse_args(arguments)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    inputs = _inputs() if options.only is None else iter([_input(options.only)])
    figures, failures = _run(seed, inputs, options.seconds)
    _show(figures)
    for failure in failures[:_MOST_SHOWN]:
        print(failure)
    failed = sum(each.failed for each in figures.values())
    print(f"Exceptions other than ModelFileError, and inputs over a bound: {failed}.")
    return 1 if failed else 0


def _run(
    seed: int, inputs: Iterator[tuple[int, str]], seconds: float
) -> tuple[dict[str, Figures], list[str]]:
    figures = {kind: Figures() for kind in KINDS}
    failures: list[str] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for place, kind in inputs:
            if not place % 100:
                faulthandler.dump_traceback_later(_HANG_S, exit=True)
            outcome = judge(Path(folder), KINDS[kind](Random(f"{seed} {place}")))
            figures[kind].count(outcome)
            if outcome.failure:
                failures.append(f"--seed {seed} --only {place} ({kind}): {outcome.failure}")
            if time.monotonic() > end:
                break
    faulthandler.cancel_dump_traceback_later()
    return figures, failures


def _inputs() -> Iterator[tuple[int, str]]:
    """The number of each input and its kind, without end."""
    place = 0
    while True:
        number, kind = _input(place)
        if kind != "costly" or place // len(KINDS) % _COSTLY_EVERY == 0:
            yield number, kind
        place += 1


def _input(place: int) -> tuple[int, str]:
    return place, tuple(KINDS)[place % len(KINDS)]


def _show(figures: dict[str, Figures]) -> None:
    print(
        f"{'kind':<20}{'tried':>9}{'read':>9}{'refused':>9}{'slowest ms':>12}{'largest MB':>12}{'failed':>8}"
    )
    total = Figures()
    for kind, each in figures.items():
        _line(kind, each)
        total.tried += each.tried
        total.refused += each.refused
        total.failed += each.failed
        total.slowest_s = max(total.slowest_s, each.slowest_s)
        total.largest_bytes = max(total.largest_bytes, each.largest_bytes)
    _line("all", total)
    print(f"Bounds: {MOST_S * 1e3:.0f} ms and {MOST_BYTES / 1e6:.0f} MB for one input.")


def _line(kind: str, each: Figures) -> None:
    read = each.tried - each.refused - each.failed
    print(
        f"{kind:<20}{each.tried:>9}{read:>9}{each.refused:>9}{each.slowest_s * 1e3:>12.1f}"
        f"{each.largest_bytes / 1e6:>12.1f}{each.failed:>8}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
