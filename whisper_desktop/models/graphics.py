"""Which graphics processors help with a language model, and the sentence that says why one does not."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from whisper_desktop.language import gigabytes, tr
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

_LEAST_DISCRETE = 3.8 * GIB  # a "4 GB" card reports a little less
_LEAST_RAM_FOR_SHARED = 13.5 * GIB  # a "16 GB" computer, less what its graphics part has set aside
_GOOD_SHARED = re.compile(
    r"\b(680M|760M|780M|880M|890M|8040S|8050S|8060S)\b|\barc\b.*\b1[34]0[VT]\b|strix halo", re.IGNORECASE
)
_TOO_OLD = re.compile(r"\bGTS?\s?\d{3,4}M?\b|\bHD\s?\d{4}\b|\bQuadro (K|NVS|FX)|\bNVS\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GraphicsVerdict:
    """The GPUs that count, in the order in which they were found, and a sentence for each that does not.

    More than one are cards of one maker, which one engine uses together.
    """

    gpus: tuple[GpuInfo, ...]
    remarks: tuple[str, ...]

    @property
    def usable(self) -> GpuInfo | None:
        """The one with the most memory; None where none counts."""
        return max(self.gpus, key=lambda gpu: gpu.total_bytes or 0, default=None)


def judge_graphics(resources: ResourceInfo) -> GraphicsVerdict:
    """The usable GPUs: cards of their own, else the best one that shares the computer's memory."""
    usable: list[GpuInfo] = []
    remarks: list[str] = []
    for gpu in resources.gpus:
        objection = _objection(gpu, resources)
        if objection is None:
            usable.append(gpu)
        else:
            remarks.append(
                tr("{gpu_name} {objection}, so it is not counted.", gpu_name=gpu.name, objection=objection)
            )
    own = [gpu for gpu in usable if not gpu.unified]
    if not own:
        shared = max(usable, key=lambda gpu: gpu.total_bytes or 0, default=None)
        return GraphicsVerdict((shared,) if shared is not None else (), tuple(remarks))
    together = used_together(own)
    remarks += [
        tr(
            "{gpu_name} is of another maker than {name}, and a model uses cards of one maker, so "
            "it is not counted.",
            gpu_name=gpu.name,
            name=together[0].name,
        )
        for gpu in own
        if gpu not in together
    ]
    return GraphicsVerdict(together, tuple(remarks))


def used_together(gpus: Iterable[GpuInfo]) -> tuple[GpuInfo, ...]:
    """The cards that one engine can use together: those of the maker with the most memory."""
    memory: dict[str, int] = {}
    own = [gpu for gpu in gpus if not gpu.unified and gpu.total_bytes]
    for gpu in own:
        memory[gpu.vendor] = memory.get(gpu.vendor, 0) + (gpu.total_bytes or 0)
    best = max(memory, key=lambda vendor: memory[vendor], default=None)
    return tuple(gpu for gpu in own if gpu.vendor == best)


def _objection(gpu: GpuInfo, resources: ResourceInfo) -> str | None:
    """Why this GPU does not help, as the middle of a sentence; None when it does."""
    if gpu.total_bytes is None:
        return tr("does not say how much memory it has")
    if gpu.vendor == "Apple":
        return None if resources.arch == "arm64" else tr("is not one that models run on")
    if _TOO_OLD.search(gpu.name):
        return tr("is too old to help")
    if not gpu.unified:
        size = gigabytes(gpu.total_bytes)
        return None if gpu.total_bytes >= _LEAST_DISCRETE else tr("has only {size} of memory", size=size)
    if gpu.vendor == "NVIDIA":
        return None if gpu.total_bytes >= 2 * _LEAST_DISCRETE else tr("has too little memory")
    if not _GOOD_SHARED.search(gpu.name):
        return tr("is too small to help")
    if resources.ram_total_bytes < _LEAST_RAM_FOR_SHARED:
        return tr("shares too little memory with the processor")
    return None
