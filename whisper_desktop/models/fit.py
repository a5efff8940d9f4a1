"""Will this model run here, and how is it placed? One search for advice and engine. Arithmetic only.

A model goes onto the graphics cards as a whole where they hold it; else, if it is a mixture, all but as few
experts as possible; else as many of its last layers as possible; else it stays with the processor. In each
of these ways the longest context that fits comes first. Layers are placed as llama.cpp does it
(llama-model.cpp, common/arg.cpp): whole ones, the last ones first, in runs from the first card to the last,
which has the output.

Budgets follow total memory less a fixed reserve, so that an open browser tab does not change the advice; what
is free is looked at when a model is started (`engines.room`), by the same search.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal

from whisper_desktop.language import gigabytes, tr
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.models.memory import CacheType, LoadMode, ModelMemory, Need, Placement
from whisper_desktop.models.shape import ModelShape
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

CONTEXTS = (32768, 16384, 8192, 4096)
"""The context windows that are tried, largest first, in tokens."""

Mode = Literal["gpu", "experts", "partial", "cpu"]
MODES: tuple[Mode, ...] = ("gpu", "experts", "partial", "cpu")
"""All on graphics cards; experts of a mixture beside them; layers on both; the processor. Best first."""

GPU_MARGIN = GIB
"""What stays free on each graphics card: for its driver's own context, and what other programs take later."""

_DISPLAY = {"Windows": 0.8, "Linux": 0.5}
"""GiB of a graphics card that the desktop itself uses."""

_COMFORTABLE = 8192  # tokens: beyond, a tenth of the budget stays free, and no layers leave the cards for it
_USED = 0.9  # of the budget, for a context beyond that
_STEP = 256  # tokens: llama.cpp rounds a context up to a multiple of this
_LONGEST = 2**20  # tokens: no longer context is looked at where a model does not say what it was trained with
_QUANT_BLOCK = 32  # elements of a head that share a scale in q8_0 (ggml-common.h)
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Reserve:
    """Where a budget comes from: `total` bytes less what is kept, and for what ("the system").

    `free_now`: the total is what is free at the moment, and not all there is.
    """

    total: int
    purpose: str
    free_now: bool = False

    def with_more(self, purpose: str) -> "Reserve":
        """Something else is kept as well."""
        return replace(self, purpose=f"{self.purpose}, and for {purpose}")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a model may take, in bytes: on each graphics card that counts, and of the computer's own memory.

    `unified`: what lies on the GPU is taken out of `host` as well. The reserves say where the figures come
    from; None where nobody said.
    """

    gpus: tuple[int, ...]
    host: int
    unified: bool = False
    of_gpus: Reserve | None = field(default=None, compare=False)
    of_host: Reserve | None = field(default=None, compare=False)

    @property
    def gpu_bytes(self) -> int:
        """On all graphics cards together."""
        return sum(self.gpus)

    def holds(self, need: Need) -> bool:
        """Whether that fits, on each device."""
        on_cards = [part.total for part in need.gpus]
        on_cards += [0] * (len(self.gpus) - len(on_cards))
        budgets = [*self.gpus, *[0] * (len(on_cards) - len(self.gpus))]
        cards = all(size <= budget for size, budget in zip(on_cards, budgets, strict=True))
        return cards and self.taken_of_host(need) <= self.host

    def taken_of_host(self, need: Need) -> int:
        """What that takes of the computer's own memory."""
        return need.total if self.unified else need.host.total

    @property
    def all_bytes(self) -> int:
        """All that a model may take, wherever it lies."""
        return self.host if self.unified else self.gpu_bytes + self.host

    def scaled(self, share: float) -> "Budget":
        """A share of each figure."""
        gpus = tuple(int(size * share) for size in self.gpus)
        return replace(self, gpus=gpus, host=int(self.host * share))

    def beside(self, size: int, purpose: str) -> "Budget":
        """With so many bytes kept for something else: on the largest card, or else in memory."""
        if not size:
            return self
        gpus, of_gpus, host, of_host = list(self.gpus), self.of_gpus, self.host, self.of_host
        if any(gpus):
            largest = gpus.index(max(gpus))
            gpus[largest] = max(0, gpus[largest] - size)
            of_gpus = of_gpus and of_gpus.with_more(purpose)
        if self.unified or not any(self.gpus):
            host = max(0, host - size)
            of_host = of_host and of_host.with_more(purpose)
        return Budget(tuple(gpus), host, self.unified, of_gpus, of_host)

    @property
    def gpu_words(self) -> str:
        """Such as "11.3 GB that may be used on the graphics card (12.9 GB less 1.6 GB for ...)"."""
        cards = len(self.gpus)
        where = tr("on the graphics card") if cards == 1 else tr("on {cards} graphics cards", cards=cards)
        return _words(
            self.gpu_bytes, tr("by the graphics processor") if self.unified else where, self.of_gpus
        )

    @property
    def host_words(self) -> str:
        """Such as "15.7 GB that may be used on this computer (16.8 GB less 1.1 GB for the system)"."""
        return _words(self.host, tr("on this computer"), self.of_host)


def _words(size: int, where: str, reserve: Reserve | None) -> str:
    words = tr("{gb} that may be used {where}", gb=gigabytes(size), where=where)
    if reserve is None or reserve.total <= size:
        return words
    total, less = gigabytes(reserve.total), gigabytes(reserve.total - size)
    if reserve.free_now:
        return tr(
            "{words} ({total} free less {less} for {purpose})",
            words=words,
            total=total,
            less=less,
            purpose=reserve.purpose,
        )
    return tr(
        "{words} ({total} less {less} for {purpose})",
        words=words,
        total=total,
        less=less,
        purpose=reserve.purpose,
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """One way in which a model fits into `budget`."""

    placement: Placement
    mode: Mode
    need: Need
    budget: Budget

    @property
    def context(self) -> int:
        """In tokens, for each slot."""
        return self.placement.n_ctx

    @property
    def need_bytes(self) -> int:
        """What it needs where memory is shortest: on graphics cards, on the computer, or on both together."""
        return self._shortest[0]

    @property
    def budget_bytes(self) -> int:
        """What may be used there."""
        return self._shortest[1]

    @property
    def spare_bytes(self) -> int:
        """What is left there."""
        return self.budget_bytes - self.need_bytes

    @property
    def budget_words(self) -> str:
        """`budget_bytes` in words, with what is kept back and for what."""
        return self._shortest[2]

    @property
    def _shortest(self) -> tuple[int, int, str]:
        budget, need = self.budget, self.need
        on_gpus = need.gpu_bytes, budget.gpu_bytes, budget.gpu_words
        on_host = budget.taken_of_host(need), budget.host, budget.host_words
        if self.mode == "gpu":
            return min(on_gpus, on_host, key=lambda pair: pair[1] - pair[0]) if budget.unified else on_gpus
        if self.mode == "cpu" or budget.unified:
            return on_host
        words = tr(
            "{gpu_words}, and of the {host_words}", gpu_words=budget.gpu_words, host_words=budget.host_words
        )
        return need.total, budget.gpu_bytes + budget.host, words


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a computer lacks for a model: so many bytes more, on its graphics cards or of its own memory."""

    missing_bytes: int
    where: Literal["gpu", "host"]


def budget_for(resources: ResourceInfo) -> Budget:
    """What a model may take on this computer, whatever else uses memory at the moment."""
    ram, cards = resources.ram_total_bytes, judge_graphics(resources).gpus
    share, reserve = (0.6, 3.5) if resources.has_display else (0.8, 1.5)
    # A small computer with little else open: the rule above would leave it nothing at all.
    little = min(0.4 * ram, ram - 2 * GIB)
    host = max(0, int(max(min(share * ram, ram - reserve * GIB), little)))
    of_host = Reserve(ram, tr("the system and open programs") if resources.has_display else tr("the system"))
    if not cards:
        return Budget((), host, of_host=of_host)
    if not cards[0].unified:
        gpus = tuple(
            max(0, (card.total_bytes or 0) - display_bytes(resources) - GPU_MARGIN) for card in cards
        )
        purpose = (
            tr("the screen and {drivers}", drivers=drivers(cards))
            if display_bytes(resources)
            else drivers(cards)
        )
        of_gpus = Reserve(sum(card.total_bytes or 0 for card in cards), purpose)
        return Budget(gpus, host, of_gpus=of_gpus, of_host=of_host)
    may_take = (cards[0].total_bytes or 0) - GPU_MARGIN
    most = ram - 4 * GIB if cards[0].vendor == "Apple" else host
    on_gpu = max(0, min(may_take, most))
    of_gpu = Reserve((cards[0].total_bytes or 0) if may_take <= most else ram, of_host.purpose)
    return Budget((on_gpu,), max(host, on_gpu), unified=True, of_gpus=of_gpu, of_host=of_host)


def display_bytes(resources: ResourceInfo) -> int:
    """What the desktop itself uses of a graphics card."""
    return int(_DISPLAY.get(resources.os_name, 0.0) * GIB) if resources.has_display else 0


def drivers(cards: Sequence[GpuInfo]) -> str:
    """For what a part of these cards' memory is kept, in words."""
    return tr("its driver") if len(cards) == 1 else tr("their drivers")


class Search:
    """Looks for placements of one model within one budget.

    `base` is what all of them have in common (slots, load mode, repacking). `headroom`: of a budget for a
    long context, a tenth stays free. `experts`: the engine can keep them apart from their layers.
    """

    def __init__(
        self,
        memory: ModelMemory,
        budget: Budget,
        base: Placement,
        *,
        headroom: bool = True,
        experts: bool = True,
    ) -> None:
        self.memory = memory
        self.budget = budget
        self._base = base
        self._headroom = headroom
        self._layers = len(memory.shape.layers)
        layers = memory.shape.layers
        self._experts = tuple(accumulate((layer.experts.size_bytes for layer in layers), initial=0))
        ends = memory.shape.embedding.size_bytes + memory.shape.output.size_bytes
        self._weights = ends + self._experts[-1] + sum(layer.weights.size_bytes for layer in layers)
        self.splits_experts = experts and self._experts[-1] > 0

    def fits(self, contexts: Sequence[int], cache_types: Sequence[CacheType]) -> Iterator[Fit]:
        """What fits, best first. `contexts` are the longest first; each later type is a second resort."""
        for cache_type in cache_types:
            for mode in MODES:
                for context in contexts:
                    # With layers on both sides, memory goes to layers before a longer context.
                    if mode == "partial" and context > _COMFORTABLE and len(contexts) > 1:
                        continue
                    fit = self.fit(mode, context, cache_type)
                    if fit is not None:
                        yield fit

    def within(self, budget: Budget) -> "Search":
        """The same search in another budget."""
        return Search(self.memory, budget, self._base, headroom=self._headroom, experts=self.splits_experts)

    def fit(self, mode: Mode, context: int, cache_type: CacheType = "f16") -> Fit | None:
        """How the model fits in this way, if it does."""
        if self._weights > (self.budget.host if mode == "cpu" else self.budget.all_bytes):
            return None  # quickly found out, of the many models that are far too large
        placement = self._placed(mode, context, cache_type)
        if placement is None:
            return None
        need = self.memory.need(placement)
        return Fit(placement, mode, need, self.budget) if self._within(context).holds(need) else None

    def need(self, mode: Mode, context: int) -> Need | None:
        """What it needs in this way, where the graphics cards allow it, whether or not the rest fits."""
        placement = self._placed(mode, context, "f16")
        return None if placement is None else self.memory.need(placement)

    def _within(self, context: int) -> Budget:
        return self.budget.scaled(_USED) if self._headroom and context > _COMFORTABLE else self.budget

    def _placed(self, mode: Mode, context: int, cache_type: CacheType) -> Placement | None:
        """As far as the graphics cards decide it."""
        start = replace(self._base, n_ctx=context, cache_type=cache_type)
        budget = self._within(context)
        if mode == "cpu":
            return start
        if not any(budget.gpus):
            return None
        if mode == "gpu":
            return self._all_on(start, budget, self.memory.shape.all_layers)
        if mode == "experts":
            return self._without_experts(start, budget) if self.splits_experts else None
        placed = self._filled(start, budget)
        return placed if 0 < placed.layers_on_gpus < self.memory.shape.all_layers else None

    def filled(self, context: int) -> Placement:
        """As much on the cards as they hold, whether or not the rest fits beside them."""
        return self._filled(replace(self._base, n_ctx=context), self.budget)

    def _filled(self, start: Placement, budget: Budget) -> Placement:
        """The most of the last layers or, of a mixture, of all that is not experts."""
        start = replace(start, experts_on_host=self._layers if self.splits_experts else 0)
        return self._most_layers(start, budget, self.memory.shape.all_layers)

    def spread(self, start: Placement, layers: int) -> Placement:
        """So many layers on the cards: as they hold them or, where they do not, by the size of each."""
        shared = divided(layers, self.budget.gpus)
        return self._all_on(start, self.budget, layers) or replace(start, gpu_layers=shared)

    def _all_on(self, start: Placement, budget: Budget, layers: int) -> Placement | None:
        """So many layers on as few cards as hold them; None where all cards do not."""
        by_size = sorted(range(len(budget.gpus)), key=lambda card: -budget.gpus[card])
        for count in range(1, len(by_size) + 1):
            some = tuple(size if card in by_size[:count] else 0 for card, size in enumerate(budget.gpus))
            shared = replace(start, gpu_layers=divided(layers, some))
            parts = self.memory.need(shared).gpus
            if all(part.total <= size for part, size in zip(parts, some, strict=True)):
                return shared
            if count == 1 or sum(part.weights + part.cache for part in parts) > sum(some):
                continue
            filled = self._most_layers(start, replace(budget, gpus=some), layers)
            if filled.layers_on_gpus == layers:
                return filled
        return None

    def _without_experts(self, start: Placement, budget: Budget) -> Placement | None:
        """All layers, and the experts of as few of the first ones as possible beside the cards.

        None where the cards hold all experts, too, or do not even hold the rest.
        """

        def placed(count: int) -> Placement | None:
            return self._all_on(replace(start, experts_on_host=count), budget, self.memory.shape.all_layers)

        if placed(self._layers) is None:
            return None
        # No fewer than would do if the cards were one; where a layer divides badly, a few more.
        whole = self.memory.need(replace(start, gpu_layers=(self.memory.shape.all_layers,))).gpus[0].total
        least = bisect_left(self._experts, whole - budget.gpu_bytes)
        found = next(filter(None, map(placed, range(least, self._layers + 1))), None)
        return found if found is not None and found.experts_on_host else None

    def _most_layers(self, start: Placement, budget: Budget, most: int) -> Placement:
        """As many layers as the cards hold: from the last card to the first, each takes what it can."""
        counts, left = [0] * len(budget.gpus), most
        for card in reversed(range(len(counts))):
            low, high = 0, left if budget.gpus[card] else 0
            while low < high:
                counts[card] = (low + high + 1) // 2
                need = self.memory.need(replace(start, gpu_layers=tuple(counts)))
                if need.gpus[card].total <= budget.gpus[card]:
                    low = counts[card]
                else:
                    high = counts[card] - 1
            counts[card] = low
            left -= low
        return replace(start, gpu_layers=tuple(counts))


def divided(layers: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """So many layers on cards of these sizes, as evenly by size as whole layers allow."""
    total = sum(sizes)
    if not total:
        return (0,) * (len(sizes) - 1) + (layers,) if sizes else ()
    ends = [round(layers * sum(sizes[: card + 1]) / total) for card in range(len(sizes))]
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))


def fits(
    shape: ModelShape,
    budget: Budget,
    resources: ResourceInfo,
    *,
    contexts: Sequence[int] = CONTEXTS,
    cache_types: Sequence[CacheType] = ("f16",),
    least_context: int = 4096,
    headroom: bool = True,
    load_mode: LoadMode = "none",
    builtin: bool = False,
) -> Iterator[Fit]:
    """Every way in which the model fits, best first.

    No context is longer than the model was trained with or, if it was trained with that much, shorter than
    `least_context`. `cache_types` after the first are a second resort; one that the model's heads cannot be
    kept in is left out.
    """
    search = _search(shape, budget, resources, headroom=headroom, load_mode=load_mode, builtin=builtin)
    windows = [context for context in ladder(shape, contexts) if context >= least_context]
    yield from search.fits(windows or ladder(shape, contexts)[:1], _possible(cache_types, shape))


def best_fit(
    shape: ModelShape,
    budget: Budget,
    resources: ResourceInfo,
    *,
    contexts: Sequence[int] = CONTEXTS,
    cache_types: Sequence[CacheType] = ("f16",),
    least_context: int = 4096,
    headroom: bool = True,
    load_mode: LoadMode = "none",
    builtin: bool = False,
) -> Fit | None:
    """The first of `fits`; None when the model does not fit."""
    found = fits(
        shape,
        budget,
        resources,
        contexts=contexts,
        cache_types=cache_types,
        least_context=least_context,
        headroom=headroom,
        load_mode=load_mode,
        builtin=builtin,
    )
    return next(found, None)


def largest_context(
    shape: ModelShape,
    budget: Budget,
    resources: ResourceInfo,
    *,
    mode: Mode | None = None,
    cache_type: CacheType = "f16",
    headroom: bool = True,
    load_mode: LoadMode = "none",
    builtin: bool = False,
) -> int:
    """The longest context in tokens that fits, to 256 tokens; 0 where none does. `mode` None is any way."""
    search = _search(shape, budget, resources, headroom=headroom, load_mode=load_mode, builtin=builtin)
    modes = MODES[::-1] if mode is None else (mode,)
    trained = shape.train_ctx or _LONGEST

    def too_long(steps: int) -> bool:
        context = min(steps * _STEP, trained)
        return all(search.fit(way, context, cache_type) is None for way in modes)

    steps = bisect_left(range(1, -(-trained // _STEP) + 1), True, key=too_long)
    return min(steps * _STEP, trained)


def why_not(
    shape: ModelShape,
    budget: Budget,
    resources: ResourceInfo,
    *,
    mode: Literal["gpu"] | None = None,
    context: int = min(CONTEXTS),
) -> Shortfall | None:
    """How much more memory would let the model run with `context` tokens; None where it does already.

    `mode` "gpu" asks for all of it on the graphics cards: that much more on the largest (to 1 MiB where there
    are several), or a card with that much to use where there is none. Else the computer's own memory grows.
    """
    search = _search(shape, budget, resources, headroom=False)
    context = min(context, shape.train_ctx or context)
    whole = search.memory.need(Placement(context, (shape.all_layers,)))
    if mode is None:
        missing = min(
            budget.taken_of_host(need) - budget.host
            for way in MODES
            if (need := search.need(way, context)) is not None
        )
        return Shortfall(missing, "host") if missing > 0 else None
    if budget.unified:
        missing = max(whole.total - budget.host, whole.gpu_bytes - budget.gpu_bytes)
        return Shortfall(missing, "host") if missing > 0 else None
    placed = search.need("gpu", context)
    if placed is not None:
        missing = placed.host.total - budget.host
        return Shortfall(missing, "host") if missing > 0 else None
    gpus = budget.gpus or (0,)
    largest = gpus.index(max(gpus))
    missing = whole.gpu_bytes - gpus[largest]
    if len(gpus) == 1:
        return Shortfall(missing, "gpu")

    def holds_with(mebibytes: int) -> bool:
        more = (size + mebibytes * _MIB * (card == largest) for card, size in enumerate(gpus))
        return search.within(replace(budget, gpus=tuple(more))).need("gpu", context) is not None

    return Shortfall(bisect_left(range(missing // _MIB + 1), True, key=holds_with) * _MIB, "gpu")


def ladder(shape: ModelShape, contexts: Iterable[int] = CONTEXTS) -> list[int]:
    """The contexts that come into question for a model, longest first."""
    shortest = min(contexts)
    trained = shape.train_ctx or shortest
    if not shape.knows_cache:
        return [min(shortest, trained)]  # what a longer one takes is not known
    return [context for context in contexts if context <= trained] or [trained]


def can_quantize(shape: ModelShape) -> bool:
    """Whether the KV cache can be kept in q8_0: heads have to divide into its blocks (llama-context.cpp)."""
    groups = shape.kv_groups
    return bool(groups) and all(
        group.k_dim % _QUANT_BLOCK == group.v_dim % _QUANT_BLOCK == 0 for group in groups
    )


def _possible(cache_types: Sequence[CacheType], shape: ModelShape) -> list[CacheType]:
    return [kind for kind in cache_types if kind == "f16" or can_quantize(shape)]


def _search(
    shape: ModelShape,
    budget: Budget,
    resources: ResourceInfo,
    *,
    headroom: bool,
    load_mode: LoadMode = "none",
    builtin: bool = False,
) -> Search:
    memory = ModelMemory(shape, resources, builtin=builtin)
    base = Placement(min(CONTEXTS), load_mode=load_mode, repack=load_mode not in ("mmap", "mmap+mlock"))
    return Search(memory, budget, base, headroom=headroom, experts=not builtin)
