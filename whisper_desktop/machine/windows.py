r"""Windows: the registry for graphics and processor, psutil and kernel32 for memory.

Graphics are listed from HKLM\HARDWARE\DEVICEMAP\VIDEO, which Windows writes anew at each start: the class
key alone also holds cards that were taken out long ago. Each value there leads to the adapter's own key,
where the driver wrote its memory as a 64-bit number. The 32-bit numbers (WMI's AdapterRAM,
HardwareInformation.MemorySize) are never used: they say 4 GB for a 24 GB card
(https://github.com/oshi/oshi/issues/2521) and 2 GB for a 16 GB one (.../2907). Written from documentation
and recorded values; never run on Windows so far.
"""

import os
import platform
import re
import sys
from collections.abc import Mapping

from whisper_desktop.machine.findings import Cpu, Gpus, Memory, System
from whisper_desktop.values import GpuInfo

Registry = Mapping[str, Mapping[str, object]]
"""Keys below HKEY_LOCAL_MACHINE with their values. Key names are compared as Windows does: in lower case."""

_DEVICES = r"hardware\devicemap\video"
_PROCESSOR = r"hardware\description\system\centralprocessor\0"
_MACHINE = "\\registry\\machine\\"
_VENDORS: Mapping[str, str] = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_DISCRETE_ARC = re.compile(r"\barc(?:\(tm\))?\s+(?:pro\s+)?[ab]\d{2,3}", re.IGNORECASE)
# Graphics inside AMD processors: "AMD Radeon(TM) Graphics", "Radeon Vega 8 Graphics", "Radeon 780M", "8060S".
_AMD_INTEGRATED = re.compile(
    r"radeon(?:\(tm\))?\s+(?:(?:rx\s+)?vega\s+\d+\s+)?(?:graphics|\d{3}m\b|\d{4}s\b)", re.IGNORECASE
)
# winnt.h: PF_AVX_..., PF_ARM_...
_FEATURES: Mapping[str, int] = {"avx": 39, "avx2": 40, "avx512f": 41, "neon": 19, "dotprod": 43}


def gpus_from(registry: Registry) -> Gpus:
    """The graphics adapters that are present. Memory is None where the driver wrote none."""
    cards = []
    for values in _present(registry):
        name = _string(values.get("DriverDesc")) or _string(values.get("HardwareInformation.AdapterString"))
        vendor = _vendor(values)
        if not name or vendor is None:
            continue  # Microsoft's basic and remote display adapters run no model.
        unified = is_integrated(vendor, name)
        # The memory of integrated graphics is a carve-out; what they may take of the RAM is not written here.
        total = None if unified else memory_size(values.get("HardwareInformation.qwMemorySize"))
        driver = _string(values.get("DriverVersion"))
        cards.append(GpuInfo(vendor, name, total, unified=unified, driver=driver, source="registry"))
    return Gpus(tuple(cards))


def _present(registry: Registry) -> list[Mapping[str, object]]:
    """The keys of the adapters in use, one for each; each adapter has a value for every one of its
    outputs.
    """
    targets = [value.lower() for value in registry.get(_DEVICES, {}).values() if isinstance(value, str)]
    adapters: dict[str, str] = {}
    for target in targets:
        path = target.removeprefix(_MACHINE)
        match = re.fullmatch(r"(system\\[^\\]+\\control\\video\\\{[^}]+\})\\\d{4}", path)
        if match:
            adapters.setdefault(match[1], path)
    return [registry[key] for key in adapters.values() if key in registry]


def _vendor(values: Mapping[str, object]) -> str | None:
    match = re.search(r"ven_([0-9a-f]{4})", (_string(values.get("MatchingDeviceId")) or "").lower())
    return _VENDORS.get(match[1]) if match else None


def is_integrated(vendor: str, name: str) -> bool:
    """Whether graphics share the computer's RAM, judged by name: the registry does not say."""
    if vendor == "Intel":
        return _DISCRETE_ARC.search(name) is None
    return vendor == "AMD" and _AMD_INTEGRATED.search(name) is not None


def memory_size(value: object) -> int | None:
    """A memory size from the registry: a number (REG_QWORD) or eight bytes, lowest first (REG_BINARY)."""
    if isinstance(value, bytes) and len(value) == 8:
        value = int.from_bytes(value, "little")
    return value if isinstance(value, int) and value > 0 else None


def _string(value: object) -> str | None:
    """A text from the registry; drivers write some as REG_BINARY in UTF-16."""
    if isinstance(value, bytes):
        value = value.decode("utf-16-le", "replace")
    return value.strip("\0 ") or None if isinstance(value, str) else None


def cpu_from(registry: Registry, physical: int | None, logical: int, features: tuple[str, ...]) -> Cpu:
    """The processor: its name from the registry, its cores as they were counted."""
    name = _string(registry.get(_PROCESSOR, {}).get("ProcessorNameString")) or platform.machine()
    return Cpu(re.sub(r"\s+", " ", name), min(physical or logical, logical), logical, features)


# --- Effects: only on Windows -----------------------------------------------------------------------------


def read_registry() -> Registry:
    """The keys that the functions above look at."""
    registry = {path: _read_values(path) for path in (_DEVICES, _PROCESSOR)}
    for target in registry[_DEVICES].values():
        if isinstance(target, str) and target.lower().startswith(_MACHINE):
            path = target.lower().removeprefix(_MACHINE)
            registry[path] = _read_values(path)
    return registry


def _read_values(path: str) -> dict[str, object]:
    """The values of a key below HKEY_LOCAL_MACHINE; none where it is missing or may not be read."""
    values: dict[str, object] = {}
    if sys.platform == "win32":
        import contextlib
        import winreg

        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            for index in range(winreg.QueryInfoKey(key)[1]):
                name, value, _ = winreg.EnumValue(key, index)
                values[name] = value
    return values


def read_system() -> System:
    return System("Windows", platform.version(), platform.machine(), has_display=True)


def read_memory() -> Memory:
    """RAM, and what is installed: graphics in the processor take their part before Windows counts."""
    import psutil

    memory = psutil.virtual_memory()
    installed = None
    if sys.platform == "win32":
        import ctypes

        kibibytes = ctypes.c_ulonglong()
        if ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kibibytes)):
            installed = kibibytes.value * 1024
    return Memory(int(memory.total), int(memory.available), installed=installed)


def read_cpu(registry: Registry) -> Cpu:
    import psutil

    features: tuple[str, ...] = ()
    if sys.platform == "win32":
        import ctypes

        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        features = tuple(name for name, number in _FEATURES.items() if has(number))
    process = psutil.Process()
    logical = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count() or 1
    return cpu_from(registry, psutil.cpu_count(logical=False), logical, features)
