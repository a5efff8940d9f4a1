"""The messages of a conversation as a tree for the eye: what is shown runs straight down, and below a message
fold the others that stand in its place. So a long chat stays flat, and only branches are set in.

    Where to go?
    Take the train …
  ▾ By plane?                the third message, as it is shown
        By ship?             what else was asked there
            A ferry goes …   and what follows that
    There is one at nine …
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QBrush, QFont

from whisper_desktop.chat.records import Node, TurnState
from whisper_desktop.language import tr, trn
from whisper_desktop.ui.theme import Colors
from whisper_desktop.values import Role

_LONGEST = 160  # characters of a line
_ROOT = -1
_MARKS = str.maketrans("", "", "*`#>")  # of markdown
_Index = QModelIndex | QPersistentModelIndex


@dataclass(slots=True)
class Item:
    """One line: its message, the number of the line it is set in under (-1: none), and its own lines."""

    node: str
    parent: int
    row: int
    rows: list[int] = field(default_factory=list)


def arranged(nodes: Mapping[str, Node], path: Sequence[str]) -> tuple[list[Item], list[int]]:
    """All lines, and the numbers of those that are not set in. `path` runs straight down.

    Elsewhere the newest message of those in one place is the one that goes on, as it is when a branch is
    chosen. Takes time in proportion to the messages.
    """
    children: dict[str | None, list[str]] = {}
    for each in nodes.values():
        children.setdefault(each.parent, []).append(each.id)
    shown = set(path)
    items: list[Item] = []
    top: list[int] = []
    waiting: list[tuple[str | None, int]] = [(None, _ROOT)]  # what follows this message goes under that line
    while waiting:
        node, under = waiting.pop()
        while following := children.get(node):
            trunk = next((each for each in reversed(following) if each in shown), following[-1])
            number = _put(items, top, trunk, under)
            for other in following:
                if other != trunk:
                    waiting.append((other, _put(items, top, other, number)))
            node = trunk
    return items, top


def _put(items: list[Item], top: list[int], node: str, under: int) -> int:
    rows = top if under == _ROOT else items[under].rows
    number = len(items)
    items.append(Item(node, under, len(rows)))
    rows.append(number)
    return number


def beginning(node: Node) -> str:
    """The first words of a message, or what stands for them."""
    words = " ".join(node.text[: 4 * _LONGEST].translate(_MARKS).split())[:_LONGEST]
    if words:
        return words
    if node.attachments:
        return node.attachments[0].name
    if node.state is TurnState.STREAMING:
        return tr("being written…")
    return tr("failed") if node.error is not None else tr("nothing was answered")


def who(node: Node) -> str:
    """Whose message it is."""
    if node.role is Role.USER:
        return tr("You")
    return node.provenance.model if node.provenance is not None and node.provenance.model else tr("Answer")


def when(created: float, now: float) -> str:
    """The time of day, or the day where that was another one."""
    at = time.localtime(created)
    if at[:3] == time.localtime(now)[:3]:
        return time.strftime("%H:%M", at)
    return time.strftime("%Y-%m-%d", at)


class BranchModel(QAbstractItemModel):
    """Two columns: the beginning of a message, and when it was asked or who answered."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._nodes: Mapping[str, Node] = {}
        self._items: list[Item] = []
        self._top: list[int] = []
        self._number: dict[str, int] = {}
        self._shown: frozenset[str] = frozenset()
        self._colors: Colors | None = None
        self._now = 0.0

    def set_colors(self, colors: Colors) -> None:
        """What is not shown is written in the secondary colour."""
        self._colors = colors

    def set_tree(self, nodes: Mapping[str, Node], path: Sequence[str]) -> None:
        """Other messages, arranged anew around the path that is shown."""
        self.beginResetModel()
        self._nodes, self._shown, self._now = nodes, frozenset(path), time.time()
        self._items, self._top = arranged(nodes, path)
        self._number = {item.node: number for number, item in enumerate(self._items)}
        self.endResetModel()

    def set_shown(self, nodes: Mapping[str, Node], path: Iterable[str]) -> None:
        """The same messages, another path: every line keeps its place."""
        self._nodes, self._shown = nodes, frozenset(path)
        if self._top:
            last = len(self._top) - 1
            self.dataChanged.emit(self.index(0, 0), self.index(last, 1))
            self.layoutChanged.emit()  # lines that are set in are drawn anew, too

    @property
    def ids(self) -> Iterable[str]:
        """The messages there are."""
        return self._number.keys()

    def node_at(self, index: _Index) -> str:
        """The message of a line; "" for none."""
        return self._items[index.internalId()].node if index.isValid() else ""

    def index_of(self, node: str) -> QModelIndex:
        """The line of a message."""
        number = self._number.get(node)
        return QModelIndex() if number is None else self.createIndex(self._items[number].row, 0, number)

    # --- as Qt asks -----------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: _Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        rows = self._rows(parent)
        if not (0 <= row < len(rows) and 0 <= column < 2):
            return QModelIndex()
        return self.createIndex(row, column, rows[row])

    def parent(self, index: _Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008 - QObject's takes none
        if not index.isValid() or (number := self._items[index.internalId()].parent) == _ROOT:
            return QModelIndex()
        return self.createIndex(self._items[number].row, 0, number)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        return len(self._rows(parent))

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 2

    def _rows(self, parent: _Index) -> list[int]:
        if not parent.isValid():
            return self._top
        return self._items[parent.internalId()].rows if parent.column() == 0 else []

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        if not index.isValid():
            return None
        item = self._items[index.internalId()]
        node, shown = self._nodes[item.node], item.node in self._shown
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._line(node) if index.column() == 0 else self._aside(node)
            case Qt.ItemDataRole.FontRole if shown and index.column() == 0:
                font = QFont()
                font.setBold(True)
                return font
            case Qt.ItemDataRole.ForegroundRole if self._colors is not None and not (
                shown and index.column() == 0
            ):
                return QBrush(self._colors.secondary)
            case Qt.ItemDataRole.ToolTipRole:
                return f"{who(node)}, {when(node.created, self._now)}\n{beginning(node)}"
            case Qt.ItemDataRole.AccessibleTextRole if index.column() == 0:
                return self._spoken(node, len(item.rows), shown=shown)
        return None

    def _line(self, node: Node) -> str:
        mark = "›" if node.role is Role.USER else "◂"
        return f"{mark} {beginning(node)}"

    def _aside(self, node: Node) -> str:
        return when(node.created, self._now) if node.role is Role.USER else who(node)

    def _spoken(self, node: Node, beside: int, *, shown: bool) -> str:
        parts = [who(node), when(node.created, self._now), beginning(node)]
        if shown:
            parts.append(tr("on the branch that is shown"))
        if beside:
            parts.append(trn("{count} other version", "{count} other versions", beside))
        return ", ".join(parts)
