"""Blocks of a growing text below each other, as documents. Only what is new, or still open, is laid out."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from PySide6.QtCore import QPointF, QRectF, QSizeF, QUrl
from PySide6.QtGui import QFont, QFontMetricsF, QTextCharFormat, QTextCursor, QTextDocument

from whisper_desktop.language import tr
from whisper_desktop.ui.chat import highlight_document
from whisper_desktop.ui.chat.layout_style import Style, document
from whisper_desktop.ui.chat.markdown import Block, Splitter
from whisper_desktop.ui.chat.markdown_html import formula_source, to_html
from whisper_desktop.ui.chat.math_images import PENDING, Picture
from whisper_desktop.ui.theme import XS, M, S

_MATH = re.compile(r"\$|\\[(\[]")


@dataclass(slots=True)
class Piece:
    """A document at a place. `block` is the markdown behind it, `panel` the frame of a code block.

    `bottom` is where the next one begins. `waiting`: a formula in it is being drawn.
    """

    document: QTextDocument
    origin: QPointF
    block: Block | None = None
    panel: QRectF | None = None
    bottom: float = 0.0
    waiting: bool = False

    @property
    def rect(self) -> QRectF:
        """Where the document lies."""
        return QRectF(self.origin, QSizeF(self.document.size()))

    def move(self, by: float) -> None:
        """Shift it down."""
        self.origin += QPointF(0, by)
        self.bottom += by
        if self.panel is not None:
            self.panel.translate(0, by)


class Flow:
    """The pieces of one text, from `top` to `bottom`. `small` is for what is set aside."""

    def __init__(self, style: Style, left: float, width: float, *, small: bool = False) -> None:
        self.style = style
        self.left, self.width, self.small = left, width, small
        self.top = 0.0
        self.pieces: list[Piece] = []
        self._bottoms: list[float] = []  # of the pieces, from the top
        self._splitter = Splitter()
        self._source: list[Block] = self._splitter.closed
        self._closed = 0  # so many pieces are of closed blocks
        self.unchanged = 0.0  # above it, everything is as it was before it grew

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.pieces[-1].bottom if self.pieces else self.top

    def grow(self, text: str, top: float, *, whole: bool) -> None:
        """Show this text, which mostly continues the one before, from a height on."""
        self._move_to(top)
        self._splitter.feed(text, whole=whole)
        if self._splitter.closed is not self._source:
            self._source, self._closed = self._splitter.closed, 0
        new = self._source[self._closed :]
        if not new and self._open == self._splitter.open:
            return
        known = {piece.block: piece for piece in self.pieces[self._closed :] if piece.block is not None}
        self._drop(self._closed)
        self.unchanged = self.bottom
        for block in new:
            self._add(block, known)
        self._closed = len(self.pieces)
        for block in self._splitter.open:
            self._add(block, known)

    @property
    def _open(self) -> tuple[Block | None, ...]:
        return tuple(piece.block for piece in self.pieces[self._closed :])

    def visible(self, top: float, bottom: float) -> Iterator[tuple[int, Piece]]:
        """The pieces between two heights, with their numbers."""
        first = bisect_right(self._bottoms, top - self.top)
        for number in range(first, len(self.pieces)):
            piece = self.pieces[number]
            if (piece.panel.top() if piece.panel is not None else piece.origin.y()) > bottom:
                return
            yield number, piece

    def code_of(self, piece: Piece) -> str:
        """The whole code that begins with this piece."""
        number = self.pieces.index(piece)
        return "".join(each.block.text for each in self._rest(number) if each.block is not None)

    def redraw(self) -> bool:
        """Lay out again what waited for a formula; whether there was anything."""
        waited = next((number for number, piece in enumerate(self.pieces) if piece.waiting), None)
        if waited is None:
            return False
        blocks = [piece.block for piece in self.pieces[waited:] if piece.block is not None]
        known = {
            piece.block: piece
            for piece in self.pieces[waited:]
            if piece.block is not None and not piece.waiting
        }
        self._drop(waited)
        for block in blocks:
            self._add(block, known)
        return True

    def _rest(self, number: int) -> Iterator[Piece]:
        """A piece and those that go on with it."""
        yield self.pieces[number]
        for before, piece in pairwise(self.pieces[number:]):
            if before.block is None or not before.block.cut:
                return
            yield piece

    def _move_to(self, top: float) -> None:
        if by := top - self.top:
            self.top = top
            for piece in self.pieces:
                piece.move(by)

    def _drop(self, number: int) -> None:
        del self.pieces[number:]
        del self._bottoms[number:]

    def _add(self, block: Block, known: dict[Block, Piece]) -> None:
        before = known.get(block)
        if before is None and not _MATH.search(block.text):  # formulas are drawn when their block is closed
            before = known.get(replace(block, closed=False))
        y = self.bottom
        piece = (self._code if block.code else self._text)(block, y, before)
        self.pieces.append(piece)
        self._bottoms.append(piece.bottom - self.top)
        if block.code and block.closed and not block.cut:
            self._color()

    def _gap(self, block: Block) -> float:
        if block.cut:
            return 0.0
        return XS if block.tight else M

    def _text(self, block: Block, y: float, before: Piece | None) -> Piece:
        style, waiting = self.style, False
        left = self.left + block.indent * style.indent
        if block.text.startswith("#") and self.pieces:
            y += S
        if before is not None:
            made = before.document
        else:
            made = document(self._font, block.text)
            made.setIndentWidth(style.indent)
            made.setDefaultStyleSheet(style.sheet)
            waiting = self._fill(made, block)
            made.setTextWidth(self.left + self.width - left)
        piece = Piece(made, QPointF(left, y), block, waiting=waiting)
        piece.bottom = y + made.size().height() + self._gap(block)
        return piece

    @property
    def _font(self) -> QFont:
        return self.style.small if self.small else self.style.font

    def _fill(self, made: QTextDocument, block: Block) -> bool:
        """Put the text into its document; whether a formula in it is still being drawn."""
        formulas, waiting = self.style.formulas, False
        pictures: list[Picture] = []

        def drawn(latex: str, display: bool) -> str:
            nonlocal waiting
            assert formulas is not None
            found = formulas.picture(
                latex, display, self._font, self.style.colors.text, self.style.pixel_ratio
            )
            if found is PENDING:
                waiting = True
            if found is None or found is PENDING:
                return formula_source(latex, display)
            pictures.append(found)
            return found.html(f"math:{len(pictures) - 1}")

        html = to_html(block, drawn if formulas is not None and block.closed else formula_source)
        for number, picture in enumerate(pictures):
            made.addResource(QTextDocument.ResourceType.ImageResource, QUrl(f"math:{number}"), picture.image)
        made.setHtml(html)
        _set_on_baseline(made, pictures)
        return waiting

    def _code(self, block: Block, y: float, before: Piece | None) -> Piece:
        style = self.style
        left = self.left + block.indent * style.indent
        width = self.left + self.width - left
        if before is not None:
            made = before.document
        else:
            made = document(style.code, block.text)
            made.setPlainText(block.text.removesuffix("\n") if block.cut else block.text)
            made.setTextWidth(width - 2 * M)
        head = 0.0 if block.goes_on else code_head(style) + XS
        empty = block.goes_on and not block.text
        height = 0.0 if empty else made.size().height()
        bottom = y + head + height + (0.0 if block.cut else S)
        panel = QRectF(left, y, width, bottom - y)
        piece = Piece(made, QPointF(left + M, y + head), block, panel)
        piece.bottom = bottom + (0.0 if block.cut else M)
        return piece

    def _color(self) -> None:
        """The last piece ends a code block: colour all of it."""
        first = len(self.pieces) - 1
        while first and (block := self.pieces[first].block) is not None and block.goes_on:
            first -= 1
        run = self.pieces[first:]
        language = run[0].block.language if run[0].block is not None else ""
        parts = [(piece.document, piece.block.text) for piece in run if piece.block is not None]
        highlight_document.color(parts, language, self.style)


def _set_on_baseline(made: QTextDocument, pictures: Sequence[Picture]) -> None:
    """Formulas that do not reach below the letters stand where those stand."""
    level = QTextCharFormat()
    level.setVerticalAlignment(QTextCharFormat.VerticalAlignment.AlignBaseline)
    cursor = QTextCursor(made)
    for picture in pictures:
        cursor = made.find("\ufffc", cursor)
        if cursor.isNull():
            return
        if not picture.deep and not picture.display:
            cursor.mergeCharFormat(level)


def code_head(style: Style) -> float:
    """The height of the line above code, with its language and *Copy code*."""
    return QFontMetricsF(style.small).height() + S


def copy_rect(piece: Piece, style: Style) -> QRectF:
    """Where *Copy code* stands."""
    metrics = QFontMetricsF(style.small)
    assert piece.panel is not None
    wide = metrics.horizontalAdvance(tr("Copy code")) + XS
    left = piece.panel.left() + M - XS if style.right_to_left else piece.panel.right() - M - wide + XS
    return QRectF(left, piece.panel.top() + XS, wide, metrics.height() + XS)


def begins_code(piece: Piece) -> bool:
    """Whether it is the first, or the only, piece of a code block."""
    return piece.block is not None and piece.block.code and not piece.block.goes_on


def addresses(pieces: Sequence[Piece]) -> Iterator[str]:
    """The addresses of all links, in order."""
    for piece in pieces:
        block = piece.document.begin()
        while block.isValid():
            part = block.begin()
            while not part.atEnd():
                if address := part.fragment().charFormat().anchorHref():
                    yield address
                part += 1
            block = block.next()
