"""How much of the memory that may be used a model takes, as a bar with the figures beside it."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from whisper_desktop.language import gigabytes, tr
from whisper_desktop.ui.models.choice_cards import Memory
from whisper_desktop.ui.theme import S, colors
from whisper_desktop.ui.widgets import secondary

_WIDTH = 140


class MemoryBar(QWidget):
    """The bar, its figures, and further `facts` in the same line; pointing at it shows the arithmetic."""

    def __init__(self, memory: Memory, facts: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        share = memory.need / memory.budget if memory.budget else 1.0
        row.addWidget(_Bar(share))
        takes = tr("{need:.1f} of {budget}", need=memory.need / 1e9, budget=gigabytes(memory.budget))
        row.addWidget(secondary(f"{takes} · {facts}"), 1)
        self.setAccessibleName(
            tr("Takes {need} of {budget}", need=gigabytes(memory.need), budget=gigabytes(memory.budget))
        )
        self.setToolTip(memory.arithmetic)


class _Bar(QWidget):
    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = min(1.0, max(0.0, share))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(_WIDTH, self.fontMetrics().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        paint = colors(self.palette())
        height = max(6.0, self.fontMetrics().height() * 0.45)
        whole = QRectF(0.5, (self.height() - height) / 2, self.width() - 1, height)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(paint.border)
        painter.setBrush(paint.base)
        painter.drawRoundedRect(whole, height / 2, height / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(paint.accent)
        taken = QRectF(whole.left(), whole.top(), max(height, whole.width() * self._share), height)
        painter.drawRoundedRect(taken, height / 2, height / 2)
