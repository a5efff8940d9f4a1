"""A server that goes on after it has said that its answer is complete."""

import asyncio
import json

from tests.backends.conftest import ASK
from whisper_desktop.backends import create_backend
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
MOST = 16 * 2**20  # bytes; what the sockets' buffers hold on top of the bound is less


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


async def test_what_comes_after_the_end_is_neither_taken_nor_read_for_long(http: Http) -> None:
    sent = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            if head.startswith(b"POST"):
                writer.write(HEAD + event("hi", "stop"))
                more = event("word " * 2000) * 10
                while sent < 2 * MOST:
                    writer.write(more)
                    await writer.drain()
                    sent += len(more)
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        config = {"backend": "openai_compatible", "url": url, "model": "m"}
        backend = create_backend(config, http=http, deadlines=Deadlines(drain=5.0))
        answer = await backend.generate_text(ASK)
    assert answer.text == "hi"
    assert sent < MOST
