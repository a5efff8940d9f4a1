"""From aiohttp's exceptions to our failures.

The library's exceptions hold our headers, keys included. They are looked at here and left behind: what comes
back is a `BackendError` without a cause, to be raised where no exception is being handled.
"""

import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.wire import failures
from whisper_desktop.wire.address import Address

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError)


def before_headers(error: Exception, address: Address, connect: float) -> BackendError:
    """Why there was no answer at all. `connect` is the deadline that connecting had, in seconds."""
    if isinstance(error, TimeoutError):
        return failures.not_accepted(address, connect)
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return failures.not_proxied(address)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _tls(error, address)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return failures.not_found(address, error.os_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return failures.not_connected(address, error.os_error)
    if isinstance(error, aiohttp.ClientResponseError):
        parsing = error.__cause__ and error.__cause__.__cause__
        unpacking = isinstance(parsing, ContentEncodingError)
        return failures.not_unpacked(address) if unpacking else failures.not_http(address)
    return failures.not_answered(address)


def had_begun(error: Exception) -> bool:
    """Whether the server had sent something, as far as one can tell, before it closed the connection."""
    # The message is a text, or what could be read of the answer.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def in_body(error: Exception, address: Address, status: int) -> BackendError:
    """Why a body ended before its end."""
    if isinstance(error.__cause__, ContentEncodingError):
        return failures.not_unpacked(address)
    return failures.cut(address, status)


def _tls(error: Exception, address: Address) -> BackendError:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    reason = (
        getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or tr("no secure connection")
    )
    certificate = isinstance(error, aiohttp.ClientConnectorCertificateError)
    return failures.not_safe(
        address, str(reason), certificate=certificate or "CERTIFICATE" in str(reason).upper()
    )
