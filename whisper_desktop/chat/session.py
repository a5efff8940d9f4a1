"""One conversation: a tree of messages that grows, is shown along one path, and is kept as it grows.

Data flow: `send(text)` -> the path as messages -> the stream handed in by `app` -> events to the front end,
while the answer grows here. What was shown is never lost: it is handed to the keeper before it is shown or a
moment after, and a stopped or broken answer stays as it was.

What only reads may be called from any thread, and so may the plain functions that change something; answers
belong to one event loop.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from whisper_desktop.chat import titles
from whisper_desktop.chat.going_on import can_go_on, left_behind, with_seam
from whisper_desktop.chat.growing import Growing
from whisper_desktop.chat.history import GO_ON, images_on, messages_of, sent_of
from whisper_desktop.chat.keeper import Keeper
from whisper_desktop.chat.records import (
    Attachment,
    ChatWishes,
    Choice,
    Conversation,
    Draft,
    Node,
    ReadingPlace,
    TitleSource,
    TurnState,
)
from whisper_desktop.chat.tree import Tree, mended, new_id
from whisper_desktop.chat.turns import Turn, turns_of
from whisper_desktop.chat.writing import Writing
from whisper_desktop.errors import Interrupted, WhisperError
from whisper_desktop.values import (
    AnswerFinished,
    Message,
    Reach,
    Role,
    StreamEvent,
)

Ask = Callable[["Session", Sequence[Message]], AsyncGenerator[StreamEvent, None]]
"""How a session gets its answers: given itself (for backend, model, reach, parameters) and the messages."""

_KEEP_EVERY = 0.1  # seconds: so often at most is a growing answer handed to the keeper
_IN_FLIGHT = 64  # events of two answers that wait to be taken, before who writes them waits


class Session:
    """A conversation with one set of choices: guide or not, backend, model, and how far prompts may go.

    `history_turns` bounds how many earlier turns are sent along (None: all of them); the guide's context
    is tiny. `reach` is what holds while the conversation has none of its own. A session answers one question
    at a time: asking while it answers raises `RuntimeError`.

    `goes_on` is set on what an `Ask` is given while an answer is gone on with: the last message is then the
    answer so far, to be gone on with and not to be answered.
    """

    goes_on = False

    def __init__(
        self,
        ask: Ask,
        *,
        guide: bool = False,
        backend: str | None = None,
        model: str | None = None,
        reach: Reach | Callable[[], Reach] = Reach.THIS_MACHINE,
        history_turns: int | None = None,
        conversation: Conversation | None = None,
        nodes: Iterable[Node] = (),
        keeper: Keeper | None = None,
    ) -> None:
        self._ask = ask
        self.guide = guide
        self._usual_reach = reach
        self._history_turns = history_turns
        self._keeper = keeper
        self._lock = threading.RLock()
        self._tree = Tree(
            left_behind(node) if node.state is TurnState.STREAMING else node for node in mended(nodes)
        )
        self._head = self._opened(conversation, ChatWishes(backend=backend, model=model))
        self._stored = len(self._tree) > 0 or self._head.draft != Draft()
        self._growing: dict[str, Writing] = {}
        self._asked_under: str | None = None
        self._kept_at = 0.0
        self._keeping: asyncio.TimerHandle | None = None

    def _opened(self, conversation: Conversation | None, wishes: ChatWishes) -> Conversation:
        if conversation is None:
            now = time.time()
            return Conversation(new_id(), now, now, wishes=wishes)
        leaf = conversation.leaf
        known = leaf is not None and leaf in self._tree
        return replace(conversation, leaf=leaf if known else self._tree.newest())

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of the conversation."""
        return self._head.id

    @property
    def conversation(self) -> Conversation:
        """The head: title, folder, wishes, leaf, draft, place."""
        return self._head

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every message by its id, the growing ones included, in order of creation."""
        with self._lock:
            self._settle()
            return MappingProxyType(dict(self._tree.nodes))

    @property
    def path(self) -> tuple[Node, ...]:
        """What is shown: from the first message down to the leaf."""
        with self._lock:
            self._settle()
            return tuple(self._tree[each] for each in self._tree.path_to(self._head.leaf))

    @property
    def kept(self) -> bool:
        """Whether it is written down; False for the guide's, and where nothing can or may be kept."""
        return self._keeper is not None and self._keeper.keeps

    @property
    def is_stored(self) -> bool:
        """Whether its keeper has it: from its first message, draft or name on."""
        return self._keeper is not None and self._stored

    @property
    def answering(self) -> bool:
        """Whether an answer is being written."""
        return bool(self._growing)

    @property
    def answering_ids(self) -> tuple[str, ...]:
        """The answers that are being written: none, one, or the two that are compared, in their order."""
        return tuple(self._growing)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The path as questions with their answers, the growing one included."""
        return turns_of(self.path)

    def siblings(self, node_id: str) -> tuple[str, ...]:
        """That message and the others in its place, oldest first. Raises `KeyError`."""
        with self._lock:
            return self._tree.siblings(node_id)

    def children(self, node_id: str | None) -> tuple[str, ...]:
        """What follows that message (None: the first messages), oldest first. Raises `KeyError`."""
        with self._lock:
            return self._tree.children(node_id)

    @property
    def sent(self) -> tuple[Node, ...]:
        """What of the path goes along with the next question."""
        return sent_of(self.path, self._history_turns)

    @property
    def same_system(self) -> bool:
        """Whether the last answer was asked for under the system prompt that holds now, as far as known."""
        return self._asked_under in (None, self.wishes.system)

    # --- choices ------------------------------------------------------------------------------------------

    @property
    def wishes(self) -> ChatWishes:
        """What the person chose for this conversation."""
        return self._head.wishes

    @property
    def backend(self) -> str | None:
        """The backend that was chosen; None: what the settings say."""
        return self.wishes.backend

    @backend.setter
    def backend(self, backend: str | None) -> None:
        self.use(replace(self.wishes, backend=backend))

    @property
    def model(self) -> str | None:
        """The model that was chosen; None: what the settings say."""
        return self.wishes.model

    @model.setter
    def model(self, model: str | None) -> None:
        self.use(replace(self.wishes, model=model))

    @property
    def reach(self) -> Reach:
        """How far prompts may go: what was chosen here, else what holds for all."""
        if self.wishes.reach is not None:
            return self.wishes.reach
        return self._usual_reach() if callable(self._usual_reach) else self._usual_reach

    @reach.setter
    def reach(self, reach: Reach) -> None:
        self.use(replace(self.wishes, reach=reach))

    def use(self, wishes: ChatWishes) -> None:
        """Use these choices from the next message on."""
        self._change(wishes=wishes)

    def keep_draft(self, draft: Draft) -> None:
        """Keep what is written and not sent."""
        if draft == self._head.draft:
            return
        if self._keeper is not None:
            self._keeper.hold(draft.attachments)
        self._change(draft=draft)

    def keep_place(self, place: ReadingPlace | None) -> None:
        """Keep where the person reads; None: at the end."""
        if place != self._head.place:
            self._change(place=place)

    def rename(self, title: str) -> None:
        """Give it the person's own title; "" lets it be found anew."""
        own = titles.as_title(title)
        if own:
            self._change(listed=True, title=own, title_source=TitleSource.PERSON)
        else:
            self._change(listed=True, title=self._found_title(), title_source=TitleSource.QUESTION)

    def entitle(self, title: str) -> None:
        """Give it the title that a model found, unless the person has given one."""
        with self._lock:
            if self._head.title_source is not TitleSource.PERSON:
                self._change(listed=True, title=title, title_source=TitleSource.MODEL)

    def file(self, **changes: Any) -> None:  # noqa: ANN401 - fields of a Conversation
        """Change where it stands in the list: its folder, whether it is pinned or deleted."""
        self._change(listed=True, **changes)

    def take_in(self, head: Conversation, nodes: Iterable[Node]) -> None:
        """Take over what an import brought: messages that were not here, and the leaf it shows."""
        with self._lock:
            for node in mended((*self._tree.nodes.values(), *nodes)):
                self._tree.put(node)
            leaf = head.leaf if head.leaf in self._tree.nodes else self._head.leaf
            self._change(listed=True, leaf=leaf, updated=head.updated, deleted=head.deleted)

    # --- the tree -----------------------------------------------------------------------------------------

    def show(self, node_id: str) -> None:
        """Make the path go through that message, down to the newest below it. Raises `KeyError`."""
        with self._lock:
            self._change(leaf=self._tree.newest_below(node_id))

    def remove(self, node_id: str) -> None:
        """Remove that message and what is below it. Raises `KeyError`, and `RuntimeError` while answering."""
        self._check_free()
        with self._lock:
            node = self._tree[node_id]
            beside = [each for each in self._tree.siblings(node_id) if each != node_id]
            gone = self._tree.remove(node_id)
            leaf = self._head.leaf
            if leaf in gone:
                leaf = self._tree.newest_below(beside[-1]) if beside else node.parent
            if self._keeper is not None:
                self._keeper.remove_nodes(self.id, gone)
            self._change(listed=True, leaf=leaf)

    def drop_last(self) -> str | None:
        """Take the last turn back and return its question, to ask it again (with another backend, say)."""
        asked = next((node for node in reversed(self.path) if node.role is Role.USER), None)
        if asked is None:
            return None
        with self._lock:
            self.remove(asked.id)
            self._change(leaf=asked.parent)
        return asked.text

    # --- asking -------------------------------------------------------------------------------------------

    async def send(
        self, question: str, attachments: Sequence[Attachment] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the events of the answer as they come.

        Closing the generator stops the answer and keeps what came. Errors are recorded in the answer and
        raised: `Interrupted` after text was shown, else what the chain raises.
        """
        self._check_free()
        asked = self._add_question(question, attachments, self._head.leaf)
        async with aclosing(self._answered(self._begin(asked), self)) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, answer_id: str | None = None, *, backend: str | None = None, model: str | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask once more for that answer (None: the last one of the path): a sibling, shown from then on.

        Also for a question that has no answer. One that failed before its first word gives way to the new
        one. `backend` and `model` are for this answer only. Raises `KeyError`, and `ValueError` where there
        is no question.
        """
        self._check_free()
        asked = self._question_of(answer_id)
        for each in self._tree.children(asked):
            if _is_nothing(self._tree[each]) and not self._tree.children(each):
                self.remove(each)
        answer = self._begin(asked)
        async with aclosing(self._answered(answer, self._asker(Choice(backend, model)))) as events:
            async for event in events:
                yield event

    async def edit(
        self, question_id: str, text: str, attachments: Sequence[Attachment] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Word a question otherwise (attachments None: the same ones) and ask it: a sibling of it.

        Raises `KeyError`, and `ValueError` for what is no question.
        """
        self._check_free()
        before = self._tree[question_id]
        if before.role is not Role.USER:
            raise ValueError("Only a question can be worded otherwise.")
        given = before.attachments if attachments is None else attachments
        asked = self._add_question(text, given, before.parent)
        async with aclosing(self._answered(self._begin(asked), self)) as events:
            async for event in events:
                yield event

    def can_continue(self, answer_id: str) -> bool:
        """Whether an answer may be gone on with: it has text, and ended before its end. Raises `KeyError`."""
        with self._lock:
            node = self._tree[answer_id]
        return node.role is Role.ASSISTANT and can_go_on(node)

    async def continue_(self, answer_id: str | None = None) -> AsyncGenerator[StreamEvent, None]:
        """Go on with an answer that was stopped, broke off or was cut at max_tokens, in the same node.

        `AnswerContinued` says where the seam is, before the first new piece. Where the model begins its
        answer anew, `AnswerRestarted` comes in its place, and what was there is set aside. Raises
        `ValueError` where `can_continue` says no.
        """
        self._check_free()
        answer_id = answer_id or self._last_answer()
        if answer_id is None or not self.can_continue(answer_id):
            raise ValueError("This answer cannot be gone on with.")
        node = self._tree[answer_id]
        asker = self._asker(Choice())
        asker.goes_on = True
        self._grow(node)
        async with aclosing(self._answered(node.id, asker, goes_on_from=node)) as events:
            async for event in events:
                yield event

    async def compare(
        self,
        text: str,
        attachments: Sequence[Attachment],
        first: Choice,
        second: Choice,
        after: tuple[str, str] | None = None,
    ) -> AsyncGenerator[tuple[int, StreamEvent | WhisperError], None]:
        """Ask two side by side: (0 or 1, what came). Two answers; the first one is on the path.

        `after` are the two answers below which the question stands, each of them goes on from its own (None:
        both from the leaf, and the answers are siblings). One that fails ends with its error in place of an
        event, and the other goes on. Closing the generator stops both, `stop(answer_id)` one.
        """
        self._check_free()
        below, beside = after or (self._head.leaf, self._head.leaf)
        asked = self._add_question(text, attachments, below)
        other = asked if beside == below else self._add_question(text, attachments, beside)
        async with aclosing(self._both((asked, other), (first, second))) as events:
            async for event in events:
                yield event

    async def compare_again(
        self, answers: tuple[str, str], first: Choice, second: Choice
    ) -> AsyncGenerator[tuple[int, StreamEvent | WhisperError], None]:
        """Ask two once more for what these two answered, as `compare` does: siblings of theirs.

        Raises `KeyError`, and `ValueError` where there is no question.
        """
        self._check_free()
        asked = (self._question_of(answers[0]), self._question_of(answers[1]))
        async with aclosing(self._both(asked, (first, second))) as events:
            async for event in events:
                yield event

    async def _both(
        self, questions: tuple[str, str], choices: tuple[Choice, Choice]
    ) -> AsyncGenerator[tuple[int, StreamEvent | WhisperError], None]:
        answers = [self._begin(each) for each in questions]
        self._change(leaf=answers[0])
        arrived: asyncio.Queue[tuple[int, StreamEvent | WhisperError] | Exception | None]
        arrived = asyncio.Queue(_IN_FLIGHT)

        async def write(number: int, choice: Choice) -> None:
            mistake: Exception | None = None
            try:
                async with aclosing(self._answered(answers[number], self._asker(choice))) as events:
                    async for event in events:
                        await arrived.put((number, event))
            except WhisperError as error:
                await arrived.put((number, error))
            except Exception as error:
                mistake = error
            await arrived.put(mistake)

        tasks = [asyncio.create_task(write(*each)) for each in enumerate(choices)]
        running = len(tasks)
        try:
            while running:
                item = await arrived.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, answer_id: str | None = None) -> None:
        """Stop the answers that are being written, or that one, and keep what came; on their loop.

        Whoever reads the events sees them end, without an error.
        """
        for each in tuple(self._growing) if answer_id is None else (answer_id,):
            writing = self._growing.get(each)
            if writing is None:
                continue
            writing.stopped = True
            if writing.waits is not None:
                writing.waits.cancel()
                await writing.over.wait()
            else:  # who reads is busy with an event: it ends as soon as the next one is asked for
                self._end(each, TurnState.STOPPED)

    # --- an answer ----------------------------------------------------------------------------------------

    def _check_free(self) -> None:
        if self.answering:
            raise RuntimeError("This conversation is already answering a question.")

    def _add_question(self, text: str, attachments: Sequence[Attachment], parent: str | None) -> str:
        node = _question(text, attachments, parent)
        if self._keeper is not None:
            self._keeper.hold(node.attachments)
        with self._lock:
            self._put(node)
            title = {}
            if self._head.title_source is TitleSource.NONE:
                found = titles.from_question(text, attachments)
                title = {"title": found, "title_source": TitleSource.QUESTION}
            self._change(listed=True, leaf=node.id, updated=node.created, place=None, **title)
        return node.id

    def _begin(self, question_id: str) -> str:
        """Put an empty answer below a question. From here to `_answered` nothing may wait."""
        answer = Node(new_id(), question_id, Role.ASSISTANT, "", time.time(), state=TurnState.STREAMING)
        self._put(answer)
        self._grow(answer)
        self._change(leaf=answer.id)
        return answer.id

    def _grow(self, node: Node) -> None:
        self._growing[node.id] = Writing(Growing(node))
        self._keep()
        self._asked_under = self.wishes.system

    async def _answered(
        self, node_id: str, asker: "Session", goes_on_from: Node | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask for the answer that was begun, and record what comes."""
        writing = self._growing[node_id]
        answer = writing.answer
        try:
            messages = await self._messages_to(node_id, goes_on_from)
            events = self._ask(asker, messages)
            if goes_on_from is not None:
                events = with_seam(goes_on_from, events)
            async with aclosing(events):
                while not writing.stopped and (event := await writing.next_of(events)) is not None:
                    answer.record(event)
                    if isinstance(event, AnswerFinished):
                        self._end(node_id)
                        self._tell_answered(node_id, messages)
                    else:
                        self._keep_soon()
                    yield event
        except Interrupted as error:
            self._end(node_id, TurnState.INTERRUPTED, error)
            raise
        except WhisperError as error:
            broke_off = goes_on_from is not None and answer.has_text
            self._end(node_id, TurnState.INTERRUPTED if broke_off else TurnState.FAILED, error)
            raise
        finally:
            self._end(node_id, TurnState.STOPPED)
            writing.over.set()

    def _end(self, node_id: str, state: TurnState | None = None, error: WhisperError | None = None) -> None:
        """The answer has ended: as its last event said, or in this state. What ended already stays so."""
        with self._lock:
            writing = self._growing.pop(node_id, None)
            if writing is None:
                return
            if state is not None:
                writing.answer.end(state, error)
            self._put(writing.answer.node)
            if not self._growing and self._keeping is not None:
                self._keeping.cancel()
                self._keeping = None
            self._change(listed=True, updated=time.time())

    def _tell_answered(self, node_id: str, messages: Sequence[Message]) -> None:
        if self._keeper is not None:
            self._keeper.answered(self, self._tree[node_id], messages)

    def _asker(self, choice: Choice) -> "Session":
        """Who is handed to the `Ask`: this conversation, with the choice for one answer."""
        wishes = self.wishes
        if choice.backend is not None:  # the model that was chosen is another server's
            wishes = replace(wishes, backend=choice.backend, model=choice.model)
        elif choice.model is not None:
            wishes = replace(wishes, model=choice.model)
        return Session(
            self._ask,
            guide=self.guide,
            reach=self._usual_reach,
            conversation=replace(self._head, wishes=wishes, leaf=None),
        )

    def _question_of(self, answer_id: str | None) -> str:
        """The question that an answer (None: the last message of the path) belongs to."""
        current = answer_id or self._head.leaf
        while current is not None:
            node = self._tree[current]
            if node.role is Role.USER:
                return node.id
            current = node.parent
        raise ValueError("There is no question to answer.")

    def _last_answer(self) -> str | None:
        """The last answer of the path."""
        return next((node.id for node in reversed(self.path) if node.role is Role.ASSISTANT), None)

    # --- what is sent -------------------------------------------------------------------------------------

    async def _messages_to(self, answer_id: str, goes_on_from: Node | None) -> tuple[Message, ...]:
        """What is sent for an answer: the way down to its question, and what there is of it already."""
        with self._lock:
            *path, _answer = (self._tree[each] for each in self._tree.path_to(answer_id))
        images: dict[str, bytes] = {}
        if self._keeper is not None:
            for each in images_on(path):
                data = await self._keeper.data(each.id)
                if data is not None:
                    images[each.id] = data
        messages = self._messages(path, images)
        if goes_on_from is None:
            return messages
        begun = Message(Role.ASSISTANT, goes_on_from.text)
        if goes_on_from.reasoning:  # its thoughts are not sent, so no server could take it for its own
            return (*messages, begun, Message(Role.USER, GO_ON))
        return (*messages, begun)

    def _messages(
        self, path: Sequence[Node], images: Mapping[str, bytes] | None = None
    ) -> tuple[Message, ...]:
        system = "" if self.guide else self.wishes.system
        return messages_of(path, system=system, most_turns=self._history_turns, images=images)

    # --- what is kept -------------------------------------------------------------------------------------

    def _change(self, *, listed: bool = False, **changes: Any) -> None:  # noqa: ANN401 - of a Conversation
        with self._lock:
            self._head = replace(self._head, **changes)
            if self._keeper is None:
                return
            named = self._head.title_source is TitleSource.PERSON
            if len(self._tree) or self._head.draft != Draft() or named:
                self._keeper.put(self._head, listed=listed or not self._stored)
                self._stored = True
            elif self._stored:
                self._stored = False
                self._keeper.forget(self.id)

    def _put(self, node: Node) -> None:
        with self._lock:
            self._tree.put(node)
        if self._keeper is not None:
            self._keeper.put_node(self.id, node)

    def _keep_soon(self) -> None:
        """Hand on what grew: now where the last time is long enough ago, else a moment later."""
        if self._keeper is None:
            return
        loop = asyncio.get_running_loop()
        due = self._kept_at + _KEEP_EVERY
        if (now := loop.time()) >= due:
            self._keep()
        elif self._keeping is None:
            self._keeping = loop.call_later(due - now, self._keep)

    def _keep(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        self._kept_at = asyncio.get_running_loop().time()
        for writing in self._growing.values():
            self._put(writing.answer.node)

    def _settle(self) -> None:
        """Put what grew into the tree. The lock is held."""
        for writing in tuple(self._growing.values()):
            self._tree.put(writing.answer.node)

    def _found_title(self) -> str:
        first = next((node for node in self.path if node.role is Role.USER), None)
        return "" if first is None else titles.from_question(first.text, first.attachments)


def _question(text: str, attachments: Sequence[Attachment], parent: str | None) -> Node:
    return Node(new_id(), parent, Role.USER, text, time.time(), tuple(attachments))


def _is_nothing(answer: Node) -> bool:
    """Whether there is nothing in an answer that was ever shown, but why it failed."""
    return answer.state is TurnState.FAILED and not (answer.text or answer.reasoning or answer.set_aside)
