"""What a search came to: models of ours, repositories of the hub, or the one that was named. Each says
whether it fits before anything of it is downloaded.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from whisper_desktop.app.model_fit_words import headline
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.models.choice_cards import Way
from whisper_desktop.ui.models.found_cards import (
    FoundCard,
    forms,
    found_cards,
    named_card,
    names_one,
    names_repository,
)
from whisper_desktop.ui.models.getting import Getting
from whisper_desktop.ui.models.page import ModelsPage, Remark, button, fill, scrolled
from whisper_desktop.ui.models.words import without_name
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import Spinner, heading, secondary, toned
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App


class SearchPage(ModelsPage):
    """The results for one text.

    Signals:
        left: the person is done with them.
    """

    left = Signal()

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__(window, app)
        self.cards: list[ResultCard] = []
        self.looking = False
        self._asked = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        top = QHBoxLayout()
        top.setSpacing(S)
        self._title = heading("", 1.0)
        self._spinner = Spinner()
        top.addWidget(self._spinner)
        top.addWidget(self._title, 1)
        top.addWidget(button(tr("Close results"), self.left.emit))
        column.addLayout(top)
        self._problem = toned("", "warn")
        self._problem.hide()
        column.addWidget(self._problem)
        self._area = scrolled()
        column.addWidget(self._area, 1)

    def search(self, text: str) -> None:
        """Look for a text, or look at the model that it names."""
        self._asked += 1
        self.looking = True
        asked = self._asked
        self._title.setText(tr("Looking for “{text_}”…", text_=text))
        self._spinner.show()
        self._show((), "")
        self.spawn(self._search(text, asked))

    async def _search(self, text: str, asked: int) -> None:
        cards, problem = await self._found(text)
        if asked != self._asked:
            return
        self._spinner.hide()
        self.looking = False
        self._title.setText(
            tr("Found for “{text_}”", text_=text)
            if cards
            else tr("Nothing was found for “{text_}”", text_=text)
        )
        self._show(cards, problem)

    async def _found(self, text: str) -> tuple[tuple[FoundCard, ...], str]:
        try:
            if names_repository(text):
                return (FoundCard(text, "", forms(await self.ask(lambda models: models.files(text)))),), ""
            if names_one(text):
                await self.ask(lambda models: models.source(text))  # names what is wrong with it
                return (named_card(text),), ""
            found = await self.ask(lambda models: models.search(text))
            return found_cards(found), without_marks(found.problem)
        except WhisperError as error:
            return (), without_marks(f"{error}")

    def _show(self, cards: tuple[FoundCard, ...], problem: str) -> None:
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, S, 0)
        column.setSpacing(M)
        self.cards = [ResultCard(self, card) for card in cards]
        for each in self.cards:
            column.addWidget(each)
        column.addStretch(1)
        fill(self._area, box)

    def show_jobs(self, jobs: tuple[Job, ...]) -> None:
        """Show how far what was asked for is."""
        by_id = {job.id: job for job in jobs}
        for card in self.cards:
            if card.getting.job_id is not None:
                card.getting.show_job(by_id.get(card.getting.job_id))


class ResultCard(QFrame):
    """One result. Whether it fits is looked up at once for what is named or known, else on demand."""

    def __init__(self, page: ModelsPage, card: FoundCard) -> None:
        super().__init__()
        self._page = page
        self._card = card
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName(card.title)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, M, L, M)
        column.setSpacing(S)
        title = QHBoxLayout()
        title.setSpacing(M)
        self.getting = Getting(page, card.title, ())
        self.look = button(tr("See whether it fits"), lambda: page.spawn(self._look()), about=card.title)
        title.addWidget(heading(card.title, 1.0), 1)
        for each in (self.look, self.getting.button):
            title.addWidget(each, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(title)
        facts = secondary(card.facts)
        facts.setVisible(bool(card.facts))
        column.addWidget(facts)
        self.form = QComboBox()
        self.form.setAccessibleName(tr("Form of {title}", title=card.title))
        self.form.activated.connect(lambda _: self._chosen())
        column.addWidget(self.form, 0, Qt.AlignmentFlag.AlignLeft)
        self.fit = Remark(shrink=True)
        column.addWidget(self.fit)
        column.addWidget(self.getting)
        self._offer()

    def _offer(self) -> None:
        """Show the forms that there are; without any, they can be looked up."""
        self.form.clear()
        for form in self._card.forms:
            self.form.addItem(form.title, form.source)
        self.form.setVisible(len(self._card.forms) > 1)
        self.look.setVisible(not self._card.forms)
        self.getting.button.setVisible(bool(self._card.forms))
        if self._card.forms:
            self._chosen()

    def _chosen(self) -> None:
        source = str(self.form.currentData())
        self.getting.offer((Way(tr("Download"), source),))
        self._page.spawn(self._tell_fit(source))

    async def _look(self) -> None:
        self.look.setEnabled(False)
        repo = self._card.repo
        try:
            found = forms(await self._page.ask(lambda models: models.files(repo)))
        except WhisperError as error:
            self.fit.fail(error)
            self.look.setEnabled(True)
            return
        if not found:
            self.fit.say(tr("It has no file that could run here."))
            return
        self._card = FoundCard(self._card.title, self._card.facts, found, repo)
        self._offer()

    async def _tell_fit(self, source: str) -> None:
        """Whether this form fits; of what is not here, the first megabytes are read."""
        self.fit.say(tr("Looking whether it fits…"))
        try:
            told = await self._page.ask(lambda models: models.fit(source, ask=False))
            speed = (
                tr(" It writes {words}.", words=told.speed.words)
                if told.speed is not None and told.speed.answer
                else ""
            )
            words, tone = (
                without_name(headline(told), told.subject.name) + speed,
                "good" if told.fit is not None else "bad",
            )
        except WhisperError as error:
            words, tone = f"{error}", "secondary"
        if str(self.form.currentData()) == source:
            self.fit.say(words, tone)
