"""How far what is written may travel: one decision, in plain words."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QRadioButton, QVBoxLayout

from whisper_desktop.advice.flow import FlowState, reach_of
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.theme import XL, XS, M
from whisper_desktop.ui.widgets import heading, plain, secondary
from whisper_desktop.ui.wizard.page import FlowPage
from whisper_desktop.values import IDENTITIES, Reach

_WORDS = {
    Reach.THIS_MACHINE: (
        mark("This computer only"),
        mark("Nothing that you write leaves this computer."),
    ),
    Reach.MY_NETWORK: (
        mark("My network"),
        mark("Servers at home or at work that you name may answer as well."),
    ),
    Reach.CLOUD: (
        mark("The cloud may be asked"),
        mark("Services on the internet may answer as well. They read what you write, and some cost money."),
    ),
}


class PrivacyPage(FlowPage):
    """Three answers, the nearest first.

    Signals:
        reach_chosen: the `Reach` that the person allows.
    """

    reach_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        column.addWidget(heading(tr("How far may what you write travel?"), 1.3))
        self._group = QButtonGroup(self)
        self.buttons: dict[Reach, QRadioButton] = {}
        for reach, (title, about) in _WORDS.items():
            button = QRadioButton(tr(title))
            button.setAccessibleDescription(tr(about))
            button.clicked.connect(lambda _checked=False, picked=reach: self.reach_chosen.emit(picked))
            self._group.addButton(button)
            self.buttons[reach] = button
            column.addWidget(button)
            words = secondary(tr(about))
            words.setContentsMargins(XL, 0, 0, M)
            column.addWidget(words)
        self._note = plain("")
        column.addWidget(self._note)
        column.addSpacing(XS)
        column.addWidget(
            secondary(tr("Each conversation can allow more, when it asks. Settings changes this for good."))
        )
        column.addStretch(1)

    def show_flow(self, state: FlowState) -> None:
        """Show what is allowed, and what follows for the choice that was made."""
        allowed = reach_of(state)
        self.buttons[allowed].setChecked(True)
        choice = state.choice
        lacks = choice is not None and not allowed.allows(choice.reach)
        name = IDENTITIES[choice.backend].name if choice is not None else ""
        self._note.setText(
            tr("{name} is farther away, so it asks before each conversation.", name=name) if lacks else ""
        )
