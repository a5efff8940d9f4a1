"""Our own engine as a row in the list of servers, and its specification from the settings."""

from pathlib import Path

import pytest

from tests.engines.tiny_model import CONTEXT
from whisper_desktop.engines.context import Shape, choose_context, read_shape
from whisper_desktop.engines.offer import builtin_server, engine_for
from whisper_desktop.models.catalogue import KvGroup
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
    spec = engine_for(tiny_model, llm, machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (999, 3, Path("/opt/llama-server"))
    assert (spec.id, spec.threads, spec.port) == ("builtin", 4, None)


def test_automatic_is_bounded_by_what_it_may_take(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    spec = engine_for(tiny_model, LLMSettings(), machine(16))
    assert (spec.n_ctx, spec.n_gpu_layers, spec.binary) == (32768, "auto", None)


def test_the_shape_is_read_from_the_file(tiny_model: Path) -> None:
    shape = read_shape(tiny_model)
    assert shape == Shape(CONTEXT, tiny_model.stat().st_size, (KvGroup(1, 1, 32, 32, None),))


@pytest.mark.parametrize("cut", [0, 3, 24, 60, 200, 500])
def test_a_file_that_is_cut_off_has_no_shape(cut: int, tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "cut.gguf"
    broken.write_bytes(tiny_model.read_bytes()[:cut])
    assert read_shape(broken) is None
    assert read_shape(tmp_path / "none.gguf") is None


@pytest.mark.parametrize(
    ("ram_gib", "context"),
    [(64, 32768), (16, 32768), (9.5, 4096), (4, 4096)],
)
def test_the_context_shrinks_with_the_memory(ram_gib: float, context: int) -> None:
    eight_billion = Shape(131072, 4_920_000_000, (KvGroup(32, 8, 128, 128, None),))
    assert choose_context(eight_billion, machine(ram_gib)) == context


def test_a_model_is_not_given_more_than_it_was_trained_with() -> None:
    small = Shape(2048, 1_000_000, (KvGroup(4, 2, 32, 32, None),))
    assert choose_context(small, machine(64)) == 2048


def test_without_knowledge_the_shortest_is_taken() -> None:
    assert choose_context(None, machine(64)) == 4096
    assert choose_context(Shape(131072, 1, ()), None) == 4096
