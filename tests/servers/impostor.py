"""Programs that listen where an LLM server is expected and are none, or only pretend: `--mode`."""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tests.servers.base import Service
from tests.servers.http_wire import Reply, Request, reset, serve_connection
from tests.servers.playing import play
from tests.servers.reactions import HTML_PAGE, Response, json_response, text_response
from tests.servers.serving import main

HTML = {"Content-Type": "text/html; charset=utf-8"}
MEBIBYTE = 1024 * 1024
SSH_BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"


def spa_html_200(request: Request, elsewhere: str) -> Response:
    """A single-page app: its index.html for every path."""
    return Response(200, HTML_PAGE, HTML)


def airplay_403(request: Request, elsewhere: str) -> Response:
    """The AirPlay receiver of macOS on port 5000."""
    return Response(403, b"", {"Server": "AirTunes/775.3.1", "X-Apple-ProcessingTime": "0"})


def express_200(request: Request, elsewhere: str) -> Response:
    """A web app in Express that answers every path with 200 and JSON of its own."""
    said = json_response({"ok": True, "data": [], "models": []})
    return Response(200, said.body, {**said.headers, "X-Powered-By": "Express"})


def redirect_loop(request: Request, elsewhere: str) -> Response:
    """Sends everybody round in a circle."""
    return Response(302, b"", {"Location": "/b" if request.path == "/a" else "/a"})


def redirect_to_elsewhere(request: Request, elsewhere: str) -> Response:
    """Sends everybody to another origin, which must never see a key or a prompt."""
    return Response(307, b"", {"Location": f"{elsewhere}{request.target}"})


def json_list(request: Request, elsewhere: str) -> Response:
    """A JSON API whose answers are lists."""
    return json_response([{"id": 1, "name": "not a model"}, 2, None])


def empty_401(request: Request, elsewhere: str) -> Response:
    """Wants a login and says nothing about itself."""
    return Response(401, b"", {"WWW-Authenticate": 'Basic realm="router"'})


def ollama_imitator(request: Request, elsewhere: str) -> Response:
    """Answers some of Ollama's paths, as phone apps and proxies do, without being Ollama."""
    match request.path:
        case "/":
            return text_response("Ollama is running")
        case "/api/tags":
            return json_response(
                {"models": [{"name": "not-here:latest", "model": "not-here:latest", "size": 1}]}
            )
        case "/api/version":
            return json_response({"version": "proxy"})
    return text_response("Not Found", 404)


PAGES: dict[str, Callable[[Request, str], Response]] = {
    page.__name__: page
    for page in (
        spa_html_200,
        airplay_403,
        express_200,
        redirect_loop,
        redirect_to_elsewhere,
        json_list,
        empty_401,
        ollama_imitator,
    )
}


async def huge_200mb(request: Request, reply: Reply) -> None:
    """A body of 200 MiB of JSON that never becomes valid."""
    await reply.head(200, {"Content-Type": "application/json"}, length=200 * MEBIBYTE)
    await reply.raw(b'{"data":["')
    for _ in range(199):
        await reply.raw(b"x" * MEBIBYTE)
    await reply.raw(b"x" * (MEBIBYTE - 10))


async def trickle(request: Request, reply: Reply) -> None:
    """One byte of an endless body a second."""
    await reply.head(200, {"Content-Type": "application/json"}, length=1000)
    for _ in range(1000):
        await reply.raw(b" ")
        await asyncio.sleep(1)


async def trickle_headers(request: Request, reply: Reply) -> None:
    """One byte a second from the status line on."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}":
        await reply.raw(bytes([byte]))
        await asyncio.sleep(1)


async def hang_headers(request: Request, reply: Reply) -> None:
    """Headers at once, the body never."""
    await reply.head(200, {"Content-Type": "application/json"}, length=100)
    await reply.silence()


async def hang_request(request: Request, reply: Reply) -> None:
    """Reads the request and never answers."""
    await reply.silence()


PLAYS: dict[str, Callable[[Request, Reply], Awaitable[None]]] = {
    act.__name__: act for act in (huge_200mb, trickle, trickle_headers, hang_headers, hang_request)
}


async def hang_accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, reads whatever comes, never says a word."""
    while await reader.read(65536):
        pass


async def non_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An SSH server: greets first and does not understand HTTP."""
    writer.write(SSH_BANNER)
    await writer.drain()
    await reader.read(65536)
    writer.write(b"Invalid SSH identification string.\r\n")
    await writer.drain()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with bytes that are no protocol at all."""
    await reader.read(65536)
    writer.write(bytes(range(256)) * 16)
    await writer.drain()


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and closes."""


async def resets_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and breaks the connection once something was said."""
    await reader.read(1)
    reset(writer)


RAW: dict[str, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    act.__name__: act for act in (hang_accept, non_http, garbage, closes_at_once, resets_at_once)
}


class Impostor(Service):
    """See the module's docstring. It has no /__test__/ paths: what it is is fixed at its start."""

    name = "impostor"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._mode: str = options.mode
        self._elsewhere: str = options.elsewhere.rstrip("/")
        self.accepts = options.mode != "syn_backlog"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """What it plays."""
        parser.add_argument("--mode", choices=sorted([*PAGES, *PLAYS, *RAW, "syn_backlog"]), required=True)
        parser.add_argument("--elsewhere", default="http://127.0.0.1:9", help="for redirect_to_elsewhere")

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Plays one connection."""
        if self._mode in RAW:
            self.log.note("connection")
            with contextlib.suppress(ConnectionError):
                await RAW[self._mode](reader, writer)
            self.log.note("disconnect")
        else:
            await serve_connection(reader, writer, self._handle, self.log.note, {}, None)

    async def _handle(self, request: Request, reply: Reply) -> None:
        self.log.note_request(request)
        if self._mode in PAGES:
            await play(PAGES[self._mode](request, self._elsewhere), reply, None, 0)
        else:
            await PLAYS[self._mode](request, reply)


SERVER = Impostor

if __name__ == "__main__":
    main(Impostor)
