"""Conversations that are not written down: they last as long as the app runs."""

import threading
from collections.abc import Iterable
from dataclasses import replace

from whisper_desktop.chat.records import Conversation, Folder, Hit, Node

_AROUND = 60  # characters of a message shown around what was found


class ChatMemory:
    """Keeps conversations as `ConversationStore` does, with the same names, in memory alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[str, Conversation] = {}
        self._nodes: dict[str, dict[str, Node]] = {}
        self._data: dict[str, bytes] = {}
        self._folders: dict[str, Folder] = {}

    def __contains__(self, conversation_id: str) -> bool:
        return conversation_id in self._heads

    async def conversations(self) -> tuple[Conversation, ...]:
        """Those that are not in the bin, newest first."""
        return self._listed(deleted=False)

    async def deleted(self) -> tuple[Conversation, ...]:
        """Those in the bin."""
        return self._listed(deleted=True)

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """One of them."""
        return self._heads.get(conversation_id)

    async def nodes(self, conversation_id: str) -> tuple[Node, ...]:
        """Its messages in order of creation."""
        with self._lock:
            return tuple(self._nodes.get(conversation_id, {}).values())

    async def data(self, attachment_id: str) -> bytes | None:
        """The bytes of an attachment."""
        return self.data_now(attachment_id)

    def data_now(self, attachment_id: str) -> bytes | None:
        """The same at once."""
        return self._data.get(attachment_id)

    async def folders(self) -> tuple[Folder, ...]:
        """The folders, in their order."""
        with self._lock:
            return tuple(sorted(self._folders.values(), key=lambda folder: folder.position))

    async def search(self, query: str, limit: int = 50, conversation: str | None = None) -> tuple[Hit, ...]:
        """Where all these words stand, newest conversations first."""
        words = query.casefold().split()
        hits: list[Hit] = []
        for head in self._listed(deleted=False) if words else ():
            if conversation not in (None, head.id):
                continue
            if snippet := _found(head.title, words):
                hits.append(Hit(head.id, head.title, None, None, head.updated, snippet))
            for node in await self.nodes(head.id):
                if snippet := _found(node.text, words):
                    hits.append(Hit(head.id, head.title, node.id, node.role, node.created, snippet))
        return tuple(hits[:limit])

    def put(self, conversation: Conversation) -> None:
        """Keep a head."""
        with self._lock:
            self._heads[conversation.id] = conversation

    def put_node(self, conversation_id: str, node: Node) -> None:
        """Keep a message."""
        with self._lock:
            self._nodes.setdefault(conversation_id, {})[node.id] = node

    def put_data(self, attachment_id: str, data: bytes) -> None:
        """Keep the bytes of an attachment."""
        self._data[attachment_id] = data

    def put_folder(self, folder: Folder) -> None:
        """Keep a folder."""
        with self._lock:
            self._folders[folder.id] = folder

    def remove(self, conversation_id: str) -> None:
        """Forget a conversation, and the bytes that were only its own."""
        with self._lock:
            self._heads.pop(conversation_id, None)
            self._nodes.pop(conversation_id, None)
            held = [node for nodes in self._nodes.values() for node in nodes.values()]
            wanted = {each.id for node in held for each in node.attachments}
            wanted |= {each.id for head in self._heads.values() for each in head.draft.attachments}
            self._data = {key: data for key, data in self._data.items() if key in wanted}

    def remove_nodes(self, conversation_id: str, ids: Iterable[str]) -> None:
        """Forget messages."""
        with self._lock:
            for each in ids:
                self._nodes.get(conversation_id, {}).pop(each, None)

    def remove_folder(self, folder_id: str) -> None:
        """Forget a folder; its conversations move out."""
        with self._lock:
            self._folders.pop(folder_id, None)
            for head in [head for head in self._heads.values() if head.folder == folder_id]:
                self._heads[head.id] = replace(head, folder=None)

    def _listed(self, *, deleted: bool) -> tuple[Conversation, ...]:
        with self._lock:
            heads = [head for head in self._heads.values() if (head.deleted is not None) is deleted]
        return tuple(sorted(heads, key=lambda head: head.updated, reverse=True))


def _found(text: str, words: list[str]) -> tuple[tuple[str, bool], ...]:
    """The surroundings of the first of the words, in parts; none where one of them is missing."""
    folded = text.casefold()
    if len(folded) != len(text) or not all(word in folded for word in words):
        # Few letters change their number with their case; a text with one is searched as it is written.
        folded = text
        if not all(word in folded for word in words):
            return ()
    at = folded.index(words[0])
    end = at + len(words[0])
    parts = (
        (text[max(at - _AROUND, 0) : at], False),
        (text[at:end], True),
        (text[end : end + _AROUND], False),
    )
    return tuple((" ".join(part.splitlines()), marked) for part, marked in parts if part)
