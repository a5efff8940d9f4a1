"""Fetching the files of one model: each resumed and checked, and all of them in their places at once."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.errors import BackendError, ReachError, TransferError
from whisper_desktop.language import gigabytes, tr
from whisper_desktop.models.download_jobs import WantedFile, overall, staging, total_size
from whisper_desktop.values import GB, Deadlines, Reach
from whisper_desktop.wire.bandwidth import Bandwidth
from whisper_desktop.wire.endings import to_its_end
from whisper_desktop.wire.files import sync_folder
from whisper_desktop.wire.http import Http
from whisper_desktop.wire.part_file import not_written, part_of, remove_part
from whisper_desktop.wire.progress import DownloadProgress
from whisper_desktop.wire.transfer import download

_BLOCK = 512  # bytes in the unit of `st_blocks`


@dataclass(frozen=True, slots=True)
class Line:
    """What downloads go through: how fast they may be together, and how many connections one of them opens.

    `notes` is the folder that keeps notes of finished files, by which damaged pieces alone are fetched again.
    """

    bandwidth: Bandwidth
    connections: int = 4
    notes: Path | None = None


async def fetch(
    http: Http,
    files: Sequence[WantedFile],
    *,
    key: str | None,
    line: Line,
    deadlines: Deadlines,
    on_progress: Callable[[DownloadProgress], None],
) -> None:
    """Bring the files of one model here. `key` goes to the origins of their addresses only.

    A file that is there already with the right checksum is not fetched again. Raises `TransferError` or
    `ReachError`; what has arrived is kept, and the next call goes on.
    """
    total, before = total_size(files), 0
    for file, staged in zip(files, staging(files), strict=True):
        place = file.target if await asyncio.to_thread(file.target.is_file) else staged
        await download(
            http,
            (file.url,),
            place,
            allowed=Reach.CLOUD,
            sha256=file.sha256 or None,
            size=file.size,
            limit=file.limit,
            deadlines=deadlines,
            key=key,
            bandwidth=line.bandwidth,
            connections=line.connections,
            notes=line.notes,
            on_progress=_as_part(on_progress, before, total),
        )
        before += (await asyncio.to_thread(place.stat)).st_size
    try:
        await to_its_end(asyncio.to_thread(_settle, files))
    except OSError as error:
        raise not_written(error, files[0].target) from error


async def answers(http: Http, url: str, deadlines: Deadlines) -> bool:
    """Whether anybody answers there at all: what failed may be due to the network, then, or may not."""
    try:
        async with asyncio.timeout(deadlines.request):
            (await http.send("HEAD", url, Reach.CLOUD, None, {}, redirects=True)).close()
    except (BackendError, TimeoutError):
        return False
    except ReachError:
        return True
    return True


def _as_part(
    on_progress: Callable[[DownloadProgress], None], before: int, total: int | None
) -> Callable[[DownloadProgress], None]:
    return lambda now: on_progress(overall(before, total, now))


def _settle(files: Sequence[WantedFile]) -> None:
    """From the folder where they were gathered to their places, the first one last: engines open that."""
    places = staging(files)
    for file, staged in reversed(list(zip(files, places, strict=True))):
        if staged != file.target and staged.exists():
            os.replace(staged, file.target)
    if places[0] != files[0].target:
        sync_folder(files[0].target.parent)
        with suppress(OSError):
            places[0].parent.rmdir()


def bytes_there(file: WantedFile, staged: Path) -> int:
    """How much of a file the disk holds already, whole or in part."""
    for path in (file.target, staged):
        with suppress(OSError):
            size = path.stat().st_size
            if size == (file.size if file.size is not None else size):
                return size
    with suppress(OSError):
        status = part_of(staged).stat()
        held = getattr(status, "st_blocks", None)  # parts have holes, which Windows does not tell of
        return status.st_size if held is None else min(status.st_size, held * _BLOCK)
    return 0


def done_bytes(files: Sequence[WantedFile]) -> int:
    """How much of a model the disk holds already."""
    return sum(bytes_there(file, staged) for file, staged in zip(files, staging(files), strict=True))


def missing_bytes(files: Sequence[WantedFile]) -> int:
    """How much is yet to be written; files of unknown size do not count."""
    return sum(
        max(0, file.size - bytes_there(file, staged))
        for file, staged in zip(files, staging(files), strict=True)
        if file.size is not None
    )


def check_room(folder: Path, title: str, own: int, others: int) -> None:
    """Raises `TransferError` where the disk cannot take `own` bytes besides what `others` still need."""
    try:
        free = shutil.disk_usage(_existing(folder)).free
    except OSError as error:
        raise not_written(error, folder) from error
    if own + others <= free:
        return
    waiting = tr(", {gb} with what is waiting before it", gb=_gb(own + others)) if others else ""
    raise TransferError(
        tr("The disk has no room for {title}.", title=title),
        tr(
            "It needs {gb}{waiting}, and {gb2} are free on the disk of {folder}.",
            gb=_gb(own),
            waiting=waiting,
            gb2=_gb(free),
            folder=folder,
        ),
        tr(
            "Free at least {gb}, choose a smaller file, or set llm.model_cache_dir to another disk.",
            gb=_gb(own + others - free),
        ),
    )


def check_place(title: str, files: Sequence[WantedFile]) -> None:
    """Raises `TransferError` where the folder for models is gone, or has no room for what is missing.

    A folder whose parent is missing, too, most likely lies on a drive that is not connected.
    """
    folder = files[0].target.parents[2]  # above the owner's and the repository's
    if not folder.is_dir() and not folder.parent.is_dir():
        raise TransferError(
            tr("The folder for {title}, {folder}, is not there.", title=title, folder=folder),
            tr("{parent} is missing, too.", parent=folder.parent),
            tr("Connect the drive it is on, or cancel this download and begin it anew."),
        )
    check_room(folder, title, missing_bytes(files), 0)


def drop(files: Sequence[WantedFile]) -> None:
    """Remove what has arrived of a model that is not whole. Raises `OSError`."""
    places = staging(files)
    for place in {*places, *(file.target for file in files)}:
        remove_part(place)
    if places[0] != files[0].target:
        for staged in places:
            staged.unlink(missing_ok=True)
        with suppress(OSError):
            places[0].parent.rmdir()
    for folder in (files[0].target.parent, files[0].target.parent.parent):
        with suppress(OSError):  # others may lie there
            folder.rmdir()


def _existing(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _gb(count: int) -> str:
    return gigabytes(count) if count >= GB // 10 else tr("{size:.1f} MB", size=count / 10**6)
