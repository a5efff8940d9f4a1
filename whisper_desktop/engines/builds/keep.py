"""The builds of llama.cpp that this app has installed: one folder each, and a pointer to the one in use.

    engines/b11549-vulkan/build.json       what it is, and where in its folder llama-server lies
    engines/in-use.json                    {"current": "b11549-vulkan", "previous": "b11459-vulkan"}
    engines/downloads/                     archives on their way, kept so that a broken download goes on
    engines/.new-b11549-vulkan/            a build that is being unpacked and tested; never in use

Changing the pointer is one atomic replacement, so at any moment the old build is in use or the new one.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from whisper_desktop.errors import EngineError, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings.files import locked, write_text
from whisper_desktop.settings.paths import data_dir

DOWNLOADS = "downloads"

_POINTER = "in-use.json"
_MANIFEST = "build.json"
_LIMIT = 16 * 1024
_MOST_BUILDS = 100
_UNFINISHED = ".new-"
_SET_ASIDE = ".old-"


@dataclass(frozen=True, slots=True)
class Build:
    """One installed build: "b11549", "vulkan". `says` is the version that the program itself tells.

    `binary` is its llama-server; `folder` holds all of it, and its name is the build's `name`.
    """

    version: str
    variant: str
    says: str
    binary: Path
    folder: Path

    @property
    def name(self) -> str:
        """What commands call it: "b11549-vulkan"."""
        return self.folder.name


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What is written into a build's folder."""

    version: str
    variant: str
    says: str
    binary: str


@dataclass(frozen=True, slots=True)
class _InUse:
    """The names of the build in use and of the one before it; "" where there is none."""

    current: str = ""
    previous: str = ""


# --- Looking ----------------------------------------------------------------------------------------------


def builds_dir() -> Path:
    """The folder of all builds; it need not be there. Raises `SettingsError` like `data_dir`."""
    return data_dir() / "engines"


def installed() -> tuple[Build, ...]:
    """All builds that are complete, the newest first. Empty also where the folder cannot be read."""
    try:
        names = sorted(os.listdir(builds_dir()))[:_MOST_BUILDS]
    except (OSError, SettingsError):
        return ()
    builds = [build for build in map(_build, names) if build is not None]
    return tuple(sorted(builds, key=_since, reverse=True))


def _since(build: Build) -> float:
    try:
        return build.folder.stat().st_mtime
    except OSError:
        return 0.0  # removed while we looked


def current() -> Build | None:
    """The build in use, or None."""
    return _build(_in_use().current)


def previous() -> Build | None:
    """The build that was in use before the current one, and that `rollback` returns to; or None."""
    return _build(_in_use().previous)


def _in_use() -> _InUse:
    try:
        data = _json(builds_dir() / _POINTER)
    except SettingsError:
        return _InUse()
    names = {key: data.get(key) for key in ("current", "previous")}
    return _InUse(**{key: name for key, name in names.items() if isinstance(name, str)})


def _build(name: str) -> Build | None:
    """The build of that name, if it is one and its program is there."""
    if not name or name.startswith(".") or name != os.path.basename(name):
        return None
    folder = builds_dir() / name
    data = _json(folder / _MANIFEST)
    texts = [data.get(field.name) for field in fields(_Manifest)]
    if not all(isinstance(text, str) and text for text in texts):
        return None
    manifest = _Manifest(*(str(text) for text in texts))
    binary = folder / manifest.binary
    if not (binary.is_file() and binary.resolve().is_relative_to(folder.resolve())):
        return None
    return Build(manifest.version, manifest.variant, manifest.says, binary, folder)


def _json(path: Path) -> dict[str, object]:
    """A small JSON object from a file; empty where it is not one."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


# --- Changing: by whoever holds `changing` ----------------------------------------------------------------


@contextmanager
def changing() -> Iterator[Path]:
    """Holds the right to change builds, and gives their folder. One at a time, on the whole computer.

    Raises `EngineError` at once when somebody else has it, or when the folder cannot be used.
    """
    folder = builds_dir()
    with ExitStack() as stack:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            stack.enter_context(locked(folder, 0))
        except (OSError, SettingsError) as error:
            system = error if isinstance(error, OSError) else error.__cause__
            if isinstance(system, OSError):
                raise system_refused(folder, system) from error
            raise EngineError(
                tr("Builds cannot be changed right now."),
                tr("Another window or command is installing or changing one."),
                tr("Try again when it has finished."),
                cause="build_busy",
            ) from error
        yield folder


def system_refused(where: Path, error: OSError) -> EngineError:
    """What is said when the system does not let us write."""
    return EngineError(
        tr("The build cannot be installed or changed."),
        tr(
            "{where} cannot be written to. The system says: {strerror}.", where=where, strerror=error.strerror
        ),
        tr("See whether the folder can be written to and has room."),
        cause="build_folder",
    )


def unfinished(folder: Path, name: str) -> Path:
    """The folder beside the final one of a build that is not yet in use: whoever unpacks it makes it."""
    return folder / f"{_UNFINISHED}{name}"


def clean_up(folder: Path, keep_downloads: Sequence[str] = ()) -> None:
    """Remove what an interrupted installation left, except archives that are about to be continued.

    What cannot be removed is left for the next time: it is in nobody's way.
    """
    left = [*folder.glob(f"{_UNFINISHED}*")]
    left += [path for path in folder.glob(f"{_SET_ASIDE}*") if not used_by(path)]
    going_on = tuple(keep_downloads)
    left += [path for path in (folder / DOWNLOADS).glob("*") if not path.name.startswith(going_on)]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def describe_in(fresh: Path, *, version: str, variant: str, says: str, binary: Path) -> None:
    """Write into an unfinished build's folder what it is."""
    manifest = _Manifest(version, variant, says, binary.relative_to(fresh).as_posix())
    write_text(fresh / _MANIFEST, json.dumps(asdict(manifest), indent=2))


def put_in_place(fresh: Path, name: str) -> Build:
    """Make an unfinished build one of the installed ones, replacing one of that name; not yet in use."""
    final = fresh.with_name(name)
    if final.exists():
        aside = fresh.with_name(f"{_SET_ASIDE}{name}-{os.getpid()}")
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
    fresh.rename(final)
    build = _build(name)
    assert build is not None
    return build


def switch_to(name: str) -> Build:
    """Use this build from the next start of the engine on. Raises `EngineError` when it is not there."""
    build = _build(name)
    if build is None:
        raise _not_installed(name)
    used = _in_use()
    if used.current != name:
        _point(_InUse(name, used.current if _build(used.current) else ""))
    return build


def rollback() -> Build:
    """Use the previous build again; the current one becomes the previous. Raises `EngineError`."""
    build = previous()
    if build is None:
        raise EngineError(
            tr("There is no previous build to go back to."),
            tr("Only the build before the current one is kept."),
            tr("`whisper-desktop engine builds install --version bNNNNN` installs a certain one."),
            cause="build_missing",
        )
    return switch_to(build.name)


def remove(name: str) -> None:
    """Delete a build. Where it was the current one, the previous takes its place. Raises `EngineError`."""
    build = _build(name)
    if build is None:
        raise _not_installed(name)
    if pids := used_by(build.folder):
        raise EngineError(
            tr("The build {name} is running and cannot be removed.", name=name),
            tr("It serves an engine (process {pids}).", pids=pids[0]),
            tr("Stop the engine first: `whisper-desktop engine stop`."),
            cause="build_in_use",
        )
    used = _in_use()
    if name == used.current:
        _point(_InUse(used.previous if _build(used.previous) else ""))
    elif name == used.previous:
        _point(_InUse(used.current))
    _delete(build.folder)


def prune() -> None:
    """Delete all builds but the current and the previous one.

    Those that still run, and those that the system does not let go, stay until the next time.
    """
    used = _in_use()
    for build in installed():
        if build.name not in (used.current, used.previous) and not used_by(build.folder):
            with suppress(EngineError):
                _delete(build.folder)


def used_by(folder: Path) -> list[int]:
    """The processes that run a program of this folder: by what they execute, or were told to execute."""
    import psutil

    inside = str(folder.resolve()) + os.sep
    pids = []
    for process in psutil.process_iter(["pid", "exe", "cmdline"]):
        words = [process.info["exe"] or "", *(process.info["cmdline"] or ())]
        if any(word.startswith(inside) for word in words):
            pids.append(process.info["pid"])
    return pids


def _point(used: _InUse) -> None:
    path = builds_dir() / _POINTER
    try:
        write_text(path, json.dumps(asdict(used)))
    except SettingsError as error:
        cause = error.__cause__
        raise system_refused(path, cause if isinstance(cause, OSError) else OSError()) from error


def _delete(folder: Path) -> None:
    """Out of the list at once, then from the disk: a deletion that breaks off leaves no half of a build."""
    aside = folder.with_name(f"{_SET_ASIDE}{folder.name}-{os.getpid()}")
    try:
        folder.rename(aside)
    except OSError as error:
        raise system_refused(folder, error) from error
    shutil.rmtree(aside, ignore_errors=True)


def _not_installed(name: str) -> EngineError:
    names = ", ".join(build.name for build in installed())
    return EngineError(
        tr("No build is called {name}.", name=name),
        tr("Installed are: {names}.", names=names) if names else tr("None is installed."),
        tr("`whisper-desktop engine builds install` installs one."),
        cause="build_missing",
    )
