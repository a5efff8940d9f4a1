"""A small HTTP/1.1 server on asyncio streams that leaves every byte to its caller.

Why not aiohttp: the servers in this folder have to send resets, half bodies and exact foreign headers, and
hundreds of tests start them, each in a process of its own; importing aiohttp alone costs more than the
start-up time a test can afford.
"""

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.faults import Fault

REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content",
    301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 413: "Payload Too Large", 422: "Unprocessable Entity",
    429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 529: "Site Overloaded",
}  # fmt: skip

LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 64 * 1024 * 1024
# What was written just before a reset must reach the client's program, not only its kernel: several HTTP
# libraries drop what they have not yet handed out when the connection breaks.
READ_TIME_BEFORE_RESET_S = 0.05


class Request:
    """One request. Header names are lower case; `path` is decoded and has no query.

    `twist` is the fault that changes what the answer to this request says, where there is one.
    """

    twist: Fault | None = None

    def __init__(
        self, method: str, target: str, version: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        parts = urlsplit(target)
        self.method = method
        self.target = target
        self.version = version
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = headers
        self.body = body

    def json(self) -> object:
        """The body as JSON. Raises ValueError when it is none."""
        return json.loads(self.body.decode("utf-8"))

    def fields(self) -> dict[str, object]:
        """The body as a JSON object; {} where it is anything else."""
        try:
            value = self.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer ...`, "" without one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


class Reply:
    """The answering half of one request: every call sends exactly what it says.

    `status` and `written` tell the log what went out; `keep_alive` is False once the connection has to end.
    """

    def __init__(self, request: Request, writer: asyncio.StreamWriter, common: Mapping[str, str]) -> None:
        self._request = request
        self._writer = writer
        self._common = common
        self._chunked = False
        self.status: int | None = None
        self.tokens_sent = 0
        self.keep_alive = request.version != "HTTP/1.0" and (
            request.headers.get("connection", "").lower() != "close"
        )

    async def head(
        self, status: int, headers: Mapping[str, str], *, length: int | None = None, body: bytes = b""
    ) -> None:
        """Sends status line and headers: with `length` a sized body follows, without one a chunked body.

        `body` goes out in the same write.
        """
        self.status = status
        self._chunked = length is None
        if headers.get("Connection", "").lower() == "close":
            self.keep_alive = False
        framing = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        fields = {"Date": formatdate(usegmt=True), **self._common, **headers, **framing}
        if not self.keep_alive:
            fields = {name: value for name, value in fields.items() if name.lower() != "keep-alive"}
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole response at once; HEAD requests get the headers only."""
        sent = b"" if self._request.method == "HEAD" else body
        await self.head(status, headers, length=len(body), body=sent)

    async def write(self, data: bytes) -> None:
        """A piece of a body that `head` began."""
        if not data:
            return
        if self._chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        await self.raw(data)

    async def finish(self) -> None:
        """The regular end of a chunked body."""
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Bytes straight onto the socket."""
        self._writer.write(data)
        await self._writer.drain()

    def cut(self) -> None:
        """Closes in the middle (FIN): a chunked body stays without its end."""
        self.keep_alive = False
        self._writer.close()

    def cut_after(self, seconds: float) -> None:
        """Closes so many seconds from now, whatever the client does in the meantime."""
        asyncio.get_running_loop().call_later(seconds, self._writer.close)

    async def reset(self) -> None:
        """Breaks the connection with RST, as the kernel does for a process that was killed."""
        if self.status is not None:
            await asyncio.sleep(READ_TIME_BEFORE_RESET_S)
        self.keep_alive = False
        reset(self._writer)

    async def silence(self) -> None:
        """Says nothing more until the client has had enough."""
        self.keep_alive = False
        await asyncio.Event().wait()


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class Malformed(Exception):
    """What came in is not HTTP."""


class Wire:
    """Reads requests from one connection and notices when the client leaves during an answer."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def _more(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)

    async def client_left(self) -> None:
        """Returns when the client has closed or broken the connection; keeps early bytes for `request`."""
        while await self._more():
            pass

    async def request(self) -> Request | None:
        """The next request, None when the client has closed. Raises `Malformed`."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > LARGEST_HEAD:
                raise Malformed("headers too large")
            if not await self._more():
                return None
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = first.split(" ")
        except ValueError:
            raise Malformed(f"not a request line: {first[:80]!r}") from None
        if not version.startswith("HTTP/1."):
            raise Malformed(f"not HTTP/1: {version[:20]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise Malformed(f"not a header: {line[:80]!r}")
            headers[name.strip().lower()] = value.strip()
        body = await self._body(headers)
        return None if body is None else Request(method, target, version, headers, body)

    async def _body(self, headers: Mapping[str, str]) -> bytes | None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunked_body()
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise Malformed("bad content-length") from None
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes | None:
        if not 0 <= length <= LARGEST_BODY:
            raise Malformed("body too large")
        while len(self._buffer) < length:
            if not await self._more():
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    async def _chunked_body(self) -> bytes | None:
        body = b""
        while True:
            while b"\r\n" not in self._buffer:
                if not await self._more():
                    return None
            line, _, rest = bytes(self._buffer).partition(b"\r\n")
            self._buffer = bytearray(rest)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise Malformed("bad chunk size") from None
            chunk = await self._exactly(size + 2)
            if chunk is None:
                return None
            if size == 0:
                return body
            body += chunk[:-2]


Handler = Callable[[Request, Reply], Awaitable[None]]
Note = Callable[..., None]


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Handler,
    note: Note,
    common_headers: Mapping[str, str],
    idle_s: float | None,
) -> None:
    """Answers the requests of one connection until either side ends it.

    `note(event, **facts)` is told about requests, responses and clients that leave before the end.
    `idle_s` is how long a connection may lie idle between requests (None: for ever).
    """
    wire = Wire(reader)
    note("connection")
    try:
        while True:
            try:
                request = await asyncio.wait_for(wire.request(), idle_s)
            except Malformed as error:
                note("malformed", detail=str(error))
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            except TimeoutError:
                return
            if request is None:
                return
            reply = Reply(request, writer, common_headers)
            if not await _answer(request, reply, wire, handle, note):
                return
    except ConnectionError:
        return
    finally:
        writer.close()


async def _answer(request: Request, reply: Reply, wire: Wire, handle: Handler, note: Note) -> bool:
    """Lets `handle` answer one request; says whether the connection can serve another one."""
    began = time.monotonic()
    answering = asyncio.ensure_future(handle(request, reply))
    leaving = asyncio.ensure_future(wire.client_left())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        facts = {"method": request.method, "path": request.target, "status": reply.status}
        if answering.done():
            try:
                answering.result()
            except ConnectionError:
                pass
            else:
                note("response", tokens_sent=reply.tokens_sent, after_s=time.monotonic() - began, **facts)
                return reply.keep_alive
        note("disconnect", tokens_sent=reply.tokens_sent, after_s=time.monotonic() - began, **facts)
        return False
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
