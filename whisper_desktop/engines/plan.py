"""From a model's header and the memory that is free to the numbers it is started with, and why. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from whisper_desktop.engines.room import GPU_MARGIN, Room, room_of
from whisper_desktop.engines.spec import Expected, default_threads
from whisper_desktop.models.fit import CONTEXTS
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.models.memory import CacheType, LoadMode, ModelMemory, Need, Part, Placement
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.values import GB, ResourceInfo

_LONGEST_SHARED = 8192  # tokens: with layers on both sides, memory goes to layers before a longer context


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person, or the pool, wants; "auto" and None leave it to the plan.

    `n_ctx` is in tokens, for each of the `parallel` slots; 0 is the context that the model was trained with.
    `load_mode` "mmap" lets several processes share the weights, so it leaves them as they are in the file,
    unless `repack` asks for otherwise.
    """

    n_ctx: int | Literal["auto"] = "auto"
    n_gpu_layers: int | Literal["auto"] = "auto"
    cache_type: CacheType | Literal["auto"] = "auto"
    parallel: int = 1
    load_mode: LoadMode | None = None
    repack: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a model. `reasons` are short sentences, one a choice; `warning` says what is missing.

    `n_gpu_layers` "auto" leaves the layers to the engine, where we do not know the graphics memory that it
    will find.
    """

    n_ctx: int
    n_gpu_layers: int | Literal["auto"]
    cache_type: CacheType
    threads: int
    load_mode: LoadMode
    repack: bool
    parallel: int
    expected: Expected
    reasons: tuple[str, ...] = ()
    warning: str = ""


def plan(
    header: GgufHeader | None,
    resources: ResourceInfo,
    wishes: Wishes | None = None,
    *,
    freed_bytes: int = 0,
    freed_gpu_bytes: int = 0,
    builtin: bool = False,
    remote: bool = False,
) -> Plan:
    """How to start the model of `header` on this computer as it is now.

    `freed_bytes` of RAM and `freed_gpu_bytes` of graphics memory will be free as well by then: what is about
    to be unloaded. `builtin` says that the built-in engine serves, `remote` that further computers lend their
    memory, which only the engine can see. Wishes are obeyed even where they will not fit; `warning` then
    says so.
    """
    wishes = wishes or Wishes()
    room = room_of(
        resources,
        freed_bytes=freed_bytes,
        freed_gpu_bytes=freed_gpu_bytes,
        builtin=builtin,
        remote=remote,
    )
    shape = shape_of(header) if header is not None else None
    if shape is None:
        return _without_knowledge(header, resources, wishes)
    sizes = ModelMemory(shape, resources, builtin=builtin)
    if room.cards > 1:
        # A layer is not divided: of each card but the last, a rest remains.
        room = replace(room, gpu=max(0, room.gpu - (room.cards - 1) * sizes.largest_layer))
    start, memory_short = _choose(sizes, shape, wishes, room)
    need = _need(sizes, start, room)
    known = shape.knows_cache
    left_to_engine = not room.cards and wishes.n_gpu_layers == "auto"
    return Plan(
        n_ctx=start.n_ctx if wishes.n_ctx != 0 else 0,
        n_gpu_layers=start.layers_on_gpus
        if wishes.n_gpu_layers == "auto" and room.cards
        else wishes.n_gpu_layers,
        cache_type=start.cache_type,
        threads=default_threads(resources),
        load_mode=start.load_mode,
        repack=start.repack,
        parallel=start.parallel,
        expected=Expected(
            weights_bytes=_sum(need, lambda part: part.weights + part.copies),
            cache_bytes=_sum(need, lambda part: part.cache) if known else None,
            compute_bytes=_sum(need, lambda part: part.compute),
            total_bytes=need.total if known else None,
            host_bytes=need.host.total if known else None,
            gpu_layers=None if left_to_engine else start.layers_on_gpus,
            layers=sizes.shape.all_layers,
        ),
        reasons=tuple(_reasons(sizes, shape, wishes, room, start, need, resources, memory_short)),
        warning=_warning(start, need, room),
    )


def _choose(sizes: ModelMemory, shape: ModelShape, wishes: Wishes, room: Room) -> tuple[Placement, bool]:
    """The start, and whether it maps the file because memory is short."""
    mode = wishes.load_mode or "none"
    mapped = mode in ("mmap", "mmap+mlock")
    base = Placement(
        n_ctx=_shortest(shape.train_ctx),
        cache_type="f16" if wishes.cache_type == "auto" else wishes.cache_type,
        parallel=wishes.parallel,
        load_mode=mode,
        repack=not mapped if wishes.repack is None else wishes.repack,
    )
    for start in _candidates(sizes, shape, wishes, room, base):
        if room.holds(_need(sizes, start, room)):
            return start, False
    # Nothing fits. The smallest start is what remains of the wishes; mapped weights can at least be given up
    # and read again, where memory that was filled with them cannot.
    start = replace(base, n_ctx=_contexts(shape, wishes)[-1])
    start = replace(start, gpu_layers=_divided(_most_layers(sizes, wishes, room, start), room))
    if wishes.load_mode is None and _need(sizes, start, room).host.total > room.free:
        return replace(start, load_mode="mmap", repack=bool(wishes.repack)), True
    return start, False


def _need(sizes: ModelMemory, start: Placement, room: Room) -> Need:
    """What `start` needs; layers that were set for a card that we do not see count as the processor's."""
    return sizes.need(start if room.cards else replace(start, gpu_layers=()))


def _candidates(
    sizes: ModelMemory, shape: ModelShape, wishes: Wishes, room: Room, base: Placement
) -> Iterator[Placement]:
    """Placements in the order of preference: all on the graphics card, on both, on the processor alone."""
    contexts = _contexts(shape, wishes)
    if isinstance(wishes.n_gpu_layers, int):
        given = min(wishes.n_gpu_layers, shape.all_layers)
        yield from (replace(base, n_ctx=context, gpu_layers=_divided(given, room)) for context in contexts)
        return
    if room.cards:
        yield from (
            replace(base, n_ctx=context, gpu_layers=_divided(shape.all_layers, room)) for context in contexts
        )
        for context in contexts:
            if context <= _LONGEST_SHARED or len(contexts) == 1:
                start = replace(base, n_ctx=context)
                if layers := _most_layers(sizes, wishes, room, start):
                    yield replace(start, gpu_layers=_divided(layers, room))
    yield from (replace(base, n_ctx=context) for context in contexts)


def _contexts(shape: ModelShape, wishes: Wishes) -> list[int]:
    """The contexts that come into question, longest first."""
    if wishes.n_ctx != "auto":
        return [wishes.n_ctx or shape.train_ctx or min(CONTEXTS)]
    if not shape.knows_cache:
        return [_shortest(shape.train_ctx)]  # what the cache needs is not known
    trained = shape.train_ctx or min(CONTEXTS)
    return [context for context in CONTEXTS if context <= trained] or [trained]


def _shortest(trained: int | None) -> int:
    return min(min(CONTEXTS), trained or min(CONTEXTS))


def _most_layers(sizes: ModelMemory, wishes: Wishes, room: Room, start: Placement) -> int:
    """How many layers the graphics memory holds in this start; what the person set where they did."""
    if isinstance(wishes.n_gpu_layers, int):
        return min(wishes.n_gpu_layers, sizes.shape.all_layers)
    low, high = 0, sizes.shape.all_layers
    while low < high:
        middle = (low + high + 1) // 2
        if sizes.need(replace(start, gpu_layers=_divided(middle, room))).gpu_bytes <= room.gpu:
            low = middle
        else:
            high = middle - 1
    return low


def _divided(layers: int, room: Room) -> tuple[int, ...]:
    """So many layers on all cards, as evenly as whole layers allow."""
    cards = max(1, room.cards)
    return tuple((layers + card) // cards for card in range(cards))


def _sum(need: Need, of: Callable[[Part], int]) -> int:
    return of(need.host) + sum(of(part) for part in need.gpus)


def _without_knowledge(header: GgufHeader | None, resources: ResourceInfo, wishes: Wishes) -> Plan:
    context = (
        _shortest(header.train_ctx if header is not None else None)
        if wishes.n_ctx == "auto"
        else wishes.n_ctx
    )
    mode = wishes.load_mode or "none"
    return Plan(
        n_ctx=context,
        n_gpu_layers=wishes.n_gpu_layers,
        cache_type="f16" if wishes.cache_type == "auto" else wishes.cache_type,
        threads=default_threads(resources),
        load_mode=mode,
        repack=mode not in ("mmap", "mmap+mlock") if wishes.repack is None else wishes.repack,
        parallel=wishes.parallel,
        expected=Expected(),
        reasons=("The model's file does not say what it is made of, so its needs are not known.",),
    )


# --- In words ---------------------------------------------------------------------------------------------


def _reasons(
    sizes: ModelMemory,
    shape: ModelShape,
    wishes: Wishes,
    room: Room,
    start: Placement,
    need: Need,
    resources: ResourceInfo,
    memory_short: bool,
) -> Iterator[str]:
    yield _context_reason(sizes, shape, wishes, room, start)
    yield _layers_reason(sizes, wishes, room, start, need)
    if start.cache_type != "f16":
        yield "KV cache: q8_0, as you set; it takes about half the memory of f16."
    if start.parallel > 1:
        yield f"Slots: {start.parallel}, each with its own context of {start.n_ctx:,} tokens."
    if memory_short:
        yield "Weights: mapped from the file, as memory is short; the system can drop and reread them."
    elif start.load_mode == "mmap":
        yield "Weights: mapped from the file, so that several programs can share them."
    if not start.repack:
        yield "Repacking: off; the weights stay as they are in the file."
    cores = default_threads(resources)
    yield (
        f"Threads: {cores}, one for each physical core." if cores > 1 else "Threads: 1, as there is one core."
    )


def _context_reason(
    sizes: ModelMemory, shape: ModelShape, wishes: Wishes, room: Room, start: Placement
) -> str:
    tokens = f"Context: {start.n_ctx:,} tokens"
    if wishes.n_ctx == 0:
        return f"{tokens}, what the model was trained with."
    if wishes.n_ctx != "auto":
        if shape.train_ctx is not None and start.n_ctx > shape.train_ctx:
            return f"{tokens}, as you set; the model was trained with {shape.train_ctx:,}, more is not used."
        return f"{tokens}, as you set."
    longer = [context for context in _contexts(shape, wishes) if context > start.n_ctx]
    if not longer:
        if shape.train_ctx is not None and shape.train_ctx <= start.n_ctx:
            return f"{tokens}, what the model was trained with."
        return f"{tokens}, the longest that is taken without being set."
    more = _need(sizes, replace(start, n_ctx=longer[-1]), room)
    if start.layers_on_gpus and more.gpu_bytes > room.gpu:
        return (
            f"{tokens}; {longer[-1]:,} would need {_gb(more.gpu_bytes)} of graphics memory, "
            f"and {_gb(room.gpu)} may be used."
        )
    needed = _gb(room.of_host(more))
    return f"{tokens}; {longer[-1]:,} would need {needed} of memory, and {_gb(room.host)} may be used."


def _layers_reason(sizes: ModelMemory, wishes: Wishes, room: Room, start: Placement, need: Need) -> str:
    layers = f"Graphics card: {start.layers_on_gpus} of {sizes.shape.all_layers} layers"
    if isinstance(wishes.n_gpu_layers, int):
        return f"{layers}, as you set."
    if not room.cards:
        return room.note
    margin = f"{_gb(GPU_MARGIN)} stay free{' on each' if room.cards > 1 else ''}"
    if start.layers_on_gpus == sizes.shape.all_layers:
        return f"{layers}; {_gb(need.gpu_bytes)} of the {_gb(room.gpu)} that may be used ({margin})."
    return f"{layers}; more do not fit into the {_gb(room.gpu)} that may be used ({margin})."


def _warning(start: Placement, need: Need, room: Room) -> str:
    context = f"at {start.n_ctx:,} tokens of context"
    free = room.gpu + GPU_MARGIN * room.cards
    if need.gpu_bytes > free:
        return (
            f"The layers set for the graphics card need {_gb(need.gpu_bytes)} {context} and {_gb(free)} are "
            f"free on it: {_gb(need.gpu_bytes - free)} are missing. "
            "Put fewer layers on it, or use a shorter context."
        )
    needed = room.of_host(need)
    if needed <= room.free:
        return ""
    return (
        f"The model needs {_gb(needed)} of memory {context} and {_gb(room.free)} are free: "
        f"{_gb(needed - room.free)} are missing. "
        "Close something, use a shorter context, or pick a smaller model."
    )


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB"
