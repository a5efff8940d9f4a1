"""What the person wants of one message: another answer, a quote, a branch, a closer look."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QWidget

from whisper_desktop.chat.records import Attachment, Choice
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.conversation import Conversation, Spawn
from whisper_desktop.ui.chat.header_entries import chosen_of, once_entries
from whisper_desktop.ui.chat.rows import REPAIR, Kind
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.chat.window_notice import Say
from whisper_desktop.ui.tray.menu import LiveMenu

if TYPE_CHECKING:
    from PySide6.QtGui import QImage

    from whisper_desktop.app import App
    from whisper_desktop.app.choices import BackendChoice


class Messages(QObject):
    """Does what `view` asks for with the conversation that is shown (`conversation`). `window` shows menus.

    Signals:
        quoted: the text that is to stand in the composer as a quote.
        edit_wanted: the row of a question that is to be worded otherwise.
        tree_wanted: the branches are to be seen.
        requested: another window, "chat" for a new conversation.
    """

    quoted = Signal(str)
    edit_wanted = Signal(int)
    tree_wanted = Signal()
    requested = Signal(str)

    def __init__(
        self, window: QWidget, bridge: Bridge, app: "App", spawn: Spawn, view: TranscriptView, say: Say
    ) -> None:
        super().__init__(window)
        self._window = window
        self._bridge = bridge
        self._app = app
        self._spawn = spawn
        self._view = view
        self._model: TranscriptModel = view.rows
        self._say = say
        self.conversation: Conversation | None = None
        self.choices: Sequence[BackendChoice] = ()
        view.action.connect(self._do)
        view.image_wanted.connect(lambda wanted: self._spawn(self._show_image(wanted)))

    def _do(self, number: int, action: str, value: object) -> None:
        conversation = self.conversation
        if conversation is None or number >= self._model.rowCount():
            return
        row = self._model.row(number)
        match action:
            case "retry":
                conversation.again()
            case "allow":
                conversation.allow(row.error)
            case "edit" if row.kind is Kind.QUESTION:
                self.edit_wanted.emit(number)
            case "edit":
                conversation.take_back()
            case "quote":
                self.quoted.emit(str(value))
            case "regenerate":
                conversation.regenerate(number)
            case "regenerate_with":
                self._ask_whom(conversation, row.node)
            case "continue":
                conversation.continue_(number)
            case "branch_back" | "branch_on":
                conversation.neighbour(number, -1 if action == "branch_back" else 1)
            case "show_tree":
                self.tree_wanted.emit()
            case "delete":
                words = tr("This message and what follows it are deleted for good.")
                self._say(words, tr("Delete"), partial(conversation.remove, row.node))
            case "open_attachment" if isinstance(value, Attachment):
                self._spawn(self._open(value))
            case _ if action.startswith(REPAIR):
                conversation.repair(action.removeprefix(REPAIR))
            case _:
                self.requested.emit(action)

    def _ask_whom(self, conversation: Conversation, node: str) -> None:
        """Another answer, by somebody who is chosen for it alone."""

        def ask(action: str, value: str | None) -> None:
            number = conversation.number_of(node) if conversation is self.conversation else None
            if number is not None:
                conversation.regenerate(number, Choice(*chosen_of(action, value)))

        menu = LiveMenu(self._window)
        menu.show_entries(once_entries(self.choices))
        menu.chosen.connect(ask)
        menu.aboutToHide.connect(lambda: QTimer.singleShot(0, menu.deleteLater))
        menu.popup(QCursor.pos())

    async def _open(self, attachment: Attachment) -> None:
        from whisper_desktop.ui.chat.window_attachment import AttachmentSheet

        image = await self._image(attachment.id) if attachment.is_image else None
        AttachmentSheet(attachment, image, self._window).show()

    async def _show_image(self, attachment_id: str) -> None:
        self._view.show_image(attachment_id, await self._image(attachment_id))

    async def _image(self, attachment_id: str) -> "QImage":
        from whisper_desktop.ui.chat.window_attachment import load_image

        return await self._bridge.run(load_image(self._app.chats, attachment_id))
