"""How high a row will be, told from how long its text is: good enough to scroll by until it is laid out."""

from collections.abc import Callable

from PySide6.QtGui import QFontMetricsF

from whisper_desktop.ui.chat.layout_style import Style
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.ui.theme import L, M

_FILLED = 0.85  # of a line, on average: words are not broken
_BUBBLE = 0.7


def estimator(style: Style) -> Callable[[Row], int]:
    """What estimates the heights of rows in this style, in pixels."""
    metrics, small = QFontMetricsF(style.font), QFontMetricsF(style.small)
    line, footer = metrics.lineSpacing(), small.lineSpacing() + 2 * L
    in_line = max(style.column[1] / metrics.averageCharWidth() * _FILLED, 10.0)
    picture = 120

    def height(row: Row) -> int:
        text = row.text
        if row.kind is Kind.QUESTION:
            lines = len(text) / (in_line * _BUBBLE) + text.count("\n") + 1
            return int(lines * line + footer + 2 * M + (picture if row.attachments else 0))
        if row.kind is Kind.FAILURE:
            return int(6 * line)
        # A blank line is no line, but the space between two blocks.
        lines = len(text) / in_line + text.count("\n") * 0.7 + 1
        return int(lines * line + footer + (line if row.reasoning else 0) + (line if row.seam else 0))

    return height
