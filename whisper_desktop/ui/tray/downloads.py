"""What the tray says of downloads, whichever window is open: how far they are, and that one has ended."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.models.job_rows import summary
from whisper_desktop.ui.models.watching import watched
from whisper_desktop.ui.notifications import Told

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.ui.bridge import Bridge

_ENDS = ("done", "failed")


class TrayDownloads(QObject):
    """Begins with `start`, when something may be downloaded, and goes on until the app ends.

    `words` says what goes on, "" where nothing does; `percent` how far, None where nobody knows.

    Signals:
        changed: `words` or `percent` have.
        ended: what to tell of a download that is done or has failed.
    """

    changed = Signal()
    ended = Signal(object)

    def __init__(self, bridge: "Bridge") -> None:
        super().__init__()
        self._bridge = bridge
        self._task: asyncio.Task[None] | None = None
        self.words = ""
        self.percent: int | None = None

    def start(self, app: "App") -> None:
        """Follow from now on, where that is not so yet."""
        if self._task is None or self._task.done():
            self._task = self._bridge.spawn(self._follow(app))

    async def _follow(self, app: "App") -> None:
        ended: set[int] | None = None
        try:
            async with aclosing(self._bridge.stream(watched(app))) as batches:
                async for batch in batches:
                    ended = self._look(batch[-1], ended)
        except WhisperError:  # another program downloads; the models window says so
            self._look((), ended)

    def _look(self, jobs: tuple[Job, ...], ended: set[int] | None) -> set[int]:
        """Tell what is new since the ends in `ended`; None: all that has ended is old."""
        now = (summary(jobs), percent(jobs))
        if now != (self.words, self.percent):
            self.words, self.percent = now
            self.changed.emit()
        over = {job.id: job for job in jobs if job.state in _ENDS}
        for number in set(over) - (set(over) if ended is None else ended):
            self.ended.emit(told(over[number]))
        return set(over)


def percent(jobs: Sequence[Job]) -> int | None:
    """How far the downloads that run are together, 0 to 100; None where a size is not known."""
    running = [job.progress for job in jobs if job.state == "running"]
    totals = [progress.total_bytes for progress in running]
    total = sum(each or 0 for each in totals)
    if not total or not all(totals):
        return None
    return min(100, 100 * sum(progress.done_bytes for progress in running) // total)


def told(job: Job) -> Told:
    """What a person is told of a download that has ended."""
    key = f"download {job.id}"
    if job.state == "failed":
        title = tr("{model} could not be downloaded.", model=job.title)
        return Told(title, job.error, problem=True, window="models", key=key)
    title = tr("{model} is downloaded.", model=job.title)
    return Told(title, tr("Models in the menu has what to do with it."), window="models", key=key)
