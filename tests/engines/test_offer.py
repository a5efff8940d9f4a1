"""Our own engine as a row in the list of servers, and its specification from the settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.engines.context import choose_context, memory_warning
from whisper_desktop.engines.offer import builtin_server, engine_for
from whisper_desktop.models.gguf import GgufHeader, read_header
from whisper_desktop.settings.schema import LLMSettings
from whisper_desktop.values import GIB, EngineState, EngineStatus, Reach, ResourceInfo, ServerStatus


def machine(ram_gib: float) -> ResourceInfo:
    ram = int(ram_gib * GIB)
    return ResourceInfo("Linux", "12", "x86_64", "cpu", 4, 8, ram, ram)


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
    assert (server.detail == "What happened.") == (state is EngineState.FAILED)


def test_the_guides_engine_is_not_taken_for_the_builtin_one(tiny_model: Path) -> None:
    guide = EngineStatus("guide", EngineState.READY, "guide", "http://127.0.0.1:5000", 77, "")
    server = builtin_server(tiny_model, guide)
    assert server is not None
    assert server.url == ""


def test_numbers_that_the_person_set_are_obeyed(tiny_model: Path) -> None:
    llm = LLMSettings.model_validate(
        {"llamacpp": {"n_ctx": 999, "n_gpu_layers": 3, "server_path": "/opt/llama-server"}}
    )
    spec = engine_for(tiny_model, read_header(tiny_model), llm, machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (999, 3, Path("/opt/llama-server"))
    assert (spec.id, spec.threads, spec.port) == ("builtin", 4, None)


def test_automatic_is_bounded_by_what_it_may_take(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    spec = engine_for(tiny_model, read_header(tiny_model), LLMSettings(), machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (32768, "auto", None)


def header(context: int, layers: int, file_bytes: int) -> GgufHeader:
    """A dense model with 8 KV heads of 128."""
    shape: dict[str, int | str] = {
        "general.architecture": "llama",
        "llama.context_length": context,
        "llama.block_count": layers,
        "llama.embedding_length": 4096,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
    }
    return GgufHeader(shape, file_bytes)


EIGHT_BILLION = header(131072, 32, 4_920_000_000)


@pytest.mark.parametrize(
    ("ram_gib", "context"),
    [(64, 32768), (16, 32768), (12, 16384), (9.5, 4096), (4, 4096)],
)
def test_the_context_shrinks_with_the_memory(ram_gib: float, context: int) -> None:
    assert choose_context(EIGHT_BILLION, machine(ram_gib)) == context


def test_no_more_memory_is_taken_than_is_free() -> None:
    busy = replace(machine(64), ram_available_bytes=6 * GIB)
    assert choose_context(EIGHT_BILLION, busy) == 8192


def test_a_model_is_not_given_more_than_it_was_trained_with() -> None:
    assert choose_context(header(2048, 4, 1_000_000), machine(64)) == 2048


def test_without_knowledge_the_shortest_is_taken() -> None:
    assert choose_context(None, machine(64)) == 4096
    assert choose_context(EIGHT_BILLION, None) == 4096
    assert choose_context(GgufHeader({"general.architecture": "llama"}, 1), machine(64)) == 4096


def test_a_context_that_was_written_and_will_not_fit_is_told() -> None:
    assert memory_warning(EIGHT_BILLION, 4096, machine(64)) is None
    warning = memory_warning(EIGHT_BILLION, 131072, machine(16))
    assert warning is not None
    assert "131,072 tokens" in warning
