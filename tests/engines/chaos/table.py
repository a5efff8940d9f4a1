"""What a chaos run comes to: for every fault the cause that was diagnosed, and the worst times."""

from collections import Counter
from dataclasses import dataclass, field

NOTHING = "nothing"
"""In the place of a cause: nothing was wrong, and nothing was said to be."""


@dataclass
class Row:
    """One kind of fault. `right` and `wrong` count the causes that were told."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Table:
    """Injected -> diagnosed, by engine and fault; and how long the longest of each kind of wait took."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}
        self._worst: dict[str, tuple[float, float]] = {}
        self._notes: list[str] = []

    def saw(self, engine: str, fault: str, told: str, *, right: bool) -> None:
        """One fault, and the cause that was told."""
        row = self._rows.setdefault((engine, fault), Row())
        (row.right if right else row.wrong)[told] += 1

    def took(self, what: str, seconds: float, most: float) -> None:
        """One wait, which may take `most` seconds."""
        worst, _ = self._worst.get(what, (0.0, most))
        self._worst[what] = max(worst, seconds), most

    def note(self, text: str) -> None:
        """Something that a reader should know, once."""
        if text not in self._notes:
            self._notes.append(text)

    @property
    def right(self) -> int:
        """How many faults were diagnosed right."""
        return sum(row.right.total() for row in self._rows.values())

    @property
    def wrong(self) -> int:
        """How many were not."""
        return sum(row.wrong.total() for row in self._rows.values())

    def lines(self) -> list[str]:
        """The table as text; none where there was no run."""
        if not self._rows:
            return []
        width = max(len(fault) for _, fault in self._rows)
        engine_width = max(len(engine) for engine, _ in self._rows)
        lines = [f"{'engine':<{engine_width}}  {'injected':<{width}}  right  wrong  diagnosed"]
        for (engine, fault), row in sorted(self._rows.items()):
            told = ", ".join(f"{cause} {count}" for cause, count in sorted((row.right + row.wrong).items()))
            counts = f"{row.right.total():>5}  {row.wrong.total() or '':>5}"
            lines.append(f"{engine:<{engine_width}}  {fault:<{width}}  {counts}  {told}")
        lines += ["", f"{self.right + self.wrong} faults: {self.right} diagnosed right, {self.wrong} wrong"]
        lines += [
            f"longest {what}: {worst:.2f} s (allowed: {most:g} s)"
            for what, (worst, most) in sorted(self._worst.items())
        ]
        return [*lines, *self._notes]
