"""What went wrong on the way to a server, told from aiohttp's exceptions in words for a person.

The library's exceptions hold our headers, keys included. They are looked at here and left behind: what comes
back is a `BackendError` without a cause, to be raised where no exception is being handled.
"""

import errno
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.address import Address

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError)

_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_CHECK = "Check the address, or start the server."


def failure_before_headers(error: Exception, address: Address, connect: float) -> BackendError:
    """Why there was no answer at all. `connect` is the deadline that connecting had, in seconds."""
    if isinstance(error, TimeoutError):
        return BackendError(
            ErrorKind.CONNECT_TIMEOUT,
            f"{address.netloc} did not accept a connection within {connect:g} s.",
            "The computer is switched off or out of reach, or the program there hangs.",
            _CHECK,
            request_sent=False,
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return BackendError(
            ErrorKind.OFFLINE,
            f"The proxy on the way to {address.netloc} did not let the request through.",
            "",
            "Check the proxy settings (HTTPS_PROXY, NO_PROXY).",
            request_sent=False,
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _tls_failure(error, address)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _name_failure(error.os_error, address)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connect_failure(error.os_error, address)
    if isinstance(error, aiohttp.ClientResponseError):
        parsing = error.__cause__ and error.__cause__.__cause__
        return _unpacking_failure(address) if isinstance(parsing, ContentEncodingError) else _no_http(address)
    return BackendError(
        ErrorKind.CLOSED_EARLY,
        f"{address.netloc} closed the connection without an answer.",
        "The program there may have stopped or crashed.",
        "Try again, or restart it.",
    )


def failure_in_body(error: Exception, address: Address, status: int) -> BackendError:
    """Why a body ended before its end."""
    if isinstance(error.__cause__, ContentEncodingError):
        return _unpacking_failure(address)
    return BackendError(
        ErrorKind.STREAM_CUT,
        f"{address.netloc} closed the connection in the middle of its answer.",
        "The program there may have stopped or crashed.",
        "Try again, or use another backend.",
        status=status,
    )


def not_taken(address: Address, limit: float) -> BackendError:
    """The server does not read the request: `limit` seconds were not enough to hand it over."""
    return BackendError(
        ErrorKind.STALLED,
        f"{address.netloc} did not take the request within {limit:g} s.",
        "The program there hangs, or the way to it is very slow.",
        "Try again, or restart it.",
    )


def _no_http(address: Address) -> BackendError:
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        f"The program at {address.netloc} does not speak HTTP.",
        "Another program has this port, or the address needs https:// instead of http://.",
        "Check the address and the port.",
    )


def _unpacking_failure(address: Address) -> BackendError:
    return BackendError(ErrorKind.MALFORMED, f"{address.netloc} sent an answer that cannot be unpacked.")


def _tls_failure(error: Exception, address: Address) -> BackendError:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    reason = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "no secure connection"
    if isinstance(error, aiohttp.ClientConnectorCertificateError) or "CERTIFICATE" in str(reason).upper():
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


def _connect_failure(error: OSError, address: Address) -> BackendError:
    where, local = address.netloc, address.reach is Reach.THIS_MACHINE
    if error.errno == errno.ECONNREFUSED or (local and error.errno in _NO_WAY):
        return BackendError(
            ErrorKind.CONNECT_REFUSED,
            f"Nothing answers at {where}.",
            "No program listens on this port."
            if local
            else "The computer is there, but refuses on this port.",
            _CHECK,
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
        _CHECK,
        request_sent=False,
    )
