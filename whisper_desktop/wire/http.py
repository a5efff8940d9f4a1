"""HTTP: the one file that imports an HTTP library, and where reach is enforced for everything we send.

What callers can rely on:
- Before any byte or DNS query leaves, the address is checked against the reach that the caller allows and
  against WHISPER_ALLOW_NETWORK. A local name that turns out to resolve to a public address is refused too.
- No redirects, no cookies, no retries, no proxies on the way to this computer or the local network. One
  exception: a kept-alive connection that the server had closed in the meantime is replaced, once, unseen.
- Connecting has a deadline always; `request` has one for everything. A `stream` has none of its own once it
  is connected: its caller knows how long a model may think.
- Leaving a stream, cancelled or not, closes its socket at once, so that the server stops generating.
- Everything that goes wrong is a `BackendError` whose kind tells what, or a `ReachError`.

httpx is used through its transport interface (over aiohttp, which leaks no pool slots when requests are
cancelled early): a client around it would add the cookies, redirects and environment that must not happen
here. httpx-aiohttp names errors loosely, so they are told apart by aiohttp's own, which it keeps as cause.
"""

import asyncio
import errno
import json as json_module
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked, SettingsError
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.address import Address, parse_url, reach_of_ip

if TYPE_CHECKING:
    import httpx
    from aiohttp.abc import AbstractResolver

_KEEP_ALIVE_LOCAL_S = 2.0  # Local servers close idle connections after 5 s; that moment must not be met.
_KEEP_ALIVE_FAR_S = 15.0
_BOTH_LOOPBACKS_DELAY_S = 0.05  # ::1 is tried this long after 127.0.0.1, so that the order is stable.
_HEADERS = {"user-agent": "whisper-desktop", "accept": "*/*", "accept-encoding": "gzip, deflate"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises `BackendError`: NOT_AN_LLM for a web page, MALFORMED for broken JSON."""
        return parse_json(self.body, self.headers.get("content-type", ""))


class StreamReply:
    """A response whose body is still coming. Only valid inside the `async with` that gave it."""

    def __init__(self, response: "httpx.Response", address: Address) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._address = address

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body, decompressed, piece by piece as it arrives. Raises `BackendError` STREAM_CUT."""
        import httpx

        try:
            async for piece in self._response.aiter_bytes():
                yield piece
        except httpx.DecodingError:
            failure = BackendError(
                ErrorKind.MALFORMED, f"{self._address.netloc} sent an answer that cannot be unpacked."
            )
        except _transport_errors():
            failure = BackendError(
                ErrorKind.STREAM_CUT,
                f"{self._address.netloc} closed the connection in the middle of its answer.",
                "The program there may have stopped or crashed.",
                "Try again, or use another backend.",
                status=self.status,
            )
        else:
            return
        raise failure

    async def read(self, max_bytes: int = 8_000_000) -> bytes:
        """The rest of the body at once. Raises `BackendError` TOO_LARGE beyond `max_bytes`."""
        body = bytearray()
        async with aclosing(self.iter_bytes()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > max_bytes:
                    raise BackendError(
                        ErrorKind.TOO_LARGE,
                        f"{self._address.netloc} sent more than {max_bytes / 1e6:g} MB.",
                        "A model server's answer is shorter, so it is probably another program.",
                        "Check the address.",
                        status=self.status,
                    )
        return bytes(body)


class Http:
    """Sends requests. One object serves the whole core; it belongs to the event loop that first uses it.

    `allow_network` may be changed at any time: it counts from the next request on.
    """

    def __init__(self, deadlines: Deadlines | None = None, *, allow_network: bool = True) -> None:
        self._deadlines = deadlines or Deadlines()
        self.allow_network = allow_network
        self._transports: dict[_Route, httpx.AsyncBaseTransport] = {}
        self._open: set[Callable[[], None]] = set()
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        allowed: Reach,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        connect: float | None = None,
        total: float | None = None,
        max_bytes: int = 8_000_000,
    ) -> Reply:
        """Send and read the whole answer, whatever its status. Seconds are by default those of `Deadlines`.

        Raises `BackendError`, `ConsentRequired` or `NetworkBlocked`; a redirect is an error (NOT_AN_LLM).
        """
        limit = self._deadlines.request if total is None else total
        try:
            async with (
                asyncio.timeout(limit),
                self.stream(
                    method, url, allowed=allowed, json=json, headers=headers, connect=connect
                ) as reply,
            ):
                return Reply(reply.status, reply.headers, await reply.read(max_bytes))
        except TimeoutError:
            raise BackendError(
                ErrorKind.TOTAL_TIMEOUT,
                f"{parse_url(url).netloc} did not finish its answer within {limit:g} s.",
                "The program there is busy or stuck.",
                "Try again, or restart it.",
            ) from None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        allowed: Reach,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        connect: float | None = None,
    ) -> AsyncGenerator[StreamReply, None]:
        """Send, and give the answer as soon as its headers are there. Raises like `request`."""
        address = self._admit(url, allowed)
        body = None if json is None else json_module.dumps(json, separators=(",", ":")).encode()
        given = {**_HEADERS, **({"content-type": "application/json"} if body is not None else {})}
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        route = _Route.to(address, allowed)
        connect = self._connect_deadline(address) if connect is None else connect
        response, hang_up = await self._send(route, method, address, given, body, connect)
        self._open.add(hang_up)
        try:
            if 300 <= response.status_code < 400:
                raise _redirected(address, response.status_code, response.headers.get("location", ""))
            yield StreamReply(response, address)
        finally:
            self._open.discard(hang_up)
            await _close(response)

    async def warm_up(self) -> None:
        """Import the HTTP libraries in a thread (0.2 s), so that the first request does not wait for it."""
        await asyncio.to_thread(_import_libraries)

    async def aclose(self) -> None:
        """Close all connections; streams that are open end with STREAM_CUT."""
        self._closed = True
        for hang_up in self._open:
            hang_up()  # Wakes whoever reads; closing the transport alone would leave them waiting.
        transports, self._transports = list(self._transports.values()), {}
        for transport in transports:
            await transport.aclose()

    def _admit(self, url: str, allowed: Reach) -> Address:
        try:
            address = parse_url(url)
        except SettingsError as error:
            raise BackendError(
                ErrorKind.NOT_CONFIGURED, error.title, error.detail, error.next_step, request_sent=False
            ) from None
        reach = address.reach
        if not self.allow_network and reach is not Reach.THIS_MACHINE:
            raise NetworkBlocked(
                f"Nothing was sent to {address.netloc}: the network is switched off.",
                "WHISPER_ALLOW_NETWORK=0 allows this computer only.",
                "Use a server on this computer, or start without that setting.",
            )
        if not allowed.allows(reach):
            raise _consent(address, reach, allowed)
        return address

    def _connect_deadline(self, address: Address) -> float:
        return {
            Reach.THIS_MACHINE: self._deadlines.connect_local,
            Reach.MY_NETWORK: self._deadlines.connect_network,
            Reach.CLOUD: self._deadlines.connect_cloud,
        }[address.reach]

    async def _send(
        self,
        route: "_Route",
        method: str,
        address: Address,
        headers: Mapping[str, str],
        body: bytes | None,
        connect: float,
    ) -> "tuple[httpx.Response, Callable[[], None]]":
        used = _Connection()
        try:
            response = await self._once(route, method, address, headers, body, connect, used)
        except BackendError as error:
            if error.kind is not ErrorKind.CLOSED_EARLY or not used.reused:
                raise
            # The server had closed this kept-alive connection before it saw the request: take a new one.
            route = route._replace(fresh=True)
            response = await self._once(route, method, address, headers, body, connect, used)
        return response, used.hang_up

    async def _once(
        self,
        route: "_Route",
        method: str,
        address: Address,
        headers: Mapping[str, str],
        body: bytes | None,
        connect: float,
        used: "_Connection",
    ) -> "httpx.Response":
        import httpx

        request = httpx.Request(
            method,
            address.url,
            headers=headers,
            content=body,
            # "pool" bounds the whole way to a connection, name lookup included.
            extensions={"timeout": {"connect": connect, "pool": connect}},
        )
        transport = self._transport(route)
        token = _connection.set(used)
        try:
            return await transport.handle_async_request(request)
        except _transport_errors() as error:
            failure = _failure(error, address, connect)
        finally:
            _connection.reset(token)
        # Raised out here so that it does not carry the library's error along, which holds our headers.
        raise failure

    def _transport(self, route: "_Route") -> "httpx.AsyncBaseTransport":
        if self._closed:
            raise BackendError(
                ErrorKind.CANCELLED, "The app is closing.", "Nothing was sent.", request_sent=False
            )
        if route not in self._transports:
            self._transports[route] = _make_transport(route)
        return self._transports[route]


def parse_json(body: bytes, content_type: str = "") -> object:
    """JSON from a server we do not trust. Raises `BackendError` NOT_AN_LLM or MALFORMED."""
    try:
        return json_module.loads(body)
    except (ValueError, RecursionError):
        pass
    if "json" in content_type.lower():
        raise BackendError(ErrorKind.MALFORMED, "The server's answer is broken: it is not valid JSON.")
    what = "a web page" if body.lstrip()[:1] == b"<" else "nothing" if not body.strip() else "something else"
    raise BackendError(
        ErrorKind.NOT_AN_LLM,
        f"This is not a model server: it sent {what} where JSON was expected.",
        "",
        "Check the address and the port.",
    )


class _Route(NamedTuple):
    """Which connections may be shared: those with the same guard on resolved addresses and the same proxy."""

    guard: Reach
    proxy: str | None = None
    fresh: bool = False

    @classmethod
    def to(cls, address: Address, allowed: Reach) -> "_Route":
        if address.reach is Reach.THIS_MACHINE:
            return cls(Reach.THIS_MACHINE)
        if address.reach is Reach.MY_NETWORK:
            return cls(Reach.CLOUD if allowed is Reach.CLOUD else Reach.MY_NETWORK)
        return cls(Reach.CLOUD, _proxy_for(address))


@dataclass(slots=True)
class _Connection:
    """What happened to the connection of one request, and how to end it; filled in by aiohttp's trace."""

    reused: bool = False
    hang_up: Callable[[], None] = lambda: None


_connection: ContextVar[_Connection] = ContextVar("connection")


def _import_libraries() -> None:
    import aiohttp  # noqa: F401
    import httpx_aiohttp  # noqa: F401


def _transport_errors() -> tuple[type[Exception], ...]:
    import aiohttp
    import httpx

    return (httpx.TransportError, aiohttp.ClientError, OSError)


def _make_transport(route: _Route) -> "httpx.AsyncBaseTransport":
    import aiohttp
    import httpx
    from httpx_aiohttp import AiohttpTransport

    local = route.guard is Reach.THIS_MACHINE

    async def reused(_session: object, _context: object, _params: object) -> None:
        _connection.get().reused = True

    async def created(_session: object, _context: object, _params: object) -> None:
        _connection.get().reused = False

    async def answered(_session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        _connection.get().hang_up = params.response.close

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    trace.on_connection_create_end.append(created)
    trace.on_request_end.append(answered)
    connector = partial(
        aiohttp.TCPConnector,
        ssl=_tls_context(),
        limit=0,
        resolver=_make_resolver(route.guard),
        use_dns_cache=False,  # The guard must see every answer.
        happy_eyeballs_delay=_BOTH_LOOPBACKS_DELAY_S if local else 0.25,
    )

    def session() -> aiohttp.ClientSession:
        keep_alive = _KEEP_ALIVE_LOCAL_S if local else _KEEP_ALIVE_FAR_S
        return aiohttp.ClientSession(
            connector=connector(force_close=True) if route.fresh else connector(keepalive_timeout=keep_alive),
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    # `verify` is not used, since the session brings its own TLS context; True would cost 18 ms each.
    proxy = httpx.Proxy(route.proxy) if route.proxy else None
    return AiohttpTransport(client=session, proxy=proxy, verify=False, trust_env=False)


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _make_resolver(guard: Reach) -> "AbstractResolver":
    from aiohttp import ThreadedResolver
    from aiohttp.abc import AbstractResolver, ResolveResult

    def literal(host: str, address: str, port: int, family: socket.AddressFamily) -> ResolveResult:
        return ResolveResult(
            hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
        )

    class LoopbackResolver(AbstractResolver):
        """Both loopback addresses for the names of this computer, without asking anybody."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            return [
                literal(host, "127.0.0.1", port, socket.AF_INET),
                literal(host, "::1", port, socket.AF_INET6),
            ]

        async def close(self) -> None:
            pass

    class GuardedResolver(ThreadedResolver):
        """The system's answer, as long as it does not lead farther than allowed."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            near = [result for result in found if guard.allows(reach_of_ip(result["host"]))]
            if found and not near:
                raise ConsentRequired(
                    f"“{host}” looks like a name in your network, but it leads out of it.",
                    f"Its address is {found[0]['host']}. Nothing was sent.",
                    "Allow the cloud for this conversation, or check the name.",
                    needed=Reach.CLOUD,
                )
            return near

    return LoopbackResolver() if guard is Reach.THIS_MACHINE else GuardedResolver()


def _proxy_for(address: Address) -> str | None:
    """The proxy that the environment names for a far address."""
    from urllib import request

    if request.proxy_bypass_environment(address.host):  # type: ignore[attr-defined]  # not in typeshed
        return None
    proxies = request.getproxies_environment()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return None
    if not proxy.startswith(("http://", "https://")):
        raise BackendError(
            ErrorKind.NOT_CONFIGURED,
            f"The proxy for {address.netloc} cannot be used.",
            f"The environment names a proxy that does not begin with http:// (it is {proxy.split(':')[0]}).",
            f"Set {address.scheme.upper()}_PROXY to an HTTP proxy, or list {address.host} in NO_PROXY.",
            request_sent=False,
        )
    return proxy


async def _close(response: "httpx.Response") -> None:
    # The socket is closed or returned before the first await in here; what comes after is bookkeeping.
    with suppress(*_transport_errors()):
        await response.aclose()


def _consent(address: Address, reach: Reach, allowed: Reach) -> ConsentRequired:
    return ConsentRequired(
        f"Nothing was sent to {address.netloc}: it is outside of what is allowed.",
        f"It belongs to the reach “{reach.words}”, and “{allowed.words}” is allowed.",
        f"Allow {reach.words} for this conversation, or choose a nearer server.",
        needed=reach,
    )


def _redirected(address: Address, status: int, location: str) -> BackendError:
    target = location.split("?")[0][:120] or "nowhere"
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        f"{address.netloc} sends everyone on to {target}.",
        "Model servers do not do that; it may be a login page or another program on this port.",
        "Check the address. If the server has moved, enter its new address.",
        status=status,
    )


def _failure(error: Exception, address: Address, connect: float) -> BackendError:
    """What went wrong before the first byte of an answer, by aiohttp's own names."""
    import aiohttp
    import httpx

    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    where = address.netloc
    check = "Check the address, or start the server."
    if isinstance(cause, TimeoutError):
        return BackendError(
            ErrorKind.CONNECT_TIMEOUT,
            f"{where} did not accept a connection within {connect:g} s.",
            "The computer is switched off or out of reach, or the program there hangs.",
            check,
            request_sent=False,
        )
    if isinstance(cause, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return BackendError(
            ErrorKind.OFFLINE,
            f"The proxy on the way to {where} did not let the request through.",
            "",
            "Check the proxy settings (HTTPS_PROXY, NO_PROXY).",
            request_sent=False,
        )
    if isinstance(cause, aiohttp.ClientSSLError | ssl.SSLError):
        return _tls_failure(cause, address)
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return _name_failure(cause.os_error, address)
    if isinstance(cause, aiohttp.ClientConnectorError):
        return _connect_failure(cause.os_error, address, check)
    if isinstance(cause, aiohttp.ClientResponseError):
        return BackendError(
            ErrorKind.NOT_AN_LLM,
            f"The program at {where} does not speak HTTP.",
            "Another program has this port, or the address needs https:// instead of http://.",
            "Check the address and the port.",
        )
    return BackendError(
        ErrorKind.CLOSED_EARLY,
        f"{where} closed the connection without an answer.",
        "The program there may have stopped or crashed.",
        "Try again, or restart it.",
    )


def _tls_failure(cause: Exception, address: Address) -> BackendError:
    import aiohttp

    inner = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None) or cause
    reason = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "no secure connection"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError) or "CERTIFICATE" in str(reason).upper():
        why, step = (
            f"Its certificate was not accepted ({reason}).",
            "Check the address and this computer's clock.",
        )
    else:
        why = f"No secure connection came about ({reason})."
        step = f"If the server has no certificate, use http://{address.netloc}."
    return BackendError(
        ErrorKind.TLS, f"There is no safe connection to {address.netloc}.", why, step, request_sent=False
    )


def _name_failure(error: OSError, address: Address) -> BackendError:
    if error.errno == socket.EAI_AGAIN:
        return BackendError(
            ErrorKind.OFFLINE,
            f"The name {address.host} cannot be looked up right now.",
            "This computer seems to be offline, or its name server does not answer.",
            "Check the network connection, or use a model on this computer.",
            request_sent=False,
        )
    return BackendError(
        ErrorKind.NAME_NOT_FOUND,
        f"There is no computer called {address.host}.",
        "",
        "Check the spelling of the address.",
        request_sent=False,
    )


def _connect_failure(error: OSError, address: Address, check: str) -> BackendError:
    where, local = address.netloc, address.reach is Reach.THIS_MACHINE
    if error.errno == errno.ECONNREFUSED or (local and error.errno in _NO_WAY):
        return BackendError(
            ErrorKind.CONNECT_REFUSED,
            f"Nothing answers at {where}.",
            "No program listens on this port."
            if local
            else "The computer is there, but refuses on this port.",
            check,
            request_sent=False,
        )
    if error.errno in _NO_WAY:
        return BackendError(
            ErrorKind.OFFLINE,
            f"There is no way to {where} right now.",
            "This computer seems to be offline.",
            "Check the network connection, or use a model on this computer.",
            request_sent=False,
        )
    return BackendError(
        ErrorKind.CONNECT_REFUSED,
        f"No connection to {where} came about.",
        f"The system says: {error.strerror or 'no reason'}.",
        check,
        request_sent=False,
    )


_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
