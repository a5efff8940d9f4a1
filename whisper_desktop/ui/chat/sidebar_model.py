"""The list of conversations as a Qt model of two levels: sections, and what stands below them.

News change it row by row, so that selection, folding and scrolling stay where they are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from PySide6.QtCore import (
    QAbstractItemModel,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)

from whisper_desktop.chat.records import Conversation
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.sidebar_sections import PINNED, Section

ID_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""The id of a conversation; None for a section."""
SIGN_ROLE = ID_ROLE + 1
"""What is going on there: "answering", "unread" or ""."""
FOLDER_ROLE = ID_ROLE + 2
"""The id of the folder that a section shows; None for the others."""

_flag = Qt.ItemFlag
# Put together once: a view asks thousands of times for each change.
_NO_FLAGS = _flag.NoItemFlags
_OF_SECTION = _flag.ItemIsEnabled | _flag.ItemIsDropEnabled
_OF_FOLDER = _OF_SECTION | _flag.ItemIsEditable
_OF_CONVERSATION = (
    _flag.ItemIsEnabled
    | _flag.ItemIsSelectable
    | _flag.ItemNeverHasChildren
    | _flag.ItemIsEditable
    | _flag.ItemIsDragEnabled
)

_MIME = "application/x-whisper-desktop-conversation"
_Index = QModelIndex | QPersistentModelIndex


@dataclass
class _Shown:
    """A section on the screen; `number` is what its children know it by."""

    number: int
    section: Section
    rows: list[Conversation] = field(default_factory=list)


class SidebarModel(QAbstractItemModel):
    """Shows `Section`s.

    Signals:
        renamed: the id of a conversation and what the person wrote.
        folder_renamed: the same for a folder.
        dropped: the id of a conversation and the id of the folder it was dropped on, None for out of all.
        pin_wanted: the id of a conversation that was dropped on the pinned ones.
    """

    renamed = Signal(str, str)
    folder_renamed = Signal(str, str)
    dropped = Signal(str, object)
    pin_wanted = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._shown: list[_Shown] = []
        self._next_number = 1
        self._answering: frozenset[str] = frozenset()
        self._unread: frozenset[str] = frozenset()

    # --- what Qt asks ---------------------------------------------------------------------------------------

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 1

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        if not parent.isValid():
            return len(self._shown)
        return len(self._shown[parent.row()].rows) if not parent.internalId() else 0

    def index(self, row: int, column: int, parent: _Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        if row < 0 or column:
            return QModelIndex()
        if not parent.isValid():
            return self.createIndex(row, 0, 0) if row < len(self._shown) else QModelIndex()
        if parent.internalId():
            return QModelIndex()
        shown = self._shown[parent.row()]
        return self.createIndex(row, 0, shown.number) if row < len(shown.rows) else QModelIndex()

    def hasChildren(self, parent: _Index = QModelIndex()) -> bool:  # noqa: B008, N802
        return self.rowCount(parent) > 0

    def parent(self, child: _Index | None = None) -> QModelIndex:  # type: ignore[override]  # QObject.parent is another one
        number = child.internalId() if child is not None and child.isValid() else 0
        place = next(
            (row for row, shown in enumerate(self._shown) if number and shown.number == number), None
        )
        return QModelIndex() if place is None else self.createIndex(place, 0, 0)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        if (conversation := self.conversation(index)) is not None:
            return self._of_conversation(conversation, role)
        if not index.isValid():
            return None
        section = self._shown[index.row()].section
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return section.title
        return section.folder if role == FOLDER_ROLE else None

    def _of_conversation(self, conversation: Conversation, role: int) -> object:
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole | Qt.ItemDataRole.ToolTipRole:
                return title_of(conversation)
            case Qt.ItemDataRole.AccessibleTextRole:
                return self._spoken(conversation)
            case _ if role == ID_ROLE:
                return conversation.id
            case _ if role == SIGN_ROLE:
                return self._sign(conversation.id)
        return None

    def _sign(self, conversation_id: str) -> str:
        if conversation_id in self._answering:
            return "answering"
        return "unread" if conversation_id in self._unread else ""

    def _spoken(self, conversation: Conversation) -> str:
        title = title_of(conversation)
        match self._sign(conversation.id):
            case "answering":
                return tr("{title}, being answered", title=title)
            case "unread":
                return tr("{title}, new answer", title=title)
        return title

    def flags(self, index: _Index) -> Qt.ItemFlag:
        if not index.isValid():
            return _NO_FLAGS
        if index.internalId():
            return _OF_CONVERSATION
        return _OF_FOLDER if self._shown[index.row()].section.folder else _OF_SECTION

    def setData(self, index: _Index, value: object, role: int = int(Qt.ItemDataRole.EditRole)) -> bool:  # noqa: N802
        """What was written in place of a name. It is shown at once; the news of it come later."""
        name = " ".join(str(value).split())
        if role != Qt.ItemDataRole.EditRole or not index.isValid() or not name or name == index.data():
            return False
        if (conversation := self.conversation(index)) is not None:
            shown = self._shown[index.parent().row()]
            shown.rows[index.row()] = replace(conversation, title=name)
            self.renamed.emit(conversation.id, name)
        else:
            shown = self._shown[index.row()]
            if shown.section.folder is None:
                return False
            shown.section = replace(shown.section, title=name)
            self.folder_renamed.emit(shown.section.folder, name)
        self.dataChanged.emit(index, index)
        return True

    # --- dragging -------------------------------------------------------------------------------------------

    def supportedDropActions(self) -> Qt.DropAction:  # noqa: N802
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:  # noqa: N802
        return [_MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:  # noqa: N802
        data = QMimeData()
        data.setData(_MIME, "\n".join(str(index.data(ID_ROLE)) for index in indexes).encode())
        return data

    def dropMimeData(  # noqa: N802
        self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: _Index
    ) -> bool:
        """Below a folder: into it; below Pinned: pinned; anywhere else: out of its folder.

        It is told, not done: the row moves with the news of it. So Qt must not remove it either: False.
        """
        if not parent.isValid() or not data.hasFormat(_MIME):
            return False
        section = self._shown[parent.row()].section
        for each in bytes(data.data(_MIME).data()).decode("utf-8", "replace").split("\n"):
            if section.key == PINNED:
                self.pin_wanted.emit(each)
            else:
                self.dropped.emit(each, section.folder)
        return False

    # --- what is known of a row -----------------------------------------------------------------------------

    def conversation(self, index: _Index) -> Conversation | None:
        """The conversation of a row; None for a section."""
        if not index.isValid() or not index.internalId():
            return None
        shown = next((each for each in self._shown if each.number == index.internalId()), None)
        return shown.rows[index.row()] if shown is not None and index.row() < len(shown.rows) else None

    def index_of(self, conversation_id: str) -> QModelIndex:
        """Where a conversation stands; an invalid index where it does not."""
        for shown in self._shown:
            for row, conversation in enumerate(shown.rows):
                if conversation.id == conversation_id:
                    return self.createIndex(row, 0, shown.number)
        return QModelIndex()

    def index_of_folder(self, folder_id: str) -> QModelIndex:
        """Where a folder stands; an invalid index where there is none."""
        rows = (row for row, shown in enumerate(self._shown) if shown.section.folder == folder_id)
        row = next(rows, None)
        return QModelIndex() if row is None else self.createIndex(row, 0, 0)

    def in_order(self) -> list[Conversation]:
        """All conversations, top to bottom."""
        return [conversation for shown in self._shown for conversation in shown.rows]

    # --- news -----------------------------------------------------------------------------------------------

    def set_signs(self, *, answering: Collection[str], unread: Collection[str]) -> None:
        """Which conversations are being answered, and which have an answer that nobody has seen."""
        before = {each: self._sign(each) for each in self._answering | self._unread}
        self._answering, self._unread = frozenset(answering), frozenset(unread)
        for each in self._answering | self._unread | before.keys():
            index = self.index_of(each)
            if index.isValid() and self._sign(each) != before.get(each, ""):
                self.dataChanged.emit(index, index)

    def show(self, sections: Sequence[Section]) -> None:
        """Show these sections, changing as few rows as it takes."""
        kept = {section.key for section in sections}
        for row in reversed(range(len(self._shown))):
            if self._shown[row].section.key not in kept:
                self.beginRemoveRows(QModelIndex(), row, row)
                del self._shown[row]
                self.endRemoveRows()
        for row, section in enumerate(sections):
            self._show_section(row, section)

    def _show_section(self, row: int, section: Section) -> None:
        at = next((n for n, shown in enumerate(self._shown) if shown.section.key == section.key), None)
        if at is None:
            self.beginInsertRows(QModelIndex(), row, row)
            self._shown.insert(row, _Shown(self._next_number, section, list(section.conversations)))
            self._next_number += 1
            self.endInsertRows()
            return
        if at != row:
            self.beginMoveRows(QModelIndex(), at, at, QModelIndex(), row)
            self._shown.insert(row, self._shown.pop(at))
            self.endMoveRows()
        shown = self._shown[row]
        renamed, shown.section = shown.section.title != section.title, section
        index = self.index(row, 0)
        if renamed:
            self.dataChanged.emit(index, index)
        self._show_rows(index, shown.rows, section.conversations)

    def _show_rows(
        self, parent: QModelIndex, rows: list[Conversation], wanted: Sequence[Conversation]
    ) -> None:
        """Make `rows` equal to `wanted`: remove, then put in and move, from the top."""
        self._remove_others(parent, rows, {each.id for each in wanted})
        present = {each.id for each in rows}
        row = 0
        while row < len(wanted):
            each = wanted[row]
            if each.id not in present:
                end = row + 1
                while end < len(wanted) and wanted[end].id not in present:
                    end += 1
                self.beginInsertRows(parent, row, end - 1)
                rows[row:row] = wanted[row:end]
                self.endInsertRows()
                row = end
                continue
            if rows[row].id != each.id:
                at = next(n for n in range(row + 1, len(rows)) if rows[n].id == each.id)
                self.beginMoveRows(parent, at, at, parent, row)
                rows.insert(row, rows.pop(at))
                self.endMoveRows()
            if rows[row] is not each:
                changed, rows[row] = rows[row].title != each.title, each
                if changed:
                    index = self.index(row, 0, parent)
                    self.dataChanged.emit(index, index)
            row += 1

    def _remove_others(self, parent: QModelIndex, rows: list[Conversation], wanted: Collection[str]) -> None:
        last = len(rows) - 1
        while last >= 0:
            if rows[last].id in wanted:
                last -= 1
                continue
            first = last
            while first > 0 and rows[first - 1].id not in wanted:
                first -= 1
            self.beginRemoveRows(parent, first, last)
            del rows[first : last + 1]
            self.endRemoveRows()
            last = first - 1


def title_of(conversation: Conversation) -> str:
    """What a conversation is called in lists."""
    return " ".join(conversation.title.split()) or tr("New chat")
