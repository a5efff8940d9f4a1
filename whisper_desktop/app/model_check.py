"""Whether a model's files are what they should be: against the checksum that somebody told of them, or else,
where nobody did, by their structure. Blocks.
"""

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.errors import ModelFileError
from whisper_desktop.language import listed, tr
from whisper_desktop.models.catalogue import Catalogue
from whisper_desktop.models.checksums import sha256_of
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.shelf import ShelfModel
from whisper_desktop.models.shelf_cache import ShelfCache
from whisper_desktop.models.sources import Source

_DIGEST = re.compile(r"(?:sha256[-:])?([0-9a-f]{64})")
_NAMED_BY_CONTENT = {"ollama": "Ollama", "hugging_face": "Hugging Face"}


@dataclass(frozen=True, slots=True)
class Expected:
    """The checksum that a file should have, and who says so: "the download", "the catalogue", "Ollama"."""

    sha256: str
    by: str


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file. `sha256` is what it has, "" where that was not worked out; `expected` what it should have."""

    path: Path
    size_bytes: int
    sha256: str = ""
    expected: Expected | None = None

    @property
    def is_right(self) -> bool:
        """Whether nothing speaks against it."""
        return self.expected is None or self.expected.sha256 == self.sha256


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check. `problem` says what is wrong with the model's structure, "" where nothing is.

    `source` is where it can be fetched again; None where that is not known.
    """

    name: str
    files: tuple[CheckedFile, ...]
    problem: str = ""
    source: Source | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the model can be used, as far as can be told."""
        return not self.problem and all(file.is_right for file in self.files)

    @property
    def is_certain(self) -> bool:
        """Whether every file was compared with a checksum."""
        return all(file.expected is not None for file in self.files)

    @property
    def sentence(self) -> str:
        """What came of it."""
        wrong = [file.path.name for file in self.files if not file.is_right]
        if wrong:
            by = next(file.expected.by for file in self.files if not file.is_right and file.expected)
            return tr(
                "{self_name} is damaged: {items} is not what {by} says it should be.",
                self_name=self.name,
                items=", ".join(wrong),
                by=by,
            )
        if self.problem:
            return tr("{self_name} is damaged: {problem}", self_name=self.name, problem=self.problem)
        if self.is_certain:
            whose = sorted({file.expected.by for file in self.files if file.expected})
            return tr(
                "{self_name} is intact: its checksum is that which {items} tells.",
                self_name=self.name,
                items=listed(whose),
            )
        return tr(
            "{self_name} is whole as far as its structure tells. No checksum is known to compare it with.",
            self_name=self.name,
        )

    @property
    def next_step(self) -> str:
        """What to do about it, "" where it is whole."""
        if self.is_whole:
            return ""
        if self.source is None:
            return tr("Delete it and fetch it again.")
        return tr("Fetch it again: whisper-desktop models pull {source}", source=self.source)


def check(
    model: ShelfModel,
    jobs: Iterable[Job],
    catalogue: Catalogue,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Read the model's files and compare them. `jobs` are downloads of before.

    `on_progress` is told the bytes read so far of all files. Raises `Stopped`, and `ModelFileError` where a
    file cannot be read at all.
    """
    jobs = tuple(jobs)
    files, before = [], 0
    for path in model.files:
        expected = _expected(path, model, jobs, catalogue)
        size = _size(path)
        sha256 = ""
        if expected is not None:
            told = None if on_progress is None else _beyond(before, on_progress)
            try:
                # Read again, whatever is remembered of it: disks rot without anybody touching the file.
                sha256 = sha256_of(path, ShelfCache(None), stop=stop, on_progress=told)
            except OSError as error:
                raise _unreadable(path, error) from None
        files.append(CheckedFile(path, size, sha256, expected))
        before += size
    return Verdict(model.name, tuple(files), _problem(model), _source(model, jobs, catalogue))


def _beyond(before: int, on_progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda done: on_progress(before + done)


def _expected(path: Path, model: ShelfModel, jobs: tuple[Job, ...], catalogue: Catalogue) -> Expected | None:
    """Who fetched it knows best; then who named it by its content; then the catalogue."""
    for job in reversed(jobs):
        for file in job.files:
            if file.target == path and file.sha256:
                return Expected(file.sha256, tr("the place it was downloaded from"))
    named = _DIGEST.fullmatch(path.name)
    if named is not None and model.source in _NAMED_BY_CONTENT:
        return Expected(named[1], _NAMED_BY_CONTENT[model.source])
    entry = catalogue.find(path.name)
    if entry is not None and entry.sha256 and entry.file_bytes == model.size_bytes:
        return Expected(entry.sha256, tr("the catalogue"))
    return None


def _source(model: ShelfModel, jobs: tuple[Job, ...], catalogue: Catalogue) -> Source | None:
    if model.source == "ollama":
        return Source("ollama", model.name)
    for job in reversed(jobs):
        if job.target == model.path:
            return job.source
    entry = catalogue.find(model.path.name)
    return Source("hub", entry.repo, entry.file) if entry is not None and entry.repo else None


def _problem(model: ShelfModel) -> str:
    try:
        missing = read_header(model.path).missing_bytes
    except ModelFileError as error:
        return f"{error}"
    return tr("{missing:,} bytes are missing at its end.", missing=missing) if missing else ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    return ModelFileError(
        tr("{path_name} cannot be read.", path_name=path.name),
        tr("The system says: {strerror}.", strerror=error.strerror),
        tr("Check the disk it lies on, and its permissions."),
    )
