"""Where everything in a row of the transcript is: documents, lines, click targets. `delegate` paints it.

A row is laid out once for a width and a palette and kept until it changes. While an answer grows, the
documents of its closed blocks are taken over from the layout before, so a flush costs one small document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, QUrl
from PySide6.QtGui import QFont, QFontDatabase, QFontMetricsF, QPalette, QTextDocument, QTextOption

from whisper_desktop.chat import GUIDE_LABEL
from whisper_desktop.chat.breaks import parts
from whisper_desktop.ui.chat import highlight, markdown
from whisper_desktop.ui.chat.markdown import Block, Splitter
from whisper_desktop.ui.chat.rows import (
    Kind,
    Row,
    aside_lines,
    aside_text,
    call_lines,
    detail_lines,
    note_line,
    offers,
    seams_of,
    who_line,
    whole_text,
    why_line,
)
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, XS, Colors, L, M, S, colors

_WRAP = int(Qt.TextFlag.TextWordWrap)
_LONGEST_WORD = 2000  # characters
_DOT = " · "  # between the parts of the line below an answer


class SafeDocument(QTextDocument):
    """A document that never loads anything: no file, no address, whatever the text asks for."""

    def loadResource(self, kind: int, name: QUrl | str) -> object:  # noqa: N802
        return None


@dataclass(frozen=True, slots=True)
class Style:
    """What a layout depends on besides the row: fonts, colours, the width of the view."""

    font: QFont
    small: QFont
    code: QFont
    palette: QPalette
    colors: Colors
    width: float

    @classmethod
    def of(cls, font: QFont, palette: QPalette, width: float) -> "Style":
        """The style for a view of this width."""
        small = QFont(font)
        small.setPointSizeF(max(font.pointSizeF() - 1, 1.0))
        code = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        code.setPointSizeF(max(font.pointSizeF() - 0.5, 1.0))
        return cls(QFont(font), small, code, palette, colors(palette), width)

    @property
    def column(self) -> tuple[float, float]:
        """Left edge and width of the column of text: centred, at most 72 characters wide."""
        widest = QFontMetricsF(self.font).averageCharWidth() * COLUMN_CHARACTERS + 2 * M
        width = max(min(self.width - 2 * L, widest), 80.0)
        return (self.width - width) / 2, width


@dataclass(slots=True)
class Piece:
    """A document at a place. `block` is the markdown behind it, `panel` the frame of a code block."""

    document: QTextDocument
    origin: QPointF
    block: Block | None = None
    panel: QRectF | None = None

    @property
    def rect(self) -> QRectF:
        """Where the document lies."""
        return QRectF(self.origin, QSizeF(self.document.size()))


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that does something when clicked: "copy", "copy_code", "details", "reasoning", "aside", or one
    of `rows.offers`.
    """

    rect: QRectF
    action: str
    value: str = ""
    text: str = ""
    hover_only: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of small text, at its top left corner. `tone` names a colour of `Colors`."""

    text: str
    rect: QRectF
    tone: str = "secondary"


@dataclass(slots=True)
class RowLayout:
    """One row, laid out. Coordinates start at the row's top left corner; `seams` are heights."""

    row: Row
    style: Style
    height: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    bubble: QRectF | None = None
    seams: list[float] = field(default_factory=list)
    splitter: Splitter = field(default_factory=Splitter)

    def piece_at(self, point: QPointF) -> int | None:
        """The piece nearest to a height, for selecting text; None where there is none."""
        if not self.pieces:
            return None
        for number, piece in enumerate(self.pieces):
            if point.y() < piece.rect.bottom():
                return number
        return len(self.pieces) - 1

    def link_at(self, point: QPointF) -> str:
        """The address under a point, an empty text where there is none."""
        for piece in self.pieces:
            if piece.rect.contains(point):
                return str(piece.document.documentLayout().anchorAt(point - piece.origin))
        return ""

    def spot_at(self, point: QPointF) -> Spot | None:
        """What would be clicked at a point."""
        return next((spot for spot in self.spots if spot.rect.contains(point)), None)

    def links(self) -> tuple[str, ...]:
        """Every address in the row, in order, once."""
        return tuple(dict.fromkeys(link for piece in self.pieces for link in _links(piece.document)))


def lay_out(row: Row, style: Style, before: RowLayout | None = None) -> RowLayout:
    """The layout of a question or an answer; `before` is the layout of the same row a moment ago."""
    layout = RowLayout(row, style)
    if row.kind is Kind.QUESTION:
        _question(layout)
    else:
        _answer(layout, before if before is not None and before.style == style else None)
    return layout


def _question(layout: RowLayout) -> None:
    style = layout.style
    left, width = layout.style.column
    document = _document(style, style.font, layout.row.text)
    document.setPlainText(layout.row.text)
    document.setTextWidth(width * 0.82 - 2 * M)
    document.setTextWidth(document.idealWidth() + 1)
    size = document.size()
    bubble = QRectF(left + width - size.width() - 2 * M, M, size.width() + 2 * M, size.height() + 2 * S)
    layout.bubble = bubble
    layout.pieces.append(Piece(document, bubble.topLeft() + QPointF(M, S)))
    layout.height = bubble.bottom() + M


def _answer(layout: RowLayout, before: RowLayout | None) -> None:
    row, style = layout.row, layout.style
    left, width = style.column
    y = float(S)
    if row.guide and row.active:
        y = _line(layout, GUIDE_LABEL, left, y, width) + XS
    if row.set_aside:
        y = _set_aside(layout, left, y, width)
    if row.reasoning:
        y = _reasoning(layout, left, y, width)
    y = _blocks(layout, before, left, y, width)
    for call in call_lines(row):
        y = _paragraph(layout, call, left, y, width, "secondary") + XS
    if row.note:
        y = _line(layout, note_line(row), left, y, width)
    if row.seam:
        sentence, tone = (f"⚠  {row.seam}", "warn") if row.error else (row.seam, "secondary")
        y = _seam(layout, sentence, left, y, width, tone)
    if not row.active:
        y = _footer(layout, left, y + XS, width)
    layout.height = y + M


def _set_aside(layout: RowLayout, left: float, y: float, width: float) -> float:
    """What came before the answer began anew: a line for each, and below them the texts, on a click."""
    row, said = layout.row, aside_lines(layout.row)
    for line in said:
        y = _paragraph(layout, line, left, y, width, "secondary") + XS
    text = "▾ Hide what came first" if row.aside_open else "▸ Show what came first"
    rect = _line_rect(layout.style, text, left, y)
    layout.spots.append(Spot(rect, "aside", "", text))
    y = rect.bottom() + XS
    for line, aside in zip(said, row.set_aside if row.aside_open else (), strict=False):
        if len(said) > 1:
            y = _paragraph(layout, line, left + M, y + XS, width - M, "secondary") + XS
        y = _small(layout, aside_text(aside), left, y, width, formatted=True)
    if row.text or row.reasoning or row.note:
        layout.seams.append(y)
    return y + S


def _seam(layout: RowLayout, sentence: str, left: float, y: float, width: float, tone: str) -> float:
    layout.seams.append(y + S)
    return _paragraph(layout, sentence, left, y + M + XS, width, tone)


def _blocks(layout: RowLayout, before: RowLayout | None, left: float, y: float, width: float) -> float:
    """The text, with a seam wherever somebody else went on with it; only its last part grows."""
    row = layout.row
    source, *others = parts(row.text, row.seams)
    known = {piece.block: piece.document for piece in before.pieces if piece.block} if before else {}
    for part, sentence in zip(others, seams_of(row), strict=True):
        y = _placed(layout, markdown.split(source), known, left, y, width)
        y = _seam(layout, sentence, left, y, width, "secondary") + S
        source = markdown.resumed(source, part)
    if row.active:
        if before is not None:
            layout.splitter = before.splitter
        blocks = layout.splitter.feed(source)
    else:
        blocks = markdown.split(source)
    return _placed(layout, blocks, known, left, y, width)


def _placed(
    layout: RowLayout, blocks: Sequence[Block], known: "_Known", left: float, y: float, width: float
) -> float:
    for block in blocks:
        place = _code if block.code else _text
        y = place(layout, block, known, left, y, width)
    return y


_Known = Mapping[Block, QTextDocument]


def _text(layout: RowLayout, block: Block, known: _Known, left: float, y: float, width: float) -> float:
    document = known.get(block)
    if document is None:
        document = _document(layout.style, layout.style.font, block.text)
        document.setHtml(markdown.to_html(block))
        document.setTextWidth(width)
    layout.pieces.append(Piece(document, QPointF(left, y), block))
    return y + document.size().height() + S


def _code(layout: RowLayout, block: Block, known: _Known, left: float, y: float, width: float) -> float:
    style = layout.style
    document = known.get(block)
    if document is None:
        document = _document(style, style.code, block.text)
        dark = style.colors.dark
        language = block.language if block.closed else ""
        body = highlight.to_html(block.text, language, dark=dark)
        document.setHtml(f'<div style="white-space: pre-wrap">{body}</div>')
        document.setTextWidth(width - 2 * M)
    small = QFontMetricsF(style.small)
    head = small.height() + S
    panel = QRectF(left, y, width, head + document.size().height() + M)
    layout.pieces.append(Piece(document, QPointF(left + M, y + head + XS), block, panel))
    name = QRectF(left + M, y + XS, width / 2, small.height() + XS)
    layout.lines.append(Line(block.language or "code", name))
    word = "Copy code"
    size = small.horizontalAdvance(word)
    spot = QRectF(panel.right() - M - size, y + XS, size + XS, small.height() + XS)
    layout.spots.append(Spot(spot, "copy_code", block.text, word))
    return panel.bottom() + M


def _reasoning(layout: RowLayout, left: float, y: float, width: float) -> float:
    row = layout.row
    mark = "▾" if row.reasoning_open else "▸"
    text = f"{mark} Reasoning · {len(row.reasoning.split())} words"
    rect = _line_rect(layout.style, text, left, y)
    layout.spots.append(Spot(rect, "reasoning", "", text))
    y = rect.bottom() + XS
    return _small(layout, row.reasoning, left, y, width) if row.reasoning_open else y


def _small(
    layout: RowLayout, text: str, left: float, y: float, width: float, *, formatted: bool = False
) -> float:
    """Text as it is, or `formatted` as markdown; small and set in, and it can be selected."""
    document = _document(layout.style, layout.style.small, text)
    if formatted:
        document.setHtml(markdown.to_html(Block(text)))
    else:
        document.setPlainText(text)
    document.setTextWidth(width - M)
    layout.pieces.append(Piece(document, QPointF(left + M, y)))
    return y + document.size().height() + S


def _footer(layout: RowLayout, left: float, y: float, width: float) -> float:
    """The provenance line, a click target, with *Copy* at its right; the attempts below while it is open."""
    row, style = layout.row, layout.style
    metrics = QFontMetricsF(style.small)
    if why := why_line(row):
        y = _paragraph(layout, why, left, y, width, "secondary")
    copy = "Copy"
    copy_width = metrics.horizontalAdvance(copy) + 2 * XS
    actions = [(action, label, metrics.horizontalAdvance(label) + XS) for action, label in offers(row)]
    free = width - copy_width - S - sum(wide + M for _action, _label, wide in actions)
    who = _wrapped(who_line(row), metrics, free - XS)
    text = "\n".join(who)
    rect = QRectF(left, y, free, metrics.height() * len(who) + XS)
    if text:
        rect.setWidth(min(max(map(metrics.horizontalAdvance, who)) + XS, free))
        layout.spots.append(Spot(rect, "details" if row.provenance else "", "", text))
    start = rect.right() + M if text else left
    for action, label, wide in actions:
        layout.spots.append(Spot(QRectF(start, y, wide, metrics.height() + XS), action, "", label))
        start += wide + M
    if row.text:
        place = QRectF(left + width - copy_width, y, copy_width, metrics.height() + XS)
        layout.spots.append(Spot(place, "copy", whole_text(row), copy, hover_only=True))
    y = rect.bottom()
    if row.open:
        for line in detail_lines(row):
            y = _paragraph(layout, line, left + M, y + XS, width - M, "secondary")
    return y


def _wrapped(text: str, metrics: QFontMetricsF, width: float) -> list[str]:
    """The line below an answer as lines of `width`, broken between its parts.

    Only a name that fills more than a line gives way, in its middle.
    """
    lines = [""]
    for part in text.split(_DOT):
        longer = f"{lines[-1]}{_DOT}{part}" if lines[-1] else part
        if metrics.horizontalAdvance(longer) <= width:
            lines[-1] = longer
            continue
        shown = metrics.elidedText(part, Qt.TextElideMode.ElideMiddle, width)
        lines[-1:] = [lines[-1], shown] if lines[-1] else [shown]
    return lines


def _line(layout: RowLayout, text: str, left: float, y: float, width: float) -> float:
    rect = _line_rect(layout.style, text, left, y)
    rect.setWidth(width)
    layout.lines.append(Line(text, rect))
    return rect.bottom()


def _paragraph(layout: RowLayout, text: str, left: float, y: float, width: float, tone: str) -> float:
    """Small text that may take several lines."""
    metrics = QFontMetricsF(layout.style.small)
    bounds = metrics.boundingRect(QRectF(0, 0, width, 1e6), _WRAP, text)
    rect = QRectF(left, y, width, bounds.height())
    layout.lines.append(Line(text, rect, tone))
    return rect.bottom()


def _line_rect(style: Style, text: str, left: float, y: float) -> QRectF:
    metrics = QFontMetricsF(style.small)
    return QRectF(left, y, metrics.horizontalAdvance(text) + XS, metrics.height() + XS)


def wrap_mode(text: str) -> QTextOption.WrapMode:
    """Lines break between words; a text with an endless word breaks anywhere.

    Qt looks for the end of the word from every line of it, so a megabyte of base64 takes minutes otherwise.
    """
    if max(map(len, text.split()), default=0) > _LONGEST_WORD:
        return QTextOption.WrapMode.WrapAnywhere
    return QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere


def _document(style: Style, font: QFont, text: str) -> QTextDocument:
    document = SafeDocument()
    document.setDocumentMargin(0)
    document.setDefaultFont(font)
    option = QTextOption()
    option.setWrapMode(wrap_mode(text))
    document.setDefaultTextOption(option)
    document.setDefaultStyleSheet(_style_sheet(style))
    return document


def _style_sheet(style: Style) -> str:
    paint = style.colors
    return f"""
        p, ul, ol, h1, h2, h3, h4, h5, h6, table, blockquote {{ margin-top: 0; margin-bottom: 4px; }}
        h1 {{ font-size: large; }} h2 {{ font-size: large; }} h3 {{ font-size: medium; }}
        a {{ color: {paint.link.name()}; }}
        code {{ font-family: "{style.code.family()}"; background-color: {paint.panel.name()}; }}
        blockquote {{ color: {paint.secondary.name()}; margin-left: {L}px; }}
        table {{ border-collapse: collapse; border-style: solid; border-color: {paint.border.name()}; }}
        th {{ background-color: {paint.panel.name()}; }}
    """


def _links(document: QTextDocument) -> Iterator[str]:
    block = document.begin()
    while block.isValid():
        part = block.begin()
        while not part.atEnd():
            if address := part.fragment().charFormat().anchorHref():
                yield address
            part += 1
        block = block.next()
