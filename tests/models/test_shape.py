"""What a header says a model is made of: its weights by place, and the cache and state of each layer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import sparse_models as models
from tests.models.sparse_families import Kind, sparse
from tests.models.sparse_gguf import write_sparse
from whisper_desktop.models.gguf import GgufHeader, Tensor, read_header
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.shape import KvGroup, ModelShape, Weights, shape_of
from whisper_desktop.values import GIB, ResourceInfo

LAYERS = 6
FULL = KvGroup(1, 2, 64, 64, None)
NEAR = KvGroup(1, 2, 64, 64, 1024)
WIDE = KvGroup(1, 2, 128, 128, None)


def described(architecture: str, **keys: object) -> GgufHeader:
    """A header of 6 layers with 8 heads of 64."""
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.embedding_length": 512,
        f"{architecture}.attention.head_count": 8,
        f"{architecture}.attention.head_count_kv": 2,
    }
    metadata |= {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return GgufHeader(metadata, 1)


def known(header: GgufHeader) -> ModelShape:
    """The shape of a header that tells enough."""
    shape = shape_of(header)
    assert shape is not None
    return shape


def with_tensors(architecture: str, *tensors: Tensor, **keys: object) -> ModelShape:
    """The shape of a header with these tensors."""
    return known(replace(described(architecture, **keys), tensors=tensors))


# --- Caches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cache"),
    [
        (described("llama"), (FULL,) * 6),
        (described("gemma3", attention__sliding_window=1024), (NEAR,) * 5 + (FULL,)),
        (described("gpt-oss", attention__sliding_window=1024), (NEAR, FULL) * 3),
        (described("cohere2moe", attention__sliding_window=1024), (FULL, NEAR, NEAR, NEAR, FULL, NEAR)),
        (described("olmo2", attention__sliding_window=1024), (NEAR, NEAR, NEAR, FULL, NEAR, NEAR)),
        (described("olmo2"), (FULL,) * 6),
        (described("phi3", attention__sliding_window=1024), (FULL,) * 6),
        (described("gemma2"), (KvGroup(1, 2, 64, 64, 4096), FULL) * 3),
        (
            described(
                "gemma4",
                attention__sliding_window=1024,
                attention__sliding_window_pattern=(True, False) * 3,
                attention__key_length=128,
                attention__value_length=128,
                attention__key_length_swa=64,
                attention__value_length_swa=64,
                attention__shared_kv_layers=2,
            ),
            (NEAR, WIDE) * 2 + (None, None),
        ),
        (described("qwen3next", full_attention_interval=3), (None, None, FULL) * 2),
        (described("qwen35"), (None, None, None, FULL, None, None)),
        (
            described("qwen35", attention__recurrent_layers=(True, False) * 3),
            (None, FULL) * 3,
        ),
        (described("lfm2", attention__head_count_kv=(0, 0, 2, 0, 0, 2)), (None, None, FULL) * 2),
        (described("glm4moe", nextn_predict_layers=1), (FULL,) * 5 + (None,)),
        (described("mamba2"), (None,) * 6),
        (
            described(
                "deepseek2",
                attention__key_length=576,
                attention__head_count_kv=1,
                attention__key_length_mla=192,
                attention__value_length_mla=128,
            ),
            (KvGroup(1, 1, 576, 0, None),) * 6,
        ),
        (described("unheard-of", attention__sliding_window=1024), (FULL,) * 6),
    ],
    ids=[
        "dense",
        "gemma3",
        "gpt-oss",
        "the first of each period is full",
        "olmo3",
        "olmo2",
        "windows that are switched off",
        "gemma2's own window",
        "gemma4",
        "qwen3next",
        "qwen35's own period",
        "recurrent layers that are told",
        "lfm2",
        "layers that guess tokens",
        "only recurrent",
        "latent",
        "unknown windows",
    ],
)
def test_the_cache_of_each_layer_follows_the_architecture(
    header: GgufHeader, cache: tuple[KvGroup | None, ...]
) -> None:
    assert tuple(layer.cache for layer in known(header).layers) == cache
    assert known(header).kv_groups == tuple(group for group in cache if group is not None)


# --- States -----------------------------------------------------------------------------------------------

DELTA = {"ssm__inner_size": 4096, "ssm__state_size": 128, "ssm__conv_kernel": 4, "ssm__group_count": 16}
DELTA_STATE = 52_690_944 // 24  # Qwen3.5-9B: of 32 layers 24 are recurrent; the total is what llama.cpp told


@pytest.mark.parametrize(
    ("header", "states"),
    [
        (described("llama"), (0,) * 6),
        (described("qwen35", **DELTA), (DELTA_STATE,) * 3 + (0,) + (DELTA_STATE,) * 2),
        (described("falcon-h1", **DELTA), (DELTA_STATE,) * 6),
        (
            described("lfm2", attention__head_count_kv=(0, 0, 2) * 2, shortconv__l_cache=3),
            (4 * 512 * 2, 4 * 512 * 2, 0) * 2,
        ),
        (described("rwkv7", wkv__head_size=64, token_shift_count=2), (4 * 512 * (2 + 64),) * 6),
        (
            described(
                "nemotron_h",
                **DELTA,
                attention__head_count_kv=(0, 0, 2) * 2,
                feed_forward_length=(0, 2048, 0) * 2,
            ),
            (DELTA_STATE, 0, 0) * 2,
        ),
        (described("gemma4", attention__shared_kv_layers=2), (0,) * 6),
    ],
    ids=[
        "none",
        "gated delta",
        "beside a cache",
        "short convolution",
        "rwkv",
        "layers that only transform",
        "shared caches",
    ],
)
def test_recurrent_layers_keep_a_state_of_a_fixed_size(header: GgufHeader, states: tuple[int, ...]) -> None:
    assert tuple(layer.state_bytes for layer in known(header).layers) == states


# --- Weights ----------------------------------------------------------------------------------------------


def test_weights_are_told_by_where_they_go() -> None:
    shape = with_tensors(
        "qwen3moe",
        Tensor("token_embd.weight", "Q4_K", (512, 1000), 288_000),
        Tensor("output.weight", "Q6_K", (512, 1000), 420_000),
        Tensor("output_norm.weight", "F32", (512,), 2048),
        Tensor("blk.2.attn_q.weight", "Q4_K", (512, 512), 147_456),
        Tensor("blk.2.attn_q.bias", "F32", (512,), 2048),
        Tensor("blk.2.ffn_up_exps.weight", "Q4_K", (512, 256, 4), 294_912),
    )
    assert shape.embedding == shape.table == Weights(288_000, (("Q4_K", 288_000),))
    assert shape.output == Weights(422_048, (("Q6_K", 420_000),))
    assert shape.layers[2].weights == Weights(149_504, (("Q4_K", 147_456),))
    assert shape.layers[2].experts == Weights(294_912, (("Q4_K", 294_912),))
    assert (shape.tied, shape.vocabulary, shape.tensors, shape.exact) == (False, 1000, 6, True)


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("blk.0.attn_k_b.weight", (128, 512, 16)),  # three dimensions are for experts only
        ("blk.0.attn_q.weight", (512, 1001)),  # rows come in eights
        ("per_layer_token_embd.weight", (512, 1000)),  # a table is never multiplied with
    ],
)
def test_only_what_is_multiplied_with_in_eights_of_rows_can_be_repacked(
    name: str, dimensions: tuple[int, ...]
) -> None:
    shape = with_tensors("llama", Tensor(name, "Q4_0", dimensions, 1000))
    assert shape.weights == Weights(1000)


def test_what_is_left_in_the_file_is_not_counted() -> None:
    tensors = (
        Tensor("blk.4.ffn_up.weight", "F16", (512, 8), 100),
        Tensor("blk.5.nextn.x.weight", "F16", (8,), 50),
    )
    assert with_tensors("glm4moe", *tensors, nextn_predict_layers=1).weights.size_bytes == 100


def test_the_projection_of_a_table_per_layer_belongs_to_the_first_layer() -> None:
    shape = with_tensors(
        "gemma4",
        Tensor("per_layer_token_embd.weight", "Q4_0", (1536, 1000), 800),
        Tensor("per_layer_model_proj.weight", "Q4_0", (512, 1536), 100),
    )
    assert (shape.embedding, shape.layers[0].weights) == (Weights(800), Weights(100, (("Q4_0", 100),)))
    assert (shape.per_layer_width, shape.table) == (1536, Weights())


def test_a_feed_forward_layer_without_a_gate_is_told() -> None:
    up = Tensor("blk.0.ffn_up.weight", "F16", (512, 2048), 1)
    gate = Tensor("blk.0.ffn_gate.weight", "F16", (512, 2048), 1)
    both = Tensor("blk.0.ffn_up.weight", "F16", (512, 4096), 1)
    keys = {"feed_forward_length": 2048}
    assert not with_tensors("starcoder2", up, **keys).gated
    assert with_tensors("llama", up, gate, **keys).gated
    assert with_tensors("phi3", both, **keys).gated


def test_a_header_without_tensors_is_shared_out_evenly() -> None:
    shape = known(replace(described("llama"), file_bytes=7000))
    assert {layer.weights.size_bytes for layer in shape.layers} == {1000}
    assert (shape.output.size_bytes, shape.weights.size_bytes, shape.exact) == (1000, 7000, False)


def test_a_header_that_does_not_say_how_many_layers_has_no_shape() -> None:
    assert shape_of(GgufHeader({"general.architecture": "llama"}, 1)) is None


@pytest.mark.parametrize("kind", [models.SMOLLM2_135M, models.LFM2_350M, models.QWEN35_08B], ids=str)
def test_every_byte_of_a_real_family_has_its_place(kind: Kind, tmp_path: Path) -> None:
    header = read_header(write_sparse(tmp_path / "model.gguf", sparse(kind)))
    shape = known(header)
    assert shape.weights.size_bytes == sum(tensor.size_bytes for tensor in header.tensors)
    assert shape.tied
    assert shape.gated


# --- Headers that are made to harm ------------------------------------------------------------------------

_KEYS = (
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.recurrent_layers",
    "attention.shared_kv_layers",
    "expert_used_count",
    "full_attention_interval",
    "nextn_predict_layers",
    "shortconv.l_cache",
    "ssm.inner_size",
    "ssm.state_size",
    "wkv.head_size",
)
_VALUES = st.one_of(
    st.integers(-(2**63), 2**64),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-1, 2**40), max_size=8).map(tuple),
)


@given(
    architecture=st.sampled_from(
        ["llama", "gemma3", "gemma4", "qwen35", "nemotron_h", "falcon-h1", "rwkv7", ""]
    ),
    values=st.dictionaries(st.sampled_from(_KEYS), _VALUES),
    layers=st.integers(1, 12),
    tensors=st.lists(
        st.builds(
            Tensor,
            st.sampled_from(
                ["token_embd.weight", "blk.0.ffn_up.weight", "blk.99.x", "per_layer_token_embd.weight"]
            ),
            st.just("Q4_0"),
            st.lists(st.integers(1, 2**50), min_size=1, max_size=4).map(tuple),
            st.integers(0, 2**50),
        ),
        max_size=4,
    ),
)
def test_no_header_leads_to_anything_but_a_shape_and_a_need(
    architecture: str, values: dict[str, object], layers: int, tensors: list[Tensor]
) -> None:
    metadata: dict[str, Any] = {f"{architecture}.{key}": value for key, value in values.items()}
    metadata |= {"general.architecture": architecture, f"{architecture}.block_count": layers}
    shape = known(GgufHeader(metadata, 10_000, tuple(tensors)))
    assert len(shape.layers) == layers
    machine = ResourceInfo("Linux", "12", "x86_64", "cpu", 2, 2, 16 * GIB, 16 * GIB)
    need = ModelMemory(shape, machine).need(Placement(4096, gpu_layers=(2, 3)))
    parts = [*need.gpus, need.host]
    assert all(
        min(part.weights, part.cache, part.compute, part.other, part.checkpoints) >= 0 for part in parts
    )
