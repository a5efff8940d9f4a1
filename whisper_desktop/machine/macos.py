"""macOS: `sysctl` for memory, processor and limits, Metal for what the graphics may use.

Written from documentation and recorded output; never run on a Mac so far.
"""

import json
import platform
import re
from collections.abc import Mapping

from whisper_desktop.language import tr
from whisper_desktop.machine.child import own_child
from whisper_desktop.machine.findings import Cpu, Gpus, Memory, ProbeFailed, System
from whisper_desktop.machine.host import Host
from whisper_desktop.values import GpuInfo

MIB = 2**20
# Canonical name -> the sysctl that is 1 where the processor has it.
_FEATURES: Mapping[str, str] = {
    "avx": "hw.optional.avx1_0",
    "avx2": "hw.optional.avx2_0",
    "avx512f": "hw.optional.avx512f",
    "fma": "hw.optional.fma",
    "f16c": "hw.optional.f16c",
    "neon": "hw.optional.neon",
    "dotprod": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
}
_KEYS = (
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "machdep.cpu.brand_string",
    "hw.optional.arm64",
    "iogpu.wired_limit_mb",
    *_FEATURES.values(),
)


def read_sysctl(host: Host, timeout: float) -> dict[str, str]:
    """The values above. Keys that this Mac does not know are left out (`sysctl` then ends with 1)."""
    program = host.program("sysctl", "/usr/sbin/sysctl")
    if program is None:
        raise ProbeFailed(tr("needs the sysctl program, which is missing"))
    return parse_sysctl(host.run((program, *_KEYS), timeout=timeout).text)


def parse_sysctl(text: str) -> dict[str, str]:
    """Lines of "key: value"."""
    rows = re.findall(r"^([\w.]+): (.*)$", text, re.MULTILINE)
    return {key: value.strip() for key, value in rows}


def number(values: Mapping[str, str], key: str) -> int | None:
    value = values.get(key, "")
    return int(value) if value.isdecimal() else None


def read_system(values: Mapping[str, str]) -> System:
    """Rosetta says "x86_64" to a translated program; `hw.optional.arm64` says what the Mac is."""
    is_arm = number(values, "hw.optional.arm64") == 1
    return System("macOS", platform.mac_ver()[0], "arm64" if is_arm else platform.machine(), has_display=True)


def memory_from(values: Mapping[str, str], available: int) -> Memory:
    """RAM. On a Mac what is installed is what programs see."""
    total = number(values, "hw.memsize")
    if not total:
        raise ProbeFailed(tr("is not told by sysctl"))
    return Memory(total, min(available, total), installed=total)


def cpu_from(values: Mapping[str, str]) -> Cpu:
    """The processor; raises `ProbeFailed` where sysctl told neither cores nor name."""
    logical = number(values, "hw.logicalcpu")
    if not logical:
        raise ProbeFailed(tr("is not told by sysctl"))
    return Cpu(
        name=values.get("machdep.cpu.brand_string", tr("unknown processor")),
        physical=number(values, "hw.physicalcpu") or logical,
        logical=logical,
        features=tuple(name for name, key in _FEATURES.items() if number(values, key) == 1),
    )


def read_gpus(host: Host, values: Mapping[str, str], timeout: float) -> Gpus:
    """What Metal lists; where it cannot be asked, what sysctl alone allows to say, with a warning."""
    try:
        return Gpus(parse_metal(host.run(own_child("metal"), timeout=timeout).text, values))
    except ProbeFailed as failure:
        return gpus_without_metal(values, str(failure))


def parse_metal(text: str, values: Mapping[str, str]) -> tuple[GpuInfo, ...]:
    """The JSON that `metal` prints. A limit above the RAM (a person may set one) is cut to the RAM."""
    try:
        answer = json.loads(text)
        if "error" in answer:
            raise ProbeFailed(tr("says: {answer}", answer=answer["error"]))
        ram = number(values, "hw.memsize")
        return tuple(
            GpuInfo(
                vendor=_vendor(str(gpu["name"])),
                name=str(gpu["name"]),
                total_bytes=_working_set(int(gpu["total"]), ram if gpu["unified"] else None),
                unified=gpu["unified"] is True,
                source="metal",
            )
            for gpu in answer["gpus"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProbeFailed(tr("ended without an answer")) from None


def _working_set(told: int, ram: int | None) -> int | None:
    return (min(told, ram) if ram else told) or None


def gpus_without_metal(values: Mapping[str, str], reason: str) -> Gpus:
    """Apple Silicon without Metal's own word: the limit the person set, else the least that macOS gives.

    The least seen on any release is two thirds of the RAM (8 GB -> 5461 MiB, 32 GB -> 21845 MiB,
    https://github.com/ggml-org/Llama-macOS and llmfit's table); newer releases give more.
    """
    warning = tr("Metal {reason}, so what the graphics may use of the memory", reason=reason)
    if number(values, "hw.optional.arm64") != 1:
        return Gpus(warnings=(tr("Metal {reason}, so graphics are not counted.", reason=reason),))
    ram, wired = number(values, "hw.memsize"), number(values, "iogpu.wired_limit_mb")
    total: int | None
    if wired:
        total = min(wired * MIB, ram or wired * MIB)
        warning += tr(" is taken from the limit that is set on this Mac (iogpu.wired_limit_mb).")
    else:
        total = ram * 2 // 3 if ram else None
        warning += tr(" is assumed to be two thirds, the least that macOS gives.")
    name = values.get("machdep.cpu.brand_string", "Apple graphics")
    return Gpus((GpuInfo("Apple", name, total, unified=True, source="sysctl"),), (warning,))


def _vendor(name: str) -> str:
    return next((vendor for vendor in ("Apple", "AMD", "Intel", "NVIDIA") if vendor in name), "unknown")


def available_memory() -> int:
    """What programs can still get, in bytes; psutil reads it from the kernel's page counts."""
    import psutil

    return int(psutil.virtual_memory().available)
