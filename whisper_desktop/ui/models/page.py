"""What the pages of the models window share: work on the core, remarks, questions before a loss."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QWidget,
)

from whisper_desktop.errors import WhisperError
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.theme import S
from whisper_desktop.ui.widgets import plain, secondary, toned
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.model_host import ModelHost

T = TypeVar("T")

_MARKS = {"good": "✓", "warn": "!", "bad": "⚠"}


async def on_models(app: "App", work: "Callable[[ModelHost], Awaitable[T]]") -> T:
    """`work` with the core's models, on the core loop; it must not hold a widget, which would end there."""
    return await work(app.models)


class ModelsPage(QWidget):
    """A part of the models window. Its work runs on the core, for as long as the window is open."""

    def __init__(self, window: AppWindow, app: "App") -> None:
        super().__init__()
        self.app = app
        self._window = window

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for as long as the window is open."""
        self._window.spawn(coroutine)

    async def ask(self, work: "Callable[[ModelHost], Awaitable[T]]") -> T:
        """What the core's models answer. Raises `WhisperError`."""
        return await self._window.bridge.run(on_models(self.app, work))

    async def confirmed(self, question: str, detail: str, *buttons: str) -> str:
        """The button that the person chose of `buttons`; "" where they thought better of it."""
        box = QMessageBox(QMessageBox.Icon.Question, "Whisper Desktop", question, parent=self)
        box.setInformativeText(detail)
        for text in buttons:
            box.addButton(text, QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        chosen = self._window.bridge.loop.create_future()
        box.finished.connect(lambda _code: None if chosen.done() else chosen.set_result(None))
        box.open()
        try:
            await chosen
            clicked = box.clickedButton()
            return clicked.text() if clicked is not None and clicked.text() in buttons else ""
        finally:
            box.deleteLater()


class Remark(QWidget):
    """One sentence about what was done, or why it was not, with a mark for how it went.

    Its room is always there, so that nothing moves, unless it is to `shrink` where there is nothing to say.
    """

    def __init__(self, *, shrink: bool = False) -> None:
        super().__init__()
        self._shrink = shrink
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        self._marks = {tone: toned(mark, tone) for tone, mark in _MARKS.items()}
        for mark in self._marks.values():
            mark.setWordWrap(False)
            row.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
        self._quiet, self._loud = secondary(""), plain("")
        for label in (self._quiet, self._loud):
            row.addWidget(label, 1, Qt.AlignmentFlag.AlignTop)
        self.setMinimumHeight(self.fontMetrics().lineSpacing())
        self.say("")

    def say(self, text: str, tone: str = "secondary") -> None:
        """Show a sentence; `tone` is "secondary", "good", "warn" or "bad"."""
        for name, mark in self._marks.items():
            mark.setVisible(bool(text) and name == tone)
        shown, other = (self._loud, self._quiet) if tone in self._marks else (self._quiet, self._loud)
        shown.setText(without_marks(text))
        other.clear()
        shown.setVisible(bool(text))
        other.hide()
        if self._shrink:
            self.setVisible(bool(text))

    def fail(self, error: WhisperError) -> None:
        """Say what went wrong, and what to do."""
        self.say(f"{error}", "bad")

    @property
    def text(self) -> str:
        """What it says now."""
        return self._loud.text() or self._quiet.text()


def scrolled(inside: QWidget | None = None) -> QScrollArea:
    """An area that scrolls up and down, with the background of what it stands on."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.viewport().setAutoFillBackground(False)
    if inside is not None:
        fill(area, inside)
    return area


def fill(area: QScrollArea, inside: QWidget) -> None:
    """Show this in a scrolled area in place of what was there."""
    area.setWidget(inside)
    inside.setAutoFillBackground(False)


def button(text: str, clicked: Callable[[], object], *, about: str = "") -> QPushButton:
    """A button; `about` is what it acts on, for those who do not see where it stands."""
    made = QPushButton(text)
    made.setAutoDefault(False)
    if about:
        made.setAccessibleName(f"{text.rstrip('…')} {about}")
    made.clicked.connect(lambda: clicked())
    return made
