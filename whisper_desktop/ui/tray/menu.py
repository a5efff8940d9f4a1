"""A menu that shows `entries` and keeps up with them, but never changes under the pointer."""

from collections.abc import Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from whisper_desktop.ui.tray.entries import Entry


class LiveMenu(QMenu):
    """A menu made of entries. News that come while it is open are shown after it has closed.

    Signals:
        chosen: the clicked entry's action and value (a string or None).
    """

    chosen = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Entry, ...] = ()
        self._wanted: tuple[Entry, ...] = ()
        # After the click that closes the menu has been told: filling deletes the clicked action.
        self.aboutToHide.connect(lambda: QTimer.singleShot(0, self._catch_up))

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show these entries, now or when the menu is closed. Costs nothing where nothing changed."""
        self._wanted = tuple(entries)
        self._catch_up()

    def _catch_up(self) -> None:
        if self._wanted != self._shown and not self.isVisible():
            self._shown = self._wanted
            self._fill(self, self._shown)

    def _fill(self, menu: QMenu, entries: Sequence[Entry]) -> None:
        menu.clear()
        radio = QActionGroup(menu)
        for entry in entries:
            if entry.separator:
                menu.addSeparator()
            elif entry.children:
                self._fill(menu.addMenu(_label(entry)), entry.children)
            else:
                menu.addAction(self._action(menu, radio, entry))

    def _action(self, menu: QMenu, radio: QActionGroup, entry: Entry) -> QAction:
        action = QAction(_label(entry), menu)
        action.setEnabled(entry.action is not None)
        if entry.checked is not None:
            action.setCheckable(True)
            action.setChecked(entry.checked)
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
