"""Linux: memory and its container limits, processor, distribution. Everything from /proc and /sys.

Formats: proc(5), https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/memory.html.
"""

import math
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from whisper_desktop.language import tr
from whisper_desktop.machine.display import has_display
from whisper_desktop.machine.findings import Cpu, Memory, ProbeFailed, System
from whisper_desktop.machine.host import Host

# Canonical name -> the words for it in /proc/cpuinfo (x86 "flags", ARM "Features").
_FEATURES: Mapping[str, tuple[str, ...]] = {
    "avx": ("avx",),
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "fma": ("fma",),
    "f16c": ("f16c",),
    "neon": ("asimd", "neon"),
    "dotprod": ("asimddp",),
    "i8mm": ("i8mm",),
    "sve": ("sve",),
}


def read_system(host: Host) -> System:
    """The distribution and whether there is a display to open windows on."""
    release = parse_assignments(host.text("/etc/os-release") or "")
    version = release.get("PRETTY_NAME") or platform.release()
    if "microsoft" in (host.text("/proc/version") or "").lower():
        version += " (WSL)"
    return System("Linux", version, platform.machine(), has_display(host.env))


def parse_assignments(text: str) -> dict[str, str]:
    """Lines of NAME=value, quotes removed: /etc/os-release, a device's uevent."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


# --- Memory -----------------------------------------------------------------------------------------------


def read_memory(host: Host) -> Memory:
    """RAM of the machine, narrowed by every memory limit above this process.

    Raises `ProbeFailed` where /proc/meminfo does not say how much there is.
    """
    figures = parse_meminfo(host.text("/proc/meminfo") or "")
    if "MemTotal" not in figures:
        raise ProbeFailed(tr("is not told by /proc/meminfo"))
    total = figures["MemTotal"]
    # Kernels before 3.14 have no MemAvailable; what they can give back is the cache.
    fallback = sum(figures.get(name, 0) for name in ("MemFree", "Cached", "Buffers"))
    available = figures.get("MemAvailable", fallback)
    levels = tuple(_limits(host))
    limit = min((level.limit for level in levels if level.limit < total), default=None)
    if limit is None:
        return Memory(total, available, installed=installed_memory(host.text("/run/udev/data/+dmi:id") or ""))
    left = min(max(0, level.limit - level.used) for level in levels if level.limit < total)
    # What was bought says nothing about what a container may use, so it is not reported here.
    return Memory(limit, min(available, left), limit=limit)


def parse_meminfo(text: str) -> dict[str, int]:
    """The figures of /proc/meminfo in bytes."""
    rows = re.findall(r"^(\w+):\s+(\d+) kB\s*$", text, re.MULTILINE)
    return {name: int(kilobytes) * 1024 for name, kilobytes in rows}


def installed_memory(text: str) -> int | None:
    """The memory modules that udev found in the firmware's table, in bytes together; None where it has
    none.
    """
    sizes = re.findall(r"^E:\s?MEMORY_DEVICE_\d+_SIZE=(\d+)\s*$", text, re.MULTILINE)
    return sum(map(int, sizes)) or None


@dataclass(frozen=True, slots=True)
class _Level:
    """One control group with a memory limit. `used` leaves out what the kernel gives back on demand."""

    limit: int
    used: int


def _limits(host: Host) -> Iterable[_Level]:
    groups = parse_cgroups(host.text("/proc/self/cgroup") or "")
    # A hybrid system has both versions; a limit in either one holds.
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for folder in ancestors(mount, groups.get("", "/")):
            limit = host.number(f"{folder}/memory.max")
            if limit is not None:
                yield _Level(limit, _used(host, folder, "memory.current", "inactive_file"))
    for folder in ancestors("/sys/fs/cgroup/memory", groups.get("memory", "/")):
        limit = host.number(f"{folder}/memory.limit_in_bytes")
        if limit is not None:
            yield _Level(limit, _used(host, folder, "memory.usage_in_bytes", "total_inactive_file"))


def _used(host: Host, folder: str, counter: str, cache: str) -> int:
    used = host.number(f"{folder}/{counter}") or 0
    match = re.search(rf"^{cache} (\d+)$", host.text(f"{folder}/memory.stat") or "", re.MULTILINE)
    return max(0, used - int(match[1])) if match else used


def parse_cgroups(text: str) -> dict[str, str]:
    """/proc/self/cgroup as controller -> path; the unified hierarchy (version 2) has the name ""."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups |= dict.fromkeys(fields[1].split(","), fields[2])
    return groups


def ancestors(mount: str, path: str) -> tuple[str, ...]:
    """The folder of a control group and all above it, up to the mount.

    The path may not exist below the mount (a container without its own cgroup namespace sees the host's
    path but its own files at the mount), and it may climb with "..": only names count, and the mount is
    always there.
    """
    names = tuple(part for part in PurePosixPath(path).parts if part not in ("/", ".."))
    return tuple("/".join((mount, *names[:count])) for count in range(len(names), -1, -1))


# --- Processor --------------------------------------------------------------------------------------------


def read_cpu(host: Host) -> Cpu:
    """The processor, counted as this process may use it (affinity, cpuset, and a container's CPU quota)."""
    blocks = parse_cpuinfo(host.text("/proc/cpuinfo") or "")
    status = re.search(r"^Cpus_allowed_list:\s*(\S+)", host.text("/proc/self/status") or "", re.MULTILINE)
    present = parse_cpu_list(host.text("/sys/devices/system/cpu/present") or "") or set(range(len(blocks)))
    usable = (parse_cpu_list(status[1]) if status else present) & present or present or {0}
    cores = {
        host.text(f"/sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list")
        or host.text(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        or _core_in(blocks, cpu)
        for cpu in usable
    }
    quota = _cpu_quota(host)
    logical = len(usable) if quota is None else min(len(usable), quota)
    first = blocks[0] if blocks else {}
    board = (host.text("/proc/device-tree/model") or "").rstrip("\0")
    name = first.get("model name") or first.get("Model") or board
    return Cpu(
        name=re.sub(r"\s+", " ", name).strip() or platform.machine(),
        physical=min(len(cores), logical),
        logical=logical,
        features=known_features((first.get("flags") or first.get("Features") or "").split()),
    )


def _core_in(blocks: list[dict[str, str]], cpu: int) -> str:
    """What names the core of a CPU where /sys has no topology; the CPU itself where nothing does."""
    block = next((block for block in blocks if block.get("processor") == str(cpu)), {})
    if "core id" not in block:
        return f"cpu {cpu}"
    return f"{block.get('physical id', '0')}/{block['core id']}"


def parse_cpuinfo(text: str) -> list[dict[str, str]]:
    """/proc/cpuinfo as one mapping for each block; ARM boards end with a block about the board."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        rows = (line.split(":", 1) for line in block.splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in rows}
        if "processor" in fields:
            blocks.append(fields)
        elif blocks:
            blocks[0] |= {name: value for name, value in fields.items() if name not in blocks[0]}
    return blocks


def parse_cpu_list(text: str) -> set[int]:
    """ "0-3,8" as a set of CPU numbers; empty for anything else."""
    if not re.fullmatch(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", text):
        return set()
    cpus: set[int] = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus


def known_features(words: Iterable[str]) -> tuple[str, ...]:
    """The instruction sets that decide how fast a model runs, by their usual names."""
    present = set(words)
    return tuple(name for name, spellings in _FEATURES.items() if present.intersection(spellings))


def _cpu_quota(host: Host) -> int | None:
    """How many CPUs' worth of time a container may use, rounded up; None without a quota."""
    groups = parse_cgroups(host.text("/proc/self/cgroup") or "")
    shares = []
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for folder in ancestors(mount, groups.get("", "/")):
            quota, _, period = (host.text(f"{folder}/cpu.max") or "").partition(" ")
            shares.append((quota, period))
    for folder in ancestors("/sys/fs/cgroup/cpu", groups.get("cpu", "/")):
        quota = host.text(f"{folder}/cpu.cfs_quota_us") or ""
        shares.append((quota, host.text(f"{folder}/cpu.cfs_period_us") or ""))
    limits = [
        math.ceil(int(quota) / int(period))
        for quota, period in shares
        if quota.isdecimal() and period.isdecimal() and int(period) and int(quota)
    ]
    return min(limits, default=None)
