"""A quiet border with round corners that shows where the keyboard is; seen in light and in dark."""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QWidget

from whisper_desktop.ui.theme import S, colors, mixed


class Box(QWidget):
    """A border around what is in it: in the accent's colour while the keyboard is in `watched` (None: in it
    itself). `filled` sets it off from what is behind it.
    """

    def __init__(self, watched: QWidget | None = None, *, filled: bool = False) -> None:
        super().__init__()
        self._watched = watched or self
        self._filled = filled
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._on_focus)

    def _on_focus(self, before: QWidget | None, now: QWidget | None) -> None:
        if self._watched in (before, now):
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        paint, here = colors(self.palette()), self._watched.hasFocus()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = mixed(paint.base, paint.text, 0.3)
        painter.setPen(QPen(paint.accent, 2) if here else QPen(line, 1))
        painter.setBrush(paint.panel if self._filled else QColor(paint.base))
        inset = 1.0 if here else 0.5
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), S, S)
