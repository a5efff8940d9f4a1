"""How long a context the engine gets where that is left to us: what the model was trained with, what fits."""

from whisper_desktop.models.fit import CONTEXTS, budget_for, kv_cache_bytes
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.values import ResourceInfo

_PROCESS = 300_000_000  # bytes that the engine's process takes beside weights and cache


def choose_context(header: GgufHeader | None, resources: ResourceInfo | None) -> int:
    """The longest of the usual contexts that the model knows and that fits; the shortest when in doubt."""
    shortest = min(CONTEXTS)
    if header is None or header.train_ctx is None or not header.kv_groups:
        return shortest
    if resources is not None:
        for context in CONTEXTS:
            if context <= header.train_ctx and needed_bytes(header, context) <= _room(resources):
                return context
    return min(shortest, header.train_ctx)


def memory_warning(header: GgufHeader, context: int, resources: ResourceInfo) -> str | None:
    """A sentence when a context that the person set will not fit; None when it will."""
    need, room = needed_bytes(header, context), _room(resources)
    if need <= room:
        return None
    return (
        f"The model needs {need / 1e9:.1f} GB at {context:,} tokens of context "
        f"and {room / 1e9:.1f} GB are free. Close something, use a shorter context, or pick a smaller model."
    )


def needed_bytes(header: GgufHeader, context: int) -> int:
    """What the model takes in memory: its file, its KV cache at 16 bits, and the process."""
    return header.file_bytes + kv_cache_bytes(header.kv_groups, context) + _PROCESS


def _room(resources: ResourceInfo) -> int:
    """What may be taken now: of the main memory no more than is free, and a graphics card of its own."""
    cards = [gpu for gpu in resources.gpus if not gpu.unified and gpu.total_bytes]
    budget = budget_for(resources, cards[0] if cards else None)
    return min(budget.host, resources.ram_available_bytes) + budget.gpu
