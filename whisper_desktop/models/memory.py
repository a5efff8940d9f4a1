"""What a model needs in memory, part by part, on graphics cards and beside them. Arithmetic only.

Weights are the file's own tensors. Cache and compute buffers follow llama.cpp: llama-kv-cache.cpp, and the
largest intermediate results of one batch of 512 tokens with flash attention on. `tests/benchmarks/memory.py`
compares this with what real engines say and take.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from whisper_desktop.models.shape import KvGroup, ModelShape, Weights
from whisper_desktop.values import ResourceInfo

LoadMode = Literal["none", "mmap", "mlock", "mmap+mlock", "dio"]
CacheType = Literal["f16", "q8_0"]

_CELLS = 256  # llama.cpp pads the cache to a multiple of this many tokens
_BATCH = 512  # tokens of one physical batch, llama.cpp's default
_FLOAT = 4  # bytes of an intermediate result's element
_MASK = 2  # bytes of the attention mask's element
_ELEMENT: dict[CacheType, float] = {"f16": 2.0, "q8_0": 34 / 32}  # bytes of the KV cache's element

_PROGRAM = 20_000_000  # bytes of a llama-server without a model, measured
_PYTHON = 15_000_000  # bytes that the built-in engine takes beyond that, measured
_TOKEN = 400  # bytes of RAM for an entry of the vocabulary, measured
_GRAPHICS_LIBRARY = 300_000_000  # bytes of RAM that CUDA, ROCm or Vulkan take in the engine's process

_REPACKED_X86 = {"Q4_0": "avx2", "Q4_K": "avx2", "IQ4_NL": "avx2", "MXFP4": "avx2", "Q2_K": "avx512f"}
_REPACKED_ARM = frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"})


@dataclass(frozen=True, slots=True)
class Part:
    """What lies in one kind of memory, in bytes. `other` is the program, its libraries, its vocabulary.

    `copies` are weights that are there a second time: repacked for the processor beside a mapped file.
    """

    weights: int = 0
    copies: int = 0
    cache: int = 0
    compute: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.copies + self.cache + self.compute + self.other


@dataclass(frozen=True, slots=True)
class Need:
    """What a model needs on each graphics card, in their order, and in the computer's own memory."""

    gpus: tuple[Part, ...]
    host: Part

    @property
    def gpu_bytes(self) -> int:
        """On all graphics cards together."""
        return sum(part.total for part in self.gpus)

    @property
    def total(self) -> int:
        """Everywhere, in bytes."""
        return self.gpu_bytes + self.host.total


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model is started, as far as its need follows from it. `n_ctx` is in tokens, for each slot.

    `gpu_layers` is how many layers lie on each card, () or zeros for none. The output counts as one layer, is
    the first to go to a card, and lies on the last one that has layers, as llama.cpp does it.
    `experts_on_host` is of how many layers, counted from the first, the experts stay in the computer's own
    memory (llama.cpp: --n-cpu-moe).
    """

    n_ctx: int
    gpu_layers: tuple[int, ...] = ()
    experts_on_host: int = 0
    cache_type: CacheType = "f16"
    parallel: int = 1
    load_mode: LoadMode = "none"
    repack: bool = True

    @property
    def layers_on_gpus(self) -> int:
        """On all cards together."""
        return sum(self.gpu_layers)


class ModelMemory:
    """The sizes of one model on one computer, asked for many placements while the best one is looked for."""

    def __init__(self, shape: ModelShape, resources: ResourceInfo, *, builtin: bool = False) -> None:
        self.shape = shape
        self._resources = resources
        self._layers = _sums(layer.weights.size_bytes for layer in shape.layers)
        self._experts = _sums(layer.experts.size_bytes for layer in shape.layers)
        self._copies = _sums(
            self._repacked(layer.weights) + self._repacked(layer.experts) for layer in shape.layers
        )
        self._state = sum(layer.state_bytes for layer in shape.layers)
        self._program = _PROGRAM + (_PYTHON if builtin else 0) + _TOKEN * shape.vocabulary
        self._shared_with_gpu = any(gpu.unified for gpu in resources.gpus)
        self.largest_layer = max(
            (layer.weights.size_bytes + layer.experts.size_bytes for layer in shape.layers), default=0
        )

    def need(self, placement: Placement) -> Need:
        """What the model needs when it is placed like this."""
        shape = self.shape
        on_cards = _clipped(placement.gpu_layers, shape.all_layers)
        total_on = sum(on_cards)
        layers = len(shape.layers)
        first = layers - max(0, total_on - 1)  # the first layer that lies on a graphics card
        experts_from = max(first, min(placement.experts_on_host, layers))
        host = shape.embedding.size_bytes + self._layers[first] + self._experts[experts_from]
        copies = 0
        if not total_on:
            host += shape.output.size_bytes
            copies = self._copies[-1] + self._repacked(shape.output)
            copies *= placement.repack
            # Embeddings that are the output too lie there twice when one of them is repacked.
            tied = self._repacked(shape.embedding) if shape.tied and placement.repack else 0
            host += tied
        mapped = placement.load_mode in ("mmap", "mmap+mlock")
        compute, little = self._compute(placement)
        caches = self._caches(placement)
        parts = []
        at = first
        last = max((card for card, count in enumerate(on_cards) if count), default=-1)
        for card, count in enumerate(on_cards):
            end = at + count - (card == last)
            weights = self._layers[end] - self._layers[at]
            weights += self._experts[max(end, experts_from)] - self._experts[max(at, experts_from)]
            if card == last:
                weights += shape.output.size_bytes + (shape.embedding.size_bytes if shape.tied else 0)
            cache = sum(caches[at:end])
            parts.append(Part(weights, 0, cache, compute if count else 0))
            at = end
        library = _GRAPHICS_LIBRARY if total_on and not self._shared_with_gpu else 0
        return Need(
            gpus=tuple(parts),
            host=Part(
                host,
                copies if mapped else 0,
                sum(caches[:first]),
                little if total_on == shape.all_layers and experts_from == first else compute,
                self._program + library,
            ),
        )

    def _caches(self, placement: Placement) -> list[int]:
        """KV cache and recurrent state of each layer, for all slots."""
        element = _ELEMENT[placement.cache_type]
        sizes = {
            group: kv_cache_bytes((group,), placement.n_ctx, bytes_per_element=element)
            for group in set(self.shape.kv_groups)
        }
        return [
            placement.parallel * (layer.state_bytes if layer.cache is None else sizes[layer.cache])
            for layer in self.shape.layers
        ]

    def _compute(self, placement: Placement) -> tuple[int, int]:
        """The compute buffer of a device that has layers, and the host's when it has none."""
        shape, batch = self.shape, min(_BATCH, placement.n_ctx)
        used, width = shape.experts_used, shape.width
        experts = 3 * used * shape.expert_feed_forward + (5 + used) * width if used else 0
        dense = 3 * shape.feed_forward + 5 * width
        windows = {group.window for group in shape.kv_groups if group.window}
        cells = placement.n_ctx + sum(min(placement.n_ctx, window + _BATCH) for window in windows)
        mask = _MASK * batch * cells
        return _FLOAT * batch * max(dense, experts) + mask, _FLOAT * batch * 4 * width + mask

    def _repacked(self, weights: Weights) -> int:
        return sum(size for kind, size in weights.matrices if _is_repacked(kind, self._resources))


def kv_cache_bytes(
    groups: Iterable[KvGroup], context: int, *, state_bytes: int = 0, bytes_per_element: float = 2.0
) -> int:
    """Bytes of the KV cache (and recurrent state) of one sequence of `context` tokens."""
    cells = _padded(context)
    total = 0.0
    for group in groups:
        kept = cells if group.window is None else min(cells, _padded(min(cells, group.window + _BATCH)))
        total += group.layers * kept * group.kv_heads * (group.k_dim + group.v_dim) * bytes_per_element
    return round(total) + state_bytes


def _padded(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


def _clipped(gpu_layers: tuple[int, ...], most: int) -> tuple[int, ...]:
    """No more layers than there are; what is too much is taken from the first cards."""
    left, clipped = most, []
    for count in reversed(gpu_layers):
        clipped.append(min(max(count, 0), left))
        left -= clipped[-1]
    return tuple(reversed(clipped))


def _is_repacked(kind: str, resources: ResourceInfo) -> bool:
    """Whether llama.cpp reorders matrices of this type for this processor (ggml-cpu/repack.cpp).

    Where the processor's instruction sets are not known, the usual ones are taken to be there.
    """
    features = resources.cpu_features
    if resources.arch.lower() in ("arm64", "aarch64"):
        return kind in _REPACKED_ARM and (not features or "dotprod" in features)
    needed = _REPACKED_X86.get(kind)
    return needed is not None and (not features or needed in features)


def _sums(sizes: Iterable[int]) -> tuple[int, ...]:
    """The sum of the first n, for each n from 0."""
    return tuple(accumulate(sizes, initial=0))
