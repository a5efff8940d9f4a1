"""The arithmetic of memory, against llama.cpp's own figures."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.models import Budget, CatalogueModel, KvGroup, best_fit, budget_for, kv_cache_bytes, load
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

# Computed by llama.cpp itself (no-allocation loading) for each model and context, f16, one sequence.
GOLDEN = json.loads((Path(__file__).parent / "golden_kv_bytes.json").read_text())


def by_id(name: str) -> CatalogueModel:
    return next(model for model in load() if model.id == name)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_kv_cache_agrees_with_llama_cpp_to_the_byte(name: str) -> None:
    model = by_id(name)
    ours = {
        context: kv_cache_bytes(model.kv, int(context), state_bytes=model.state_bytes)
        for context in GOLDEN[name]
    }
    assert ours == GOLDEN[name]


def test_a_quantized_cache_counts_its_block_scales() -> None:
    groups = (KvGroup(layers=2, kv_heads=4, k_dim=64, v_dim=64, window=None),)
    assert kv_cache_bytes(groups, 256, bytes_per_element=34 / 32) == 2 * 256 * 4 * 128 * 34 // 32


def test_a_context_is_padded_to_whole_blocks() -> None:
    groups = (KvGroup(layers=1, kv_heads=1, k_dim=1, v_dim=1, window=None),)
    assert kv_cache_bytes(groups, 257) == kv_cache_bytes(groups, 512)


def machine(ram_gib: float, *, display: bool = True, os_name: str = "Linux") -> ResourceInfo:
    ram = int(ram_gib * GIB)
    return ResourceInfo(os_name, "", "x86_64", "cpu", 4, 8, ram, ram, has_display=display)


def test_the_budgets_keep_the_reserves() -> None:
    card = GpuInfo("NVIDIA", "RTX 3060", 12 * GIB)
    assert budget_for(machine(16), None) == Budget(0, int(0.6 * 16 * GIB))
    assert budget_for(machine(8), None) == Budget(0, int(4.5 * GIB))
    assert budget_for(machine(8, display=False), None) == Budget(0, int(0.8 * 8 * GIB))
    assert budget_for(machine(16), card).gpu == int(12 * GIB - 0.5 * GIB) - GIB
    assert budget_for(machine(16, os_name="Windows"), card).gpu == int(12 * GIB - 0.8 * GIB) - GIB
    apple = GpuInfo("Apple", "Apple M1", 5461 * 2**20, unified=True)
    assert budget_for(machine(8, os_name="macOS"), apple).gpu == 4 * GIB


def test_a_card_prefers_all_layers_then_some_then_none() -> None:
    model = by_id("Llama-3.1-8B-Instruct")
    modes = []
    for card in (12, 5, 1.6):
        fit = best_fit(model, Budget(int(card * GIB), 12 * GIB))
        modes.append(fit.mode if fit else None)
    assert modes == ["gpu", "partial", "cpu"]


def test_a_model_with_a_short_trained_context_is_not_given_a_longer_one() -> None:
    fit = best_fit(by_id("TinyLlama-1.1B-Chat-v1.0"), Budget(0, 8 * GIB))
    assert fit is not None
    assert fit.context == 2048


@given(
    model=st.sampled_from(load()),
    gpu=st.integers(0, 100 * GIB),
    host=st.integers(0, 200 * GIB),
    unified=st.booleans(),
)
def test_whatever_fits_stays_inside_its_budget(
    model: CatalogueModel, gpu: int, host: int, unified: bool
) -> None:
    fit = best_fit(model, Budget(gpu, host, unified))
    if fit is not None:
        assert 0 < fit.need_bytes <= fit.budget_bytes
        assert fit.context <= model.train_ctx


@given(model=st.sampled_from(load()), host=st.integers(0, 100 * GIB), more=st.integers(0, 100 * GIB))
def test_more_memory_never_takes_a_model_away(model: CatalogueModel, host: int, more: int) -> None:
    if best_fit(model, Budget(0, host)) is not None:
        assert best_fit(model, Budget(0, host + more)) is not None


def test_a_small_computer_still_has_room_for_a_one_billion_model() -> None:
    fit = best_fit(by_id("TinyLlama-1.1B-Chat-v1.0"), budget_for(machine(3.8), None))
    assert fit is not None
