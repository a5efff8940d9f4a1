"""`detect_resources()`: all probes side by side, within one time limit, put together into a
`ResourceInfo`.
"""

import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from whisper_desktop.language import mark, tr
from whisper_desktop.machine import linux, linux_gpus, macos, nvidia, windows
from whisper_desktop.machine.display import has_display
from whisper_desktop.machine.findings import Cpu, Gpus, Memory, ProbeFailed, System
from whisper_desktop.machine.host import Host
from whisper_desktop.values import Deadlines, GpuInfo, ResourceInfo

log = logging.getLogger(__name__)
T = TypeVar("T")

_DEADLINES = Deadlines()

# Programs get a little less than the whole time, so that they can be told apart from a probe that never
# came back.
_FOR_PROGRAMS = 0.85


def detect_resources(
    *, deadlines: Deadlines = _DEADLINES, env: Mapping[str, str] | None = None, root: Path = Path("/")
) -> ResourceInfo:
    """What this computer has. Blocks for at most `deadlines.machine_probe` seconds: call it in a thread.

    Never raises for what the machine or its tools do. What could not be read is 0 (memory), 1 (cores) or
    None, and `warnings` has a sentence about it. `env` and `root` stand in for the environment and the file
    system.
    """
    host = Host(root, dict(os.environ if env is None else env))
    limit = deadlines.machine_probe
    until = time.monotonic() + limit
    system, memory, cpu, *gpus = _start(host, limit * _FOR_PROGRAMS)
    return assemble(
        system.result(until, limit),
        memory.result(until, limit),
        cpu.result(until, limit),
        [probe.result(until, limit) for probe in gpus],
    )


class Probe(Generic[T]):
    """One source being read in a thread of its own.

    A daemon thread, not a pool: one that hangs in a driver is left behind, and must not keep the app from
    ending.
    """

    def __init__(self, subject: str, read: Callable[[], T]) -> None:
        self._subject = tr(subject)
        self._value: T | None = None
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True, name="machine-probe")
        self._thread.start()

    def _run(self, read: Callable[[], T]) -> None:
        try:
            self._value = read()
        except ProbeFailed as failure:
            self._failure = f"{self._subject} {failure}."
        except Exception as error:  # A machine can always be stranger than its documentation.
            log.debug("%s could not be read", self._subject, exc_info=True)
            self._failure = tr("{subject} could not be read: {error}.", subject=self._subject, error=error)

    def result(self, until: float, limit: float) -> tuple[T | None, tuple[str, ...]]:
        """What was read by `until`, and a sentence when that is nothing."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            return None, (
                tr("{subject} could not be read within {limit:g} s.", subject=self._subject, limit=limit),
            )
        return self._value, (self._failure,) if self._failure else ()


_SYSTEM, _MEMORY, _CPU, _GRAPHICS = (
    mark("The operating system"),
    mark("The memory"),
    mark("The processor"),
    mark("The graphics"),
)

Started = tuple[Probe[System], Probe[Memory], Probe[Cpu], Probe[Gpus], *tuple[Probe[Gpus], ...]]


def _start(host: Host, timeout: float) -> Started:
    """The probes of this operating system, all running."""
    if sys.platform == "darwin":
        # One call of sysctl serves all four; the first probe to need it makes it.
        values = _once(lambda: macos.read_sysctl(host, timeout / 2))
        return (
            Probe(_SYSTEM, lambda: macos.read_system(values())),
            Probe(_MEMORY, lambda: macos.memory_from(values(), macos.available_memory())),
            Probe(_CPU, lambda: macos.cpu_from(values())),
            Probe(_GRAPHICS, lambda: macos.read_gpus(host, values(), timeout / 2)),
        )
    if sys.platform == "win32":
        registry = _once(windows.read_registry)
        return (
            Probe(_SYSTEM, windows.read_system),
            Probe(_MEMORY, windows.read_memory),
            Probe(_CPU, lambda: windows.read_cpu(registry())),
            Probe(_GRAPHICS, lambda: windows.gpus_from(registry())),
            Probe(_GRAPHICS, lambda: nvidia.read_gpus(host, timeout)),
        )
    return (
        Probe(_SYSTEM, lambda: linux.read_system(host)),
        Probe(_MEMORY, lambda: linux.read_memory(host)),
        Probe(_CPU, lambda: linux.read_cpu(host)),
        Probe(_GRAPHICS, lambda: linux_gpus.read_gpus(host)),
        Probe(_GRAPHICS, lambda: nvidia.read_gpus(host, timeout)),
    )


def _once(read: Callable[[], T]) -> Callable[[], T]:
    """`read`, called at most once and shared between threads."""
    lock = threading.Lock()
    cached = cache(read)

    def call() -> T:
        with lock:
            return cached()

    return call


# --- Putting it together ----------------------------------------------------------------------------------

Result = tuple[T | None, tuple[str, ...]]


def assemble(
    system: Result[System], memory: Result[Memory], cpu: Result[Cpu], gpus: Iterable[Result[Gpus]]
) -> ResourceInfo:
    """The parts as one value; for a part that is missing, what is certain without it."""
    found_system = system[0] or System(platform.system(), "", platform.machine(), has_display())
    found_memory = memory[0] or Memory(0, 0)
    found_cpu = cpu[0] or Cpu(tr("unknown processor"), 1, os.cpu_count() or 1)
    sources = [(found or Gpus(), warnings) for found, warnings in gpus]
    cards = one_source_for_each_vendor(found.cards for found, _ in sources)
    warnings = [*system[1], *memory[1], *cpu[1]]
    for found, failures in sources:
        warnings += [*found.warnings, *failures]
    return ResourceInfo(
        os_name=found_system.name,
        os_version=found_system.version,
        arch=found_system.arch,
        cpu_name=found_cpu.name,
        cores_physical=found_cpu.physical,
        cores_logical=found_cpu.logical,
        ram_total_bytes=found_memory.total,
        ram_available_bytes=found_memory.available,
        ram_installed_bytes=found_memory.installed,
        container_limit_bytes=found_memory.limit,
        cpu_features=found_cpu.features,
        gpus=tuple(within_ram(card, found_memory) for card in cards),
        has_display=found_system.has_display,
        warnings=tuple(dict.fromkeys(warnings)),
    )


# Who is believed about a vendor's cards, best first: the vendor's own driver knows which of them can be used.
_TRUST = ("nvml", "nvidia-smi", "metal", "sysctl", "device-tree", "registry", "sysfs")


def one_source_for_each_vendor(sources: Iterable[tuple[GpuInfo, ...]]) -> tuple[GpuInfo, ...]:
    """All cards, each once, although two sources may list the same one.

    Two equal cards cannot be told apart by name, so cards are not matched one by one: for each vendor the
    most trusted source that lists any of its cards is taken whole.
    """
    cards = [card for source in sources for card in source]
    best: dict[str, str] = {}
    for card in sorted(cards, key=lambda card: _TRUST.index(card.source)):
        best.setdefault(card.vendor, card.source)
    return tuple(card for card in cards if card.source == best[card.vendor])


def within_ram(card: GpuInfo, memory: Memory) -> GpuInfo:
    """Unified graphics with figures that the RAM allows.

    NVIDIA's unified chips (GB10, Jetson) have no figure of their own and may use all of the RAM. An AMD
    processor's graphics have a carve-out and a share; that share can be set above the RAM, and a
    container's limit holds for it.
    """
    if not card.unified or not memory.total:
        return card
    if card.total_bytes is None:
        if card.vendor != "NVIDIA":
            return card
        return replace(card, total_bytes=memory.total, free_bytes=memory.available)
    carve_out = max(0, (memory.installed or memory.total) - memory.total)
    total = min(card.total_bytes, memory.total + carve_out)
    free = None if card.free_bytes is None else min(card.free_bytes, memory.available + carve_out, total)
    return replace(card, total_bytes=total, free_bytes=free)
