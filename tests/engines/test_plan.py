"""From a header and free memory to a start: no more than is free, as it was wished, with reasons."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.engines.conftest import MakeEngine
from tests.models.sparse_gguf import (
    EIGHT_BILLION,
    ONE_BILLION,
    SMALL,
    Shape,
    size_of,
    tensors,
    write_sparse,
)
from whisper_desktop.engines import EngineSpec
from whisper_desktop.engines.plan import Plan, Wishes, plan
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import GgufHeader, Tensor, read_header
from whisper_desktop.values import GIB, GpuInfo, Reach, ResourceInfo
from whisper_desktop.wire.http import Http

MIB = 2**20


def header_of(shape: Shape) -> GgufHeader:
    """As `read_header` reads it from the sparse file, without the file."""
    metadata: dict[str, int | str] = {
        "general.architecture": "llama",
        "llama.context_length": shape.context,
        "llama.block_count": shape.layers,
        "llama.embedding_length": shape.width,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.key_length": shape.head_width,
        "llama.attention.value_length": shape.head_width,
        "llama.expert_count": shape.experts,
        "llama.expert_used_count": shape.experts_used,
        "llama.expert_feed_forward_length": shape.feed_forward if shape.experts else 0,
    }
    entries = tuple(
        Tensor(name, kind, dimensions, size_of(dimensions, kind)) for name, dimensions, kind in tensors(shape)
    )
    return GgufHeader(metadata, sum(entry.size_bytes for entry in entries), entries)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse model of 47 MiB."""
    return write_sparse(tmp_path_factory.mktemp("sparse") / "small.gguf", SMALL)


EIGHT = header_of(EIGHT_BILLION)
ONE = header_of(ONE_BILLION)
MIXED = header_of(
    Shape(48, 2048, 32, 4, 128, 768, 151_936, False, architecture="qwen3moe", experts=128, experts_used=8)
)
"""Qwen3 30B-A3B: 17.6 GB, of which 16.3 are experts."""


def machine(
    ram_gib: float, *cards: GpuInfo, free_gib: float | None = None, os_name: str = "Linux"
) -> ResourceInfo:
    """A computer with that much memory, all of it free if not said otherwise."""
    ram = int(ram_gib * GIB)
    free = ram if free_gib is None else int(free_gib * GIB)
    return ResourceInfo(
        os_name, "1", "arm64" if os_name == "Darwin" else "x86_64", "cpu", 8, 16, ram, free, gpus=cards
    )


def card(gib: float, free_gib: float | None = None, vendor: str = "NVIDIA") -> GpuInfo:
    free = None if free_gib is None else int(free_gib * GIB)
    return GpuInfo(vendor, f"{vendor} card", int(gib * GIB), free)


def apple(gib: float) -> GpuInfo:
    """Its total is Metal's working set."""
    return GpuInfo("Apple", "Apple M4", int(gib * GIB), unified=True)


def as_it_is(made: Plan) -> Wishes:
    """The wish for the same start once more."""
    return Wishes(
        made.n_ctx,
        made.n_gpu_layers,
        experts_on_host=made.experts_on_host,
        tensor_split=made.tensor_split,
    )


# --- what must hold for every model on every machine ------------------------------------------------------

SHAPES = st.builds(
    Shape,
    layers=st.integers(1, 80),
    width=st.sampled_from((512, 2048, 4096, 8192)),
    heads=st.just(32),
    kv_heads=st.sampled_from((1, 4, 8, 32)),
    head_width=st.sampled_from((64, 128)),
    feed_forward=st.sampled_from((1024, 8192, 28672)),
    vocabulary=st.sampled_from((32_000, 128_256)),
    tied=st.booleans(),
    context=st.sampled_from((512, 2048, 8192, 131_072)),
)
CARDS = st.lists(st.builds(card, st.floats(2, 80), st.none() | st.floats(0, 2)), max_size=3)
WISHES = st.builds(
    Wishes,
    n_ctx=st.just("auto") | st.integers(0, 200_000),
    n_gpu_layers=st.just("auto") | st.integers(0, 100),
    cache_type=st.sampled_from(("auto", "f16", "q8_0")),
    parallel=st.integers(1, 8),
    load_mode=st.none() | st.sampled_from(("none", "mmap", "mlock")),
    repack=st.none() | st.booleans(),
)


def on_card(made: Plan) -> int:
    expected = made.expected
    assert expected.total_bytes is not None
    assert expected.host_bytes is not None
    return expected.total_bytes - expected.host_bytes


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.floats(1, 128), st.floats(0, 1), CARDS, WISHES)
def test_without_a_warning_no_more_is_planned_than_is_free(
    shape: Shape, ram: float, share: float, cards: list[GpuInfo], wishes: Wishes
) -> None:
    resources = machine(ram, *cards, free_gib=ram * share)
    made = plan(header_of(shape), resources, wishes)
    assume(not made.warning)
    assert made.expected.host_bytes is not None
    assert made.expected.host_bytes <= resources.ram_available_bytes
    # One that tells nothing has at most what it has.
    free = sum(gpu.total_bytes or 0 if gpu.free_bytes is None else gpu.free_bytes for gpu in cards)
    if cards:
        assert on_card(made) <= free


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.floats(1, 128), CARDS, WISHES)
def test_what_is_wished_is_obeyed_and_every_choice_has_its_reason(
    shape: Shape, ram: float, cards: list[GpuInfo], wishes: Wishes
) -> None:
    made = plan(header_of(shape), machine(ram, *cards), wishes)
    if wishes.n_ctx != "auto":
        assert made.n_ctx == wishes.n_ctx
    if wishes.n_gpu_layers != "auto":
        assert made.n_gpu_layers == wishes.n_gpu_layers
    if wishes.load_mode is not None:
        assert made.load_mode == wishes.load_mode
    if wishes.repack is not None:
        assert made.repack == wishes.repack
    assert made.cache_type == ("q8_0" if wishes.cache_type == "q8_0" else "f16")
    assert made.parallel == wishes.parallel
    kinds = [reason.split(":")[0] for reason in made.reasons]
    assert kinds[0] == "Context"
    assert kinds[-1] == "Threads"
    assert all(sentence.endswith(".") for sentence in made.reasons)


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.floats(1, 64), st.floats(0, 64))
def test_more_memory_never_means_a_shorter_context(shape: Shape, ram: float, more: float) -> None:
    header = header_of(shape)
    assert plan(header, machine(ram + more)).n_ctx >= plan(header, machine(ram)).n_ctx


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.integers(256, 65_536), st.floats(1, 24), st.floats(0, 24))
def test_more_graphics_memory_never_means_fewer_layers_on_the_card(
    shape: Shape, context: int, memory: float, more: float
) -> None:
    header, wishes = header_of(shape), Wishes(context)
    less = plan(header, machine(256, card(memory)), wishes).n_gpu_layers
    layers = plan(header, machine(256, card(memory + more)), wishes).n_gpu_layers
    assert isinstance(layers, int)
    assert isinstance(less, int)
    assert layers >= less


@settings(max_examples=50, deadline=None)
@given(SHAPES, st.floats(2, 32), st.floats(0, 16))
def test_what_is_about_to_be_freed_counts_as_free(shape: Shape, free: float, freed: float) -> None:
    header, resources = header_of(shape), machine(64, free_gib=free)
    later = replace(resources, ram_available_bytes=resources.ram_available_bytes + int(freed * GIB))
    assert plan(header, resources, freed_bytes=int(freed * GIB)) == plan(header, later)


KEYS = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "expert_used_count",
    "expert_feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.shared_kv_layers",
    "full_attention_interval",
    "ssm.inner_size",
    "ssm.conv_kernel",
    "wkv.head_size",
)
VALUES = (
    st.integers(-(2**63), 2**64)
    | st.integers(0, 40)
    | st.floats()
    | st.booleans()
    | st.text(max_size=3)
    | st.lists(st.integers(-2, 2**32) | st.booleans(), max_size=40).map(tuple)
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.sampled_from(("llama", "gemma3", "qwen35")))
def test_whatever_a_header_says_there_is_a_plan(keys: dict[str, Any], architecture: str) -> None:
    metadata = {f"{architecture}.{key}": value for key, value in keys.items()}
    header = GgufHeader({"general.architecture": architecture, **metadata}, 5 * GIB, EIGHT.tensors)
    made = plan(header, machine(16, card(8)))
    assert made.n_ctx >= 0
    assert made.reasons


# --- the context ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ram_gib", "context"), [(64, 32768), (16, 32768), (12, 16384), (9.5, 4096), (4, 4096)]
)
def test_the_context_shrinks_with_the_memory(ram_gib: float, context: int) -> None:
    made = plan(EIGHT, machine(ram_gib))
    assert (made.n_ctx, bool(made.warning)) == (context, ram_gib == 4)


def test_no_more_memory_is_taken_than_is_free() -> None:
    made = plan(EIGHT, machine(64, free_gib=7))
    assert made.n_ctx == 8192
    assert made.reasons[0] == (
        "Context: 8,192 tokens; 16,384 would need 7.3 GB of memory, more than the 7.0 GB that may be used on "
        "this computer (7.5 GB free less 0.6 GB for earlier prompts)."
    )


def test_every_slot_gets_the_context() -> None:
    assert plan(EIGHT, machine(12), Wishes(parallel=1)).n_ctx == 16384
    made = plan(EIGHT, machine(12), Wishes(parallel=4))
    assert (made.n_ctx, made.parallel) == (4096, 4)
    assert "Slots: 4, each with its own context of 4,096 tokens." in made.reasons


def test_a_model_is_not_given_more_than_it_was_trained_with() -> None:
    made = plan(header_of(replace(SMALL, context=2048)), machine(64))
    assert made.n_ctx == 2048
    assert made.reasons[0] == "Context: 2,048 tokens, what the model was trained with."


def test_a_context_longer_than_trained_is_obeyed_and_told() -> None:
    made = plan(header_of(replace(SMALL, context=2048)), machine(64), Wishes(4096))
    assert made.n_ctx == 4096
    assert "trained with 2,048, more is not used" in made.reasons[0]


def test_without_knowledge_the_shortest_is_taken() -> None:
    for header in (None, GgufHeader({"general.architecture": "llama"}, 1)):
        made = plan(header, machine(64))
        assert (made.n_ctx, made.n_gpu_layers, made.expected.total_bytes) == (4096, "auto", None)


def test_a_file_that_tells_no_tensors_is_planned_by_its_size() -> None:
    made = plan(replace(EIGHT, tensors=()), machine(64, card(12)))
    assert made.n_gpu_layers == 33
    assert made.expected.weights_bytes == EIGHT.file_bytes


def test_a_context_that_will_not_fit_is_obeyed_with_what_is_missing() -> None:
    made = plan(EIGHT, machine(16), Wishes(131_072))
    assert made.n_ctx == 131_072
    assert made.warning == (
        "The model needs 22.4 GB of memory at 131,072 tokens of context and 17.2 GB are free: 5.2 GB are "
        "missing. Close something, use a shorter context, or pick a smaller model."
    )


# --- graphics cards ---------------------------------------------------------------------------------------


def test_all_layers_go_to_a_card_that_holds_them() -> None:
    made = plan(EIGHT, machine(32, card(12, 11.5)))
    assert (made.n_gpu_layers, made.n_ctx, made.expected.layers) == (33, 32768, 33)
    assert made.reasons[1] == (
        "Graphics card: 33 of 33 layers; 9.1 GB of the 11.3 GB that may be used on the graphics card "
        "(12.3 GB free less 1.1 GB for its driver)."
    )


def test_a_shorter_context_is_preferred_to_layers_outside_the_card() -> None:
    assert [
        (made.n_gpu_layers, made.n_ctx)
        for made in (plan(EIGHT, machine(32, card(16, free))) for free in (12, 8, 7, 6, 5))
    ] == [(33, 32768), (33, 16384), (33, 8192), (33, 4096), (23, 8192)]


def test_only_what_is_free_on_a_card_is_used() -> None:
    busy = plan(EIGHT, machine(32, card(24, 4)))
    assert isinstance(busy.n_gpu_layers, int)
    assert 0 < busy.n_gpu_layers < 33
    assert plan(EIGHT, machine(32, card(24, 4)), freed_gpu_bytes=8 * GIB).n_gpu_layers == 33
    full = machine(32, card(24, 0.5))
    assert plan(EIGHT, full, freed_gpu_bytes=4 * GIB) == plan(EIGHT, machine(32, card(24, 4.5)))
    assert "more do not fit into the 3.2 GB that may be used" in busy.reasons[1]


def test_a_card_that_is_full_is_not_used() -> None:
    made = plan(EIGHT, machine(32, card(24, 1)))
    assert (made.n_gpu_layers, made.n_ctx) == (0, 32768)


def test_two_cards_hold_together_what_one_does_not() -> None:
    assert plan(EIGHT, machine(32, card(5, 5))).n_gpu_layers != 33
    assert plan(EIGHT, machine(32, card(5, 5), card(5, 5))).n_gpu_layers == 33


def test_layers_are_divided_by_what_each_card_holds_and_one_card_is_enough_where_it_is() -> None:
    unequal = plan(EIGHT, machine(64, card(8, 8), card(5, 5)), Wishes(32768))
    assert unequal.n_gpu_layers == 33 == sum(unequal.tensor_split)
    assert unequal.tensor_split[0] > unequal.tensor_split[1] > 0
    told = " and ".join(map(str, unequal.tensor_split))
    assert (
        f"Graphics cards: {told} layers, in the order of the cards, by what each can hold." in unequal.reasons
    )
    assert plan(EIGHT, machine(64, card(6, 6), card(12, 12)), Wishes(32768)).tensor_split == (0, 33)
    assert plan(EIGHT, machine(64, card(12, 12)), Wishes(32768)).tensor_split == ()


def test_what_is_freed_on_cards_is_free_on_those_that_are_used() -> None:
    cards = card(12, 12), card(12, 2)
    made = plan(EIGHT, machine(64, *cards), Wishes(131_072), freed_gpu_bytes=8 * GIB)
    assert made == plan(EIGHT, machine(64, card(12, 12), card(12, 10)), Wishes(131_072))


def test_of_a_mixture_as_few_experts_as_possible_stay_beside_the_card() -> None:
    made = plan(MIXED, machine(32, card(12, 12)))
    assert (made.n_gpu_layers, made.n_ctx) == (49, 32768)
    assert 0 < made.experts_on_host < 48
    assert made.reasons[2].startswith(f"Experts: those of the first {made.experts_on_host} layers stay in ")
    room = plan(MIXED, machine(32, card(13, 13)))
    assert 0 < room.experts_on_host < made.experts_on_host
    assert plan(MIXED, machine(32, card(24, 24))).experts_on_host == 0
    again = plan(MIXED, machine(32, card(12, 12)), as_it_is(made))
    assert replace(again, reasons=()) == replace(made, reasons=())


def test_the_builtin_engine_is_not_told_to_keep_experts_apart() -> None:
    apple_silicon = machine(24, apple(13), os_name="Darwin")
    assert plan(MIXED, apple_silicon).experts_on_host > 0
    made = plan(MIXED, apple_silicon, builtin=True)
    assert made.experts_on_host == 0
    assert made.n_gpu_layers != 49
    set_before = as_it_is(plan(MIXED, apple_silicon))
    assert plan(MIXED, apple_silicon, set_before, builtin=True).experts_on_host == 0


def test_cards_of_different_makers_are_not_added_up() -> None:
    made = plan(EIGHT, machine(32, card(5, 5), card(4, 4, "AMD")))
    assert made.n_gpu_layers == plan(EIGHT, machine(32, card(5, 5))).n_gpu_layers


def test_layers_set_for_a_card_that_cannot_hold_them_are_obeyed_and_told() -> None:
    made = plan(EIGHT, machine(32, card(4, 4)), Wishes(32768, 33))
    assert (made.n_gpu_layers, made.n_ctx) == (33, 32768)
    assert made.warning.startswith("The layers set for the graphics card need 9.1 GB at 32,768 tokens")
    assert "4.8 GB are missing" in made.warning


def test_on_apple_everything_comes_out_of_one_memory() -> None:
    made = plan(EIGHT, machine(16, apple(11), os_name="Darwin"))
    assert (made.n_gpu_layers, made.n_ctx) == (33, 32768)
    full = plan(EIGHT, machine(16, apple(11), free_gib=7, os_name="Darwin"))
    assert (full.n_gpu_layers, full.n_ctx) == (33, 8192)
    assert plan(EIGHT, machine(16, apple(11), free_gib=9.2, os_name="Darwin")).n_ctx == 16384
    # Metal's working set is the limit, however much is free.
    assert plan(EIGHT, machine(64, apple(6), os_name="Darwin")).n_ctx < 32768


def test_without_a_card_that_we_know_the_layers_are_left_to_the_engine() -> None:
    small = GpuInfo("Intel", "Intel UHD 620", 4 * GIB, unified=True)
    for resources in (machine(32), machine(32, small)):
        made = plan(EIGHT, resources)
        assert (made.n_gpu_layers, made.expected.gpu_layers) == ("auto", None)


def test_graphics_that_share_the_memory_are_planned_for_as_they_are_advised() -> None:
    shared = GpuInfo("AMD", "Radeon 780M", 16 * GIB, unified=True)
    made = plan(EIGHT, machine(32, shared))
    assert (made.n_gpu_layers, made.n_ctx) == (33, 32768)
    assert "may be used by the graphics processor" in made.reasons[1]
    unused = plan(EIGHT, machine(32, shared), builtin=True)
    assert unused.n_gpu_layers == "auto"
    assert "does not use the Radeon 780M" in unused.reasons[1]
    assert plan(EIGHT, machine(32, shared, free_gib=7)).n_ctx < 32768, "what is free counts once"


def test_the_builtin_engine_is_not_promised_a_card_that_it_cannot_use() -> None:
    made = plan(EIGHT, machine(32, card(24)), builtin=True)
    assert made.n_gpu_layers == "auto"
    assert "does not use the NVIDIA card" in made.reasons[1]
    assert plan(EIGHT, machine(16, apple(11), os_name="Darwin"), builtin=True).n_gpu_layers == 33


def test_further_computers_are_left_to_the_engine() -> None:
    made = plan(EIGHT, machine(32, card(24)), remote=True)
    assert made.n_gpu_layers == "auto"
    assert made.reasons[1].startswith("Further computers:")


# --- KV cache, load mode, threads -------------------------------------------------------------------------


def test_the_kv_cache_is_never_quantized_without_being_asked() -> None:
    for ram in (2, 4, 6, 8, 16, 64):
        assert plan(EIGHT, machine(ram)).cache_type == "f16"


def test_a_quantized_kv_cache_makes_room_for_a_longer_context() -> None:
    quantized = plan(EIGHT, machine(12), Wishes(cache_type="q8_0"))
    assert (quantized.n_ctx, quantized.cache_type) == (32768, "q8_0")
    assert any(reason.startswith("KV cache: q8_0") for reason in quantized.reasons)


def test_weights_are_read_once_where_they_fit_and_mapped_where_memory_is_short() -> None:
    roomy, short = plan(EIGHT, machine(16)), plan(EIGHT, machine(4))
    assert (roomy.load_mode, roomy.repack) == ("none", True)
    assert (short.load_mode, short.repack, short.n_ctx) == ("mmap", False, 4096)
    assert "GB are missing" in short.warning
    assert any("memory is short" in reason for reason in short.reasons)


def test_mapped_weights_are_left_as_they_are_in_the_file_to_be_shared() -> None:
    made = plan(EIGHT, machine(32), Wishes(4096, load_mode="mmap"))
    assert made.repack is False
    repacked = plan(EIGHT, machine(32), Wishes(4096, load_mode="mmap", repack=True))
    assert made.expected.weights_bytes == pytest.approx(4685.30 * MIB, rel=1e-4)
    # "CPU_REPACK model buffer size = 3204.00 MiB", logged by llama-server for this shape beside the rest
    assert repacked.expected.weights_bytes == pytest.approx((4685.30 + 3204.00) * MIB, rel=1e-4)


def test_one_core_is_left_to_everything_else() -> None:
    made = plan(EIGHT, machine(16))
    assert made.threads == 7
    assert made.reasons[-1] == (
        "Threads: 7; one of the 8 cores is left to everything else, or both would crawl."
    )


# --- sizes, against what real engines logged (llama.cpp 0.5.0 and the wheel of b11549, on AVX2) -----------


@pytest.mark.parametrize(
    ("shape", "context", "cache_mib", "compute_mib"),
    [
        (ONE_BILLION, 4096, 128.0, 72.0),
        (ONE_BILLION, 32768, 1024.0, 100.0),
        (EIGHT_BILLION, 4096, 512.0, 128.0),
        (EIGHT_BILLION, 32768, 4096.0, 156.0),
    ],
)
def test_cache_and_compute_buffers_are_those_that_the_engine_logs(
    shape: Shape, context: int, cache_mib: float, compute_mib: float
) -> None:
    expected = plan(header_of(shape), machine(64), Wishes(context)).expected
    assert expected.cache_bytes == cache_mib * MIB
    assert expected.compute_bytes == pytest.approx(compute_mib * MIB, rel=0.07)


def test_embeddings_that_are_the_output_too_lie_on_the_card_and_beside_it() -> None:
    table = next(tensor.size_bytes for tensor in ONE.tensors if tensor.name == "token_embd.weight")
    made = plan(ONE, machine(32, card(12)), Wishes(4096))
    assert made.n_gpu_layers == 17
    assert made.expected.weights_bytes == sum(tensor.size_bytes for tensor in ONE.tensors) + table


@pytest.mark.parametrize(("kind", "twice"), [("Q4_K", True), ("Q6_K", False)])
def test_embeddings_that_are_the_output_too_are_there_twice_when_they_are_repacked(
    kind: str, twice: bool
) -> None:
    table = Tensor("token_embd.weight", kind, (2048, 32_000), 1_000_000)
    header = replace(ONE, tensors=(table,))
    assert plan(header, machine(32)).expected.weights_bytes == (2_000_000 if twice else 1_000_000)
    assert plan(header, machine(32), Wishes(repack=False)).expected.weights_bytes == 1_000_000


@pytest.mark.parametrize(("rows", "repacked"), [(4096, True), (4095, False)])
def test_a_matrix_is_repacked_when_its_rows_come_in_eights(rows: int, repacked: bool) -> None:
    header = replace(ONE, tensors=(Tensor("blk.0.ffn_up.weight", "Q4_K", (2048, rows), 1_000_000),))
    made = plan(header, machine(32), Wishes(load_mode="mmap", repack=True))
    assert made.expected.weights_bytes == (2_000_000 if repacked else 1_000_000)


@pytest.mark.parametrize(
    ("arch", "features", "repacked"),
    [
        ("x86_64", ("avx", "avx2"), True),
        ("x86_64", ("avx",), False),
        ("x86_64", (), True),
        ("arm64", ("neon", "dotprod"), True),
        ("arm64", ("neon",), False),
    ],
)
def test_repacking_is_expected_where_the_processor_can(
    arch: str, features: tuple[str, ...], repacked: bool
) -> None:
    resources = replace(machine(32), arch=arch, cpu_features=features)
    weights = plan(ONE, resources, Wishes(4096, load_mode="mmap", repack=True)).expected.weights_bytes
    assert weights is not None
    assert (weights > ONE.file_bytes) == repacked


# --- on both real engines ---------------------------------------------------------------------------------


def followed(spec: EngineSpec, made: Plan) -> EngineSpec:
    """A start as `made` plans it, with one thread."""
    return replace(
        spec,
        n_ctx=made.n_ctx,
        n_gpu_layers=made.n_gpu_layers,
        cache_type=made.cache_type,
        load_mode=made.load_mode,
        repack=made.repack,
        parallel=made.parallel,
        expected=made.expected,
        experts_on_host=made.experts_on_host,
        tensor_split=made.tensor_split,
    )


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(4096),
        Wishes(4096, n_gpu_layers=0),
        Wishes(4096, cache_type="q8_0"),
        Wishes(4096, repack=False),
        Wishes(4096, parallel=4),
        Wishes(4096, load_mode="mmap"),
    ],
    ids=["plain", "no layers on a card", "q8_0", "no repack", "four slots", "mapped"],
)
async def test_an_engine_that_follows_the_plan_starts_answers_and_does_as_planned(
    wishes: Wishes, spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    made = plan(read_header(spec.model_path), machine(16), wishes, builtin=spec.binary is None)
    engine = start(followed(spec, made))
    address = await engine.ensure_ready()  # which has it write a token
    outcome = engine.outcome
    assert outcome is not None
    assert (outcome.n_ctx, outcome.cache_type) == (4096 * made.parallel, made.cache_type)
    assert engine.status().warning == ""
    slots = await http.request(
        "GET", f"{address.url}/slots", allowed=Reach.THIS_MACHINE, headers=authorization(address)
    )
    assert [slot["n_ctx"] for slot in json.loads(slots.body)] == [4096] * made.parallel


async def test_what_a_real_engine_takes_is_within_5_percent_of_the_plan(
    spec: EngineSpec, start: MakeEngine, http: Http, small: Path
) -> None:
    resources = await asyncio.to_thread(detect_resources)
    made = plan(read_header(small), resources, Wishes(4096), builtin=spec.binary is None)
    engine = start(followed(replace(spec, model_path=small), made))
    address = await engine.ensure_ready()
    prompt = {"prompt": " ab" * 600, "n_predict": 1}  # more than one batch: all buffers are touched
    reply = await http.request(
        "POST",
        f"{address.url}/completion",
        allowed=Reach.THIS_MACHINE,
        headers=authorization(address),
        json=prompt,
        total=60.0,
    )
    assert reply.status == 200
    taken = psutil.Process(engine.status().pid).memory_info().rss
    assert made.expected.total_bytes == pytest.approx(taken, rel=0.05)
    assert engine.status().warning == ""
