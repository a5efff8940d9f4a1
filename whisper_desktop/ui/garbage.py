"""Python's cycle collector, kept to the Qt thread.

The collector runs in whichever thread happens to allocate. In the core thread it would destroy widgets,
documents and timers that belong to the Qt thread, and Qt crashes on that, now and then. So while there is a
core thread, collection is done by a timer here (calibre does the same: gui2/__init__.py, GarbageCollector).
"""

import gc

from PySide6.QtCore import QObject, QTimer

_LOOK = 1000  # ms between looks: rare enough for an idle app, often enough for one that streams


class QtThreadCollector(QObject):
    """Collects when Python would have, on the thread it was made in."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Take over from the automatic collector."""
        gc.disable()
        self._timer.start()

    def stop(self) -> None:
        """Give it back: there is no other thread any more."""
        self._timer.stop()
        gc.enable()

    def look(self) -> None:
        """Collect the oldest generation that has passed its threshold, if any has."""
        due = [number for number, (count, limit) in enumerate(_counts()) if limit and count > limit]
        if due:
            gc.collect(max(due))


def _counts() -> list[tuple[int, int]]:
    return list(zip(gc.get_count(), gc.get_threshold(), strict=True))
