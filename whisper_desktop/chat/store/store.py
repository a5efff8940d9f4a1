"""The conversations of a person, kept in one file."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from whisper_desktop.chat.records import Conversation, Folder, Hit, Node
from whisper_desktop.chat.store import rows
from whisper_desktop.chat.store.problems import is_damage, is_of_index, problem
from whisper_desktop.chat.store.readers import Readers
from whisper_desktop.chat.store.report import StoreReport
from whisper_desktop.chat.store.searching import search
from whisper_desktop.chat.store.writer import Mend, OnTrouble, Writer
from whisper_desktop.errors import StoreError
from whisper_desktop.values import Deadlines

WITHIN = 0.25
"""How many seconds after it was put a value is on the disk at the latest."""

AGAIN = 2.0
"""How many seconds lie between two tries to write while that fails."""

_T = TypeVar("_T")


class ConversationStore:
    """The file of conversations. What was put is found by every reading method at once, written or not.

    `put*` and `remove*` never block, may be called on any thread, and of several values for one thing the
    newest is kept. Reading methods raise `StoreError`. Two processes may have the same file open; neither
    hears of what the other one does.
    """

    def __init__(self, path: Path, writer: Writer, readers: Readers) -> None:
        """Use `open`."""
        self._path = path
        self._writer = writer
        self._readers = readers

    @classmethod
    async def open(
        cls,
        path: Path,
        deadlines: Deadlines,
        *,
        on_trouble: OnTrouble | None = None,
        within: float = WITHIN,
        again: float = AGAIN,
    ) -> "ConversationStore":
        """The file at `path`: made, upgraded or repaired where it has to be; `report` tells.

        `on_trouble` is told on another thread, and must return at once. Raises `StoreError` where
        conversations cannot be kept; the file is then as it was.
        """
        patience = deadlines.settings_lock
        writer = Writer(path, within=within, again=again, patience=patience, on_trouble=on_trouble)
        opening = asyncio.wrap_future(writer.open())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            writer.close()
            raise
        return cls(path, writer, Readers(path, patience=patience))

    @property
    def report(self) -> StoreReport:
        """What opening the file found and did; or repairing it, where that was needed later."""
        return self._writer.report

    @property
    def trouble(self) -> StoreError | None:
        """Why what was put cannot be written at the moment; None while all is well."""
        return self._writer.trouble

    # --- Reading ----------------------------------------------------------------------------------------

    async def conversations(self) -> tuple[Conversation, ...]:
        """Those that are not in the bin, the one that was changed last first."""
        found = await self._heads()
        return tuple(one for one in found if one.deleted is None)

    async def deleted(self) -> tuple[Conversation, ...]:
        """Those in the bin, the one that was put there last first."""
        found = await self._heads()
        binned = [one for one in found if one.deleted is not None]
        return tuple(sorted(binned, key=lambda one: one.deleted or 0.0, reverse=True))

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """One conversation, in the bin or not."""
        newer = self._writer.not_yet_written()
        if conversation_id in newer.conversations:
            return newer.conversations[conversation_id]
        if conversation_id in newer.removed_conversations:
            return None
        found = await self._read(lambda file: rows.conversations_of(file, "id = ?", (conversation_id,)))
        return found[0] if found else None

    async def nodes(self, conversation_id: str) -> tuple[Node, ...]:
        """The messages of a conversation, in the order in which they were first put."""
        newer = self._writer.not_yet_written()
        found: list[Node] = []
        if conversation_id not in newer.removed_conversations:
            found = await self._read(lambda file: rows.nodes_of(file, conversation_id))
        nodes = {node.id: node for node in found if (conversation_id, node.id) not in newer.removed_nodes}
        nodes |= {node.id: node for (chat, _), node in newer.nodes.items() if chat == conversation_id}
        return tuple(nodes.values())

    async def data(self, attachment_id: str) -> bytes | None:
        """The bytes of an attachment; None where they are not there."""
        newer = self._writer.not_yet_written()
        if attachment_id in newer.data:
            return newer.data[attachment_id]
        found = await self._read(
            lambda file: file.execute("SELECT bytes FROM data WHERE id = ?", (attachment_id,)).fetchone()
        )
        return bytes(found[0]) if found else None

    async def folders(self) -> tuple[Folder, ...]:
        """All folders in their order."""
        newer = self._writer.not_yet_written()
        found = await self._read(
            lambda file: rows.fetched(file, f"SELECT {rows.FOLDER_COLUMNS} FROM folders")
        )
        folders = {row[1]: rows.folder_of(row) for row in found if row[1] not in newer.removed_folders}
        folders |= newer.folders
        return tuple(sorted(folders.values(), key=lambda folder: (folder.position, folder.name)))

    async def search(self, query: str, limit: int = 50, conversation: str | None = None) -> tuple[Hit, ...]:
        """Where all words of `query` stand: in titles, then in messages, the best and newest first.

        The last word may be the beginning of one, and "quoted words" stand together. What is in the bin, what
        is being written at the moment, and reasoning are not searched.
        """
        return await self._read(lambda file: search(file, query, limit, conversation, time.time()))

    # --- Writing ----------------------------------------------------------------------------------------

    def put(self, conversation: Conversation) -> None:
        """Keep the head of a conversation."""
        self._writer.put(conversation)

    def put_node(self, conversation_id: str, node: Node) -> None:
        """Keep a message. It can be searched once it is no longer STREAMING."""
        self._writer.put_node(conversation_id, node)

    def put_data(self, attachment_id: str, data: bytes) -> None:
        """Keep the bytes of an attachment, for as long as a message or a draft refers to them."""
        self._writer.put_data(attachment_id, data)

    def put_folder(self, folder: Folder) -> None:
        """Keep a folder."""
        self._writer.put_folder(folder)

    def remove(self, conversation_id: str) -> None:
        """Remove a conversation for good, with its messages and what only they had attached."""
        self._writer.remove(conversation_id)

    def remove_nodes(self, conversation_id: str, ids: Iterable[str]) -> None:
        """Remove messages for good."""
        for node_id in ids:
            self._writer.remove_node(conversation_id, node_id)

    def remove_folder(self, folder_id: str) -> None:
        """Remove a folder. The conversations in it move out."""
        self._writer.remove_folder(folder_id)

    async def flush(self) -> None:
        """Returns when what was put before is on the disk. Raises `StoreError` where it cannot be written."""
        await asyncio.wrap_future(self._writer.flush())

    async def close(self) -> None:
        """Write what is left and close the file. Raises `StoreError` where that could not be written."""
        await asyncio.to_thread(self._readers.close)
        try:
            await asyncio.wrap_future(self._writer.close())
        finally:
            await asyncio.to_thread(self._writer.join)

    async def _heads(self) -> list[Conversation]:
        newer = self._writer.not_yet_written()
        heads = {one.id: one for one in await self._read(lambda file: rows.conversations_of(file, "1"))}
        heads = {id_: one for id_, one in heads.items() if id_ not in newer.removed_conversations}
        heads |= newer.conversations
        return sorted(heads.values(), key=lambda one: one.updated, reverse=True)

    async def _read(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        """What a reading thread answers. What it finds to be damaged is mended, and it is asked again."""
        try:
            try:
                return await self._readers.run(ask, self._writer.generation)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                mend = Mend.INDEX if is_of_index(error) else Mend.FILE
            await asyncio.wrap_future(self._writer.flush(mend))
            return await self._readers.run(ask, self._writer.generation)
        except sqlite3.Error as error:
            raise problem(error, self._path) from error
