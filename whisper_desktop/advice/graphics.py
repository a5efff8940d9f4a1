"""Which graphics processor helps with a language model, and the sentence that says why one does not."""

import re
from dataclasses import dataclass

from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

_LEAST_DISCRETE = 3.8 * GIB  # a "4 GB" card reports a little less
_LEAST_RAM_FOR_SHARED = 13.5 * GIB  # a "16 GB" computer, less what its graphics part has set aside
_GOOD_SHARED = re.compile(
    r"\b(680M|760M|780M|880M|890M|8040S|8050S|8060S)\b|\barc\b.*\b1[34]0[VT]\b|strix halo", re.IGNORECASE
)
_TOO_OLD = re.compile(r"\bGTS?\s?\d{3,4}M?\b|\bHD\s?\d{4}\b|\bQuadro (K|NVS|FX)|\bNVS\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GraphicsVerdict:
    """The GPU that counts (None: none does), and a sentence for each one that does not."""

    usable: GpuInfo | None
    remarks: tuple[str, ...]


def judge_graphics(resources: ResourceInfo) -> GraphicsVerdict:
    """The best usable GPU: cards of their own before shared ones, then by memory."""
    usable: list[GpuInfo] = []
    remarks: list[str] = []
    for gpu in resources.gpus:
        objection = _objection(gpu, resources)
        if objection is None:
            usable.append(gpu)
        else:
            remarks.append(f"{gpu.name} {objection}, so it is not counted.")
    best = max(usable, key=lambda gpu: (not gpu.unified, gpu.total_bytes or 0), default=None)
    return GraphicsVerdict(best, tuple(remarks))


def _objection(gpu: GpuInfo, resources: ResourceInfo) -> str | None:
    """Why this GPU does not help, as the middle of a sentence; None when it does."""
    if gpu.total_bytes is None:
        return "does not say how much memory it has"
    if gpu.vendor == "Apple":
        return None if resources.arch == "arm64" else "is not one that models run on"
    if _TOO_OLD.search(gpu.name):
        return "is too old to help"
    if not gpu.unified:
        size = f"{gpu.total_bytes / 1e9:.1f} GB"
        return None if gpu.total_bytes >= _LEAST_DISCRETE else f"has only {size} of memory"
    if gpu.vendor == "NVIDIA":
        return None if gpu.total_bytes >= 2 * _LEAST_DISCRETE else "has too little memory"
    if not _GOOD_SHARED.search(gpu.name):
        return "is too small to help"
    if resources.ram_total_bytes < _LEAST_RAM_FOR_SHARED:
        return "shares too little memory with the processor"
    return None
