"""One conversation between its session on the core's loop and the rows of the transcript.

    session (core) -> events in batches -> the growing row -> the window's model, while this one is shown

What is being written goes on while another conversation is shown, or the window is hidden: only the rows of
the one that is shown are in the model, and those of the others are made anew from the session.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from whisper_desktop.app.places import server_in_question
from whisper_desktop.chat import Session, failure_of
from whisper_desktop.chat.records import Attachment, Choice, Node, ReadingPlace
from whisper_desktop.control.changes import allow_server, repair_engine
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.values import Reach, StreamEvent

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Events = AsyncGenerator[StreamEvent, None]

_LOOK = 100  # ms between two looks at an answer that another window is having written


class Conversation(QObject):
    """Drives one `Session`; one question at a time. `spawn` runs its work for as long as the window lives.

    It is gone once nobody holds it: the window while it is shown or busy, its tasks while they run.

    Signals, each with this conversation first:
        busy_changed: an answer is coming (True) or has ended (False).
        answer_ended: one sentence for a screen reader, when an answer has ended.
        given_back: a question and its attachments that go back to where they were written.
    """

    busy_changed = Signal(object, bool)
    answer_ended = Signal(object, str)
    given_back = Signal(object, str, object)

    def __init__(self, bridge: Bridge, spawn: Spawn, session: Session, model: TranscriptModel) -> None:
        super().__init__()
        self._bridge = bridge
        self._spawn = spawn
        self.session = session
        self._model = model
        self._shown = False
        self._growing: Row | None = None
        self._failed: WhisperError | None = None
        self._task: asyncio.Task[None] | None = None
        self._place: ReadingPlace | None = session.conversation.place
        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._count_second)
        self._look = QTimer(self, interval=_LOOK)
        self._look.timeout.connect(self._follow)

    @property
    def busy(self) -> bool:
        """Whether an answer is coming, whoever asked for it."""
        return self._task is not None or self._look.isActive()

    @property
    def place(self) -> ReadingPlace | None:
        """Where the person read it last; None: at the end."""
        return self._place

    # --- on the screen --------------------------------------------------------------------------------------

    def show(self, prepared: list[Row] | None = None) -> None:
        """Put its rows into the model; from now on they are kept up to date there.

        `prepared` are its rows as they were a moment ago, made elsewhere: there may be thousands.
        """
        self._shown = True
        shown = work.rows_of(self.session) if prepared is None or self.session.answering else prepared
        if self._growing is not None and shown:
            shown[-1] = self._growing
        self._model.set_rows(shown)
        if self.session.answering and self._task is None:
            self._look.start()
            self.busy_changed.emit(self, True)

    def hide(self, place: ReadingPlace | None) -> None:
        """The model shows something else now; `place` is where the person stopped reading."""
        if self._growing is not None:
            self._growing = self._model.row(self._model.rowCount() - 1)
        self._shown = False
        self._look.stop()
        self.keep_place(place)

    def keep_place(self, place: ReadingPlace | None) -> None:
        """Where the person reads it now."""
        if place != self._place:
            self._place = place
            self._bridge.run(work.keep_place(self.session, place))  # also where the window ends just now

    # --- what the person wants ------------------------------------------------------------------------------

    def ask(self, question: str, attachments: Sequence[Attachment] = ()) -> None:
        """Send a question, unless an answer is still coming."""
        if not self.busy:
            given = tuple(attachments)
            self._begin(
                self.session.send(question, given), self._model.rowCount(), rows.question(question, given)
            )

    def again(self) -> None:
        """Ask for the last answer once more: in place of one that failed, beside one that has text."""
        if not self.busy and self._model.rowCount():
            self._begin(self.session.regenerate(), self._after_last_question())

    def regenerate(self, number: int, choice: Choice = Choice()) -> None:  # noqa: B008 - frozen
        """Ask for another answer, beside the one in this row."""
        row = self._model.row(number)
        if not self.busy and row.node:
            events = self.session.regenerate(row.node, backend=choice.backend, model=choice.model)
            self._begin(events, number)

    def edit(self, node: str, text: str, attachments: Sequence[Attachment]) -> None:
        """Word a question otherwise and ask it, beside the one there was."""
        if not self.busy and (number := self.number_of(node)) is not None:
            given = tuple(attachments)
            self._begin(self.session.edit(node, text, given), number, rows.question(text, given))

    def continue_(self, number: int) -> None:
        """Go on with an answer that ended before its end."""
        row = self._model.row(number)
        if self.busy or not row.node or not self.session.can_continue(row.node):
            return
        self._model.cut(number + 1)
        going_on = replace(
            row, kind=Kind.ANSWER, active=True, seam="", cut=False, can_retry=False, error=None
        )
        self._run(self.session.continue_(row.node), going_on)

    def stop(self) -> None:
        """Stop the answer; what came stays."""
        if self._task is not None:
            self._task.cancel()
        if self.session.answering:
            self._spawn(self._on_core(self.session.stop()))

    def take_back(self) -> None:
        """Remove the last question and its answer, and give the question back."""
        if not self.busy:
            self._spawn(self._take_back())

    async def go_to_branch(self, node: str) -> None:
        """Show the branch that this message is on, unless an answer is coming."""
        if not self.busy:
            await self._changed(work.show(self.session, node))

    def neighbour(self, number: int, step: int) -> None:
        """Go to the branch before (-1) or after (1) the message in this row."""
        node = self._model.row(number).node
        beside = self.session.siblings(node) if node else ()
        at = beside.index(node) + step if beside else -1
        if 0 <= at < len(beside):
            self._spawn(self.go_to_branch(beside[at]))

    def remove(self, node: str) -> None:
        """Remove a message and what hangs below it."""
        if not self.busy:
            self._spawn(self._changed(work.remove(self.session, node)))

    def allow(self, error: WhisperError | None) -> None:
        """Allow what the error asks for, and ask again: more reach for this conversation, or one server for
        all of them.
        """
        if error is None or self.busy:
            return
        consent, server = failure_of(error).consent, server_in_question(error)
        if consent is not None and consent.needed is not None:
            self._then_again(work.widen(self.session, Reach(consent.needed)))
        elif server is not None:
            self._then_again(allow_server(server.place))

    def repair(self, repair: str) -> None:
        """Accept a repair of our engine, and ask again."""
        if not self.busy:
            self._then_again(repair_engine(repair))

    def number_of(self, node: str) -> int | None:
        """The row of a message; None where it is not on the path that is shown."""
        numbers = range(self._model.rowCount())
        return next((number for number in reversed(numbers) if self._model.row(number).node == node), None)

    # --- changes on the core's loop -------------------------------------------------------------------------

    def _then_again(self, change: Coroutine[Any, Any, None]) -> None:
        number = self._model.rowCount() - 1
        self._spawn(self._after(change, number, self._model.row(number)))

    async def _after(self, change: Coroutine[Any, Any, None], number: int, row: Row) -> None:
        """Make a change, then ask the last question again."""

        def still_last() -> bool:  # the message may have been taken back, or another one sent, meanwhile
            shown = self._shown and self._model.rowCount() == number + 1
            return shown and not self.busy and self._model.row(number) is row

        try:
            await self._bridge.run(change)
        except WhisperError as error:
            if not still_last():
                raise
            self._model.replace(number, rows.broken(row, error))
        else:
            if still_last():
                self.again()

    async def _take_back(self) -> None:
        text, attachments = await self._bridge.run(work.take_back(self.session))
        self._refresh()
        self.given_back.emit(self, text, attachments)

    async def _changed(self, change: Coroutine[Any, Any, None]) -> None:
        await self._bridge.run(change)
        self._refresh()

    async def _on_core(self, change: Coroutine[Any, Any, None]) -> None:
        await self._bridge.run(change)

    def _refresh(self) -> None:
        """Show the path as it is now. What is the same so far stays, so that nothing jumps."""
        if not self._shown:
            return
        wanted = work.rows_of(self.session)
        count = min(len(wanted), self._model.rowCount())
        same = next((n for n in range(count) if self._model.row(n).node != wanted[n].node), count)
        self._model.cut(same)
        for number in range(same):
            self._model.replace(number, work.folded_like(wanted[number], self._model.row(number)))
        for row in wanted[same:]:
            self._model.append(row)

    # --- an answer ------------------------------------------------------------------------------------------

    def _after_last_question(self) -> int:
        last = self._model.rowCount() - 1
        return last + 1 if self._model.row(last).kind is Kind.QUESTION else last

    def _begin(self, events: Events, number: int, question: Row | None = None) -> None:
        """Show a question, if there is a new one, and an answer that has not begun, from this row on."""
        if number and self._model.row(number - 1).can_retry:
            self._model.replace(number - 1, replace(self._model.row(number - 1), can_retry=False))
        self._model.cut(number)
        if question is not None:
            self._model.append(question)
        self._run(events, rows.waiting(guide=self.session.guide), append=True)

    def _run(self, events: Events, row: Row, *, append: bool = False) -> None:
        self._growing, self._failed = row, None
        if append:
            self._model.append(row)
        else:
            self._model.replace(self._model.rowCount() - 1, row)
        self._task = self._spawn(self._answer(events))
        self._task.add_done_callback(self._on_ended)
        self._clock.start()
        self.busy_changed.emit(self, True)

    async def _answer(self, events: Events) -> None:
        try:
            async with aclosing(self._bridge.stream(events)) as batches:
                async for batch in batches:
                    self._grow(batch)
        except WhisperError as error:
            self._failed = error
        except Exception:
            self._failed = _our_fault()
            raise  # to the log: it is a mistake of ours

    def _grow(self, events: Iterable[StreamEvent]) -> None:
        self._put(rows.with_events(self._now(), events))

    def _now(self) -> Row:
        """The growing row, with what the person folded in it meanwhile."""
        assert self._growing is not None
        return self._model.row(self._model.rowCount() - 1) if self._shown else self._growing

    def _put(self, row: Row) -> None:
        self._growing = row
        if self._shown:
            self._model.replace(self._model.rowCount() - 1, row)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        row = self._now()
        if self._failed is not None:
            row = rows.broken(row, self._failed)
        elif row.active:
            row = rows.stopped(row)
        self._put(row)
        self._task = self._growing = None
        self._clock.stop()
        self._settle(row)
        if task.cancelled() and self.session.answering:  # it was stopped before anybody listened to it
            self._spawn(self._on_core(self.session.stop()))
        self.busy_changed.emit(self, False)
        self.answer_ended.emit(self, rows.ending(row))

    def _settle(self, row: Row) -> None:
        """What is only known now: the ids of the last messages, and how many stand beside them."""
        if not self._shown:
            return
        path = self.session.path
        if len(path) != self._model.rowCount() or not path:
            self._refresh()
            return
        for number in range(max(0, len(path) - 2), len(path)):
            self._model.replace(number, work.settled(self._model.row(number), self._facts(path, number)))

    def _facts(self, path: Sequence[Node], number: int) -> Row:
        return work.row_of(self.session, path[number], last=number == len(path) - 1)

    def _follow(self) -> None:
        """Another window is having this answer written: show how far it is."""
        self._refresh()
        if not self.session.answering:
            self._look.stop()
            self.busy_changed.emit(self, False)

    def _count_second(self) -> None:
        row = self._now()
        if row.active and row.note:
            self._put(replace(row, waited=row.waited + 1))


_TITLE = mark("The app made a mistake while it showed this answer.")
_DETAIL = mark("The technical details are in the log.")
_NEXT = mark("Try again; if it happens again, open Logs from the tray menu and report what it says.")


def _our_fault() -> WhisperError:
    return WhisperError(tr(_TITLE), tr(_DETAIL), tr(_NEXT))
