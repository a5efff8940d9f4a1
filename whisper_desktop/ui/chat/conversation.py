"""One conversation on the screen: sends what the person wrote and feeds the answer into the transcript."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from whisper_desktop.app.places import server_in_question
from whisper_desktop.chat import Session, failure_of
from whisper_desktop.control.changes import allow_server, repair_engine
from whisper_desktop.errors import WhisperError
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.rows import Row
from whisper_desktop.ui.chat.transcript import TranscriptModel

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Conversation(QObject):
    """Drives one `Session`; one question at a time. `spawn` runs its work for as long as the window is open.

    Signals:
        busy_changed: an answer is coming (True) or has ended (False).
        answer_ended: one sentence for a screen reader, when an answer has ended.
    """

    busy_changed = Signal(bool)
    answer_ended = Signal(str)

    def __init__(self, bridge: Bridge, spawn: Spawn, session: Session, model: TranscriptModel) -> None:
        super().__init__()
        self._bridge = bridge
        self._spawn = spawn
        self._session = session
        self._model = model
        self._task: asyncio.Task[None] | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._count_second)

    @property
    def busy(self) -> bool:
        """Whether an answer is coming."""
        return self._task is not None

    def ask(self, question: str) -> None:
        """Send a question, unless an answer is still coming."""
        if self.busy:
            return
        if last := self._model.rowCount():
            self._model.replace(last - 1, replace(self._model.row(last - 1), can_retry=False))
        self._model.append(rows.question(question))
        self._begin(question)

    def stop(self) -> None:
        """Stop the answer; what came stays."""
        if self._task is not None:
            self._task.cancel()

    def again(self) -> None:
        """Ask the last question once more, in place of its failed or broken answer."""
        if self.busy or (question := self._session.drop_last()) is None:
            return
        self._model.cut(self._model.rowCount() - 1)
        self._begin(question)

    def take_back(self) -> str:
        """Remove the last question and its answer; returns the question, "" while an answer is coming."""
        if self.busy or (question := self._session.drop_last()) is None:
            return ""
        self._model.cut(self._model.rowCount() - 2)
        return question

    def allow(self, error: WhisperError | None) -> None:
        """Allow what the error asks for, and ask again: more reach for this conversation, or one server for
        all of them.
        """
        if error is None or self.busy:
            return
        consent, server = failure_of(error).consent, server_in_question(error)
        if consent is not None and consent.needed is not None:
            self._session.reach = consent.needed
            self.again()
        elif server is not None:
            number = self._model.rowCount() - 1
            self._spawn(self._after(allow_server(server.place), number, self._model.row(number)))

    def repair(self, repair: str) -> None:
        """Accept a repair of our engine, and ask again."""
        if not self.busy:
            number = self._model.rowCount() - 1
            self._spawn(self._after(repair_engine(repair), number, self._model.row(number)))

    async def _after(self, change: Coroutine[object, object, None], number: int, row: Row) -> None:
        """Make a change on the core's loop, then ask the last question again."""

        def still_last() -> bool:  # the message may have been taken back, or another one sent, meanwhile
            return self._model.rowCount() == number + 1 and self._model.row(number) is row

        try:
            await self._bridge.run(change)
        except WhisperError as error:
            if not still_last():
                raise
            self._show(number, rows.broken(row, error))
        else:
            if still_last():
                self.again()

    def _begin(self, question: str) -> None:
        number = self._model.append(rows.waiting(guide=self._session.guide))
        self._task = self._spawn(self._answer(number, question))
        self._task.add_done_callback(self._on_ended)
        self._clock.start()
        self.busy_changed.emit(True)

    async def _answer(self, number: int, question: str) -> None:
        try:
            async with aclosing(self._bridge.stream(self._session.send(question))) as batches:
                async for events in batches:
                    row = self._model.row(number)
                    for event in events:
                        row = rows.with_event(row, event)
                    self._model.replace(number, row)
        except asyncio.CancelledError:
            self._show(number, rows.stopped(self._model.row(number)))
            raise
        except WhisperError as error:
            self._show(number, rows.broken(self._model.row(number), error))
        except Exception:
            self._show(number, rows.broken(self._model.row(number), _OUR_FAULT))
            raise  # to the log: it is a mistake of ours

    def _show(self, number: int, row: Row) -> None:
        self._model.replace(number, row)

    def _on_ended(self, _task: asyncio.Task[None]) -> None:
        self._task = None
        self._clock.stop()
        last = self._model.row(self._model.rowCount() - 1)
        self.busy_changed.emit(False)
        self.answer_ended.emit(rows.ending(last))

    def _count_second(self) -> None:
        number = self._model.rowCount() - 1
        row = self._model.row(number)
        if row.active and row.note:
            self._model.replace(number, replace(row, waited=row.waited + 1))


_OUR_FAULT = WhisperError(
    "The app made a mistake while it showed this answer.",
    "The technical details are in the log.",
    "Try again; if it happens again, open Logs from the tray menu and report what it says.",
)
