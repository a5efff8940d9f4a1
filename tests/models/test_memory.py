"""What a model needs in memory, against llama.cpp's own figures, and what must hold for every model."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import sparse_models as models
from tests.models.sparse_families import Kind, sparse
from tests.models.sparse_gguf import SMALL, write_sparse
from whisper_desktop.engines import EngineSpec, make_engine
from whisper_desktop.engines.outcome import read_outcome
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import GgufHeader, Tensor, read_header
from whisper_desktop.models.gguf_types import TYPES
from whisper_desktop.models.memory import CacheType, ModelMemory, Part, Placement, kv_cache_bytes
from whisper_desktop.models.shape import KvGroup, LayerShape, ModelShape, Weights, shape_of
from whisper_desktop.values import GIB, Deadlines, GpuInfo, Reach, ResourceInfo
from whisper_desktop.wire.http import Http

MIB = 2**20
# Computed by llama.cpp itself (no-allocation loading) for each model and context, f16, one sequence.
GOLDEN = json.loads((Path(__file__).parent / "golden_kv_bytes.json").read_text())
MACHINE = ResourceInfo("Linux", "12", "x86_64", "cpu", 2, 2, 16 * GIB, 16 * GIB)
SIZES = {name: (block, size) for name, block, size in TYPES.values()}


def shape(kind: Kind) -> ModelShape:
    """The shape of a model's header, which is not written anywhere."""
    made = sparse(kind)
    metadata = {f"{made.architecture}.{key}": _kept(value) for key, value in made.metadata.items()}
    tensors = tuple(
        Tensor(name, of, dimensions, _size(dimensions, of)) for name, dimensions, of in made.tensors
    )
    total = sum(tensor.size_bytes for tensor in tensors)
    found = shape_of(GgufHeader({"general.architecture": made.architecture, **metadata}, total, tensors))
    assert found is not None
    return found


def _kept(value: object) -> int | float | bool | str | tuple[int, ...]:
    assert isinstance(value, int | float | bool | str | list)
    return tuple(value) if isinstance(value, list) else value


def _size(dimensions: tuple[int, ...], kind: str) -> int:
    block, size = SIZES[kind]
    elements = 1
    for extent in dimensions:
        elements *= extent
    return elements // block * size


def memory(kind: Kind, resources: ResourceInfo = MACHINE, *, builtin: bool = False) -> ModelMemory:
    """The memory of that model."""
    return ModelMemory(shape(kind), resources, builtin=builtin)


# --- Caches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Qwen3-0.6B", models.QWEN3_06B),
        ("Qwen3-8B", replace(models.QWEN3_4B, width=4096)),
        ("Qwen3-14B", models.QWEN3_14B),
        ("Qwen3-Coder-30B-A3B-Instruct", models.QWEN3_30B),
        ("Qwen3-Coder-Next", replace(models.QWEN3_NEXT, layers=48)),
        ("Qwen3.5-0.8B", models.QWEN35_08B),
        ("Qwen3.5-4B", models.QWEN35_4B),
        ("Qwen3.6-35B-A3B", models.QWEN35_35B),
        ("Llama-3.1-8B-Instruct", models.LLAMA_8B),
        ("Llama-3.3-70B-Instruct", models.LLAMA_70B),
        ("gemma-3-1b-it", models.GEMMA3_1B),
        ("gemma-3-4b-it", models.GEMMA3_4B),
        ("gemma-4-E2B-it", models.GEMMA4_E2B),
        ("gpt-oss-20b", models.GPT_OSS_20B),
        ("GLM-4.7-Flash", replace(models.DEEPSEEK_V2_LITE, layers=47)),
    ],
)
def test_caches_and_states_agree_with_llama_cpp_to_the_byte(name: str, kind: Kind) -> None:
    sizes = memory(kind)
    ours = {context: sizes.need(Placement(int(context))).host.cache for context in GOLDEN[name]}
    assert ours == GOLDEN[name]


@pytest.mark.parametrize(("kind", "share"), [("f16", 1.0), ("q8_0", 34 / 64), ("q4_0", 18 / 64)])
def test_a_quantized_cache_counts_its_block_scales(kind: CacheType, share: float) -> None:
    sizes = memory(models.LLAMA_8B)
    assert sizes.need(Placement(8192, cache_type=kind)).host.cache == share * GIB


def test_a_context_is_padded_to_whole_blocks() -> None:
    groups = (KvGroup(layers=1, kv_heads=1, k_dim=1, v_dim=1, window=None),)
    assert kv_cache_bytes(groups, 257) == kv_cache_bytes(groups, 512)


def test_every_slot_has_its_own_cache_and_states() -> None:
    for kind in (models.LLAMA_1B, models.GEMMA3_1B, models.MAMBA_14B, models.FALCON_H1_15B):
        sizes = memory(kind)
        one, four = (sizes.need(Placement(8192, parallel=slots)).host for slots in (1, 4))
        assert four.cache == 4 * one.cache
        assert four.checkpoints == 4 * one.checkpoints


# --- Compute buffers, checkpoints -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "logged"),
    [
        # "CPU compute buffer size", in MiB, logged by the reference llama-server with 4096 tokens of context
        (models.SMOLLM2_135M, 17.51),
        (models.LLAMA_1B, 68.01),
        (models.LLAMA_70B, 236.01),
        (models.QWEN2_7B, 143.01),
        (models.QWEN3_4B, 84.01),
        (models.GEMMA2_2B, 79.52),
        (models.GEMMA3_4B, 84.52),
        (models.GEMMA4_E2B, 84.02),
        (models.STARCODER2_3B, 52.01),
        (models.QWEN3_30B, 92.01),
        (models.GPT_OSS_20B, 97.14),
        (models.LFM2_350M, 37.02),
        (models.QWEN35_4B, 73.02),
        (models.MAMBA_14B, 52.35),
        (models.GRANITE_H_1B, 47.11),
        (models.FALCON_H1_15B, 54.19),
        (models.RWKV7_15B, 77.21),
    ],
    ids=lambda value: value.architecture if isinstance(value, Kind) else "",
)
def test_compute_buffers_are_those_that_llama_server_logs(kind: Kind, logged: float) -> None:
    assert memory(kind).need(Placement(4096)).host.compute / MIB == pytest.approx(logged, abs=0.5, rel=0.04)


def test_intermediate_results_grow_with_what_is_read_and_not_with_what_could_be() -> None:
    sizes = memory(models.LLAMA_1B)
    little, all_of_it = (sizes.need(Placement(65_536, filled=read)).host for read in (520, None))
    assert all_of_it.compute - little.compute == 2 * 512 * (65_536 - 768)
    assert all_of_it.cache == little.cache


@pytest.mark.parametrize(("kind", "touched"), [(models.LFM2_350M, 61), (models.GEMMA3_1B, 101)])
def test_graphs_that_differ_are_laid_out_anew_where_the_mask_is_not_read_yet(
    kind: Kind, touched: int
) -> None:
    # Measured: of 97 and 114 MiB, of which 33 and 49 are results, a prompt of 520 tokens touches so many.
    little = memory(kind).need(Placement(65_536, filled=520)).host.compute
    assert little / MIB == pytest.approx(touched, rel=0.1)


def test_every_token_of_context_is_noted() -> None:
    sizes = memory(models.MAMBA_14B)
    little, much = (sizes.need(Placement(context, parallel=2)).host.other for context in (4096, 8192))
    assert much - little == 2 * 4096 * 32


def test_checkpoints_are_of_models_that_cannot_go_back_one_token() -> None:
    def kept(kind: Kind, filled: int | None = None, checkpoints: int = 2) -> int:
        placement = Placement(4096, filled=filled, checkpoints=checkpoints)
        return memory(kind).need(placement).host.checkpoints

    # "created context checkpoint 1 of 32 (..., size = 55.372 MiB)", and 1.806 and 11.006 MiB for 84 and 596
    # tokens, logged by llama-server after a prompt of 600 tokens
    assert round(kept(models.GRANITE_H_1B) / 3 / MIB, 2) == 55.37  # and the state of the prompt before
    assert kept(models.GEMMA3_1B, filled=600) / MIB == pytest.approx(1.806 + 11.006, abs=0.5)
    assert kept(models.GRANITE_H_1B, checkpoints=32) == 11 * kept(models.GRANITE_H_1B)
    assert kept(models.GRANITE_H_1B, checkpoints=0) == 0
    assert kept(models.LLAMA_1B) == 0


def test_the_engine_itself_takes_more_for_more_words_tensors_and_nodes() -> None:
    plain = shape(models.QWEN35_08B)
    other = ModelMemory(plain, MACHINE).need(Placement(4096)).host.other

    def more(changed: ModelShape, *, builtin: bool = False) -> int:
        return ModelMemory(changed, MACHINE, builtin=builtin).need(Placement(4096)).host.other - other

    assert more(replace(plain, vocabulary=plain.vocabulary + 100_000, merges=plain.vocabulary)) == 17_300_000
    assert more(replace(plain, merges=0)) < -20_000_000
    assert more(plain, builtin=True) > 10_000_000
    # it sets aside 40 nodes of a graph for each token of a batch, where others have 8 for each tensor
    assert more(replace(plain, architecture="qwen3")) == -3 * 420 * (40 * 512 - 8 * plain.tensors)


def test_matrices_are_multiplied_with_a_batch_that_is_converted_for_them() -> None:
    def other(kind: Kind) -> int:
        return memory(kind).need(Placement(4096, repack=False)).host.other

    halves = other(replace(models.LLAMA_1B, quant="F16")) - other(models.LLAMA_1B)
    assert halves == pytest.approx(512 * 8192 * (2 - 292 / 256), abs=1)


def test_a_matrix_passes_through_memory_on_its_way_to_being_repacked() -> None:
    sizes = memory(models.LLAMA_1B)
    read, mapped, plain = (
        sizes.need(placement).host.other
        for placement in (Placement(4096), Placement(4096, load_mode="mmap"), Placement(4096, repack=False))
    )
    assert read - mapped == read - plain == 2048 * 8192 // 256 * 144
    assert (
        memory(models.LLAMA_70B).need(Placement(4096)).host.other - other_without(models.LLAMA_70B) < 32 * MIB
    )


def other_without(kind: Kind) -> int:
    """What the engine takes beside a model whose weights stay as they are."""
    return memory(kind).need(Placement(4096, repack=False)).host.other


# --- What lies where --------------------------------------------------------------------------------------


def even(layers: int, *, experts: int = 0, tied: bool = False) -> ModelShape:
    """A model of layers of 100 bytes, 50 of them in Q4_K, a table and an output of 1000."""
    layer = LayerShape(
        Weights(100, (("Q4_K", 50),)), Weights(experts, (("Q4_K", experts),)), KvGroup(1, 1, 1, 1, None)
    )
    table = Weights(1000, (("Q4_K", 1000),))
    output = Weights(10) if tied else Weights(1010, (("Q6_K", 1000),))
    return ModelShape("llama", 0, (layer,) * layers, table, output, tied, 8, 1, 10, 16, 4096, table=table)


def placed(
    model: ModelShape,
    gpu_layers: tuple[int, ...] = (),
    experts_on_host: int = 0,
    *,
    mapped: bool = False,
    repack: bool = True,
) -> list[Part]:
    """What lies on each card, and on the host as the last."""
    placement = Placement(
        4096, gpu_layers, experts_on_host, load_mode="mmap" if mapped else "none", repack=repack
    )
    need = ModelMemory(model, MACHINE).need(placement)
    return [*need.gpus, need.host]


def test_without_a_card_all_lies_on_the_host_once() -> None:
    (host,) = placed(even(4))
    assert (host.weights, host.copies) == (1000 + 400 + 1010, 0)


def test_a_mapped_file_stays_beside_what_is_repacked() -> None:
    (host,) = placed(even(4, experts=1000), mapped=True)
    assert (host.weights, host.copies) == (1000 + 4400 + 1010, 4 * 1050)
    assert placed(even(4), mapped=True, repack=False)[0].copies == 0


def test_a_table_that_is_the_output_too_is_there_twice_when_it_is_repacked() -> None:
    (read,), (mapped,) = (placed(even(4, tied=True), mapped=mapped) for mapped in (False, True))
    assert read.weights == 1000 + 400 + 10 + 1000
    assert (mapped.weights, mapped.copies) == (1000 + 400 + 10, 200 + 1000)


def test_gemma_s_table_is_read_twice_even_where_it_is_not_repacked() -> None:
    # llama-fit-params: "Host 2634 36 523" for a file whose tensors are 2326 MiB
    sizes = memory(models.GEMMA4_E2B)
    assert round(sizes.need(Placement(4096, repack=False)).host.weights / MIB) == 2634
    mapped = sizes.need(Placement(4096, repack=False, load_mode="mmap")).host
    assert mapped.weights == sizes.shape.weights.size_bytes


def test_the_output_goes_to_a_card_first_and_lies_on_the_last() -> None:
    first, second, host = placed(even(4), gpu_layers=(1, 2))
    assert (first.weights, second.weights, host.weights) == (100, 100 + 1010, 1000 + 200)
    assert (first.cache, second.cache, host.cache) == (16_384, 16_384, 2 * 16_384)
    only_output, host = placed(even(4), gpu_layers=(1,))
    assert (only_output.weights, only_output.cache, host.cache) == (1010, 0, 4 * 16_384)


def test_experts_can_stay_on_the_host_while_their_layers_do_not() -> None:
    card, host = placed(even(4, experts=1000), gpu_layers=(5,), experts_on_host=3)
    assert card.weights == 400 + 1000 + 1010
    assert host.weights == 1000 + 3000
    assert card.cache == 4 * 16_384
    assert host.copies == 0


def test_no_more_layers_are_placed_than_there_are() -> None:
    assert placed(even(4), gpu_layers=(9, 9)) == placed(even(4), gpu_layers=(0, 5))


def test_a_card_s_part_can_be_compared_with_what_a_log_says() -> None:
    lines = (
        (Path(__file__).parents[1] / "engines" / "samples_outcome" / "cuda_all.txt").read_text().splitlines()
    )
    logged = {each.device: each for each in read_outcome(lines).buffers}
    card = ModelMemory(shape(models.LLAMA_8B), MACHINE).need(Placement(32_768, gpu_layers=(33,))).gpus[0]
    said = logged["CUDA0"]
    assert card.weights == pytest.approx(said.weights, rel=0.001)
    assert card.cache == said.cache
    assert card.compute == pytest.approx(said.compute, rel=0.06)


# --- Processors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "features", "repacked"),
    [
        ("x86_64", (), {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4", "Q2_K"}),
        ("x86_64", ("avx2",), {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}),
        ("x86_64", ("sse4_2",), set()),
        ("arm64", ("dotprod",), {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"}),
        ("aarch64", ("fp16",), set()),
    ],
)
def test_what_is_repacked_goes_by_the_processor(
    arch: str, features: tuple[str, ...], repacked: set[str]
) -> None:
    kinds = [name for name, _, _ in TYPES.values()]
    layers = tuple(LayerShape(Weights(1, ((kind, 1),))) for kind in kinds)
    model = replace(even(1), layers=layers, output=Weights())
    machine = replace(MACHINE, arch=arch, cpu_features=features)
    need = ModelMemory(model, machine).need(Placement(4096, load_mode="mmap"))
    assert need.host.copies == len(repacked)


def test_the_library_of_a_card_is_counted_unless_its_memory_is_shared() -> None:
    own = replace(MACHINE, gpus=(GpuInfo("NVIDIA", "RTX 3060", 12 * GIB),))
    shared = replace(MACHINE, gpus=(GpuInfo("Apple", "M2", 12 * GIB, unified=True),))
    start = Placement(4096, gpu_layers=(17,))
    a_card, one_memory = (memory(models.LLAMA_1B, machine).need(start).host for machine in (own, shared))
    assert a_card.other - one_memory.other == 300_000_000


# --- What must hold for every model -----------------------------------------------------------------------

ALL = tuple(value for value in vars(models).values() if isinstance(value, Kind))
SMALLER = tuple(kind for kind in ALL if kind.layers <= 32)
SHAPES = {kind: shape(kind) for kind in SMALLER}

contexts = st.integers(256, 131_072)


@given(kind=st.sampled_from(SMALLER), context=contexts, more=st.integers(0, 131_072), slots=st.integers(1, 4))
def test_more_context_and_more_slots_never_need_less(kind: Kind, context: int, more: int, slots: int) -> None:
    sizes = ModelMemory(SHAPES[kind], MACHINE)
    assert sizes.need(Placement(context)).total <= sizes.need(Placement(context + more, parallel=slots)).total


@given(kind=st.sampled_from(SMALLER), context=contexts, layers=st.integers(0, 33), experts=st.integers(0, 33))
def test_weights_are_where_they_are_placed_and_nowhere_else(
    kind: Kind, context: int, layers: int, experts: int
) -> None:
    model = SHAPES[kind]
    placement = Placement(context, gpu_layers=(layers // 2, layers - layers // 2), experts_on_host=experts)
    need = ModelMemory(model, MACHINE).need(replace(placement, repack=False))
    twice = model.table.size_bytes if model.tied and (layers or model.architecture == "gemma4") else 0
    placed = need.host.weights + sum(part.weights for part in need.gpus)
    assert placed == model.weights.size_bytes + twice
    cached = need.host.cache + sum(part.cache for part in need.gpus)
    assert cached == ModelMemory(model, MACHINE).need(Placement(context)).host.cache


@given(kind=st.sampled_from(SMALLER), context=contexts, layers=st.integers(1, 33))
def test_each_further_layer_on_a_card_needs_more_of_it(kind: Kind, context: int, layers: int) -> None:
    sizes = ModelMemory(SHAPES[kind], MACHINE)
    fewer, more = (sizes.need(Placement(context, gpu_layers=(count,))) for count in (layers - 1, layers))
    assert fewer.gpu_bytes <= more.gpu_bytes


@given(kind=st.sampled_from(SMALLER), context=contexts)
def test_mapping_and_quantizing_take_what_they_are_said_to(kind: Kind, context: int) -> None:
    sizes = ModelMemory(SHAPES[kind], MACHINE)
    read, mapped = sizes.need(Placement(context)), sizes.need(Placement(context, load_mode="mmap"))
    assert read.total <= mapped.total
    assert sizes.need(Placement(context, cache_type="q8_0")).total <= read.total


# --- A real engine ----------------------------------------------------------------------------------------


@pytest.mark.reference_engine
async def test_a_real_engine_takes_what_is_predicted(tmp_path: Path, reference_llama_server: Path) -> None:
    model = write_sparse(tmp_path / "small.gguf", SMALL)
    found = shape_of(read_header(model))
    assert found is not None
    resources = replace(await asyncio.to_thread(detect_resources), gpus=())
    predicted = ModelMemory(found, resources).need(Placement(16_384, filled=520)).total
    http = Http(Deadlines())
    spec = EngineSpec(model, "small", n_ctx=16_384, binary=reference_llama_server, threads=1)
    engine = make_engine(spec, http=http)
    try:
        address = await engine.ensure_ready()
        reply = await http.request(
            "POST",
            f"{address.url}/completion",
            json={"prompt": [300 + number for number in range(520)], "n_predict": 1},
            allowed=Reach.THIS_MACHINE,
            headers=authorization(address),
            total=120.0,
        )
        assert reply.status == 200, reply.body
        pid = engine.status().pid
        assert pid is not None
        taken = psutil.Process(pid).memory_info().rss
    finally:
        await engine.stop()
        await http.aclose()
    assert predicted == pytest.approx(taken, rel=0.05)
