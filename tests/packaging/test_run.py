"""`dev.py run`: a first start installs, a second one does not, and every hindrance ends in a sentence."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import dev_venv
import pytest

from tests.packaging.conftest import ROOT, Checkout, program

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the small project's venv is laid out for POSIX"
)


def test_first_start_installs_and_hands_arguments_and_exit_status_through(installed: Checkout) -> None:
    first = installed.first
    assert first is not None
    assert json.loads(first.out)["arguments"] == ["chat", "--json", "two words", "fail"]
    assert first.code == 7
    assert "Making .venv with Python 3" in first.err
    assert "Installing Whisper Desktop" in first.err


def ldconfig_that_says(folder: Path, text: str, checkout: Checkout) -> str:
    """A PATH on which the linker's cache holds what `text` lists."""
    folder.mkdir()
    (folder / "cache.txt").write_text(text, encoding="utf-8")
    program(folder / "ldconfig", f"cat {folder / 'cache.txt'}")
    return f"{folder}:{checkout.environment()['PATH']}"


def test_second_start_looks_for_no_library_and_needs_no_pip(installed: Checkout, tmp_path: Path) -> None:
    nothing_there = ldconfig_that_says(tmp_path / "front", "", installed)
    pip = installed.site_packages / "pip"
    aside = pip.with_name("pip-set-aside")
    pip.rename(aside)
    try:
        ran = installed.dev("run", "--", "again", PATH=nothing_there)
    finally:
        aside.rename(pip)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["arguments"] == ["again"]


def test_the_app_takes_the_place_of_dev_py_so_that_signals_reach_it(installed: Checkout) -> None:
    with subprocess.Popen(
        installed.command("run"), stdout=subprocess.PIPE, text=True, env=installed.environment()
    ) as started:
        out, _ = started.communicate(timeout=60)
    assert json.loads(out)["pid"] == started.pid


def test_the_app_starts_in_the_persons_folder_and_takes_no_module_from_it(
    installed: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the current folder')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ran = installed.dev("run")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["cwd"] == str(tmp_path)


def test_a_changed_pyproject_is_installed_again(installed: Checkout) -> None:
    installed.edit("pyproject.toml", 'version = "0"', 'version = "0" # changed')
    assert "Installing Whisper Desktop" in installed.dev("run").err
    assert installed.dev("run").err == ""


def test_a_checkout_that_was_moved_gets_a_new_venv(installed: Checkout) -> None:
    installed.folder = installed.folder.rename(installed.folder.with_name("elsewhere"))
    ran = installed.dev("run")
    assert ran.code == 0, ran.err
    assert "Making .venv" in ran.err
    assert "elsewhere" in (installed.site_packages / "whisper_desktop.pth").read_text(encoding="utf-8")


def test_a_venv_whose_python_is_gone_is_made_anew(installed: Checkout) -> None:
    python = installed.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    ran = installed.dev("run")
    assert ran.code == 0, ran.err
    assert "Making .venv" in ran.err


def test_a_failed_install_shows_why_says_what_to_do_and_is_tried_again(installed: Checkout) -> None:
    backend = 'EXTRA_METADATA = ""'
    needy = 'EXTRA_METADATA = "Requires-Dist: a-package-that-is-not-there\\n"'
    installed.edit("backend.py", backend, needy)
    installed.edit("pyproject.toml", "[project]", "# needy\n[project]")
    first, second = installed.dev("run"), installed.dev("run")
    installed.edit("backend.py", needy, backend)
    assert first.code == 1
    assert "a-package-that-is-not-there" in first.err
    assert first.err.rstrip().endswith("may help.")
    assert "Traceback" not in first.err
    assert second.code == 1
    assert installed.dev("run").code == 0


def test_a_python_without_ensurepip_is_told_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ensurepip.py").write_text(
        "raise ImportError('left out by the distribution')", encoding="utf-8"
    )
    ran = checkout.dev("run", PYTHONPATH=str(hidden))
    assert ran.code == 1
    assert "has no venv module" in ran.err
    assert "Traceback" not in ran.err
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("debian", "named"), [(True, "apt-get install -y python3.12-venv`"), (False, "python3-venv")]
)
def test_the_missing_venv_package_is_named_for_the_system(debian: bool, named: str) -> None:
    assert named in dev_venv.how_to_get_venv((3, 12), debian)


def test_an_incomplete_copy_of_the_project_is_named_as_such(checkout: Checkout) -> None:
    (checkout.folder / "pyproject.toml").unlink()
    ran = checkout.dev("run")
    assert ran.code == 1
    assert "no pyproject.toml" in ran.err
    assert "Traceback" not in ran.err


def test_a_folder_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    (checkout.folder / ".venv.lock").mkdir()  # even root cannot open a folder for writing
    ran = checkout.dev("run")
    assert ran.code == 1
    assert ran.err.startswith(str(checkout.folder / ".venv.lock"))
    assert "must be yours to write to" in ran.err
    assert "Traceback" not in ran.err


def test_a_missing_library_is_reported_and_the_app_still_starts(installed: Checkout, tmp_path: Path) -> None:
    """Without libgomp in the linker's cache; apt-get is there and refuses."""
    sample = (Path(__file__).parent / "samples" / "ldconfig-debian12-x86_64.txt").read_text(encoding="utf-8")
    lacking = "\n".join(line for line in sample.splitlines() if "libgomp" not in line)
    path = ldconfig_that_says(tmp_path / "front", lacking, installed)
    (installed.folder / ".venv" / "whisper-desktop-stamp").unlink()
    for _ in range(2):  # it is not taken for settled the second time either
        ran = installed.dev("run", PATH=path)
        assert ran.code == 0, ran.err
        assert "apt-get install -y --no-install-recommends libgomp1" in ran.err
    assert installed.dev("run").code == 0


def test_an_old_python_could_read_dev_py() -> None:
    source = (ROOT / "packaging" / "dev.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 4))


@pytest.mark.parametrize("lines", ["not a stamp", "pyproject", "", "\x00\x01"])
def test_a_damaged_stamp_only_means_installing_again(installed: Checkout, lines: str) -> None:
    (installed.folder / ".venv" / "whisper-desktop-stamp").write_text(lines, encoding="utf-8")
    ran = installed.dev("run")
    assert ran.code == 0, ran.err
    assert "Installing Whisper Desktop" in ran.err


def test_pip_steps_are_told_in_plain_words() -> None:
    """Lines of pip 23.0 and 25.0, captured."""
    said = [
        dev_venv.pip_step(line)
        for line in (
            "Collecting PySide6-Essentials!=6.12.0,<6.13,>=6.8",
            "  Downloading pyside6_essentials-6.11.3-cp310-abi3-manylinux_2_34_x86_64.whl (79.9 MB)",
            "  Preparing editable metadata (pyproject.toml): started",
            "Installing collected packages: zipp, xllamacpp",
            "Requirement already satisfied: pip",
            "",
        )
    ]
    assert said == [
        "looking up PySide6-Essentials!=6.12.0,<6.13,>=6.8",
        "downloading pyside6_essentials (79.9 MB)",
        "preparing the project itself",
        "unpacking 2 packages",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("[Errno -3] Temporary failure in name resolution", "could not reach the package index"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: No matching distribution found for xllamacpp>=2026.10", "not available for this system"),
        ("ERROR: something new", "The lines above say why"),
    ],
)
def test_each_kind_of_pip_failure_has_its_own_advice(line: str, advice: str) -> None:
    assert advice in dev_venv.pip_advice(["Collecting x", line])


def test_our_copy_of_the_fixture_is_complete(checkout: Checkout) -> None:
    """Guards the tests above: a fresh clone holds no venv, and dev.py is the one under test."""
    assert not (checkout.folder / ".venv").exists()
    for path in (ROOT / "packaging").glob("*.py"):
        assert (checkout.folder / "packaging" / path.name).read_bytes() == path.read_bytes()
    assert shutil.which("apt-get", path=checkout.environment()["PATH"]) != "/usr/bin/apt-get"
