"""Small widgets that several windows share: headings, secondary text, a banner, a sign of work going on."""

from PySide6.QtCore import QEvent, QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.code_spans import commands_in, copy_links, with_code, without_marks
from whisper_desktop.ui.theme import L, M, S, colors


def heading(text: str, scale: float = 1.15) -> QLabel:
    """A line that names what is below it."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    font = label.font()
    font.setPointSizeF(font.pointSizeF() * scale)
    font.setWeight(font.Weight.DemiBold)
    label.setFont(font)
    return label


def plain(text: str) -> QLabel:
    """Ordinary words that may take several lines and can be selected."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


class Instruction(QLabel):
    """Words in which `commands` in backticks are shown as code; links after them copy them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._words = text
        self._copied: int | None = None
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        # Keyboard access makes a label a stop of the Tab key, which only a label with links should be.
        keys = Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        mouse = Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.TextSelectableByMouse
        self.setTextInteractionFlags(mouse | keys if commands_in(text) else mouse)
        self.setAccessibleName(without_marks(text))
        self.linkActivated.connect(self._copy)
        self._write()

    def _write(self) -> None:
        color = colors(self.palette()).link.name()
        self.setText(with_code(self._words) + copy_links(self._words, color, self._copied))

    def _copy(self, number: str) -> None:
        self._copied = int(number)
        QGuiApplication.clipboard().setText(commands_in(self._words)[self._copied])
        self._write()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._write()


def secondary(text: str) -> QLabel:
    """Words of less weight; they keep a contrast of 4.5:1 when the palette changes."""
    return _Toned(text, "secondary")


def toned(text: str, tone: str) -> QLabel:
    """Words in a colour of `theme.Colors`: "good", "warn", "bad". Say the state in words as well."""
    return _Toned(text, tone)


class _Toned(QLabel):
    def __init__(self, text: str, tone: str) -> None:
        super().__init__(text)
        self._tone = tone
        self.setForegroundRole(QPalette.ColorRole.WindowText)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self._paint_tone()

    def _paint_tone(self) -> None:
        from PySide6.QtWidgets import QApplication

        role = QPalette.ColorRole.WindowText
        color = getattr(colors(QApplication.palette()), self._tone)
        if color != self.palette().color(role):
            # This one role is ours: a label that has all of its own is not told of another theme.
            own = QPalette()
            own.setColor(role, color)
            self.setPalette(own)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._paint_tone()


class Banner(QFrame):
    """A quiet strip over the whole width that says what kind of place this is."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.AlternateBase)
        row = QHBoxLayout(self)
        row.setContentsMargins(L, S, L, S)
        row.setSpacing(M)
        name = heading(title, 1.0)
        row.addWidget(name)
        row.addWidget(secondary(text), 1)


class Spinner(QWidget):
    """A turning arc, as tall as a line of text. It only turns while it is seen."""

    def __init__(self) -> None:
        super().__init__()
        self._angle = 0
        self._timer = QTimer(self)
        self._timer.setInterval(80)
        self._timer.timeout.connect(self._turn)
        self.setAccessibleName(tr("Working"))

    def sizeHint(self) -> QSize:  # noqa: N802
        side = self.fontMetrics().height()
        return QSize(side, side)

    def showEvent(self, event: object) -> None:  # noqa: N802
        self._timer.start()

    def hideEvent(self, event: object) -> None:  # noqa: N802
        self._timer.stop()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 2, c=Qt.PenCapStyle.RoundCap))
        side = min(self.width(), self.height()) - 4
        painter.drawArc(
            (self.width() - side) // 2, (self.height() - side) // 2, side, side, -self._angle * 16, 270 * 16
        )

    def _turn(self) -> None:
        self._angle = (self._angle + 30) % 360
        self.update()
