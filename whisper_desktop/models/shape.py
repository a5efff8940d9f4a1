"""What a model is made of, as far as memory and speed go by it. One value, whoever described the model.

A GGUF header tells everything (`shape_of`); an entry of the catalogue tells enough to advise by
(`CatalogueModel.shape`), with its weights spread evenly over the layers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from whisper_desktop.models.gguf import GgufHeader, Tensor

_ROWS = 8  # a matrix can be repacked when the number of its rows is a multiple of this (ggml-cpu/repack.cpp)
_EXPERTS = ("_exps.", "_chexps.")

_WINDOW_PERIODS = {
    "afmoe": 4,
    "cohere2": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "mellum": 4,
    "plamo3": 8,
}
"""One layer in so many keeps every token, where the file does not say which (llama.cpp, src/models)."""


@dataclass(frozen=True, slots=True)
class KvGroup:
    """Layers whose KV cache has one shape. Dimensions are per head, `window` in tokens."""

    layers: int
    kv_heads: int
    k_dim: int
    v_dim: int
    window: int | None


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors that lie together. `size_bytes` is all of them.

    `matrices` are those whose rows llama.cpp could put into another order for the processor: bytes by the
    type that ggml names, such as ("Q4_K", 1_000_000). Which of them it does, depends on the processor.
    """

    size_bytes: int = 0
    matrices: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: "Weights") -> "Weights":
        sizes = dict(self.matrices)
        for kind, size in other.matrices:
            sizes[kind] = sizes.get(kind, 0) + size
        return Weights(self.size_bytes + other.size_bytes, tuple(sorted(sizes.items())))


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One repeating layer: its weights without those of a mixture's experts, which are in `experts`.

    `cache` is its KV cache (None: it has none), `state_bytes` what it keeps of one sequence, whatever its
    length, if it is recurrent.
    """

    weights: Weights
    experts: Weights = field(default_factory=Weights)
    cache: KvGroup | None = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model. Widths are in elements, sizes in bytes.

    `embedding` are the weights that stay beside the processor (the table of tokens, mostly), `output` those
    after the last layer. `tied` says that the table is the output too. `feed_forward` is the widest layer's,
    `expert_feed_forward` that of one expert, of which a token goes through `experts_used` of `experts`.
    `exact` is False where the weights of a layer are a share of the whole and not counted; `knows_cache`
    where the caches of the layers are told.
    """

    architecture: str
    file_bytes: int
    layers: tuple[LayerShape, ...]
    embedding: Weights
    output: Weights
    tied: bool
    width: int
    heads: int
    vocabulary: int
    feed_forward: int
    train_ctx: int | None
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    exact: bool = True

    @property
    def all_layers(self) -> int:
        """The repeating layers and the output, which llama.cpp counts as one more."""
        return len(self.layers) + 1

    @property
    def knows_cache(self) -> bool:
        """Whether it is known what a token of context takes."""
        return any(layer.cache is not None or layer.state_bytes for layer in self.layers)

    @property
    def kv_groups(self) -> tuple[KvGroup, ...]:
        """The KV caches of all layers that have one."""
        return tuple(layer.cache for layer in self.layers if layer.cache is not None)

    @property
    def is_mixture(self) -> bool:
        """Whether a token goes through some of its weights only."""
        return self.experts_used > 0 and self.experts > self.experts_used

    @property
    def weights(self) -> Weights:
        """All of them."""
        layers = (part for layer in self.layers for part in (layer.weights, layer.experts))
        return reduce(Weights.__add__, layers, self.embedding + self.output)


def shape_of(header: GgufHeader) -> ModelShape | None:
    """The shape that a file's header tells; None where it does not even say how many layers there are."""
    count = header.layers
    if not count:
        return None
    caches = _caches(header, count) or (None,) * count
    states = _states(header, caches)
    weights = [Weights()] * count
    experts = [Weights()] * count
    embedding = output = Weights()
    tied, vocabulary = True, 0
    for tensor in header.tensors:
        part = _weights(tensor)
        layer = tensor.layer
        if layer is not None and layer < count:
            where = experts if any(mark in tensor.name for mark in _EXPERTS) else weights
            where[layer] += part
        elif tensor.name.startswith("output"):
            tied = tied and tensor.name != "output.weight"
            output += part
        else:
            embedding += part
            if tensor.name == "token_embd.weight":
                vocabulary = tensor.rows
    if not header.tensors:
        share = header.file_bytes // (count + 1)
        weights, output = [Weights(share)] * count, Weights(header.file_bytes - share * count)
    return ModelShape(
        architecture=header.architecture,
        file_bytes=header.file_bytes,
        layers=tuple(map(LayerShape, weights, experts, caches, states)),
        embedding=embedding,
        output=output,
        tied=tied,
        width=header.number("embedding_length") or 0,
        heads=_most(header, "attention.head_count"),
        vocabulary=vocabulary,
        feed_forward=_most(header, "feed_forward_length"),
        train_ctx=header.train_ctx,
        experts=header.number("expert_count") or 0,
        experts_used=header.number("expert_used_count") or 0,
        expert_feed_forward=_most(header, "expert_feed_forward_length"),
        exact=bool(header.tensors),
    )


def _weights(tensor: Tensor) -> Weights:
    if len(tensor.shape) > 1 and tensor.rows % _ROWS == 0:
        return Weights(tensor.size_bytes, ((tensor.type, tensor.size_bytes),))
    return Weights(tensor.size_bytes)


def _caches(header: GgufHeader, layers: int) -> tuple[KvGroup | None, ...]:
    """The KV cache of each layer; None for one without. () where the file does not tell.

    Follows llama.cpp (llama-hparams.cpp, llama-kv-cache.cpp, src/models): sliding windows, layers that share
    another one's cache, recurrent layers, latent attention (MLA). Where an architecture's windows are not
    known, every layer counts as one that keeps every token, which is never too little.
    """
    width = header.number("embedding_length")
    heads = _per_layer(header, "attention.head_count", layers, None)
    if not (width and heads and max(heads)):
        return ()
    kv_heads = _per_layer(header, "attention.head_count_kv", layers, max(heads))
    k_dim = header.number("attention.key_length") or width // max(heads)
    v_dim = header.number("attention.value_length") or k_dim
    if header.number("attention.key_length_mla") and header.number("attention.value_length_mla"):
        v_dim = 0
    window = header.number("attention.sliding_window")
    windowed = _windowed(header, layers)
    keeps = _layers_with_cache(header, layers)
    every = header.number("full_attention_interval") or 1
    caches: list[KvGroup | None] = []
    for layer, count in enumerate(kv_heads):
        if not count or layer >= keeps or (layer + 1) % every:
            caches.append(None)
        elif window and windowed[layer]:
            k_near = header.number("attention.key_length_swa") or k_dim
            v_near = header.number("attention.value_length_swa") or v_dim
            caches.append(KvGroup(1, count, k_near, v_near, window))
        else:
            caches.append(KvGroup(1, count, k_dim, v_dim, None))
    return tuple(caches) if len(caches) == layers else ()


def _states(header: GgufHeader, caches: Iterable[KvGroup | None]) -> tuple[int, ...]:
    """What each layer keeps of one sequence, in bytes: n_embd_r and n_embd_s of llama-hparams.cpp, in f32."""
    width = header.number("embedding_length") or 0
    if head := header.number("wkv.head_size"):
        state = 4 * width * ((header.number("token_shift_count") or 2) + head)
    elif kept := header.number("shortconv.l_cache"):
        state = 4 * width * (kept - 1)
    else:
        inner, size = header.number("ssm.inner_size") or 0, header.number("ssm.state_size") or 0
        kernel, groups = header.number("ssm.conv_kernel") or 1, header.number("ssm.group_count") or 0
        state = 4 * ((kernel - 1) * (inner + 2 * groups * size) + size * inner)
    return tuple(0 if cache is not None else state for cache in caches)


def _windowed(header: GgufHeader, layers: int) -> tuple[bool, ...]:
    given = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(given, tuple) and len(given) == layers:
        return tuple(bool(entry) for entry in given)
    period = given if isinstance(given, int) else _WINDOW_PERIODS.get(header.architecture, 1)
    return tuple(bool(period) and layer % period < period - 1 for layer in range(layers))


def _layers_with_cache(header: GgufHeader, layers: int) -> int:
    if header.architecture == "gemma3n":
        return 20
    unused = header.number("attention.shared_kv_layers") or header.number("nextn_predict_layers") or 0
    return layers - unused


def _per_layer(header: GgufHeader, key: str, layers: int, default: int | None) -> tuple[int, ...]:
    """A number that a file gives once, or once for each layer."""
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if isinstance(value, tuple):
        return tuple(entry for entry in value if isinstance(entry, int) and entry >= 0)[:layers]
    return (value,) * layers if isinstance(value, int) and value > 0 else ()


def _most(header: GgufHeader, key: str) -> int:
    """The largest of a number that a file gives once, or once for each layer; 0 without."""
    return max(_per_layer(header, key, header.layers or 0, None), default=0)
