"""Families of models as llama.cpp's src/models reads them: which tensors and metadata make up each.

`Kind` holds the numbers of one model, and `sparse` makes the model of its architecture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.models.sparse_gguf import Sparse, Tensors

Dims = tuple[int, ...]
Some = Iterator[tuple[str, Dims]]

_STEP_DOWN = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"} | dict.fromkeys(
    ("IQ4_XS", "IQ3_S", "IQ2_XXS", "IQ1_S", "Q3_K", "Q2_K"), "IQ4_NL"
)
"""What llama.cpp's quantizer takes for rows that are no multiple of 256 (llama-quant.cpp)."""

_BETTER = {"Q4_K_M": ("Q4_K", "Q6_K"), "Q5_K_M": ("Q5_K", "Q6_K"), "IQ4_XS": ("IQ4_XS", "Q5_K")}
_BETTER_PARTS = ("attn_v.", "attn_qkv.", "ffn_down")


@dataclass(frozen=True, slots=True)
class Kind:
    """The numbers of one model. `quant` is the name of a mix.

    `state`, `inner`, `groups` and `rank` are those of recurrent layers (ssm.*), of which one in
    `attention_every` attends; `latent` and `rank` those of latent attention. Gemma 4 has `inner` elements of
    embeddings in each layer, and `rank` layers that share a cache.
    """

    architecture: str
    layers: int
    width: int
    feed_forward: int
    vocabulary: int
    heads: int = 0
    kv_heads: int = 0
    head_width: int = 0
    quant: str = "Q4_K_M"
    tied: bool = True
    window: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    shared_width: int = 0
    state: int = 0
    inner: int = 0
    groups: int = 0
    rank: int = 0
    attention_every: int = 0
    latent: int = 0
    tokenizer: str = "gpt2"
    context: int = 131_072


def sparse(kind: Kind) -> Sparse:
    """The model of these numbers."""
    metadata, make = _BUILDERS[kind.architecture](kind)
    return Sparse(kind.architecture, metadata, tuple(_typed(kind, make)), kind.vocabulary, kind.tokenizer)


def _typed(kind: Kind, make: Some) -> Tensors:
    table = (kind.width, kind.vocabulary)
    best = {"F16": "F16", "Q8_0": "Q8_0", "MXFP4": "Q8_0"}.get(kind.quant, "Q6_K")
    plain = _BETTER.get(kind.quant, (kind.quant, ""))[0]
    if kind.quant == "MXFP4":
        plain = "Q8_0"
    yield "token_embd.weight", table, _fitting(best if kind.tied else plain, kind.width)
    if not kind.tied:
        yield "output.weight", table, _fitting(best, kind.width)
    for name, dimensions in make:
        yield name, dimensions, _type(kind, name, dimensions)


def _type(kind: Kind, name: str, dimensions: Dims) -> str:
    if (
        len(dimensions) == 1
        or not name.endswith(".weight")
        or any(part in name for part in ("ffn_gate_inp", "conv", "norm", "altup", "ssm_x", "ssm_dt", "lerp"))
    ):
        return "F32"
    plain, better = _BETTER.get(kind.quant, (kind.quant, kind.quant))
    if kind.quant == "MXFP4":
        plain = better = "MXFP4" if "_exps" in name else "Q8_0"
    layer = int(name.split(".")[1]) if name.startswith("blk.") else 0
    wanted = better if layer % 2 and any(part in name for part in _BETTER_PARTS) else plain
    return _fitting(wanted, dimensions[0])


def _fitting(wanted: str, row: int) -> str:
    if row % 32:
        return "F16"
    return _STEP_DOWN.get(wanted, wanted) if row % 256 else wanted


# --- What families have in common -------------------------------------------------------------------------

Built = tuple[dict[str, object], Some]


def _common(kind: Kind, **more: object) -> dict[str, object]:
    metadata: dict[str, object] = {
        "context_length": kind.context,
        "embedding_length": kind.width,
        "block_count": kind.layers,
        "feed_forward_length": kind.feed_forward,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if kind.heads:
        metadata |= {
            "attention.head_count": kind.heads,
            "attention.head_count_kv": kind.kv_heads,
            "attention.key_length": kind.head_width,
            "attention.value_length": kind.head_width,
            "rope.dimension_count": kind.head_width,
        }
    if kind.experts:
        metadata |= {
            "expert_count": kind.experts,
            "expert_used_count": kind.experts_used,
            "expert_feed_forward_length": kind.expert_width,
        }
    if kind.shared_width:
        metadata["expert_shared_feed_forward_length"] = kind.shared_width
    if kind.window:
        metadata["attention.sliding_window"] = kind.window
    return metadata | {key.replace("__", "."): value for key, value in more.items()}


def _in(layer: int, parts: Some) -> Some:
    for name, dimensions in parts:
        yield f"blk.{layer}.{name}", dimensions


def _layers(kind: Kind, *each: Callable[[Kind], Some]) -> Some:
    yield "output_norm.weight", (kind.width,)
    for layer in range(kind.layers):
        for parts in each:
            yield from _in(layer, parts(kind))


def _attention(kind: Kind) -> Some:
    queries, keys = kind.heads * kind.head_width, kind.kv_heads * kind.head_width
    yield "attn_norm.weight", (kind.width,)
    yield "attn_q.weight", (kind.width, queries)
    yield "attn_k.weight", (kind.width, keys)
    yield "attn_v.weight", (kind.width, keys)
    yield "attn_output.weight", (queries, kind.width)


def _biases(kind: Kind) -> Some:
    yield "attn_q.bias", (kind.heads * kind.head_width,)
    yield "attn_k.bias", (kind.kv_heads * kind.head_width,)
    yield "attn_v.bias", (kind.kv_heads * kind.head_width,)


def _head_norms(kind: Kind) -> Some:
    yield "attn_q_norm.weight", (kind.head_width,)
    yield "attn_k_norm.weight", (kind.head_width,)


def _post_norms(kind: Kind) -> Some:
    yield "post_attention_norm.weight", (kind.width,)
    yield "post_ffw_norm.weight", (kind.width,)


def _gated(kind: Kind) -> Some:
    yield "ffn_norm.weight", (kind.width,)
    yield "ffn_gate.weight", (kind.width, kind.feed_forward)
    yield from _up_down(kind)


def _up_down(kind: Kind) -> Some:
    yield "ffn_up.weight", (kind.width, kind.feed_forward)
    yield "ffn_down.weight", (kind.feed_forward, kind.width)


def _experts(kind: Kind) -> Some:
    yield "ffn_gate_inp.weight", (kind.width, kind.experts)
    yield "ffn_gate_exps.weight", (kind.width, kind.expert_width, kind.experts)
    yield "ffn_up_exps.weight", (kind.width, kind.expert_width, kind.experts)
    yield "ffn_down_exps.weight", (kind.expert_width, kind.width, kind.experts)


def _ffn_norm(kind: Kind) -> Some:
    yield "ffn_norm.weight", (kind.width,)


def _shared(kind: Kind) -> Some:
    yield "ffn_gate_shexp.weight", (kind.width, kind.shared_width)
    yield "ffn_up_shexp.weight", (kind.width, kind.shared_width)
    yield "ffn_down_shexp.weight", (kind.shared_width, kind.width)


def _mamba_two(kind: Kind) -> Some:
    channels = kind.inner + 2 * kind.groups * kind.state
    yield "attn_norm.weight", (kind.width,)
    yield "ssm_in.weight", (kind.width, kind.inner + channels + kind.rank)
    yield "ssm_conv1d.weight", (4, channels)
    yield "ssm_conv1d.bias", (channels,)
    yield "ssm_dt.bias", (kind.rank,)
    yield "ssm_a", (1, kind.rank)
    yield "ssm_d", (1, kind.rank)
    yield "ssm_norm.weight", (kind.inner // kind.groups, kind.groups)
    yield "ssm_out.weight", (kind.inner, kind.width)


def _state(kind: Kind) -> dict[str, object]:
    found: dict[str, object] = {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": kind.inner,
        "ssm.state_size": kind.state,
        "ssm.time_step_rank": kind.rank,
    }
    return found | ({"ssm.group_count": kind.groups} if kind.groups else {})


# --- Each architecture ------------------------------------------------------------------------------------


def _llama(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _gated)


def _qwen2(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _biases, _gated)


def _qwen3(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _head_norms, _gated)


def _qwen3moe(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _head_norms, _ffn_norm, _experts)


def _gemma2(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _gated, _post_norms)


def _gemma3(kind: Kind) -> Built:
    return _common(kind), _layers(kind, _attention, _head_norms, _gated, _post_norms)


def _phi3(kind: Kind) -> Built:
    def fused(kind: Kind) -> Some:
        queries, keys = kind.heads * kind.head_width, kind.kv_heads * kind.head_width
        yield "attn_norm.weight", (kind.width,)
        yield "attn_qkv.weight", (kind.width, queries + 2 * keys)
        yield "attn_output.weight", (queries, kind.width)
        yield "ffn_norm.weight", (kind.width,)
        yield "ffn_up.weight", (kind.width, 2 * kind.feed_forward)
        yield "ffn_down.weight", (kind.feed_forward, kind.width)

    return _common(kind), _layers(kind, fused)


def _starcoder2(kind: Kind) -> Built:
    def biases(kind: Kind) -> Some:
        for name in ("attn_norm", "attn_output", "ffn_norm", "ffn_down"):
            yield f"{name}.bias", (kind.width,)
        yield "ffn_up.bias", (kind.feed_forward,)
        yield "ffn_norm.weight", (kind.width,)

    def built() -> Some:
        yield "output_norm.bias", (kind.width,)
        yield from _layers(kind, _attention, _biases, biases, _up_down)

    return _common(kind, attention__layer_norm_epsilon=1e-5), built()


def _olmo2(kind: Kind) -> Built:
    def layer(kind: Kind) -> Some:
        yield from (part for part in _attention(kind) if part[0] != "attn_norm.weight")
        yield "attn_q_norm.weight", (kind.width,)
        yield "attn_k_norm.weight", (kind.kv_heads * kind.head_width,)
        yield from (part for part in _gated(kind) if part[0] != "ffn_norm.weight")
        yield from _post_norms(kind)

    return _common(kind), _layers(kind, layer)


def _cohere2(kind: Kind) -> Built:
    def layer(kind: Kind) -> Some:
        yield from _attention(kind)
        yield from (part for part in _gated(kind) if part[0] != "ffn_norm.weight")

    return _common(kind, attention__layer_norm_epsilon=1e-5, logit_scale=0.25), _layers(kind, layer)


def _gpt_oss(kind: Kind) -> Built:
    def more(kind: Kind) -> Some:
        yield "attn_sinks.weight", (kind.heads,)
        yield "attn_output.bias", (kind.width,)
        yield "post_attention_norm.weight", (kind.width,)
        yield "ffn_gate_inp.bias", (kind.experts,)
        yield "ffn_gate_exps.bias", (kind.expert_width, kind.experts)
        yield "ffn_up_exps.bias", (kind.expert_width, kind.experts)
        yield "ffn_down_exps.bias", (kind.width, kind.experts)

    return _common(kind), _layers(kind, _attention, _biases, more, _experts)


def _deepseek2(kind: Kind) -> Built:
    """Latent attention: one key of `latent` and `head_width` / 2 elements for all heads."""
    rope, plain = kind.head_width // 2, kind.head_width

    def latent(kind: Kind) -> Some:
        yield "attn_norm.weight", (kind.width,)
        yield "attn_kv_a_norm.weight", (kind.latent,)
        if kind.rank:
            yield "attn_q_a_norm.weight", (kind.rank,)
            yield "attn_q_a.weight", (kind.width, kind.rank)
            yield "attn_q_b.weight", (kind.rank, kind.heads * (plain + rope))
        else:
            yield "attn_q.weight", (kind.width, kind.heads * (plain + rope))
        yield "attn_kv_a_mqa.weight", (kind.width, kind.latent + rope)
        yield "attn_k_b.weight", (plain, kind.latent, kind.heads)
        yield "attn_v_b.weight", (kind.latent, plain, kind.heads)
        yield "attn_output.weight", (kind.heads * plain, kind.width)
        yield "ffn_norm.weight", (kind.width,)

    def built() -> Some:
        yield "output_norm.weight", (kind.width,)
        for layer in range(kind.layers):
            yield from _in(layer, latent(kind))
            if layer == 0:
                yield from _in(layer, (part for part in _gated(kind) if part[0] != "ffn_norm.weight"))
            else:
                yield from _in(layer, _experts(kind))
                yield from _in(layer, _shared(kind))

    metadata = _common(
        kind,
        attention__head_count_kv=1,
        attention__key_length=kind.latent + rope,
        attention__value_length=kind.latent,
        attention__key_length_mla=plain + rope,
        attention__value_length_mla=plain,
        attention__kv_lora_rank=kind.latent,
        rope__dimension_count=rope,
        leading_dense_block_count=1,
        expert_shared_count=max(1, kind.shared_width // kind.expert_width),
    )
    if kind.rank:
        metadata["attention.q_lora_rank"] = kind.rank
    return metadata, built()


def _lfm2(kind: Kind) -> Built:
    attends = _attends(kind)

    def convolution(kind: Kind) -> Some:
        yield "attn_norm.weight", (kind.width,)
        yield "shortconv.conv.weight", (3, kind.width)
        yield "shortconv.in_proj.weight", (kind.width, 3 * kind.width)
        yield "shortconv.out_proj.weight", (kind.width, kind.width)

    def built() -> Some:
        yield "token_embd_norm.weight", (kind.width,)
        for layer in range(kind.layers):
            yield from _in(layer, _gated(kind))
            if attends[layer]:
                yield from _in(layer, _attention(kind))
                yield from _in(layer, _head_norms(kind))
            else:
                yield from _in(layer, convolution(kind))

    heads = [kind.kv_heads if here else 0 for here in attends]
    return _common(kind, attention__head_count_kv=heads, shortconv__l_cache=3), built()


def _granitehybrid(kind: Kind) -> Built:
    attends = _attends(kind)

    def built() -> Some:
        yield "output_norm.weight", (kind.width,)
        for layer in range(kind.layers):
            yield from _in(layer, _attention(kind) if attends[layer] else _mamba_two(kind))
            if kind.experts:
                yield from _in(layer, _ffn_norm(kind))
                yield from _in(layer, _experts(kind))
                yield from _in(layer, _shared(kind))
            else:
                yield from _in(layer, _gated(kind))

    heads = [kind.kv_heads if here else 0 for here in attends]
    return _common(kind, attention__head_count_kv=heads) | _state(kind), built()


def _nemotron_h(kind: Kind) -> Built:
    """A layer is one of three: recurrent, feed-forward, attention."""
    turns = ("mamba", "mlp", "mamba", "mlp", "mamba", "mlp", "mamba", "attention")
    what = [turns[layer % len(turns)] for layer in range(kind.layers)]

    def built() -> Some:
        yield "output_norm.weight", (kind.width,)
        for layer, part in enumerate(what):
            if part == "mamba":
                yield from _in(layer, _mamba_two(kind))
            elif part == "attention":
                yield from _in(layer, _attention(kind))
            else:
                yield f"blk.{layer}.attn_norm.weight", (kind.width,)
                yield from _in(layer, _up_down(kind))

    metadata = _common(
        kind,
        attention__layer_norm_epsilon=1e-5,
        attention__head_count_kv=[kind.kv_heads if part == "attention" else 0 for part in what],
        feed_forward_length=[kind.feed_forward if part == "mlp" else 0 for part in what],
    )
    return metadata | _state(kind), built()


def _falcon_h1(kind: Kind) -> Built:
    def layer(kind: Kind) -> Some:
        yield from (part for part in _mamba_two(kind) if part[0] != "attn_norm.weight")
        yield from _attention(kind)
        for name, dimensions in _gated(kind):
            yield ("ffn_norm" if name == "ffn_norm.weight" else name), dimensions

    return _common(kind) | _state(kind), _layers(kind, layer)


def _mamba(kind: Kind) -> Built:
    def layer(kind: Kind) -> Some:
        yield "attn_norm.weight", (kind.width,)
        yield "ssm_in.weight", (kind.width, 2 * kind.inner)
        yield "ssm_conv1d.weight", (4, kind.inner)
        yield "ssm_conv1d.bias", (kind.inner,)
        yield "ssm_x.weight", (kind.inner, kind.rank + 2 * kind.state)
        yield "ssm_dt.weight", (kind.rank, kind.inner)
        yield "ssm_dt.bias", (kind.inner,)
        yield "ssm_a", (kind.state, kind.inner)
        yield "ssm_d", (kind.inner,)
        yield "ssm_out.weight", (kind.inner, kind.width)

    return _common(kind, attention__head_count=0) | _state(kind), _layers(kind, layer)


def _mamba2(kind: Kind) -> Built:
    return _common(kind, attention__head_count=0) | _state(kind), _layers(kind, _mamba_two)


def _delta(kind: Kind) -> Some:
    """Gated delta nets: `groups` key heads and `rank` value heads of `state` elements."""
    keys, values = kind.state * kind.groups, kind.state * kind.rank
    yield "attn_qkv.weight", (kind.width, 2 * keys + values)
    yield "attn_gate.weight", (kind.width, values)
    yield "ssm_conv1d.weight", (4, 2 * keys + values)
    yield "ssm_dt.bias", (kind.rank,)
    yield "ssm_a", (kind.rank,)
    yield "ssm_norm.weight", (kind.state,)
    yield "ssm_out.weight", (values, kind.width)


def _qwen35(kind: Kind) -> Built:
    mixture = bool(kind.experts)
    attends = _attends(kind)

    def gated_attention() -> Some:
        for name, dimensions in _attention(kind):
            yield name, ((kind.width, 2 * dimensions[1]) if name == "attn_q.weight" else dimensions)
        yield from _head_norms(kind)

    def built() -> Some:
        yield "output_norm.weight", (kind.width,)
        for layer in range(kind.layers):
            if attends[layer]:
                yield from _in(layer, gated_attention())
            else:
                yield f"blk.{layer}.attn_norm.weight", (kind.width,)
                yield from _in(layer, _delta(kind))
                if kind.architecture == "qwen3next":
                    yield f"blk.{layer}.ssm_ba.weight", (kind.width, 2 * kind.rank)
                else:
                    yield f"blk.{layer}.ssm_alpha.weight", (kind.width, kind.rank)
                    yield f"blk.{layer}.ssm_beta.weight", (kind.width, kind.rank)
            yield f"blk.{layer}.post_attention_norm.weight", (kind.width,)
            if mixture:
                yield from _in(layer, _experts(kind))
                yield from _in(layer, _shared(kind))
                yield f"blk.{layer}.ffn_gate_inp_shexp.weight", (kind.width,)
            else:
                yield from _in(layer, (part for part in _gated(kind) if part[0] != "ffn_norm.weight"))

    metadata = _common(kind, full_attention_interval=kind.attention_every) | _state(kind)
    rotated = kind.head_width // 4
    metadata["rope.dimension_count"] = rotated
    metadata["rope.dimension_sections"] = [rotated // 6, rotated // 6, rotated // 6, 0]
    return metadata, built()


def _gemma4(kind: Kind) -> Built:
    """Windows in five of six layers, with heads of half the width, and a table of embeddings per layer."""
    every = kind.attention_every
    near = [(layer + 1) % every != 0 for layer in range(kind.layers)]
    shared = kind.rank

    def layer_of(layer: int) -> Some:
        head = kind.head_width // 2 if near[layer] else kind.head_width
        queries, keys = kind.heads * head, kind.kv_heads * head
        yield "attn_norm.weight", (kind.width,)
        yield "attn_q.weight", (kind.width, queries)
        if layer < kind.layers - shared:
            yield "attn_k.weight", (kind.width, keys)
            yield "attn_v.weight", (kind.width, keys)
            yield "attn_k_norm.weight", (head,)
        yield "attn_q_norm.weight", (head,)
        yield "attn_output.weight", (queries, kind.width)
        yield from _gated(kind)
        yield from _post_norms(kind)
        if kind.inner:
            yield "inp_gate.weight", (kind.width, kind.inner)
            yield "proj.weight", (kind.inner, kind.width)
            yield "post_norm.weight", (kind.width,)

    def built() -> Some:
        yield "output_norm.weight", (kind.width,)
        yield "rope_freqs.weight", (kind.head_width // 2,)
        if kind.inner:
            yield "per_layer_token_embd.weight", (kind.inner * kind.layers, kind.vocabulary)
            yield "per_layer_model_proj.weight", (kind.width, kind.inner * kind.layers)
            yield "per_layer_proj_norm.weight", (kind.inner,)
        for layer in range(kind.layers):
            yield from _in(layer, layer_of(layer))

    metadata = _common(
        kind,
        attention__sliding_window_pattern=near,
        attention__key_length_swa=kind.head_width // 2,
        attention__value_length_swa=kind.head_width // 2,
        attention__shared_kv_layers=shared,
        embedding_length_per_layer_input=kind.inner,
        rope__dimension_count_swa=kind.head_width // 2,
    )
    return metadata, built()


def _rwkv7(kind: Kind) -> Built:
    def layer_of(layer: int) -> Some:
        width, low = kind.width, kind.rank
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            yield f"{name}.weight", (width,)
            yield f"{name}.bias", (width,)
        for letter in "wav":
            yield f"time_mix_{letter}0.weight", (width,)
            yield f"time_mix_{letter}1.weight", (width, low)
            yield f"time_mix_{letter}2.weight", (low, width)
        yield "time_mix_g1.weight", (width, 2 * low)
        yield "time_mix_g2.weight", (2 * low, width)
        yield "time_mix_lerp_fused.weight", (width, 1, 1, 6)
        for name in ("k_k", "k_a", "r_k"):
            yield f"time_mix_{name}.weight", (width,)
        for name in ("key", "value", "receptance", "output"):
            yield f"time_mix_{name}.weight", (width, width)
        yield "channel_mix_lerp_k.weight", (width, 1, 1)
        yield "channel_mix_key.weight", (width, kind.feed_forward)
        yield "channel_mix_value.weight", (kind.feed_forward, width)

    def built() -> Some:
        for name in ("output_norm", "token_embd_norm"):
            yield f"{name}.weight", (kind.width,)
            yield f"{name}.bias", (kind.width,)
        for layer in range(kind.layers):
            yield from _in(layer, layer_of(layer))

    metadata = _common(
        kind,
        attention__head_count=0,
        attention__layer_norm_epsilon=1e-5,
        wkv__head_size=kind.state,
        attention__decay_lora_rank=kind.rank,
        attention__iclr_lora_rank=kind.rank,
        attention__value_residual_mix_lora_rank=kind.rank,
        attention__gate_lora_rank=2 * kind.rank,
        token_shift_count=2,
    )
    return metadata, built()


def _attends(kind: Kind) -> list[bool]:
    return [(layer + 1) % kind.attention_every == 0 for layer in range(kind.layers)]


_BUILDERS: dict[str, Callable[[Kind], Built]] = {
    "cohere2": _cohere2,
    "deepseek2": _deepseek2,
    "falcon-h1": _falcon_h1,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "gpt-oss": _gpt_oss,
    "granitehybrid": _granitehybrid,
    "lfm2": _lfm2,
    "llama": _llama,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "nemotron_h": _nemotron_h,
    "olmo2": _olmo2,
    "phi3": _phi3,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen35": _qwen35,
    "qwen35moe": _qwen35,
    "qwen3moe": _qwen3moe,
    "qwen3next": _qwen35,
    "rwkv7": _rwkv7,
    "starcoder2": _starcoder2,
}
