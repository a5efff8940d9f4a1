"""One of two that are compared: who it is, what it answered, and going on with it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from whisper_desktop.chat.records import Attachment, Choice
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.header_entries import chosen_of, once_entries
from whisper_desktop.ui.chat.rows import Kind
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.theme import L, S
from whisper_desktop.ui.tray.menu import LiveMenu
from whisper_desktop.ui.widgets import secondary
from whisper_desktop.values import StreamEvent

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.choices import BackendChoice

_LONGEST_NAME = 30  # characters


class CompareColumn(QWidget):
    """A transcript below a menu of who is asked.

    Signals:
        picked: the person goes on with this one.
        chosen: somebody else is asked from the next question on.
        action: what is wanted of a message, its text, and its error.
    """

    picked = Signal()
    chosen = Signal()
    action = Signal(str, str, object)

    def __init__(
        self, bridge: Bridge, app: "App", spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        super().__init__()
        self._bridge = bridge
        self._app = app
        self._spawn = spawn
        self._choices: tuple[BackendChoice, ...] = ()
        self.choice = Choice()
        self.model = TranscriptModel(self)
        self.view = TranscriptView(self.model)
        self.view.action.connect(self._on_action)
        self.view.image_wanted.connect(lambda each: spawn(self._show_image(each)))
        self.who = QPushButton()
        self.who.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.menu = LiveMenu(self.who)
        self.menu.chosen.connect(self._choose)
        self.who.setMenu(self.menu)
        self.pick = QPushButton(tr("Go on with this one"))
        self.pick.clicked.connect(self.picked)
        self._empty = secondary(tr("The answer will stand here. Earlier messages of this chat go along."))
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.view)
        self._empty.setContentsMargins(L, S, L, S)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        head = QHBoxLayout()
        head.setContentsMargins(L, 0, L, 0)
        head.setSpacing(S)
        head.addWidget(self.who, 1)
        head.addWidget(self.pick)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        column.addLayout(head)
        column.addWidget(self._stack, 1)
        self._show()

    @property
    def has_answer(self) -> bool:
        """Whether there is something to go on with: the last answer has ended and has text."""
        last = self.model.rowCount() - 1
        if last < 0:
            return False
        row = self.model.row(last)
        return not row.active and bool(row.text) and row.kind is Kind.ANSWER

    # --- who ------------------------------------------------------------------------------------------------

    def begin(self, choice: Choice) -> None:
        """Compare this one, with nothing answered so far."""
        self.choice = choice
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.model.set_rows(())
        self._show()

    def show_choices(self, choices: "Sequence[BackendChoice]") -> None:
        """Who can be asked."""
        self._choices = tuple(choices)
        self.menu.show_entries(once_entries(choices))
        self._show()

    def _choose(self, action: str, value: str | None) -> None:
        self.choice = Choice(*chosen_of(action, value))
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        name = self._name()
        width = self.fontMetrics().averageCharWidth() * _LONGEST_NAME
        shown = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, width)
        self.who.setText(shown.replace("&", "&&"))
        self.who.setAccessibleName(tr("Who is asked: {who}", who=name))
        self.pick.setAccessibleName(tr("Go on with {who}", who=name))
        self.pick.setEnabled(self.has_answer)
        self._stack.setCurrentWidget(self.view if self.model.rowCount() else self._empty)

    def _name(self) -> str:
        backend = next((each.name for each in self._choices if each.id == self.choice.backend), "")
        if self.choice.model and backend:
            return tr("{model} · {backend}", model=self.choice.model, backend=backend)
        return self.choice.model or backend or self.choice.backend or tr("Automatic")

    # --- what it answers ------------------------------------------------------------------------------------

    def ask(self, text: str, attachments: Sequence[Attachment]) -> None:
        """A question, and an answer that has not begun."""
        self._no_retry()
        self.model.append(rows.question(text, tuple(attachments)))
        self.model.append(rows.waiting(guide=False))
        self._show()

    def ask_again(self) -> None:
        """Another answer in the place of the last one."""
        self.model.replace(self.model.rowCount() - 1, rows.waiting(guide=False))
        self._show()

    def grow(self, events: Sequence[StreamEvent | WhisperError]) -> None:
        """What came for it: events, or the error that ended it."""
        last = self.model.rowCount() - 1
        row = self.model.row(last)
        row = rows.with_events(row, [each for each in events if not isinstance(each, WhisperError)])
        for each in events:
            if isinstance(each, WhisperError):
                row = rows.broken(row, each)
        if events:
            self.model.replace(last, row)

    def settle(self) -> None:
        """Nothing comes any more."""
        last = self.model.rowCount() - 1
        row = self.model.row(last)
        if row.active:
            self.model.replace(last, rows.stopped(row))

    def _no_retry(self) -> None:
        last = self.model.rowCount() - 1
        if last >= 0 and self.model.row(last).can_retry:
            self.model.replace(last, replace(self.model.row(last), can_retry=False))

    # --- what the person does -------------------------------------------------------------------------------

    def _on_action(self, number: int, action: str, value: object) -> None:
        row = self.model.row(number)
        text = value if isinstance(value, str) and value else row.text
        self.action.emit(action, text, row.error)

    async def _show_image(self, attachment_id: str) -> None:
        from whisper_desktop.ui.chat.window_attachment import load_image

        image = await self._bridge.run(load_image(self._app.chats, attachment_id))
        self.view.show_image(attachment_id, image)
