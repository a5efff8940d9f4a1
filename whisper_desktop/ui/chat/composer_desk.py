"""What the composer needs of the core: files are read, prompts are known, the context is measured."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QImage

from whisper_desktop.chat import Session
from whisper_desktop.chat.context import ContextUse
from whisper_desktop.chat.records import Attachment, Draft
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat.composer import Composer

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.chats import ChatHost

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

_OUR_FAULT = mark("The app made a mistake while it read this file. The technical details are in the log.")
_MEASURE = 150  # ms: changes within this time are measured together


class ComposerDesk(QObject):
    """Serves one composer, for the conversation it is shown with. `spawn` runs its work while the window
    lives.
    """

    def __init__(self, bridge: Bridge, app: "App", spawn: Spawn, composer: Composer) -> None:
        super().__init__(composer)
        self._bridge = bridge
        self._app = app
        self._spawn = spawn
        self._composer = composer
        self._session: Session | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._soon = QTimer(self, singleShot=True, interval=_MEASURE)
        self._soon.timeout.connect(self._measure_now)
        composer.attach_requested.connect(self._attach)
        composer.image_wanted.connect(lambda each: spawn(self._show_image(each)))
        composer.prompts_wanted.connect(lambda: spawn(self._show_prompts()))
        composer.draft_changed.connect(lambda _draft: self._measure_now())

    def follow(self, session: Session) -> None:
        """This conversation is shown now."""
        self._session = session
        self.measure()

    # --- the context ----------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Something has changed that the context depends on."""
        self._soon.start()

    def _measure_now(self) -> None:
        self._soon.stop()
        if self._measuring is not None:
            self._soon.start()  # once this one is over
        elif self._session is not None:
            self._measuring = self._spawn(self._measure(self._session, self._composer.draft))
            self._measuring.add_done_callback(self._measured)

    def _measured(self, _task: asyncio.Task[None]) -> None:
        self._measuring = None

    async def _measure(self, session: Session, draft: Draft) -> None:
        found = await self._bridge.run(_context(self._app.chats, session, draft))
        if session is self._session:
            self._composer.show_context(*found)

    # --- attachments ----------------------------------------------------------------------------------------

    def _attach(self, wanted: tuple[Path | QImage, ...]) -> None:
        self._spawn(self._attach_all(wanted, self._session))

    async def _attach_all(self, wanted: tuple[Path | QImage, ...], session: Session | None) -> None:
        """One after the other: reading PDFs takes a process each."""
        from whisper_desktop.ui.chat.composer_attaching import attach

        mistake: Exception | None = None
        for each in wanted:
            try:
                attachment, image = await self._bridge.run(attach(self._app.chats, each))
            except Exception as error:
                if not isinstance(error, WhisperError):
                    mistake = error
                if session is self._session:  # or the composer would wait for it for ever
                    self._composer.refuse(str(error) if mistake is not error else tr(_OUR_FAULT))
                continue
            if session is self._session:
                self._composer.add_attachment(attachment, image)
            elif session is not None:  # another conversation is shown meanwhile: it waits in the draft
                await self._bridge.run(_add_to_draft(session, attachment))
        if mistake is not None:
            raise mistake  # to the log

    async def _show_image(self, attachment_id: str) -> None:
        from whisper_desktop.ui.chat.composer_attaching import thumbnail_of

        image = await self._bridge.run(thumbnail_of(self._app.chats, attachment_id))
        self._composer.show_image(attachment_id, image)

    async def _show_prompts(self) -> None:
        self._composer.show_prompts((await self._bridge.run(self._app.chats.personas())).prompts)


async def _context(chats: "ChatHost", session: Session, draft: Draft) -> tuple[ContextUse, ContextUse, str]:
    """What the draft and the path take, the path alone, and a sentence where it is too much.

    In a thread: a path of thousands of messages is weighed once.
    """

    def measured() -> tuple[ContextUse, ContextUse, str]:
        use = chats.context(session, draft.text, draft.attachments)
        said = chats.too_long(session, draft.text, draft.attachments) if draft != Draft() else ""
        return use, chats.context(session), said

    return await asyncio.to_thread(measured)


async def _add_to_draft(session: Session, attachment: Attachment) -> None:
    draft = session.conversation.draft
    if attachment.id not in {each.id for each in draft.attachments}:
        await work.keep_draft(session, replace(draft, attachments=(*draft.attachments, attachment)))
