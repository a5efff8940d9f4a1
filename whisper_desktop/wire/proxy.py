"""The proxy that the environment names. Only far addresses are ever asked for here."""

from urllib import request
from urllib.parse import urlsplit

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.address import Address


def proxy_for(address: Address) -> str | None:
    """The address of the HTTP proxy for a far address, None without one.

    Raises `BackendError` NOT_CONFIGURED for one that cannot be used; its password, if any, is not shown.
    """
    if request.proxy_bypass_environment(address.host):  # type: ignore[attr-defined]  # not in typeshed
        return None
    proxies = request.getproxies_environment()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, separator, _ = proxy.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        what = scheme if separator and scheme.isascii() and scheme.isalnum() else tr("something else")
        raise _unusable(
            address, tr("The environment names a proxy that does not begin with http:// ({what}).", what=what)
        )
    if not _is_an_address(proxy):
        raise _unusable(address, tr("What the environment names as the proxy is not an address."))
    return proxy


def _is_an_address(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        usual = proxy.isascii() and proxy.isprintable() and " " not in proxy
        return usual and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _unusable(address: Address, why: str) -> BackendError:
    return BackendError(
        ErrorKind.NOT_CONFIGURED,
        tr("The proxy for {netloc} cannot be used.", netloc=address.netloc),
        why,
        tr(
            "Set {upper}_PROXY to an HTTP proxy, or list {host} in NO_PROXY.",
            upper=address.scheme.upper(),
            host=address.host,
        ),
        request_sent=False,
    )
