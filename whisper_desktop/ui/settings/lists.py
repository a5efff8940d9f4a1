"""The controls of several values: an ordered list, consents that can be taken back, what the app keeps."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.language import tr, trn
from whisper_desktop.ui.settings.control import Control, leave_wheel
from whisper_desktop.ui.settings.fields import least_width, path_dialog
from whisper_desktop.ui.settings.shapes import Shape, choice_words
from whisper_desktop.ui.theme import XS, M, S
from whisper_desktop.ui.widgets import plain, secondary

_LINES = 4  # of a list that are seen at once


def _button(text: str, about: str, clicked: Callable[[], None]) -> QPushButton:
    made = QPushButton(text)
    made.setAutoDefault(False)
    made.setAccessibleName(f"{text.rstrip('…')}: {about}")
    made.clicked.connect(clicked)
    return made


class Values(Control):
    """An ordered list, to which one adds what is written, chosen, or (`folders`) looked for."""

    wide = True

    def __init__(self, title: str, shape: Shape, *, folders: bool = False) -> None:
        super().__init__()
        self._shape = shape
        self._title = title
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        self.automatic = QCheckBox(tr("Automatic"))
        self.automatic.setAccessibleName(tr("{title}: automatic", title=title))
        self.automatic.setVisible(shape.has_word)
        self.automatic.clicked.connect(self._switch)
        column.addWidget(self.automatic)
        self.list = QListWidget()
        self.list.setAccessibleName(title)
        self.list.setTabKeyNavigation(False)
        self.list.setFixedHeight(_LINES * (self.list.fontMetrics().lineSpacing() + XS) + S)
        self.list.currentRowChanged.connect(lambda _row: self._show_buttons())
        column.addWidget(self.list)
        self._line: QLineEdit | None = None
        self._box: QComboBox | None = None
        column.addLayout(self._adding(folders))
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        self.up = _button(tr("Up"), title, partial(self._move, -1))
        self.down = _button(tr("Down"), title, partial(self._move, 1))
        self.remove = _button(tr("Remove"), title, self._remove)
        for button in (self.up, self.down, self.remove):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column.addLayout(buttons)

    def _adding(self, folders: bool) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        if folders:
            self.add = _button(tr("Add a folder…"), self._title, self._look)
        else:
            self.add = _button(tr("Add"), self._title, self._add_entered)
            name = tr("New entry for: {title}", title=self._title)
            if self._shape.choices:
                self._box = QComboBox()
                self._box.setAccessibleName(name)
                for value in self._shape.choices:
                    self._box.addItem(choice_words(value), value)
                self._box.setMinimumWidth(least_width(self._box))
                leave_wheel(self._box)
                row.addWidget(self._box, 1)
            else:
                self._line = QLineEdit()
                self._line.setAccessibleName(name)
                self._line.returnPressed.connect(self._add_entered)
                row.addWidget(self._line, 1)
        row.addWidget(self.add)
        if folders:
            row.addStretch(1)
        return row

    def show_value(self, value: object) -> None:
        """Show it; None is *automatic*."""
        entries = [str(entry) for entry in value] if isinstance(value, list | tuple) else []
        place = self.list.currentRow()
        self.list.clear()
        for entry in entries:
            item = QListWidgetItem(choice_words(entry) if self._shape.choices else entry)
            item.setData(Qt.ItemDataRole.UserRole, entry)
            item.setToolTip(entry)
            self.list.addItem(item)
        self.list.setCurrentRow(min(place, len(entries) - 1))
        automatic = self._shape.has_word and value is None
        self.automatic.setChecked(automatic)
        for widget in (self.list, self.add, self._line, self._box):
            if widget is not None:
                widget.setEnabled(not automatic)
        self._show_buttons()

    def _show_buttons(self) -> None:
        place, usable = self.list.currentRow(), self.list.isEnabled()
        self.remove.setEnabled(usable and place >= 0)
        self.up.setEnabled(usable and place > 0)
        self.down.setEnabled(usable and 0 <= place < self.list.count() - 1)

    def _entries(self) -> list[str]:
        return [
            str(self.list.item(number).data(Qt.ItemDataRole.UserRole)) for number in range(self.list.count())
        ]

    def _switch(self, automatic: bool) -> None:
        self._tell(None if automatic else [str(each) for each in self._shape.choices[:1]])

    def _tell(self, entries: list[str] | None) -> None:
        self.show_value(entries)  # what is done next goes on from there
        self.chosen.emit(entries)

    def _add_entered(self) -> None:
        if self._box is not None:
            self._add(str(self._box.currentData()))
        elif self._line is not None and (text := self._line.text().strip()):
            self._line.clear()
            self._add(text)

    def _add(self, entry: str) -> None:
        entries = self._entries()
        if entry not in entries:
            self._tell([*entries, entry])

    def _look(self) -> None:
        dialog = path_dialog(self, self._title, folder=True)
        dialog.fileSelected.connect(self._add)
        dialog.open()

    def _remove(self) -> None:
        entries = self._entries()
        del entries[self.list.currentRow()]
        self._tell(entries)

    def _move(self, by: int) -> None:
        entries, place = self._entries(), self.list.currentRow()
        entries.insert(place + by, entries.pop(place))
        self._tell(entries)
        self.list.setCurrentRow(place + by)

    @property
    def field(self) -> QWidget:
        """The list."""
        return self.list


class Consents(Control):
    """What was allowed, address by address, each to take back."""

    wide = True

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(M)
        self._grid.setVerticalSpacing(XS)
        self._grid.setColumnStretch(0, 2)
        self._grid.setColumnStretch(1, 1)
        self._buttons: list[QPushButton] = []

    def show_value(self, value: object) -> None:
        """Show them."""
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self._buttons = []
        given: Mapping[str, object] = value if isinstance(value, Mapping) else {}
        for row, (address, reach) in enumerate(given.items()):
            self._grid.addWidget(plain(address), row, 0)
            self._grid.addWidget(secondary(choice_words(reach)), row, 1)
            left = {other: far for other, far in given.items() if other != address}
            button = _button(tr("Remove"), address, partial(self.chosen.emit, left))
            self._grid.addWidget(button, row, 2)
            self._buttons.append(button)
        if not given:
            self._grid.addWidget(secondary(tr("Nothing yet: a chat asks when it needs to know.")), 0, 0, 1, 3)

    @property
    def field(self) -> QWidget:
        """The first button, where there is one."""
        return self._buttons[0] if self._buttons else self


class Kept(Control):
    """What the app keeps for itself: how much, and to forget it."""

    wide = True

    def __init__(self, title: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        self._words = secondary("")
        self.forget = _button(tr("Forget"), title, partial(self.chosen.emit, {}))
        row.addWidget(self._words, 1)
        row.addWidget(self.forget)

    def show_value(self, value: object) -> None:
        """Show how much there is."""
        count = len(value) if isinstance(value, Sequence | Mapping) else 0
        self._words.setText(trn("one entry", "{count} entries", count) if count else tr("nothing"))
        self.forget.setEnabled(bool(count))

    @property
    def field(self) -> QWidget:
        """The button."""
        return self.forget
