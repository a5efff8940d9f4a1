"""Whether the app starts with the computer: off unless the person wants it."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QVBoxLayout

from whisper_desktop.advice.flow import FlowState
from whisper_desktop.language import tr
from whisper_desktop.ui.theme import XL, M
from whisper_desktop.ui.widgets import heading, secondary
from whisper_desktop.ui.wizard.page import FlowPage


class StartPage(FlowPage):
    """One switch.

    Signals:
        wanted: whether it is to start with the computer.
    """

    wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        column.addWidget(heading(tr("Always at hand?"), 1.3))
        self.box = QCheckBox(tr("Start with the computer"))
        self.box.clicked.connect(self.wanted)
        column.addWidget(self.box)
        words = secondary(
            tr("The app waits in the tray after you log in, without a window. It uses next to nothing.")
        )
        words.setContentsMargins(XL, 0, 0, 0)
        column.addWidget(words)
        column.addStretch(1)

    def show_flow(self, state: FlowState) -> None:
        """Show what was decided."""
        self.box.setChecked(state.start_with_computer)
