"""How much of this computer's free memory a model may take, on graphics cards and beside them. Pure."""

from dataclasses import dataclass

from whisper_desktop.models.fit import budget_for
from whisper_desktop.models.memory import Need
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

GPU_MARGIN = GIB
"""What stays free on each graphics card: for its driver's own context, and what other programs take later."""

_HOST_MARGIN = 550_000_000  # bytes: the engine's cache of earlier prompts, which grows as it is used
_DISPLAY = {"Windows": 0.8, "Linux": 0.5}
"""GiB that the desktop uses of a card that does not tell what is free on it."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a model may take, in bytes.

    `free` is all RAM that is free, `host` what is taken of it without being asked for. `gpu` is for all
    `cards` together, 0 without one that we can plan for, and `note` then says why; `shared` says that it is a
    part of `host`.
    """

    free: int
    host: int
    gpu: int = 0
    cards: int = 0
    shared: bool = False
    note: str = ""

    def holds(self, need: Need) -> bool:
        """Whether that fits."""
        return need.gpu_bytes <= self.gpu and self.of_host(need) <= self.host

    def of_host(self, need: Need) -> int:
        """What that takes of the computer's own memory."""
        return need.total if self.shared else need.host.total


def room_of(
    resources: ResourceInfo,
    *,
    freed_bytes: int = 0,
    freed_gpu_bytes: int = 0,
    builtin: bool = False,
    remote: bool = False,
) -> Room:
    """What a model may take on this computer as it is now; the arguments are those of `plan.plan`."""
    free = min(resources.ram_available_bytes + freed_bytes, resources.ram_total_bytes)
    # Not more than one program should take by itself here, and of what is free, not the last.
    host = max(0, min(budget_for(resources, None).host, free - _HOST_MARGIN))
    if remote:
        return Room(free, host, note="Further computers: the engine divides the layers among all by itself.")
    for gpu in resources.gpus:
        if gpu.vendor == "Apple" and gpu.unified and gpu.total_bytes:
            limit = budget_for(resources, gpu).gpu
            both = max(0, min(max(host, limit), free - _HOST_MARGIN))
            return Room(free, both, min(limit, both), cards=1, shared=True)
    cards = _cards(resources)
    if not cards:
        return Room(free, host, note="Graphics card: none with memory of its own was found.")
    if builtin:
        note = (
            f"Graphics card: the built-in engine does not use the {cards[0].name}; a llama.cpp build would."
        )
        return Room(free, host, note=note)
    free_on = [_free_on(card, resources) for card in cards]
    together = min(sum(free_on) + freed_gpu_bytes, sum(card.total_bytes or 0 for card in cards))
    each = sum(max(0, size - GPU_MARGIN) for size in free_on)
    return Room(free, host, max(each, together - GPU_MARGIN * len(cards)), len(cards))


def _cards(resources: ResourceInfo) -> list[GpuInfo]:
    """The graphics cards that one engine can use together: those of the maker with the most memory."""
    memory: dict[str, int] = {}
    own = [gpu for gpu in resources.gpus if not gpu.unified and gpu.total_bytes]
    for gpu in own:
        memory[gpu.vendor] = memory.get(gpu.vendor, 0) + (gpu.total_bytes or 0)
    best = max(memory, key=lambda vendor: memory[vendor], default=None)
    return [gpu for gpu in own if gpu.vendor == best]


def _free_on(card: GpuInfo, resources: ResourceInfo) -> int:
    if card.free_bytes is not None:
        return card.free_bytes
    display = _DISPLAY.get(resources.os_name, 0.0) if resources.has_display else 0.0
    return (card.total_bytes or 0) - int(display * GIB)
