"""Titles by the model, in the background: one at a time, while nobody waits for an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from weakref import WeakSet

from whisper_desktop.chat import Session
from whisper_desktop.chat.records import TitleSource
from whisper_desktop.events import AnswerState, Bus
from whisper_desktop.values import Message, Provenance

GiveTitle = Callable[[Session, Provenance, Sequence[Message]], Awaitable[str]]
"""Asks who gave an answer to these messages for a title; "" where there is none."""

_MOST_WAITING = 20
_MOST_TRIES = 3


@dataclass(slots=True)
class _Wanted:
    session: Session
    answer: Provenance
    messages: Sequence[Message]
    tries: int = 0


class Titling:
    """Conversations that want a title. An answer that begins, wherever, stops the title that is being
    written; it is asked for again when all answers have ended, a few times at most.
    """

    def __init__(self, give_title: GiveTitle, bus: Bus) -> None:
        self._give_title = give_title
        self._wanted: dict[str, _Wanted] = {}
        self._had: WeakSet[Session] = WeakSet()
        self._task: asyncio.Task[None] | None = None
        self._stop_listening = bus.listen(AnswerState, self._answer_state)

    def answered(self, session: Session, answer: Provenance, messages: Sequence[Message]) -> None:
        """An answer is complete; the title is asked for as soon as nobody is answered."""
        if session.conversation.title_source is not TitleSource.QUESTION or session in self._had:
            return
        self._wanted.setdefault(session.id, _Wanted(session, answer, messages))
        while len(self._wanted) > _MOST_WAITING:
            del self._wanted[next(iter(self._wanted))]

    async def stop(self) -> None:
        """Ask for no more titles."""
        self._stop_listening()
        self._wanted.clear()
        self._interrupt()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _answer_state(self, state: AnswerState) -> None:
        if state.active:
            self._interrupt()
        elif self._wanted:
            self._task = asyncio.create_task(self._work(self._task))

    def _interrupt(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _work(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # it was told to stop, and may not have done so yet
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        while self._wanted:
            key, wanted = next(iter(self._wanted.items()))
            wanted.tries += 1
            if wanted.tries == _MOST_TRIES:
                del self._wanted[key]
            title = await self._give_title(wanted.session, wanted.answer, wanted.messages)
            self._wanted.pop(key, None)
            self._had.add(wanted.session)
            if title and wanted.session.conversation.title_source is TitleSource.QUESTION:
                wanted.session.entitle(title)
