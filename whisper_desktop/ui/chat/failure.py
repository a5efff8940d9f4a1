"""A failure in the transcript: what happened, why, what to do, and the buttons that do it."""

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.chat import attempt_line, failure_of
from whisper_desktop.errors import ConsentRequired, WhisperError
from whisper_desktop.ui.chat.rows import consent_offer
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import Instruction, plain, secondary


def actions_for(error: WhisperError, *, guide: bool) -> tuple[tuple[str, str], ...]:
    """What can be done about an error, as (action, label): the first is the most likely one."""
    offered = [*consent_offer(error), ("retry", "Try again")]
    guidance = failure_of(error).guidance
    if not guide:
        if guidance is None or guidance.offer_guide:
            offered.append(("guide", "Ask the guide"))
        offered.append(("setup", "Open setup"))
    return tuple(offered)


class FailureCard(QWidget):
    """A real widget in the list, so that its buttons are native, focusable and known to screen readers.

    A chain that stopped to ask is shown as the question it is: what was tried stands there at once.

    Signals:
        chosen: "retry", "allow", "guide" or "setup".
        height_changed: the details were opened or closed.
    """

    chosen = Signal(str)
    height_changed = Signal()

    def __init__(self, error: WhisperError, *, guide: bool, left: float, width: float) -> None:
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
        tried = "\n".join(attempt_line(attempt) for attempt in failure_of(error).attempts)
        self._details = secondary(tried) if asks else plain(tried)
        if error.detail:
            inside.addWidget(Instruction(error.detail))
        if asks and tried:
            inside.addWidget(self._details)
        for sentence in _next_steps(error):
            inside.addWidget(Instruction(sentence))
        inside.addLayout(self._buttons(error, guide, folded=bool(tried) and not asks))
        if not asks:
            inside.addWidget(self._details)
            self._details.hide()

    def place(self, left: float, width: float) -> None:
        """Stand in the transcript's column."""
        self._left, self._width = int(left), int(width)
        self._set_margins()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._set_margins()

    def _set_margins(self) -> None:
        self._outer.setContentsMargins(self._left, S, max(self.width() - self._left - self._width, 0), S)

    def _buttons(self, error: WhisperError, guide: bool, *, folded: bool) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        for number, (action, label) in enumerate(actions_for(error, guide=guide)):
            button = QPushButton(label)
            button.setDefault(number == 0)
            button.clicked.connect(lambda _checked=False, name=action: self.chosen.emit(name))
            row.addWidget(button)
        row.addStretch(1)
        if folded:
            self._more = QPushButton("Details")
            self._more.setCheckable(True)
            self._more.setFlat(True)
            self._more.toggled.connect(self._show_details)
            row.addWidget(self._more)
        return row

    def _show_details(self, shown: bool) -> None:
        self._details.setVisible(shown)
        self.height_changed.emit()


def _next_steps(error: WhisperError) -> Sequence[str]:
    """What to do: the guidance's steps, numbered where there are several, or else the error's own words.

    A question has its own words in any case; the guidance then tells, under its headline, what else there is.
    """
    guidance = failure_of(error).guidance
    steps = guidance.steps if guidance is not None else ()
    if len(steps) > 1:
        steps = tuple(f"{number}. {step}" for number, step in enumerate(steps, 1))
    if guidance is not None and steps and isinstance(error, ConsentRequired):
        steps = (error.next_step, guidance.headline, *steps)
    return [step for step in steps or (error.next_step,) if step]
