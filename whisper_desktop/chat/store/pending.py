"""What was put and is not on the disk yet: of everything the newest value, and what is to be removed.

Removing comes first when it is written: what was put after that is there again.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from whisper_desktop.chat.records import Conversation, Folder, Node
from whisper_desktop.chat.store import rows
from whisper_desktop.chat.store.problems import is_of_value

NodeKey = tuple[str, str]
"""A conversation and a message in it."""


@dataclass(slots=True)
class Pending:
    """Values in the order in which they were first put. Not safe for several threads at once."""

    conversations: dict[str, Conversation] = field(default_factory=dict)
    nodes: dict[NodeKey, Node] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    removed_conversations: set[str] = field(default_factory=set)
    removed_nodes: set[NodeKey] = field(default_factory=set)
    removed_folders: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    @property
    def removes(self) -> bool:
        """Whether messages are to be removed."""
        return bool(self.removed_conversations or self.removed_nodes)

    def remove_conversation(self, conversation: str) -> None:
        self.conversations.pop(conversation, None)
        for key in [key for key in self.nodes if key[0] == conversation]:
            del self.nodes[key]
        self.removed_conversations.add(conversation)

    def remove_node(self, key: NodeKey) -> None:
        self.nodes.pop(key, None)
        self.removed_nodes.add(key)

    def remove_folder(self, folder: str) -> None:
        self.folders.pop(folder, None)
        for conversation in [one for one in self.conversations.values() if one.folder == folder]:
            self.conversations[conversation.id] = replace(conversation, folder=None)
        self.removed_folders.add(folder)

    def add(self, newer: "Pending") -> None:
        """Let what is newer come after what is here."""
        for conversation in newer.removed_conversations:
            self.remove_conversation(conversation)
        for key in newer.removed_nodes:
            self.remove_node(key)
        for folder in newer.removed_folders:
            self.remove_folder(folder)
        self.conversations |= newer.conversations
        self.nodes |= newer.nodes
        self.folders |= newer.folders
        self.data |= newer.data

    def steps(self) -> Iterable[Callable[[sqlite3.Connection], set[str] | None]]:
        """What is to be done, in order; those that remove say which data they freed."""
        if self.removes:
            yield rows.note_removal
        for conversation_id in self.removed_conversations:
            yield partial(rows.remove_conversation, conversation=conversation_id)
        for conversation_id, node_id in self.removed_nodes:
            yield partial(rows.remove_node, conversation=conversation_id, node=node_id)
        for folder_id in self.removed_folders:
            yield partial(rows.remove_folder, folder=folder_id)
        for data_id, data in self.data.items():
            yield partial(rows.put_data, data_id=data_id, data=data)
        for folder in self.folders.values():
            yield partial(rows.put_folder, folder=folder)
        for conversation in self.conversations.values():
            yield partial(rows.put_conversation, conversation=conversation)
        for (conversation_id, _), node in self.nodes.items():
            yield partial(rows.put_node, conversation=conversation_id, node=node)

    def write(self, database: sqlite3.Connection) -> tuple[set[str], list[Exception]]:
        """Do all of it, inside a transaction. Returns which data were freed, and what could not be written.

        One value that no database takes does not keep the others from being written. Raises what is wrong
        with the database.
        """
        freed: set[str] = set()
        refused: list[Exception] = []
        for step in self.steps():
            try:
                freed |= step(database) or set()
            except Exception as error:
                if not is_of_value(error):
                    raise
                refused.append(error)
        return freed, refused
