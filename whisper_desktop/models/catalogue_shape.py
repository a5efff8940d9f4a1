"""The shape of a model as far as an entry of the catalogue tells it: totals, spread evenly over the layers.

What all layers need together is as exact as the entry; what one layer needs is a share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.models.shape import KvGroup, LayerShape, ModelShape, Weights

_BITS = {
    "Q3_K": 3.4375,
    "MXFP4": 4.25,
    "Q4_K": 4.5,
    "Q4_0": 4.5,
    "Q5_K": 5.5,
    "Q6_K": 6.5625,
    "Q8_0": 8.5,
    "F16": 16.0,
}
"""Bits that a weight takes in each type (ggml-common.h)."""

_MIXES = {
    "Q3_K_M": ("Q3_K", "Q5_K"),
    "Q4_K": ("Q4_K", "Q6_K"),
    "Q4_K_S": ("Q4_K", "Q5_K"),
    "Q4_K_M": ("Q4_K", "Q6_K"),
    "Q5_K_M": ("Q5_K", "Q6_K"),
}
"""The two types that llama-quantize makes most of a model of, the smaller one first (llama-quant.cpp)."""

_BESIDE_EXPERTS = {"MXFP4": "Q8_0"}
"""What the weights beside the experts are, where they are of another type."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a mixture. `layers` of the layers have some, the last ones."""

    size_bytes: int
    count: int
    used: int
    feed_forward: int
    layers: int


@dataclass(frozen=True, slots=True)
class Cache:
    """Layers whose KV cache has one shape. `every` 6: each sixth layer; 0: the others."""

    group: KvGroup
    every: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """A model in totals. Sizes are bytes, widths elements.

    `layer_weights` is of all layers, without the experts. `table` is the table of tokens, `per_layer_table`
    one that some models have beside it, `output` the matrix after the last layer where it is another one than
    the table. `state_bytes` is what `state_layers` recurrent layers keep of one sequence. The rest is as in
    `ModelShape`.
    """

    architecture: str
    layers: int
    width: int
    heads: int
    vocabulary: int
    tied: bool
    layer_weights: int
    table: int
    per_layer_table: int = 0
    output: int = 0
    feed_forward: int = 0
    experts: Experts | None = None
    caches: tuple[Cache, ...] = ()
    state_bytes: int = 0
    state_layers: int = 0
    recurrent_width: int = 0
    per_layer_width: int = 0
    merges: int | None = None


def unknown_shape(file_bytes: int, train_ctx: int | None) -> ModelShape:
    """All that the size of a file tells. `knows_cache` is False."""
    layer = LayerShape(Weights(file_bytes))
    return ModelShape(
        "", file_bytes, (layer,), Weights(), Weights(), False, 0, 0, 0, 0, train_ctx, exact=False
    )


def spread(outline: Outline, file_bytes: int, quant: str, params: int, train_ctx: int | None) -> ModelShape:
    """Spread the totals over the layers. The types of the weights follow from their size and the quant."""
    experts = outline.experts
    small = _share_of_the_smaller_type(outline, quant, params)
    layers = _shared(outline.layer_weights, outline.layers, _BESIDE_EXPERTS.get(quant, quant), small)
    mixture = _shared(experts.size_bytes, experts.layers, quant, small) if experts else ()
    caches = _caches(outline)
    states = _states(outline, caches)
    elements = outline.vocabulary * outline.width
    table = _table(outline.table, elements)
    return ModelShape(
        architecture=outline.architecture,
        file_bytes=file_bytes,
        layers=tuple(
            map(LayerShape, layers, (Weights(),) * (outline.layers - len(mixture)) + mixture, caches, states)
        ),
        embedding=table + Weights(outline.per_layer_table),
        output=_table(outline.output, elements),
        tied=outline.tied,
        width=outline.width,
        heads=outline.heads,
        vocabulary=outline.vocabulary,
        feed_forward=outline.feed_forward,
        train_ctx=train_ctx,
        experts=experts.count if experts else 0,
        experts_used=experts.used if experts else 0,
        expert_feed_forward=experts.feed_forward if experts else 0,
        exact=False,
        table=table,
        recurrent_width=outline.recurrent_width,
        per_layer_width=outline.per_layer_width,
        merges=outline.merges,
    )


def _share_of_the_smaller_type(outline: Outline, quant: str, params: int) -> float:
    """How many of the bytes inside the layers are of the smaller of a mix's two types."""
    mix = _MIXES.get(quant)
    tables = outline.vocabulary * outline.width * (1 if outline.tied else 2)
    inside = params - tables - outline.per_layer_table * 8 / _BITS["Q6_K"]
    size = outline.layer_weights + (outline.experts.size_bytes if outline.experts else 0)
    if mix is None or inside <= 0:
        return 1.0
    smaller, larger = (_BITS[kind] for kind in mix)
    bits = 8 * size / inside
    weights = min(1.0, max(0.0, (larger - bits) / (larger - smaller)))
    return min(1.0, weights * smaller / bits)


def _shared(total: int, layers: int, quant: str, small: float) -> tuple[Weights, ...]:
    """The total in equal parts; what does not divide is the last one's."""
    each = total // layers
    return (_mixed(each, quant, small),) * (layers - 1) + (_mixed(total - each * (layers - 1), quant, small),)


def _mixed(size: int, quant: str, small: float) -> Weights:
    smaller, larger = _MIXES.get(quant, (quant, quant))
    first = int(size * small)
    return Weights(size, ((smaller, size),) if first == size else ((smaller, first), (larger, size - first)))


def _table(size: int, elements: int) -> Weights:
    """A table whose type follows from its size."""
    if not size or not elements:
        return Weights(size)
    kind = min(_BITS, key=lambda kind: abs(_BITS[kind] - 8 * size / elements))
    return Weights(size, ((kind, size),))


def _caches(outline: Outline) -> list[KvGroup | None]:
    """The cache of each layer. Without an order: the first layers left, or evenly among recurrent ones."""
    layers: list[KvGroup | None] = [None] * outline.layers
    for cache in sorted(outline.caches, key=lambda cache: cache.every == 0):
        one = KvGroup(1, cache.group.kv_heads, cache.group.k_dim, cache.group.v_dim, cache.group.window)
        free = [layer for layer, taken in enumerate(layers) if taken is None]
        if cache.every:
            free = [layer for layer in free if (layer + 1) % cache.every == 0]
        elif outline.state_layers:
            free = _even(free, cache.group.layers)
        for layer in free[: cache.group.layers]:
            layers[layer] = one
    return layers


def _states(outline: Outline, caches: Sequence[KvGroup | None]) -> list[int]:
    states = [0] * outline.layers
    free = [layer for layer, cache in enumerate(caches) if cache is None]
    for layer in _even(free, outline.state_layers):
        states[layer] = outline.state_bytes // outline.state_layers
    return states


def _even(layers: Sequence[int], count: int) -> list[int]:
    """So many of the layers, evenly among them."""
    count = min(count, len(layers))
    return [layers[(2 * place + 1) * len(layers) // (2 * count)] for place in range(count)]
