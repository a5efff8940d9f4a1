"""What a model is made of, as far as memory and speed go by it. One value, whoever described the model.

A GGUF header tells everything (`shape_of`); an entry of the catalogue tells enough to advise by
(`CatalogueModel.shape`), with its weights spread evenly over the layers.
"""

from dataclasses import dataclass, field
from functools import reduce

from whisper_desktop.models.gguf import GgufHeader, Tensor

_ROWS = 8  # a matrix can be repacked when the number of its rows is a multiple of this (ggml-cpu/repack.cpp)
_EXPERTS = ("_exps.", "_chexps.")
_TABLE = "token_embd.weight"
_TABLE_PER_LAYER = "per_layer_token_embd.weight"
_LOOKED_UP = (_TABLE, _TABLE_PER_LAYER, "position_embd.weight", "token_types.weight")
"""Tables of which rows are read and that are never multiplied with, so that none is repacked for that."""

_WINDOW_PERIODS = {
    "afmoe": 4,
    "cohere2": 4,
    "exaone-moe": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "mellum": 4,
    "muse-glimmer": 4,
    "olmo2": 4,
    "plamo3": 8,
}
"""One layer in so many keeps every token, where the file does not say which (llama.cpp, src/models)."""

_WINDOW_PERIODS_FULL_FIRST = {"cohere2moe": 4, "laguna": 4, "smallthinker": 4}
"""The same, counted from a layer that keeps every token."""

_WINDOWS_GIVEN = {"exaone-moe": 128, "exaone4": 4096, "gemma2": 4096, "llama4": 8192, "smallthinker": 4096}
"""The windows of architectures whose files need not say it."""

_ATTENTION_PERIODS = {"minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "qwen4exp": 4}
"""One layer in so many attends and the others are recurrent, where the file does not say which."""

_RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
"""None of their layers attends (llm_arch_is_recurrent)."""

_BOTH = "falcon-h1"
"""Each of its layers attends and is recurrent."""

_KEEPS_FROM_START = {"gemma3n": 20}
"""The first so many layers have a cache of their own, which the others share."""


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
    length, if it is recurrent. A layer that only transforms has neither.
    """

    weights: Weights
    experts: Weights = field(default_factory=Weights)
    cache: KvGroup | None = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model. Widths are in elements, sizes in bytes.

    `embedding` are the weights that stay beside the processor, `table` the table of tokens among them (empty:
    all of them), `output` those after the last layer. `tied` says that the table is the output too.
    `feed_forward` is the widest layer's (`gated`: with a gate beside it), `expert_feed_forward` that of one
    expert, of which a token goes through `experts_used` of `experts`. `recurrent_width` is what the widest
    recurrent layer holds of one token while it works, `per_layer_width` a token's embeddings for all layers.
    `merges` is how many pairs of tokens the tokenizer merges, None as many as there are tokens. `tensors` is
    their number, `largest_matrices` the bytes of the largest matrix of each type. `exact` is False where the
    weights of a layer are a share of the whole and not counted; `knows_cache` where the caches of the layers
    are told.
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
    table: Weights = field(default_factory=Weights)
    gated: bool = True
    recurrent_width: int = 0
    per_layer_width: int = 0
    merges: int | None = None
    tensors: int = 0
    largest_matrices: tuple[tuple[str, int], ...] = ()

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
    states = _states(header, count, caches)
    divided = _divided(header, count)
    most_forward = _most(header, "feed_forward_length")
    return ModelShape(
        architecture=header.architecture,
        file_bytes=header.file_bytes,
        layers=tuple(map(LayerShape, divided.layers, divided.experts, caches, states)),
        embedding=divided.embedding,
        output=divided.output,
        tied=divided.tied,
        width=_number(header, "embedding_length"),
        heads=_most(header, "attention.head_count"),
        vocabulary=divided.vocabulary,
        feed_forward=most_forward,
        train_ctx=header.train_ctx,
        experts=_number(header, "expert_count"),
        experts_used=_most(header, "expert_used_count"),
        expert_feed_forward=_most(header, "expert_feed_forward_length"),
        exact=bool(header.tensors),
        table=divided.table,
        gated=divided.forward_rows != most_forward,
        recurrent_width=_recurrent_width(header) if any(states) else 0,
        per_layer_width=divided.per_layer_width,
        merges=None if header.metadata.get("tokenizer.ggml.model") in ("gpt2", "gemma4", None) else 0,
        tensors=len(header.tensors),
        largest_matrices=tuple(sorted(divided.largest.items())),
    )


# --- Weights ----------------------------------------------------------------------------------------------


class _Divided:
    """The tensors of a file by where they go. `forward_rows` is how wide the results of one feed-forward
    layer are together before they are joined: `feed_forward` without a gate, twice that with one.
    """

    def __init__(self, layers: int) -> None:
        self.layers = [Weights()] * layers
        self.experts = [Weights()] * layers
        self.embedding = self.output = self.table = Weights()
        self.tied = True
        self.vocabulary = self.per_layer_width = self.forward_rows = 0
        self.largest: dict[str, int] = {}


def _divided(header: GgufHeader, layers: int) -> _Divided:
    divided = _Divided(layers)
    forward = [0] * layers
    used = layers - _drafting(header)
    for tensor in header.tensors:
        part = _weights(tensor)
        layer = tensor.layer
        if tensor.name == "per_layer_model_proj.weight":
            layer = 0  # where llama.cpp counts it
        if layer is not None and layer < layers:
            if layer >= used:
                continue  # layers that guess further tokens are left in the file unless they are asked for
            where = divided.experts if any(mark in tensor.name for mark in _EXPERTS) else divided.layers
            where[layer] += part
            for kind, size in part.matrices:
                divided.largest[kind] = max(divided.largest.get(kind, 0), size)
            if tensor.name.endswith((".ffn_gate.weight", ".ffn_up.weight")):
                forward[layer] += tensor.rows
        elif tensor.name.startswith("output"):
            divided.tied = divided.tied and tensor.name != "output.weight"
            divided.output += part
        else:
            divided.embedding += part
            if tensor.name == _TABLE:
                divided.vocabulary, divided.table = tensor.rows, part
            elif tensor.name == _TABLE_PER_LAYER:
                divided.per_layer_width = tensor.shape[0]
    divided.forward_rows = max(forward)
    if not header.tensors:
        share = header.file_bytes // (layers + 1)
        divided.layers = [Weights(share)] * layers
        divided.output = Weights(header.file_bytes - share * layers)
        divided.tied = False
    return divided


def _weights(tensor: Tensor) -> Weights:
    """Which matrices can be repacked: ggml's `MUL_MAT` takes those of two dimensions, `MUL_MAT_ID` (the
    experts') those of three. A table of tokens counts, because as the output it is multiplied with.
    """
    dimensions = 3 if "_exps." in tensor.name else 2
    repackable = (
        sum(extent > 1 for extent in tensor.shape) == dimensions
        and tensor.rows % _ROWS == 0
        and (tensor.name == _TABLE or tensor.name not in _LOOKED_UP)
        and tensor.name.endswith(".weight")
    )
    return Weights(tensor.size_bytes, ((tensor.type, tensor.size_bytes),) if repackable else ())


# --- Caches and states ------------------------------------------------------------------------------------


def _caches(header: GgufHeader, layers: int) -> tuple[KvGroup | None, ...]:
    """The KV cache of each layer; None for one without. () where the file does not tell.

    Follows llama.cpp (llama-hparams.cpp, llama-kv-cache.cpp, `create_memory` of llama-model.cpp, src/models):
    sliding windows, layers that share another one's cache, recurrent layers, latent attention (MLA). Where an
    architecture's windows are not known, every layer counts as one that keeps every token, which is never
    too little.
    """
    width = _number(header, "embedding_length")
    heads = _per_layer(header, "attention.head_count", layers, None)
    if not (width and heads and max(heads)):
        return ()
    kv_heads = _per_layer(header, "attention.head_count_kv", layers, max(heads))
    k_dim = _number(header, "attention.key_length") or width // max(heads)
    v_dim = _number(header, "attention.value_length") or k_dim
    if header.number("attention.key_length_mla") and header.number("attention.value_length_mla"):
        v_dim = 0
    window = _number(header, "attention.sliding_window") or _WINDOWS_GIVEN.get(header.architecture)
    windowed = _windowed(header, layers)
    keeps = _layers_with_cache(header, layers)
    attends = _attends(header, layers)
    caches: list[KvGroup | None] = []
    for layer, count in enumerate(kv_heads):
        if not count or layer >= keeps or not attends[layer]:
            caches.append(None)
        elif window and windowed[layer]:
            k_near = _number(header, "attention.key_length_swa") or k_dim
            v_near = _number(header, "attention.value_length_swa") or v_dim
            caches.append(KvGroup(1, count, k_near, v_near, window))
        else:
            caches.append(KvGroup(1, count, k_dim, v_dim, None))
    return tuple(caches) if len(caches) == layers else ()


def _states(header: GgufHeader, layers: int, caches: tuple[KvGroup | None, ...]) -> tuple[int, ...]:
    """What each layer keeps of one sequence, in bytes: n_embd_r and n_embd_s of llama-hparams.cpp, in f32.

    A layer without a cache is recurrent, except where it shares another one's, only transforms (Nemotron-H),
    or guesses further tokens.
    """
    width = _number(header, "embedding_length")
    if head := _number(header, "wkv.head_size"):
        state = 4 * width * ((_number(header, "token_shift_count") or 2) + head)
    elif kept := _number(header, "shortconv.l_cache"):
        state = 4 * width * (kept - 1)
    elif head := _number(header, "kda.head_dim"):
        inner = _most(header, "attention.head_count") * head
        state = 4 * inner * (3 * ((_number(header, "ssm.conv_kernel") or 4) - 1) + head)
    else:
        inner, size = _number(header, "ssm.inner_size"), _number(header, "ssm.state_size")
        kernel, groups = _number(header, "ssm.conv_kernel") or 1, _number(header, "ssm.group_count")
        state = 4 * ((kernel - 1) * (inner + 2 * groups * size) + size * inner)
    given = header.metadata.get(f"{header.architecture}.feed_forward_length")
    transforms = given if isinstance(given, tuple) and header.architecture.startswith("nemotron_h") else ()
    used = layers - _drafting(header)

    def is_recurrent(layer: int) -> bool:
        if layer >= used or (layer < len(transforms) and transforms[layer]):
            return False
        return header.architecture == _BOTH or caches[layer] is None

    return tuple(state if is_recurrent(layer) else 0 for layer in range(layers))


def _recurrent_width(header: GgufHeader) -> int:
    """The elements that one token takes in a recurrent layer, beside its own width: what is alive at the
    widest place of the graphs of src/models (mamba-base.cpp, delta-net-base.cpp, rwkv7-base.cpp).
    """
    width = _number(header, "embedding_length")
    if _number(header, "wkv.head_size"):
        return 16 * width
    inner, size = _number(header, "ssm.inner_size"), _number(header, "ssm.state_size")
    groups = _number(header, "ssm.group_count")
    if header.architecture in _ATTENTION_PERIODS:
        return 3 * (
            inner + 2 * groups * size
        )  # queries, keys and values: before, in and after the convolution
    if groups:
        return 5 * inner + 4 * groups * size + width
    return 6 * inner - 2 * width


def _attends(header: GgufHeader, layers: int) -> tuple[bool, ...]:
    """Which layers are not recurrent, where it does not go by their heads."""
    if header.architecture in _RECURRENT:
        return (False,) * layers
    given = header.metadata.get(f"{header.architecture}.attention.recurrent_layers")
    if isinstance(given, tuple) and len(given) == layers:
        return tuple(not entry for entry in given)
    period = _ATTENTION_PERIODS.get(header.architecture, 1)
    period = _number(header, "full_attention_interval") or period
    return tuple((layer + 1) % period == 0 for layer in range(layers))


def _windowed(header: GgufHeader, layers: int) -> tuple[bool, ...]:
    """Which layers keep the tokens of a window only."""
    architecture = header.architecture
    if architecture == "exaone4" and layers != 64:
        return (False,) * layers
    given = header.metadata.get(f"{architecture}.attention.sliding_window_pattern")
    if isinstance(given, tuple) and len(given) == layers:
        return tuple(bool(entry) for entry in given)
    if architecture in ("lfm2", "lfm2moe"):
        return (True,) * layers
    if first := _WINDOW_PERIODS_FULL_FIRST.get(architecture):
        period = given if isinstance(given, int) else first
        return tuple(not period or layer % period != 0 for layer in range(layers))
    period = given if isinstance(given, int) else _WINDOW_PERIODS.get(architecture, 1)
    return tuple(not period or layer % period < period - 1 for layer in range(layers))


def _layers_with_cache(header: GgufHeader, layers: int) -> int:
    """How many layers, from the first, have a cache of their own."""
    own = _KEEPS_FROM_START.get(header.architecture, layers)
    return min(own, layers - _number(header, "attention.shared_kv_layers") - _drafting(header))


def _drafting(header: GgufHeader) -> int:
    """How many of the last layers guess further tokens (MTP): llama-server loads them when it is told to."""
    return _number(header, "nextn_predict_layers")


# --- Numbers of a header ----------------------------------------------------------------------------------


def _number(header: GgufHeader, key: str) -> int:
    """A number of the architecture; 0 where it is not told."""
    return header.number(key) or 0


def _per_layer(header: GgufHeader, key: str, layers: int, default: int | None) -> tuple[int, ...]:
    """A number that a file gives once, or once for each layer."""
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if isinstance(value, tuple):
        return tuple(entry for entry in value if isinstance(entry, int) and entry >= 0)[:layers]
    return (value,) * layers if isinstance(value, int) and value > 0 else ()


def _most(header: GgufHeader, key: str) -> int:
    """The largest of a number that a file gives once, or once for each layer; 0 without."""
    return max(_per_layer(header, key, header.layers or 0, None), default=0)
