"""What can be done with a conversation from a menu: it is done on the core's loop, and told in one line."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QMenu

from whisper_desktop.chat.records import Conversation, Folder
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.sidebar_model import title_of
from whisper_desktop.ui.chat.window_notice import Say

if TYPE_CHECKING:
    from whisper_desktop.app import App

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class ChatActions:
    """Changes conversations and folders. `say` is told what was done, and what to do about a failure.

    The lists follow by the news of it (`ConversationsChanged`).
    """

    def __init__(self, bridge: Bridge, app: "App", spawn: Spawn, say: Say) -> None:
        self._bridge = bridge
        self._chats = app.chats
        self._spawn = spawn
        self.say = say

    def do(self, change: Coroutine[Any, Any, Any], then: Callable[[Any], None] | None = None) -> None:
        """Make a change on the core's loop; `then` is given its result."""
        self._spawn(self._do(change, then))

    async def _do(self, change: Coroutine[Any, Any, Any], then: Callable[[Any], None] | None) -> None:
        try:
            result = await self._bridge.run(change)
        except WhisperError as error:
            self.say(str(error))
        except KeyError:
            self.say(tr("That chat is not there any more."))
        else:
            if then is not None:
                then(result)

    def rename(self, conversation: str, title: str) -> None:
        """Give a conversation the person's title."""
        self.do(self._chats.rename(conversation, title))

    def pin(self, conversation: str, pinned: bool = True) -> None:
        """Keep it at the top, or not."""
        self.do(self._chats.pin(conversation, pinned))

    def move(self, conversation: str, folder: str | None) -> None:
        """Into a folder, or out of all of them. What was pinned is not any more: it is to be seen there."""
        self.do(self._moved(conversation, folder))

    async def _moved(self, conversation: str, folder: str | None) -> None:
        await self._chats.move(conversation, folder)
        await self._chats.pin(conversation, False)

    def duplicate(self, conversation: str, then: Callable[[Conversation], None]) -> None:
        """A copy with all its branches."""
        self.do(self._chats.duplicate(conversation), then)

    def delete(self, conversation: str, title: str) -> None:
        """Into the bin, with a way back for some seconds."""
        words = tr("“{title}” is in the bin.", title=title)
        undo = partial(self.restore, conversation)
        self.do(self._chats.delete(conversation), lambda _done: self.say(words, tr("Undo"), undo))

    def restore(self, conversation: str) -> None:
        """Out of the bin."""
        self.do(self._chats.restore(conversation))

    def purge(self, conversation: str, title: str) -> None:
        """For good, once it is said again: nothing brings it back."""
        words = tr("Delete “{title}” for good? It cannot be brought back.", title=title)
        self.say(words, tr("Delete for good"), lambda: self.do(self._chats.purge(conversation)))

    def new_folder(self, then: Callable[[Folder], None]) -> None:
        """A folder that is to be named."""
        self.do(self._chats.new_folder(tr("New folder")), then)

    def rename_folder(self, folder: str, name: str) -> None:
        """Name a folder otherwise."""
        self.do(self._chats.rename_folder(folder, name))

    def remove_folder(self, folder: str, name: str) -> None:
        """Remove a folder; what is in it stays."""
        words = tr("The folder “{name}” is gone; its chats are in the list.", name=name)
        self.do(self._chats.remove_folder(folder), lambda _done: self.say(words))


def add_folders(
    menu: QMenu, folders: Sequence[Folder], current: str | None, move: Callable[[str | None], None]
) -> None:
    """The entries of "Move to folder": each folder, and out of all of them."""
    for folder in folders:
        entry = menu.addAction(folder.name.replace("&", "&&"))
        entry.setCheckable(True)
        entry.setChecked(folder.id == current)
        entry.triggered.connect(partial(_ignoring, move, folder.id))
    if folders:
        menu.addSeparator()
    if current is not None:
        menu.addAction(tr("Out of the folder")).triggered.connect(partial(_ignoring, move, None))


def _ignoring(move: Callable[[str | None], None], folder: str | None, _checked: bool = False) -> None:
    move(folder)


def named(conversation: Conversation) -> str:
    """A title that fits into a sentence."""
    title = title_of(conversation)
    return title if len(title) <= _IN_A_SENTENCE else f"{title[: _IN_A_SENTENCE - 1].rstrip()}…"


_IN_A_SENTENCE = 40  # characters
