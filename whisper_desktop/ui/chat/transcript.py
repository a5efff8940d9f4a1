"""The transcript as a Qt list model of `Row` values."""

from collections.abc import Iterable

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from whisper_desktop.ui.chat.rows import Kind, Row, spoken, whole_text

ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1

_Index = QModelIndex | QPersistentModelIndex


class TranscriptModel(QAbstractListModel):
    """Rows that are appended, replaced one at a time, and cut off at the end; never anything in between."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Row] = []

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row = self._rows[index.row()]
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return str(row.error) if row.kind is Kind.FAILURE else whole_text(row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return spoken(row)
        return None

    def row(self, number: int) -> Row:
        """The row with this number."""
        return self._rows[number]

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show other rows altogether: another conversation, or another branch of it."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def append(self, row: Row) -> int:
        """Add a row at the end; returns its number."""
        number = len(self._rows)
        self.beginInsertRows(QModelIndex(), number, number)
        self._rows.append(row)
        self.endInsertRows()
        return number

    def replace(self, number: int, row: Row) -> None:
        """Show another value in a row."""
        if self._rows[number] != row:
            self._rows[number] = row
            index = self.index(number)
            self.dataChanged.emit(index, index)

    def cut(self, number: int) -> None:
        """Remove this row and all after it."""
        if number < len(self._rows):
            self.beginRemoveRows(QModelIndex(), number, len(self._rows) - 1)
            del self._rows[number:]
            self.endRemoveRows()
