"""Where a llama-server is looked for, which one is taken, and which ones need a yes."""

import os
from pathlib import Path

import pytest

from tests.engines.builds.programs import program
from whisper_desktop.engines.builds import keep
from whisper_desktop.engines.builds.found import Surroundings, candidates, find_binary


def around(home: Path, platform: str = "linux", **environment: str) -> Surroundings:
    return Surroundings(platform, home, {"PATH": str(home / "nothing"), **environment})


def sources(found: Surroundings, *, consented: bool = True) -> list[str]:
    return [candidate.source for candidate in candidates(consented, around=found)]


def build(name: str) -> Path:
    """An installed build, as `install` leaves one."""
    folder = keep.builds_dir() / name
    binary = program(folder / "build")
    keep.describe_in(folder, version=name, variant="cpu", says="1", binary=binary)
    return binary


def test_what_is_set_wins_over_path_even_when_it_is_not_there(tmp_path: Path) -> None:
    program(tmp_path, "")
    assert find_binary("/none/llama-server", str(tmp_path)) == Path("/none/llama-server")


def test_a_folder_that_is_set_means_the_program_in_it(tmp_path: Path) -> None:
    assert find_binary(tmp_path) == tmp_path / "llama-server"


def test_without_a_setting_path_is_searched(tmp_path: Path) -> None:
    assert find_binary(None, str(tmp_path)) is None
    found = program(tmp_path, "")
    assert find_binary("  ", str(tmp_path)) == found


def test_a_home_folder_is_understood() -> None:
    assert find_binary("~/bin/llama-server") == Path(os.environ["HOME"], "bin/llama-server")


def test_what_this_app_installed_comes_before_path_and_after_the_setting(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin")
    assert find_binary(None, str(tmp_path / "bin")) == on_path
    binary = build("b1-cpu")
    assert find_binary(None, str(tmp_path / "bin")) == on_path  # installed, but not in use
    keep.switch_to("b1-cpu")
    assert find_binary(None, str(tmp_path / "bin")) == binary
    assert find_binary("/none/llama-server", str(tmp_path / "bin")) == Path("/none/llama-server")


def test_a_build_whose_program_has_gone_is_passed_over(tmp_path: Path) -> None:
    binary = build("b1-cpu")
    keep.switch_to("b1-cpu")
    binary.unlink()
    assert find_binary(None, str(tmp_path)) is None


def test_homebrew_is_looked_at_although_it_is_not_on_path(tmp_path: Path) -> None:
    brewed = program(tmp_path / ".linuxbrew" / "bin")
    (found,) = candidates(False, around=around(tmp_path))
    assert (found.path, found.source, found.words) == (brewed, "homebrew", "from Homebrew")


def test_winget_is_looked_at_by_its_link_and_by_its_folder(tmp_path: Path) -> None:
    windows = around(tmp_path, "win32", LOCALAPPDATA=str(tmp_path))
    packages = tmp_path / "Microsoft" / "WinGet" / "Packages"
    program(packages / "ggml.llamacpp_Microsoft.Winget.Source_8wekyb3d8bbwe", name="llama-server.exe")
    assert sources(windows) == ["winget"]
    link = program(tmp_path / "Microsoft" / "WinGet" / "Links", name="llama-server.exe")
    assert candidates(True, around=windows)[0].path == link
    assert sources(around(tmp_path, LOCALAPPDATA=str(tmp_path))) == []


def test_other_apps_folders_are_looked_into_with_consent_only(tmp_path: Path) -> None:
    backends = tmp_path / ".lmstudio" / "extensions" / "backends"
    program(backends / "llama.cpp-linux-x86_64-nvidia-cuda12-avx2-2.9.0")
    newest = program(backends / "llama.cpp-linux-x86_64-avx2-2.30.0")
    (backends / "llama.cpp-linux-x86_64-vulkan-avx2-1.0.0").mkdir()  # an older one, without the program
    program(backends / "mlx-1.0.0")
    program(tmp_path / "usr" / "bin", name="ollama")
    ollamas = program(tmp_path / "usr" / "lib" / "ollama")
    here = around(tmp_path, PATH=str(tmp_path / "usr" / "bin"))
    assert sources(here, consented=False) == []
    found = candidates(True, around=here)
    assert [candidate.source for candidate in found][:3] == ["lm_studio", "lm_studio", "ollama"]
    assert found[0].path == newest
    assert found[2].path == ollamas
    assert find_binary(None, str(tmp_path / "usr" / "bin")) is None


def test_a_moved_lm_studio_is_followed_and_nonsense_in_its_pointer_is_not(tmp_path: Path) -> None:
    backends = tmp_path / "elsewhere" / "extensions" / "backends"
    program(backends / "llama.cpp-linux-x86_64-avx2-2.9.0")
    pointer = tmp_path / ".lmstudio-home-pointer"
    pointer.write_text(f"{tmp_path / 'elsewhere'}\n")
    assert sources(around(tmp_path)) == ["lm_studio"]
    for nonsense in (b"relative/path", b"\xff\xfe", b"/a\0b", b"", b"/" * 10_000):
        pointer.write_bytes(nonsense)
        assert sources(around(tmp_path)) == []


def test_ollama_on_macos_and_windows_is_where_it_installs_itself(tmp_path: Path) -> None:
    program(tmp_path / "Programs" / "Ollama" / "lib" / "ollama", name="llama-server.exe")
    assert sources(around(tmp_path, "win32", LOCALAPPDATA=str(tmp_path))) == ["ollama"]


def test_the_same_program_is_listed_once_by_its_first_name(tmp_path: Path) -> None:
    real = program(tmp_path / "real")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llama-server").symlink_to(real)
    here = around(tmp_path, PATH=str(tmp_path / "bin"))
    assert [candidate.source for candidate in candidates(False, real, here)] == ["settings"]
    assert [candidate.source for candidate in candidates(False, None, here)] == ["path"]


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions")
def test_a_file_that_may_not_be_run_is_not_a_candidate(tmp_path: Path) -> None:
    program(tmp_path / ".linuxbrew" / "bin").chmod(0o644)
    assert sources(around(tmp_path)) == []
