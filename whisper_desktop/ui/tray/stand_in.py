"""Where no tray host is: a small window with the same menu as buttons. It leaves when the host appears."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.icons import app_icon, window_icon
from whisper_desktop.ui.theme import L, S
from whisper_desktop.ui.tray.entries import Entry
from whisper_desktop.ui.tray.glance import Shown
from whisper_desktop.ui.tray.menu import LiveMenu
from whisper_desktop.ui.widgets import heading, secondary

_CHECK = "✓ "  # a button that is down does not look like a switch that is on


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
        self._entries: list[Entry] = []
        self._buttons: list[QPushButton] = []
        self._leaving = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(L, L, L, L)
        self._column.setSpacing(S)
        self._headline = heading("")
        self._column.addWidget(self._headline)
        words = tr(
            "This desktop shows no tray icons, so this window is here instead. Closing it minimises it."
        )
        self._column.addWidget(secondary(words))
        self._column.addStretch(1)

    def show_state(self, shown: Shown, entries: Sequence[Entry]) -> None:
        """Show a state and its entries; the first entry is the headline."""
        self._headline.setText(entries[0].text)
        self.setWindowIcon(window_icon(shown.activity))
        self._entries = [entry for entry in entries[1:] if not entry.separator]
        if len(self._buttons) != len(self._entries):
            self._make_buttons()
        for button, entry in zip(self._buttons, self._entries, strict=True):
            self._update(button, entry)
        self._make_room()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Words in several lines need a height that depends on the width, of which a window knows nothing."""
        self._column.activate()
        self.setMinimumHeight(self._column.totalHeightForWidth(self.width()))

    def _make_buttons(self) -> None:
        for old in self._buttons:
            old.deleteLater()
        self._buttons = []
        for place in range(len(self._entries)):
            button = QPushButton()
            button.clicked.connect(lambda _checked=False, place=place: self._click(place))
            self._buttons.append(button)
            self._column.insertWidget(self._column.count() - 1, button)

    def _update(self, button: QPushButton, entry: Entry) -> None:
        button.setText(_label(entry))
        button.setEnabled(bool(entry.action or entry.children))
        button.setCheckable(entry.checked is not None)
        button.setChecked(bool(entry.checked))
        if entry.children:
            self._menu_of(button).show_entries(entry.children)

    def _menu_of(self, button: QPushButton) -> LiveMenu:
        menu = button.findChild(LiveMenu)
        if menu is None:
            menu = LiveMenu(button)
            menu.chosen.connect(self.chosen)
            button.setMenu(menu)
        return menu

    def _click(self, place: int) -> None:
        entry = self._entries[place]
        if entry.action is not None:
            self._update(self._buttons[place], entry)  # a switch shows what is, not what was clicked
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
    words = entry.text
    if entry.detail and not entry.children:
        words = tr("{entry} ({detail})", entry=entry.text, detail=entry.detail)
    return f"{_CHECK if entry.checked else ''}{words.replace('&', '&&')}"
