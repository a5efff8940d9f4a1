"""How much of the model's context window the conversation takes: a slim bar and "2.1k of 16k"."""

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFocusEvent, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolTip, QWidget

from whisper_desktop.chat.context import ContextUse
from whisper_desktop.language import number, tr
from whisper_desktop.ui.theme import XS, S, colors

NEARLY_FULL = 0.8
"""The share of the window from which on it is said in words."""


def tokens_text(count: int) -> str:
    """A number of tokens as it is read at a glance: "340", "2.1k", "16k", "1.1M"."""
    if count < 1000:
        return str(count)
    if count < 9_950:
        return tr("{count}k", count=f"{count / 1000:.1f}".removesuffix(".0"))
    if count < 999_500:
        return tr("{count}k", count=round(count / 1000))
    return tr("{count}M", count=f"{count / 1e6:.1f}".removesuffix(".0"))


def meter_words(use: ContextUse) -> str:
    """What stands beside the bar."""
    used = tokens_text(use.used_tokens)
    if use.window_tokens is None:
        return tr("{used} tokens", used=used)
    window = tokens_text(use.window_tokens)
    share = use.share or 0.0
    if share > 1:
        return tr("Too long: {used} of {window}", used=used, window=window)
    if share >= NEARLY_FULL:
        return tr("Nearly full: {used} of {window}", used=used, window=window)
    return tr("{used} of {window}", used=used, window=window)


def meter_explained(use: ContextUse, before: ContextUse | None) -> str:
    """The same in sentences: how it is known, and what this message adds."""
    counted = (
        tr("{used} tokens, counted by the server.", used=number(use.used_tokens, ","))
        if use.exact
        else tr(
            "About {used} tokens: an estimate from the length of the texts.",
            used=number(use.used_tokens, ","),
        )
    )
    said = [tr("What the model reads for the next answer, this conversation included."), counted]
    if before is not None and (added := use.used_tokens - before.used_tokens) > 0:
        said.append(tr("What you are writing adds about {added}.", added=number(added, ",")))
    if use.window_tokens is None:
        said.append(tr("Nobody has said how much this model reads at a time."))
    else:
        window = number(use.window_tokens, ",")
        said.append(tr("The model reads {window} at a time, as far as its server says.", window=window))
    return "\n".join(said)


class ContextMeter(QWidget):
    """The bar and its words; out of sight while there is nothing to say.

    What is being written is a lighter end of the bar. It turns amber when the window is nearly full, and red
    where the message does not fit, and says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar = _Bar()
        self._words = QLabel()
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setForegroundRole(QPalette.ColorRole.WindowText)
        self._shown: tuple[ContextUse, ContextUse | None] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(XS, 0, XS, 0)
        row.setSpacing(S)
        row.addWidget(self._bar)
        row.addWidget(self._words)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(tr("Context"))
        self.hide()

    @property
    def text(self) -> str:
        """The words beside the bar."""
        return self._words.text()

    def show_use(self, use: ContextUse, before: ContextUse | None = None) -> None:
        """What the next message takes; `before` is what is taken without what is being written."""
        if (use, before) == self._shown:
            return
        self._shown = (use, before)
        words = meter_words(use)
        self._words.setText(words)
        self.setAccessibleName(tr("Context: {words}", words=words))
        explained = meter_explained(use, before)
        self.setToolTip(explained)
        self.setAccessibleDescription(explained)
        self._bar.setVisible(use.share is not None)
        self._paint()
        self.setVisible(use != ContextUse(0, None, use.exact))

    def _paint(self) -> None:
        if self._shown is None:
            return
        use, before = self._shown
        share, paint = use.share or 0.0, colors(self.palette())
        tone = paint.bad if share > 1 else paint.warn if share >= NEARLY_FULL else paint.accent
        self._bar.show_shares(share, before.share if before is not None else None, tone, paint.border)
        palette = self._words.palette()
        wanted = paint.secondary if share < NEARLY_FULL else tone
        if palette.color(QPalette.ColorRole.WindowText) != wanted:
            palette.setColor(QPalette.ColorRole.WindowText, wanted)
            self._words.setPalette(palette)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._paint()

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """The keyboard reads what the pointer reads."""
        super().focusInEvent(event)
        self.update()
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason):
            QToolTip.showText(self.mapToGlobal(self.rect().topLeft()), self.toolTip(), self)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        super().focusOutEvent(event)
        self.update()
        QToolTip.hideText()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        if self.hasFocus():
            painter = QPainter(self)
            painter.setPen(self.palette().color(QPalette.ColorRole.Highlight))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), XS, XS)


class _Bar(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._share, self._before = 0.0, 0.0
        self._tone = self._empty = QColor()

    def show_shares(self, share: float, before: float | None, tone: QColor, empty: QColor) -> None:
        """Shares of the whole from 0; what is over it is cut off."""
        self._share = min(share, 1.0)
        self._before = self._share if before is None else min(before, self._share)
        self._tone, self._empty = tone, empty
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        metrics = self.fontMetrics()
        return QSize(metrics.averageCharWidth() * 10, metrics.height())

    minimumSizeHint = sizeHint  # noqa: N815

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        height = max(self.fontMetrics().height() / 3, float(XS))
        whole = QRectF(0, (self.height() - height) / 2, self.width(), height)
        if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
            painter.translate(self.width(), 0)
            painter.scale(-1, 1)
        lighter = QColor(self._tone)
        lighter.setAlphaF(0.5)
        for color, share in ((self._empty, 1.0), (lighter, self._share), (self._tone, self._before)):
            if share > 0:
                painter.setBrush(color)
                part = QRectF(whole)
                part.setWidth(max(whole.width() * share, height))
                painter.drawRoundedRect(part, height / 2, height / 2)
