"""The pages of the settings window: one of a section, one of what a search has found."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

from whisper_desktop.language import tr, trn
from whisper_desktop.settings import SettingInfo
from whisper_desktop.ui.fold import Fold
from whisper_desktop.ui.settings.row import SettingRow
from whisper_desktop.ui.settings.sections import Section, contents, found
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, XL, L, M, S
from whisper_desktop.ui.widgets import heading, secondary

MakeRow = Callable[[SettingInfo], SettingRow]

_SETTLES = 200  # ms: after that, the place is the person's again
_MOST_FOUND = 24  # rows of a search that are shown at once


class _Page(QScrollArea):
    """A column that scrolls and is no wider than can be read."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.viewport().setAutoFillBackground(False)

    def fill(self) -> QVBoxLayout:
        """A new, empty column in place of what was there."""
        inside = QWidget()
        inside.setMaximumWidth(COLUMN_CHARACTERS * self.fontMetrics().averageCharWidth() + XL)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, M, L)
        column.setSpacing(L)
        self.setWidget(inside)
        inside.setAutoFillBackground(False)
        return column


class SectionPage(_Page):
    """One section: what comes first, and the rest behind "More", which is only made when it is opened."""

    def __init__(self, section: Section, make_row: MakeRow, extra: Sequence[QWidget] = ()) -> None:
        super().__init__(tr(section.title))
        self._make_row = make_row
        self.rows: dict[str, SettingRow] = {}
        shown = contents(section)
        column = self.fill()
        column.addWidget(heading(tr(section.title)))
        column.addWidget(secondary(tr(section.about)))
        for widget in extra:
            column.addWidget(widget)
        self._add(column, shown.first)
        self._more = shown.more
        self._fold: Fold | None = None
        if shown.more:
            self._folded = QWidget()
            self._folded.setLayout(QVBoxLayout())
            self._fold = Fold(tr("More"), self._folded, tr("More: {title}", title=tr(section.title)))
            self._fold.button.toggled.connect(self._open_more)
            column.addWidget(self._fold)
        column.addStretch(1)
        self._wanted: SettingRow | None = None
        self._settled = QTimer(self, singleShot=True, interval=_SETTLES)
        self._settled.timeout.connect(self._forget_wanted)
        self.verticalScrollBar().rangeChanged.connect(lambda _least, _most: self._scroll_to_wanted())

    def _add(self, column: QVBoxLayout, infos: Sequence[SettingInfo]) -> None:
        for info in infos:
            self.rows[info.key] = row = self._make_row(info)
            column.addWidget(row)
            row.show()  # at once, also in a window that is seen already: somebody may want to go there

    def _open_more(self, opened: bool) -> None:
        column = self._folded.layout()
        if opened and isinstance(column, QVBoxLayout) and column.isEmpty():
            column.setContentsMargins(0, S, 0, 0)
            column.setSpacing(L)
            self._add(column, self._more)

    def reveal(self, key: str) -> SettingRow | None:
        """The row of a setting, unfolded where it was folded away."""
        if self._fold is not None and key not in self.rows:
            self._fold.button.setChecked(True)
        self._wanted = self.rows.get(key)
        self._scroll_to_wanted()
        self._settled.start()
        return self._wanted

    def _scroll_to_wanted(self) -> None:
        """Its place is only known once what was unfolded has been laid out."""
        if self._wanted is not None:
            self.ensureWidgetVisible(self._wanted)

    def _forget_wanted(self) -> None:
        self._wanted = None


class FoundPage(_Page):
    """What fits a search, by section."""

    def __init__(self, make_row: MakeRow) -> None:
        super().__init__(tr("What was found"))
        self._make_row = make_row
        self._shown: tuple[str, ...] | None = None
        self.rows: dict[str, SettingRow] = {}

    def show_found(self, text: str, others: Sequence[tuple[str, Callable[[], None]]] = ()) -> None:
        """Show what fits this text; `others` are places that are no settings, each with the way there."""
        groups = found(text)
        keys = (*(info.key for _, infos in groups for info in infos), *(title for title, _ in others))
        if keys == self._shown:
            return
        self._shown = keys
        self.rows = {}
        column = self.fill()
        for title, go in others:
            column.addWidget(_link(title, go))
        for section, infos in groups:
            room = _MOST_FOUND - len(self.rows)
            if room <= 0:
                break
            column.addWidget(heading(tr(section.title)))
            for info in infos[:room]:
                self.rows[info.key] = row = self._make_row(info)
                column.addWidget(row)
        left = sum(len(infos) for _, infos in groups) - len(self.rows)
        if left:
            column.addWidget(secondary(trn("One more fits.", "{count} more fit. Write another word.", left)))
        if not keys:
            column.addWidget(secondary(tr("No setting has these words. Try fewer, or others.")))
        column.addStretch(1)


def _link(title: str, go: Callable[[], None]) -> QWidget:
    button = QPushButton(title)
    button.setAutoDefault(False)
    button.clicked.connect(lambda: go())
    return button
