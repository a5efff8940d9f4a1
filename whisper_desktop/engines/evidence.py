"""What is known about the end of an engine's process, gathered for `diagnosis`."""

import errno
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.engines.command import HOST
from whisper_desktop.machine.host import Host
from whisper_desktop.machine.linux import ancestors, parse_cgroups
from whisper_desktop.machine.pressure import measure
from whisper_desktop.models.gguf import GgufHeader, header_if_readable

_CANNOT_LISTEN = "couldn't bind HTTP server socket"
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The end of one process. Sizes are bytes; None is unknown.

    `code` is the exit code (negative: that signal), None for a process that hung and still ran. `lines` is
    what it printed since its start. `ready` says whether it had ever answered. `peak_bytes` is the most
    memory it was seen to have, `available_bytes` what the computer had free when it ended, `oom_kills` how
    many processes the kernel ended for lack of memory meanwhile (in the engine's own control group where it
    counts). `stuck` is the watchdog's sentence about a process that hung. `header` is what its model says of
    itself. `port_error` is what the system says to whoever wants the port now (an errno), where the engine
    could not have it.
    """

    code: int | None
    lines: Sequence[str]
    port: int | None = None
    ready: bool = False
    peak_bytes: int | None = None
    available_bytes: int | None = None
    oom_kills: int | None = None
    stuck: str = ""
    header: GgufHeader | None = None
    port_error: int | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """The kernel's counts of processes ended for lack of memory, at one moment; None where it tells none.

    Take one just before a start, and a new one with the process's id right after it and at every look at it
    while it runs: the shorter the time until its end, the less of what happened to other programs is taken
    for ours. The last but one counts: at the last one the process may have been ended already. `group` is the
    file that counts for the control group of the process.
    """

    in_group: int | None
    everywhere: int | None
    group: str = ""
    of_process: bool = False

    @classmethod
    def now(cls, pid: int | None = None, host: Host | None = None) -> "Before":
        """Read a few small files of the kernel (0.3 ms); nothing outside Linux. Never raises.

        Without `pid`, the group is our own, where children start.
        """
        if sys.platform != "linux":
            return cls(None, None)
        host = host or Host()
        group = _counting_file(host, pid)
        return cls(_kills(host, group) if group else None, _kills(host, _VMSTAT), group, pid is not None)

    def kills_since(self, host: Host | None = None) -> int | None:
        """How many processes the kernel has ended for lack of memory since then; None where it tells none.

        Where the engine's own group counts, that count is the answer. Our own group's is not: the engine may
        have been put into another one, so then the count of the whole computer is asked as well.
        """
        if sys.platform != "linux":
            return None
        host = host or Host()
        here = _since(self.in_group, _kills(host, self.group) if self.group else None)
        if self.of_process and here is not None:
            return here
        counts = (here, _since(self.everywhere, _kills(host, _VMSTAT)))
        return max((count for count in counts if count is not None), default=None)


_VMSTAT = "/proc/vmstat"
"""`oom_kill` in it counts the kills of all control groups (https://docs.kernel.org/filesystems/proc.html)."""


def gather(
    before: Before,
    *,
    code: int | None,
    lines: Sequence[str],
    port: int | None = None,
    ready: bool = False,
    peak_bytes: int | None = None,
    stuck: str = "",
    model: Path | None = None,
) -> Evidence:
    """What is known now that the process has ended (or hangs: `code` None and the watchdog's `stuck`).

    It blocks on small files, and with `model` on that file's header (milliseconds): call it in a thread.
    Never raises.
    """
    refused = port is not None and any(_CANNOT_LISTEN in line for line in lines)
    return Evidence(
        code,
        tuple(lines),
        port=port,
        ready=ready,
        peak_bytes=peak_bytes,
        available_bytes=measure().available_bytes or None,
        oom_kills=before.kills_since(),
        stuck=stuck,
        header=header_if_readable(model),
        port_error=port_error(port) if refused and port is not None else None,
    )


def port_error(port: int) -> int | None:
    """Why nobody can listen on this port of loopback now, as an errno; None when one can."""
    try:
        with socket.socket() as probe:
            if sys.platform != "win32":  # as servers do: connections that are only fading out do not count
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError as error:
        return error.errno
    return None


def forbids_port(number: int | None) -> bool:
    """Whether this errno says that the system keeps a port to itself, rather than that it is taken.

    On Unix the low ports belong to the administrator. Windows has ranges that it reserves for Hyper-V and
    the like (`netsh int ipv4 show excludedportrange tcp`), and says the same (WSAEACCES, which Python gives
    as EACCES or as itself) of a port that another program holds for itself alone.
    """
    return number in (errno.EACCES, errno.EPERM, 10013)


def _counting_file(host: Host, pid: int | None) -> str:
    """The file that counts the kills of a process's control group, versions 2 and 1; "" where none does.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events) and .../cgroup-v1/memory.html
    (memory.oom_control). Where the group itself has none (it lacks the memory controller, or a container
    shows it in another place), one above it counts.
    """
    groups = parse_cgroups(host.text(f"/proc/{pid or 'self'}/cgroup") or "")
    files = [
        f"{folder}/memory.events"
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
        for folder in ancestors(mount, groups.get("", "/"))
    ]
    if "memory" in groups:
        folders = ancestors("/sys/fs/cgroup/memory", groups["memory"])
        files = [*(f"{folder}/memory.oom_control" for folder in folders), *files]
    return next((file for file in files if _kills(host, file) is not None), "")


def _kills(host: Host, file: str) -> int | None:
    match = _KILLS.search(host.text(file) or "")
    return int(match[1]) if match else None


def _since(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else max(0, now - before)
