"""Where no tray host is: a small window with the same menu as buttons. It leaves when the host appears."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QMenu, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.ui.icons import app_icon, tray_icon
from whisper_desktop.ui.theme import L, S
from whisper_desktop.ui.tray.entries import Entry
from whisper_desktop.ui.tray.tray import fill
from whisper_desktop.ui.widgets import heading, secondary


class StandIn(QWidget):
    """The tray's menu as a window. Closing it minimises it: it is the way back to everything.

    Signals:
        chosen: an entry's action and value, as the tray's.
    """

    chosen = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Whisper Desktop")
        self.setWindowIcon(app_icon())
        self._entries: tuple[Entry, ...] = ()
        self._leaving = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(L, L, L, L)
        self._column.setSpacing(S)
        self._headline = heading("")
        self._column.addWidget(self._headline)
        self._column.addWidget(
            secondary(
                "This desktop shows no tray icons, so this window is here instead. Closing it minimises it."
            )
        )
        self._buttons = QWidget()
        self._column.addWidget(self._buttons)
        self._column.addStretch(1)

    def show_state(self, activity: str, entries: Sequence[Entry]) -> None:
        """Show a state and its entries; the first entry is the headline."""
        self._headline.setText(entries[0].text)
        self.setWindowIcon(tray_icon(activity))
        if tuple(entries[1:]) == self._entries:
            return
        self._entries = tuple(entries[1:])
        fresh = QWidget()
        column = QVBoxLayout(fresh)
        column.setContentsMargins(0, S, 0, 0)
        column.setSpacing(S)
        for entry in self._entries:
            if not entry.separator:
                column.addWidget(self._button(entry))
        self._column.replaceWidget(self._buttons, fresh)
        self._buttons.deleteLater()
        self._buttons = fresh

    def _button(self, entry: Entry) -> QPushButton:
        button = QPushButton(entry.text.replace("&", "&&"))
        if entry.children:
            menu = QMenu(button)
            fill(menu, entry.children, self.chosen.emit)
            button.setMenu(menu)
        elif name := entry.action:
            button.clicked.connect(lambda: self.chosen.emit(name, entry.value))
        return button

    def leave(self) -> None:
        """Close for good."""
        self._leaving = True
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if self._leaving:
            super().closeEvent(event)
        else:
            event.ignore()
            self.setWindowState(self.windowState() | Qt.WindowState.WindowMinimized)
