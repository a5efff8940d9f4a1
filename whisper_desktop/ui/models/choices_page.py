"""Recommended: the catalogue for this computer and a purpose, best first, each with its reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from whisper_desktop.advice import Choice, Purpose, Ranking
from whisper_desktop.advice.runners import running_here
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import listed, tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.fold import Fold
from whisper_desktop.ui.models.choice_cards import choice_card
from whisper_desktop.ui.models.getting import Getting
from whisper_desktop.ui.models.job_rows import job_of
from whisper_desktop.ui.models.memory_bar import MemoryBar
from whisper_desktop.ui.models.page import ModelsPage, button, fill, scrolled
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import Spinner, heading, plain, secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.model_host import ModelHost

_FIRST = 5  # choices that are shown at once


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A ranking, and which of its models are on this computer already."""

    ranking: Ranking
    here: Mapping[str, Path]


class ChoicesPage(ModelsPage):
    """The ranking for one purpose; `show_jobs` tells what is being downloaded."""

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__(window, app)
        self._jobs: tuple[Job, ...] = ()
        self.cards: list[Card] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, 0, 0)
        column.setSpacing(M)
        top = QHBoxLayout()
        top.setSpacing(S)
        top.setContentsMargins(0, 0, L, 0)
        label = QLabel(tr("Recommended &for"))
        self.purpose = QComboBox()
        for purpose in Purpose:
            self.purpose.addItem(purpose.words, purpose)
        label.setBuddy(self.purpose)
        self.purpose.activated.connect(lambda _: self.spawn(self.rank()))
        self._spinner = Spinner()
        top.addWidget(label)
        top.addWidget(self.purpose)
        top.addWidget(self._spinner)
        top.addStretch(1)
        column.addLayout(top)
        self._area = scrolled()
        column.addWidget(self._area, 1)
        self.spawn(self.rank())

    async def rank(self) -> None:
        """Show the ranking for the purpose that is chosen."""
        purpose = Purpose(self.purpose.currentData())
        self._spinner.show()
        try:
            ranked = await self.ask(lambda models: _ranked(models, purpose))
        except WhisperError as error:
            fill(self._area, _sentences([without_marks(f"{error}")]))
            return
        finally:
            self._spinner.hide()
        if Purpose(self.purpose.currentData()) is purpose:  # the person may have chosen again meanwhile
            self._show_ranking(ranked)

    def show_jobs(self, jobs: tuple[Job, ...]) -> None:
        """Show how far what was asked for is."""
        self._jobs = jobs
        for card in self.cards:
            card.getting.show_job(job_of(card.choice.model, jobs))

    def _show_ranking(self, ranked: _Ranked) -> None:
        ranking, running = ranked.ranking, running_here(self.app.servers)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, L, L)
        column.setSpacing(M)
        self.cards = [Card(self, each, running, ranked.here.get(each.model.id)) for each in ranking.choices]
        if not self.cards:
            column.addWidget(
                plain(
                    tr(
                        "No model that we know fits this computer and suits {words}.",
                        words=ranking.purpose.words,
                    )
                )
            )
        for number, card in enumerate(self.cards):
            if number == 1:
                column.addWidget(heading(tr("Others, in their order"), 1.0))
            card.setVisible(number < _FIRST)
            column.addWidget(card)
        if self.cards:
            self.cards[0].getting.button.setDefault(True)
        if len(self.cards) > _FIRST:
            column.addLayout(self._show_all())
        if ranking.changes:
            column.addWidget(heading(tr("What would change this"), 1.0))
            column.addWidget(_sentences(ranking.changes))
        if ranking.rejected:
            told = [f"{model.id}: {why}" for model, why in ranking.rejected]
            column.addWidget(Fold(tr("Not recommended: {told}, and why", told=len(told)), _sentences(told)))
        column.addWidget(secondary(_counted_against(ranking)))
        column.addStretch(1)
        fill(self._area, box)
        self.show_jobs(self._jobs)

    def _show_all(self) -> QHBoxLayout:
        def show() -> None:
            for card in self.cards:
                card.show()
            every.hide()
            self.cards[_FIRST].getting.button.setFocus()

        row = QHBoxLayout()
        every = button(tr("Show all {cards}", cards=len(self.cards)), show)
        row.addWidget(every)
        row.addStretch(1)
        return row


class Card(QFrame):
    """One choice: name, first reasons, memory, speed, licence, the rest on demand, and the way to get it."""

    def __init__(self, page: ModelsPage, choice: Choice, running: frozenset[str], here: Path | None) -> None:
        super().__init__()
        self.choice = choice
        told = choice_card(choice, running)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName(told.id)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, M, L, M)
        column.setSpacing(S)
        title = QHBoxLayout()
        title.setSpacing(M)
        name = heading(told.id, 1.0)
        title.addWidget(name, 1)
        if told.badge:
            badge = secondary(told.badge)
            badge.setWordWrap(False)
            title.addWidget(badge)
        self.getting = Getting(page, told.id, told.ways, here)
        title.addWidget(self.getting.button, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(title)
        for reason in told.reasons:
            column.addWidget(plain(without_marks(reason)))
        column.addWidget(MemoryBar(told.memory, told.facts))
        column.addWidget(self.getting)
        column.addWidget(
            Fold(tr("Why this one"), _sentences(told.more), tr("Why {told_id}", told_id=told.id))
        )


async def _ranked(models: "ModelHost", purpose: Purpose) -> _Ranked:
    """On the core loop: the ranking, and where its models lie on this computer."""
    from whisper_desktop.app.model_named import held_copy

    ranking, shelf = await models.rank(purpose), await models.shelf()
    held = {choice.model.id: held_copy(shelf, choice.model) for choice in ranking.choices}
    return _Ranked(ranking, {name: model.path for name, model in held.items() if model is not None})


def _counted_against(ranking: Ranking) -> str:
    budget = ranking.budget
    words = [budget.gpu_words] if budget.gpu_bytes else []
    return tr("Counted with {items}.", items=listed((*words, budget.host_words)))


def _sentences(told: Sequence[str]) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(S)
    for sentence in told:
        column.addWidget(secondary(without_marks(sentence)))
    return box
