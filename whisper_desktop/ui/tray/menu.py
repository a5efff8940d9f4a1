"""A menu that shows `entries` and keeps up with them, but never changes under the pointer."""

from collections.abc import Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from whisper_desktop.ui.tray.entries import Entry

_LONGEST_OPEN = 10_000  # ms


class LiveMenu(QMenu):
    """A menu made of entries. News that come while it is open are shown after it has closed.

    Signals:
        opening: it is about to be shown; entries that are given now are still shown.
        chosen: the clicked entry's action and value (a string or None).
    """

    opening = Signal()
    chosen = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Entry, ...] = ()
        self._wanted: tuple[Entry, ...] = ()
        # A tray host shows a copy of its own: then these signals are all that tells whether it is open, and
        # some hosts never say that they have closed it.
        self._is_open = False
        self._surely_closed = QTimer(self, singleShot=True, interval=_LONGEST_OPEN)
        self._surely_closed.timeout.connect(self._on_closed)
        self.aboutToShow.connect(self._on_open)
        # After the click that closes the menu has been told: filling deletes the clicked action.
        self.aboutToHide.connect(lambda: QTimer.singleShot(0, self._on_closed))

    def _on_open(self) -> None:
        self._is_open = False
        self.opening.emit()
        self._is_open = True
        self._surely_closed.start()

    def _on_closed(self) -> None:
        self._surely_closed.stop()
        self._is_open = False
        self._catch_up()

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show these entries, now or when the menu is closed. Costs nothing where nothing changed."""
        self._wanted = tuple(entries)
        self._catch_up()

    def _catch_up(self) -> None:
        if self._wanted != self._shown and not self._is_open and not self.isVisible():
            self._shown = self._wanted
            self._fill(self, self._shown)

    def _fill(self, menu: QMenu, entries: Sequence[Entry]) -> None:
        for submenu in menu.findChildren(QMenu):  # `clear` leaves them behind
            submenu.deleteLater()
        menu.clear()
        radio = QActionGroup(menu)
        for entry in entries:
            if entry.separator:
                menu.addSeparator()
            elif entry.children:
                submenu = QMenu(_label(entry), menu)
                self._fill(submenu, entry.children)
                menu.addMenu(submenu)
            else:
                menu.addAction(self._action(menu, radio, entry))

    def _action(self, menu: QMenu, radio: QActionGroup, entry: Entry) -> QAction:
        action = QAction(_label(entry), menu)
        action.setEnabled(entry.action is not None)
        if entry.checked is not None:
            action.setCheckable(True)
            action.setChecked(entry.checked)
            if not entry.alone:
                radio.addAction(action)
        if name := entry.action:
            action.triggered.connect(lambda: self.chosen.emit(name, entry.value))
        if name == "quit":
            action.setMenuRole(QAction.MenuRole.QuitRole)
        return action


def _label(entry: Entry) -> str:
    """The text as Qt wants it: "&" doubled, the detail in the column of shortcuts."""
    text = entry.text.replace("&", "&&")
    return f"{text}\t{entry.detail.replace('&', '&&')}" if entry.detail else text
