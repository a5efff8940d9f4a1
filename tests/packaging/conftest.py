"""What the tests of packaging/dev.py share: its modules on the path, and a small project that it can install.

The small project needs no network: it has no dependencies and brings its own build backend.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

_LIMIT_S = 110

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "whisper-desktop"
version = "0"
optional-dependencies = { dev = [] }

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
pythonpath = ["."]
asyncio_default_fixture_loop_scope = "function"
markers = ["chaos: kills"]
"""

_BACKEND = '''\
"""The least that PEP 517 and PEP 660 ask for: a wheel that points back to this folder."""

import zipfile
from pathlib import Path

NAME = "whisper_desktop-0"
METADATA = "Metadata-Version: 2.1\\nName: whisper-desktop\\nVersion: 0\\nProvides-Extra: dev\\n"


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    wheel = f"{NAME}-py3-none-any.whl"
    files = {
        "whisper_desktop.pth": str(Path(__file__).parent),
        f"{NAME}.dist-info/METADATA": METADATA + EXTRA_METADATA,
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{NAME}.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files)
    with zipfile.ZipFile(Path(wheel_directory, wheel), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return build_editable(wheel_directory)


EXTRA_METADATA = ""
'''

_APP = """\
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "pid": os.getpid(), "cwd": os.getcwd()}))
sys.exit(7 if "fail" in sys.argv else 0)
"""


_CORE_TEST = """\
import os, pytest

def test_qt_is_blocked():
    with pytest.raises(ModuleNotFoundError, match="blocked"):
        import PySide6

@pytest.mark.skipif("SKIP" in os.environ, reason="told to")
def test_may_be_skipped():
    pass

def test_the_reference_server_is_named():
    assert open(os.environ["WHISPER_TEST_LLAMA_SERVER"]).read().startswith("#!")
"""

_UI_TEST = """\
import os

def test_the_screen_is_not_the_persons():
    assert os.environ.get("DISPLAY") != ":4711" and "WAYLAND_DISPLAY" not in os.environ
    assert "UI_FAILS" not in os.environ
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Checkout:
    """A project folder with our own packaging/ in it, and a way to call its dev.py."""

    def __init__(self, folder: Path, shims: Path) -> None:
        self.folder = folder
        self.first: Ran | None = None
        self._shims = shims

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.folder / "packaging" / "dev.py"), *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CI", "DISPLAY", "WAYLAND_DISPLAY", "WHISPER_TEST_PORTS")
        }
        path = f"{self._shims}{os.pathsep}{kept['PATH']}"
        return {**kept, "PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", **changes}

    def dev(self, *arguments: str, **changes: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            env=self.environment(**changes),
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def site_packages(self) -> Path:
        return next((self.folder / ".venv").glob("lib/python*/site-packages"))


@pytest.fixture(scope="session")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs in front of the system's own. No test may install system packages, so apt-get refuses here."""
    folder = tmp_path_factory.mktemp("shims")
    program(folder / "apt-get", "echo 'E: not in a test' >&2; exit 100")
    return folder


@pytest.fixture
def checkout(tmp_path: Path, shims: Path) -> Checkout:
    """A fresh clone: nothing is installed."""
    return _checkout(tmp_path / "clone", shims)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, shims: Path) -> Checkout:
    """A checkout in which `run` has been called once; `first` is how that went."""
    made = _checkout(tmp_path_factory.mktemp("installed") / "clone", shims)
    made.first = made.dev("run", "--", "chat", "--json", "two words", "fail")
    return made


@pytest.fixture
def complete(installed: Checkout) -> Checkout:
    """The small project with checkers of its own, tests, and what the tests of this project need."""
    for name in ("ruff", "mypy", "lint-imports"):
        program(installed.folder / ".venv" / "bin" / name, "exit 0")
    outer = installed.site_packages / "outer.pth"
    outer.write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    tests = installed.folder / "tests"
    (tests / "ui").mkdir(parents=True, exist_ok=True)
    for plugin in ("strict_skips.py", "block_qt.py", "reference_engine.py"):
        (tests / plugin).write_bytes((ROOT / "tests" / plugin).read_bytes())
    (tests / "test_core.py").write_text(_CORE_TEST, encoding="utf-8")
    (tests / "ui" / "test_window.py").write_text(_UI_TEST, encoding="utf-8")
    return installed


@pytest.fixture
def cache(tmp_path: Path) -> str:
    """A development cache in which the reference server seems to have been built."""
    import dev_llama

    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    place = tmp_path / "llama-server" / dev_llama.key(dev_llama.cpu_abilities(os.uname().machine, text))
    place.mkdir(parents=True)
    program(place / "llama-server", "echo version: none")
    return str(tmp_path)


def program(path: Path, script: str) -> None:
    """Writes an executable shell script."""
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _checkout(folder: Path, shims: Path) -> Checkout:
    shutil.copytree(ROOT / "packaging", folder / "packaging", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    (folder / "backend.py").write_text(_BACKEND, encoding="utf-8")
    (folder / "whisper_desktop").mkdir()
    (folder / "whisper_desktop" / "__main__.py").write_text(_APP, encoding="utf-8")
    return Checkout(folder, shims)
