"""Downloads: what is being fetched, what waits, what is done, in its order."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.models.job_rows import FULL, JobRow, job_rows
from whisper_desktop.ui.models.page import ModelsPage, Remark, button, scrolled
from whisper_desktop.ui.models.words import so_far
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import heading, plain, secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.model_host import ModelHost

_EMPTY = mark(
    "Nothing is being downloaded. Choose a model under Recommended, or search for one "
    "above. A download goes on when this window is closed, and after a restart where it "
    "was."
)
_KEEP, _REMOVE = mark("Keep what is here"), mark("Remove it")
_BUTTONS = (
    ("pause", mark("Pause")),
    ("resume", mark("Go on")),
    ("retry", mark("Try again")),
    ("use", mark("Use")),
    ("folder", mark("Show folder")),
    ("up", mark("Earlier")),
    ("down", mark("Later")),
    ("cancel", mark("Cancel…")),
    ("remove", mark("Remove from list")),
)


class DownloadsPage(ModelsPage):
    """One card for each download.

    Signals:
        suggestions_wanted: the person wants to see what suits this computer.
    """

    suggestions_wanted = Signal()

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__(window, app)
        self._jobs: dict[int, Job] = {}
        self.cards: dict[int, JobCard] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, 0, 0)
        column.setSpacing(M)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty())
        box = QWidget()
        self._column = QVBoxLayout(box)
        self._column.setContentsMargins(0, 0, L, L)
        self._column.setSpacing(M)
        self._column.addStretch(1)
        self._stack.addWidget(scrolled(box))
        column.addWidget(self._stack, 1)
        self.remark = Remark()
        self.remark.setContentsMargins(0, 0, L, M)
        column.addWidget(self.remark)

    def _empty(self) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, L, 0)
        column.setSpacing(M)
        column.addWidget(plain(tr(_EMPTY)))
        row = QHBoxLayout()
        row.addWidget(button(tr("See what suits this computer"), self.suggestions_wanted.emit))
        row.addStretch(1)
        column.addLayout(row)
        column.addStretch(1)
        return holder

    def show_jobs(self, jobs: tuple[Job, ...]) -> None:
        """Show what there is to do and what is done; cards stay in place while the order is the same."""
        self._jobs = {job.id: job for job in jobs}
        rows = job_rows(jobs)
        for gone in set(self.cards) - set(self._jobs):
            card = self.cards.pop(gone)
            self._column.removeWidget(card)
            card.deleteLater()
        for place, row in enumerate(rows):
            if row.id not in self.cards:
                self.cards[row.id] = card = JobCard(row.title)
                card.wanted.connect(lambda action, number=row.id: self.spawn(self._do(action, number)))
            card = self.cards[row.id]
            if self._column.indexOf(card) != place:
                self._column.insertWidget(place, card)
            card.show_row(row)
        self._stack.setCurrentIndex(1 if rows else 0)

    async def _do(self, action: str, number: int) -> None:
        job = self._jobs.get(number)
        if job is None:
            return
        self.remark.say("")
        try:
            if action == "cancel":
                await self._cancel(job)
            elif action == "folder":
                if job.target is not None:
                    QDesktopServices.openUrl(QUrl.fromLocalFile(str(job.target.parent)))
            elif action == "use":
                await self._use(job)
            else:
                await self.ask(self._work(action, job))
        except WhisperError as error:
            self.remark.fail(error)

    def _work(self, action: str, job: Job) -> "Callable[[ModelHost], Awaitable[object]]":
        number, order = job.id, [each.id for each in self._jobs.values()]
        if action == "pause":
            return lambda models: models.downloads.pause(number)
        if action in ("resume", "retry"):
            return lambda models: _gone_on(models, number)
        if action == "remove":
            return lambda models: models.downloads.cancel(number)
        todo = [each.id for each in self._jobs.values() if each.is_open]
        neighbour = todo[todo.index(number) + (-1 if action == "up" else 1)]
        place = order.index(neighbour)
        return lambda models: models.downloads.move(number, place)

    async def _cancel(self, job: Job) -> None:
        number, keep = job.id, True
        arrived = job.progress.done_bytes
        if arrived and job.files:
            question = tr("Stop downloading {title}?", title=job.title)
            here = so_far(arrived, job.progress.total_bytes)
            detail = tr("{here} have arrived. What is kept need not be fetched again.", here=here)
            chosen = await self.confirmed(question, detail, tr(_KEEP), tr(_REMOVE))
            if not chosen:
                return
            keep = chosen == tr(_KEEP)
        self.remark.say(await self.ask(lambda models: models.downloads.cancel(number, keep=keep)))

    async def _use(self, job: Job) -> None:
        if job.target is None:
            return
        path = str(job.target)
        chosen = await self.ask(lambda models: models.use(path))
        self.remark.say(
            tr(
                "The built-in engine uses {model_name} from now on. {remark}",
                model_name=chosen.model.name,
                remark=chosen.remark,
            ).strip(),
            "good",
        )


class JobCard(QFrame):
    """One download: its name, a bar, a line, and what can be done with it.

    Signals:
        wanted: the name of an action.
    """

    wanted = Signal(str)

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, M, L, M)
        column.setSpacing(S)
        column.addWidget(heading(title, 1.0))
        self.bar = QProgressBar()
        self.bar.setRange(0, FULL)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("How far {title} is", title=title))
        column.addWidget(self.bar)
        self.status = Remark()
        column.addWidget(self.status)
        self._note = secondary("")
        column.addWidget(self._note)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.buttons: dict[str, QPushButton] = {}
        for action, text in _BUTTONS:
            self.buttons[action] = made = button(tr(text), partial(self.wanted.emit, action), about=title)
            row.addWidget(made)
        row.addStretch(1)
        column.addLayout(row)
        self._shown: JobRow | None = None

    def show_row(self, row: JobRow) -> None:
        """Show how far it is."""
        if row == self._shown:
            return
        before, self._shown = self._shown, row
        if row.share is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, FULL)
            self.bar.setValue(max(row.share, self.bar.value()))  # progress never runs backwards
        self.bar.setVisible("remove" not in row.actions)
        if before is None or (before.status, before.tone) != (row.status, row.tone):
            self.status.say(row.status, row.tone)
        self._note.setText(row.note)
        self._note.setVisible(bool(row.note))
        for action, each in self.buttons.items():
            each.setVisible(action in row.actions)


async def _gone_on(models: "ModelHost", number: int) -> None:
    """On the core loop: have it wait for its turn, and see to it that somebody fetches."""
    await models.downloads.resume(number)
    await models.fetch()
