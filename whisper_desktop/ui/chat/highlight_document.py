"""Colours the documents of code: short code at once, longer code in slices while nothing else is to do.

Colours do not change the size of anything, so code is laid out before it is coloured.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QColor, QTextBlock, QTextCharFormat, QTextDocument, QTextLayout

from whisper_desktop.ui.chat import highlight
from whisper_desktop.ui.chat.layout_style import Style
from whisper_desktop.ui.theme import Colors, readable

_AT_ONCE = 1_000  # characters
_SLICE = 0.004  # seconds of work at a time

Parts = Sequence[tuple[QTextDocument, str]]
"""Documents, and the code that each shows."""


class _Painter(QObject):
    """What is still to be coloured.

    Signals:
        colored: a piece of code has its colours now.
    """

    colored = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Iterator[None]] = deque()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._work)

    def add(self, work: Iterator[None]) -> None:
        self._waiting.append(work)
        self._timer.start(0)

    def _work(self) -> None:
        until = time.perf_counter() + _SLICE
        while self._waiting and time.perf_counter() < until:
            if next(self._waiting[0], self) is self:
                self._waiting.popleft()
                self.colored.emit()
        if not self._waiting:
            self._timer.stop()


@cache
def painter() -> _Painter:
    """The one that colours; it tells when there is something to be painted again."""
    return _Painter()


def color(parts: Parts, language: str, style: Style) -> None:
    """Give code its colours, now or soon."""
    work = _colored(parts, language, style.colors)
    if language and sum(len(code) for _document, code in parts) > _AT_ONCE:
        painter().add(work)
    else:
        for _ in work:
            pass


def _colored(parts: Parts, language: str, colors: Colors) -> Iterator[None]:
    """Colours the parts, a few tokens at a time."""
    code = "".join(text for _document, text in parts)
    found = highlight.spans(code, language, dark=colors.dark)
    begin = 0
    span = next(found, None)
    for made, text in parts:
        end = begin + len(text)
        block = made.begin()
        formats: list[QTextLayout.FormatRange] = []
        while span is not None and span[0] < end:
            start, length, name = span
            stop = min(start + length, end)
            start = max(start, begin)
            while start < stop and block.isValid():
                at = start - begin - block.position()
                if at >= block.length():
                    _give(made, block, formats)
                    formats, block = [], block.next()
                    yield
                    continue
                taken = min(stop - start, block.length() - at)
                formats.append(_format(at, taken, name, colors))
                start += taken
            if start < stop or span[0] + span[1] <= end:
                span = next(found, None)
                continue
            break
        if formats and block.isValid():
            _give(made, block, formats)
        begin = end
        yield


def _give(made: QTextDocument, block: QTextBlock, formats: list[QTextLayout.FormatRange]) -> None:
    if formats:
        block.layout().setFormats(formats)
        made.markContentsDirty(block.position(), block.length())


def _format(start: int, length: int, name: str, colors: Colors) -> QTextLayout.FormatRange:
    ranged = QTextLayout.FormatRange()
    ranged.start, ranged.length = start, length
    ranged.format = _char_format(name, colors.panel.rgb(), colors.text.rgb())
    return ranged


@cache
def _char_format(name: str, panel: int, text: int) -> QTextCharFormat:
    made = QTextCharFormat()
    made.setForeground(readable(QColor(f"#{name}"), QColor.fromRgb(panel), QColor.fromRgb(text)))
    return made
