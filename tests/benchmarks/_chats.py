"""Made-up conversations for the benchmarks of the transcript, and a heartbeat of the main thread."""

import os
import time
from collections.abc import Sequence

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_API", "pyside6")

from PySide6.QtCore import QTimer

from whisper_desktop.ui.chat import rows
from whisper_desktop.values import Provenance, Reach

SENTENCE = (
    "Take the **morning train** to Sintra, and walk down through `the old town` before the light goes. "
    "It is cooler there than in the city, so a jacket helps; see [the palace](https://example.org/palace) "
    "first. "
)
CODE = (
    "```python\ndef stations(line: str) -> list[str]:\n"
    "    found = [name for name in LINES[line] if name]\n    return sorted(found)\n```\n\n"
)
ITEMS = (
    "1. one train an hour, in the morning\n2. two of them after noon\n   - the fast one stops twice\n"
    "3. none at night\n\n"
)
TABLE = "| from | to | minutes |\n|---|---|--:|\n| Lisbon | Sintra | 40 |\n| Sintra | Cascais | 35 |\n\n"
MATH = "It takes $t = s / v$, and for all of them\n\n$$\\sum_{i=1}^{n} \\frac{s_i}{v_i}$$\n\n"
MIXED = f"## The way\n\n{SENTENCE * 4}\n\n{ITEMS}{SENTENCE * 2}\n\n{CODE}{TABLE}> {SENTENCE}\n\n{MATH}"

ORIGIN = Provenance(
    "ollama",
    "Ollama",
    "http://127.0.0.1:11434",
    "qwen3.5:4b",
    Reach.THIS_MACHINE,
    False,
    "",
    (),
    0.6,
    4.0,
    31.0,
)


def conversation(messages: int) -> list[rows.Row]:
    """Questions and answers in turns; an answer has about 1.1 kB of all kinds of markdown."""
    shapes = (
        SENTENCE * 4 + "\n\n" + CODE + SENTENCE * 3,
        ITEMS + SENTENCE * 6,
        f"### Times\n\n{TABLE}{SENTENCE * 5}",
        MIXED,
        SENTENCE,
    )
    found = []
    for number in range(messages):
        if number % 2 == 0:
            found.append(
                rows.Row(rows.Kind.QUESTION, f"Question {number}: how do I get there?", node=str(number))
            )
        else:
            text = f"Answer {number}. {shapes[number // 2 % len(shapes)]}"
            found.append(rows.Row(rows.Kind.ANSWER, text, provenance=ORIGIN, node=str(number)))
    return found


class Heartbeat:
    """Beats whenever the main thread has nothing else to do; a block is the time between two beats.

    `blocks` are the longest of each frame, by the clock on the wall; `busy` the same by the processor's
    time of the main thread, which other programs on the machine do not lengthen. Both in seconds.
    """

    def __init__(self) -> None:
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._last = self._last_busy = 0.0
        self._longest = self._longest_busy = 0.0
        self.blocks: list[float] = []
        self.busy: list[float] = []

    def start(self) -> None:
        """Begin to beat."""
        self._last, self._last_busy = time.perf_counter(), time.thread_time()
        self._timer.start(0)

    def stop(self) -> None:
        """End it."""
        self._timer.stop()

    def frame(self) -> None:
        """A frame ends here."""
        self.blocks.append(self._longest)
        self.busy.append(self._longest_busy)
        self._longest = self._longest_busy = 0.0

    def _beat(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self._longest_busy = max(self._longest_busy, busy - self._last_busy)
        self._last, self._last_busy = now, busy


def spread(values: Sequence[float]) -> str:
    """Median, 99th percentile and greatest of some durations, in ms."""
    return (
        f"p50 {percentile(values, 0.5) * 1000:6.2f} ms   p99 {percentile(values, 0.99) * 1000:6.2f} ms   "
        f"max {max(values) * 1000:6.2f} ms"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
