"""A failure in the transcript: what happened, why, what to do, and the buttons that do it."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.app.places import server_in_question
from whisper_desktop.chat import advice_on, attempt_line, failure_of, tries_besides
from whisper_desktop.errors import ConsentRequired, WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.rows import REPAIR, mendable, remedies, repair_action
from whisper_desktop.ui.theme import XS, L, M, S
from whisper_desktop.ui.widgets import Instruction, plain, secondary


def actions_for(error: WhisperError, *, guide: bool) -> tuple[tuple[str, str], ...]:
    """What can be done about an error, as (action, label): the first is the most likely one.

    The guide and setup are offered where no remedy is known; a question can also be answered by a model here.
    Who does not allow a server gets the message back, to send it elsewhere.
    """
    known = remedies(error)
    refused = server_in_question(error) is not None
    offered = [*known, ("edit", tr("Not now")) if refused else ("retry", tr("Try again"))]
    failure = failure_of(error)
    if not guide and not known and (failure.guidance is None or failure.guidance.offer_guide):
        offered.append(("guide", tr("Ask the guide")))
    if not guide and (not known or failure.consent is not None):
        offered.append(("setup", tr("Open setup")))
    return tuple(offered)


def _asks_again(action: str) -> bool:
    """Whether it asks the last question again or takes it back: of no use where another was asked since."""
    return action in ("retry", "allow", "edit") or action.startswith(REPAIR)


class FailureCard(QWidget):
    """A real widget in the list, so that its buttons are native, focusable and known to screen readers.

    A chain that stopped to ask is shown as the question it is: what was tried stands there at once. `last`:
    nothing was asked since.

    Signals:
        chosen: one of the actions of `actions_for`.
        height_changed: the details were opened or closed.
    """

    chosen = Signal(str)
    height_changed = Signal()

    def __init__(self, error: WhisperError, *, guide: bool, last: bool, left: float, width: float) -> None:
        super().__init__()
        outer = QVBoxLayout(self)
        self._outer = outer
        self.place(left, width)
        frame = QFrame()
        frame.setFrameShape(QFrame.Shape.StyledPanel)
        outer.addWidget(frame)
        inside = QVBoxLayout(frame)
        inside.setContentsMargins(L, M, L, M)
        inside.setSpacing(S)
        asks = isinstance(error, ConsentRequired)
        title = plain(f"{'?' if asks else '⚠'}  {error.title}")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        inside.addWidget(title)
        told = tries_besides(error) if asks else failure_of(error).attempts
        tried = "\n".join(attempt_line(attempt) for attempt in told)
        self._details = secondary(tried) if asks else plain(tried)
        if error.detail:
            inside.addWidget(Instruction(error.detail))
        if asks and tried:
            inside.addWidget(self._details)
        for sentence in _next_steps(error):
            inside.addWidget(Instruction(sentence))
        offered = [each for each in actions_for(error, guide=guide) if last or not _asks_again(each[0])]
        self._first = offered[0] if offered else None
        mending = {(repair_action(repair), repair.label): repair for repair in mendable(error)}
        for each in offered:
            if each in mending:
                inside.addLayout(self._repair(each, mending[each].detail))
        for repair in failure_of(error).repairs:
            if repair.command and repair not in mending.values():
                inside.addWidget(Instruction(f"{repair.label}: {repair.detail} `{repair.command}`"))
        others = [each for each in offered if each not in mending]
        inside.addLayout(self._buttons(others, folded=bool(tried) and not asks))
        if not asks:
            inside.addWidget(self._details)
            self._details.hide()

    def place(self, left: float, width: float) -> None:
        """Stand in the transcript's column."""
        self._left, self._width = int(left), int(width)
        self._set_margins()

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """As high as the words are in the column, also while the card itself has another width."""
        beside = max(width - self._left - self._width, 0)
        return super().heightForWidth(width + self._outer.contentsMargins().right() - beside)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._set_margins()

    def _set_margins(self) -> None:
        self._outer.setContentsMargins(self._left, S, max(self.width() - self._left - self._width, 0), S)

    def _repair(self, action: tuple[str, str], detail: str) -> QVBoxLayout:
        """A button with what it does and costs below it."""
        column = QVBoxLayout()
        column.setSpacing(XS)
        button = self._button(action)
        button.setAccessibleDescription(detail)
        column.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(secondary(detail))
        return column

    def _button(self, action: tuple[str, str]) -> QPushButton:
        name, label = action
        button = QPushButton(label)
        button.setDefault(action == self._first)
        button.clicked.connect(lambda: self.chosen.emit(name))
        return button

    def _buttons(self, offered: Sequence[tuple[str, str]], *, folded: bool) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        for action in offered:
            row.addWidget(self._button(action))
        row.addStretch(1)
        if folded:
            self._more = QPushButton(tr("Details"))
            self._more.setCheckable(True)
            self._more.setFlat(True)
            self._more.toggled.connect(self._show_details)
            row.addWidget(self._more)
        return row

    def _show_details(self, shown: bool) -> None:
        self._details.setVisible(shown)
        self.height_changed.emit()


def _next_steps(error: WhisperError) -> Sequence[str]:
    """What to do, line by line; steps are numbered, and stand below their headline after a question."""
    advice, server = advice_on(error), server_in_question(error)
    first = _TRUST.format(server.words) if server is not None else advice.first
    headline = advice.headline if first else ""
    steps = (f"{number}. {step}" for number, step in enumerate(advice.steps, 1))
    return [line for line in (first, headline, *steps) if line]


_TRUST = "{} If you trust it, allow it: you are asked once for this address."
