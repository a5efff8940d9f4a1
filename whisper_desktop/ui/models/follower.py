"""Follows the downloads while no window does: what the tray says of them, and that one has ended."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from whisper_desktop.errors import WhisperError
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.models.job_rows import summary
from whisper_desktop.ui.models.watching import watched

if TYPE_CHECKING:
    from whisper_desktop.app import App

_ENDS = ("done", "failed")


class DownloadsFollower(QObject):
    """Begins with `start`, when something may be downloaded, and goes on until the app ends.

    Signals:
        changed: what goes on in a few words; "" where nothing does.
        ended: the `Job` that is done or has failed.
    """

    changed = Signal(str)
    ended = Signal(object)

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._task: asyncio.Task[None] | None = None
        self._words = ""

    def start(self, app: "App") -> None:
        """Follow from now on, where that is not so yet."""
        if self._task is None or self._task.done():
            self._task = self._bridge.spawn(self._follow(app))

    async def _follow(self, app: "App") -> None:
        ended: set[int] | None = None
        try:
            async with aclosing(self._bridge.stream(watched(app))) as batches:
                async for batch in batches:
                    jobs = batch[-1]
                    ended = self._tell(jobs, ended)
        except WhisperError:  # another program downloads; the models window says so
            self._say("")

    def _tell(self, jobs: tuple[Job, ...], ended: set[int] | None) -> set[int]:
        self._say(summary(jobs))
        now = {job.id: job for job in jobs if job.state in _ENDS}
        for number in set(now) - (set(now) if ended is None else ended):
            self.ended.emit(now[number])
        return set(now)

    def _say(self, words: str) -> None:
        if words != self._words:
            self._words = words
            self.changed.emit(words)
