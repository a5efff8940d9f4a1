"""The transcript on the screen: scrolling, selecting, clicking, copying, and the same by keyboard."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    Qt,
    QUrl,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QDesktopServices,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QListView, QMenu, QWidget

from whisper_desktop.ui.chat.delegate import TextPosition, TranscriptDelegate
from whisper_desktop.ui.chat.failure import FailureCard
from whisper_desktop.ui.chat.layout import Spot
from whisper_desktop.ui.chat.markdown import is_web_address
from whisper_desktop.ui.chat.rows import Kind, Row, kept_text, unfolded, whole_text
from whisper_desktop.ui.chat.transcript import TranscriptModel

_NEAR_BOTTOM = 24  # px: closer than this counts as "at the bottom", and the view follows a growing answer


class TranscriptView(QListView):
    """Shows a `TranscriptModel`.

    Signals:
        failure_action: the row of a failed or broken answer and what was clicked ("retry", "allow", "edit",
            or the window to open).
        copied: something went to the clipboard; says what.
    """

    failure_action = Signal(int, str)
    copied = Signal(str)

    def __init__(self, model: TranscriptModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = model
        self.delegate = TranscriptDelegate(self)
        self.setModel(model)
        self.setItemDelegate(self.delegate)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMouseTracking(True)
        self.setAccessibleName("Conversation")
        self.verticalScrollBar().setSingleStep(24)
        self._following = True
        self._pressed: TextPosition | None = None
        self._press_point = QPointF()
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.verticalScrollBar().rangeChanged.connect(self._on_range_changed)
        model.rowsInserted.connect(self._on_inserted)
        model.rowsAboutToBeRemoved.connect(lambda _parent, first, _last: self._forget_from(first))
        model.dataChanged.connect(self._on_changed)

    # --- following the answer -------------------------------------------------------------------------------

    def _on_scrolled(self, value: int) -> None:
        """Follow a growing answer for as long as its end is in sight, and never pull the person away."""
        self._following = value >= self.verticalScrollBar().maximum() - _NEAR_BOTTOM

    def _on_range_changed(self, _least: int, most: int) -> None:
        if self._following:
            self.verticalScrollBar().setValue(most)

    def _on_inserted(self, _parent: QModelIndex, first: int, last: int) -> None:
        for number in range(first, last + 1):
            row = self.rows.row(number)
            if row.kind is Kind.FAILURE:
                self._add_card(number, row)
        self._following = True

    def _on_changed(self, first: QModelIndex, _last: QModelIndex) -> None:
        row = self.rows.row(first.row())
        if row.kind is Kind.FAILURE:
            self._add_card(first.row(), row)
        if self.delegate.size_of(first).height() != self.visualRect(first).height():
            self._height_changed(QPersistentModelIndex(first))

    def _height_changed(self, index: QPersistentModelIndex) -> None:
        self.delegate.sizeHintChanged.emit(self.rows.index(index.row()))

    def _forget_from(self, number: int) -> None:
        self.delegate.selection = None
        self.delegate.forget_from(number)

    def _add_card(self, number: int, row: Row) -> None:
        if row.error is None:
            return
        left, width = self.delegate.style().column
        card = FailureCard(row.error, guide=row.guide, last=row.can_retry, left=left, width=width)
        index = QPersistentModelIndex(self.rows.index(number))
        card.chosen.connect(lambda action: self.failure_action.emit(index.row(), action))
        card.height_changed.connect(partial(self._height_changed, index))
        self.setIndexWidget(self.rows.index(number), card)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        left, width = self.delegate.style().column
        for number in range(self.rows.rowCount()):
            card = self.indexWidget(self.rows.index(number))
            if isinstance(card, FailureCard):
                card.place(left, width)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.delegate.forget_style()
            self.scheduleDelayedItemsLayout()

    # --- the pointer ----------------------------------------------------------------------------------------

    def _hit(self, point: QPoint) -> tuple[int, Row, QPointF] | None:
        """The row under a point of the viewport, and the point within that row."""
        index = self.indexAt(point)
        if not index.isValid():
            return None
        row = self.rows.row(index.row())
        if row.kind is Kind.FAILURE:
            return None
        return index.row(), row, QPointF(point - self.visualRect(index).topLeft())

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mousePressEvent(event)
        self.delegate.selection = None
        self._press_point = event.position()
        hit = self._hit(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and hit is not None:
            self._pressed = self.delegate.position_at(*hit)
        self.viewport().update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        hit = self._hit(event.position().toPoint())
        if self._pressed is not None and hit is not None and hit[0] == self._pressed.row:
            here = self.delegate.position_at(*hit)
            if here is not None and here != self._pressed:
                self.delegate.selection = (self._pressed, here)
            self.viewport().update()
            return
        number = hit[0] if hit is not None else -1
        if number != self.delegate.hovered_row:
            self.delegate.hovered_row = number
            self.viewport().update()
        self.viewport().setCursor(self._cursor_over(hit))

    def _cursor_over(self, hit: tuple[int, Row, QPointF] | None) -> Qt.CursorShape:
        if hit is None:
            return Qt.CursorShape.ArrowCursor
        number, row, point = hit
        layout = self.delegate.layout_of(number, row)
        spot = layout.spot_at(point)
        if (spot is not None and spot.action) or layout.link_at(point):
            return Qt.CursorShape.PointingHandCursor
        over_text = any(piece.rect.contains(point) for piece in layout.pieces)
        return Qt.CursorShape.IBeamCursor if over_text else Qt.CursorShape.ArrowCursor

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mouseReleaseEvent(event)
        self._pressed = None
        hit = self._hit(event.position().toPoint())
        distance = (event.position() - self._press_point).manhattanLength()
        moved = distance > QGuiApplication.styleHints().startDragDistance()
        if event.button() != Qt.MouseButton.LeftButton or hit is None or moved:
            return
        number, row, point = hit
        layout = self.delegate.layout_of(number, row)
        spot = layout.spot_at(point)
        if spot is not None:
            self._do(number, spot)
        elif link := layout.link_at(point):
            open_link(link)

    def _do(self, number: int, spot: Spot) -> None:
        row = self.rows.row(number)
        if spot.action == "copy":
            self._copy(spot.value, "The answer")
        elif spot.action == "copy_code":
            self._copy(spot.value, "The code")
        elif spot.action == "details":
            self.rows.replace(number, replace(row, open=not row.open))
        elif spot.action == "reasoning":
            self.rows.replace(number, replace(row, reasoning_open=not row.reasoning_open))
        elif spot.action == "aside":
            self.rows.replace(number, replace(row, aside_open=not row.aside_open))
        elif spot.action:
            self.failure_action.emit(number, spot.action)

    def _copy(self, text: str, what: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(f"{what} was copied.")

    # --- the keyboard ---------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            number = self.currentIndex().row()
            if number >= 0:
                self.rows.replace(number, unfolded(self.rows.row(number)))
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Copy the selected text, or else the whole current row."""
        selection = self.delegate.selection
        if selection is not None:
            text = self.delegate.selected_text(self.rows.row(selection[0].row))
            self._copy(text, "The selected text")
        elif self.currentIndex().isValid():
            self._copy(str(self.currentIndex().data()), "The message")

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        if index.isValid() and self.rows.row(index.row()).kind is not Kind.FAILURE:
            place = self.visualRect(index).center() if by_key else event.pos()
            menu = self.menu_for(index.row())
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.viewport().mapToGlobal(place))

    def menu_for(self, number: int) -> QMenu:
        """Everything that can be done with a row, for those who do not point."""
        row = self.rows.row(number)
        layout = self.delegate.layout_of(number, row)
        codes = [spot.value for spot in layout.spots if spot.action == "copy_code"]
        entries: list[tuple[str, Callable[[], None]]] = []
        if self.delegate.selection is not None:
            entries.append(("Copy selected text", self.copy))
        entries.append(("Copy message", partial(self._copy, whole_text(row), "The message")))
        if row.set_aside:
            entries.append(("Copy what came first", partial(self._copy, kept_text(row), "What came first")))
        for position, code in enumerate(codes, 1):
            name = f"Copy code block {position}" if len(codes) > 1 else "Copy code"
            entries.append((name, partial(self._copy, code, "The code")))
        entries += [(f"Open {link}", partial(open_link, link)) for link in layout.links()]
        for spot in layout.spots:
            if (words := _entry(spot, row)) is not None:
                entries.append((words, partial(self._do, number, spot)))
        menu = QMenu(self)
        for name, action in entries:
            menu.addAction(name.replace("&", "&&")).triggered.connect(action)
        return menu


def _entry(spot: Spot, row: Row) -> str | None:
    """A clickable place as an entry of the menu; the copying ones and the addresses are in it anyway."""
    match spot.action:
        case "" | "copy" | "copy_code":
            return None
        case "details":
            return "Hide attempts" if row.open else "Show every attempt"
        case "reasoning":
            return "Hide reasoning" if row.reasoning_open else "Show reasoning"
        case "aside":
            return "Hide what came first" if row.aside_open else "Show what came first"
        case _:
            return spot.text


def open_link(address: str) -> None:
    """Open a web page in the person's browser; any other kind of address is not opened."""
    if is_web_address(address):
        QDesktopServices.openUrl(QUrl(address))
