"""Our connections for whatever speaks `httpx`: what other libraries send passes the reach guard, too.

AsyncOpenAI(http_client=httpx.AsyncClient(transport=GuardedTransport(http, allowed=Reach.CLOUD)))
"""

from collections.abc import AsyncIterator

import httpx

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.replies import StreamReply

# The connection is ours, and so is what is said about it. Bodies are handed on unpacked.
_OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
_THEIRS = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding"})
_CONNECTING = (
    ErrorKind.CONNECT_REFUSED,
    ErrorKind.NAME_NOT_FOUND,
    ErrorKind.OFFLINE,
    ErrorKind.TLS,
)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends with `http`, as far as `allowed`. Of httpx's deadlines, that for connecting counts.

    Raises `ReachError` where a request would go too far, and otherwise httpx's own `TransportError`s, with
    the `BackendError` that says more as their cause. A redirect counts as one of those.
    """

    def __init__(self, http: Http, *, allowed: Reach) -> None:
        self._http = http
        self._allowed = allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Called by httpx."""
        headers = {name: value for name, value in request.headers.items() if name not in _OURS}
        body = await request.aread()
        connect = request.extensions.get("timeout", {}).get("connect")
        try:
            reply = await self._http.send(
                request.method, str(request.url), self._allowed, body or None, headers, connect
            )
        except BackendError as error:
            raise _as_httpx(error, request) from error
        kept = {name: value for name, value in reply.headers.items() if name not in _THEIRS}
        return httpx.Response(reply.status, headers=kept, stream=_Body(reply, request), request=request)


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: StreamReply, request: httpx.Request) -> None:
        self._reply = reply
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._reply.next_piece():
                yield piece
        except BackendError as error:
            raise httpx.ReadError(str(error), request=self._request) from error

    async def aclose(self) -> None:
        self._reply.close()


def _as_httpx(error: BackendError, request: httpx.Request) -> httpx.TransportError:
    if error.kind is ErrorKind.CONNECT_TIMEOUT:
        return httpx.ConnectTimeout(str(error), request=request)
    if error.kind in _CONNECTING:
        return httpx.ConnectError(str(error), request=request)
    if error.kind is ErrorKind.STALLED:
        return httpx.WriteTimeout(str(error), request=request)
    return httpx.RemoteProtocolError(str(error), request=request)
