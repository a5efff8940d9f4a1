"""The button that gets a model, and then uses it, and the remark on how that goes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QMenu

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.models.choice_cards import Way
from whisper_desktop.ui.models.job_rows import FULL, job_rows
from whisper_desktop.ui.models.page import ModelsPage, Remark, button


class Getting(Remark):
    """The remark. Its `button` says *Download*, where there are several `ways` with a menu of them, and *Use*
    once the model is here.

    `name` is what a person calls the model. `here` is its file on this computer, where it is.
    """

    def __init__(self, page: ModelsPage, name: str, ways: Sequence[Way], here: Path | None = None) -> None:
        super().__init__(shrink=True)
        self._page = page
        self._name = name
        self._here = here
        self._ways = tuple(ways)
        self._job: Job | None = None
        self.button = button(tr("Download"), self._click)
        self._show()

    @property
    def job_id(self) -> int | None:
        """The download that is shown; None where there is none."""
        return self._job.id if self._job is not None else None

    def offer(self, ways: Sequence[Way]) -> None:
        """Offer other ways: another form of the model was chosen."""
        self._ways, self._job, self._here = tuple(ways), None, None
        self.say("")
        self._show()

    def show_job(self, job: Job | None) -> None:
        """Show how far the download is; None where it is off the list."""
        if job == self._job:
            return
        before, now = (each.state if each is not None else None for each in (self._job, job))
        if job is not None and now == "failed":
            self.say(job.error, "bad")
        elif now != before and (before == "failed" or now in ("done", None)):
            self.say("")
        self._job = job
        if job is not None and now == "done":
            self._here = job.target
        self._show()

    def _show(self) -> None:
        text, works = self._label()
        self.button.setText(text)
        self.button.setEnabled(works)
        self.button.setAccessibleName(f"{text} {self._name}")
        gets = self._here is None and (self._job is None or self._job.state == "failed")
        several = gets and len(self._ways) > 1
        self.button.setMenu(self._menu() if several else None)  # type: ignore[arg-type]  # None takes it away

    def _label(self) -> tuple[str, bool]:
        if self._here is not None:
            return tr("Use"), True
        if self._job is None or self._job.state == "failed":
            return tr("Download"), bool(self._ways)
        if self._job.state == "done":
            return tr("Downloaded"), False
        if self._job.state == "running":
            share = job_rows((self._job,))[0].share
            return (tr("Downloading") if share is None else f"{100 * share // FULL} %"), False
        return {"waiting": tr("Waiting"), "paused": tr("Paused")}[self._job.state], False

    def _menu(self) -> QMenu:
        menu = QMenu(self.button)
        for way in self._ways:
            menu.addAction(way.title, partial(self._pull, way.source))
        return menu

    def _click(self) -> None:
        if self._here is not None:
            self._page.spawn(self._use(self._here))
        elif len(self._ways) == 1:
            self._pull(self._ways[0].source)

    def _pull(self, source: str) -> None:
        self.button.setEnabled(False)
        self.say(tr("Asking for it…"))
        self._page.spawn(self._pulled(source))

    async def _pulled(self, source: str) -> None:
        try:
            job = await self._page.ask(lambda models: models.pull(source))
        except WhisperError as error:
            self.fail(error)
            self._show()
            return
        self.say(job.note or tr("Downloads shows how it goes on."))
        self.show_job(job)

    async def _use(self, path: Path) -> None:
        name = str(path)
        try:
            chosen = await self._page.ask(lambda models: models.use(name))
        except WhisperError as error:
            self.fail(error)
            return
        self.say(
            tr("The built-in engine uses it from now on. {remark}", remark=chosen.remark).strip(), "good"
        )
