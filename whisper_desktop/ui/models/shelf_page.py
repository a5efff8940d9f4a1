"""On this computer: all models as a table, and what can be done with the one that is chosen."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSortFilterProxyModel, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QStackedWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.models.checksums import Stopped
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.models.page import ModelsPage, Remark, button
from whisper_desktop.ui.models.shelf_rows import (
    Runs,
    ShelfRow,
    cannot_delete,
    deletion_words,
    problem_words,
    runs,
    shelf_row,
    shelf_summary,
)
from whisper_desktop.ui.models.shelf_table import SORT_ROLE, ShelfTable
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import Spinner, heading, plain, secondary, toned
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.values import ModelType

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.model_host import ModelHost

_NAME = 28  # characters of a name that are always seen
_MOST_PROBLEMS = 30
_TELL = 200  # ms between two looks at how far a check is
_EMPTY = mark(
    "No models here yet. What you download appears here, and so do the models of LM "
    "Studio, Ollama and Hugging Face."
)
_OTHERS = ("lm_studio", "hugging_face")  # whose files may be deleted here, when the person says so


class ShelfPage(ModelsPage):
    """The table, and below it the chosen model with what can be done with it.

    Signals:
        suggestions_wanted: the person wants to see what suits this computer.
    """

    suggestions_wanted = Signal()

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__(window, app)
        self._known: dict[tuple[str, str], Runs] = {}
        self.looked = False
        self._filling = False
        self._stop: threading.Event | None = None
        self._lay_out()
        self.spawn(self.look())

    # --- how it looks ---------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        top = QHBoxLayout()
        top.setSpacing(S)
        self._summary = secondary(tr("Looking at the folders…"))
        self.again = button(tr("Look again"), lambda: self.spawn(self.look(again=True)))
        top.addWidget(self._summary, 1)
        top.addWidget(self.again)
        column.addLayout(top)
        self._problems = toned("", "warn")
        self._problems.hide()
        column.addWidget(self._problems)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._waiting())
        self._stack.addWidget(self._empty())
        self._stack.addWidget(self._make_table())
        column.addWidget(self._stack, 1)
        column.addWidget(self._details())
        self.remark = Remark()
        column.addWidget(self.remark)

    def _waiting(self) -> QWidget:
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(Spinner(), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(secondary(tr("Looking at the folders of models…")), 1, Qt.AlignmentFlag.AlignTop)
        return holder

    def _empty(self) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, L, 0, 0)
        column.setSpacing(M)
        column.addWidget(plain(tr(_EMPTY)))
        row = QHBoxLayout()
        row.addWidget(button(tr("See what suits this computer"), self.suggestions_wanted.emit))
        row.addStretch(1)
        column.addLayout(row)
        column.addStretch(1)
        return holder

    def _make_table(self) -> "ShelfView":
        self.table = ShelfTable(self.fontMetrics().lineSpacing() + S)
        self._sorted = QSortFilterProxyModel()
        self._sorted.setSourceModel(self.table)
        self._sorted.setSortRole(SORT_ROLE)
        self.view = ShelfView()
        self.view.setModel(self._sorted)
        self.view.setRootIsDecorated(False)
        self.view.setUniformRowHeights(True)
        self.view.setAlternatingRowColors(True)
        self.view.setAllColumnsShowFocus(True)
        self.view.header().setStretchLastSection(False)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setAccessibleName(tr("Models on this computer"))
        self.view.selectionModel().currentRowChanged.connect(lambda *_: self._show_chosen())
        self.view.verticalScrollBar().valueChanged.connect(lambda _: self._fill())
        self._sorted.layoutChanged.connect(lambda: self._fill())
        return self.view

    def _details(self) -> QWidget:
        self._chosen = QFrame()
        self._chosen.setFrameShape(QFrame.Shape.StyledPanel)
        column = QVBoxLayout(self._chosen)
        column.setContentsMargins(L, M, L, M)
        column.setSpacing(S)
        self._name = heading("", 1.0)
        self._fits = plain("")
        self._where = secondary("")
        for label in (self._name, self._fits, self._where):
            column.addWidget(label)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.use = button(tr("Use"), lambda: self.spawn(self._use()))
        self.folder = button(tr("Show folder"), self._show_folder)
        self.verify = button(tr("Verify"), self._verify_or_stop)
        self.delete = button(tr("Delete…"), lambda: self.spawn(self._delete()))
        self.progress = QProgressBar()
        self.progress.setAccessibleName(tr("How much has been read"))
        self.progress.setTextVisible(False)
        keeps = self.progress.sizePolicy()
        keeps.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(keeps)
        self.progress.hide()
        for widget in (self.use, self.folder, self.verify):
            row.addWidget(widget)
        row.addWidget(self.progress, 1)
        row.addWidget(self.delete)
        column.addLayout(row)
        self._chosen.hide()
        return self._chosen

    # --- what is there --------------------------------------------------------------------------------------

    async def look(self, *, again: bool = False) -> None:
        """Show what is on this computer; `again` looks at the folders once more."""
        self.again.setEnabled(False)
        try:
            shelf, own = await self.ask(lambda models: _looked_at(models, again=again))
        except WhisperError as error:
            self._summary.setText(without_marks(f"{error}"))
            return
        finally:
            self.again.setEnabled(True)
        before, self.looked = self.chosen, True
        now = time.time()
        rows = [
            shelf_row(model, self._known.get(_key(model)), used_now=(model.path in own), now=now)
            for model in shelf.models
        ]
        self.table.show_rows(rows)
        self._summary.setText(shelf_summary(shelf))
        self._problems.setText(problem_words(shelf.problems))
        self._problems.setToolTip("\n".join(shelf.problems[:_MOST_PROBLEMS]))
        self._problems.setVisible(bool(shelf.problems))
        self._stack.setCurrentIndex(2 if rows else 1)
        self.view.fit_columns()
        self._choose(before.model if before is not None else None)
        self._fill()

    @property
    def chosen(self) -> ShelfRow | None:
        """The row that is chosen."""
        index = self.view.currentIndex()
        return self.table.row(self._sorted.mapToSource(index).row()) if index.isValid() else None

    def _choose(self, model: ShelfModel | None) -> None:
        """Choose this model, or the first where it is gone, so that the keyboard has a place to begin."""
        number = self.table.number_of(model.path, model.name) if model is not None else None
        place = self._sorted.mapFromSource(self.table.index(number, 0)) if number is not None else None
        self.view.setCurrentIndex(place if place is not None else self._sorted.index(0, 0))
        if not self.view.currentIndex().isValid():
            self._show_chosen()

    def _show_chosen(self) -> None:
        row = self.chosen
        self._chosen.setVisible(row is not None)
        if row is None:
            return
        self._name.setText(row.model.name)
        self._where.setText(" ".join((str(row.model.path), without_marks(cannot_delete(row.model)))).strip())
        known = self._known.get(_key(row.model))
        self._fits.setText(known.sentence if known is not None else tr("Looking at what it needs…"))
        talks = row.model.type is not ModelType.EMBEDDING
        self.use.setEnabled(talks and not row.used_now)
        self.use.setText(tr("In use") if row.used_now else tr("Use"))
        self.use.setToolTip(
            "" if talks else tr("It turns texts into vectors, for searching, and cannot answer.")
        )
        self.delete.setEnabled(not cannot_delete(row.model))
        for each, words in (
            (self.use, tr("Use")),
            (self.folder, tr("Show the folder of")),
            (self.delete, tr("Delete")),
        ):
            each.setAccessibleName(f"{words} {row.model.name}")
        self._fill()

    @property
    def busy(self) -> bool:
        """Whether it still looks at how models run that are on the screen."""
        return self._filling

    def _fill(self) -> None:
        if not self._filling:
            self._filling = True
            self.spawn(self._tell_what_fits())

    async def _tell_what_fits(self) -> None:
        """Fill in how each model runs, those that are seen first: one header after the other is read."""
        try:
            while (row := self._next_unknown()) is not None:
                self._known[_key(row.model)] = told = await self._runs(str(row.model.path))
                self.table.replace_row(shelf_row(row.model, told, used_now=row.used_now, now=time.time()))
                self.view.fit_columns()
                if self.chosen is not None and self.chosen.model == row.model:
                    self._fits.setText(told.sentence)
        finally:
            self._filling = False

    async def _runs(self, path: str) -> Runs:
        try:
            return runs(await self.ask(lambda models: models.fit(path, ask=False)))
        except WhisperError as error:
            return Runs(tr("not known"), -2.0, without_marks(f"{error}"))

    def _next_unknown(self) -> ShelfRow | None:
        """The chosen row, else the first on the screen, of which it is not known yet how it runs."""
        if self.chosen is not None and _key(self.chosen.model) not in self._known:
            return self.chosen
        index = self.view.indexAt(self.view.viewport().rect().topLeft())
        while index.isValid() and self.view.visualRect(index).top() <= self.view.viewport().height():
            row = self.table.row(self._sorted.mapToSource(index).row())
            if _key(row.model) not in self._known:
                return row
            index = self.view.indexBelow(index)
        return None

    # --- what is done ---------------------------------------------------------------------------------------

    async def _use(self) -> None:
        row = self.chosen
        if row is None:
            return
        path = str(row.model.path)
        try:
            chosen = await self.ask(lambda models: models.use(path))
        except WhisperError as error:
            self.remark.fail(error)
            return
        await self.look()
        self.remark.say(
            tr(
                "The built-in engine uses {model_name} from now on. {remark}",
                model_name=chosen.model.name,
                remark=chosen.remark,
            ),
            "good",
        )

    def _show_folder(self) -> None:
        if (row := self.chosen) is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(row.model.path.parent)))

    def _verify_or_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()
        elif (row := self.chosen) is not None:
            self.spawn(self._verify(row.model))

    async def _verify(self, model: ShelfModel) -> None:
        self._stop = stop = threading.Event()
        read = _Read()
        path = str(model.path)
        self.verify.setText(tr("Stop"))
        self.progress.setRange(0, 1000)
        self.progress.setValue(0)
        self.progress.show()
        self.remark.say(tr("Reading {model_name}…", model_name=model.name))
        timer = QTimer(self, interval=_TELL)
        timer.timeout.connect(
            lambda: self.progress.setValue(int(1000 * read.size / max(1, model.size_bytes)))
        )
        timer.start()
        try:
            verdict = await self.ask(lambda models: models.verify(path, stop=stop, on_progress=read.tell))
            tone = "good" if verdict.is_whole else "bad"
            self.remark.say(f"{verdict.sentence} {verdict.next_step}".strip(), tone)
        except WhisperError as error:
            self.remark.fail(error)
        except Stopped:
            self.remark.say(tr("The check of {model_name} was stopped.", model_name=model.name))
        finally:
            timer.stop()
            timer.deleteLater()
            self._stop = None
            self.verify.setText(tr("Verify"))
            self.progress.hide()

    async def _delete(self) -> None:
        row = self.chosen
        if row is None:
            return
        model = row.model
        consent = model.source in _OTHERS
        try:
            question, detail = deletion_words(model, await self.ask(lambda models: models.frees(model)))
            if not await self.confirmed(question, detail, tr("Delete")):
                return
            freed = await self.ask(lambda models: models.delete(model, consent=consent))
        except WhisperError as error:
            self.remark.fail(error)
            return
        await self.look()
        self.remark.say(
            tr(
                "{model_name} is deleted: {freed} are free again.",
                model_name=model.name,
                freed=in_gigabytes(freed),
            ),
            "good",
        )


async def _looked_at(models: "ModelHost", *, again: bool) -> tuple[Shelf, frozenset[Path]]:
    """On the core loop: what is here, and the files of the built-in engine's model."""
    shelf = await models.shelf(again)
    return shelf, frozenset(model.path for model in shelf.models if models.is_own(model))


def _key(model: ShelfModel) -> tuple[str, str]:
    return model.name, str(model.path)


class ShelfView(QTreeView):
    """A table whose first column takes what the others leave, and never less than a name needs."""

    def fit_columns(self) -> None:
        """Share out the width, after the size or what is shown has changed."""
        others = range(1, self.model().columnCount())
        for column in others:
            self.resizeColumnToContents(column)
        left = self.viewport().width() - sum(map(self.columnWidth, others))
        self.setColumnWidth(0, max(left, _NAME * self.fontMetrics().averageCharWidth()))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.fit_columns()


class _Read:
    """How much a check has read: written by its thread, looked at by Qt's."""

    def __init__(self) -> None:
        self.size = 0

    def tell(self, size: int) -> None:
        """So many bytes by now."""
        self.size = size
