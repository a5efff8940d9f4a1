"""Where a model is placed and whether it fits: what must hold everywhere, and known machines."""

import json
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from whisper_desktop.models import kv_cache_bytes, load
from whisper_desktop.models.fit import (
    CONTEXTS,
    MODES,
    Budget,
    Fit,
    Reserve,
    best_fit,
    budget_for,
    divided,
    fits,
    largest_context,
    why_not,
)
from whisper_desktop.models.graphics import judge_graphics
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.shape import KvGroup, ModelShape
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

# Computed by llama.cpp itself (no-allocation loading) for each model and context, f16, one sequence.
GOLDEN = json.loads((Path(__file__).parent / "golden_kv_bytes.json").read_text())
NAMES = [model.id for model in load().models]
LINUX = ResourceInfo("Linux", "", "x86_64", "cpu", 4, 8, 64 * GIB, 64 * GIB)


def shape_of(name: str) -> ModelShape:
    model = load().find(name)
    assert model is not None, name
    return model.shape


def machine(
    ram_gib: float,
    *gpus: GpuInfo,
    display: bool = True,
    os_name: str = "Linux",
) -> ResourceInfo:
    ram = int(ram_gib * GIB)
    arch = "arm64" if os_name == "macOS" else "x86_64"
    return ResourceInfo(os_name, "", arch, "cpu", 4, 8, ram, ram, gpus=gpus, has_display=display)


def card(gib: float, vendor: str = "NVIDIA", name: str = "card") -> GpuInfo:
    return GpuInfo(vendor, f"{vendor} {name}", int(gib * GIB))


def apple(gib: float) -> GpuInfo:
    """Its total is Metal's working set."""
    return GpuInfo("Apple", "Apple M4", int(gib * GIB), unified=True)


# --- the KV cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(GOLDEN) & set(NAMES)))
def test_the_kv_cache_agrees_with_llama_cpp_to_the_byte(name: str) -> None:
    shape = shape_of(name)
    state = sum(layer.state_bytes for layer in shape.layers)
    ours = {
        context: kv_cache_bytes(shape.kv_groups, int(context), state_bytes=state) for context in GOLDEN[name]
    }
    assert ours == GOLDEN[name]


def test_most_models_have_a_figure_of_llama_cpp_to_agree_with() -> None:
    assert len(set(GOLDEN) & set(NAMES)) >= 30


def test_a_quantized_cache_counts_its_block_scales() -> None:
    groups = (KvGroup(layers=2, kv_heads=4, k_dim=64, v_dim=64, window=None),)
    assert kv_cache_bytes(groups, 256, bytes_per_element=34 / 32) == 2 * 256 * 4 * 128 * 34 // 32


def test_a_context_is_padded_to_whole_blocks() -> None:
    groups = (KvGroup(layers=1, kv_heads=1, k_dim=1, v_dim=1, window=None),)
    assert kv_cache_bytes(groups, 257) == kv_cache_bytes(groups, 512)


# --- budgets ----------------------------------------------------------------------------------------------


def test_the_budgets_keep_the_reserves() -> None:
    assert budget_for(machine(16)) == Budget((), int(0.6 * 16 * GIB))
    assert budget_for(machine(8)) == Budget((), int(4.5 * GIB))
    assert budget_for(machine(8, display=False)) == Budget((), int(6.4 * GIB))
    assert budget_for(machine(4)).host == int(0.4 * 4 * GIB)
    assert budget_for(machine(16, card(12))).gpus == (int(10.5 * GIB),)
    assert budget_for(machine(16, card(12), os_name="Windows")).gpus == (12 * GIB - int(0.8 * GIB) - GIB,)
    assert budget_for(machine(16, card(12), display=False)).gpus == (11 * GIB,)


def test_all_cards_of_one_maker_count_and_others_are_named() -> None:
    resources = machine(64, card(8, "AMD"), card(12), card(24), card(2))
    verdict = judge_graphics(resources)
    assert [gpu.total_bytes for gpu in verdict.gpus] == [12 * GIB, 24 * GIB]
    assert verdict.usable == card(24)
    assert [remark.split(",")[0] for remark in verdict.remarks] == [
        "NVIDIA card has only 2.1 GB of memory",
        "AMD card is of another maker than NVIDIA card",
    ]
    assert budget_for(resources).gpus == (int(10.5 * GIB), int(22.5 * GIB))


@pytest.mark.parametrize(
    ("ram", "working_set", "gpu", "pool"),
    [(8, 5.33, 4.0, 4.5), (16, 11.8, 10.8, 10.8), (128, 120, 119, 119)],
)
def test_on_apple_graphics_and_programs_share_one_pool(
    ram: float, working_set: float, gpu: float, pool: float
) -> None:
    budget = budget_for(machine(ram, apple(working_set), os_name="macOS"))
    assert budget == Budget(
        (int(working_set * GIB) - GIB if ram > 8 else 4 * GIB,), budget.host, unified=True
    )
    assert budget.gpus[0] == pytest.approx(gpu * GIB, rel=1e-3)
    assert budget.host == pytest.approx(pool * GIB, rel=1e-3)


def test_a_graphics_part_that_shares_memory_takes_no_more_than_a_program_may() -> None:
    shared = GpuInfo("AMD", "Radeon 780M", 24 * GIB, unified=True)
    budget = budget_for(machine(32, shared))
    assert budget == Budget((budget.host,), int(0.6 * 32 * GIB), unified=True)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            machine(16),
            "10.3 GB that may be used on this computer "
            "(17.2 GB less 6.9 GB for the system and open programs)",
        ),
        (
            machine(16, display=False),
            "13.7 GB that may be used on this computer (17.2 GB less 3.4 GB for the system)",
        ),
    ],
)
def test_spare_memory_is_said_with_what_is_kept_back(resources: ResourceInfo, words: str) -> None:
    assert budget_for(resources).host_words == words


def test_spare_graphics_memory_is_said_with_what_is_kept_back() -> None:
    assert budget_for(machine(16, card(12))).gpu_words == (
        "11.3 GB that may be used on the graphics card (12.9 GB less 1.6 GB for the screen and its driver)"
    )
    assert budget_for(machine(16, card(12), card(8), display=False)).gpu_words == (
        "19.3 GB that may be used on 2 graphics cards (21.5 GB less 2.1 GB for their drivers)"
    )
    assert Budget((2 * GIB,), GIB).gpu_words == "2.1 GB that may be used on the graphics card"


# --- what must hold for every model in every budget -------------------------------------------------------

SHAPES = st.sampled_from(NAMES).map(shape_of)
SIZES = st.just(0) | st.floats(0.5, 80).map(lambda gib: int(gib * GIB))
BUDGETS = st.builds(Budget, st.lists(SIZES, max_size=3).map(tuple), SIZES) | st.builds(
    lambda gpu, more: Budget((gpu,), gpu + more, unified=True), SIZES, SIZES
)


@settings(max_examples=150, deadline=None)
@given(SHAPES, BUDGETS, st.booleans())
def test_whatever_fits_stays_inside_its_budget_on_every_device(
    shape: ModelShape, budget: Budget, quantized: bool
) -> None:
    memory = ModelMemory(shape, LINUX)
    for fit in fits(shape, budget, LINUX, cache_types=("f16", "q8_0") if quantized else ("f16",)):
        assert fit.need == memory.need(fit.placement)
        assert all(part.total <= size for part, size in zip(fit.need.gpus, budget.gpus, strict=False))
        assert (fit.need.total if budget.unified else fit.need.host.total) <= budget.host
        assert 0 < fit.need_bytes <= fit.budget_bytes
        assert fit.spare_bytes == fit.budget_bytes - fit.need_bytes
        assert fit.context <= (shape.train_ctx or 4096)
        if fit.context > 8192:
            assert budget.scaled(0.9).holds(fit.need)


@settings(max_examples=150, deadline=None)
@given(SHAPES, BUDGETS)
def test_a_mode_is_what_its_placement_says(shape: ModelShape, budget: Budget) -> None:
    order = [(MODES.index(fit.mode), -fit.context) for fit in fits(shape, budget, LINUX)]
    assert order == sorted(order)
    for fit in fits(shape, budget, LINUX):
        on_cards, experts = fit.placement.layers_on_gpus, fit.placement.experts_on_host
        assert (on_cards == shape.all_layers) == (fit.mode in ("gpu", "experts"))
        assert (on_cards == 0) == (fit.mode == "cpu")
        if fit.mode in ("gpu", "cpu"):
            assert experts == 0
        if fit.mode == "experts":
            assert shape.is_mixture
            assert 0 < experts <= len(shape.layers)


@settings(max_examples=150, deadline=None)
@given(SHAPES, BUDGETS, st.lists(SIZES, min_size=3, max_size=3), SIZES)
def test_more_memory_never_takes_a_model_away_nor_its_place(
    shape: ModelShape, budget: Budget, more: list[int], more_host: int
) -> None:
    less = best_fit(shape, budget, LINUX)
    if less is None:
        return
    grown = tuple(size + extra for size, extra in zip(budget.gpus, more, strict=False))
    larger = best_fit(shape, replace(budget, gpus=grown, host=budget.host + sum(more) + more_host), LINUX)
    assert larger is not None
    assert MODES.index(larger.mode) <= MODES.index(less.mode)
    if larger.mode == less.mode:
        assert larger.context >= less.context


@settings(max_examples=100, deadline=None)
@given(SHAPES, BUDGETS, st.sampled_from([None, *MODES]))
def test_the_largest_context_fits_and_one_that_is_longer_does_not(
    shape: ModelShape, budget: Budget, mode: str | None
) -> None:
    assume(shape.knows_cache)
    modes = {mode} if mode else set(MODES)

    def fits_with(context: int) -> bool:
        found = fits(shape, budget, LINUX, contexts=(context,), least_context=1)
        return any(fit.mode in modes and fit.context == context for fit in found)

    longest = largest_context(shape, budget, LINUX, mode=mode)  # type: ignore[arg-type]  # of MODES
    trained = shape.train_ctx or 2**20
    assert longest == 0 or fits_with(longest)
    if longest < trained:
        assert not fits_with(min(longest + 256, trained))


@settings(max_examples=100, deadline=None)
@given(SHAPES, BUDGETS, st.sampled_from([None, "gpu"]))
def test_with_what_is_missing_it_fits_and_with_less_it_does_not(
    shape: ModelShape, budget: Budget, mode: str | None
) -> None:
    lacks = why_not(shape, budget, LINUX, mode=mode)  # type: ignore[arg-type]  # "gpu" or None
    context = min(4096, shape.train_ctx or 4096)

    def fits_with(more: int) -> bool:
        grown = _grown(budget, more, in_gpu=lacks is not None and lacks.where == "gpu")
        found = fits(shape, grown, LINUX, contexts=(context,), least_context=1)
        return any(mode in (None, fit.mode) for fit in found)

    if lacks is None:
        assert fits_with(0)
        return
    if lacks.where == "gpu":  # memory beside the cards may lack as well; that is the next question
        budget = replace(budget, host=2**50)
    assert fits_with(lacks.missing_bytes)
    assert not fits_with(lacks.missing_bytes - 2**20)


def _grown(budget: Budget, more: int, *, in_gpu: bool) -> Budget:
    if budget.unified:
        return replace(budget, gpus=(budget.gpus[0] + more,), host=budget.host + more)
    if not in_gpu:
        return replace(budget, host=budget.host + more)
    gpus = budget.gpus or (0,)
    largest = gpus.index(max(gpus))
    return replace(budget, gpus=tuple(size + more * (at == largest) for at, size in enumerate(gpus)))


@given(st.integers(0, 200), st.lists(SIZES, min_size=1, max_size=6))
def test_divided_layers_are_all_there(layers: int, sizes: list[int]) -> None:
    counts = divided(layers, sizes)
    assert sum(counts) == layers
    assert min(counts) >= 0
    assert not any(count for count, size in zip(counts, sizes, strict=True) if not size) or not any(sizes)


# --- known models on known machines -----------------------------------------------------------------------


def found(name: str, resources: ResourceInfo, **limits: int) -> Fit:
    fit = best_fit(shape_of(name), budget_for(resources), resources, **limits)  # type: ignore[arg-type]
    assert fit is not None
    return fit


WINDOWS = "Windows"


@pytest.mark.parametrize(
    ("resources", "name", "mode", "context"),
    [
        (machine(7.8, os_name=WINDOWS), "LFM2.5-2.6B", "cpu", 32768),
        (machine(15.9, card(4), os_name=WINDOWS), "Qwen3.5-4B", "partial", 8192),
        (machine(15.7, card(6), os_name=WINDOWS), "Qwen3.5-4B", "gpu", 32768),
        (machine(31.9, card(8), os_name=WINDOWS), "Qwen3.6-35B-A3B", "experts", 32768),
        (machine(31.9, card(16), os_name=WINDOWS), "Qwen3.6-35B-A3B", "experts", 32768),
        (machine(62, card(24, "AMD")), "Qwen3.8-27B", "gpu", 32768),
        (machine(8, apple(5.33), os_name="macOS"), "Qwen3.5-4B", "gpu", 16384),
        (machine(16, apple(11.8), os_name="macOS"), "Qwen3.5-9B", "gpu", 32768),
        (machine(24, apple(17.8), os_name="macOS"), "gpt-oss-20b", "gpu", 32768),
        (machine(62), "Qwen3.6-35B-A3B", "cpu", 32768),
        (machine(62, card(12), card(12)), "Qwen3.8-27B", "gpu", 32768),
        (machine(62, card(16), card(8)), "Qwen3.8-27B", "gpu", 32768),
    ],
    ids=["8 GB", "GTX 1050 Ti", "RTX 4050", "RTX 3070", "RTX 5060 Ti", "RX 7900 XTX", "M1", "M4", "M4 Pro",
         "64 GB", "two equal cards", "two unequal cards"],
)  # fmt: skip
def test_known_machines_run_known_models(resources: ResourceInfo, name: str, mode: str, context: int) -> None:
    fit = found(name, resources)
    assert (fit.mode, fit.context) == (mode, context)


def test_a_model_that_is_too_large_has_no_fit() -> None:
    small = machine(3.8, os_name=WINDOWS)
    assert best_fit(shape_of("Qwen3.5-4B"), budget_for(small), small) is None
    assert best_fit(shape_of("TinyLlama-1.1B-Chat-v1.0"), budget_for(small), small) is not None


def test_unequal_cards_take_layers_by_what_they_hold() -> None:
    larger, smaller = found("Qwen3.8-27B", machine(62, card(16), card(8))).placement.gpu_layers
    assert larger / smaller == pytest.approx(14.5 / 6.5, rel=0.15)


def test_a_model_that_one_card_holds_lies_on_the_largest_alone() -> None:
    assert found("Qwen3.5-9B", machine(62, card(8), card(24))).placement.gpu_layers == (0, 33)


def test_as_many_experts_move_as_do_not_fit_and_no_more() -> None:
    shape = shape_of("Qwen3.6-35B-A3B")
    memory = ModelMemory(shape, LINUX)
    each = shape.layers[0].experts.size_bytes
    whole = memory.need(Placement(8192, (shape.all_layers,))).gpu_bytes
    for gib in (6, 10, 14, 18):
        budget = Budget((gib * GIB,), 64 * GIB)
        fit = best_fit(shape, budget, LINUX, contexts=(8192,))
        assert fit is not None
        assert fit.placement.experts_on_host == ceil((whole - gib * GIB) / each)
        assert fit.budget_bytes == 64 * GIB + gib * GIB


def test_of_a_mixture_whose_dense_part_is_too_much_layers_move_too() -> None:
    shape = shape_of("Qwen3.5-122B-A10B")
    fit = best_fit(shape, Budget((3 * GIB,), 128 * GIB), LINUX)
    assert fit is not None
    assert (fit.mode, fit.placement.experts_on_host) == ("partial", len(shape.layers))
    assert fit.placement.layers_on_gpus > 10


def test_one_layer_more_on_the_card_would_be_too_many() -> None:
    shape, budget = shape_of("Llama-3.1-8B-Instruct"), Budget((4 * GIB,), 16 * GIB)
    fit = best_fit(shape, budget, LINUX)
    assert fit is not None
    assert (fit.mode, fit.context) == ("partial", 8192)
    more = replace(fit.placement, gpu_layers=(fit.placement.layers_on_gpus + 1,))
    assert not budget.holds(ModelMemory(shape, LINUX).need(more))


def test_the_builtin_engine_keeps_experts_with_their_layers() -> None:
    shape, budget = shape_of("Qwen3.6-35B-A3B"), Budget((8 * GIB,), 64 * GIB)
    assert {fit.mode for fit in fits(shape, budget, LINUX)} == {"experts", "cpu"}
    ways = list(fits(shape, budget, LINUX, builtin=True))
    assert {fit.mode for fit in ways} == {"partial", "cpu"}
    assert not any(fit.placement.experts_on_host for fit in ways)


def test_a_quantized_cache_is_a_second_resort() -> None:
    shape, budget = shape_of("Qwen3-8B"), Budget((), int(5.9 * GIB))
    types = [fit.placement.cache_type for fit in fits(shape, budget, LINUX, cache_types=("f16", "q8_0"))]
    assert types == sorted(types)
    assert {"f16", "q8_0"} == set(types)


def test_no_cache_is_quantized_whose_heads_cannot_be_divided() -> None:
    shape = shape_of("Qwen3-8B")
    odd = replace(
        shape,
        layers=tuple(replace(each, cache=KvGroup(1, 8, 80, 80, None)) for each in shape.layers),
    )
    budget = Budget((), 64 * GIB)
    assert not list(fits(odd, budget, LINUX, cache_types=("q8_0",)))
    assert list(fits(shape, budget, LINUX, cache_types=("q8_0",)))


def test_a_context_shorter_than_asked_for_is_no_fit() -> None:
    shape, budget = shape_of("Llama-3.1-8B-Instruct"), Budget((), int(6.2 * GIB))
    assert [fit.context for fit in fits(shape, budget, LINUX)] == [8192, 4096]
    assert [fit.context for fit in fits(shape, budget, LINUX, least_context=8192)] == [8192]
    assert best_fit(shape, budget, LINUX, least_context=16384) is None
    roomy = fits(shape, Budget((), 64 * GIB), LINUX, least_context=16384)
    assert [fit.context for fit in roomy] == [32768, 16384]


def test_a_model_with_a_short_trained_context_is_not_given_a_longer_one() -> None:
    assert found("TinyLlama-1.1B-Chat-v1.0", machine(16)).context == 2048
    assert largest_context(shape_of("TinyLlama-1.1B-Chat-v1.0"), Budget((), 64 * GIB), LINUX) == 2048


def test_a_long_context_leaves_a_tenth_free_if_it_is_not_asked_to_take_all() -> None:
    shape = shape_of("Llama-3.1-8B-Instruct")
    budget = Budget((), ModelMemory(shape, LINUX).need(Placement(32768)).host.total)
    careful, all_of_it = (best_fit(shape, budget, LINUX, headroom=headroom) for headroom in (True, False))
    assert careful is not None
    assert all_of_it is not None
    assert (careful.context, all_of_it.context) == (16384, 32768)
    assert all_of_it.spare_bytes == 0
    assert careful.context in CONTEXTS


def test_what_is_missing_is_told_to_the_byte() -> None:
    shape = shape_of("Llama-3.1-8B-Instruct")
    needed = ModelMemory(shape, LINUX).need(Placement(4096)).host.total
    lacks = why_not(shape, Budget((), 4 * GIB), LINUX)
    assert lacks is not None
    assert (lacks.missing_bytes, lacks.where) == (needed - 4 * GIB, "host")
    on_card = why_not(shape, Budget((), 64 * GIB), LINUX, mode="gpu")
    assert on_card is not None
    assert on_card.where == "gpu"
    assert on_card.missing_bytes == ModelMemory(shape, LINUX).need(Placement(4096, (33,))).gpu_bytes


def test_something_beside_the_model_takes_from_one_card_and_says_so() -> None:
    reserve, host = Reserve(24 * GIB, "their drivers"), Reserve(32 * GIB, "the system")
    two = Budget((10 * GIB, 10 * GIB), 20 * GIB, of_gpus=reserve, of_host=host)
    less = two.beside(GIB, "the part that sees")
    assert (less.gpus, less.host) == ((9 * GIB, 10 * GIB), 20 * GIB)
    assert less.gpu_words.endswith("(25.8 GB less 5.4 GB for their drivers, and for the part that sees)")
    assert less.host_words == two.host_words
    assert two.beside(0, "nothing") == two

    shared = Budget((10 * GIB,), 12 * GIB, unified=True).beside(GIB, "it")
    assert (shared.gpus, shared.host) == ((9 * GIB,), 11 * GIB), "one memory"
    assert Budget((), 4 * GIB).beside(5 * GIB, "it").host == 0
    assert Budget((0,), 4 * GIB).beside(GIB, "it").host == 3 * GIB, "a card that holds nothing"
