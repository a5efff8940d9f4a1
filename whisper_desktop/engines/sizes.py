"""What a model needs in memory, part by part, on graphics cards and beside them. Arithmetic only.

Weights are the file's own tensors. Cache and compute buffers follow llama.cpp: llama-kv-cache.cpp, and the
largest intermediate results of one batch of 512 tokens with flash attention on. `tests/benchmarks/
plan_accuracy.py` compares this with what real engines say and take.
"""

from dataclasses import dataclass
from itertools import accumulate

from whisper_desktop.engines.spec import CacheType, LoadMode
from whisper_desktop.models.catalogue import KvGroup
from whisper_desktop.models.fit import kv_cache_bytes
from whisper_desktop.models.gguf import GgufHeader, Tensor
from whisper_desktop.values import ResourceInfo

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
_ROWS = 8  # a matrix is repacked when the number of its rows is a multiple of this


@dataclass(frozen=True, slots=True)
class Part:
    """What lies in one kind of memory, in bytes. `other` is the program, its libraries, its vocabulary."""

    weights: int = 0
    cache: int = 0
    compute: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.cache + self.compute + self.other


@dataclass(frozen=True, slots=True)
class Need:
    """What a model needs on graphics cards, all of them together, and in the computer's own memory."""

    gpu: Part
    host: Part

    @property
    def total(self) -> int:
        """Both together, in bytes."""
        return self.gpu.total + self.host.total


@dataclass(frozen=True, slots=True)
class Start:
    """The numbers that a need follows from. `n_ctx` is in tokens, for each of the `parallel` slots.

    `gpu_layers` counts the output as one layer, the first to go to a graphics card, as llama.cpp does;
    `gpus` is on how many cards they lie.
    """

    n_ctx: int
    gpu_layers: int = 0
    gpus: int = 1
    cache_type: CacheType = "f16"
    parallel: int = 1
    load_mode: LoadMode = "none"
    repack: bool = True


class Sizes:
    """The sizes of one model on one computer, asked for many starts while a plan is made."""

    def __init__(self, header: GgufHeader, resources: ResourceInfo, *, builtin: bool = False) -> None:
        layers = header.layers or 0
        weights, copies = [0] * layers, [0] * layers
        self._embedding = self._output = self._output_copy = 0
        table: Tensor | None = None
        tied = True
        for tensor in header.tensors:
            copy = tensor.size_bytes if _is_repacked(tensor, resources) else 0
            if tensor.layer is not None and tensor.layer < layers:
                weights[tensor.layer] += tensor.size_bytes
                copies[tensor.layer] += copy
            elif tensor.name.startswith("output"):
                tied = tied and tensor.name != "output.weight"
                self._output += tensor.size_bytes
                self._output_copy += copy
            else:
                self._embedding += tensor.size_bytes
                if tensor.name == "token_embd.weight":
                    table = tensor
        if not header.tensors:
            share = header.file_bytes // (layers + 1)
            weights, self._output = [share] * layers, header.file_bytes - share * layers
        # Embeddings that are the output too: they are there twice when one of them is elsewhere or repacked.
        self._tied = table.size_bytes if table is not None and tied else 0
        self._tied_copy = self._tied if table is not None and _is_repacked(table, resources) else 0
        self._weights, self._copies = _sums(weights), _sums(copies)
        self._header = header
        self._cache = header.layer_cache or (None,) * layers
        self._program = _PROGRAM + (_PYTHON if builtin else 0) + _TOKEN * (table.rows if table else 0)
        self._shared_with_gpu = any(gpu.unified for gpu in resources.gpus)
        self.all_layers = layers + 1
        self.largest_layer = max(weights, default=0)

    def need(self, start: Start) -> Need:
        """What the model needs when it is started like this."""
        layers = self.all_layers - 1
        on_gpu = min(max(start.gpu_layers, 0), self.all_layers)
        first = layers - max(0, on_gpu - 1)  # the first layer that lies on a graphics card
        gpu_weights = self._weights[-1] - self._weights[first]
        host_weights = self._embedding + self._weights[first]
        copies = self._copies[first]
        if on_gpu:
            gpu_weights += self._output + self._tied
            copies = 0  # llama.cpp then keeps the rest in memory that the card can read, as it is in the file
        else:
            host_weights += self._output + (self._tied_copy if start.repack else 0)
            copies += self._output_copy
        if start.repack and start.load_mode in ("mmap", "mmap+mlock"):
            host_weights += copies
        host_cache, gpu_cache = self._cache_bytes(start, first)
        compute, little = self._compute_bytes(start)
        library = _GRAPHICS_LIBRARY if on_gpu and not self._shared_with_gpu else 0
        return Need(
            gpu=Part(gpu_weights, gpu_cache, compute * start.gpus if on_gpu else 0),
            host=Part(
                host_weights,
                host_cache,
                little if on_gpu == self.all_layers else compute,
                self._program + library,
            ),
        )

    def _cache_bytes(self, start: Start, first_on_gpu: int) -> tuple[int, int]:
        """KV cache and recurrent state: beside the graphics card, and on it."""
        sizes: dict[KvGroup | None, int] = {None: self._header.layer_state_bytes}
        for group in set(self._cache) - {None}:
            assert group is not None
            sizes[group] = kv_cache_bytes((group,), start.n_ctx, bytes_per_element=_ELEMENT[start.cache_type])
        each = [sizes[group] * start.parallel for group in self._cache]
        return sum(each[:first_on_gpu]), sum(each[first_on_gpu:])

    def _compute_bytes(self, start: Start) -> tuple[int, int]:
        """The compute buffer of a device that has layers, and the host's when it has none."""
        header, batch = self._header, min(_BATCH, start.n_ctx)
        width = header.number("embedding_length") or 0
        used = header.number("expert_used_count") or 0
        experts = (
            3 * used * _largest(header, "expert_feed_forward_length") + (5 + used) * width if used else 0
        )
        dense = 3 * _largest(header, "feed_forward_length") + 5 * width
        windows = {group.window for group in self._cache if group is not None and group.window}
        cells = start.n_ctx + sum(min(start.n_ctx, window + _BATCH) for window in windows)
        mask = _MASK * batch * cells
        return _FLOAT * batch * max(dense, experts) + mask, _FLOAT * batch * 4 * width + mask


def _largest(header: GgufHeader, key: str) -> int:
    """A number that a header gives once, or once for each layer."""
    value = header.metadata.get(f"{header.architecture}.{key}")
    if isinstance(value, tuple):
        return max((entry for entry in value if isinstance(entry, int)), default=0)
    return header.number(key) or 0


def _is_repacked(tensor: Tensor, resources: ResourceInfo) -> bool:
    """Whether llama.cpp puts this tensor into another order for this processor (ggml-cpu/repack.cpp).

    Where the processor's instruction sets are not known, the usual ones are taken to be there.
    """
    if tensor.rows % _ROWS or len(tensor.shape) < 2:
        return False
    features = resources.cpu_features
    if resources.arch.lower() in ("arm64", "aarch64"):
        return tensor.type in _REPACKED_ARM and (not features or "dotprod" in features)
    needed = _REPACKED_X86.get(tensor.type)
    return needed is not None and (not features or needed in features)


def _sums(sizes: list[int]) -> tuple[int, ...]:
    """The sum of the first n, for each n from 0."""
    return tuple(accumulate(sizes, initial=0))
