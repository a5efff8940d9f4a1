"""What can go wrong on the way to a server, in words for a person, whichever library met it.

Nobody here knows what answers there. Beyond the person's own network it is taken for a service, which nobody
can start, restart or look at.
"""

import errno
import socket

from whisper_desktop.errors import BackendError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import ErrorKind, Reach
from whisper_desktop.wire.address import Address

NO_PROGRAM = mark("No program listens on this port.")

_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def not_accepted(address: Address, limit: float) -> BackendError:
    """No connection within `limit` seconds."""
    why = {
        Reach.THIS_MACHINE: tr("The program there seems to hang."),
        Reach.MY_NETWORK: tr("The computer is switched off or out of reach, or the program there hangs."),
        Reach.CLOUD: tr("It is out of reach, or has too much to do."),
    }
    return BackendError(
        ErrorKind.CONNECT_TIMEOUT,
        tr("{netloc} did not accept a connection within {limit:g} s.", netloc=address.netloc, limit=limit),
        why[address.reach],
        _check(address),
        request_sent=False,
    )


def not_connected(address: Address, error: OSError) -> BackendError:
    """The system refused the connection, or knows no way."""
    where, local = address.netloc, address.reach is Reach.THIS_MACHINE
    if error.errno == errno.ECONNREFUSED or (local and error.errno in _NO_WAY):
        return BackendError(
            ErrorKind.CONNECT_REFUSED,
            tr("Nothing answers at {where}.", where=where),
            tr(NO_PROGRAM) if local else tr("The computer is there, but refuses on this port."),
            _check(address),
            request_sent=False,
        )
    if error.errno in _NO_WAY:
        return BackendError(
            ErrorKind.OFFLINE,
            tr("There is no way to {where} right now.", where=where),
            tr("This computer is offline, or the other one is switched off.")
            if address.reach is Reach.MY_NETWORK
            else tr("This computer seems to be offline."),
            tr("Check the network connection, or use a model on this computer."),
            request_sent=False,
        )
    return BackendError(
        ErrorKind.CONNECT_REFUSED,
        tr("No connection to {where} came about.", where=where),
        tr("The system says: {part}.", part=error.strerror or "no reason"),
        _check(address),
        request_sent=False,
    )


def not_found(address: Address, error: OSError) -> BackendError:
    """The name lookup failed. Some systems say "no such name" where there is no network to ask."""
    if error.errno == socket.EAI_AGAIN or (address.reach is Reach.CLOUD and not _has_way_out()):
        return BackendError(
            ErrorKind.OFFLINE,
            tr("The name {host} cannot be looked up right now.", host=address.host),
            tr("This computer seems to be offline, or its name server does not answer."),
            tr("Check the network connection, or use a model on this computer."),
            request_sent=False,
        )
    return BackendError(
        ErrorKind.NAME_NOT_FOUND,
        tr("There is no computer called {host}.", host=address.host),
        "",
        tr("Check the spelling of the address."),
        request_sent=False,
    )


def _has_way_out() -> bool:
    """Whether there is a route to the internet. Connecting a datagram socket sends nothing.

    The addresses are those of documentation: RFC 5737 and RFC 3849.
    """
    for family, host in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((host, 9))
        except OSError:
            continue
        return True
    return False


def not_proxied(address: Address) -> BackendError:
    """The proxy does not answer, or refuses."""
    return BackendError(
        ErrorKind.OFFLINE,
        tr("The proxy on the way to {netloc} did not let the request through.", netloc=address.netloc),
        "",
        tr("Check the proxy settings (HTTPS_PROXY, NO_PROXY)."),
        request_sent=False,
    )


def not_safe(address: Address, reason: str, *, certificate: bool) -> BackendError:
    """No TLS came about; `certificate` where the server's was not accepted."""
    if certificate:
        why = tr("Its certificate was not accepted ({reason}).", reason=reason)
        step = tr("Check the address and this computer's clock.")
    else:
        why = tr("No secure connection came about ({reason}).", reason=reason)
        step = tr("If the server has no certificate, use http://{netloc}.", netloc=address.netloc)
        if address.reach is Reach.CLOUD:  # Everybody on the way could read what is sent.
            step = tr("Check the address and the network connection.")
    return BackendError(
        ErrorKind.TLS,
        tr("There is no safe connection to {netloc}.", netloc=address.netloc),
        why,
        step,
        request_sent=False,
    )


def not_taken(address: Address, limit: float) -> BackendError:
    """The server does not read the request: `limit` seconds were not enough to hand it over."""
    return BackendError(
        ErrorKind.STALLED,
        tr("{netloc} did not take the request within {limit:g} s.", netloc=address.netloc, limit=limit),
        tr("The program there hangs, or the way to it is very slow."),
        _restart(address),
    )


def not_answered(address: Address) -> BackendError:
    """The connection ended before the answer began."""
    return BackendError(
        ErrorKind.CLOSED_EARLY,
        tr("{netloc} closed the connection without an answer.", netloc=address.netloc),
        _ended(address),
        _restart(address),
    )


def not_http(address: Address) -> BackendError:
    """What came is no HTTP."""
    far = address.reach is Reach.CLOUD
    return BackendError(
        ErrorKind.NOT_AN_LLM,
        tr("What answers at {netloc} does not speak HTTP.", netloc=address.netloc),
        tr(
            "Something on the way may have answered instead, or the address needs https:// "
            "instead of http://."
        )
        if far
        else tr("Another program has this port, or the address needs https:// instead of http://."),
        tr("Check the address and the network connection.") if far else tr("Check the address and the port."),
    )


def not_unpacked(address: Address) -> BackendError:
    """The body's compression is broken, or unknown."""
    return BackendError(
        ErrorKind.MALFORMED, tr("{netloc} sent an answer that cannot be unpacked.", netloc=address.netloc)
    )


def cut(address: Address, status: int) -> BackendError:
    """The body ended before its end."""
    return BackendError(
        ErrorKind.STREAM_CUT,
        tr("{netloc} closed the connection in the middle of its answer.", netloc=address.netloc),
        _ended(address),
        tr("Try again, or use another backend."),
        status=status,
    )


def _check(address: Address) -> str:
    return (
        tr("Check the address, or try again in a moment.")
        if address.reach is Reach.CLOUD
        else tr("Check the address, or start the server.")
    )


def _restart(address: Address) -> str:
    return tr("Try again in a moment.") if address.reach is Reach.CLOUD else tr("Try again, or restart it.")


def _ended(address: Address) -> str:
    return (
        tr("It failed, or something on the way to it did.")
        if address.reach is Reach.CLOUD
        else tr("The program there may have stopped or crashed.")
    )
