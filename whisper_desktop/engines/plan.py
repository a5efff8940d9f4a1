"""From a model's header and the memory that is free to the numbers it is started with, and why. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from whisper_desktop.engines.room import Room, room_of
from whisper_desktop.engines.spec import Expected, default_threads
from whisper_desktop.language import gigabytes, listed, tr
from whisper_desktop.models.fit import CONTEXTS, Search, ladder
from whisper_desktop.models.gguf import GgufHeader
from whisper_desktop.models.memory import CacheType, LoadMode, ModelMemory, Need, Part, Placement
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.values import ResourceInfo


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person, or the pool, wants; "auto" and None leave it to the plan.

    `n_ctx` is in tokens, for each of the `parallel` slots; 0 is the context that the model was trained with.
    `load_mode` "mmap" lets several processes share the weights, so it leaves them as they are in the file,
    unless `repack` asks for otherwise. `experts_on_host` and `tensor_split` go with a number of layers.
    """

    n_ctx: int | Literal["auto"] = "auto"
    n_gpu_layers: int | Literal["auto"] = "auto"
    cache_type: CacheType | Literal["auto"] = "auto"
    parallel: int = 1
    load_mode: LoadMode | None = None
    repack: bool | None = None
    experts_on_host: int = 0
    tensor_split: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a model. `reasons` are short sentences, one a choice; `warning` says what is missing.

    `n_gpu_layers` "auto" leaves the layers to the engine, where we do not know the graphics memory that it
    will find. `experts_on_host` and `tensor_split` are those of `EngineSpec`.
    """

    n_ctx: int
    n_gpu_layers: int | Literal["auto"]
    cache_type: CacheType
    threads: int
    load_mode: LoadMode
    repack: bool
    parallel: int
    expected: Expected
    experts_on_host: int = 0
    tensor_split: tuple[int, ...] = ()
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
    start, memory_short = _choose(sizes, wishes, room, experts=not builtin)
    need = _need(sizes, start, room)
    known = shape.knows_cache
    cards = len(room.budget.gpus)
    left_to_engine = not cards and wishes.n_gpu_layers == "auto"
    return Plan(
        n_ctx=start.n_ctx if wishes.n_ctx != 0 else 0,
        n_gpu_layers=start.layers_on_gpus if wishes.n_gpu_layers == "auto" and cards else wishes.n_gpu_layers,
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
        experts_on_host=start.experts_on_host if start.layers_on_gpus else 0,
        tensor_split=start.gpu_layers if cards > 1 and start.layers_on_gpus else (),
        reasons=tuple(_reasons(sizes, wishes, room, start, need, resources, memory_short)),
        warning=_warning(start, need, room),
    )


def _choose(sizes: ModelMemory, wishes: Wishes, room: Room, *, experts: bool) -> tuple[Placement, bool]:
    """The start, and whether it maps the file because memory is short."""
    mode = wishes.load_mode or "none"
    mapped = mode in ("mmap", "mmap+mlock")
    contexts = _contexts(sizes.shape, wishes)
    base = Placement(
        n_ctx=contexts[-1],
        cache_type="f16" if wishes.cache_type == "auto" else wishes.cache_type,
        parallel=wishes.parallel,
        load_mode=mode,
        repack=not mapped if wishes.repack is None else wishes.repack,
    )
    search = Search(sizes, room.budget, base, headroom=False, experts=experts)
    if wishes.n_gpu_layers == "auto":
        fit = next(search.fits(contexts, (base.cache_type,)), None)
        if fit is not None:
            return fit.placement, False
        start = search.filled(contexts[-1])
    else:
        for context in contexts:
            start = _as_set(search, replace(base, n_ctx=context), wishes, wishes.n_gpu_layers)
            if room.budget.holds(_need(sizes, start, room)):
                return start, False
    # Nothing fits. The smallest start is what remains of the wishes; mapped weights can at least be given up
    # and read again, where memory that was filled with them cannot.
    if wishes.load_mode is None and _need(sizes, start, room).host.total > room.free:
        return replace(start, load_mode="mmap", repack=bool(wishes.repack)), True
    return start, False


def _as_set(search: Search, start: Placement, wishes: Wishes, layers: int) -> Placement:
    """With the layers that the person set, and the rest of an earlier start where they belong to one."""
    layers = min(layers, search.memory.shape.all_layers)
    cards = len(search.budget.gpus)
    if not cards:
        return replace(start, gpu_layers=(layers,))
    if search.splits_experts:
        start = replace(start, experts_on_host=wishes.experts_on_host)
    if len(wishes.tensor_split) == cards and sum(wishes.tensor_split) == layers:
        return replace(start, gpu_layers=wishes.tensor_split)
    return search.spread(start, layers)


def _need(sizes: ModelMemory, start: Placement, room: Room) -> Need:
    """What `start` needs; layers that were set for a card that we do not see count as the processor's."""
    return sizes.need(start if room.budget.gpus else replace(start, gpu_layers=()))


def _contexts(shape: ModelShape, wishes: Wishes) -> list[int]:
    """The contexts that come into question, longest first."""
    if wishes.n_ctx != "auto":
        return [wishes.n_ctx or shape.train_ctx or min(CONTEXTS)]
    return ladder(shape)


def _shortest(trained: int | None) -> int:
    return min(min(CONTEXTS), trained or min(CONTEXTS))


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
        reasons=(tr("The model's file does not say what it is made of, so its needs are not known."),),
    )


# --- In words ---------------------------------------------------------------------------------------------


def _reasons(
    sizes: ModelMemory,
    wishes: Wishes,
    room: Room,
    start: Placement,
    need: Need,
    resources: ResourceInfo,
    memory_short: bool,
) -> Iterator[str]:
    yield _context_reason(sizes, wishes, room, start)
    yield _layers_reason(sizes, wishes, room, start, need)
    if start.layers_on_gpus and start.experts_on_host:
        yield (
            tr(
                "Experts: those of the first {experts_on_host} layers stay in the computer's own "
                "memory; each token goes through a few of them only.",
                experts_on_host=start.experts_on_host,
            )
        )
    if len(room.budget.gpus) > 1 and start.layers_on_gpus:
        each = listed([str(layers) for layers in start.gpu_layers])
        yield tr(
            "Graphics cards: {each} layers, in the order of the cards, by what each can hold.", each=each
        )
    if start.cache_type != "f16":
        yield tr("KV cache: q8_0, as you set; it takes about half the memory of f16.")
    if start.parallel > 1:
        yield tr(
            "Slots: {parallel}, each with its own context of {n_ctx:,} tokens.",
            parallel=start.parallel,
            n_ctx=start.n_ctx,
        )
    if memory_short:
        yield tr("Weights: mapped from the file, as memory is short; the system can drop and reread them.")
    elif start.load_mode == "mmap":
        yield tr("Weights: mapped from the file, so that several programs can share them.")
    if not start.repack:
        yield tr("Repacking: off; the weights stay as they are in the file.")
    threads, cores = default_threads(resources), resources.cores_physical
    yield (
        tr(
            "Threads: {threads}; one of the {cores} cores is left to everything else, or both would crawl.",
            threads=threads,
            cores=cores,
        )
        if cores > 1
        else tr("Threads: 1, as there is one core.")
    )


def _context_reason(sizes: ModelMemory, wishes: Wishes, room: Room, start: Placement) -> str:
    trained = sizes.shape.train_ctx
    tokens = tr("Context: {n_ctx:,} tokens", n_ctx=start.n_ctx)
    if wishes.n_ctx == 0:
        return tr("{tokens}, what the model was trained with.", tokens=tokens)
    if wishes.n_ctx != "auto":
        if trained is not None and start.n_ctx > trained:
            return tr(
                "{tokens}, as you set; the model was trained with {trained:,}, more is not used.",
                tokens=tokens,
                trained=trained,
            )
        return tr("{tokens}, as you set.", tokens=tokens)
    longer = [context for context in _contexts(sizes.shape, wishes) if context > start.n_ctx]
    if not longer:
        if trained is not None and trained <= start.n_ctx:
            return tr("{tokens}, what the model was trained with.", tokens=tokens)
        return tr("{tokens}, the longest that is taken without being set.", tokens=tokens)
    more, budget = _need(sizes, replace(start, n_ctx=longer[-1]), room), room.budget
    if start.layers_on_gpus and more.gpu_bytes > budget.gpu_bytes:
        return tr(
            "{tokens}; {longer:,} would need {gb} of graphics memory, more than the {gpu_words}.",
            tokens=tokens,
            longer=longer[-1],
            gb=gigabytes(more.gpu_bytes),
            gpu_words=budget.gpu_words,
        )
    needed = budget.taken_of_host(more)
    if needed > budget.host:
        return tr(
            "{tokens}; {longer:,} would need {gb} of memory, more than the {host_words}.",
            tokens=tokens,
            longer=longer[-1],
            gb=gigabytes(needed),
            host_words=budget.host_words,
        )
    return tr(
        "{tokens}; with {longer:,}, less of the model would lie on the graphics card.",
        tokens=tokens,
        longer=longer[-1],
    )


def _layers_reason(sizes: ModelMemory, wishes: Wishes, room: Room, start: Placement, need: Need) -> str:
    layers = tr(
        "Graphics card: {layers_on_gpus} of {all_layers} layers",
        layers_on_gpus=start.layers_on_gpus,
        all_layers=sizes.shape.all_layers,
    )
    if isinstance(wishes.n_gpu_layers, int):
        return tr("{layers}, as you set.", layers=layers)
    if not room.budget.gpus:
        return room.note
    if start.layers_on_gpus == sizes.shape.all_layers:
        return tr(
            "{layers}; {gb} of the {gpu_words}.",
            layers=layers,
            gb=gigabytes(need.gpu_bytes),
            gpu_words=room.budget.gpu_words,
        )
    return tr(
        "{layers}; more do not fit into the {gpu_words}.", layers=layers, gpu_words=room.budget.gpu_words
    )


def _warning(start: Placement, need: Need, room: Room) -> str:
    context = tr("at {n_ctx:,} tokens of context", n_ctx=start.n_ctx)
    free = room.free_on_gpus
    if need.gpu_bytes > free and room.budget.gpus:
        return tr(
            "The layers set for the graphics card need {gb} {context} and {gb2} are free on it: "
            "{gb3} are missing. Put fewer layers on it, or use a shorter context.",
            gb=gigabytes(need.gpu_bytes),
            context=context,
            gb2=gigabytes(free),
            gb3=gigabytes(need.gpu_bytes - free),
        )
    needed = room.budget.taken_of_host(need)
    if needed <= room.free:
        return ""
    return tr(
        "The model needs {gb} of memory {context} and {gb2} are free: {gb3} are missing. "
        "Close something, use a shorter context, or pick a smaller model.",
        gb=gigabytes(needed),
        context=context,
        gb2=gigabytes(room.free),
        gb3=gigabytes(needed - room.free),
    )
