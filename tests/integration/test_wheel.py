"""What a package install gives: the program, and its resources where it looks for them."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("guide/guide.gguf", "catalog.yaml", "icons/whisper.svg")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built as an installer builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_its_resources_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in NEEDED:
        assert f"whisper_desktop/resources/{name}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"whisper_desktop"}
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]


def test_installed_in_a_clean_environment_it_finds_its_resources(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "clean", with_pip=False)
    scripts = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    site = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True, timeout=60
    ).strip()
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies come from the environment of the tests; the project itself is not importable there.
    libraries = sysconfig.get_path("purelib")
    code = (
        "import whisper_desktop.settings.paths as paths; print(paths.__file__);"
        f"[print(paths.resource(*name.split('/'))) for name in {NEEDED!r}]"
    )
    said = subprocess.run(
        [python, "-c", code],
        env={**os.environ, "PYTHONPATH": libraries},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    home, *found = said.stdout.split("\n")[:-1]
    assert home.startswith(site)
    assert [Path(path).exists() and path.startswith(site) for path in found] == [True] * len(NEEDED)
