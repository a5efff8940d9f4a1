"""How much of this computer's free memory a model may take, on graphics cards and beside them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from whisper_desktop.language import tr
from whisper_desktop.models.fit import GPU_MARGIN, Budget, Reserve, budget_for, display_bytes, drivers
from whisper_desktop.models.graphics import judge_graphics, used_together
from whisper_desktop.values import GpuInfo, ResourceInfo

_HOST_MARGIN = 550_000_000  # bytes: the engine's cache of earlier prompts, which grows as it is used


@dataclass(frozen=True, slots=True)
class Room:
    """What a model may take of what is free now.

    `free` is all RAM that is free, in bytes, and `free_on_gpus` all memory of the graphics cards; `budget` is
    what is taken of both without being asked for. It has no cards where there is none that we can plan for,
    and `note` then says why.
    """

    free: int
    budget: Budget
    free_on_gpus: int = 0
    note: str = ""


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
    host = _now(budget_for(replace(resources, gpus=())), free)
    if remote:
        return Room(
            free, host, note=tr("Further computers: the engine divides the layers among all by itself.")
        )
    usable = judge_graphics(resources).usable
    if usable is not None and usable.unified and (usable.vendor == "Apple" or not builtin):
        return Room(free, _now(budget_for(resources), free), usable.total_bytes or 0)
    cards = used_together(resources.gpus)
    unused = cards[0] if cards else usable
    if unused is None:
        return Room(free, host, note=tr("Graphics card: none was found that layers could be planned for."))
    if builtin:
        note = tr(
            "Graphics card: the built-in engine does not use the {unused_name}; a llama.cpp build would.",
            unused_name=unused.name,
        )
        return Room(free, host, note=note)
    free_on = _free_on(cards, resources, freed_gpu_bytes)
    gpus = tuple(max(0, size - GPU_MARGIN) for size in free_on)
    reserve = Reserve(sum(free_on), drivers(cards), free_now=True)
    return Room(free, replace(host, gpus=gpus, of_gpus=reserve), sum(free_on))


def _now(budget: Budget, free: int) -> Budget:
    """Not more than one program should take by itself here, and of what is free, not the last."""
    host = max(0, free - _HOST_MARGIN)
    if budget.host <= host:
        return budget
    reserve = Reserve(free, tr("earlier prompts"), free_now=True)
    gpus = tuple(min(size, host) for size in budget.gpus)
    return replace(budget, gpus=gpus, host=host, of_host=reserve)


def _free_on(cards: Sequence[GpuInfo], resources: ResourceInfo, freed: int) -> list[int]:
    """What will be free on each card. What is freed lies on each as much as each is used."""
    totals = [card.total_bytes or 0 for card in cards]
    free = [
        total - display_bytes(resources) if card.free_bytes is None else card.free_bytes
        for card, total in zip(cards, totals, strict=True)
    ]
    used = [max(0, total - size) for total, size in zip(totals, free, strict=True)]
    most = min(freed, sum(used))
    return [size + most * part // max(1, sum(used)) for size, part in zip(free, used, strict=True)]
