"""The window that says why the app cannot start."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QVBoxLayout

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.icons import tray_icon
from whisper_desktop.ui.theme import L, M
from whisper_desktop.ui.widgets import Instruction, heading
from whisper_desktop.ui.window import AppWindow


class FatalWindow(AppWindow):
    """What happened, why, what to do next, and one button."""

    def __init__(self, bridge: Bridge, error: WhisperError) -> None:
        super().__init__("fatal", tr("Whisper Desktop cannot start"), bridge)
        self.setWindowIcon(tray_icon("needs_attention"))
        self.setMinimumWidth(420)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        column.addWidget(heading(error.title, 1.25))
        for sentence in (error.detail, error.next_step):
            if sentence:
                column.addWidget(Instruction(sentence))
        button = QPushButton(tr("Close"))
        button.setDefault(True)
        button.clicked.connect(self.close)
        column.addWidget(button, 0, Qt.AlignmentFlag.AlignRight)
