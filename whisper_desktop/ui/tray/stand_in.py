"""Where no tray host is: a small window with the same menu as buttons. It leaves when the host appears."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from whisper_desktop.ui.icons import app_icon, tray_icon
from whisper_desktop.ui.theme import L, S
from whisper_desktop.ui.tray.entries import Entry
from whisper_desktop.ui.tray.menu import LiveMenu
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
        self._entries: dict[str, Entry] = {}  # by their text; which ones there are never changes
        self._buttons: dict[str, QPushButton] = {}
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
        self._column.addStretch(1)

    def show_state(self, activity: str, entries: Sequence[Entry]) -> None:
        """Show a state and its entries; the first entry is the headline."""
        self._headline.setText(entries[0].text)
        self.setWindowIcon(tray_icon(activity))
        shown = [entry for entry in entries[1:] if not entry.separator]
        self._entries = {entry.text: entry for entry in shown}
        if not self._buttons:
            for entry in shown:
                self._buttons[entry.text] = button = self._button(entry)
                self._column.insertWidget(self._column.count() - 1, button)
        for entry in shown:
            button = self._buttons[entry.text]
            button.setEnabled(bool(entry.action or entry.children))
            if not entry.children:
                button.setText(_label(entry))
            elif isinstance(menu := button.menu(), LiveMenu):
                menu.show_entries(entry.children)

    def _button(self, entry: Entry) -> QPushButton:
        button = QPushButton(_label(entry))
        if entry.children:
            menu = LiveMenu(button)
            menu.chosen.connect(self.chosen)
            button.setMenu(menu)
        else:
            button.clicked.connect(lambda: self._click(entry.text))
        return button

    def _click(self, text: str) -> None:
        entry = self._entries[text]
        if entry.action is not None:
            self.chosen.emit(entry.action, entry.value)

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


def _label(entry: Entry) -> str:
    """The text and the detail of an entry; a button with a menu has the details inside."""
    words = f"{entry.text} ({entry.detail})" if entry.detail and not entry.children else entry.text
    return words.replace("&", "&&")
