"""The list of conversations on the screen: sections that fold, names that change in place, dragging."""

from collections.abc import Sequence
from functools import lru_cache

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QPointF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QIcon,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from whisper_desktop.language import tr
from whisper_desktop.ui.chat.sidebar_model import FOLDER_ROLE, ID_ROLE, SIGN_ROLE, SidebarModel
from whisper_desktop.ui.chat.sidebar_sections import Section
from whisper_desktop.ui.theme import L, S, colors

_Index = QModelIndex | QPersistentModelIndex
_SIGN = 10  # px
_UNFOLD_WHILE_DRAGGING = 600  # ms


class SidebarTree(QTreeView):
    """Shows a `SidebarModel`.

    Signals:
        chosen: the id of a conversation that was clicked, or on which Enter was pressed.
        menu_wanted: the id of a conversation ("" for a folder), the id of a folder ("" for a conversation),
            and where on the screen.
        delete_wanted: the id of a conversation on which Delete was pressed.
    """

    chosen = Signal(str)
    menu_wanted = Signal(str, str, QPoint)
    delete_wanted = Signal(str)

    def __init__(self, model: SidebarModel) -> None:
        super().__init__()
        self.list = model
        self._folded: set[str] = set()
        self._current = ""
        self._wanted: Sequence[Section] | None = None
        self.setModel(model)
        self.setItemDelegate(_Lines(self))
        self.setAccessibleName(tr("Chats"))
        self.setHeaderHidden(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setIndentation(L)
        self.setUniformRowHeights(True)
        self.setExpandsOnDoubleClick(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDropIndicatorShown(True)
        self.setDragDropOverwriteMode(True)  # onto a section, never between two rows: the order is by time
        self.setAutoExpandDelay(_UNFOLD_WHILE_DRAGGING)
        self.clicked.connect(self._on_clicked)
        model.rowsInserted.connect(self._on_inserted)

    # --- news -----------------------------------------------------------------------------------------------

    def show_sections(self, sections: Sequence[Section]) -> None:
        """Show these sections; what is in sight stays where it is. Waits while a name is being written."""
        self._wanted = sections
        if self.state() != QAbstractItemView.State.EditingState:
            self._catch_up()

    def _catch_up(self) -> None:
        if self._wanted is None:
            return
        wanted, self._wanted = self._wanted, None
        bar = self.verticalScrollBar()
        top = QPersistentModelIndex(self.indexAt(QPoint(S, 0))) if bar.value() else None
        before = self.visualRect(top).top() if top is not None else 0
        self.setAutoScroll(False)
        self.list.show(wanted)
        self.set_current(self._current)
        self.setAutoScroll(True)
        if top is not None and top.isValid():
            self.executeDelayedItemsLayout()
            bar.setValue(bar.value() + self.visualRect(top).top() - before)

    def set_current(self, conversation_id: str) -> None:
        """Mark the conversation that is shown in the window; "" for none."""
        self._current = conversation_id
        index = self.list.index_of(conversation_id) if conversation_id else QModelIndex()
        if not index.isValid():
            self.selectionModel().clearSelection()
        elif not self.selectionModel().isSelected(index):
            self.setCurrentIndex(index)

    def closeEditor(self, editor: QWidget, hint: object) -> None:  # noqa: N802
        super().closeEditor(editor, hint)  # type: ignore[arg-type]  # the enum of a private base
        self._catch_up()

    def _on_inserted(self, parent: QModelIndex, first: int, last: int) -> None:
        if not parent.isValid():
            for row in range(first, last + 1):
                self.expand(self.list.index(row, 0))

    # --- what the person does -------------------------------------------------------------------------------

    def rename(self, conversation_id: str) -> None:
        """Let the person write another name in place."""
        index = self.list.index_of(conversation_id)
        if index.isValid():
            self.setFocus()
            self.setCurrentIndex(index)
            self.edit(index)

    def rename_folder(self, folder_id: str) -> None:
        """The same for a folder."""
        index = self.list.index_of_folder(folder_id)
        if index.isValid():
            self.setFocus()
            self.setCurrentIndex(index)
            self.edit(index)

    def _on_clicked(self, index: QModelIndex) -> None:
        if conversation := index.data(ID_ROLE):
            self.chosen.emit(conversation)
        else:
            self.setExpanded(index, not self.isExpanded(index))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        index = self.currentIndex()
        editing = self.state() == QAbstractItemView.State.EditingState
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid() and not editing:
            self._on_clicked(index)
        elif event.key() == Qt.Key.Key_Delete and index.data(ID_ROLE) and not editing:
            self.delete_wanted.emit(index.data(ID_ROLE))
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A menu is no choice: the chat that is shown stays marked."""
        if event.button() != Qt.MouseButton.RightButton:
            super().mousePressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        where = self.visualRect(index).center() if by_key else event.pos()
        conversation, folder = index.data(ID_ROLE), index.data(FOLDER_ROLE)
        if conversation or folder:
            place = self.viewport().mapToGlobal(where)
            self.menu_wanted.emit(conversation or "", folder or "", place)


class _Lines(QStyledItemDelegate):
    """Room around the lines, quiet headlines, and a sign at the end of a line."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        size = super().sizeHint(option, index)
        return QSize(size.width(), option.fontMetrics.height() + S)

    def initStyleOption(self, option: QStyleOptionViewItem, index: _Index) -> None:  # noqa: N802
        super().initStyleOption(option, index)
        if not index.data(ID_ROLE):
            quiet = colors(option.palette).secondary
            option.palette.setColor(QPalette.ColorRole.Text, quiet)
            return
        if sign := index.data(SIGN_ROLE):
            selected = bool(option.state & QStyle.StateFlag.State_Selected)
            role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Highlight
            option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
            option.decorationPosition = QStyleOptionViewItem.Position.Right
            option.decorationAlignment = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            option.decorationSize = QSize(_SIGN, _SIGN)
            option.icon = _sign(sign, option.palette.color(role).rgba())


@lru_cache(maxsize=16)
def _sign(sign: str, color: int) -> QIcon:
    """Three dots while an answer is written, one for an answer that nobody has seen."""
    scale = 3  # sharp on any screen
    pixmap = QPixmap(_SIGN * scale, _SIGN * scale)
    pixmap.setDevicePixelRatio(scale)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(Qt.PenStyle.NoPen))
    painter.setBrush(QColor.fromRgba(color))
    middle = _SIGN / 2
    if sign == "unread":
        painter.drawEllipse(QPointF(middle, middle), 3.5, 3.5)
    else:
        for step in (-1, 0, 1):
            painter.drawEllipse(QPointF(middle + step * 3.6, middle), 1.3, 1.3)
    painter.end()
    return QIcon(pixmap)
