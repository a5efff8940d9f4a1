"""Connections to servers, kept and shared. The one file that sends anything, over aiohttp.

Why aiohttp and not httpx, whose names the world knows: plain httpx 0.28 loses a place in its pool for ever
when a request is cancelled early, and costs more per request and under many streams. A session is used for
what it is good at (the pool, TLS, proxies, a parser in C); what it would do unasked is switched off: cookies,
redirects, the environment, a second try.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.http import StreamWriter
from yarl import URL

from whisper_desktop.errors import BackendError, ConsentRequired
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire import transport_errors
from whisper_desktop.wire.address import Address, reach_of_ip
from whisper_desktop.wire.failures import not_taken
from whisper_desktop.wire.lookup import Lookups
from whisper_desktop.wire.pace import Pace
from whisper_desktop.wire.proxy import proxy_for
from whisper_desktop.wire.replies import StreamReply
from whisper_desktop.wire.transport_errors import TRANSPORT_ERRORS

_KEEP_ALIVE_LOCAL_S = 2.0  # Local servers close idle connections after 5 s; that moment must not be met.
_KEEP_ALIVE_FAR_S = 15.0
_BOTH_LOOPBACKS_DELAY_S = 0.05  # ::1 is tried this long after 127.0.0.1, so that the order is stable.
_BOTH_FAMILIES_DELAY_S = 0.25
_HEADERS = {"user-agent": "whisper-desktop", "accept": "*/*", "accept-encoding": "gzip, deflate"}
_AS_IT_IS = {"accept-encoding": "identity"}  # Packing saves nothing on a way that is short.
_TURN = 2**16  # Bytes after which others get their turn: a body that is packed well enough never waits.
_LONGEST_HEADER = 8190
_MOST_HEADERS = 128
_LARGE_BODY = 2**16  # What is shorter fits into the buffers on the way, so that handing it over cannot hang.
_MIB = 2**20
_MOST_TRIES = 3  # for a connection, while our own loop is too busy to take it
_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # linger: on, for 0 s


Introduce = Callable[[], Awaitable[None]]
"""Awaited before a request goes over a connection that is not kept: finds out who is at the other end."""


class Connections:
    """All connections of one core, on one event loop.

    `write` is how many seconds handing over a request may take; each MiB of its body adds a tenth of that.
    """

    def __init__(self, *, write: float) -> None:
        self._write = write
        self._pools: dict[_Route, _Pool] = {}
        self._retired: list[_Pool] = []
        self._lookups = Lookups()
        self._closed = False

    async def send(
        self,
        address: Address,
        reach: Reach,
        allowed: Reach,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None,
        connect: float,
        introduce: Introduce | None = None,
    ) -> StreamReply:
        """Send, and wait for the headers of the answer. Raises `BackendError` or `ReachError`.

        `reach` is how far the address is, `allowed` how far the request may go, `connect` how many seconds
        the way to a connection may take.
        """
        route = _Route.to(address, reach, allowed)
        if reach is not Reach.CLOUD:
            headers = {**_AS_IT_IS, **headers}
        used = _Used(only_kept=introduce is not None)
        try:
            return await self._once(route, address, method, headers, body, connect, used)
        except BackendError as error:
            lost = error.kind is ErrorKind.CLOSED_EARLY and used.stale and not self._closed
            if not lost and not used.refused:
                raise
        if introduce is not None:
            await introduce()
            used = _Used(only_kept=True)
            try:
                return await self._once(route, address, method, headers, body, connect, used)
            except BackendError:
                if not used.refused:
                    raise
            used = _Used()  # The server keeps no connection, or another request was faster to take it.
        # The server had closed this kept-alive connection before it saw the request: take a new one.
        fresh = route._replace(fresh=True)
        return await self._once(fresh, address, method, headers, body, connect, used)

    @property
    def open_sockets(self) -> int:
        """How many sockets are open, idle ones included."""
        return sum(sock.fileno() != -1 for pool in self._all() for sock in pool.sockets)

    @property
    def under_way(self) -> int:
        """How many requests have not been let go of."""
        return sum(pool.waiting + len(pool.replies) for pool in self._all())

    async def refresh(self) -> None:
        """Never use a kept connection again. Streams that are open go on; idle sockets close."""
        retired, self._retired = self._all(), []
        self._pools = {}
        for pool in retired:
            if pool.waiting or pool.replies:
                # Its other sockets are idle and go when their time is over.
                self._retired.append(pool)
            else:
                await pool.session.close()

    async def aclose(self) -> None:
        """Close all connections; bodies that are being read end with STREAM_CUT."""
        self._closed = True
        pools, self._pools, self._retired = self._all(), {}, []
        for pool in pools:
            for reply in tuple(pool.replies):
                reply.close()  # Wakes whoever reads; closing the session alone would leave them waiting.
        for pool in pools:
            await pool.session.close()

    def _all(self) -> "list[_Pool]":
        return [*self._pools.values(), *self._retired]

    async def _once(
        self,
        route: "_Route",
        address: Address,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None,
        connect: float,
        used: "_Used",
    ) -> "_Reply":
        pool = self._pool(route)
        large = _LargeBody(body) if body is not None and len(body) > _LARGE_BODY else None
        used.fresh, used.connect = False, connect
        token = _used.set(used)
        pool.waiting += 1
        try:
            asking = pool.session.request(
                method,
                _url(address),
                data=body if large is None else large,
                headers=headers,
                allow_redirects=False,
                proxy=route.proxy,
                timeout=_connecting(connect),
            )
            response = await asking if large is None else await self._handed_over(asking, large, address)
            return _Reply(response, address, pool, large)
        except TRANSPORT_ERRORS as error:
            failure = transport_errors.before_headers(error, address, connect)
            used.stale = not used.fresh and not transport_errors.had_begun(error)
        finally:
            pool.waiting -= 1
            _used.reset(token)
            if used.pace is not None:
                used.pace.stop()
        if used.is_tried_again(failure):
            return await self._once(route, address, method, headers, body, connect, used)
        # Raised out here so that it does not carry the library's error along, which holds our headers.
        raise failure

    async def _handed_over(
        self,
        asking: "aiohttp.client._RequestContextManager",
        body: "_LargeBody",
        address: Address,
    ) -> aiohttp.ClientResponse:
        limit = self._write * (1 + body.size / (10 * _MIB))
        try:
            async with asyncio.timeout(limit) as writing:
                body.on_written = lambda: writing.reschedule(None)
                try:
                    return await asking
                finally:
                    body.on_written = None
        except BaseException:
            body.abandon()
            if writing.expired():
                raise not_taken(address, limit) from None
            raise

    def _pool(self, route: "_Route") -> "_Pool":
        pool = self._pools.get(route)
        if pool is None:
            pool = self._pools[route] = _Pool(route, self._lookups)
        return pool


class _Route(NamedTuple):
    """Which connections may be shared: those with the same guard on resolved addresses and the same proxy."""

    guard: Reach
    proxy: str | None = None
    fresh: bool = False

    @classmethod
    def to(cls, address: Address, reach: Reach, allowed: Reach) -> "_Route":
        """The route for an address that is `reach` far, where `allowed` is how far a request may go."""
        if reach is Reach.THIS_MACHINE:
            return _HERE
        if reach is Reach.MY_NETWORK:
            return cls(Reach.CLOUD if allowed is Reach.CLOUD else Reach.MY_NETWORK)
        return cls(Reach.CLOUD, proxy_for(address))


_HERE = _Route(Reach.THIS_MACHINE)


class _Used:
    """What is known of the connection that a request got.

    `fresh` is a new one, not one that had been kept; `stale` had been kept, and gave nothing back. Where it
    may have `only_kept` ones, `refused` says that there was none. `pace` is that of our loop while a new one
    was waited for, `connect` seconds at most.
    """

    __slots__ = ("connect", "fresh", "only_kept", "pace", "refused", "stale", "tries")
    fresh: bool
    stale: bool
    connect: float

    def __init__(self, *, only_kept: bool = False) -> None:
        self.only_kept = only_kept
        self.refused = False
        self.pace: Pace | None = None
        self.tries = _MOST_TRIES

    def begins_to_connect(self) -> None:
        """A new connection is tried, over one or more sockets."""
        if self.pace is None:
            self.pace = Pace(self.connect)

    def is_tried_again(self, failure: BackendError) -> bool:
        """Whether it was our own loop that was late, so that the way to the server is tried once more."""
        pace, self.pace = self.pace, None
        self.tries -= 1
        late = failure.kind is ErrorKind.CONNECT_TIMEOUT and pace is not None and not pace.was_kept
        return late and self.tries > 0


_used: ContextVar[_Used] = ContextVar("_used")


class _Pool:
    """The connections of one route, and who is using them."""

    def __init__(self, route: _Route, lookups: Lookups) -> None:
        local = route.guard is Reach.THIS_MACHINE
        self.waiting = 0
        self.replies: set[_Reply] = set()
        self.sockets: WeakSet[socket.socket] = WeakSet()
        keep_alive = None if route.fresh else _KEEP_ALIVE_LOCAL_S if local else _KEEP_ALIVE_FAR_S
        connector = aiohttp.TCPConnector(
            limit=0,
            resolver=_LoopbackResolver() if local else _GuardedResolver(route.guard, lookups),
            use_dns_cache=False,  # The guard must see every answer.
            happy_eyeballs_delay=_BOTH_LOOPBACKS_DELAY_S if local else _BOTH_FAMILIES_DELAY_S,
            socket_factory=self._socket,
            force_close=route.fresh,
            keepalive_timeout=keep_alive,
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            max_headers=_MOST_HEADERS,
        )
        # aiohttp would repeat a GET even on a new connection, and has no public switch for that.
        self.session._retry_connection = False

    def _socket(self, where: aiohttp.AddrInfoType) -> socket.socket:
        used = _used.get()
        used.fresh = True
        if used.only_kept:
            used.refused = True
            raise OSError(tr("no connection is kept"))
        used.begins_to_connect()
        sock = socket.socket(where[0], where[1], where[2])
        self.sockets.add(sock)
        return sock


class _Reply(StreamReply):
    """A response of aiohttp."""

    def __init__(
        self, response: aiohttp.ClientResponse, address: Address, pool: _Pool, body: "_LargeBody | None"
    ) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        super().__init__(response.status, headers, address)
        self._response = response
        self._next = response.content.readany
        self._taken = 0
        self._pool = pool
        self._body = body
        pool.replies.add(self)

    @property
    def ended(self) -> bool:
        """See `StreamReply`."""
        return self._response.content.at_eof()

    async def next_piece(self) -> bytes:
        """See `StreamReply`."""
        if self._taken >= _TURN:
            self._taken = 0
            await asyncio.sleep(0)
        try:
            piece = await self._next()
            self._taken += len(piece)
            return piece
        except TRANSPORT_ERRORS as error:
            failure = transport_errors.in_body(error, self.address, self.status)
        raise failure

    def close(self) -> None:
        """See `StreamReply`."""
        self._pool.replies.discard(self)
        # A connection over which everything has gone both ways may already serve somebody else.
        if self._body is not None and not (self._body.written and self._response.closed):
            self._body.abandon()
        self._response.close()


class _LargeBody(aiohttp.Payload):
    """A request body that is handed over piece by piece, so that it is known when all of it is gone."""

    on_written: Callable[[], None] | None = None
    written = False

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._transport: asyncio.Transport | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self._value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Called by aiohttp."""
        assert isinstance(writer, StreamWriter)
        self._transport = writer.transport
        view = memoryview(self._value)
        for start in range(0, len(view), _LARGE_BODY):
            await writer.write(view[start : start + _LARGE_BODY])
        self.written = True
        if self.on_written is not None:
            self.on_written()

    def abandon(self) -> None:
        """Reset the connection if the server has not taken all of it.

        An ordinary close would first wait, without a deadline, for the server to take what is buffered.
        """
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()


class _LoopbackResolver(AbstractResolver):
    """Both loopback addresses for the names of this computer, without asking anybody."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            _resolved(host, "127.0.0.1", port, socket.AF_INET),
            _resolved(host, "::1", port, socket.AF_INET6),
        ]

    async def close(self) -> None:
        pass


class _GuardedResolver(AbstractResolver):
    """The system's answer, as long as it does not lead farther than allowed."""

    def __init__(self, guard: Reach, lookups: Lookups) -> None:
        self._guard = guard
        self._lookups = lookups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookups(host, port, family)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, tr("no address"))
        near = [(kind, ip) for kind, ip in found if self._guard.allows(reach_of_ip(ip))]
        if not near:
            raise ConsentRequired(
                tr("“{host}” looks like a name in your network, but it leads out of it.", host=host),
                tr("Its address is {part}. Nothing was sent.", part=found[0][1]),
                tr("Allow the cloud for this conversation, or check the name."),
                needed=Reach.CLOUD,
            )
        return [_resolved(host, ip, port, kind) for kind, ip in near]

    async def close(self) -> None:
        pass


def _resolved(name: str, ip: str, port: int, family: socket.AddressFamily) -> ResolveResult:
    return ResolveResult(
        hostname=name, host=ip, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


@lru_cache(maxsize=256)
def _url(address: Address) -> URL:
    return URL(address.url, encoded=True)


@lru_cache(maxsize=16)
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    # "connect" bounds the whole way to a connection, name lookup included; nothing else has a deadline here.
    return aiohttp.ClientTimeout(total=None, connect=seconds)
