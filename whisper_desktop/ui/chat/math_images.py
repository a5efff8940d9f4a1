"""Formulas as images in a text: drawn by a program of its own, kept in a cache, standing on the baseline."""

import atexit
import json
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QByteArray, QObject, QProcess, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QFontInfo, QFontMetricsF, QImage, QPainter
from shiboken6 import isValid

from whisper_desktop.ui.chat.math_source import LONGEST_FORMULA

FLAG = "--math-child"
"""What a frozen build, which has no Python to run a file with, is started with."""

TIME_LIMIT = 3_000  # ms for one formula, the start of the program included
_IDLE = 60_000  # ms after which the program ends
_KEPT = 500  # formulas as SVG
_KEPT_IMAGES = 200
_DEEPEST = 12  # braces within braces: what nests deeper takes exponentially longer
_LARGEST = 4_000  # px, of an image's side
_X_HEIGHT = 0.479  # of an x in the font of formulas, for a size of 1 (measured)
_MARGIN = 1.0  # around what was drawn

_Key = tuple[str, bool, float]
_Image = tuple[str, bool, float, int, float]


class Pending(Enum):
    """A formula that is being drawn."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING


@dataclass(frozen=True, slots=True)
class Picture:
    """A formula as an image, with its size in the document.

    `deep`: it reaches further down than the letters do, so its middle is put on half the height of an x.
    Otherwise its lower edge is put where the letters end (`AlignBaseline` of Qt, which no HTML can say).
    """

    latex: str
    display: bool
    image: QImage
    width: float
    height: float
    deep: bool

    def html(self, name: str) -> str:
        """The image in a text, called `name`."""
        side = f'width="{self.width:.0f}" height="{self.height:.0f}"'
        title = self.latex.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        tag = f'<img src="{name}" {side} title="{title}" style="vertical-align: middle">'
        return f'<p align="center">{tag}</p>' if self.display else tag


@cache
def formulas() -> "Formulas":
    """The one that draws, for all windows."""
    made = Formulas()
    atexit.register(made.end)
    return made


class Formulas(QObject):
    """Draws formulas. What is asked for the first time is drawn soon, and `changed` tells when.

    Signals:
        changed: formulas that were pending are drawn, or are known to be none.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._known: OrderedDict[_Key, dict[str, Any]] = OrderedDict()
        self._images: OrderedDict[_Image, Picture] = OrderedDict()
        self._asked: dict[_Key, None] = {}
        self._queue: deque[_Key] = deque()
        self._current: _Key | None = None
        self._number = 0
        self._process: QProcess | None = None
        self._limit = QTimer(self, singleShot=True, interval=TIME_LIMIT)
        self._limit.timeout.connect(self._give_up)
        self._idle = QTimer(self, singleShot=True, interval=_IDLE)
        self._idle.timeout.connect(self.end)
        self._tell = QTimer(self, singleShot=True, interval=0)
        self._tell.timeout.connect(self.changed)

    def picture(
        self, latex: str, display: bool, font: QFont, color: QColor, ratio: float
    ) -> Picture | Pending | None:
        """A formula for a text in this font and colour; None where it is shown as its source."""
        size = _size(font)
        key = (latex, display, size)
        found = self._known.get(key)
        if found is None:
            if not _can_be_drawn(latex):
                return None
            self._ask(key)
            return PENDING
        self._known.move_to_end(key)
        if not found:
            return None
        shown = (latex, display, size, color.rgb(), ratio)
        if (known := self._images.get(shown)) is None:
            known = self._images[shown] = _image(latex, display, found, font, color, ratio)
            if len(self._images) > _KEPT_IMAGES:
                self._images.popitem(last=False)
        return known

    def end(self) -> None:
        """End the program; it is started again when it is needed."""
        process, self._process = self._process, None
        if process is not None and isValid(process):
            process.readyReadStandardOutput.disconnect()
            process.finished.disconnect()
            process.errorOccurred.disconnect()
            process.kill()
            process.waitForFinished(100)
            process.deleteLater()

    # --- the program ----------------------------------------------------------------------------------------

    def _ask(self, key: _Key) -> None:
        if key not in self._asked:
            self._asked[key] = None
            self._queue.append(key)
            self._next()

    def _next(self) -> None:
        if self._current is not None or not self._queue:
            return
        self._current = latex, display, size = self._queue.popleft()
        self._number += 1
        self._idle.stop()
        process = self._running()
        asked = {"id": self._number, "latex": latex, "display": display, "size": size}
        process.write(QByteArray(json.dumps(asked).encode() + b"\n"))
        self._limit.start()

    def _running(self) -> QProcess:
        if self._process is None:
            process = self._process = QProcess(self)
            process.setStandardErrorFile(QProcess.nullDevice())
            program, *arguments = _command()
            process.readyReadStandardOutput.connect(self._read)
            process.finished.connect(self._give_up)
            process.errorOccurred.connect(self._give_up)
            process.start(program, arguments)
        return self._process

    def _read(self) -> None:
        while self._process is not None and self._process.canReadLine():
            try:
                answer = json.loads(bytes(self._process.readLine().data()))
            except ValueError:
                answer = {}
            if self._current is None or answer.get("id") != self._number:
                continue
            self._settle(answer if "svg" in answer else {})

    def _give_up(self, *_: object) -> None:
        """It took too long, or ended: this formula is shown as its source, and another program does the
        rest.
        """
        self.end()
        if self._current is not None:
            self._settle({})

    def _settle(self, answer: dict[str, Any]) -> None:
        assert self._current is not None
        key, self._current = self._current, None
        self._limit.stop()
        self._asked.pop(key, None)
        self._known[key] = answer
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if not self._tell.isActive():
            self._tell.start()
        self._next()
        if self._current is None:
            self._idle.start()


def _size(font: QFont) -> float:
    """The size in px at which letters of a formula are as high as those of the text."""
    pixels = float(QFontInfo(font).pixelSize())
    wanted = QFontMetricsF(font).xHeight() / _X_HEIGHT
    return round(min(max(wanted, pixels), 1.3 * pixels), 1)


def _can_be_drawn(latex: str) -> bool:
    depth = deepest = 0
    for letter in latex:
        depth += (letter == "{") - (letter == "}")
        deepest = max(deepest, depth)
    return len(latex) <= LONGEST_FORMULA and deepest <= _DEEPEST


def _command() -> tuple[str, ...]:
    if getattr(sys, "frozen", False):
        return (sys.executable, FLAG)
    return (sys.executable, "-P", str(Path(__file__).with_name("math_child.py")))


def _image(
    latex: str, display: bool, drawn: dict[str, Any], font: QFont, color: QColor, ratio: float
) -> Picture:
    """The drawing in the colour of the text, in an image whose place on the line Qt knows how to find.

    Qt puts an image's lower edge on the line of descent, or its middle at half the height of an x: space is
    added above or below, so that the formula's baseline comes to stand on that of the text.
    """
    from PySide6.QtSvg import QSvgRenderer

    metrics = QFontMetricsF(font)
    depth = max(float(drawn["depth"]), 0.0) + _MARGIN
    rise = float(drawn["height"]) + 2 * _MARGIN - depth
    width = float(drawn["width"]) + 2 * _MARGIN
    above = below = 0.0
    deep = depth > metrics.descent()
    if not display and not deep:
        below = metrics.descent() - depth
    elif not display:
        half = metrics.xHeight() / 2
        below, above = max(rise - half - depth, 0.0), max(depth + half - rise, 0.0)
    height = above + rise + depth + below
    shown = min(1.0, _LARGEST / max(width, height))
    image = QImage(
        round(width * ratio * shown), round(height * ratio * shown), QImage.Format.Format_ARGB32_Premultiplied
    )
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.scale(ratio * shown, ratio * shown)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer = QSvgRenderer(QByteArray(str(drawn["svg"]).encode()))
    renderer.render(painter, QRectF(0, above, width, rise + depth))
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
    painter.fillRect(QRectF(0, 0, width, height), color)
    painter.end()
    image.setDevicePixelRatio(ratio)
    return Picture(latex, display, image, width, height, deep)
