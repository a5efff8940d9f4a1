"""LM Studio's AppImage: how it is started, with and without a screen, and why it ends early.

An AppImage mounts itself with FUSE. Where that is missing it is unpacked, once, into our cache folder, and
runs from there.
"""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from whisper_desktop.engines.programs import guarded
from whisper_desktop.engines.programs.guarded import Display, Guarded, Lifetime
from whisper_desktop.engines.programs.surroundings import Surroundings
from whisper_desktop.engines.programs.tool import ToolFailed, persons_environment, quoted, run_tool
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import cache_dir, log_dir, run_dir
from whisper_desktop.values import GB

_NAME = "lm_studio"
_OPTIONS = ("--no-sandbox", "--run-as-service")
"""Without its sandbox: unpacked or mounted by a person, its helper cannot have the rights that it wants."""

_UNPACKED_SIZE = 3
"""So many times its own size is what an AppImage takes unpacked, at most."""

_INSTALL_FUSE = "Install FUSE 2 (Debian: libfuse2, Ubuntu: libfuse2t64)"
_NO_FUSE = re.compile(
    r"(?i)libfuse|fusermount|fuse: (?:device|failed|mount)|require fuse|cannot mount appimage"
)
_NO_DISPLAY = re.compile(r"(?i)missing x server|cannot open display|platform failed to initialize")
_NO_XVFB = re.compile(r"whisper: no virtual display: (.+)")
_NO_LIBRARY = re.compile(r"error while loading shared libraries: ([^:\s]+)")
_CANNOT_RUN = re.compile(r"whisper: cannot run '.+': (.+)")


async def start(appimage: Path, around: Surroundings, *, virtual: bool, lifetime: Lifetime) -> Guarded:
    """Start the app without a window, on a virtual display or on the person's. Raises `EngineError`."""
    _check(appimage, around, virtual=virtual)
    unpacked = _unpacked(appimage)
    return await _spawn(unpacked if unpacked.exists() else appimage, around, virtual, lifetime)


async def start_unpacked(
    appimage: Path, around: Surroundings, *, virtual: bool, lifetime: Lifetime
) -> Guarded:
    """The same without FUSE: the first time it takes a while, and room on the disk. Raises `EngineError`."""
    if not _unpacked(appimage).exists():
        await _unpack(appimage, around)
    return await _spawn(_unpacked(appimage), around, virtual, lifetime)


def needs_unpacking(lines: Sequence[str]) -> bool:
    """Whether it ended because this computer has no FUSE."""
    return any(_NO_FUSE.search(line) for line in lines)


def why_it_ended(appimage: Path, lines: Sequence[str]) -> EngineError:
    """The error for an AppImage that ended before its server answered, from what it printed."""
    for pattern, cause, detail, next_step in _REASONS:
        for line in lines:
            if match := pattern.search(line):
                found = [quoted(group) for group in match.groups()]
                return _error(appimage, cause, detail.format(*found), next_step.format(*found))
    last = quoted(next((line for line in reversed(lines) if line.strip()), ""))
    told = f"The last it says is: {last}." if last else "It does not say why."
    return _error(appimage, "ended", f"It ended by itself. {told}", "Start it once by hand to see more.")


_REASONS = (
    (
        _NO_XVFB,
        "display_missing",
        "The virtual display could not be started: {0}.",
        "Install Xvfb (Debian, Ubuntu: the package xvfb; Fedora: xorg-x11-server-Xvfb), then try again.",
    ),
    (
        _NO_DISPLAY,
        "display_missing",
        "It found no display to run on.",
        "Set llm.lmstudio.use_xvfb to true, or start it where you are logged in with a screen.",
    ),
    (
        _NO_LIBRARY,
        "library_missing",
        "The system library {0} is missing.",
        "Install the package that has it, then try again.",
    ),
    (
        _NO_FUSE,
        "fuse_missing",
        "It cannot mount itself without FUSE.",
        f"{_INSTALL_FUSE}, then try again.",
    ),
    (_CANNOT_RUN, "cannot_spawn", "The system says: {0}.", "Download the AppImage for this computer again."),
)


def _error(appimage: Path, cause: str, detail: str, next_step: str) -> EngineError:
    return EngineError(f"LM Studio ({appimage.name}) cannot be started.", detail, next_step, cause=cause)


def _check(appimage: Path, around: Surroundings, *, virtual: bool) -> None:
    if not around.platform.startswith("linux"):
        next_step = "Remove llm.lmstudio.appimage_path from the settings."
        raise _error(appimage, "not_here", "AppImages run on Linux only.", next_step)
    if not appimage.is_file():
        detail, next_step = f"{appimage} is not there.", "Correct llm.lmstudio.appimage_path in the settings."
        raise _error(appimage, "program_missing", detail, next_step)
    if not os.access(appimage, os.X_OK):
        raise _error(
            appimage, "not_executable", "It is not allowed to run.", f"Allow it: chmod u+x '{appimage}'"
        )
    if virtual and _xvfb(around) is None:
        raise why_it_ended(appimage, ["whisper: no virtual display: there is no Xvfb on PATH"])
    if not virtual and not (around.env.get("DISPLAY") or around.env.get("WAYLAND_DISPLAY")):
        raise why_it_ended(appimage, ["Missing X server"])


def _xvfb(around: Surroundings) -> Path | None:
    found = shutil.which("Xvfb", path=around.env.get("PATH"))
    return Path(found) if found else None


async def _spawn(program: Path, around: Surroundings, virtual: bool, lifetime: Lifetime) -> Guarded:
    xvfb = _xvfb(around) if virtual else None
    try:
        return await guarded.start(
            _NAME,
            [str(program), *_OPTIONS],
            lifetime=lifetime,
            env=persons_environment(around.env),
            log=log_dir() / f"program-{_NAME}.log",
            display=Display(xvfb, run_dir()) if xvfb else None,
        )
    except OSError as error:
        detail = f"The system says: {error.strerror}."
        raise _error(program, "cannot_spawn", detail, "Close something and try again.") from None


def _unpacked(appimage: Path) -> Path:
    """Where this very file, by size and age, is or will be unpacked: the program in it."""
    stat = appimage.stat()
    folder = cache_dir() / "programs" / f"{_NAME}-{stat.st_size:x}-{stat.st_mtime_ns:x}"
    return folder / "squashfs-root" / "AppRun"


async def _unpack(appimage: Path, around: Surroundings) -> None:
    target = _unpacked(appimage).parent.parent
    fresh = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(exist_ok=True)
        _check_room(appimage, target.parent)
        for older in target.parent.glob(f"{_NAME}-*"):
            await asyncio.to_thread(shutil.rmtree, older, ignore_errors=True)
        fresh.mkdir()
        command = [str(appimage), "--appimage-extract"]  # into the folder where it runs
        limit = around.deadlines.model_load
        said = await run_tool(command, timeout=limit, env=around.env, folder=fresh)
        if said.code != 0 or not (fresh / "squashfs-root" / "AppRun").exists():
            raise _not_unpacked(appimage, said.told)
        fresh.rename(target)
    except ToolFailed as failed:
        raise _not_unpacked(appimage, f"It {failed}.") from None
    except OSError as error:
        raise _not_unpacked(appimage, f"The system says: {error.strerror}.") from None
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)


def _check_room(appimage: Path, folder: Path) -> None:
    needed, free = appimage.stat().st_size * _UNPACKED_SIZE, shutil.disk_usage(folder).free
    if free < needed:
        detail = (
            f"Without FUSE it has to be unpacked, which takes up to {needed / GB:.1f} GB, "
            f"and {free / GB:.1f} GB are free."
        )
        raise _error(appimage, "disk_full", detail, f"Make room on the disk of {folder}, or install FUSE 2.")


def _not_unpacked(appimage: Path, why: str) -> EngineError:
    detail = f"Without FUSE it has to be unpacked, and that failed. {why}".strip()
    return _error(appimage, "fuse_missing", detail, f"{_INSTALL_FUSE}, or download the file again.")
