"""Signing in at OpenRouter in the browser, which ends in a key: OAuth with PKCE (RFC 7636, method S256).

The browser comes back to a page that this program serves on loopback for this one visit. OpenRouter has no
`state` parameter, so a random path binds the visit to this sign-in; the code in it is worth nothing without
the verifier, which never leaves this process but for the exchange.
https://openrouter.ai/docs/guides/overview/auth/oauth
"""

import asyncio
import base64
import hashlib
import html
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from whisper_desktop.app.keys import openrouter_url
from whisper_desktop.errors import BackendError, SecretsError
from whisper_desktop.language import tr
from whisper_desktop.settings import Secret
from whisper_desktop.settings.secrets import checked_key
from whisper_desktop.values import Reach
from whisper_desktop.wire.http import Http, parse_json

if TYPE_CHECKING:
    from whisper_desktop.app.core import App

PATIENCE = 300.0  # seconds for a person who may have to make an account first
_REQUEST_SECONDS = 5.0  # for one visit to send its few lines
_LARGEST_REQUEST = 8192  # bytes
_LONGEST_CODE = 2000
_LARGEST_REPLY = 100_000


@dataclass(frozen=True, slots=True)
class BrowserWanted:
    """The person signs in at this address, in their browser."""

    address: str


@dataclass(frozen=True, slots=True)
class KeyKept:
    """The key is kept; `explanation` says where."""

    explanation: str


async def sign_in(app: "App", *, patience: float = PATIENCE) -> AsyncGenerator[BrowserWanted | KeyKept, None]:
    """On the core loop: where to sign in, then that the key is kept. Closing the generator ends the sign-in.

    Raises `SecretsError` where none came about, `BackendError` where OpenRouter cannot be reached.
    """
    async with signing_in(app.http, openrouter_url(app.loaded.settings.llm), patience=patience) as ours:
        yield BrowserWanted(ours.address)
        key = await ours.key()
    yield KeyKept(await app.set_key("openrouter", key.reveal()))


@asynccontextmanager
async def signing_in(
    http: Http, root: str, *, patience: float = PATIENCE, port: int = 0
) -> AsyncGenerator["SignIn", None]:
    """A sign-in at the service at `root`, waiting on `port` (0: any that is free) until the block ends.

    `patience` is in seconds. Raises `SecretsError` where this computer lends no port.
    """
    ours = SignIn(http, root, patience)
    try:
        server = await asyncio.start_server(ours.visited, "127.0.0.1", port, limit=_LARGEST_REQUEST)
    except OSError as error:
        raise SecretsError(
            tr("The sign-in cannot begin."),
            tr(
                "No port on this computer can wait for the browser ({reason}).",
                reason=error.strerror or error,
            ),
            tr("Enter a key instead."),
        ) from error
    try:
        ours.expect_at(server.sockets[0].getsockname()[1])
        yield ours
    finally:
        server.close()
        ours.end()
        with suppress(TimeoutError):  # a browser that keeps its connection open must not hold us up
            async with asyncio.timeout(_REQUEST_SECONDS):
                await server.wait_closed()


class SignIn:
    """One sign-in: `address` is for the browser, `key` waits for what it brings back."""

    def __init__(self, http: Http, root: str, patience: float) -> None:
        self.address = ""
        self._http = http
        self._root = root
        self._patience = patience
        self._verifier = Secret(secrets.token_urlsafe(64))
        self._path = f"/{secrets.token_urlsafe(24)}"
        self._hosts: frozenset[str] = frozenset()
        self._code: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()

    def expect_at(self, port: int) -> None:
        """The browser will come back to this port."""
        self._hosts = frozenset((f"localhost:{port}", f"127.0.0.1:{port}"))
        digest = hashlib.sha256(self._verifier.reveal().encode()).digest()
        query = {
            "callback_url": f"http://localhost:{port}{self._path}",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        self.address = f"{self._root}/auth?{urlencode(query)}"

    def end(self) -> None:
        """Nobody waits for the browser any more."""
        if not self._code.cancel() and not self._code.cancelled():
            self._code.exception()  # an answer that nobody fetched is no mistake

    async def key(self) -> Secret:
        """The key that the sign-in ends in. Raises `SecretsError` or `BackendError`; none holds a secret."""
        try:
            async with asyncio.timeout(self._patience):
                code = await asyncio.shield(self._code)
        except TimeoutError:
            raise SecretsError(
                tr("Nobody signed in."),
                tr(
                    "The browser did not come back within {minutes:.0f} minutes.", minutes=self._patience / 60
                ),
                tr("Sign in again, or enter a key."),
            ) from None
        return await self._exchanged(code)

    async def _exchanged(self, code: Secret) -> Secret:
        reply = await self._http.request(
            "POST",
            f"{self._root}/api/v1/auth/keys",
            allowed=Reach.CLOUD,
            json={
                "code": code.reveal(),
                "code_verifier": self._verifier.reveal(),
                "code_challenge_method": "S256",
            },
            max_bytes=_LARGEST_REPLY,
        )
        if reply.status == 403:
            raise SecretsError(
                tr("OpenRouter did not accept the sign-in."),
                tr("It had been used already, or had taken too long."),
                tr("Sign in again, or enter a key."),
            )
        try:
            told = parse_json(reply.body)
        except BackendError:
            told = None
        key = told.get("key") if isinstance(told, dict) else None
        if reply.status != 200 or not isinstance(key, str):
            raise SecretsError(
                tr("OpenRouter gave no key."),
                tr("It answered with status {status}.", status=reply.status),
                tr("Sign in again later, or enter a key."),
            )
        return Secret(checked_key(key))

    # --- the browser comes back -----------------------------------------------------------------------------

    async def visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one visit. Only the first with the random path counts; nothing else ends the sign-in."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answered(head.decode("latin-1")))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
            return  # it has gone, or does not speak HTTP
        finally:
            writer.close()

    def _answered(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        host = next((line[5:].strip() for line in lines if line[:5].lower() == "host:"), "")
        is_ours = secrets.compare_digest(target.path.encode("latin-1"), self._path.encode())
        if method != "GET" or not is_ours or host not in self._hosts or self._code.done():
            return _page("404 Not Found", tr("There is nothing on this page."))
        code = parse_qs(target.query).get("code", [""])[0]
        if code and len(code) <= _LONGEST_CODE:
            self._code.set_result(Secret(code))
            return _page("200 OK", tr("Whisper Desktop goes on from here. You can close this page."))
        self._code.set_exception(
            SecretsError(
                tr("OpenRouter gave no key."),
                tr("The sign-in was not allowed there."),
                tr("Sign in again, or enter a key."),
            )
        )
        return _page("200 OK", tr("Nothing was allowed. You can close this page."))


def _page(status: str, sentence: str) -> bytes:
    body = (
        "<!doctype html><meta charset=utf-8><meta name=color-scheme content='light dark'>"
        f"<title>Whisper Desktop</title><p>{html.escape(sentence)}</p>"
    ).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
