"""The wizard's first page: what was found, what is recommended and why, and what else there is."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.advice.flow import FlowState, Option, options
from whisper_desktop.language import tr
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.fold import Fold
from whisper_desktop.ui.theme import XL, XS, L, M, S
from whisper_desktop.ui.widgets import Spinner, heading, plain, secondary, toned
from whisper_desktop.ui.wizard.facts import Fact, facts
from whisper_desktop.ui.wizard.page import FlowPage

_FIRST_REASONS = 3
_BESIDE_CHARACTERS = 84  # the width from which on the two halves stand side by side
_LEAST_LINES = 12  # of the options, where they stand below
_MARKS = {"good": ("✓", "good"), "neutral": ("–", "secondary"), "warn": ("!", "warn")}


class FoundPage(FlowPage):
    """What was found at the left, what is recommended and why at the right.

    Signals:
        option_chosen: the `Option` that the person picked.
    """

    option_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._halves = row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(XL)
        left = QVBoxLayout()
        left.setSpacing(M)
        left.addWidget(heading(tr("What I found")))
        self._facts = FactTable()
        left.addWidget(self._facts)
        left.addWidget(secondary(tr("This only looked around: nothing was installed or changed.")))
        left.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(M)
        right.addWidget(heading(tr("Recommended for this computer")))
        self._choices = OptionList()
        self._choices.option_chosen.connect(self.option_chosen)
        right.addWidget(self._choices, 1)
        row.addLayout(left, 5)
        row.addLayout(right, 6)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Where letters are large and the window is not, the halves stand one below the other."""
        super().resizeEvent(event)
        beside = event.size().width() >= _BESIDE_CHARACTERS * self.fontMetrics().averageCharWidth()
        self._choices.setMinimumHeight(0 if beside else _LEAST_LINES * self.fontMetrics().lineSpacing())
        directions = QBoxLayout.Direction
        self._halves.setDirection(directions.LeftToRight if beside else directions.TopToBottom)

    def show_flow(self, state: FlowState) -> None:
        """Show what is known by now."""
        self._facts.show_facts(facts(state))
        self._choices.show_options(state)


class FactTable(QFrame):
    """Rows that start with a spinner and end in a fact."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(L, M, L, M)
        self._grid.setHorizontalSpacing(M)
        self._grid.setVerticalSpacing(S)
        self._grid.setColumnStretch(2, 1)
        self._shown: dict[str, Fact] = {}
        self._rows: dict[str, tuple[QStackedWidget, QLabel, QLabel]] = {}

    def show_facts(self, rows: Sequence[Fact]) -> None:
        """Show these rows; a row that is known keeps its place."""
        for fact in rows:
            if self._shown.get(fact.name) == fact:
                continue
            if fact.name not in self._rows:
                self._add(fact.name)
            self._show(fact)
        for gone in set(self._shown) - {fact.name for fact in rows}:
            self._show(Fact(gone, tr("not running"), "neutral"))

    def _add(self, name: str) -> None:
        state = QStackedWidget()
        state.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        state.addWidget(Spinner())
        title = secondary(name)
        title.setWordWrap(False)
        text = plain("")
        row = len(self._rows)
        top = Qt.AlignmentFlag.AlignTop
        self._grid.addWidget(state, row, 0, top)
        self._grid.addWidget(title, row, 1, top)
        self._grid.addWidget(text, row, 2, top)
        self._rows[name] = (state, title, text)

    def _show(self, fact: Fact) -> None:
        self._shown[fact.name] = fact
        state, _title, text = self._rows[fact.name]
        text.setText(fact.text)
        if fact.tone == "waiting":
            state.setCurrentIndex(0)
            return
        glyph, tone = _MARKS[fact.tone]
        mark = toned(glyph, tone)
        mark.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        if (old := state.widget(1)) is not None:
            state.removeWidget(old)
            old.deleteLater()
        state.insertWidget(1, mark)
        state.setCurrentIndex(1)


class OptionList(QStackedWidget):
    """The recommendation, already chosen, with its reasons; the alternatives below it.

    Signals:
        option_chosen: the `Option` that the person picked.
    """

    option_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._options: tuple[Option, ...] = ()
        waiting = QWidget()
        row = QHBoxLayout(waiting)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(Spinner(), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(secondary(tr("Thinking about what suits this computer…")), 1, Qt.AlignmentFlag.AlignTop)
        self.addWidget(waiting)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.addWidget(self._area)
        self._group = QButtonGroup(self)

    def show_options(self, state: FlowState) -> None:
        """Show what can be chosen; the choice of the state is marked."""
        if state.recommendation is None:
            return
        offered = options(state)
        if offered != self._options:
            self._options = offered
            self._rebuild(state)
            self.setCurrentIndex(1)
        for button, option in zip(self._group.buttons(), offered, strict=True):
            button.setChecked(option == state.choice)

    def _rebuild(self, state: FlowState) -> None:
        for button in self._group.buttons():
            self._group.removeButton(button)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, S, 0)
        column.setSpacing(XS)
        for option in self._options:
            button = QRadioButton(option.title.replace("&", "&&"))
            button.clicked.connect(lambda _checked=False, picked=option: self.option_chosen.emit(picked))
            self._group.addButton(button)
            column.addWidget(button)
            reasons = [without_marks(reason) for reason in _reasons(state, option)]
            for reason in reasons[:_FIRST_REASONS]:
                label = secondary(reason)
                label.setContentsMargins(XL, 0, 0, 0)
                column.addWidget(label)
            if reasons[_FIRST_REASONS:]:
                column.addWidget(_more(reasons[_FIRST_REASONS:]))
            column.addSpacing(M)
            if option.recommended:
                font = button.font()
                font.setBold(True)
                button.setFont(font)
                column.addWidget(secondary(tr("Or choose otherwise:")))
                column.addSpacing(XS)
        column.addStretch(1)
        self._area.setWidget(box)


def _more(reasons: Sequence[str]) -> QWidget:
    """The reasons for those who want to know all of them, with what would change the answer."""
    inside = QWidget()
    lines = QVBoxLayout(inside)
    lines.setContentsMargins(0, 0, 0, 0)
    lines.setSpacing(XS)
    for reason in reasons:
        lines.addWidget(secondary(reason))
    fold = Fold(tr("Why, and what would change it"), inside)
    fold.setContentsMargins(L, 0, 0, 0)
    return fold


def _reasons(state: FlowState, option: Option) -> Sequence[str]:
    if option.recommended and state.recommendation is not None:
        return state.recommendation.reasons
    return (option.reason,)
