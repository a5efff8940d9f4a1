"""The models on this computer as a table that Qt can show and sort."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt

from whisper_desktop.language import tr
from whisper_desktop.ui.models.shelf_rows import COLUMNS, ShelfRow

Index = QModelIndex | QPersistentModelIndex

SORT_ROLE = Qt.ItemDataRole.UserRole
"""The role that says what a cell is sorted by."""

_RUNS = len(COLUMNS) - 1


class ShelfTable(QAbstractTableModel):
    """One row for each model, `row_height` pixels high. A row that changes keeps its place."""

    def __init__(self, row_height: int) -> None:
        super().__init__()
        self._height = row_height
        self._rows: list[ShelfRow] = []

    def show_rows(self, rows: Sequence[ShelfRow]) -> None:
        """Show these rows in place of all others."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def replace_row(self, row: ShelfRow) -> None:
        """Show the news of one model."""
        number = self.number_of(row.model.path, row.model.name)
        if number is not None:
            self._rows[number] = row
            self.dataChanged.emit(self.index(number, 0), self.index(number, _RUNS))

    def number_of(self, path: Path, name: str) -> int | None:
        """Where a model stands; None where it is no longer there."""
        for number, row in enumerate(self._rows):
            if row.model.path == path and row.model.name == name:
                return number
        return None

    def row(self, number: int) -> ShelfRow:
        """The row at a place."""
        return self._rows[number]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's own signature
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return tr(COLUMNS[section])
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], index.column()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.cells[column]
            case Qt.ItemDataRole.ToolTipRole:
                return str(row.model.path) if column == 0 else row.cells[column]
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{tr(COLUMNS[column])}: {row.cells[column]}"
            case Qt.ItemDataRole.SizeHintRole if (
                column == 0
            ):  # the width of the others is that of their words
                return QSize(0, self._height)
            case role if role == SORT_ROLE:
                return row.keys[column]
        return None
