"""The registry of models, as a program uses it: on a real folder, across processes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from whisper_desktop import ModelRegistry
from whisper_desktop.errors import ModelFileError, SettingsError
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
        (ModelInfo(7), "It has no id."),  # type: ignore[arg-type]  # as without a type checker
        (ModelInfo("x", capabilities={"chat"}), "another kind"),  # type: ignore[arg-type]  # so, too
        (ModelInfo("x", capabilities="chat"), "another kind"),  # type: ignore[arg-type]  # so, too
        (ModelInfo("x", size_bytes="7 GB"), "another kind"),  # type: ignore[arg-type]  # so, too
        (ModelInfo("x", type="speech"), "another kind"),  # type: ignore[arg-type]  # so, too
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
    assert (folder / ".registry.json.damaged").read_text() == damage, "a newer version may still read it"


def test_the_example_in_the_manual_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from whisper_desktop.models import registry

    assert registry.__doc__ is not None
    example = registry.__doc__.partition("\n\n")[2].replace("~/models", str(folder))
    exec(compile(example, "example", "exec"), {})
    told = capsys.readouterr().out
    assert f"Tiny-Instruct-Q4_K_M chat {folder / 'Tiny-Instruct-Q4_K_M.gguf'}" in told
    assert "can be downloaded" in told
    assert "GiB" in told


def test_a_registered_model_is_listed_while_its_file_is_there(folder: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "drive/mine.gguf")
    registry = ModelRegistry(folder)
    registry.register_model(ModelInfo("mine", path=path))
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    assert registry.get_model_info("mine") is None
    registry.register_model(ModelInfo("other"))
    (tmp_path / "unplugged").rename(tmp_path / "drive")
    assert registry.get_model_info("mine") is not None


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(SettingsError, match="The model x cannot be registered"):
            ModelRegistry(place).register_model(ModelInfo("x"))
        assert ModelRegistry(place).discover_models() == []
    assert ModelRegistry("~nobody-of-this-name/models").discover_models() == []


def test_what_cannot_be_read_is_not_written_over(folder: Path) -> None:
    (folder / ".registry.json").mkdir()  # as a disk that fails, it says that it cannot be read
    registry = ModelRegistry(folder)
    assert len(registry.list_models(local_only=True)) == 2
    with pytest.raises(SettingsError, match="cannot be registered"):
        registry.register_model(ModelInfo("x"))
    assert (folder / ".registry.json").is_dir()


def test_a_folder_behind_a_link_is_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (folder / "again.gguf").symlink_to(folder / "embed.gguf")
    found = ModelRegistry(tmp_path / "link", places=[Place(tmp_path / "link", "folder")]).discover_models()
    assert sorted(model.path.name for model in found if model.path) == [
        "Tiny-Instruct-Q4_K_M.gguf",
        "embed.gguf",
    ]


def test_an_id_comes_before_the_name_of_a_file(folder: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(folder, catalogue=())
    registry.register_model(ModelInfo("a", path=write_gguf(tmp_path / "one/same.gguf")))
    registry.register_model(ModelInfo("b", path=write_gguf(tmp_path / "two/same.gguf")))
    assert registry.get_model_info("same") is None, "never a guess"
    registry.register_model(ModelInfo("same"))
    assert registry.get_model_info("SAME") == ModelInfo("same")


def test_a_damaged_entry_is_left_out_and_the_others_stay(folder: Path) -> None:
    registry = ModelRegistry(folder)
    registry.register_model(ModelInfo("good"))
    kept = json.loads((folder / ".registry.json").read_text())
    kept["models"] += [
        7,
        {"no": "id"},
        {"id": "bad", "type": "speech"},
        {"id": 7},
        {"id": "worse", "remote": 1},
    ]
    (folder / ".registry.json").write_text(json.dumps(kept))
    assert registry.get_model_info("good") is not None
    assert registry.get_model_info("bad") is None
    assert {"bad", "worse"}.isdisjoint(model.id for model in registry.list_models())


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
