"""Whether memory is short at this moment, and whether the computer runs on its battery.

Linux is read from /proc and /sys, with the container's limits and its own pressure where it has them. macOS
and Windows are written after their manuals and have never been run there; their pure parts are tested.
"""

import re
import sys
from dataclasses import dataclass

from whisper_desktop.machine import linux
from whisper_desktop.machine.findings import ProbeFailed
from whisper_desktop.machine.host import Host

_WARNING = 2
"""Of `kern.memorystatus_vm_pressure_level`: 1 normal, 2 warning, 4 critical (XNU's memory status levels)."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """One measurement. Sizes are bytes, respecting container limits; a total of 0 is unknown.

    `stalled` is the share of the last ten seconds, from 0 to 1, in which some program waited for memory
    (Linux PSI). `short` is the system's own verdict, where it gives one (macOS). None is unknown.
    """

    available_bytes: int
    total_bytes: int
    stalled: float | None = None
    short: bool | None = None
    on_battery: bool | None = None


def measure(host: Host | None = None) -> Pressure:
    """Measure now. Blocks for less than a millisecond on Linux. Never raises for what the machine does."""
    if sys.platform in ("darwin", "win32"):
        return _from_psutil(sys.platform)
    return _from_linux(host or Host())


# --- Linux ------------------------------------------------------------------------------------------------


def _from_linux(host: Host) -> Pressure:
    try:
        memory = linux.read_memory(host)
    except ProbeFailed:
        return Pressure(0, 0, on_battery=_on_battery(host))
    return Pressure(memory.available, memory.total, stalled=_stalled(host), on_battery=_on_battery(host))


def _stalled(host: Host) -> float | None:
    """The worst of the whole machine's pressure and of each group's above us: a limit is felt inside it."""
    groups = linux.parse_cgroups(host.text("/proc/self/cgroup") or "")
    folders = linux.ancestors("/sys/fs/cgroup", groups.get("", "/"))
    files = ("/proc/pressure/memory", *(f"{folder}/memory.pressure" for folder in folders))
    told = (stalled_share(host.text(file) or "") for file in files)
    return max((share for share in told if share is not None), default=None)


def stalled_share(text: str) -> float | None:
    """`some avg10` of a PSI file as a share; there in per cent (docs.kernel.org/accounting/psi.html)."""
    match = re.search(r"^some avg10=(\d{1,3}(?:\.\d+)?) ", text, re.MULTILINE)
    return min(float(match[1]) / 100, 1.0) if match else None


def _on_battery(host: Host) -> bool | None:
    """Whether a battery (or an uninterruptible supply) feeds the computer; None where nothing is told.

    https://docs.kernel.org/power/power_supply_class.html. A mouse's battery has the scope "Device".
    """
    root = "/sys/class/power_supply"
    batteries, plugged = [], []
    for name in host.names(root):
        kind = host.text(f"{root}/{name}/type")
        if kind in ("Battery", "UPS") and host.text(f"{root}/{name}/scope") != "Device":
            batteries.append(host.text(f"{root}/{name}/status"))
        elif kind in ("Mains", "USB"):
            plugged.append(host.number(f"{root}/{name}/online"))
    # One cell may discharge into the other while the cable is in, so the cable is asked first.
    if any(plugged):
        return False
    if batteries:
        return "Discharging" in batteries
    return False if plugged else None


# --- macOS and Windows ------------------------------------------------------------------------------------


def _from_psutil(system: str) -> Pressure:
    import psutil

    memory, battery = psutil.virtual_memory(), psutil.sensors_battery()
    return Pressure(
        int(memory.available),
        int(memory.total),
        short=short_at(_macos_level()) if system == "darwin" else None,
        on_battery=None if battery is None or battery.power_plugged is None else not battery.power_plugged,
    )


def short_at(level: int | None) -> bool | None:
    """Whether memory is short at a pressure level of macOS."""
    return None if level is None or level <= 0 else level >= _WARNING


def _macos_level() -> int | None:
    import ctypes

    level, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    try:
        failed = ctypes.CDLL(None).sysctlbyname(
            b"kern.memorystatus_vm_pressure_level", ctypes.byref(level), ctypes.byref(size), None, 0
        )
    except (AttributeError, OSError):
        return None
    return None if failed else level.value
