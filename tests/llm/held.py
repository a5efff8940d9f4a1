"""Questions that are stopped on their way, and a server that holds them where no other one does."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from whisper_desktop.backends import Backend, BackendConfig, create_backend
from whisper_desktop.llm import LLMClient
from whisper_desktop.llm.hooks import HookRequest
from whisper_desktop.values import Completion, Deadlines, Reach, StreamEvent
from whisper_desktop.wire.http import Http

PATIENCE_S = 5.0
_SERVING = ("converse", "_accept_connection2")
_SMALL_BUFFER = 4096
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_ANSWER = b'data: {"choices":[{"index":0,"delta":{"content":"Fine."},"finish_reason":"stop"}]}\n\n'
_DONE = b"data: [DONE]\n\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it is so: for what no event tells, but a server's log or a counter."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


class Question:
    """A question in a task of its own, with the events that have come so far."""

    def __init__(self, client: LLMClient, question: str = "Hi") -> None:
        self.events: list[StreamEvent] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._ask(client, question))

    async def _ask(self, client: LLMClient, question: str) -> None:
        async with client.stream(question) as events:
            async for event in events:
                self.events.append(event)
                self._news.set()

    @property
    def text(self) -> str:
        """What has come of the answer."""
        return "".join(event.text for event in self.events)

    async def until(self, shown: Callable[[], bool]) -> None:
        """Returns once enough has come. The question has then gone on to where it waits next."""
        async with asyncio.timeout(PATIENCE_S):
            while not shown():
                self._news.clear()
                await self._news.wait()

    async def ended(self) -> bool:
        """Waits for the end; whether it was cancelled."""
        await asyncio.wait({self.task}, timeout=PATIENCE_S)
        assert self.task.done(), "it does not end"
        return self.task.cancelled()


@dataclass
class Witness:
    """A hook that remembers which attempts began, and how each ended."""

    begun: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    stopped: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    async def before(self, request: HookRequest) -> HookRequest | None:
        """One begins."""
        self.begun[_which(request)] += 1
        return None

    async def after(self, request: HookRequest, completion: Completion) -> None:
        """One was answered."""
        await _a_moment()
        self.answered[_which(request)] += 1

    async def cancelled(self, request: HookRequest) -> None:
        """One ended without an answer."""
        await _a_moment()
        self.stopped[_which(request)] += 1

    @property
    def each_ended_once(self) -> bool:
        """Whether every attempt that began has ended, and one way only."""
        return self.begun == self.answered + self.stopped


async def _a_moment() -> None:
    """What it takes to write something down."""
    for _ in range(3):
        await asyncio.sleep(0)


def _which(request: HookRequest) -> tuple[str, str, int]:
    return request.messages[-1].content, request.backend, request.attempt


@dataclass
class HoldingServer:
    """A server in the test's own loop. It takes only the head of a request (`holds` "body"), or says a whole
    answer and then neither ends it nor closes ("end"). With `holds` "" it answers as it should.
    """

    holds: str
    url: str = ""
    held: int = 0
    _reads_on: asyncio.Event = field(default_factory=asyncio.Event)
    _left: "asyncio.Queue[float]" = field(default_factory=asyncio.Queue)

    def backend(self, http: Http, deadlines: Deadlines, reach: Reach = Reach.THIS_MACHINE) -> Backend:
        """One that asks this server, and nothing before the question."""
        config = BackendConfig("vllm", "Holding server", self.url, "m", reach, as_given=True)
        return create_backend(config, http=http, deadlines=deadlines)

    async def closed_at(self) -> float:
        """When the next client that was held has left, as `time.time` has it."""
        self.let_go()
        async with asyncio.timeout(PATIENCE_S):
            return await self._left.get()

    def let_go(self) -> None:
        """Read on, wherever it was holding."""
        self._reads_on.set()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(NOT_FOUND)
                    continue
                if self.holds == "body":
                    await self._hold(reader)
                    return
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                writer.write(_HEAD + _chunk(_ANSWER))
                if self.holds == "end":
                    await self._hold(reader)
                    return
                writer.write(_chunk(_DONE) + _chunk(b""))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        self.held += 1
        if self.holds == "body":
            # A socket that nobody reads from does not tell either that its other end was closed.
            self._reads_on.clear()
            await self._reads_on.wait()
        try:
            while await reader.read(2**20):
                pass
        except ConnectionError:
            pass
        self._left.put_nowait(time.time())


@asynccontextmanager
async def holding_server(holds: str = "") -> AsyncIterator[HoldingServer]:
    """A server that lives as long as the block."""
    served = HoldingServer(holds)
    conversations: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations[writer] = asyncio.create_task(served.converse(reader, writer))

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    sock.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(begin, sock=sock):
        served.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            yield served
        finally:
            served.let_go()
            for writer in conversations:
                writer.transport.abort()
            await asyncio.gather(*conversations.values())


def client_tasks() -> set[asyncio.Task[object]]:
    """The tasks of this loop without those that serve."""
    return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") not in _SERVING}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
