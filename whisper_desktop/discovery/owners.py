"""The port arbiter: who listens on a port of this computer, and whether that is somebody to talk to.

Two sources are put together: the system's table of listening sockets with the processes behind them, and
what answers there (`probe`). A known server is adopted instead of fought for its port; anybody else is named,
so that a person knows which program to end.

Linux: /proc/net/tcp and tcp6, which also tell the user of a socket whose process we may not look at, and the
process by its open files. macOS and Windows: psutil, written and tested on recorded answers, not run there.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from whisper_desktop.discovery.answers import text
from whisper_desktop.discovery.places import LOOPBACKS, Way
from whisper_desktop.discovery.probe import Recognised, look
from whisper_desktop.discovery.report import server_at
from whisper_desktop.engines import orphans
from whisper_desktop.engines.evidence import port_error
from whisper_desktop.engines.programs import started
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings.paths import run_dir
from whisper_desktop.values import IDENTITIES, Deadlines, Reach, ServerInfo
from whisper_desktop.wire.http import Http

_LISTENING = "0A"  # TCP_LISTEN of <net/tcp_states.h>
_EVERYWHERE = ("0.0.0.0", "::")
_INTERPRETERS = ("python", "node", "java", "ruby", "perl", "bun", "deno")


class Whose(Enum):
    """Whose program it is."""

    OURS = "ours"
    """An engine of this app, or a program that it started."""
    THIS_USER = "this_user"
    OTHER_USER = "other_user"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket, as the system tells it. None is what it keeps to itself."""

    address: str
    port: int
    pid: int | None = None
    uid: int | None = None
    inode: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who listens on a port. `program` is the process's name, and of an interpreter also its script."""

    port: int
    address: str
    whose: Whose
    program: str | None = None
    pid: int | None = None
    user: str | None = None

    @property
    def words(self) -> str:
        """Who it is, for a sentence."""
        of_user = tr(" of the user {user}", user=self.user) if self.user else ""
        if self.program is None or self.pid is None:
            if self.whose is Whose.OTHER_USER:
                return (
                    tr("a program of another user ({user})", user=self.user)
                    if self.user
                    else tr("a program of another user")
                )
            return tr("a program that this system does not name")
        named = tr("{program} (process {pid}{of_user})", program=self.program, pid=self.pid, of_user=of_user)
        return tr("this app itself, through {named}", named=named) if self.whose is Whose.OURS else named


class Verdict(Enum):
    """What to do about a port that one wants to use."""

    FREE = "free"
    ADOPT = "adopt"
    """The server that is wanted, or any known one where none in particular is, answers there: use it."""
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Claim:
    """A port, what to do about it, who has it, and which server answers there, as far as that can be told."""

    port: int
    verdict: Verdict
    owner: Owner | None = None
    server: ServerInfo | None = None

    @property
    def sentence(self) -> str:
        """All of it for a person."""
        if self.verdict is Verdict.FREE:
            return tr("Port {port} is free.", port=self.port)
        who = self.owner.words if self.owner else tr("a program that this system does not name")
        if self.server is None:
            return tr("Port {port} is taken by {who}.", port=self.port, who=who)
        version = f" {self.server.version}" if self.server.version else ""
        behind = f": {who}" if self.owner else ""
        return tr(
            "{server_name}{version} answers on port {port}{behind}.",
            server_name=self.server.name,
            version=version,
            port=self.port,
            behind=behind,
        )


async def arbitrate(port: int, *, http: Http, deadlines: Deadlines, wanted: str | None = None) -> Claim:
    """Who has a port of this computer, and whether to use what answers there. Sends small GETs only.

    `wanted` is the id of the server that is meant to be there; without it every known server will do.
    """
    owner, server = await asyncio.gather(
        asyncio.to_thread(owner_of, port), _server_on(port, http=http, deadlines=deadlines)
    )
    if server is not None and wanted in (None, server.id):
        return Claim(port, Verdict.ADOPT, owner, server)
    # What other systems inside this one (WSL) hold is in no table, but cannot be listened on either.
    if owner is None and server is None and await asyncio.to_thread(port_error, port) is None:
        return Claim(port, Verdict.FREE)
    return Claim(port, Verdict.TAKEN, owner, server)


def describe_owner(port: int) -> str:
    """Who has a port of this computer, as a sentence to follow "Port N is taken"; empty where nobody does.

    It may block for some milliseconds.
    """
    owner = owner_of(port)
    return tr("It belongs to {words}.", words=owner.words) if owner else ""


def owner_of(port: int) -> Owner | None:
    """Who listens on a port as a server on 127.0.0.1 would have to, or else on ::1; None for nobody."""
    found = [each for each in listeners((port,)) if each.port == port]
    if not found:
        return None
    return owner_behind(min(found, key=_nearness), own_uid=_own_uid())


def owners_of(ports: Sequence[int]) -> tuple[Owner, ...]:
    """Who listens on each of these ports, those that are free left out."""
    by_port: dict[int, Listener] = {}
    for each in sorted(listeners(ports), key=_nearness):
        by_port.setdefault(each.port, each)
    return tuple(owner_behind(by_port[port], own_uid=_own_uid()) for port in ports if port in by_port)


def _nearness(listener: Listener) -> tuple[int, bool]:
    order = (LOOPBACKS[0], *_EVERYWHERE, LOOPBACKS[1])
    place = order.index(listener.address) if listener.address in order else len(order)
    return place, listener.pid is None


async def _server_on(port: int, *, http: Http, deadlines: Deadlines) -> ServerInfo | None:
    await http.warm_up()
    until = asyncio.get_running_loop().time() + deadlines.scan_total
    for host in LOOPBACKS:
        origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        way = Way(origin, origin)
        seen = await look(way, http=http, deadlines=deadlines, until=until, allowed=Reach.THIS_MACHINE)
        if isinstance(seen, Recognised):
            return server_at(way, seen)
    return None


# --- Sockets ----------------------------------------------------------------------------------------------


def listeners(ports: Sequence[int]) -> list[Listener]:
    """The sockets that listen on these ports where this computer itself can reach them."""
    found = list(_linux_listeners() if sys.platform == "linux" else psutil_listeners(_connections()))
    return [
        each
        for each in found
        if each.port in ports and (each.address in _EVERYWHERE or each.address in LOOPBACKS)
    ]


def _linux_listeners() -> Iterator[Listener]:
    listed: list[Listener] = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            listed += read_table(Path("/proc/net", name).read_text())
    holders = _holders({each.inode for each in listed if each.inode})
    for each in listed:
        yield Listener(each.address, each.port, holders.get(each.inode or 0), each.uid, each.inode)


def read_table(table: str) -> Iterator[Listener]:
    """The listening sockets of /proc/net/tcp or tcp6 (proc_net_tcp of the kernel's documentation)."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING:
            with contextlib.suppress(ValueError):
                host, _, port = fields[1].partition(":")
                yield Listener(_address(host), int(port, 16), uid=int(fields[7]), inode=int(fields[9]))


def _address(digits: str) -> str:
    """An address as the kernel prints it: in words of 32 bits, each in this machine's order of bytes."""
    raw = bytes.fromhex(digits)
    words = (int.from_bytes(raw[at : at + 4], "big") for at in range(0, len(raw), 4))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    mapped = packed[:12] == b"\0" * 10 + b"\xff\xff"  # an IPv4 address in IPv6's clothes
    if mapped:
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _holders(inodes: set[int]) -> dict[int, int]:
    """The process behind each socket, as far as we may look. Where several share one, the oldest."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):  # closed meanwhile
                    inode = wanted.get(os.readlink(f"/proc/{pid}/fd/{name}"))
                    if inode is not None:
                        found.setdefault(inode, pid)
    return found


Seen = tuple[str, tuple[str, int] | tuple[()], int | None]
"""What psutil tells of a connection: its status, its own address, its process."""


def psutil_listeners(connections: Iterable[Seen]) -> Iterator[Listener]:
    """The listening sockets among what psutil tells."""
    for status, local, pid in connections:
        if status == "LISTEN" and local:
            address = "0.0.0.0" if local[0] == "*" else local[0]
            yield Listener(address.removeprefix("::ffff:"), local[1], pid or None)


def _connections() -> Iterator[Seen]:
    import psutil

    try:
        for each in psutil.net_connections("tcp"):
            yield each.status, each.laddr, each.pid
    except psutil.AccessDenied:  # macOS tells only root about everybody's
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                for own in process.net_connections("tcp"):
                    yield own.status, own.laddr, process.pid


# --- Processes --------------------------------------------------------------------------------------------


def _own_uid() -> int | None:
    return os.getuid() if hasattr(os, "getuid") else None


def owner_behind(listener: Listener, *, own_uid: int | None) -> Owner:
    """Who it is that listens, for the user with this id; None where users have none (Windows)."""
    is_foreign = None not in (listener.uid, own_uid) and listener.uid != own_uid
    user = _user(listener.uid) if is_foreign else None
    whose = Whose.OTHER_USER if is_foreign else Whose.UNKNOWN
    if listener.pid is None:
        return Owner(listener.port, listener.address, whose, user=user)
    if _is_ours(listener.pid):
        whose = Whose.OURS
    elif not is_foreign:
        whose = Whose.THIS_USER
    return Owner(listener.port, listener.address, whose, _program(listener.pid), listener.pid, user)


def _user(uid: int | None) -> str | None:
    if uid is None or sys.platform == "win32":
        return None
    import pwd

    try:
        return text(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return None


def _program(pid: int) -> str | None:
    """A process's name; of an interpreter also the script, which is what a person knows it by."""
    import psutil

    try:
        process = psutil.Process(pid)
        name = text(process.name())
        if name is None or not name.lower().startswith(_INTERPRETERS):
            return name
        words = process.cmdline()[1:]
    except psutil.Error:
        return None
    script = next((word for word in words if not word.startswith("-")), "")
    if "-m" in words[:-1]:
        script = words[words.index("-m") + 1]
    shown = text(os.path.basename(script))
    return f"{name} {shown}" if shown else name


def _is_ours(pid: int) -> bool:
    """Whether it is, or comes from, a process that this app has recorded as its own."""
    import psutil

    recorded = _recorded()
    if not recorded:
        return False
    with contextlib.suppress(psutil.Error):
        family = [pid, *(parent.pid for parent in psutil.Process(pid).parents())]
        return any(recorded.get(each) == orphans.start_identity(each) is not None for each in family)
    return False


def _recorded() -> dict[int, str]:
    """The processes that are ours, with what tells each from others of the same id."""
    found: dict[int, str] = {}
    with contextlib.suppress(SettingsError):
        for path in run_dir().glob("engine-*.json"):
            record = orphans.read(path)
            if record is not None:
                found[record.pid] = record.started
        for program in IDENTITIES:
            ours = started.recall(program)
            if ours is not None and "guard" in ours.parts:
                found[ours.pid] = ours.identity
    return found
