"""Where things live: WHISPER_HOME, private folders, resources in a checkout and frozen, a light import."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from whisper_desktop.errors import ResourceMissing, SettingsError
from whisper_desktop.settings import paths

FOLDERS: tuple[tuple[Callable[..., Path], str], ...] = (
    (paths.config_dir, "config"),
    (paths.data_dir, "data"),
    (paths.cache_dir, "cache"),
    (paths.log_dir, "logs"),
    (paths.run_dir, "run"),
)


@pytest.mark.parametrize(("folder", "name"), FOLDERS)
def test_whisper_home_replaces_every_platform_folder(
    folder: Callable[..., Path], name: str, tmp_path: Path
) -> None:
    home = tmp_path / "portable"
    found = folder({"WHISPER_HOME": str(home)})
    assert found == home / name
    assert found.is_dir()


def test_whisper_home_is_read_from_the_process_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_HOME", str(tmp_path / "other"))
    assert paths.config_dir() == tmp_path / "other" / "config"


def test_whisper_home_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.data_dir({"WHISPER_HOME": "~/w"}) == tmp_path / "w" / "data"


@pytest.mark.skipif(os.name == "nt", reason="folder modes are a Unix matter")
def test_new_folders_and_their_new_parents_are_private(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    folder = paths.config_dir({"WHISPER_HOME": str(home)})
    for made in (folder, home, home.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name == "nt", reason="folder modes are a Unix matter")
def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    paths.config_dir({"WHISPER_HOME": str(tmp_path)})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_home_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be created.*WHISPER_HOME"):
        paths.config_dir({"WHISPER_HOME": str(tmp_path / "file")})


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of the freedesktop specification")
def test_linux_folders_follow_the_xdg_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPER_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert paths.config_dir() == tmp_path / "c" / "whisper-desktop"
    assert paths.data_dir() == tmp_path / "d" / "whisper-desktop"


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of the freedesktop specification")
@pytest.mark.parametrize(("mode", "used"), [(0o700, True), (0o777, False)])
def test_run_files_go_only_where_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, used: bool
) -> None:
    monkeypatch.delenv("WHISPER_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    runtime.chmod(mode)
    found = paths.run_dir({"XDG_RUNTIME_DIR": str(runtime)})
    assert (found == runtime / "whisper-desktop") is used
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_models_are_kept_with_the_data_unless_the_person_says_otherwise(tmp_path: Path) -> None:
    env = {"WHISPER_HOME": str(tmp_path / "home")}
    assert paths.model_cache_dir(None, env) == tmp_path / "home" / "data" / "models"
    assert paths.model_cache_dir(str(tmp_path / "mine"), env) == tmp_path / "mine"
    assert (tmp_path / "mine").is_dir()


def test_a_model_folder_on_a_missing_drive_is_not_invented(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="drive") as caught:
        paths.model_cache_dir(tmp_path / "usb" / "models")
    assert caught.value.key == "llm.model_cache_dir"
    assert not (tmp_path / "usb").exists()


def test_resources_are_found_in_a_checkout() -> None:
    checkout = Path(__file__).resolve().parents[2]
    assert paths.resource() == checkout / "resources"


def test_resources_are_found_in_a_frozen_build_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = tmp_path / "whisper_desktop" / "resources" / "guide"
    bundled.mkdir(parents=True)
    (bundled / "guide.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert paths.resource("guide", "guide.gguf") == bundled / "guide.gguf"


def test_a_missing_resource_says_what_to_do() -> None:
    with pytest.raises(ResourceMissing, match=r"resources/no/such\.file.*Install"):
        paths.resource("no", "such.file")


def test_settings_and_paths_import_nothing_heavy() -> None:
    program = (
        "import sys, whisper_desktop.settings, whisper_desktop.settings.paths as p; p.resource()\n"
        "heavy = {'pydantic', 'yaml', 'keyring', 'platformdirs', 'httpx'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_public_name_of_settings_is_there() -> None:
    import whisper_desktop.settings as settings

    assert all(getattr(settings, name) is not None for name in settings.__all__)
    with pytest.raises(AttributeError):
        settings.no_such_name  # noqa: B018
