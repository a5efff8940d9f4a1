"""What is recommended on each machine of the reference table, and how long the ranking takes.

Run it with `python3 packaging/dev.py bench profiles`. With `--purpose code` (or another) behind `python -m
tests.benchmarks.profiles` it is for that.
"""

import statistics
import sys
import time

from tests.advice.machines import machines
from tests.benchmarks._measure import verdict
from whisper_desktop.advice import Purpose, Ranking, rank, recommended_setup
from whisper_desktop.models.catalogue import load

ROUNDS = 3
_WIDTHS = (4, 36, 10, 24, 8, 7, 13, 15, 9)
_HEADER = ("#", "machine", "program", "model", "mode", "context", "GB gpu / host", "tokens/s", "answer")


def main() -> bool:
    """Print the table; whether every ranking was quick enough."""
    purpose = Purpose(sys.argv[sys.argv.index("--purpose") + 1]) if "--purpose" in sys.argv else Purpose.CHAT
    catalogue = load()
    slowest = 0.0
    print(f"\nRecommended for {purpose.words} ({len(catalogue)} models, list of {catalogue.date})")
    _row(*_HEADER, "first reason")
    # Where the program is openrouter, the model beside it is the one for when there is no network.
    for machine in machines().values():
        taken = []
        for _ in range(ROUNDS):
            started = time.process_time()
            ranking = rank(machine.resources, (), catalogue, purpose=purpose)
            taken.append(time.process_time() - started)
        slowest = max(slowest, statistics.median(taken))
        program = recommended_setup(machine.resources, (), catalogue, ranking).preferred_server
        _row(machine.id[:4], machine.name[:36], *_cells(program, ranking), *_first_reason(ranking))
    print()
    return verdict("one ranking of the whole catalogue", slowest * 1000, must=150, unit="ms")


def _cells(program: str, ranking: Ranking) -> tuple[str, ...]:
    if not ranking.choices:
        return (program, "—", "—", "—", "—", "—", "—")
    first = ranking.choices[0]
    need, speed = first.fit.need, first.speed
    return (
        program,
        first.model.id[:24],
        first.fit.mode,
        str(first.fit.context),
        f"{need.gpu_bytes / 1e9:.1f} / {need.host.total / 1e9:.1f}",
        f"{speed.answer or 0:.0f} ({speed.low:.0f} to {speed.high:.0f})",
        f"{first.answer_seconds:.0f} s{' +' if first.thinking else ''}",
    )


def _first_reason(ranking: Ranking) -> tuple[str]:
    return (ranking.choices[0].reasons[0] if ranking.choices else "Nothing fits that is quick enough.",)


def _row(*cells: str) -> None:
    fixed = (f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=False))
    print(" ", "  ".join((*fixed, *cells[len(_WIDTHS) :])).rstrip())


if __name__ == "__main__":
    sys.exit(not main())
