"""Where a llama-server may be on this computer, and which one is used.

Not run here: Windows and macOS; their places are from the documentation of winget and Homebrew, and from
what people report of LM Studio and Ollama.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from whisper_desktop.engines.builds.keep import current
from whisper_desktop.engines.programs.lm_studio_home import lm_studio_home
from whisper_desktop.language import mark, tr

Source = Literal["settings", "installed", "path", "homebrew", "winget", "lm_studio", "ollama"]

_PROGRAM = "llama-server"

_WORDS: Mapping[Source, str] = {
    "settings": mark("set in the settings"),
    "installed": mark("installed by this app"),
    "path": mark("on PATH"),
    "homebrew": mark("from Homebrew"),
    "winget": mark("from winget"),
    "lm_studio": mark("LM Studio's own"),
    "ollama": mark("Ollama's own"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A llama-server program that is there, and how it came to be there."""

    path: Path
    source: Source

    @property
    def words(self) -> str:
        """Where it comes from, for a person."""
        return tr(_WORDS[self.source])

    @property
    def is_anothers(self) -> bool:
        """Whether it belongs to another app, so that it is not to be run without the person's wish."""
        return self.source in ("lm_studio", "ollama")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides where to look: the operating system (`sys.platform`), the home folder, the environment."""

    platform: str = sys.platform
    home: Path = field(default_factory=Path.home)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def program(self) -> str:
        """The program's file name."""
        return f"{_PROGRAM}.exe" if self.platform == "win32" else _PROGRAM


def find_binary(settings_value: str | Path | None, path: str | None = None) -> Path | None:
    """The llama-server to use, or None for the built-in engine.

    What the person set is obeyed even when it is not there: starting it then says so, which is better than
    quietly using another one. Else it is the build that this app installed, else one that the person
    installed: on PATH, by Homebrew or winget. `path` replaces the PATH variable. Programs that belong to
    other apps are never taken by themselves; see `candidates`.
    """
    if settings_value is not None and str(settings_value).strip():
        given = Path(str(settings_value).strip()).expanduser().absolute()
        return given / Surroundings().program if given.is_dir() else given
    around = Surroundings()
    if path is not None:
        around = Surroundings(environment={**os.environ, "PATH": path})
    return next((candidate.path for candidate in _own(around)), None)


def candidates(
    consented: bool, settings_value: str | Path | None = None, around: Surroundings | None = None
) -> tuple[Candidate, ...]:
    """Every llama-server that is there, the one that is used first, each file once.

    The folders of LM Studio and Ollama are looked into only where the person has `consented`: their programs
    are made for those apps, may need libraries that only those apps point them to, and change with them.
    """
    around = around or Surroundings()
    found = []
    if settings_value is not None and (given := find_binary(settings_value)) is not None:
        found.append(Candidate(given, "settings"))
    found += _own(around)
    if consented:
        found += [Candidate(path, "lm_studio") for path in _lm_studio(around)]
        found += [Candidate(path, "ollama") for path in _ollama(around)]
    firsts: dict[str, Candidate] = {}
    for candidate in found:
        firsts.setdefault(os.path.realpath(candidate.path), candidate)
    return tuple(firsts.values())


def _own(around: Surroundings) -> Iterator[Candidate]:
    """Those that were installed for general use, in order of preference."""
    if (build := current()) is not None:
        yield Candidate(build.binary, "installed")
    searched = around.environment.get("PATH", os.defpath)
    if found := shutil.which(_PROGRAM, path=searched):
        yield Candidate(Path(found).absolute(), "path")
    yield from (Candidate(path, "homebrew") for path in _there(_homebrew(around)))
    yield from (Candidate(path, "winget") for path in _there(_winget(around)))


def _homebrew(around: Surroundings) -> Iterator[Path]:
    # Programs started from a desktop do not get the shell's PATH.
    folders = {
        "darwin": ("/opt/homebrew/bin", "/usr/local/bin"),
        "linux": ("/home/linuxbrew/.linuxbrew/bin", str(around.home / ".linuxbrew/bin")),
    }
    for folder in folders.get(around.platform, ()):
        yield Path(folder, around.program)


def _winget(around: Surroundings) -> Iterator[Path]:
    local = around.environment.get("LOCALAPPDATA")
    if around.platform != "win32" or not local:
        return
    winget = Path(local, "Microsoft", "WinGet")
    yield winget / "Links" / around.program
    # Beside the links, which need a setting of Windows that not everybody has switched on.
    for package in sorted((winget / "Packages").glob("ggml.llamacpp_*"), reverse=True):
        yield package / around.program
        yield from sorted(package.glob(f"*/{around.program}"))


def _lm_studio(around: Surroundings) -> Iterator[Path]:
    """`<home>/extensions/backends/llama.cpp-linux-x86_64-vulkan-avx2-2.27.1/llama-server`, newest first."""
    backends = lm_studio_home(around.home) / "extensions" / "backends"
    found = _there(backends.glob(f"llama.cpp-*/{around.program}"))
    yield from sorted(found, key=_version_in_folder, reverse=True)


def _version_in_folder(program: Path) -> tuple[int, ...]:
    numbers = re.search(r"-(\d{1,6}(?:\.\d{1,6})*)$", program.parent.name)
    return tuple(int(number) for number in numbers[1].split(".")) if numbers else ()


def _ollama(around: Surroundings) -> Iterator[Path]:
    """Since version 0.30 Ollama runs a llama-server of its own, beside its libraries."""
    folders: list[Path] = []
    if ollama := shutil.which("ollama", path=around.environment.get("PATH", os.defpath)):
        real = Path(os.path.realpath(ollama)).parent
        folders += [real.parent / "lib" / "ollama", real / "lib" / "ollama", real]
    if around.platform == "darwin":
        folders.append(Path("/Applications/Ollama.app/Contents/Resources"))
    elif around.platform == "win32":
        if local := around.environment.get("LOCALAPPDATA"):
            folders.append(Path(local, "Programs", "Ollama", "lib", "ollama"))
    else:
        folders += [Path("/usr/local/lib/ollama"), Path("/usr/lib/ollama")]
    return _there(folder / around.program for folder in folders)


def _there(paths: Iterator[Path]) -> Iterator[Path]:
    return (path for path in paths if path.is_file() and os.access(path, os.X_OK))
