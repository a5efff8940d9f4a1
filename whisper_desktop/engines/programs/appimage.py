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
from whisper_desktop.language import mark, tr
from whisper_desktop.settings.paths import cache_dir, log_dir, run_dir
from whisper_desktop.values import GB

_NAME = "lm_studio"
_OPTIONS = ("--no-sandbox", "--run-as-service")
"""Without its sandbox: unpacked or mounted by a person, its helper cannot have the rights that it wants."""

_UNPACKED_SIZE = 3
"""So many times its own size is what an AppImage takes unpacked, at most."""

_INSTALL_FUSE = mark("Install FUSE 2 (Debian: libfuse2, Ubuntu: libfuse2t64)")
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
                return _error(appimage, cause, tr(detail).format(*found), tr(next_step).format(*found))
    last = quoted(next((line for line in reversed(lines) if line.strip()), ""))
    told = tr("The last it says is: {last}.", last=last) if last else tr("It does not say why.")
    return _error(
        appimage,
        "ended",
        tr("It ended by itself. {told}", told=told),
        tr("Start it once by hand to see more."),
    )


_REASONS = (
    (
        _NO_XVFB,
        "display_missing",
        mark("The virtual display could not be started: {0}."),
        mark(
            "Install Xvfb (Debian, Ubuntu: the package xvfb; Fedora: xorg-x11-server-Xvfb), then try again."
        ),
    ),
    (
        _NO_DISPLAY,
        "display_missing",
        mark("It found no display to run on."),
        mark("Set llm.lmstudio.use_xvfb to true, or start it where you are logged in with a screen."),
    ),
    (
        _NO_LIBRARY,
        "library_missing",
        mark("The system library {0} is missing."),
        mark("Install the package that has it, then try again."),
    ),
    (
        _NO_FUSE,
        "fuse_missing",
        mark("It cannot mount itself without FUSE."),
        mark("Install FUSE 2 (Debian: libfuse2, Ubuntu: libfuse2t64), then try again."),
    ),
    (
        _CANNOT_RUN,
        "cannot_spawn",
        mark("The system says: {0}."),
        mark("Download the AppImage for this computer again."),
    ),
)


def _error(appimage: Path, cause: str, detail: str, next_step: str) -> EngineError:
    return EngineError(
        tr("LM Studio ({appimage_name}) cannot be started.", appimage_name=appimage.name),
        detail,
        next_step,
        cause=cause,
    )


def _check(appimage: Path, around: Surroundings, *, virtual: bool) -> None:
    if not around.platform.startswith("linux"):
        next_step = tr("Remove llm.lmstudio.appimage_path from the settings.")
        raise _error(appimage, "not_here", tr("AppImages run on Linux only."), next_step)
    if not appimage.is_file():
        detail, next_step = (
            tr("{appimage} is not there.", appimage=appimage),
            tr("Correct llm.lmstudio.appimage_path in the settings."),
        )
        raise _error(appimage, "program_missing", detail, next_step)
    if not os.access(appimage, os.X_OK):
        raise _error(
            appimage,
            "not_executable",
            tr("It is not allowed to run."),
            tr("Allow it: chmod u+x '{appimage}'", appimage=appimage),
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
        detail = tr("The system says: {strerror}.", strerror=error.strerror)
        raise _error(program, "cannot_spawn", detail, tr("Close something and try again.")) from None


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
        raise _not_unpacked(appimage, tr("It {failed}.", failed=failed)) from None
    except OSError as error:
        raise _not_unpacked(appimage, tr("The system says: {strerror}.", strerror=error.strerror)) from None
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)


def _check_room(appimage: Path, folder: Path) -> None:
    needed, free = appimage.stat().st_size * _UNPACKED_SIZE, shutil.disk_usage(folder).free
    if free < needed:
        detail = tr(
            "Without FUSE it has to be unpacked, which takes up to {needed:.1f} GB, and "
            "{free:.1f} GB are free.",
            needed=needed / GB,
            free=free / GB,
        )
        raise _error(
            appimage,
            "disk_full",
            detail,
            tr("Make room on the disk of {folder}, or install FUSE 2.", folder=folder),
        )


def _not_unpacked(appimage: Path, why: str) -> EngineError:
    detail = tr("Without FUSE it has to be unpacked, and that failed. {why}", why=why).strip()
    return _error(
        appimage,
        "fuse_missing",
        detail,
        tr("{install_fuse}, or download the file again.", install_fuse=tr(_INSTALL_FUSE)),
    )
