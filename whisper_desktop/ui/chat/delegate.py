"""Paints the rows of the transcript from their layouts, which it keeps while they are near."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QAbstractTextDocumentLayout, QImage, QPainter, QPalette, QPen, QTextCursor
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from whisper_desktop.language import tr
from whisper_desktop.ui.chat.layout import RowLayout, lay_out
from whisper_desktop.ui.chat.layout_flow import Piece, begins_code, copy_rect
from whisper_desktop.ui.chat.layout_parts import Chip
from whisper_desktop.ui.chat.layout_style import Style
from whisper_desktop.ui.chat.math_images import formulas
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.ui.chat.transcript import ROW_ROLE
from whisper_desktop.ui.theme import XS, Colors, L, M, S, mixed

KEPT_LAYOUTS = 64  # layouts hold documents; rows far away give theirs back

_MIDDLE = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_CENTER = int(Qt.AlignmentFlag.AlignCenter)
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


@dataclass(frozen=True, slots=True)
class Match:
    """A place where the words that are looked for stand: row, document, characters."""

    row: int
    piece: int
    start: int
    end: int


class TranscriptDelegate(QStyledItemDelegate):
    """Draws questions as bubbles and answers as text. Failures are widgets and draw themselves."""

    def __init__(self, view: QListView) -> None:
        super().__init__(view)
        self._view = view
        self._style: Style | None = None
        self._layouts: OrderedDict[int, RowLayout] = OrderedDict()
        self.formulas = formulas()
        self.images: dict[str, QImage] = {}
        self.selection: tuple[TextPosition, TextPosition] | None = None
        self.words = ""  # that are looked for
        self.match: Match | None = None
        self.hovered_row = -1

    # --- layouts --------------------------------------------------------------------------------------------

    def style(self) -> Style:
        """Fonts, colours and width of the view now."""
        # The scroll bar's place is kept free at all times, so that text does not move when it appears.
        width = float(self._view.width() - self._view.verticalScrollBar().sizeHint().width())
        known = self._style
        if known is None:
            known = self._style = Style.of(
                self._view.font(),
                self._view.palette(),
                width,
                right_to_left=self._view.isRightToLeft(),
                pixel_ratio=self._view.devicePixelRatioF(),
                formulas=self.formulas,
            )
        elif known.width != width:
            known = self._style = known.at(width)
        return known

    def forget_style(self) -> None:
        """The palette or the font changed: everything is laid out again."""
        self._style = None
        self._layouts.clear()

    def layout_of(self, number: int, row: Row) -> RowLayout:
        """The layout of a row, made where it is not known or no longer right."""
        style = self.style()
        known = self._layouts.get(number)
        if known is None or known.row is not row or not known.style.fits(style):
            known = lay_out(row, style, known)
            self._layouts[number] = known
            if len(self._layouts) > KEPT_LAYOUTS:
                self._layouts.popitem(last=False)
        self._layouts.move_to_end(number)
        return known

    def kept(self) -> Iterator[tuple[int, RowLayout]]:
        """The layouts that there are, by row."""
        return iter(tuple(self._layouts.items()))

    def forget_from(self, number: int) -> None:
        """These rows are gone."""
        for known in [key for key in self._layouts if key >= number]:
            del self._layouts[known]

    def height_of(self, number: int, row: Row) -> int:
        """The height of a row, which is laid out for it."""
        return int(self.layout_of(number, row).height) + 1

    # --- Qt's questions -------------------------------------------------------------------------------------

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        return self._view.visualRect(index).size()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        row: Row = index.data(ROW_ROLE)
        rect, state = option.rect, option.state
        if row.kind is Kind.FAILURE:
            return
        layout = self.layout_of(index.row(), row)
        style = self.style()
        current = bool(state & QStyle.StateFlag.State_HasFocus)
        active = current or index.row() == self.hovered_row
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setLayoutDirection(
            Qt.LayoutDirection.RightToLeft if style.right_to_left else Qt.LayoutDirection.LeftToRight
        )
        painter.translate(rect.left() + style.column[0], rect.top())
        if current:
            _paint_focus(painter, layout)
        if layout.bubble is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(layout.style.colors.bubble)
            painter.drawRoundedRect(layout.bubble, M, M)
        top, bottom = -rect.top(), self._view.viewport().height() - rect.top()
        for number, piece in layout.visible(top, bottom):
            self._paint_piece(painter, layout, index.row(), number, piece, QRectF(0, top, 1e5, bottom - top))
        for chip in layout.chips:
            self._paint_chip(painter, layout, chip)
        _paint_words(painter, layout, active=active)
        painter.restore()

    def _paint_piece(
        self, painter: QPainter, layout: RowLayout, row: int, number: int, piece: Piece, clip: QRectF
    ) -> None:
        paint = layout.style.colors
        if piece.panel is not None:
            _paint_panel(painter, layout, piece)
        elif piece.block is not None and piece.block.text.startswith(">"):
            _paint_quote(painter, layout, piece)
        context = QAbstractTextDocumentLayout.PaintContext()
        palette = QPalette(layout.style.palette)
        palette.setColor(QPalette.ColorRole.Text, paint.text)
        context.palette = palette
        context.clip = clip.translated(-piece.origin)
        context.selections = [
            *self._marked_in(row, number, piece, paint),
            *self._selections(self._selected_in(row, number, piece), paint),
        ]
        painter.save()
        painter.translate(piece.origin)
        painter.setBrush(Qt.BrushStyle.NoBrush)  # Qt draws the boxes of tasks with what it finds
        painter.setPen(paint.text)
        piece.document.documentLayout().draw(painter, context)
        painter.restore()

    def _paint_chip(self, painter: QPainter, layout: RowLayout, chip: Chip) -> None:
        paint = layout.style.colors
        painter.setPen(QPen(paint.border, 1))
        painter.setBrush(paint.panel)
        painter.drawRoundedRect(chip.rect.adjusted(0.5, 0.5, -0.5, -0.5), S, S)
        image = self.images.get(chip.attachment.id)
        if image is not None and not image.isNull() and not chip.text:
            size = QSizeF(image.size()).scaled(
                chip.rect.size() - QSizeF(S, S), Qt.AspectRatioMode.KeepAspectRatio
            )
            target = QRectF(QPointF(), size)
            target.moveCenter(chip.rect.center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, image)
            return
        painter.setFont(layout.style.small)
        painter.setPen(paint.text)
        text = chip.text or chip.attachment.name
        painter.drawText(chip.rect.adjusted(XS, XS, -XS, -XS), _CENTER | int(Qt.TextFlag.TextWordWrap), text)

    # --- selected text, and words that are looked for -------------------------------------------------------

    def _selections(
        self, cursor: QTextCursor | None, paint: Colors
    ) -> list[QAbstractTextDocumentLayout.Selection]:
        if cursor is None:
            return []
        selection = QAbstractTextDocumentLayout.Selection()
        selection.cursor = cursor
        selection.format.setBackground(paint.accent)
        selection.format.setForeground(paint.on_accent)
        return [selection]

    def _marked_in(
        self, row: int, number: int, piece: Piece, paint: Colors
    ) -> Iterator[QAbstractTextDocumentLayout.Selection]:
        if not self.words:
            return
        for start, end in places_of(self.words, piece):
            here = self.match == Match(row, number, start, end)
            selection = QAbstractTextDocumentLayout.Selection()
            selection.cursor = cursor_over(piece, start, end)
            selection.format.setBackground(paint.accent if here else mixed(paint.base, paint.warn, 0.35))
            selection.format.setForeground(paint.on_accent if here else paint.text)
            yield selection

    def _selected_in(self, row: int, number: int, piece: Piece) -> QTextCursor | None:
        if self.selection is None or self.selection[0].row != row:
            return None
        first, last = sorted(self.selection, key=lambda position: position.order)
        if not first.piece <= number <= last.piece:
            return None
        end = max(piece.document.characterCount() - 1, 0)
        start = min(first.character, end) if number == first.piece else 0
        stop = min(last.character, end) if number == last.piece else end
        return cursor_over(piece, start, stop) if start != stop else None

    def selected_text(self, row_value: Row) -> str:
        """The selected text, as it is shown, with formulas as their LaTeX; empty without a selection."""
        if self.selection is None:
            return ""
        row = self.selection[0].row
        layout = self.layout_of(row, row_value)
        found: list[str] = []
        goes_on = False
        for number, piece in enumerate(layout.pieces):
            cursor = self._selected_in(row, number, piece)
            if cursor is not None:
                text = text_of(cursor)
                if goes_on and found:
                    found[-1] += ("\n" if piece.block is not None and piece.block.code else "") + text
                else:
                    found.append(text)
            goes_on = piece.block is not None and piece.block.cut
        return "\n\n".join(found)

    def position_at(self, number: int, row: Row, point: QPointF) -> TextPosition | None:
        """The place in the text nearest to a point of the row."""
        layout = self.layout_of(number, row)
        piece_number = layout.piece_at(point)
        if piece_number is None:
            return None
        piece = layout.pieces[piece_number]
        place = piece.document.documentLayout().hitTest(point - piece.origin, Qt.HitTestAccuracy.FuzzyHit)
        return TextPosition(number, piece_number, max(place, 0))


def cursor_over(piece: Piece, start: int, end: int) -> QTextCursor:
    """A cursor that selects these characters."""
    cursor = QTextCursor(piece.document)
    cursor.setPosition(start)
    cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
    return cursor


def places_of(words: str, piece: Piece) -> Iterator[tuple[int, int]]:
    """Where words stand in a document, upper or lower case."""
    cursor = piece.document.find(words, 0)
    while not cursor.isNull():
        yield cursor.selectionStart(), cursor.selectionEnd()
        cursor = piece.document.find(words, cursor)


def text_of(cursor: QTextCursor) -> str:
    """The selected text, with formulas as their LaTeX in dollars."""
    text = cursor.selection().toPlainText()
    if "\ufffc" not in text:
        return text
    document, parts = cursor.document(), []
    reader = QTextCursor(document)
    for place in range(cursor.selectionStart(), cursor.selectionEnd()):
        letter = document.characterAt(place)
        if letter == "\ufffc":
            reader.setPosition(place + 1)
            parts.append(f"${reader.charFormat().toolTip() or ''}$")
        else:
            parts.append("\n" if letter in ("\u2029", "\u2028") else letter)
    return "".join(parts)


def _paint_focus(painter: QPainter, layout: RowLayout) -> None:
    """A bar at the side of the row that the keyboard is on."""
    style = layout.style
    x = style.column[1] + L - XS - 3 if style.right_to_left else XS - L
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(style.colors.accent)
    painter.drawRoundedRect(QRectF(x, S, 3, layout.height - L), 1.5, 1.5)


def _paint_quote(painter: QPainter, layout: RowLayout, piece: Piece) -> None:
    """A bar beside what is quoted."""
    rect = piece.rect
    to_left = piece.document.begin().textDirection() == Qt.LayoutDirection.RightToLeft
    x = rect.right() - 3 if to_left else rect.left() + XS
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(layout.style.colors.border)
    painter.drawRoundedRect(QRectF(x, rect.top(), 3, rect.height()), 1.5, 1.5)


def _paint_panel(painter: QPainter, layout: RowLayout, piece: Piece) -> None:
    """The frame of a code block with its language and *Copy code*; a long one is drawn piece by piece."""
    style, panel, block = layout.style, piece.panel, piece.block
    assert panel is not None
    assert block is not None
    painter.save()
    painter.setClipRect(panel.adjusted(-1, 0, 1, 0), Qt.ClipOperation.IntersectClip)
    painter.setPen(QPen(style.colors.border, 1))
    painter.setBrush(style.colors.panel)
    whole = panel.adjusted(0.5, -L if block.goes_on else 0.5, -0.5, L if block.cut else -0.5)
    painter.drawRoundedRect(whole, S, S)
    painter.restore()
    if begins_code(piece):
        spot = copy_rect(piece, style)
        painter.setFont(style.small)
        painter.setPen(style.colors.secondary)
        name = QRectF(panel.left() + M, spot.top(), panel.width() - 2 * M, spot.height())
        painter.drawText(name, _MIDDLE, block.language or tr("code"))
        painter.setPen(style.colors.link)
        painter.drawText(spot, _MIDDLE, tr("Copy code"))


def _paint_words(painter: QPainter, layout: RowLayout, *, active: bool) -> None:
    """Notes, seams, provenance and actions. Actions that wait for the pointer show on hover and focus."""
    paint: Colors = layout.style.colors
    painter.setFont(layout.style.small)
    painter.setPen(QPen(paint.border, 1, Qt.PenStyle.DashLine))
    for height in layout.seams:
        painter.drawLine(QPointF(0, height), QPointF(layout.style.column[1], height))
    for line in layout.lines:
        painter.setPen(getattr(paint, line.tone))
        words = _isolated(line.text, layout.style)
        painter.drawText(line.rect, _MIDDLE | int(Qt.TextFlag.TextWordWrap), words)
    for spot in layout.own_spots:
        if spot.action == "open_attachment" or (spot.hover_only and not active):
            continue
        painter.setPen(paint.secondary if spot.action in _QUIET else paint.link)
        painter.drawText(spot.rect, _MIDDLE, _isolated(spot.text, layout.style))


def _isolated(text: str, style: Style) -> str:
    """Words that keep their own direction where everything runs from right to left."""
    if not style.right_to_left or not any(map(str.isalpha, text)):
        return text
    return "\n".join(f"\u2068{line}\u2069" for line in text.split("\n"))
