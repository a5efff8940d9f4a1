"""Asks for what a text with variables leaves open, a field for each."""

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from whisper_desktop.chat.personas import filled, variables
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.composer_box import Box
from whisper_desktop.ui.theme import XS, M, S
from whisper_desktop.ui.widgets import heading

_MOST_FIELDS = 12
_MOST_LINES = 4
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class _Field(QPlainTextEdit):
    """Takes lines, because texts and programs are pasted into it; Enter is done with it."""

    done = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(XS)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        wanted = int(self.document().size().height())
        lines = min(max(wanted, 1), _MOST_LINES)
        line = QFontMetrics(self.font()).lineSpacing()
        self.setFixedHeight(lines * line + 2 * XS + 2 * self.frameWidth())
        policy = Qt.ScrollBarPolicy
        over = wanted > _MOST_LINES
        self.setVerticalScrollBarPolicy(policy.ScrollBarAsNeeded if over else policy.ScrollBarAlwaysOff)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() in _ENTER and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.done.emit()
        else:
            super().keyPressEvent(event)


class VariablesForm(Box):
    """A small form in place. Tab and Enter go from field to field, Enter in the last one is `filled`.

    Signals:
        filled: the text with what was written; a variable that was left empty is gone from it.
        cancelled: Esc, or the button.
    """

    filled = Signal(str)
    cancelled = Signal()

    def __init__(self, title: str, text: str, done: str) -> None:
        super().__init__(filled=True)
        self._text = text
        self._names = variables(text)[:_MOST_FIELDS]
        column = QVBoxLayout(self)
        column.setContentsMargins(M, S, M, S)
        column.setSpacing(S)
        column.addWidget(heading(title, 1.0))
        grid = QGridLayout()
        grid.setHorizontalSpacing(S)
        grid.setVerticalSpacing(XS)
        self.fields = tuple(_Field(name) for name in self._names)
        for number, (name, field) in enumerate(zip(self._names, self.fields, strict=True)):
            label = QLabel(name.replace("_", " "))
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setBuddy(field)
            grid.addWidget(label, number, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(field, number, 1)
            field.done.connect(self._done_with(number))
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addStretch(1)
        self.insert, cancel = QPushButton(done), QPushButton(tr("Cancel"))
        self.insert.setDefault(True)
        self.insert.clicked.connect(self._finish)
        cancel.clicked.connect(self.cancelled)
        buttons.addWidget(cancel)
        buttons.addWidget(self.insert)
        column.addLayout(buttons)
        self.setFocusProxy(self.fields[0])

    def _done_with(self, number: int) -> Callable[[], None]:
        following = self.fields[number + 1] if number + 1 < len(self.fields) else None
        return following.setFocus if following is not None else self._finish

    def _finish(self) -> None:
        values = {name: field.toPlainText() for name, field in zip(self._names, self.fields, strict=True)}
        self.filled.emit(filled(self._text, values).strip())

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.cancelled.emit()
        else:
            super().keyPressEvent(event)
