"""What a model needs in memory, part by part, on graphics cards and beside them. Arithmetic only.

Weights are the file's own tensors. Everything else follows llama.cpp: where the weights go and which of them
are repacked (llama-model-loader.cpp, ggml-cpu/repack.cpp), caches and states (llama-kv-cache.cpp,
llama-memory-recurrent.cpp), and the intermediate results of one batch with flash attention on (the graphs of
src/models). `tests/benchmarks/memory.py` compares it with what real engines take: on Linux, on the processor
alone. What it says of graphics cards is computed in the same way and was not measured on any.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from whisper_desktop.models.shape import KvGroup, ModelShape, Weights
from whisper_desktop.values import ResourceInfo

LoadMode = Literal["none", "mmap", "mlock", "mmap+mlock", "dio"]
CacheType = Literal["f16", "q8_0", "q4_0"]

_CELLS = 256  # llama.cpp pads the cache to a multiple of this many tokens
_BATCH = 512  # tokens of one physical batch, llama.cpp's default
_FLOAT = 4  # bytes of an intermediate result's element
_MASK = 2  # bytes of the attention mask's element
_ELEMENT: dict[CacheType, float] = {
    "f16": 2.0,
    "q8_0": 34 / 32,
    "q4_0": 18 / 32,
}  # bytes of a cache's element

_OPERAND = 292 / 256  # bytes of the element that a quantized matrix is multiplied with: ggml's Q8_K
_HALF_OPERAND = 2  # the same for matrices of F16 and BF16
_CELL = 32  # bytes that the engine notes of each token in the cache, in llama-kv-cells.h
_GRAPHS = 3  # the engine builds one to reserve memory, one for batches with an answer, one for those without
_NODE = 420  # bytes for a node of a graph: ggml_tensor_overhead(), and its place in tables
_NODES = 1024  # the least that it sets aside, or so many for each tensor (graph_max_nodes, llama-context.cpp)
_NODES_OF_TENSOR, _MORE_NODES_OF_TENSOR, _NODES_OF_TOKEN = 8, 32, 40
_MORE_NODES = frozenset(
    {
        "bailingmoe3",
        "deepseek4",
        "kimi-linear",
        "minimax-01",
        "minimax-m3",
        "nanbeige",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "qwen4exp",
    }
)
"""Architectures that set aside nodes for each token of a batch."""
_KEPT_FREE = (
    32 * 2**20
)  # bytes: the largest block that glibc may keep in its heap, DEFAULT_MMAP_THRESHOLD_MAX
CHECKPOINTS = 2
"""How often a server of ours keeps the states of a slot, to go back in a conversation: llama-server's own 32
would take gigabytes for some models.
"""
_CHECKPOINT_PAST = 4  # tokens: llama-server keeps its last checkpoint of a prompt this far before its end

_GRAPHICS_LIBRARY = 300_000_000  # bytes of RAM that CUDA, ROCm or Vulkan take in the process: not measured

_REPACKED_X86 = {"Q4_0": "avx2", "Q4_K": "avx2", "IQ4_NL": "avx2", "MXFP4": "avx2", "Q2_K": "avx512f"}
_REPACKED_ARM = frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"})
_TABLE_TWICE = frozenset({"gemma3n", "gemma4"})
"""They ask for the output before the table that is the same, so that llama.cpp reads it twice."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an engine's process takes with an empty model, in bytes: `base`, and for each entry of the
    vocabulary, each pair of tokens that is merged, and each tensor.
    """

    base: int
    token: int
    merge: int
    tensor: int

    def of(self, shape: ModelShape) -> int:
        """With the vocabulary and the tensors of `shape`."""
        merges = shape.vocabulary if shape.merges is None else shape.merges
        return self.base + self.token * shape.vocabulary + self.merge * merges + self.tensor * shape.tensors


# Measured: `tests/benchmarks/memory.py` fits them on shapes that are none of those it then checks with.
LLAMA_SERVER = Program(base=15_600_000, token=173, merge=123, tensor=5_400)
BUILTIN = Program(base=31_800_000, token=210, merge=189, tensor=5_100)


@dataclass(frozen=True, slots=True)
class Part:
    """What lies in one kind of memory, in bytes.

    `copies` are weights that are there a second time: repacked for the processor beside a mapped file.
    `cache` is the KV cache and the recurrent states. `checkpoints` are copies of the part of it that cannot
    be taken back token by token, to which the server returns. `other` is the program, its libraries, its
    vocabulary.
    """

    weights: int = 0
    copies: int = 0
    cache: int = 0
    compute: int = 0
    other: int = 0
    checkpoints: int = 0

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.copies + self.cache + self.compute + self.other + self.checkpoints


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
    memory (llama.cpp: --n-cpu-moe). `filled` is how many tokens of its context a slot has read (None: all of
    it): intermediate results grow with them. `checkpoints` is how many the server keeps of each slot of a
    model with sliding windows or recurrent layers: one prompt leaves two, a long conversation up to what
    llama-server's --ctx-checkpoints says (32).
    """

    n_ctx: int
    gpu_layers: tuple[int, ...] = ()
    experts_on_host: int = 0
    cache_type: CacheType = "f16"
    parallel: int = 1
    load_mode: LoadMode = "none"
    repack: bool = True
    filled: int | None = None
    checkpoints: int = CHECKPOINTS

    @property
    def layers_on_gpus(self) -> int:
        """On all cards together."""
        return sum(self.gpu_layers)


class ModelMemory:
    """The sizes of one model on one computer, asked for many placements while the best one is looked for.

    `program_bytes` is what the engine's process takes with an empty model of this shape. `largest_layer` is
    the weights of one.
    """

    def __init__(self, shape: ModelShape, resources: ResourceInfo, *, builtin: bool = False) -> None:
        self.shape = shape
        self._resources = resources
        self._builtin = builtin
        self._layers = _sums(layer.weights.size_bytes for layer in shape.layers)
        self._experts = _sums(layer.experts.size_bytes for layer in shape.layers)
        self._copies = _sums(
            self._repacked(layer.weights) + self._repacked(layer.experts) for layer in shape.layers
        )
        self._state = sum(layer.state_bytes for layer in shape.layers)
        self._groups = shape.kv_groups
        self._cache_sums: dict[tuple[int, CacheType], tuple[int, ...]] = {}
        self._table = shape.table if shape.table.size_bytes else shape.embedding
        self.program_bytes = (BUILTIN if builtin else LLAMA_SERVER).of(shape)
        self._operand = _HALF_OPERAND if _has_halves(shape) else _OPERAND
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
        mapped = placement.load_mode in ("mmap", "mmap+mlock")
        host = shape.embedding.size_bytes + self._layers[first] + self._experts[experts_from]
        copies = 0
        if not total_on:
            host += shape.output.size_bytes
            copies = (self._copies[-1] + self._repacked(shape.output)) * placement.repack
            if shape.tied:
                again = self._repacked(self._table) * placement.repack
                if not mapped:
                    # The table is read for itself, and once more where the output lies elsewhere: repacked.
                    host += self._table.size_bytes if shape.architecture in _TABLE_TWICE else again
                else:
                    copies += again
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
                weights += shape.output.size_bytes + (self._table.size_bytes if shape.tied else 0)
            cache = (caches[end] - caches[at]) * placement.parallel
            parts.append(Part(weights, 0, cache, compute if count else 0))
            at = end
        on_host = total_on < shape.all_layers or experts_from > first
        library = _GRAPHICS_LIBRARY if total_on and not self._shared_with_gpu else 0
        return Need(
            gpus=tuple(parts),
            host=Part(
                host,
                copies if mapped else 0,
                caches[first] * placement.parallel,
                compute if on_host else little,
                self.program_bytes
                + library
                + (self._read_through() if placement.repack and not mapped and not total_on else 0)
                + self._graphs(min(_BATCH, placement.n_ctx))
                + (self._workspace() if on_host else 0)
                + _CELL * placement.n_ctx * placement.parallel,
                self._checkpoints(placement),
            ),
        )

    def _caches(self, placement: Placement) -> tuple[int, ...]:
        """KV cache and recurrent state of the first n layers, for each n from 0, of one slot."""
        key = placement.n_ctx, placement.cache_type
        if key not in self._cache_sums:
            element = _ELEMENT[placement.cache_type]
            sizes: dict[KvGroup | None, int] = {
                group: kv_cache_bytes((group,), placement.n_ctx, bytes_per_element=element)
                for group in set(self._groups)
            }
            sizes[None] = 0
            self._cache_sums[key] = _sums(
                layer.state_bytes + sizes[layer.cache] for layer in self.shape.layers
            )
        return self._cache_sums[key]

    def _checkpoints(self, placement: Placement) -> int:
        """What the server keeps to return to (server-context.cpp): of each checkpoint the recurrent states,
        and the tokens in the windows. The two that a prompt leaves lie one batch apart. The states that the
        prompt before it left are in the server's cache of prompts: the app's own question at the start.
        """
        state = self._state
        near = [group for group in self._groups if group.window is not None]
        read = placement.n_ctx if placement.filled is None else min(placement.filled, placement.n_ctx)
        total = 0
        for number in range(placement.checkpoints):
            tokens = max(0, read - _CHECKPOINT_PAST - (_BATCH if number == 1 else 0))
            window = sum(
                group.layers * min(tokens, group.window or 0) * group.kv_heads * (group.k_dim + group.v_dim)
                for group in near
            )
            total += state + round(window * _ELEMENT[placement.cache_type])
        return (total + (state if placement.checkpoints else 0)) * placement.parallel

    def _compute(self, placement: Placement) -> tuple[int, int]:
        """The compute buffer of a device that has layers, and the host's when it has none."""
        shape, batch = self.shape, min(_BATCH, placement.n_ctx)
        width = shape.width
        heads = max((group.k_dim for group in self._groups), default=0) * shape.heads
        recurs = any(layer.state_bytes for layer in shape.layers)
        # While a feed-forward layer works, its input, its normalized input and the residual are alive, and so
        # is the place that the attention's result has left. The built-in engine is of another version, whose
        # graphs keep one more.
        older = self._builtin * width
        beside = 3 * width + older + (older if recurs else heads or width)
        forward = 3 if shape.gated else 1
        phases = [forward * shape.feed_forward + beside + shape.per_layer_width]
        if shape.experts_used:
            inner, outer = shape.experts_used * shape.expert_feed_forward, shape.experts_used * width
            # The experts' answers take the place of what two of their three steps left, where they fit.
            answers = outer if outer > 2 * inner else 0
            phases.append(3 * inner + answers + beside + width * recurs)
        if shape.recurrent_width:
            states = max((layer.state_bytes for layer in shape.layers), default=0) * placement.parallel
            phases.append(shape.recurrent_width + 3 * width + 2 * older + states // (_FLOAT * batch))
        if shape.per_layer_width:
            phases.append(4 * shape.per_layer_width + 3 * width)
        windows = {group.window for group in self._groups if group.window}
        everywhere = any(group.window is None for group in self._groups)
        read = placement.n_ctx if placement.filled is None else min(placement.filled, placement.n_ctx)
        cells = _padded(read) * everywhere + sum(
            min(_padded(read), _window_cells(window, placement.n_ctx)) for window in windows
        )
        results, mask = _FLOAT * batch * max(phases), _MASK * batch * cells
        if recurs or windows:
            # Their prompts are cut for checkpoints, so that graphs differ from batch to batch and are laid
            # out anew in the same buffer, also where the mask of what is not read yet would lie.
            unread = _MASK * batch * max(0, _padded(placement.n_ctx) - _padded(read)) * everywhere
            mask += min(unread, results)
        return results + mask, _FLOAT * batch * 4 * width + mask

    def _read_through(self) -> int:
        """What a matrix is read into before it is repacked (llama-model-loader.cpp). The C library keeps it
        for later, unless it is so large that it always goes back to the system.
        """
        sizes = [size for kind, size in self.shape.largest_matrices if _is_repacked(kind, self._resources)]
        return max((size for size in sizes if size <= _KEPT_FREE), default=0)

    def _graphs(self, batch: int) -> int:
        """What the engine notes its graphs in (llm_graph_result): all of it is filled with zeros."""
        tensors = self.shape.tensors
        nodes = max(_NODES, _NODES_OF_TENSOR * tensors)
        if self.shape.architecture in _MORE_NODES:
            nodes = max(_NODES_OF_TOKEN * batch, _MORE_NODES_OF_TENSOR * tensors)
        return _GRAPHS * _NODE * nodes

    def _workspace(self) -> int:
        """What the processor's matrix multiplications keep of one batch beside the compute buffer: the second
        operand, in the type that goes with the matrix (ggml-cpu.c).
        """
        shape = self.shape
        heads = max((group.k_dim for group in self._groups), default=0) * shape.heads
        inner = shape.experts_used * shape.expert_feed_forward
        return round(_BATCH * self._operand * max(shape.feed_forward, shape.width, heads, inner))

    def _repacked(self, weights: Weights) -> int:
        return sum(size for kind, size in weights.matrices if _is_repacked(kind, self._resources))


def kv_cache_bytes(
    groups: Iterable[KvGroup], context: int, *, state_bytes: int = 0, bytes_per_element: float = 2.0
) -> int:
    """Bytes of the KV cache (and recurrent state) of one sequence of `context` tokens."""
    cells = _padded(context)
    total = 0.0
    for group in groups:
        kept = cells if group.window is None else _window_cells(group.window, cells)
        total += group.layers * kept * group.kv_heads * (group.k_dim + group.v_dim) * bytes_per_element
    return round(total) + state_bytes


def _window_cells(window: int, context: int) -> int:
    """The tokens that a layer with a sliding window keeps (llama-kv-cache-iswa.cpp)."""
    cells = _padded(context)
    return min(cells, _padded(min(cells, window + _BATCH)))


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


def _has_halves(shape: ModelShape) -> bool:
    """Whether matrices of the layers are not quantized."""
    kinds = {kind for layer in shape.layers for kind, _ in layer.weights.matrices + layer.experts.matrices}
    return bool(kinds & {"F16", "BF16"})


def _sums(sizes: Iterable[int]) -> tuple[int, ...]:
    """The sum of the first n, for each n from 0."""
    return tuple(accumulate(sizes, initial=0))
