"""What the queue of downloads is made of, as values, and the decisions about them. No I/O.

Layout: `<folder>/<owner>/<repository>/<file>`, which is LM Studio's, so that both can share a folder. A model
in several files is gathered in a hidden folder beside its place and appears there as a whole.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from whisper_desktop.models.file_names import part_in, stem_of
from whisper_desktop.models.hub_answers import LARGEST_FILE, HubFile
from whisper_desktop.models.sources import Source
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.progress import DownloadProgress, progress

State = Literal["waiting", "running", "paused", "done", "failed"]

NOTHING_YET = DownloadProgress(0, None)

_LONGEST_NAME = 200  # bytes; file systems take 255, and the name of a part is longer
_TAIL = 40  # characters that are kept of a long name: "-00001-of-00003.gguf" must stay
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file to fetch, and where it is to lie. `size` is in bytes; None and "" are not known."""

    url: str = field(repr=False)
    target: Path
    size: int | None = None
    sha256: str = ""

    @property
    def limit(self) -> int:
        """More bytes than this are never taken."""
        return LARGEST_FILE if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class Job:
    """One download. `title` is what a person reads; `target` the model's first file (None where another
    program keeps it). `error` is a sentence where it failed, `note` one that is good to know.

    `files` is empty, and `remote` may name its job there, where another program does the work.
    """

    id: int
    source: Source
    title: str
    target: Path | None = None
    state: State = "waiting"
    progress: DownloadProgress = NOTHING_YET
    error: str = ""
    note: str = ""
    files: tuple[WantedFile, ...] = ()
    remote: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self.state != "done"


def next_up(jobs: Iterable[Job], at_once: int) -> tuple[int, ...]:
    """Which jobs are to begin now: the first that wait, as many as may run beside those that do."""
    jobs = tuple(jobs)
    free = at_once - sum(job.state == "running" for job in jobs)
    return tuple(job.id for job in jobs if job.state == "waiting")[: max(0, free)]


def same_as(jobs: Iterable[Job], source: Source, target: Path | None) -> Job | None:
    """The job that is about the same model already."""
    for job in jobs:
        if job.target == target if target is not None else job.source == source:
            return job
    return None


def moved(jobs: Sequence[Job], number: int, place: int) -> tuple[Job, ...]:
    """The jobs with one of them at another place, 0 being the first."""
    rest = [job for job in jobs if job.id != number]
    found = [job for job in jobs if job.id == number]
    place = max(0, min(place, len(rest)))
    return (*rest[:place], *found, *rest[place:])


def overall(before: int, total: int | None, now: DownloadProgress) -> DownloadProgress:
    """The progress of a model in several files, of which `before` bytes are there besides the present one."""
    return progress(before + now.done_bytes, total, now.source, now.waiting, now.rate)


def still(progress: DownloadProgress) -> DownloadProgress:
    """The same where nothing moves."""
    return replace(progress, waiting="", rate=None, left_s=None)


def total_size(files: Iterable[WantedFile]) -> int | None:
    """Bytes of all of them; None where one is not known."""
    sizes = [file.size for file in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def files_of_repository(
    folder: Path, repo: str, files: Sequence[HubFile], urls: Sequence[str], every: Iterable[HubFile]
) -> tuple[WantedFile, ...]:
    """Where the files of a model are to lie. Their own folders are left out, unless names would collide."""
    home = folder.joinpath(*map(safe_name, repo.split("/")))
    paths = [file.path for file in every]
    return tuple(
        WantedFile(url, home / _name(file.path, paths), file.size, file.sha256 or "")
        for file, url in zip(files, urls, strict=True)
    )


def file_of_address(folder: Path, url: str) -> WantedFile:
    """Where a file of any address is to lie: by its host, and a folder of its own. What follows the “?” of an
    address may be another one each time.
    """
    address = parse_url(url)
    path = unquote(address.path).strip("/")
    own = safe_name(stem_of(path).replace("/", "_"))
    return WantedFile(url, folder / safe_name(address.netloc) / own / safe_name(path.rpartition("/")[2]))


def title_of(files: Sequence[WantedFile]) -> str:
    """What a person calls the model in these files."""
    return part_in(files[0].target.name).stem


def staging(files: Sequence[WantedFile]) -> tuple[Path, ...]:
    """Where each is gathered until all are there: one alone in its place, several in a hidden folder."""
    if len(files) == 1:
        return (files[0].target,)
    first = files[0].target
    return tuple(file.target.parent / f".{first.stem}.incoming" / file.target.name for file in files)


def safe_name(name: str) -> str:
    """The name, as every system takes it for a file that is to be seen."""
    safe = _FORBIDDEN.sub("_", name).rstrip(". ").lstrip()
    if not safe or safe.startswith(".") or _RESERVED.match(safe):
        safe = f"_{safe}"
    if len(safe.encode()) <= _LONGEST_NAME:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    tail = safe[-_TAIL:].encode()[-80:].decode(errors="ignore")
    return f"{safe.encode()[:100].decode(errors='ignore')}~{digest}~{tail}"


def _name(path: str, paths: Sequence[str]) -> str:
    base = path.rpartition("/")[2]
    alike = [each for each in paths if each.rpartition("/")[2].casefold() == base.casefold()]
    return safe_name(base if len(alike) <= 1 else path.replace("/", "_"))
