"""HTTP: the one door through which everything leaves, and where reach is enforced.

What callers can rely on:
- Before any byte or DNS query leaves, the address is checked against the reach that the caller allows and
  against WHISPER_ALLOW_NETWORK. A local name that turns out to resolve to a public address is refused too.
- A key goes to the internet over https only.
- No redirects, no cookies, no retries, no proxies on the way to this computer or the local network. One
  exception: a kept-alive connection that the server had closed in the meantime is replaced, once, unseen.
- Connecting and handing over a large request have deadlines always; `request` has one for everything. A
  `stream` has none of its own after that: its caller knows how long a model may think.
- Leaving a stream, cancelled or not, closes its socket at once, so that the server stops generating.
- Everything that goes wrong is a `BackendError` whose kind tells what, or a `ReachError`.
"""

import asyncio
import json as json_module
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.address import Address, parse_url
from whisper_desktop.wire.replies import LARGEST_BODY, Reply, StreamReply, parse_json

if TYPE_CHECKING:
    from whisper_desktop.wire.connections import Connections, Introduce

__all__ = ["Http", "Reply", "StreamReply", "parse_json"]

_KEY_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
_NO_HEADERS: Mapping[str, str] = {}
_encode = json_module.JSONEncoder(separators=(",", ":")).encode


class Http:
    """Sends requests. One object serves the whole core; it belongs to the event loop that first uses it.

    `allow_network` may be changed at any time: it counts from the next request on.
    """

    def __init__(self, deadlines: Deadlines | None = None, *, allow_network: bool = True) -> None:
        self._deadlines = deadlines or Deadlines()
        self.allow_network = allow_network
        self._connections: Connections | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        allowed: Reach,
        json: object = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        connect: float | None = None,
        total: float | None = None,
        max_bytes: int = LARGEST_BODY,
        introduce: "Introduce | None" = None,
    ) -> Reply:
        """Send and read the whole answer, whatever its status. Seconds are by default those of `Deadlines`.

        Raises `BackendError`, `ConsentRequired` or `NetworkBlocked`; a redirect is an error (NOT_AN_LLM).
        """
        limit = self._deadlines.request if total is None else total
        body, headers = _encoded(json, headers)
        try:
            async with asyncio.timeout(limit):
                reply = await self.send(method, url, allowed, body, headers, connect, introduce)
                try:
                    return Reply(reply.status, reply.headers, await reply.read(max_bytes))
                finally:
                    reply.close()
        except TimeoutError:
            raise BackendError(
                ErrorKind.TOTAL_TIMEOUT,
                tr(
                    "{netloc} did not finish its answer within {limit:g} s.",
                    netloc=parse_url(url).netloc,
                    limit=limit,
                ),
                tr("The program there is busy or stuck."),
                tr("Try again, or restart it."),
            ) from None

    def stream(
        self,
        method: str,
        url: str,
        *,
        allowed: Reach,
        json: object = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        connect: float | None = None,
        introduce: "Introduce | None" = None,
    ) -> AbstractAsyncContextManager[StreamReply]:
        """Send, and give the answer as soon as its headers are there. Raises like `request`."""
        body, headers = _encoded(json, headers)
        return _Stream(self.send(method, url, allowed, body, headers, connect, introduce))

    async def send(
        self,
        method: str,
        url: str,
        allowed: Reach,
        body: bytes | None,
        headers: Mapping[str, str],
        connect: float | None = None,
        introduce: "Introduce | None" = None,
        *,
        redirects: bool = False,
    ) -> StreamReply:
        """What `request` and `stream` stand on: the caller has to close the reply. Raises like `request`.

        With `redirects` a redirect is an answer like any other, not an error: nobody here follows it.
        `introduce` is awaited where no kept connection can carry the request, before a new one does: it
        asks who is there, over a connection that is then kept, and raises where it is somebody else.
        """
        target = self._admit(url, allowed)
        if target.reach is Reach.CLOUD and target.address.scheme == "http" and _has_key(headers):
            raise _not_secure(target.address)
        if self._closed:
            raise BackendError(
                ErrorKind.CANCELLED, tr("The app is closing."), tr("Nothing was sent."), request_sent=False
            )
        if self._connections is None:
            self._connections = _import()(write=self._deadlines.request)
        if connect is None:
            connect = self._connect_deadline(target.reach)
        reply = await self._connections.send(
            target.address, target.reach, allowed, method, headers, body, connect, introduce
        )
        if 300 <= reply.status < 400 and not redirects:
            reply.close()
            raise _redirected(target.address, reply.status, reply.headers.get("location", ""))
        return reply

    async def warm_up(self) -> None:
        """Import the HTTP library in a thread (0.2 s), so that the first request does not wait for it."""
        await asyncio.to_thread(_import)

    @property
    def open_sockets(self) -> int:
        """How many sockets are open, kept ones that wait for the next request included."""
        return self._connections.open_sockets if self._connections is not None else 0

    @property
    def under_way(self) -> int:
        """How many requests and streams have begun and not ended."""
        return self._connections.under_way if self._connections is not None else 0

    async def refresh(self) -> None:
        """After a suspend: new requests get new connections. Streams that are open are left alone."""
        if self._connections is not None:
            await self._connections.refresh()

    async def aclose(self) -> None:
        """Close all connections; streams that are open end with STREAM_CUT."""
        self._closed = True
        if self._connections is not None:
            await self._connections.aclose()

    def _admit(self, url: str, allowed: Reach) -> "_Target":
        try:
            target = _target(url)
        except SettingsError as error:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED, error.title, error.detail, error.next_step, request_sent=False
            ) from None
        if not self.allow_network and target.reach is not Reach.THIS_MACHINE:
            raise NetworkBlocked(
                tr(
                    "Nothing was sent to {netloc}: the network is switched off.", netloc=target.address.netloc
                ),
                tr("WHISPER_ALLOW_NETWORK=0 allows this computer only."),
                tr("Use a server on this computer, or start without that setting."),
            )
        if target.reach is not allowed and not allowed.allows(target.reach):
            raise _consent(target, allowed)
        return target

    def _connect_deadline(self, reach: Reach) -> float:
        if reach is Reach.THIS_MACHINE:
            return self._deadlines.connect_local
        return self._deadlines.connect_network if reach is Reach.MY_NETWORK else self._deadlines.connect_cloud


class _Stream(AbstractAsyncContextManager[StreamReply]):
    """One request from `async with` to the end of its block."""

    def __init__(self, sending: Coroutine[Any, Any, StreamReply]) -> None:
        self._sending = sending

    async def __aenter__(self) -> StreamReply:
        self._reply = await self._sending
        return self._reply

    async def __aexit__(self, *_error: object) -> None:
        self._reply.close()


class _Target(NamedTuple):
    """An address that has been parsed, and how far it is."""

    address: Address
    reach: Reach


@lru_cache(maxsize=256)
def _target(url: str) -> _Target:
    address = parse_url(url)
    return _Target(address, address.reach)


def _encoded(json: object, headers: Mapping[str, str]) -> tuple[bytes | None, Mapping[str, str]]:
    if json is None:
        return None, headers
    return _encode(json).encode(), {"content-type": "application/json", **headers}


def _import() -> "type[Connections]":
    from whisper_desktop.wire.connections import Connections

    return Connections


def _has_key(headers: Mapping[str, str]) -> bool:
    return any(name.lower() in _KEY_HEADERS for name in headers)


def _not_secure(address: Address) -> BackendError:
    return BackendError(
        ErrorKind.NOT_CONFIGURED,
        tr("A key is not sent over a connection that is not secure."),
        tr(
            "{netloc} is on the internet, and everybody on the way there could read the key.",
            netloc=address.netloc,
        ),
        tr("Use https://{netloc}, or remove the key.", netloc=address.netloc),
        request_sent=False,
    )


def _consent(target: _Target, allowed: Reach) -> ConsentRequired:
    return ConsentRequired(
        tr("Nothing was sent to {netloc}: it is outside of what is allowed.", netloc=target.address.netloc),
        tr(
            "It belongs to the reach “{words}”, and “{words2}” is allowed.",
            words=target.reach.words,
            words2=allowed.words,
        ),
        tr("Allow {words} for this conversation, or choose a nearer server.", words=target.reach.words),
        needed=target.reach,
    )


def _redirected(address: Address, status: int, location: str) -> BackendError:
    try:
        where = parse_url(location).origin
    except SettingsError:
        where = tr("another address")
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        tr("{netloc} sends everyone on to {where}.", netloc=address.netloc, where=where),
        tr("Model servers do not do that; it may be a login page or another program on this port."),
        tr("Check the address. If the server has moved, enter its new address."),
        status=status,
    )
