"""Where an address points and how far away that is. Pure text: nothing here asks the DNS.

One parser decides for everybody. `wire.http` sends to what `parse_url` returned and to nothing else, so an
address cannot be judged as one place and be sent to another (`http://127.0.0.1@example.com`, a backslash,
full-width digits and the like are refused, not interpreted).
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import Reach
from whisper_desktop.wire.key_shapes import holds_a_key, may_hold_a_key

LONGEST_ADDRESS = 8192
"""In characters: the signed links of file stores hold policies and certificates, several kilobytes long."""

_DEFAULT_PORT = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10", "fc00::/7")
)
# Names that a router or mDNS answers. `wire.http` still checks where they resolve.
_NETWORK_SUFFIXES = (".local", ".lan", ".home.arpa", ".internal")
_SAFE_IN_PATH = "/:@!$&'()*+,;=-._~%"
_KEYS_APART = mark("Keys are kept apart: `whisper-desktop keys set`.")
_PASTED_ENDINGS = ("/chat/completions", "/completions", "/models")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed http(s) address. `host` is lower case, an IPv6 host without brackets; `path` has no query."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a key belongs to."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def url(self) -> str:
        """The whole address again, in normal form."""
        return self.origin + self.path + (f"?{self.query}" if self.query else "")

    @property
    def reach(self) -> Reach:
        """How far away the host is, judged by the text alone."""
        return _reach_of_host(self.host)

    @property
    def is_localhost_name(self) -> bool:
        """Whether the host is one of the names that mean this computer, which we resolve ourselves."""
        return _is_localhost(self.host)


def parse_url(text: str) -> Address:
    """The parts of an address that begins with http:// or https://. Raises `SettingsError`."""
    if len(text) > LONGEST_ADDRESS:
        raise _unusable(
            text, tr("It is longer than {longest_address} characters.", longest_address=LONGEST_ADDRESS)
        )
    if any(character <= " " or character in '\\<>"^`{|}\x7f' for character in text):
        raise _unusable(text, tr("It contains a space or a character that does not belong in an address."))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _unusable(
            text, tr("The part after the last colon is not a port between 1 and 65535.")
        ) from None
    return Address(
        scheme=_scheme(text, parts),
        host=_host(text, parts),
        port=_port(text, parts.scheme, port),
        path="" if parts.path == "/" else quote(parts.path, safe=_SAFE_IN_PATH),
        query=quote(parts.query, safe=_SAFE_IN_PATH + "?"),
    )


def normalise_url(text: str) -> str:
    """What a person typed, as the address of a server: with a scheme, without a slash at the end.

    `127.0.0.1:1234`, `localhost:11434/`, `:8080`, `0.0.0.0:1234` and a pasted `.../v1/chat/completions` all
    become usable. Raises `SettingsError` with what is wrong and what a right one looks like.
    """
    typed = text.strip().strip("\"'").strip()
    if not typed:
        raise _unusable(text, tr("It is empty."))
    if holds_a_key(typed):
        raise _unusable(typed, tr("It holds something that looks like a key."), tr(_KEYS_APART))
    if typed.isdigit():
        raise _unusable(
            text,
            tr("A number alone is a port."),
            tr("Write 127.0.0.1:{typed} for a server on this computer.", typed=typed),
        )
    if typed.startswith(":"):
        typed = "127.0.0.1" + typed
    if "://" not in typed:
        typed = _with_scheme(typed)
    address = parse_url(typed)
    if address.query:
        raise _unusable(
            text, tr("It has a part after a question mark."), tr("Leave out everything from the “?” on.")
        )
    # Servers print these as the address they listen on; nobody can connect to them everywhere.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    path = address.path.rstrip("/")
    for ending in _PASTED_ENDINGS:
        path = path.removesuffix(ending)
    return Address(address.scheme, host, address.port, path).url


def reach_of(url: str) -> Reach:
    """How far a request to this address travels, by the address alone: `this_machine` for loopback,
    `my_network` for private addresses and local names, else `cloud`. Raises `SettingsError` if unusable.
    """
    return parse_url(url if "://" in url else normalise_url(url)).reach


def reach_of_ip(text: str) -> Reach:
    """The reach of a numeric address, as a resolver returns it. Anything unreadable counts as the cloud."""
    try:
        ip = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return Reach.CLOUD
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_unspecified:
        return Reach.THIS_MACHINE
    return Reach.MY_NETWORK if any(ip in block for block in _PRIVATE) else Reach.CLOUD


def origin(url: str) -> str:
    """Scheme, host and port of an address: the owner of a key. Raises `SettingsError` if unusable."""
    return parse_url(url).origin


def _scheme(text: str, parts: SplitResult) -> str:
    if parts.scheme not in _DEFAULT_PORT:
        raise _unusable(text, tr("It has to begin with http:// or https://."))
    return parts.scheme


def _host(text: str, parts: SplitResult) -> str:
    if "@" in parts.netloc:
        raise _unusable(
            text,
            tr("It contains a name or password before an “@”."),
            tr(_KEYS_APART),
        )
    host = (parts.hostname or "").lower()
    if not host:
        raise _unusable(text, tr("It names no computer."))
    if not host.isascii():
        host = _as_ascii(text, host)
    if "[" in parts.netloc:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _unusable(text, tr("What stands in the brackets is not an IPv6 address.")) from None
    if not _NAME.fullmatch(host):
        raise _unusable(text, tr("{named} is not the name or number of a computer.", named=_named(host)))
    if host.replace(".", "").isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _unusable(text, tr("{named} is not a complete IPv4 address.", named=_named(host))) from None
    return host


def _as_ascii(text: str, host: str) -> str:
    try:
        encoded = host.encode("idna").decode("ascii")
    except UnicodeError:
        raise _unusable(text, tr("{named} is not the name of a computer.", named=_named(host))) from None
    if not encoded.startswith("xn--") and ".xn--" not in encoded:
        # Full-width digits and letters fold to plain ones: what is read and what is meant would differ.
        raise _unusable(text, tr("{named} is written with look-alike characters.", named=_named(host)))
    return encoded


def _port(text: str, scheme: str, port: int | None) -> int:
    if port == 0:
        raise _unusable(text, tr("Port 0 cannot be connected to."))
    return port if port is not None else _DEFAULT_PORT[scheme]


def _with_scheme(typed: str) -> str:
    address = parse_url("http://" + typed)
    far = address.reach is Reach.CLOUD and address.port == 80
    return ("https://" if far else "http://") + typed


def _reach_of_host(host: str) -> Reach:
    if _is_localhost(host):
        return Reach.THIS_MACHINE
    if ":" in host or host.replace(".", "").isdigit():
        return reach_of_ip(host)
    name = host.removesuffix(".")
    return Reach.MY_NETWORK if "." not in name or name.endswith(_NETWORK_SUFFIXES) else Reach.CLOUD


def _is_localhost(host: str) -> bool:
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def _unusable(text: str, why: str, next_step: str = "") -> SettingsError:
    """The sentence for an address that is none. What could be a password or a key in it is not repeated."""
    shown, mark, _rest = text.partition("?")
    if "@" in shown:
        shown = "…@" + shown.rpartition("@")[2]
    shown += mark and "?…"
    short = shown if len(shown) <= 80 else shown[:77] + "…"
    return SettingsError(
        tr("This address cannot be used.")
        if may_hold_a_key(shown)
        else tr("The address “{short}” cannot be used.", short=short),
        why,
        next_step or tr("A server's address looks like http://127.0.0.1:1234."),
    )


def _named(host: str) -> str:
    return tr("What stands there") if may_hold_a_key(host) else f"“{host}”"
