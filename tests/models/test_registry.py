"""The registry of models, as a program uses it: on a real folder, across processes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from whisper_desktop import ModelRegistry
from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.places import Place
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import ModelInfo, ModelType


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "models/Tiny-Instruct-Q4_K_M.gguf")
    write_gguf(tmp_path / "models/embed.gguf", architecture="bert")
    return tmp_path / "models"


def test_models_are_discovered_and_what_is_none_is_told(folder: Path) -> None:
    (folder / "text.gguf").write_text("no model")
    registry = ModelRegistry(folder)
    assert {model.id: model.type for model in registry.discover_models()} == {
        "Tiny-Instruct-Q4_K_M": ModelType.CHAT,
        "embed": ModelType.EMBEDDING,
    }
    assert "text.gguf" in registry.problems[0]


def test_a_folder_that_is_not_there_has_no_models_and_is_not_made(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "gone")
    assert registry.discover_models() == []
    assert registry.list_models(local_only=True) == []
    assert registry.list_models(), "the catalogue's are there"
    assert not (tmp_path / "gone").exists()


def test_lists_are_by_place_and_type(folder: Path) -> None:
    registry = ModelRegistry(str(folder))
    local = registry.list_models(local_only=True)
    assert [model.id for model in local] == ["embed", "Tiny-Instruct-Q4_K_M"]
    assert [model.id for model in registry.list_models(local_only=True, model_type="embedding")] == ["embed"]
    everything = registry.list_models()
    assert len(everything) > 30
    assert all((model.path is None) != (model in local) for model in everything)
    with pytest.raises(ValueError, match="speech"):
        registry.list_models(model_type="speech")


def test_a_model_of_the_catalogue_that_is_here_is_listed_once(folder: Path) -> None:
    registry = ModelRegistry(folder)
    entry = next(model for model in registry.list_models() if model.path is None)
    assert registry.get_model_info(entry.id.upper()) is not None
    from whisper_desktop.models.catalogue import load

    file = next(model.file for model in load() if model.id == entry.id)
    write_gguf(folder / file)
    registry.discover_models()
    assert [model.path for model in registry.list_models() if model.id in (entry.id, Path(file).stem)] == [
        folder / file
    ]


def test_what_is_registered_is_there_for_the_next_process(folder: Path) -> None:
    far = ModelInfo("house-model", type=ModelType.CHAT, remote=True, capabilities=("completion", "tools"))
    ModelRegistry(folder).register_model(far)
    ModelRegistry(folder).register_model(ModelInfo("second", type=ModelType.CODE))
    registry = ModelRegistry(folder)
    assert registry.get_model_info("House-Model") == far
    program = (
        "import sys; from whisper_desktop import ModelRegistry\n"
        "print(ModelRegistry(sys.argv[1]).get_model_info('second').type)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert told.stdout.strip() == "code", told.stderr


def test_a_registered_file_is_local_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "elsewhere/mine.gguf")
    registry = ModelRegistry(folder)
    registry.register_model(ModelInfo("mine", type=ModelType.CHAT, path=path))
    (mine,) = [model for model in registry.list_models(local_only=True) if model.id == "mine"]
    assert (mine.path, mine.size_bytes) == (path, path.stat().st_size)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (ModelInfo(" "), "It has no id."),
        (ModelInfo("x", path=Path("/gone/x.gguf")), "The model file x.gguf is not there."),
        (ModelInfo("x", path=Path(__file__)), "is not a model that can be used"),
    ],
)
def test_what_cannot_be_registered_is_told(folder: Path, model: ModelInfo, why: str) -> None:
    registry = ModelRegistry(folder)
    with pytest.raises(ModelFileError, match=why):
        registry.register_model(model)
    assert not (folder / ".registry.json").exists()


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1, "models": 7}', '{"version": 9, "models": []}'])
def test_a_damaged_file_of_registered_models_holds_none(folder: Path, damage: str) -> None:
    (folder / ".registry.json").write_text(damage)
    registry = ModelRegistry(folder)
    assert len(registry.list_models(local_only=True)) == 2
    registry.register_model(ModelInfo("new"))
    assert registry.get_model_info("new") is not None


def test_a_damaged_entry_is_left_out_and_the_others_stay(folder: Path) -> None:
    registry = ModelRegistry(folder)
    registry.register_model(ModelInfo("good"))
    kept = json.loads((folder / ".registry.json").read_text())
    kept["models"] += [7, {"no": "id"}, {"id": "bad", "type": "speech"}]
    (folder / ".registry.json").write_text(json.dumps(kept))
    assert registry.get_model_info("good") is not None
    assert registry.get_model_info("bad") is None


def test_names_are_forgiving_but_never_a_guess(folder: Path) -> None:
    write_gguf(folder / "Two-Q4_K_M.gguf")
    write_gguf(folder / "Two-Q8_0.gguf")
    registry = ModelRegistry(folder)
    for name in ("tiny-instruct-q4_k_m", "TINY-INSTRUCT-Q4_K_M.GGUF", "Tiny-Instruct"):
        found = registry.get_model_info(name)
        assert found is not None
        assert found.id == "Tiny-Instruct-Q4_K_M"
    for name in ("two", "Tiny-Instr", "", "nothing"):
        assert registry.get_model_info(name) is None


def test_models_of_one_name_in_two_folders_are_both_there(folder: Path, tmp_path: Path) -> None:
    other = write_gguf(tmp_path / "other/embed.gguf", architecture="bert", context=128)
    registry = ModelRegistry(folder, places=[Place(tmp_path / "other", "folder")])
    assert len(registry.list_models(model_type=ModelType.EMBEDDING)) == 2
    found = registry.get_model_info(str(other))
    assert found is not None
    assert found.path == other


def test_the_memory_a_model_needs_is_told_in_gib(tmp_path: Path) -> None:
    guide = Path(shutil.copy(resource("guide", "guide.gguf"), tmp_path))
    registry = ModelRegistry(tmp_path, catalogue=())
    info = registry.get_model_info("guide")
    assert info is not None
    assert info.memory_requirement_gb is not None
    weights = guide.stat().st_size / 2**30
    assert weights < info.memory_requirement_gb < weights + 0.1


def test_a_model_of_the_catalogue_tells_its_need_too(tmp_path: Path) -> None:
    info = ModelRegistry(tmp_path).get_model_info("Qwen3-8B")
    assert info is not None
    assert info.size_bytes is not None
    assert info.memory_requirement_gb is not None
    assert info.size_bytes / 2**30 < info.memory_requirement_gb < 1.4 * info.size_bytes / 2**30
