"""How long a conversation of 10,000 messages takes to open, to be scrolled and to be resized.

Opening ends with the first painted frame. A step of scrolling is everything until the view is painted again;
nothing is laid out between the steps, as if somebody never let go. Run it with
`python3 packaging/dev.py bench long_chat` on an idle machine.
"""

import sys
import time
from collections.abc import Callable, Sequence

from PySide6.QtCore import QCoreApplication, QSize
from PySide6.QtWidgets import QApplication, QScrollBar

from tests.benchmarks._chats import conversation, percentile, spread
from tests.benchmarks._measure import verdict
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView

MESSAGES = 10_000
STEPS = 400
OPEN_MUST = 200.0  # ms
FRAME_MUST = 1000 / 60  # ms
JUMP_MUST = 100.0  # ms: at once, for who clicks into the scroll bar


Time = tuple[float, float]
"""Seconds by the clock, and of the processor, which other programs do not lengthen."""


def timed(change: Callable[[], object]) -> Time:
    """How long it takes until the view is painted after a change."""
    started, busy = time.perf_counter(), time.thread_time()
    change()
    QCoreApplication.sendPostedEvents()  # paints, as the loop would
    return time.perf_counter() - started, time.thread_time() - busy


def told(name: str, taken: Sequence[Time], must: float, share: float) -> bool:
    """Says how long it took, and whether that is short enough."""
    clock = [each[0] for each in taken]
    print(f"\n{name}\n  {spread(clock)}   by the clock")
    print(f"  {spread([each[1] for each in taken])}   of the processor")
    return verdict(f"p{share * 100:.0f}", percentile(clock, share) * 1000, must=must, unit="ms")


def scrolled(view: TranscriptView, move: Callable[[QScrollBar], int]) -> list[Time]:
    """The time of each step of the scroll bar, which `move` tells where to go."""
    bar = view.verticalScrollBar()
    return [timed(lambda: bar.setValue(move(bar))) for _ in range(STEPS)]


def main() -> int:
    """Measure, and print a line each. Exit code 1 when something takes too long."""
    app = QApplication(sys.argv)
    rows = conversation(MESSAGES)
    view = TranscriptView(TranscriptModel())
    view.resize(760, 640)
    view.show()
    view.set_rows(rows[:40])
    for _ in scrolled(view, lambda bar: bar.value() - bar.pageStep()):
        app.processEvents()  # imports, fonts, formulas
    opened = []
    for _ in range(9):
        view.set_rows([])
        app.processEvents()
        opened.append(timed(lambda: view.set_rows(rows)))
    met = [told(f"open {MESSAGES:,} messages, to the first painted frame", opened, OPEN_MUST, 0.5)]
    for name, move in WAYS.items():
        if "down" in name:
            view.verticalScrollBar().setValue(0)
        met.append(told(name, scrolled(view, move), FRAME_MUST, 0.99))
    jumps = scrolled(view, lambda bar: (bar.value() + bar.maximum() * 7 // 19) % bar.maximum())
    met.append(told("jump to anywhere", jumps, JUMP_MUST, 0.99))
    widths = [QSize(420 + number * 9 % 500, 640) for number in range(60)]
    resized = [timed(lambda size=size: view.resize(size)) for size in widths]  # type: ignore[misc]
    met.append(told("resize, each time to another width", resized, FRAME_MUST, 0.5))
    view.close()
    return 0 if all(met) else 1


WAYS: dict[str, Callable[[QScrollBar], int]] = {
    "scroll up by pages from the end": lambda bar: bar.value() - bar.pageStep(),
    "scroll down by pages from the top": lambda bar: bar.value() + bar.pageStep(),
    "scroll down by 60 pixels": lambda bar: bar.value() + 60,
}


if __name__ == "__main__":
    sys.exit(main())
