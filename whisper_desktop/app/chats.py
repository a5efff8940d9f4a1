"""The conversations of this person: kept, listed, searched, shared between the windows.

Everything that is `async` runs on the core loop; what is not may be called from any thread. The store is
opened by the first call that needs it, never at the start of the app.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from whisper_desktop.app.chat_memory import ChatMemory
from whisper_desktop.app.titling import Titling
from whisper_desktop.chat import Session
from whisper_desktop.chat.context import ContextUse, Scale, too_long
from whisper_desktop.chat.going_on import left_behind
from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Conversation,
    Draft,
    Folder,
    Hit,
    Node,
    TitleSource,
    TurnState,
)
from whisper_desktop.chat.tree import new_id
from whisper_desktop.errors import SettingsError, StoreError, WhisperError
from whisper_desktop.events import Bus, ConversationsChanged, Notice
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, Message, Role

if TYPE_CHECKING:
    from whisper_desktop.app.talking import Talking
    from whisper_desktop.chat.exporting import Kept
    from whisper_desktop.chat.importing import Imported, ImportReport
    from whisper_desktop.chat.store import ConversationStore
    from whisper_desktop.settings import Settings

FILE = "conversations.db"

_A_DAY = 86_400  # seconds
_MOST_HELD = 256_000_000  # bytes of attachments that were read and not sent yet


@dataclass(frozen=True, slots=True)
class ChatRoom:
    """What conversations need of the app: its settings and who talks, as they are now, and its places."""

    settings: "Callable[[], Settings]"
    talking: "Callable[[], Talking]"
    env: Mapping[str, str]
    deadlines: Deadlines
    bus: Bus


class ChatHost:
    """All conversations. Errors are `WhisperError`s in a person's words; `KeyError` for an unknown id."""

    def __init__(self, room: ChatRoom) -> None:
        self._room = room
        self._memory = ChatMemory()
        self._store: ConversationStore | None = None
        self._opening: asyncio.Task[None] | None = None
        self._refused: WhisperError | None = None
        self._left: frozenset[str] = frozenset()
        # What is read, changed and put back, and a conversation that is being opened, take turns.
        self._turn = asyncio.Lock()
        self._lock = threading.Lock()
        self._heads: dict[str, Conversation] = {}
        self._sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._scales: WeakKeyDictionary[Session, Scale] = WeakKeyDictionary()
        self._held: dict[str, bytes] = {}
        self._keepers: WeakValueDictionary[str, _Kept] = WeakValueDictionary()
        self._stopped = False
        self._titling = Titling(self._title, room.bus)

    # --- what is readable at once, on any thread ----------------------------------------------------------

    @property
    def kept(self) -> bool:
        """Whether new conversations are written down; True until the store was opened and found otherwise."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """A sentence that says why they are not; "" while they are."""
        if self._refused is not None:
            return str(self._refused)
        trouble = self._store.trouble if self._store is not None else None
        if trouble is not None:
            return str(trouble)
        if not self._room.settings().chat.keep:
            return tr("Conversations are not kept: the setting chat.keep says so.")
        return ""

    def recent(self, limit: int = 10) -> tuple[Conversation, ...]:
        """The newest conversations, from memory. Empty until the store was opened: `list` opens it."""
        with self._lock:
            heads = [head for head in self._heads.values() if head.deleted is None]
        return tuple(sorted(heads, key=lambda head: head.updated, reverse=True)[:limit])

    def context(self, session: Session, text: str = "", attachments: Sequence[Attachment] = ()) -> ContextUse:
        """What the path takes of the window of who would answer, with this in the composer."""
        return self._measured(session, text, attachments)[0]

    def too_long(self, session: Session, text: str, attachments: Sequence[Attachment] = ()) -> str:
        """A sentence that says what does not fit and what to do, before it is sent; "" where all fits."""
        return too_long(*self._measured(session, text, attachments))

    def _measured(
        self, session: Session, text: str, attachments: Sequence[Attachment]
    ) -> tuple[ContextUse, str | None]:
        scale = self._scales.setdefault(session, Scale())
        window, model = self._room.talking().window_of(session)
        used, exact = scale.used(
            session.sent,
            system=session.wishes.system,
            text=text,
            attachments=attachments,
            model=model,
            same_system=session.same_system,
        )
        return ContextUse(used, window, exact), model

    # --- the list -----------------------------------------------------------------------------------------

    async def list(self) -> tuple[Conversation, ...]:
        """Those that are not in the bin, newest first."""
        stored = await self._store_or_memory()
        found = {head.id: head for head in await stored.conversations()}
        found |= {head.id: head for head in await self._memory.conversations()}
        with self._lock:
            self._heads = dict(found)
        return tuple(sorted(found.values(), key=lambda head: head.updated, reverse=True))

    async def deleted(self) -> tuple[Conversation, ...]:
        """Those in the bin, the newest first."""
        stored = await self._store_or_memory()
        found = {head.id: head for head in await stored.deleted()}
        found |= {head.id: head for head in await self._memory.deleted()}
        return tuple(sorted(found.values(), key=lambda head: head.deleted or 0.0, reverse=True))

    async def folders(self) -> tuple[Folder, ...]:
        """The folders, in their order."""
        return await (await self._store_or_memory()).folders()

    async def search(self, query: str, limit: int = 50) -> tuple[Hit, ...]:
        """Where these words stand, in everything that is kept and not in the bin."""
        stored = await self._store_or_memory()
        hits = await stored.search(query, limit)
        if stored is not self._memory:
            hits = (*await self._memory.search(query, limit), *hits)[:limit]
        return hits

    # --- one conversation ---------------------------------------------------------------------------------

    async def new(
        self, *, folder: str | None = None, wishes: ChatWishes | None = None, guide: bool = False
    ) -> Session:
        """An empty conversation. It is kept from its first message, or draft, on; the guide's never is."""
        talking = self._room.talking()
        if guide:
            return talking.open_session(guide=True, backend=None, model=None, reach=None)
        stored = await self._for_new()
        now = time.time()
        head = Conversation(new_id(), now, now, folder=folder, wishes=wishes or ChatWishes())
        return self._shared(head, (), stored)

    async def open(self, conversation_id: str) -> Session:
        """A conversation with its messages: the same object for everybody who has it open."""
        async with self._turn:
            session = self._sessions.get(conversation_id)
            if session is None:
                stored = await self._home_of(conversation_id)
                head = await self._head(conversation_id)
                session = self._shared(head, await stored.nodes(conversation_id), stored)
        return session

    def _shared(
        self, head: Conversation, nodes: Sequence[Node], stored: "ConversationStore | ChatMemory"
    ) -> Session:
        shown = [self._as_left(node) for node in nodes]
        for before, now in zip(nodes, shown, strict=True):
            if now is not before:
                stored.put_node(head.id, now)
        keeper = _Kept(self, stored)
        session = self._room.talking().kept_session(head, shown, keeper)
        self._sessions[head.id], self._keepers[head.id] = session, keeper
        return session

    def _as_left(self, node: Node) -> Node:
        """An answer that a run which died was still writing gets the sentence that says so."""
        left = node.id in self._left and node.state is TurnState.STOPPED and node.error is None
        return left_behind(node) if left else node

    async def rename(self, conversation_id: str, title: str) -> None:
        """Give it the person's own title; "" lets it be found anew."""
        (await self.open(conversation_id)).rename(title)

    async def pin(self, conversation_id: str, pinned: bool) -> None:  # noqa: FBT001 - that is what is said
        """Keep it at the top of the list, or not."""
        await self._file(conversation_id, pinned=pinned)

    async def move(self, conversation_id: str, folder_id: str | None) -> None:
        """Put it into a folder, or out of all of them."""
        if folder_id is not None and folder_id not in {each.id for each in await self.folders()}:
            raise KeyError(folder_id)
        await self._file(conversation_id, folder=folder_id)

    async def delete(self, conversation_id: str) -> None:
        """Put it into the bin; what is being answered in it is stopped."""
        session = self._sessions.get(conversation_id)
        if session is not None:
            await session.stop()
        if self._room.settings().chat.bin_days <= 0:
            await self.purge(conversation_id)
        else:
            await self._file(conversation_id, deleted=time.time())

    async def restore(self, conversation_id: str) -> None:
        """Take it back out of the bin."""
        await self._file(conversation_id, deleted=None)

    async def purge(self, conversation_id: str) -> None:
        """Remove it for good."""
        async with self._turn:
            stored = await self._home_of(conversation_id)
            await self._head(conversation_id)
            await self._let_go(conversation_id)
            stored.remove(conversation_id)
            self._forgotten(conversation_id)

    async def _let_go(self, conversation_id: str) -> None:
        """Whoever has it open writes nowhere from now on."""
        session = self._sessions.pop(conversation_id, None)
        keeper = self._keepers.pop(conversation_id, None)
        if session is not None:
            await session.stop()
        if keeper is not None:
            keeper.over = True

    async def duplicate(self, conversation_id: str) -> Conversation:
        """A copy with all its branches, at the top of the list."""
        session = await self.open(conversation_id)
        head, now = session.conversation, time.time()
        ids = {each: new_id() for each in session.nodes}
        copy = replace(
            head,
            id=new_id(),
            created=now,
            updated=now,
            title=tr("{title} (copy)", title=head.title) if head.title else "",
            title_source=TitleSource.PERSON if head.title else TitleSource.NONE,
            pinned=False,
            leaf=ids.get(head.leaf or ""),
            draft=Draft(),
            place=None,
            deleted=None,
        )
        stored = await self._home_of(conversation_id)
        stored.put(copy)
        for node in session.nodes.values():
            whole = left_behind(node) if node.state is TurnState.STREAMING else node
            stored.put_node(copy.id, replace(whole, id=ids[node.id], parent=ids.get(node.parent or "")))
        self._noted(copy, listed=True)
        return copy

    async def _file(self, conversation_id: str, **changes: Any) -> None:  # noqa: ANN401 - of a Conversation
        async with self._turn:
            session = self._sessions.get(conversation_id)
            if session is not None:
                session.file(**changes)
                return
            head = replace(await self._head(conversation_id), **changes)
            (await self._home_of(conversation_id)).put(head)
            self._noted(head, listed=True)

    async def _head(self, conversation_id: str) -> Conversation:
        session = self._sessions.get(conversation_id)
        if session is not None:
            return session.conversation
        head = await (await self._home_of(conversation_id)).conversation(conversation_id)
        if head is None:
            raise KeyError(conversation_id)
        return head

    # --- folders ------------------------------------------------------------------------------------------

    async def new_folder(self, name: str) -> Folder:
        """A folder at the end of the list."""
        stored = await self._store_or_memory()
        position = max((each.position for each in await stored.folders()), default=-1) + 1
        folder = Folder(new_id(), _folder_name(name), position)
        stored.put_folder(folder)
        self._tell()
        return folder

    async def rename_folder(self, folder_id: str, name: str) -> None:
        """Name it otherwise."""
        stored = await self._store_or_memory()
        folder = {each.id: each for each in await stored.folders()}[folder_id]
        stored.put_folder(replace(folder, name=_folder_name(name)))
        self._tell()

    async def remove_folder(self, folder_id: str) -> None:
        """Remove it; its conversations move out."""
        stored = await self._store_or_memory()
        async with self._turn:
            for session in tuple(self._sessions.values()):
                if session.conversation.folder == folder_id:
                    session.file(folder=None)
            stored.remove_folder(folder_id)
            self._memory.remove_folder(folder_id)
        await self.list()
        self._tell()

    # --- attachments and files ----------------------------------------------------------------------------

    async def attach(self, path: Path) -> Attachment:
        """Read a file to send along. Raises `WhisperError` in words for one that cannot be."""
        from whisper_desktop.chat.attachments import read_attachment

        return self._hold(*await read_attachment(path))

    async def attach_bytes(self, data: bytes, name: str, media_type: str = "") -> Attachment:
        """The same for bytes: an image from the clipboard."""
        from whisper_desktop.chat.attachments import attachment_of

        return self._hold(*await attachment_of(data, name, media_type))

    def _hold(self, attachment: Attachment, data: bytes) -> Attachment:
        """Keep bytes in memory until it is known where they go; the oldest go where it is too much."""
        self._held[attachment.id] = data
        while len(self._held) > 1 and sum(map(len, self._held.values())) > _MOST_HELD:
            del self._held[next(iter(self._held))]
        return attachment

    async def data(self, attachment_id: str) -> bytes | None:
        """The bytes of an attachment; None where they are gone."""
        held = self._held.get(attachment_id) or await self._memory.data(attachment_id)
        if held is None and (stored := await self._store_or_memory()) is not self._memory:
            held = await stored.data(attachment_id)
        return held

    async def export(self, ids: Sequence[str], format: str, file: Path) -> None:  # noqa: A002 - its name outside
        """Write conversations into a file. `format` is "markdown", "json" or "html"."""
        from whisper_desktop.chat.exporting import ExportFormat, write

        await asyncio.to_thread(write, await self.whole(ids), ExportFormat(format), file)

    async def whole(self, ids: Sequence[str]) -> "tuple[Kept, ...]":
        """These conversations with everything that belongs to them."""
        from whisper_desktop.chat.exporting import Kept

        kept = []
        for each in ids:
            session = await self.open(each)
            head, nodes = session.conversation, tuple(session.nodes.values())
            attached = [one.id for node in nodes for one in node.attachments]
            wanted = dict.fromkeys([*attached, *(one.id for one in head.draft.attachments)])
            data = {key: found for key in wanted if (found := await self.data(key)) is not None}
            kept.append(Kept(head, nodes, data))
        return tuple(kept)

    async def import_file(self, path: Path) -> "ImportReport":
        """Take in the conversations of an export: ours, ChatGPT, LM Studio, Jan, Open WebUI."""
        from whisper_desktop.chat.importing import read_import

        imported = await asyncio.to_thread(read_import, path)
        async with self._turn:
            return await self._take_in(imported)

    async def _take_in(self, imported: "Imported") -> "ImportReport":
        from whisper_desktop.chat.importing import arriving

        heads = {head.id: head for head in (*await self.list(), *await self.deleted())}
        here: dict[str, tuple[Conversation, frozenset[str]]] = {}
        for arrived, _nodes in imported.conversations:
            if (head := heads.get(arrived.id)) is not None:
                known = await (await self._home_of(head.id)).nodes(head.id)
                here[head.id] = (head, frozenset(node.id for node in known))
        folders = [each.id for each in await self.folders()]
        arrival = arriving(imported, here, folders, farthest=self._room.settings().llm.reach)
        usual = await self._for_new()
        homes = {
            head.id: await self._home_of(head.id) if head.id in here else usual
            for head in arrival.conversations
        }
        for home in set(homes.values()):
            for attachment_id, data in arrival.data.items():
                home.put_data(attachment_id, data)
        for head in arrival.conversations:
            homes[head.id].put(head)
        for conversation_id, node in arrival.nodes:
            homes[conversation_id].put_node(conversation_id, node)
        for head in arrival.conversations:
            session = self._sessions.get(head.id)
            if session is not None:
                session.take_in(head, (node for key, node in arrival.nodes if key == head.id))
            self._noted(head, listed=False)
        self._tell(*(head.id for head in arrival.conversations))
        return arrival.report

    # --- personas and prompts -----------------------------------------------------------------------------

    async def personas(self) -> PersonaFile:
        """The app's and the person's own, and in `problem` what is wrong with the person's file."""
        from whisper_desktop.chat import persona_file

        return (await asyncio.to_thread(persona_file.load, self._room.env)).with_built_in()

    async def save_persona(self, persona: Persona) -> None:
        """Keep it in the person's file, in the place of one with its name."""
        await self._save(PersonaFile(personas=(persona,)))

    async def remove_persona(self, name: str) -> None:
        """Remove one of the person's own; one of ours with this name is back then."""
        await self._remove(personas=(name,))

    async def save_prompt(self, prompt: Prompt) -> None:
        """Keep it in the person's file, in the place of one with its name."""
        await self._save(PersonaFile(prompts=(prompt,)))

    async def remove_prompt(self, name: str) -> None:
        """Remove one of the person's own."""
        await self._remove(prompts=(name,))

    async def _save(self, change: PersonaFile) -> None:
        from whisper_desktop.chat import persona_file

        await asyncio.to_thread(persona_file.save, change, self._room.env, self._room.deadlines)

    async def _remove(self, *, personas: tuple[str, ...] = (), prompts: tuple[str, ...] = ()) -> None:
        from whisper_desktop.chat import persona_file

        await asyncio.to_thread(persona_file.remove, personas, prompts, self._room.env, self._room.deadlines)

    # --- life ---------------------------------------------------------------------------------------------

    async def need_file(self) -> None:
        """Open the file of conversations, for who has no use for them in memory alone.

        Raises `StoreError` or `SettingsError` where it cannot be opened.
        """
        await self._store_or_memory()
        if self._refused is not None:
            raise self._refused

    async def flush(self) -> None:
        """Returns when what was changed is on the disk. Raises `StoreError` where it cannot be written."""
        if self._store is not None:
            await self._store.flush()

    async def look_again(self, ids: Sequence[str]) -> None:
        """Another program has changed these conversations, or, with none, any: take that over, and tell it.

        What is open here would else write what it was before over what it is now.
        """
        if self._store is not None:
            with suppress(StoreError):  # then nothing is known of it, and opening it says why
                for session in tuple(self._sessions.values()):
                    if (not ids or session.id in ids) and session.id not in self._memory:
                        async with self._turn:
                            await self._looked_again(session, self._store)
        self._tell(*ids)

    async def _looked_again(self, session: Session, stored: "ConversationStore") -> None:
        known = session.nodes  # first: what is removed here meanwhile is not new
        nodes = await stored.nodes(session.id)
        head = await stored.conversation(session.id)
        if head is None:
            if session.is_stored:
                await self._let_go(session.id)
                self._forgotten(session.id)
            return
        added = [node for node in nodes if node.id not in known]
        if added or head.deleted != session.conversation.deleted:
            session.take_in(head, added)

    async def stop(self) -> None:
        """Stop the answers, keep what came, and close the store. Safe to call twice."""
        half = self._room.deadlines.shutdown / 2  # answers that do not end must not keep the store from it
        await self._titling.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(half):
                for session in tuple(self._sessions.values()):
                    await session.stop()
        self._stopped = True
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        store, self._store = self._store, None
        if store is not None:
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(half):
                    await store.close()

    async def _store_or_memory(self) -> "ConversationStore | ChatMemory":
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)
        return self._store if self._store is not None else self._memory

    async def _for_new(self) -> "ConversationStore | ChatMemory":
        return await self._store_or_memory() if self._room.settings().chat.keep else self._memory

    async def _open(self) -> None:
        from whisper_desktop.chat.store import ConversationStore
        from whisper_desktop.settings.paths import data_dir

        loop = asyncio.get_running_loop()
        room = self._room

        def on_trouble(trouble: StoreError | None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._troubled, trouble)

        try:
            path = await asyncio.to_thread(data_dir, room.env) / FILE
            store = await ConversationStore.open(path, room.deadlines, on_trouble=on_trouble)
        except (StoreError, SettingsError) as error:
            self._refused = error
            self._troubled(error)
            return
        self._left = frozenset(store.report.recovered)
        if store.report.notice is not None:
            room.bus.publish(Notice(*store.report.notice, needs_attention=True))
        await self._empty_bin(store)
        found = await store.conversations()
        with self._lock:
            self._heads = {head.id: head for head in found}
        self._store = store

    async def _empty_bin(self, store: "ConversationStore") -> None:
        oldest = time.time() - self._room.settings().chat.bin_days * _A_DAY
        for head in await store.deleted():
            if head.deleted is not None and head.deleted < oldest:
                store.remove(head.id)

    def _troubled(self, error: WhisperError | None) -> None:
        if error is not None:
            detail = f"{error.detail} {error.next_step}".strip()
            self._room.bus.publish(Notice(error.title, detail, needs_attention=True))
        self._tell()

    async def _home_of(self, conversation_id: str) -> "ConversationStore | ChatMemory":
        return self._memory if conversation_id in self._memory else await self._store_or_memory()

    async def _title(self, session: Session, answer: Any, messages: Sequence[Message]) -> str:  # noqa: ANN401
        return await self._room.talking().title(session, answer, messages)

    # --- used by the conversations ------------------------------------------------------------------------

    def _noted(self, head: Conversation, *, listed: bool) -> None:
        with self._lock:
            self._heads[head.id] = head
        if listed:
            self._tell(head.id)

    def _forgotten(self, conversation_id: str) -> None:
        with self._lock:
            self._heads.pop(conversation_id, None)
        self._tell(conversation_id)

    def _tell(self, *ids: str) -> None:
        if not self._stopped:
            self._room.bus.publish(ConversationsChanged(ids))

    def _released(self, attachment_id: str) -> bytes | None:
        return self._held.pop(attachment_id, None) or self._memory.data_now(attachment_id)

    def _answered(self, session: Session, answer: Node, messages: Sequence[Message]) -> None:
        if self._room.settings().chat.titles_by_model and answer.provenance is not None:
            said = (*messages, Message(Role.ASSISTANT, answer.text))
            self._titling.answered(session, answer.provenance, said)


class _Kept:
    """The keeper of one conversation: its store, or memory, and what the host knows of it.

    `over`: the conversation was removed for good, and whoever still has it open writes nowhere.
    """

    def __init__(self, host: ChatHost, stored: "ConversationStore | ChatMemory") -> None:
        self._host = host
        self._stored = stored
        self.over = False

    @property
    def keeps(self) -> bool:
        return not (self._ended or isinstance(self._stored, ChatMemory) or self._host.why_not)

    @property
    def _ended(self) -> bool:
        return self.over or self._host._stopped

    def put(self, conversation: Conversation, *, listed: bool) -> None:
        if not self._ended:
            self._stored.put(conversation)
            self._host._noted(conversation, listed=listed)

    def put_node(self, conversation_id: str, node: Node) -> None:
        if not self._ended:
            self._stored.put_node(conversation_id, node)

    def remove_nodes(self, conversation_id: str, ids: Sequence[str]) -> None:
        if not self._ended:
            self._stored.remove_nodes(conversation_id, ids)

    def forget(self, conversation_id: str) -> None:
        if not self._ended:
            self._stored.remove(conversation_id)
            self._host._forgotten(conversation_id)

    def hold(self, attachments: Sequence[Attachment]) -> None:
        for each in () if self._ended else attachments:
            data = self._host._released(each.id)
            if data is not None:
                self._stored.put_data(each.id, data)

    async def data(self, attachment_id: str) -> bytes | None:
        return await self._host.data(attachment_id)

    def answered(self, session: Session, answer: Node, messages: Sequence[Message]) -> None:
        self._host._answered(session, answer, messages)


def _folder_name(name: str) -> str:
    from whisper_desktop.chat.titles import as_title

    return as_title(name) or tr("New folder")
