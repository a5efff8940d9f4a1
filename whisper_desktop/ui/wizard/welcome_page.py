"""The wizard's first words: what this is, and what setting it up does and does not."""

from PySide6.QtWidgets import QVBoxLayout

from whisper_desktop.advice.flow import FlowState
from whisper_desktop.language import tr
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, L
from whisper_desktop.ui.widgets import heading, plain, secondary
from whisper_desktop.ui.wizard.page import FlowPage


class WelcomePage(FlowPage):
    """Nothing to decide yet."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(L)
        column.addStretch(1)
        column.addWidget(heading(tr("Welcome to Whisper Desktop"), 1.6))
        words = plain(
            tr(
                "Talk with a language model that runs on this computer. What you write stays here, unless "
                "you decide otherwise."
            )
        )
        more = secondary(
            tr(
                "Setup looks at what this computer has, says what would run well on it and why, and tries "
                "it out with a first answer. Nothing is installed or sent anywhere without you. You can "
                "leave at any time and come back later."
            )
        )
        for label in (words, more):
            label.setMaximumWidth(COLUMN_CHARACTERS * self.fontMetrics().averageCharWidth())
            column.addWidget(label)
        column.addStretch(2)

    def show_flow(self, state: FlowState) -> None:
        """It is always the same."""
