"""Our own engine as a row in the list of servers, and its specification from the settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.test_plan import header_of
from tests.models.sparse_gguf import Shape
from whisper_desktop.engines import EngineSpec
from whisper_desktop.engines.offer import engine_for, planned_for
from whisper_desktop.engines.own_server import builtin_server
from whisper_desktop.models.gguf import read_header
from whisper_desktop.settings.schema import LLMSettings
from whisper_desktop.values import (
    GIB,
    EngineState,
    EngineStatus,
    GpuInfo,
    Reach,
    ResourceInfo,
    ServerStatus,
)


def machine(ram_gib: float, *cards: GpuInfo) -> ResourceInfo:
    ram = int(ram_gib * GIB)
    return ResourceInfo("Linux", "12", "x86_64", "cpu", 4, 8, ram, ram, gpus=cards)


def status(state: EngineState, detail: str = "") -> EngineStatus:
    return EngineStatus("builtin", state, "tiny", "http://127.0.0.1:5000", 77, detail)


def test_without_a_model_it_is_there_and_says_so() -> None:
    server = builtin_server(None, None)
    assert server is not None
    assert (server.id, server.status, server.reach) == ("builtin", ServerStatus.NO_MODELS, Reach.THIS_MACHINE)


def test_a_model_file_that_is_gone_is_named(tmp_path: Path) -> None:
    server = builtin_server(tmp_path / "none.gguf", None)
    assert server is not None
    assert (server.status, "none.gguf" in server.detail) == (ServerStatus.NO_MODELS, True)


@pytest.mark.parametrize(
    ("state", "found", "loaded", "has_url"),
    [
        (EngineState.STOPPED, ServerStatus.AVAILABLE, False, False),
        (EngineState.STARTING, ServerStatus.LOADING, False, False),
        (EngineState.READY, ServerStatus.AVAILABLE, True, True),
        (EngineState.FAILED, ServerStatus.AVAILABLE, False, False),
        (EngineState.SLEEPING, ServerStatus.AVAILABLE, False, False),
        (EngineState.BACKING_OFF, ServerStatus.LOADING, False, False),
        (EngineState.STOPPING, ServerStatus.AVAILABLE, False, False),
    ],
)
def test_its_row_follows_its_state(
    state: EngineState, found: ServerStatus, loaded: bool, has_url: bool, tiny_model: Path
) -> None:
    server = builtin_server(tiny_model, status(state, "What happened."))
    assert server is not None
    assert (server.status, bool(server.url), bool(server.api_base)) == (found, has_url, has_url)
    (model,) = server.models
    assert (model.id, model.loaded, model.size_bytes) == ("tiny", loaded, tiny_model.stat().st_size)
    told = state in (EngineState.FAILED, EngineState.BACKING_OFF)
    assert (server.detail == "What happened.") == told


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (EngineState.STOPPED, "starts with the first question"),
        (EngineState.STARTING, "loading"),
        (EngineState.READY, "ready"),
        (EngineState.SLEEPING, "wakes with the next question"),
        (EngineState.BACKING_OFF, "started again"),
    ],
)
def test_each_state_has_its_words(state: EngineState, words: str, tiny_model: Path) -> None:
    server = builtin_server(tiny_model, status(state))
    assert server is not None
    assert words in server.detail


def test_the_guides_engine_is_not_taken_for_the_builtin_one(tiny_model: Path) -> None:
    guide = EngineStatus("guide", EngineState.READY, "guide", "http://127.0.0.1:5000", 77, "")
    server = builtin_server(tiny_model, guide)
    assert server is not None
    assert server.url == ""


def test_numbers_that_the_person_set_are_obeyed(tiny_model: Path) -> None:
    llm = LLMSettings(llamacpp={"n_ctx": 999, "n_gpu_layers": 3, "server_path": "/opt/llama-server"})
    spec = engine_for(tiny_model, read_header(tiny_model), llm, machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (999, 3, Path("/opt/llama-server"))
    assert (spec.id, spec.threads, spec.port) == ("builtin", 3, None)


def test_automatic_is_bounded_by_what_it_may_take(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    spec = engine_for(tiny_model, read_header(tiny_model), LLMSettings(), machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (32768, "auto", None)


def test_the_spec_follows_the_plan_and_keeps_what_it_expects(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    planned = planned_for(tiny_model, read_header(tiny_model), LLMSettings(), machine(16))
    spec, plan = planned.spec, planned.plan
    assert (spec.load_mode, spec.repack, spec.parallel, spec.cache_type) == ("none", True, 1, "f16")
    assert spec.expected is not None
    assert spec.expected == plan.expected
    assert spec.expected.total_bytes
    assert plan.reasons[0].startswith("Context: 32,768 tokens")


def test_port_cache_type_and_further_computers_are_passed_on(tiny_model: Path) -> None:
    given = {"engine_port": 5005, "cache_type": "q8_0", "rpc_servers": ["10.0.0.2:50052"]}
    llm = LLMSettings(llamacpp={**given, "server_path": "/opt/llama-server"})
    spec = engine_for(tiny_model, read_header(tiny_model), llm, machine(16))
    assert (spec.port, spec.cache_type, spec.rpc) == (5005, "q8_0", ("10.0.0.2:50052",))


def test_further_computers_that_the_builtin_engine_cannot_use_are_told(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    llm = LLMSettings(llamacpp={"rpc_servers": ["10.0.0.2:50052"]})
    planned = planned_for(tiny_model, read_header(tiny_model), llm, machine(16))
    assert planned.spec.rpc == ()
    assert "cannot use further computers" in planned.plan.warning


def test_what_is_freed_by_then_counts(tiny_model: Path) -> None:
    busy = replace(machine(64), ram_available_bytes=3 * GIB)
    header = replace(read_header(tiny_model), file_bytes=8 * GIB, tensors=())
    assert engine_for(tiny_model, header, LLMSettings(), busy).n_ctx == 4096
    assert engine_for(tiny_model, header, LLMSettings(), busy, freed_bytes=20 * GIB).n_ctx == 32768


def test_accepted_repairs_are_kept_and_what_they_need_is_expected(tiny_model: Path) -> None:
    repairs = {
        str(tiny_model): ["n_ctx=8192", "cache_type=q8_0", "repack=off", "n_gpu_layers=1"],
        "/else": ["n_ctx=1"],
    }
    llm = LLMSettings(llamacpp={"repairs": repairs, "engine_port": 5005})
    header = read_header(tiny_model)
    planned = planned_for(tiny_model, header, llm, machine(16, GpuInfo("NVIDIA", "card", 8 * GIB)))
    spec = planned.spec
    assert (spec.n_ctx, spec.cache_type, spec.repack, spec.n_gpu_layers) == (8192, "q8_0", False, 1)
    assert spec.port == 5005
    assert spec.expected is not None
    # 8192 cells of one layer with one head of 32 for keys and for values, at 34 bytes for 32
    assert spec.expected.cache_bytes == 8192 * 2 * 34
    assert spec.expected == planned.plan.expected


TWO_CARDS = tuple(GpuInfo("NVIDIA", f"card {gib}", gib * GIB) for gib in (6, 8))


def test_layers_are_divided_among_cards_and_a_repair_divides_them_anew(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    mixture = header_of(
        Shape(40, 2048, 16, 4, 128, 768, 32_000, False, architecture="qwen3moe", experts=128, experts_used=8)
    )
    given = {"server_path": "/opt/llama-server"}
    spec = engine_for(tiny_model, mixture, LLMSettings(llamacpp=given), machine(32, *TWO_CARDS))
    assert (sum(spec.tensor_split), spec.n_gpu_layers) == (41, 41)
    assert 0 < spec.experts_on_host < 40

    def repaired(change: str) -> EngineSpec:
        llm = LLMSettings(llamacpp={**given, "repairs": {str(tiny_model): [change]}})
        return engine_for(tiny_model, mixture, llm, machine(32, *TWO_CARDS))

    fewer = repaired("n_gpu_layers=12")
    assert (sum(fewer.tensor_split), fewer.n_gpu_layers) == (12, 12)
    assert fewer.experts_on_host == spec.experts_on_host
    alone = repaired("binary=builtin")
    assert (alone.tensor_split, alone.experts_on_host, alone.binary) == ((), 0, None)


def test_a_repair_of_the_port_alone_leaves_the_plan_as_it_is(tiny_model: Path) -> None:
    repairs = {str(tiny_model): ["port=auto"]}
    with_port = LLMSettings(llamacpp={"engine_port": 5005})
    repaired = LLMSettings(llamacpp={"engine_port": 5005, "repairs": repairs})
    header = read_header(tiny_model)
    planned = planned_for(tiny_model, header, repaired, machine(16))
    assert planned.spec.port is None
    assert planned.plan == planned_for(tiny_model, header, with_port, machine(16)).plan


def test_the_context_of_before_stays_while_it_fits(tiny_model: Path) -> None:
    header = replace(read_header(tiny_model), file_bytes=8 * GIB, tensors=())
    before = engine_for(tiny_model, header, LLMSettings(), machine(64))
    assert before.n_ctx == 32768

    def again(free_gib: float) -> tuple[int, bool, str]:
        busy = replace(machine(64), ram_available_bytes=int(free_gib * GIB))
        planned = planned_for(tiny_model, header, LLMSettings(), busy, before=before)
        return planned.spec.n_ctx, planned.spec == before, planned.plan.warning

    fits = before.expected
    assert fits is not None
    assert fits.total_bytes is not None
    enough = fits.total_bytes / GIB + 0.1
    short = replace(machine(64), ram_available_bytes=int(enough * GIB))
    assert engine_for(tiny_model, header, LLMSettings(), short).n_ctx < before.n_ctx
    assert again(enough) == (32768, True, "")
    n_ctx, same, warning = again(enough - 0.2)
    assert (n_ctx < 32768, same) == (True, False)
    assert f"hold {n_ctx:,} tokens now instead of 32,768" in warning or "are missing" in warning


def test_more_memory_than_before_gives_a_longer_context(tiny_model: Path) -> None:
    header = replace(read_header(tiny_model), file_bytes=8 * GIB, tensors=())
    short = replace(machine(64), ram_available_bytes=3 * GIB)
    before = engine_for(tiny_model, header, LLMSettings(), short)
    now = planned_for(tiny_model, header, LLMSettings(), machine(64), before=before)
    assert before.n_ctx < now.spec.n_ctx == 32768


def test_further_options_are_passed_on_but_not_those_that_a_repair_leaves_out(tiny_model: Path) -> None:
    given = {"extra_args": "--mmproj /none.gguf --mlock"}
    repairs = {str(tiny_model): ["--mmproj=off"]}
    header = read_header(tiny_model)
    llm = LLMSettings(llamacpp=given)
    assert engine_for(tiny_model, header, llm, machine(16)).extra_args == (
        "--mmproj",
        "/none.gguf",
        "--mlock",
    )
    llm = LLMSettings(llamacpp={**given, "repairs": repairs})
    assert engine_for(tiny_model, header, llm, machine(16)).extra_args == ("--mlock",)
