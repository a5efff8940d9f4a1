"""Where to look: the usual ports of this computer, and the addresses that were given. Pure decisions.

One server is often reachable in several ways: over 127.0.0.1 and ::1, by the name localhost, by this
computer's address in the network. All ways to one port of this computer stand together in a `Spot`, so that
what answers there is reported once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whisper_desktop.discovery.known import MORE_PORTS
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import IDENTITIES, Reach
from whisper_desktop.wire.address import Address, normalise_url, parse_url

LOOPBACKS = ("127.0.0.1", "::1")

# What a person adds to a server's root to reach its API, longest first.
_API_PATHS = ("/engines/llama.cpp/v1", "/engines/v1", "/api/v1", "/api/v0", "/v1beta", "/v1")


@dataclass(frozen=True, slots=True)
class Way:
    """One address to ask: `origin` is asked, `shown_origin` is the same place as a person wrote it.

    `root_path` is where the server's own paths begin (mostly ""), `given_path` the whole path that was
    written where one was, and `is_given` whether a person wrote this address or it is only a usual place.
    `has_key`: a key is kept for it, which lets us ask there, but vouches for nothing. `expected` is the id of
    the server that the address was written for, where that is known.
    """

    origin: str
    shown_origin: str
    root_path: str = ""
    given_path: str | None = None
    is_given: bool = False
    has_key: bool = False
    expected: str | None = None

    @property
    def root(self) -> str:
        """What is asked, up to the server's own paths."""
        return self.origin + self.root_path

    @property
    def url(self) -> str:
        """What is reported, up to the server's own paths."""
        return self.shown_origin + self.root_path

    @property
    def reach(self) -> Reach:
        """How far a request to it travels, by its address."""
        return parse_url(self.origin).reach


@dataclass(frozen=True, slots=True)
class Spot:
    """All ways to one port of one computer, best first."""

    ways: tuple[Way, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """An address that was given and cannot be used, and why."""

    text: str
    error: SettingsError
    expected: str | None = None


def spots(
    ports: Mapping[str, int],
    more_ports: Iterable[int],
    given: Sequence[tuple[str, str | None]],
    is_own_host: Callable[[str], bool],
    keyed: Sequence[str] = (),
) -> tuple[tuple[Spot, ...], tuple[Unusable, ...]]:
    """Where to look, each place once, addresses that were given first.

    `ports` moves known servers to other ports (0: not looked for at its usual port); `given` are addresses,
    each with the id of the server it is for, where known; `is_own_host` tells whether a host is this computer
    by one of its own addresses in the network; `keyed` are origins that have a key.
    """
    here: dict[int, list[Way]] = {}
    elsewhere: dict[str, Spot] = {}
    asked, unusable = _read(given, keyed)
    for address, expected, is_given in asked:
        if address.reach is Reach.THIS_MACHINE:
            hosts = LOOPBACKS if address.is_localhost_name else (address.host,)
            ways = [_way(address, expected, host) for host in hosts]
        elif is_own_host(address.host):
            # Over loopback this computer's own engines count as this computer, so those ways are tried first.
            near = (replace(address, host=host) for host in LOOPBACKS)
            ways = [_way(each, expected) for each in (*near, address)]
        else:
            way = _way(address, expected)
            elsewhere.setdefault(address.url, Spot((way if is_given else _only_keyed(way),), address.port))
            continue
        here.setdefault(address.port, []).extend(ways if is_given else map(_only_keyed, ways))
    for port in (*usual_ports(ports), *more_ports):
        usual = (replace(_way(Address("http", host, port, ""), None), is_given=False) for host in LOOPBACKS)
        here.setdefault(port, []).extend(usual)
    local = (Spot(_in_order(ways), port) for port, ways in here.items())
    return (*local, *elsewhere.values()), unusable


def _read(
    given: Sequence[tuple[str, str | None]], keyed: Sequence[str]
) -> tuple[list[tuple[Address, str | None, bool]], tuple[Unusable, ...]]:
    """Addresses that were given and, after them, those that only have a key; and those that are none."""
    asked, unusable = [], []
    for text, expected in given:
        try:
            asked.append((parse_url(normalise_url(text)), expected, True))
        except SettingsError as error:
            unusable.append(Unusable(text, error, expected))
    written = {address.origin for address, _expected, _given in asked}
    origins = (parse_url(origin) for origin in keyed)
    asked += [(address, None, False) for address in origins if address.origin not in written]
    return asked, tuple(unusable)


def _only_keyed(way: Way) -> Way:
    return replace(way, is_given=False, has_key=True)


def usual_ports(moved: Mapping[str, int]) -> tuple[int, ...]:
    """The ports of this computer where known servers listen; `moved` names other ones, 0 for none."""
    usual = [moved.get(identity.id, identity.port or 0) for identity in IDENTITIES.values()]
    more = [port for id, port in MORE_PORTS if id not in moved]
    return tuple(dict.fromkeys(port for port in (*usual, *more) if port))


def _way(address: Address, expected: str | None, host: str | None = None) -> Way:
    """The way to an address that was given, asking `host` where its own is a name for several."""
    asked = address if host is None else replace(address, host=host)
    path = address.path.rstrip("/")
    root = next((path.removesuffix(api) for api in _API_PATHS if path.endswith(api)), path)
    return Way(asked.origin, address.origin, root, path or None, is_given=True, expected=expected)


def _in_order(ways: Iterable[Way]) -> tuple[Way, ...]:
    """The ways, each once (as given, where it was), 127.0.0.1 first and then ::1."""
    unique: dict[str, Way] = {}
    for way in ways:
        unique.setdefault(way.root, way)
    return tuple(sorted(unique.values(), key=_nearness))


def _nearness(way: Way) -> int:
    host = parse_url(way.origin).host
    return LOOPBACKS.index(host) if host in LOOPBACKS else len(LOOPBACKS)
