"""Two side by side: both answer every question, until the person goes on with one of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.app.places import server_in_question
from whisper_desktop.chat import Session, failure_of
from whisper_desktop.chat.records import Attachment, Choice
from whisper_desktop.control.changes import allow_server
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat.compare_column import CompareColumn
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import heading, secondary
from whisper_desktop.values import Reach, Role, StreamEvent

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.choices import BackendChoice

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Both = AsyncGenerator[tuple[int, StreamEvent | WhisperError], None]

_NARROW = 96  # characters: below this width one stands above the other


class CompareView(QWidget):
    """A page of the chat window. What is written goes to both by `ask`; both answers are branches of the
    conversation from their first word on.

    Signals:
        busy_changed: answers are coming (True) or have ended (False).
        ended: it is over; the id of the message to go on from, "" where nothing was asked.
        text_wanted: a text for the composer, and whether it is a quote.
        requested: a window of this kind is wanted.
    """

    busy_changed = Signal(bool)
    ended = Signal(str)
    text_wanted = Signal(str, bool)
    requested = Signal(str)

    def __init__(self, bridge: Bridge, app: "App", spawn: Spawn) -> None:
        super().__init__()
        self._bridge = bridge
        self._app = app
        self._spawn = spawn
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._answers: tuple[str, str] | None = None
        self._run_number = 0
        self.columns = (CompareColumn(bridge, app, spawn), CompareColumn(bridge, app, spawn))
        self.again_button = QPushButton(tr("Ask both again"))
        self.again_button.clicked.connect(self.again)
        self.close_button = QPushButton(tr("Close"))
        self.close_button.clicked.connect(self._close)
        for number, column in enumerate(self.columns):
            column.picked.connect(lambda number=number: self._go_on_with(number))
            column.chosen.connect(self._show_what_can_be_done)
            column.action.connect(lambda *given, number=number: self._on_action(number, *given))
        self._lay_out()
        self.setFocusProxy(self.columns[0].who)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(L, S, L, M)
        head.setSpacing(S)
        about = secondary(
            tr("Both answer what you ask, each goes on from its own answers. Go on with one when you like.")
        )
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(heading(tr("Two side by side"), 1.0))
        words.addWidget(about)
        head.addLayout(words, 1)
        head.addWidget(self.again_button)
        head.addWidget(self.close_button)
        self._both = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._both.setSpacing(M)
        for column in self.columns:
            self._both.addWidget(column, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(head)
        whole.addLayout(self._both, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        narrow = self.width() < self.fontMetrics().averageCharWidth() * _NARROW
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._both.setDirection(direction)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """That of one column: where there is room for no more, the other one stands below it."""
        return QSize(self.columns[0].minimumSizeHint().width(), super().minimumSizeHint().height())

    # --- which conversation ---------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether two are compared now."""
        return self._session is not None

    @property
    def busy(self) -> bool:
        """Whether answers are coming."""
        return self._task is not None

    def begin(self, session: Session, choices: "Sequence[BackendChoice]") -> None:
        """Compare two in this conversation, from its next question on."""
        self.leave()
        self._session = session
        self.show_choices(choices)
        first, second = _two(choices, session)
        for column, choice in zip(self.columns, (first, second), strict=True):
            column.begin(choice)
        self._show_what_can_be_done()

    def leave(self) -> None:
        """Show nothing any more; what is being written goes on by itself."""
        if self._session is not None:
            self._session = self._task = self._answers = None
            self._run_number += 1
            for column in self.columns:
                column.clear()

    def show_choices(self, choices: "Sequence[BackendChoice]") -> None:
        """Who can be asked."""
        for column in self.columns:
            column.show_choices(choices)

    # --- asking ---------------------------------------------------------------------------------------------

    def ask(self, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Send a question to both, unless answers are still coming."""
        if self._session is None or self.busy:
            return
        for column in self.columns:
            column.ask(text, attachments)
        first, second = (column.choice for column in self.columns)
        both = self._session.compare(text, tuple(attachments), first, second, self._answers)
        self._run(self._session, both)

    def again(self) -> None:
        """Ask both the last question once more."""
        if self._session is None or self.busy or self._answers is None:
            return
        for column in self.columns:
            column.ask_again()
        first, second = (column.choice for column in self.columns)
        self._run(self._session, self._session.compare_again(self._answers, first, second))

    def stop(self) -> None:
        """Stop both; what came stays."""
        if self._task is not None:
            self._task.cancel()

    def _run(self, session: Session, both: Both) -> None:
        self._run_number += 1
        self._task = task = self._spawn(self._answer(session, both, self._run_number))
        task.add_done_callback(self._on_ended)
        self._show_what_can_be_done()
        self.busy_changed.emit(True)

    async def _answer(self, session: Session, both: Both, run: int) -> None:
        """Show what comes. While something else is shown, it is only seen to its end."""
        known = frozenset(session.nodes)
        async with aclosing(self._bridge.stream(both)) as batches:
            async for batch in batches:
                if self._run_number != run:
                    continue
                self._answers = self._answers_since(session, known)
                for number, column in enumerate(self.columns):
                    column.grow([event for of, event in batch if of == number])
                self._show_what_can_be_done()

    def _answers_since(self, session: Session, known: frozenset[str]) -> tuple[str, str] | None:
        new = [
            node.id for node in session.nodes.values() if node.id not in known and node.role is Role.ASSISTANT
        ]
        return (new[0], new[1]) if len(new) > 1 else self._answers

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        for column in self.columns:
            column.settle()
        self._show_what_can_be_done()
        self.busy_changed.emit(False)

    # --- what the person does -------------------------------------------------------------------------------

    def _show_what_can_be_done(self) -> None:
        self.again_button.setEnabled(self._answers is not None and not self.busy)
        for column in self.columns:
            column.pick.setEnabled(self._answers is not None and column.has_answer)

    def _go_on_with(self, number: int) -> None:
        """The conversation goes on below this answer, with who gave it; the other one stays as a branch."""
        if self._session is not None and self._answers is not None:
            answer, choice = self._answers[number], self.columns[number].choice
            self._spawn(self._end(self._session, answer, choice))

    def _close(self) -> None:
        if self._session is not None:
            self._spawn(self._end(self._session, self._answers[0] if self._answers else "", None))

    async def _end(self, session: Session, answer: str, choice: Choice | None) -> None:
        if self._task is not None:
            over = self._bridge.loop.create_future()
            self._task.add_done_callback(over.set_result)
            self._task.cancel()
            await over
        if choice is not None:
            wishes = replace(session.wishes, backend=choice.backend, model=choice.model)
            await self._bridge.run(work.use(session, wishes))
        if session is self._session:
            self.leave()
            self.ended.emit(answer)

    def _on_action(self, number: int, action: str, text: str, error: object) -> None:
        match action:
            case "quote" | "edit":
                self.text_wanted.emit(text, action == "quote")
            case "regenerate" | "retry" | "continue":
                self.again()
            case "regenerate_with":
                self.columns[number].who.showMenu()
            case "allow" if isinstance(error, WhisperError) and self._session is not None:
                self._spawn(self._allow(self._session, error))
            case _:
                self.requested.emit(action)

    async def _allow(self, session: Session, error: WhisperError) -> None:
        """Allow what the error asks for, and ask both again."""
        consent, server = failure_of(error).consent, server_in_question(error)
        if consent is not None and consent.needed is not None:
            await self._bridge.run(work.widen(session, Reach(consent.needed)))
        elif server is not None:
            await self._bridge.run(allow_server(server.place))
        if session is self._session:
            self.again()


def _two(choices: "Sequence[BackendChoice]", session: Session) -> tuple[Choice, Choice]:
    """Who is compared at first: who would answer here, and another model that is ready."""
    first = Choice(session.backend, session.model)
    ready = [each for each in choices if each.id is not None and each.state == "ready"]
    known = [Choice(each.id, model) for each in ready for model in (each.models or (None,))]
    if first == Choice() and known:
        first = known[0]
    others = [each for each in known if each != first]
    return first, others[0] if others else first
