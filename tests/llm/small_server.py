"""A model server in the test's own loop, for moments that have to be met to the millisecond."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from whisper_desktop.backends import Backend, BackendConfig, create_backend
from whisper_desktop.values import Reach
from whisper_desktop.wire.http import Http

SAYS = "Fine."

_EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Fine."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_EVENTS),
    _EVENTS,
)


@dataclass
class SmallServer:
    """It answers whatever is posted. `idle_s` after an answer it closes the connection (None: never)."""

    idle_s: float | None = None
    url: str = ""
    connections: int = 0
    answers: int = 0

    def backend(self, http: Http) -> Backend:
        """One that asks this server, and nothing before the question."""
        config = BackendConfig(
            "vllm",
            "Small server",
            self.url,
            model="m",
            reach=Reach.THIS_MACHINE,
            as_given=True,
        )
        return create_backend(config, http=http)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self.connections += 1
        idle_s = None
        try:
            while True:
                async with asyncio.timeout(idle_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                    if head.startswith(b"GET"):
                        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                        continue
                    _, _, length = head.lower().partition(b"content-length:")
                    await reader.readexactly(int(length.split(b"\r\n")[0]))
                self.answers += 1
                writer.write(_ANSWER)
                await writer.drain()
                idle_s = self.idle_s
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def small_server(idle_s: float | None = None) -> AsyncIterator[SmallServer]:
    """A server that lives as long as the block."""
    served = SmallServer(idle_s)
    conversations: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(served.converse(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as listening:
        served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield served
        finally:
            for conversation in conversations:
                conversation.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)
