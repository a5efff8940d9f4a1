"""Installing a build: downloaded, checked, unpacked, tried with a real model, and only then used.

Whatever goes wrong on the way, what was in use stays in use. What an interrupted installation leaves is
never in use either, and the next one removes it; a download that broke off goes on.

macOS marks files as quarantined, and Windows as blocked, when the program that saved them asks for it, as
browsers do. This one does not, so there is no mark to take away. Neither was run here.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from whisper_desktop.engines.builds import keep
from whisper_desktop.engines.builds.archive import unpack
from whisper_desktop.engines.builds.assets import Choice
from whisper_desktop.engines.builds.describe import NotUsable, ask, devices
from whisper_desktop.engines.builds.found import Surroundings
from whisper_desktop.engines.builds.keep import Build
from whisper_desktop.engines.builds.releases import LARGEST_ASSET, Asset, sources
from whisper_desktop.engines.spec import guide_spec
from whisper_desktop.engines.supervisor import make_engine
from whisper_desktop.errors import EngineError, ReachError, TransferError, WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import Deadlines, Reach
from whisper_desktop.wire.endings import to_its_end, to_the_end
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.transfer import DownloadProgress, download

TRIAL = "new_build"
"""The engine that tries a build out has a name, and so a log, of its own."""

_UNPACKED = 3
"""How many times larger than its archive a build is: 2.9 for the processor's, less for CUDA's libraries."""

_ANOTHER = mark(
    "Choose another build: `--variant vulkan`, `--variant cpu`, or an older one with `--version`."
)

_MOST_UNPACKED = 12 * 10**9
_MOST_FILES = 5_000


@dataclass(frozen=True, slots=True)
class Step:
    """How far an installation is. `done` and `total` are bytes while it downloads, else None.

    `note` is a sentence where there is more to say: what a download waits for.
    """

    phase: Literal["download", "unpack", "try"]
    done: int | None = None
    total: int | None = None
    note: str = ""


async def install(
    choice: Choice,
    *,
    http: Http,
    deadlines: Deadlines,
    mirrors: Sequence[str] = (),
    on_step: Callable[[Step], None] = lambda _step: None,
) -> Build:
    """Install this build and use it from the next start of the engine on. The one in use until now is kept.

    One that is there already is tried again, and fetched again only where it fails. Raises `EngineError`, or
    `NetworkBlocked`; then nothing has changed.
    """
    async with _changing() as folder:
        try:
            build = await _working(choice, http, deadlines, on_step)
            if build is None:
                build = await _fetched(choice, folder, http, deadlines, mirrors, on_step)
            return await to_its_end(asyncio.to_thread(_used, build, folder))
        except ReachError:
            raise
        except OSError as error:
            refused = keep.system_refused(folder, error)
            raise await asyncio.to_thread(_failed, choice, refused) from error
        except WhisperError as error:
            raise await asyncio.to_thread(_failed, choice, error) from error


@asynccontextmanager
async def _changing() -> AsyncIterator[Path]:
    """`keep.changing`, which waits for the disk."""
    with ExitStack() as held:
        yield await to_its_end(asyncio.to_thread(held.enter_context, keep.changing()))


def _used(build: Build, folder: Path) -> Build:
    """From now on it is used, and what nobody needs any more is removed."""
    build = keep.switch_to(build.name)
    keep.prune()
    keep.clean_up(folder)
    return build


async def _working(
    choice: Choice, http: Http, deadlines: Deadlines, on_step: Callable[[Step], None]
) -> Build | None:
    """This build, where it is installed and works."""
    installed = await asyncio.to_thread(keep.installed)
    build = next((build for build in installed if build.name == choice.name), None)
    if build is None:
        return None
    on_step(Step("try"))
    try:
        await try_out(build.binary, http=http, deadlines=deadlines, needs_card=choice.needs_card)
    except EngineError:
        return None
    return build


async def _fetched(
    choice: Choice,
    folder: Path,
    http: Http,
    deadlines: Deadlines,
    mirrors: Sequence[str],
    on_step: Callable[[Step], None],
) -> Build:
    """Download, unpack, try, and put it among the installed ones."""
    await to_its_end(asyncio.to_thread(_made_room, choice, folder))
    fresh = keep.unfinished(folder, choice.name)
    try:
        archives = [folder / keep.DOWNLOADS / archive.name for archive in choice.archives]
        total, before = choice.download_bytes, 0
        for asset, archive in zip(choice.archives, archives, strict=True):
            urls = sources(choice.release.tag, asset, mirrors)
            await _download(asset, urls, archive, http, deadlines, _counted(on_step, before, total))
            before += asset.size or 0
        on_step(Step("unpack"))
        binary = await to_its_end(asyncio.to_thread(_unpack, archives, fresh))
        on_step(Step("try"))
        says = await try_out(binary, http=http, deadlines=deadlines, needs_card=choice.needs_card)
        return await to_its_end(asyncio.to_thread(_put_in_place, choice, fresh, binary, says))
    finally:
        await to_the_end(asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True))


def _made_room(choice: Choice, folder: Path) -> None:
    """Remove what an earlier installation left, but for what this one goes on with; then look for room."""
    (folder / keep.DOWNLOADS).mkdir(mode=0o700, exist_ok=True)
    keep.clean_up(folder, [archive.name for archive in choice.archives])
    _check_room(choice, folder)


def _put_in_place(choice: Choice, fresh: Path, binary: Path, says: str) -> Build:
    keep.describe_in(fresh, version=choice.release.tag, variant=choice.variant, says=says, binary=binary)
    return keep.put_in_place(fresh, choice.name)


def _check_room(choice: Choice, folder: Path) -> None:
    size = choice.download_bytes
    if size is None:
        return
    there = sum(file.stat().st_size for file in (folder / keep.DOWNLOADS).iterdir())
    needed, free = (1 + _UNPACKED) * size - min(there, size), shutil.disk_usage(folder).free
    if free < needed:
        raise TransferError(
            tr("There is not enough room on the disk."),
            tr(
                "It needs {needed:.1f} GB for a moment, and {free:.1f} GB are free in {folder}.",
                needed=needed / 1000000000.0,
                free=free / 1000000000.0,
                folder=folder,
            ),
            tr("Free some room, or choose a smaller build: `--variant vulkan` or `--variant cpu`."),
        )


async def _download(
    asset: Asset,
    urls: Sequence[str],
    target: Path,
    http: Http,
    deadlines: Deadlines,
    on_progress: Callable[[DownloadProgress], None],
) -> None:
    assert asset.sha256 is not None  # `assets` offers no other ones
    await download(
        http,
        urls,
        target,
        allowed=Reach.CLOUD,
        sha256=asset.sha256,
        size=asset.size,
        limit=LARGEST_ASSET,
        deadlines=deadlines,
        on_progress=on_progress,
    )


def _counted(
    on_step: Callable[[Step], None], before: int, total: int | None
) -> Callable[[DownloadProgress], None]:
    """Counts all archives as one download."""

    def report(progress: DownloadProgress) -> None:
        on_step(Step("download", before + progress.done_bytes, total, progress.waiting))

    return report


def _unpack(archives: Sequence[Path], fresh: Path) -> Path:
    """Unpack the build and what belongs beside it, and remove the archives; returns its llama-server."""
    try:
        return _unpacked(archives, fresh)
    finally:
        for archive in archives:
            archive.unlink(missing_ok=True)


def _unpacked(archives: Sequence[Path], fresh: Path) -> Path:
    server, *beside = archives
    fresh.mkdir(mode=0o700)
    unpack(server, fresh / "build", most_bytes=_MOST_UNPACKED, most_files=_MOST_FILES)
    binary = _program_in(fresh / "build")
    for archive in beside:
        extra = fresh / "beside"
        unpack(archive, extra, most_bytes=_MOST_UNPACKED, most_files=_MOST_FILES)
        # In a folder of their own nothing finds them, and the build would quietly use the processor.
        _bring_together(extra, binary.parent)
        shutil.rmtree(extra)
    check_links(fresh)
    if sys.platform != "win32":
        binary.chmod(0o755)  # archives that were packed on Windows do not tell
    return binary


def _bring_together(extra: Path, folder: Path) -> None:
    """Move all files of `extra`, wherever they lie in it, into `folder`; what that has already is kept.

    A link would lead elsewhere from there, so one to a file is made anew, and others stay behind.
    """
    inside = extra.resolve()
    files = [each for each in extra.rglob("*") if each.is_file()]
    for path in sorted(files, key=Path.is_symlink):
        file, place = path.resolve(), folder / path.name
        if os.path.lexists(place) or not file.is_relative_to(inside):
            continue
        if path.is_symlink():
            place.symlink_to(file.name)
        else:
            path.rename(place)


def check_links(folder: Path) -> None:
    """Raises `TransferError` where a link in the folder leads out of it: the last word, after all moving."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if not path.resolve().is_relative_to(inside):
            raise TransferError(
                tr("The archive was not unpacked."),
                tr("“{path_name}” in it leads out of its folder.", path_name=path.name),
                tr("Choose another build."),
            )


def _program_in(folder: Path) -> Path:
    programs = [
        path for path in folder.rglob(Surroundings().program) if path.is_file() and not path.is_symlink()
    ]
    if not programs:
        raise TransferError(
            tr("There is no llama-server in the archive."), tr("It is not a build of llama.cpp.")
        )
    return min(programs, key=lambda path: len(path.parts))


async def try_out(binary: Path, *, http: Http, deadlines: Deadlines, needs_card: bool) -> str:
    """Start a build with a tiny model and have it write a word. Returns the version that it tells.

    Raises `EngineError` when it cannot; also, where it `needs_card`, when it sees no graphics card: it would
    use the processor, and say so nowhere.
    """
    try:
        said = await ask(binary, deadlines)
        can_tell = "--list-devices" in said.flags
        if needs_card and can_tell and not await devices(binary, deadlines):
            raise EngineError(
                tr("It starts, but sees no graphics card."),
                tr("The card's driver may be too old for it, or a library that it needs is not installed."),
                tr("Update the driver. {another}", another=tr(_ANOTHER)),
                cause="build_no_card",
            )
    except NotUsable as error:
        raise EngineError(
            tr("Its llama-server cannot be used."), str(error), tr(_ANOTHER), cause="binary_wrong"
        ) from None
    spec = replace(guide_spec(), binary=binary, engine_id=TRIAL)
    patience = replace(deadlines, engine_start_most=deadlines.engine_start)
    engine = make_engine(spec, http=http, deadlines=patience)
    try:
        await engine.ensure_ready()
    except EngineError as error:
        why = f"{error.title} {error.detail}".strip()
        raise EngineError(tr("It cannot run a tiny model."), why, tr(_ANOTHER), cause=error.cause) from error
    finally:
        await engine.stop()
    return said.version


def _failed(choice: Choice, error: WhisperError) -> EngineError:
    used = keep.current()
    kept = tr("{used_name} stays in use.", used_name=used.name) if used else tr("Nothing was changed.")
    return EngineError(
        tr("The build {choice_name} was not installed.", choice_name=choice.name),
        f"{error.title} {error.detail}".strip(),
        f"{error.next_step} {kept}".strip(),
        cause=getattr(error, "cause", "build_failed"),
    )
