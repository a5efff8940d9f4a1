"""For tests of conversations: prepared answers, and a keeper that remembers what it was handed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Attachment, Conversation, Node
from whisper_desktop.values import (
    AnswerFinished,
    AnswerStarted,
    Attempt,
    Completion,
    Message,
    Provenance,
    Reach,
    StreamEvent,
    TextDelta,
    Usage,
)

STARTED = AnswerStarted("ollama", "Ollama", "llama3.2:3b", Reach.THIS_MACHINE)
URL = "http://127.0.0.1:11434"
WHO = Provenance(
    backend="ollama",
    server_name="Ollama",
    url=URL,
    model="llama3.2:3b",
    reach=Reach.THIS_MACHINE,
    as_given=False,
    reason="",
    attempts=(Attempt("ollama", "Ollama", URL, "llama3.2:3b", None, "", 0.6),),
    ttft_seconds=0.6,
    total_seconds=1.2,
    tokens_per_second=31.2,
)


def whole(text: str, *, finish_reason: str = "stop", usage: Usage | None = None) -> list[StreamEvent]:
    """The events of a complete answer, a word at a time."""
    words = [TextDelta(f"{word} ") for word in text.split(" ")[:-1]]
    end = AnswerFinished(Completion(text, "", finish_reason, usage or Usage(), WHO))
    return [STARTED, *words, TextDelta(text.rpartition(" ")[2]), end]


class Script:
    """Plays prepared answers in their order, and keeps who asked, and what was sent.

    An event of asyncio in an answer is waited for; `waits` is set when one is.
    """

    def __init__(self, *answers: Sequence[StreamEvent | Exception | asyncio.Event]) -> None:
        self._answers = list(answers)
        self.asked: list[Session] = []
        self.sent: list[tuple[Message, ...]] = []
        self.closed = 0
        self.waits = asyncio.Event()

    async def __call__(
        self, session: Session, messages: Sequence[Message]
    ) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append(session)
        self.sent.append(tuple(messages))
        try:
            for event in self._answers.pop(0):
                match event:
                    case Exception():
                        raise event
                    case asyncio.Event():
                        self.waits.set()
                        await event.wait()
                    case _:
                        yield event
        finally:
            self.closed += 1


class Shelf:
    """A keeper in memory. `puts` are all values of messages, in the order in which they were handed in.

    `arrived` is set once the text of a message is `expected`.
    """

    keeps = True

    def __init__(self) -> None:
        self.heads: dict[str, Conversation] = {}
        self.nodes: dict[str, Node] = {}
        self.puts: list[Node] = []
        self.bytes: dict[str, bytes] = {}
        self.held: list[Attachment] = []
        self.answers: list[tuple[Node, tuple[Message, ...]]] = []
        self.listed = 0
        self.expected = ""
        self.arrived = asyncio.Event()

    def put(self, conversation: Conversation, *, listed: bool) -> None:
        self.heads[conversation.id] = conversation
        self.listed += listed

    def put_node(self, conversation_id: str, node: Node) -> None:
        self.nodes[node.id] = node
        self.puts.append(node)
        if node.text == self.expected:
            self.arrived.set()

    def remove_nodes(self, conversation_id: str, ids: Sequence[str]) -> None:
        for each in ids:
            del self.nodes[each]

    def forget(self, conversation_id: str) -> None:
        del self.heads[conversation_id]

    def hold(self, attachments: Sequence[Attachment]) -> None:
        self.held += attachments

    async def data(self, attachment_id: str) -> bytes | None:
        return self.bytes.get(attachment_id)

    def answered(self, session: Session, answer: Node, messages: Sequence[Message]) -> None:
        self.answers.append((answer, tuple(messages)))


async def read(events: AsyncGenerator[StreamEvent, None]) -> list[StreamEvent]:
    """All events of an answer."""
    async with aclosing(events) as coming:
        return [event async for event in coming]


async def ask(session: Session, text: str) -> Node:
    """Ask; the answer."""
    await read(session.send(text))
    return session.path[-1]
