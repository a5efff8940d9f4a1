"""What is written and not sent: kept with its conversation, and back when it is shown again."""

from PySide6.QtCore import QObject

from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Draft
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat.composer import Composer


class Drafts(QObject):
    """Follows the composer for the conversation that is shown.

    While an earlier question is changed (`lend`), what the composer holds is no draft.
    """

    def __init__(self, bridge: Bridge, composer: Composer) -> None:
        super().__init__(composer)
        self._bridge = bridge
        self._composer = composer
        self._session: Session | None = None
        self._lent: Draft | None = None
        composer.draft_changed.connect(self.keep)

    def follow(self, session: Session) -> None:
        """Show the draft of this conversation from now on; what was written before there was one stays."""
        waiting = self._composer.draft if self._session is None else Draft()
        self._session, self._lent = session, None
        self._composer.set_draft(waiting if waiting != Draft() else session.conversation.draft)

    def keep(self) -> None:
        """Keep it now; costs nothing where it is kept already."""
        if self._session is None:
            return
        draft = self._lent if self._lent is not None else self._composer.draft
        if draft != self._session.conversation.draft:
            self._bridge.run(work.keep_draft(self._session, draft))

    def lend(self, other: Draft) -> None:
        """Use the composer for something else; `give_back` brings the draft back."""
        if self._lent is None:
            self._lent = self._composer.draft
        self._composer.set_draft(other)

    def give_back(self) -> None:
        """The draft that was there before `lend`."""
        if self._lent is not None:
            lent, self._lent = self._lent, None
            self._composer.set_draft(lent)
