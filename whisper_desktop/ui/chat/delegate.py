"""Paints the rows of the transcript from their layouts, which it keeps while they are valid."""

from collections import OrderedDict
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QAbstractTextDocumentLayout, QPainter, QPalette, QPen, QTextCursor
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from whisper_desktop.ui.chat.layout import Piece, RowLayout, Style, lay_out
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.ui.chat.transcript import ROW_ROLE
from whisper_desktop.ui.theme import XS, Colors, L, M, S

KEPT_LAYOUTS = 64  # layouts hold documents; heights are kept for every row

_MIDDLE = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_QUIET = ("", "details", "reasoning", "aside")  # spots that open something, in the colour of small text
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class TextPosition:
    """A place between two characters: row, document within the row, character."""

    row: int
    piece: int
    character: int

    @property
    def order(self) -> tuple[int, int]:
        """For sorting two positions of one row."""
        return (self.piece, self.character)


class TranscriptDelegate(QStyledItemDelegate):
    """Draws questions as bubbles and answers as text. Failures are widgets and draw themselves."""

    def __init__(self, view: QListView) -> None:
        super().__init__(view)
        self._view = view
        self._style: Style | None = None
        self._layouts: OrderedDict[int, RowLayout] = OrderedDict()
        self._heights: dict[int, tuple[Row, float, float]] = {}
        self.selection: tuple[TextPosition, TextPosition] | None = None
        self.hovered_row = -1
        view.viewport().installEventFilter(self)

    # --- layouts --------------------------------------------------------------------------------------------

    def style(self) -> Style:
        """Fonts, colours and width of the view now."""
        # The scroll bar's place is kept free at all times, so that text does not move when it appears.
        width = float(self._view.width() - self._view.verticalScrollBar().sizeHint().width())
        known = self._style
        if known is None or known.width != width:
            known = self._style = Style.of(self._view.font(), self._view.palette(), width)
        return known

    def forget_style(self) -> None:
        """The palette or the font changed: everything is laid out again."""
        self._style = None
        self._layouts.clear()
        self._heights.clear()

    def layout_of(self, number: int, row: Row) -> RowLayout:
        """The layout of a row, made where it is not known or no longer right."""
        style = self.style()
        known = self._layouts.get(number)
        if known is None or known.row is not row or known.style is not style:
            known = lay_out(row, style, known)
            self._layouts[number] = known
            self._heights[number] = (row, style.width, known.height)
            if len(self._layouts) > KEPT_LAYOUTS:
                self._layouts.popitem(last=False)
        self._layouts.move_to_end(number)
        return known

    def forget_from(self, number: int) -> None:
        """These rows are gone."""
        for known in [key for key in self._heights if key >= number]:
            del self._heights[known]
            self._layouts.pop(known, None)

    def height_of(self, number: int, row: Row) -> float:
        """The height of a row; laid out only where it is not known."""
        known = self._heights.get(number)
        if known is not None and known[0] is row and known[1] == self.style().width:
            return known[2]
        return self.layout_of(number, row).height

    # --- Qt's questions -------------------------------------------------------------------------------------

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        return self.size_of(index)

    def size_of(self, index: _Index) -> QSize:
        """The size of a row at the view's width."""
        row: Row = index.data(ROW_ROLE)
        width = int(self.style().width)
        if row.kind is Kind.FAILURE:
            widget = self._view.indexWidget(index)
            return QSize(width, widget.heightForWidth(width) if widget is not None else 0)
        return QSize(width, int(self.height_of(index.row(), row)) + 1)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        row: Row = index.data(ROW_ROLE)
        if row.kind is Kind.FAILURE:
            return
        layout = self.layout_of(index.row(), row)
        rect, state = option.rect, option.state
        current = bool(state & QStyle.StateFlag.State_HasFocus)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(rect.topLeft())
        if current:
            _paint_focus(painter, layout)
        if layout.bubble is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(layout.style.colors.bubble)
            painter.drawRoundedRect(layout.bubble, M, M)
        for number, piece in enumerate(layout.pieces):
            self._paint_piece(painter, layout, index.row(), number, piece)
        _paint_words(painter, layout, active=current or index.row() == self.hovered_row)
        painter.restore()

    def _paint_piece(self, painter: QPainter, layout: RowLayout, row: int, number: int, piece: Piece) -> None:
        paint = layout.style.colors
        if piece.panel is not None:
            painter.setPen(QPen(paint.border, 1))
            painter.setBrush(paint.panel)
            painter.drawRoundedRect(piece.panel.adjusted(0.5, 0.5, -0.5, -0.5), S, S)
        context = QAbstractTextDocumentLayout.PaintContext()
        palette = QPalette(layout.style.palette)
        palette.setColor(QPalette.ColorRole.Text, paint.text)
        context.palette = palette
        if (selected := self._selected_in(row, number, piece)) is not None:
            selection = QAbstractTextDocumentLayout.Selection()
            selection.cursor = selected
            selection.format.setBackground(paint.accent)
            selection.format.setForeground(paint.on_accent)
            context.selections = [selection]
        painter.save()
        painter.translate(piece.origin)
        piece.document.documentLayout().draw(painter, context)
        painter.restore()

    # --- selected text --------------------------------------------------------------------------------------

    def _selected_in(self, row: int, number: int, piece: Piece) -> QTextCursor | None:
        if self.selection is None or self.selection[0].row != row:
            return None
        first, last = sorted(self.selection, key=lambda position: position.order)
        if not first.piece <= number <= last.piece:
            return None
        cursor = QTextCursor(piece.document)
        end = max(piece.document.characterCount() - 1, 0)
        cursor.setPosition(min(first.character, end) if number == first.piece else 0)
        stop = min(last.character, end) if number == last.piece else end
        cursor.setPosition(stop, QTextCursor.MoveMode.KeepAnchor)
        return cursor if cursor.hasSelection() else None

    def selected_text(self, row_value: Row) -> str:
        """The selected text, as it is shown; empty without a selection."""
        if self.selection is None:
            return ""
        row = self.selection[0].row
        layout = self.layout_of(row, row_value)
        cursors = (self._selected_in(row, number, piece) for number, piece in enumerate(layout.pieces))
        return "\n\n".join(cursor.selection().toPlainText() for cursor in cursors if cursor is not None)

    def position_at(self, number: int, row: Row, point: QPointF) -> TextPosition | None:
        """The place in the text nearest to a point of the row."""
        layout = self.layout_of(number, row)
        piece_number = layout.piece_at(point)
        if piece_number is None:
            return None
        piece = layout.pieces[piece_number]
        place = piece.document.documentLayout().hitTest(point - piece.origin, Qt.HitTestAccuracy.FuzzyHit)
        return TextPosition(number, piece_number, max(place, 0))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Leave and self.hovered_row >= 0:
            self.hovered_row = -1
            self._view.viewport().update()
        return super().eventFilter(watched, event)


def _paint_focus(painter: QPainter, layout: RowLayout) -> None:
    """A bar at the left of the row that the keyboard is on."""
    left, _width = layout.style.column
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(layout.style.colors.accent)
    painter.drawRoundedRect(QRectF(left - L + XS, S, 3, layout.height - L), 1.5, 1.5)


def _paint_words(painter: QPainter, layout: RowLayout, *, active: bool) -> None:
    """Notes, seams, provenance and actions. Actions that wait for the pointer show on hover and focus."""
    paint: Colors = layout.style.colors
    painter.setFont(layout.style.small)
    left, width = layout.style.column
    painter.setPen(QPen(paint.border, 1, Qt.PenStyle.DashLine))
    for height in layout.seams:
        painter.drawLine(QPointF(left, height), QPointF(left + width, height))
    for line in layout.lines:
        painter.setPen(getattr(paint, line.tone))
        painter.drawText(line.rect, _MIDDLE | int(Qt.TextFlag.TextWordWrap), line.text)
    for spot in layout.spots:
        if spot.hover_only and not active:
            continue
        painter.setPen(paint.secondary if spot.action in _QUIET else paint.link)
        painter.drawText(spot.rect, _MIDDLE, spot.text)
