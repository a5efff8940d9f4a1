"""What a search over all conversations found: grouped by conversation, the words marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPalette, QTextCharFormat, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QLineEdit,
    QListView,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat.records import Hit
from whisper_desktop.language import tr
from whisper_desktop.ui.theme import XS, L, M, S, colors
from whisper_desktop.ui.widgets import secondary
from whisper_desktop.values import Role

HIT_ROLE = int(Qt.ItemDataRole.UserRole) + 1
_LINE_ROLE = HIT_ROLE + 1
_LINES = 2  # of a snippet
_BEFORE = 20  # characters of a snippet before the first of the words
_Index = QModelIndex | QPersistentModelIndex
_PASSED_ON = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the results: the title of a conversation, or a place in it. Both lead somewhere."""

    hit: Hit
    title: bool


def lines(hits: Iterable[Hit]) -> tuple[Line, ...]:
    """Hits grouped by conversation, in the order in which each one was first found."""
    grouped: dict[str, list[Hit]] = {}
    for hit in hits:
        grouped.setdefault(hit.conversation, []).append(hit)
    found: list[Line] = []
    for group in grouped.values():
        head = next((hit for hit in group if hit.message is None), group[0])
        found.append(Line(head, title=True))
        found += [Line(_to_the_point(hit), title=False) for hit in group if hit.message is not None]
    return tuple(found)


def _to_the_point(hit: Hit) -> Hit:
    """The snippet from shortly before the first of the words on: there is room for two short lines."""
    at = next((number for number, part in enumerate(hit.snippet) if part[1]), 0)
    before = "".join(text for text, _found in hit.snippet[:at])
    if len(before) <= _BEFORE:
        return hit
    _cut, space, kept = before[-_BEFORE:].partition(" ")
    begin = f"…{kept}" if space else f"…{before[-_BEFORE:]}"
    return replace(hit, snippet=((begin, False), *hit.snippet[at:]))


class SearchField(QLineEdit):
    """Where the words are written; arrows and Enter go to the results.

    Signals:
        keyed: a key for the results.
        left: Esc was pressed.
    """

    keyed = Signal(QKeyEvent)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText(tr("Search all chats"))
        self.setAccessibleName(tr("Search all chats"))
        self.setClearButtonEnabled(True)
        self.setMaxLength(200)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        elif event.key() in (*_PASSED_ON, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.keyed.emit(event)
        else:
            super().keyPressEvent(event)


class SearchResults(QWidget):
    """The results, or kind words where there are none.

    Signals:
        chosen: the `Hit` to go to. `message` is None in one that stands for the conversation itself.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._model = _Results()
        self.list = QListView()
        self.list.setModel(self._model)
        self.list.setItemDelegate(_Marked(self.list))
        self.list.setAccessibleName(tr("What was found"))
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setResizeMode(QListView.ResizeMode.Adjust)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.clicked.connect(self._choose)
        self.list.installEventFilter(self)
        self.nothing = secondary("")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.nothing.setContentsMargins(M, S, M, 0)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.list)
        self._stack.addWidget(self.nothing)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)

    def show_hits(self, hits: Sequence[Hit], words: str) -> None:
        """Show what was found for these words, the first place being the current one."""
        self._model.show(lines(hits))
        self.nothing.setText(
            tr("Nothing has the words “{words}”. Fewer or other words may find it.", words=words)
        )
        self._stack.setCurrentWidget(self.list if hits else self.nothing)
        if hits:
            self.list.setCurrentIndex(self._model.index(0))

    def press(self, event: QKeyEvent) -> None:
        """A key that was pressed in the field: the arrows move, Enter goes there."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.list.currentIndex())
        else:
            QApplication.sendEvent(self.list, QKeyEvent(event.type(), event.key(), event.modifiers()))

    def eventFilter(self, watched: object, event: object) -> bool:  # noqa: N802
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QKeyEvent.Type.KeyPress
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        ):
            self._choose(self.list.currentIndex())
            return True
        return False

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            line: Line = index.data(_LINE_ROLE)
            self.chosen.emit(line.hit)


class _Results(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[Line, ...] = ()

    def show(self, found: tuple[Line, ...]) -> None:
        self.beginResetModel()
        self._lines = found
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self._lines)

    def data(self, index: _Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        if not index.isValid() or index.row() >= len(self._lines):
            return None
        line = self._lines[index.row()]
        if role == _LINE_ROLE:
            return line
        if role == HIT_ROLE:
            return line.hit
        if role == Qt.ItemDataRole.DisplayRole:
            return _title(line.hit) if line.title else "".join(part for part, _found in line.hit.snippet)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return _spoken(line)
        return None


def _title(hit: Hit) -> str:
    return " ".join(hit.title.split()) or tr("New chat")


def _spoken(line: Line) -> str:
    if line.title:
        return tr("Chat: {title}", title=_title(line.hit))
    text = "".join(part for part, _found in line.hit.snippet)
    return tr("You wrote: {text}", text=text) if line.hit.role is Role.USER else text


class _Marked(QStyledItemDelegate):
    """A title in bold, a snippet of at most two lines with its words marked."""

    def __init__(self, shown_in: QListView) -> None:
        super().__init__(shown_in)
        self._list = shown_in

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        line: Line = index.data(_LINE_ROLE)
        height = option.fontMetrics.lineSpacing()
        if line.title:
            return QSize(0, height + M)
        width = self._list.viewport().width()
        return QSize(0, _laid_out(line, option, float(width))[1] * height + XS)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style() if option.widget is not None else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        line: Line = index.data(_LINE_ROLE)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        painter.save()
        painter.setPen(option.palette.color(role))
        painter.setClipRect(option.rect)
        layout, _count = _laid_out(line, option, float(option.rect.width()), plain=selected)
        left = float(M) if option.direction == Qt.LayoutDirection.RightToLeft else _indent(line)
        top = S if line.title else 0
        layout.draw(painter, QPointF(option.rect.left() + left, option.rect.top() + top))
        painter.restore()


def _indent(line: Line) -> float:
    return float(M if line.title else M + L)


def _laid_out(
    line: Line, option: QStyleOptionViewItem, width: float, *, plain: bool = False
) -> tuple[QTextLayout, int]:
    """The text in lines, and how many there are; `plain` leaves the colour of the mark out."""
    parts = ((_title(line.hit), False),) if line.title else line.hit.snippet
    text = "".join(part for part, _found in parts).replace("\n", " ")
    font = QFont(option.font)
    font.setBold(line.title)
    layout = QTextLayout(text, font)
    layout.setCacheEnabled(True)
    mirrored = option.direction == Qt.LayoutDirection.RightToLeft
    choice = QTextOption(Qt.AlignmentFlag.AlignRight if mirrored else Qt.AlignmentFlag.AlignLeft)
    choice.setTextDirection(Qt.LayoutDirection.LayoutDirectionAuto)  # a chat may be in any language
    choice.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(choice)
    layout.setFormats(_marks(parts, option, plain=plain))
    layout.beginLayout()
    room = max(width - _indent(line) - M, 40.0)
    lines_made, at = 0, 0.0
    while lines_made < (1 if line.title else _LINES) and (made := layout.createLine()).isValid():
        made.setLineWidth(room)
        made.setPosition(QPointF(0, at))
        at += made.height()
        lines_made += 1
    layout.endLayout()
    return layout, max(lines_made, 1)


def _marks(
    parts: Sequence[tuple[str, bool]], option: QStyleOptionViewItem, *, plain: bool
) -> list[QTextLayout.FormatRange]:
    found: list[QTextLayout.FormatRange] = []
    at = 0
    for part, marked in parts:
        if marked:
            mark = QTextLayout.FormatRange()
            mark.start, mark.length = at, len(part.encode("utf-16-le")) // 2
            mark.format = QTextCharFormat()
            mark.format.setFontWeight(QFont.Weight.Bold)
            if not plain:
                mark.format.setBackground(colors(option.palette).bubble)
            found.append(mark)
        at += len(part.encode("utf-16-le")) // 2
    return found
