"""Where everything in a row of the transcript is: documents, lines, click targets. `delegate` paints it.

A row is laid out once for a width and a palette and kept until it changes. While an answer grows, its texts
are taken over from the layout before and only grow, so a flush costs what is new.
"""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF

from whisper_desktop.chat import GUIDE_LABEL
from whisper_desktop.chat.breaks import parts
from whisper_desktop.language import tr
from whisper_desktop.ui.chat import markdown
from whisper_desktop.ui.chat.layout_flow import Flow, Piece
from whisper_desktop.ui.chat.layout_parts import Chip, Line, RowLayout, Spot
from whisper_desktop.ui.chat.layout_style import Style, document, wrap_mode
from whisper_desktop.ui.chat.rows import (
    Kind,
    Row,
    aside_lines,
    aside_text,
    attachment_line,
    branch_line,
    call_lines,
    detail_lines,
    hover_actions,
    note_line,
    offers,
    reasoning_line,
    seams_of,
    shown_question,
    who_line,
    why_line,
)
from whisper_desktop.ui.theme import XS, M, S

__all__ = ["Chip", "Line", "Piece", "RowLayout", "Spot", "Style", "lay_out", "wrap_mode"]

_WRAP = int(Qt.TextFlag.TextWordWrap)
_DOT = " · "  # between the parts of the line below an answer
_BUBBLE = 0.82  # of the column, at most
_THUMBNAIL = (160.0, 96.0)  # px
_CHUNK = 4_000  # characters of a question in one document


def lay_out(row: Row, style: Style, before: RowLayout | None = None) -> RowLayout:
    """The layout of a question or an answer; `before` is the layout of the same row a moment ago, which is
    used up.
    """
    layout = RowLayout(row, style)
    if row.kind is Kind.QUESTION:
        _question(layout)
    else:
        known = before.flows if before is not None and before.style.fits(style) else {}
        _answer(layout, known)
        if before is not None and known and _only_grew(before.row, row):
            layout.unchanged = max(list(layout.flows.values())[-1].unchanged - S, 0.0)
    return layout


def _only_grew(before: Row, row: Row) -> bool:
    """Whether nothing but text was added at the end."""
    return (
        before.active
        and row.active
        and before.reasoning is row.reasoning
        and before.reasoning_open == row.reasoning_open
        and len(before.seams) == len(row.seams)
        and before.set_aside is row.set_aside
        and before.aside_open == row.aside_open
    )


# --- a question ---------------------------------------------------------------------------------------------


def _question(layout: RowLayout) -> None:
    row, style = layout.row, layout.style
    width = style.column[1]
    y = _chips(layout, float(M), width)
    text = shown_question(row)
    documents = [document(style.font, chunk) for chunk in _chunks(text)]
    for made, chunk in zip(documents, _chunks(text), strict=True):
        made.setPlainText(chunk)
        made.setTextWidth(width * _BUBBLE - 2 * M)
    ideal = max((made.idealWidth() for made in documents), default=0.0) + 1
    if documents:
        bubble = QRectF(width - ideal - 2 * M, y, ideal + 2 * M, 0)
        if style.right_to_left:
            bubble.moveLeft(0)
        y += S
        for made in documents:
            made.setTextWidth(ideal)
            layout.plain.append(Piece(made, QPointF(bubble.left() + M, y)))
            y += made.size().height()
        bubble.setBottom(y + S)
        layout.bubble = bubble
        y = bubble.bottom()
    y = _actions(layout, width, y + XS, 0.0)
    layout.height = y + XS


def _chunks(text: str) -> list[str]:
    """A text in pieces of some lines, so that a long one is not one long document."""
    chunks = []
    while len(text) > _CHUNK and (at := text.rfind("\n", 0, _CHUNK)) > 0:
        chunks.append(text[:at])
        text = text[at + 1 :]
    return [*chunks, text] if text else chunks


def _chips(layout: RowLayout, y: float, width: float) -> float:
    """The attachments, in rows."""
    style, metrics = layout.style, QFontMetricsF(layout.style.small)
    x = height = 0.0
    placed: list[list[Chip]] = [[]]
    for attachment in layout.row.attachments:
        if attachment.is_image:
            size, text = _THUMBNAIL, ""
        else:
            text = metrics.elidedText(
                attachment_line(attachment), Qt.TextElideMode.ElideMiddle, width * _BUBBLE - 2 * M
            )
            size = (metrics.horizontalAdvance(text) + 2 * M, metrics.height() + 2 * XS)
        if x and x + size[0] > width:
            y += height + S
            x = height = 0.0
            placed.append([])
        chip = Chip(attachment, QRectF(x, y, *size), text)
        placed[-1].append(chip)
        x, height = x + size[0] + S, max(height, size[1])
    for line in placed:
        shift = width - (line[-1].rect.right() if line else 0.0)
        for chip in line:
            if layout.row.kind is Kind.QUESTION and not style.right_to_left:
                chip.rect.translate(shift, 0)
            layout.chips.append(chip)
            words = attachment_line(chip.attachment)
            layout.own_spots.append(Spot(chip.rect, "open_attachment", chip.attachment.id, words))
    return y + height + (S if layout.row.attachments else 0.0)


# --- an answer ----------------------------------------------------------------------------------------------


def _answer(layout: RowLayout, known: dict[str, Flow]) -> None:
    row, style = layout.row, layout.style
    width = style.column[1]
    y = float(S)
    if row.guide and row.active:
        y = _line(layout, tr(GUIDE_LABEL), 0.0, y, width) + XS
    if row.set_aside:
        y = _set_aside(layout, known, y, width)
    if row.reasoning:
        y = _reasoning(layout, known, y, width)
    y = _chips(layout, y, width)
    y = _text(layout, known, y, width)
    for call in call_lines(row):
        y = _paragraph(layout, call, 0.0, y, width, "secondary") + XS
    if row.note:
        y = _line(layout, note_line(row), 0.0, y, width)
    if row.seam:
        sentence, tone = (f"⚠  {row.seam}", "warn") if row.error else (row.seam, "secondary")
        y = _seam(layout, sentence, y, width, tone)
    if not row.active:
        y = _footer(layout, y + XS, width)
    layout.height = y + M


def _flow(
    layout: RowLayout, known: dict[str, Flow], name: str, text: str, y: float, *, whole: bool, small: bool
) -> float:
    """One text of the row, grown from what it was before."""
    flow = known.get(name)
    if flow is None:
        left = float(M) if small else 0.0
        flow = Flow(layout.style, left, layout.style.column[1] - left, small=small)
    layout.flows[name] = flow
    flow.grow(text, y, whole=whole)
    return flow.bottom


def _set_aside(layout: RowLayout, known: dict[str, Flow], y: float, width: float) -> float:
    """What came before the answer began anew: a line for each, and below them the texts, on a click."""
    row, said = layout.row, aside_lines(layout.row)
    for line in said:
        y = _paragraph(layout, line, 0.0, y, width, "secondary") + XS
    words = tr("Hide what came first") if row.aside_open else tr("Show what came first")
    y = _fold(layout, "aside", words, y, is_open=row.aside_open)
    for number, aside in enumerate(row.set_aside if row.aside_open else ()):
        if len(said) > 1:
            y = _paragraph(layout, said[number], float(M), y + XS, width - M, "secondary") + XS
        y = _flow(layout, known, f"aside {number}", aside_text(aside), y, whole=True, small=True)
    if row.text or row.reasoning or row.note:
        layout.seams.append(y)
    return y + S


def _reasoning(layout: RowLayout, known: dict[str, Flow], y: float, width: float) -> float:
    row = layout.row
    y = _fold(layout, "reasoning", reasoning_line(row), y, is_open=row.reasoning_open)
    if not row.reasoning_open:
        return y
    still = row.active and not row.text
    return _flow(layout, known, "reasoning", row.reasoning, y, whole=not still, small=True)


def _text(layout: RowLayout, known: dict[str, Flow], y: float, width: float) -> float:
    """The text, with a seam wherever somebody else went on with it; only its last part grows."""
    row = layout.row
    source, *others = parts(row.text, row.seams)
    number = 0
    for number, (part, sentence) in enumerate(zip(others, seams_of(row), strict=True), 1):
        y = _flow(layout, known, f"text {number - 1}", source, y, whole=True, small=False)
        y = _seam(layout, sentence, y, width, "secondary") + S
        source = markdown.resumed(source, part)
    return _flow(layout, known, f"text {number}", source, y, whole=not row.active, small=False)


def _seam(layout: RowLayout, sentence: str, y: float, width: float, tone: str) -> float:
    layout.seams.append(y + S)
    return _paragraph(layout, sentence, 0.0, y + M + XS, width, tone)


def _footer(layout: RowLayout, y: float, width: float) -> float:
    """The provenance line, a click target, with what can be done beside it; every attempt below when open."""
    row, style = layout.row, layout.style
    metrics = QFontMetricsF(style.small)
    if why := why_line(row):
        y = _paragraph(layout, why, 0.0, y, width, "secondary")
    shown = [(action, label, metrics.horizontalAdvance(label) + XS) for action, label in offers(row)]
    free = width - sum(wide + M for _action, _label, wide in shown)
    who = _wrapped(who_line(row), metrics, free - XS)
    text = "\n".join(who)
    x = 0.0
    if text:
        wide = min(max(map(metrics.horizontalAdvance, who)) + XS, free)
        rect = _mirrored(style, QRectF(0, y, wide, metrics.height() * len(who) + XS))
        layout.own_spots.append(Spot(rect, "details" if row.provenance else "", "", text))
        x = wide + M
    for action, label, wide in shown:
        rect = _mirrored(style, QRectF(x, y, wide, metrics.height() + XS))
        layout.own_spots.append(Spot(rect, action, "", label))
        x += wide + M
    below = y + metrics.height() * max(len(who), 1) + XS
    y = max(_actions(layout, width, y, x), below)
    if row.open:
        for line in detail_lines(row):
            y = _paragraph(layout, line, float(M), y + XS, width - M, "secondary")
    return y


def _actions(layout: RowLayout, width: float, y: float, taken: float) -> float:
    """What can be done with a row, at its end: beside what stands there already, or below it."""
    row, style = layout.row, layout.style
    metrics = QFontMetricsF(style.small)
    spots = [
        (action, label, metrics.horizontalAdvance(label) + XS, True) for action, label in hover_actions(row)
    ]
    if row.branch[1] > 1:
        switch = [("branch_back", "‹"), ("", branch_line(row)), ("branch_on", "›")]
        spots += [
            (action, label, metrics.horizontalAdvance(label) + 2 * XS, False) for action, label in switch
        ]
    if not spots:
        return y
    needed = sum(wide + S for _action, _label, wide, _hover in spots) - S
    height = metrics.height() + XS
    if taken and needed > width - taken:
        y += height
    x = max(width - needed, 0.0)
    for action, label, wide, hover in spots:
        rect = _mirrored(style, QRectF(x, y, wide, height))
        layout.own_spots.append(Spot(rect, action, "", label, hover_only=hover))
        x += wide + S
    return y + height


# --- lines --------------------------------------------------------------------------------------------------


def _mirrored(style: Style, rect: QRectF) -> QRectF:
    """The rectangle as it lies where one reads from right to left."""
    if style.right_to_left:
        rect.moveLeft(style.column[1] - rect.right())
    return rect


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


def _fold(layout: RowLayout, action: str, words: str, y: float, *, is_open: bool) -> float:
    """A line that opens and closes what is below it."""
    metrics = QFontMetricsF(layout.style.small)
    mark = "▾" if is_open else "◂" if layout.style.right_to_left else "▸"
    text = f"{mark} {words}"
    rect = QRectF(0, y, metrics.horizontalAdvance(text) + XS, metrics.height() + XS)
    layout.own_spots.append(Spot(_mirrored(layout.style, rect), action, "", text))
    return rect.bottom() + XS


def _line(layout: RowLayout, text: str, left: float, y: float, width: float) -> float:
    height = QFontMetricsF(layout.style.small).height() + XS
    layout.lines.append(Line(text, QRectF(left, y, width, height)))
    return y + height


def _paragraph(layout: RowLayout, text: str, left: float, y: float, width: float, tone: str) -> float:
    """Small text that may take several lines."""
    metrics = QFontMetricsF(layout.style.small)
    bounds = metrics.boundingRect(QRectF(0, 0, width, 1e6), _WRAP, text)
    rect = _mirrored(layout.style, QRectF(left, y, width, bounds.height()))
    layout.lines.append(Line(text, rect, tone))
    return rect.bottom()
