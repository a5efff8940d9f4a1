"""One list of all models on this computer, whichever program brought them.

    places -> files that are models -> what each says of itself (kept in a cache) -> Shelf

A model in several files is one model, a projector for images belongs to the model beside it, and what is not
whole is not on the list: `problems` says so. What lies in one place is listed there and nowhere else, also
where another place is around it or has a link to it. A link that leads out of all places is the model's file
for us: the file behind it is not ours to delete.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from whisper_desktop.errors import ModelFileError
from whisper_desktop.language import listed, tr, trn
from whisper_desktop.models.facts import FileFacts
from whisper_desktop.models.file_names import (
    is_projector,
    part_in,
    printable,
    projects_for,
    quant_in,
)
from whisper_desktop.models.ollama_blobs import ollama_models
from whisper_desktop.models.places import Place, Source
from whisper_desktop.models.shelf_cache import FileState, ShelfCache
from whisper_desktop.values import ModelType

_DEPTH = 8  # folders below a place
_MOST_ENTRIES = 200_000  # of folders, in all: a person may name a whole disk
_MOST_NAMED = 3  # parts in one sentence
_REPOSITORY = re.compile(r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)")


@dataclass(frozen=True, slots=True)
class ShelfModel:
    """One model on this computer. `files` are its parts in their order; sizes are bytes.

    `name` is what its program calls it. `on_disk_bytes` is what its files really take (sparse files take
    less), `projector` the file that lets it see images. `last_used` is when this app used it last, in seconds
    since 1970; None where it did not. `sha256` is of its only file, where somebody has worked it out.
    """

    name: str
    files: tuple[Path, ...]
    size_bytes: int
    on_disk_bytes: int
    source: Source
    type: ModelType
    quant: str = ""
    architecture: str = ""
    train_ctx: int | None = None
    projector: Path | None = None
    sha256: str = ""
    last_used: float | None = None

    @property
    def path(self) -> Path:
        """What an engine is given: its first file."""
        return self.files[0]


@dataclass(frozen=True, slots=True)
class Shelf:
    """All models, and a sentence for everything that could not be listed.

    `disk_bytes` is what their files take together; a file with several names counts once.
    """

    models: tuple[ShelfModel, ...]
    problems: tuple[str, ...] = ()
    disk_bytes: int = 0

    def find(self, name: str) -> ShelfModel | None:
        """The model of this name, or with this file; names are forgiving about upper and lower case."""
        wanted = name.strip().casefold()
        for model in self.models:
            if wanted in (model.name.casefold(), str(model.path).casefold(), model.path.name.casefold()):
                return model
        return None


def scan(places: Sequence[Place], cache: ShelfCache, used: Mapping[str, float] | None = None) -> Shelf:
    """What is in `places`, whose paths are real ones; `used` tells when a file was used last.

    Blocks, and writes the cache.
    """
    return _Scan(cache, used or {}).run(places)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that was found: where it lies, the name it is shown by, and its state."""

    path: Path
    shown: str
    state: FileState


class _Scan:
    def __init__(self, cache: ShelfCache, used: Mapping[str, float]) -> None:
        self._cache = cache
        self._used = used
        self._models: list[ShelfModel] = []
        self._problems: list[str] = []
        self._seen: set[str] = set()
        self._unread = False
        self._blocks: dict[tuple[int, int], int] = {}
        self._paths: list[Path] = []
        self._left = _MOST_ENTRIES
        self._places: Sequence[Place] = ()

    def run(self, places: Sequence[Place]) -> Shelf:
        self._places = places
        for place in places:
            try:
                if place.source == "ollama":
                    self._ollama(place)
                else:
                    self._folder(place)
            except OSError as error:
                self._cannot_read(os.fspath(place.path), error)
        if not self._left:
            self._unread = True
            self._problems.append(
                tr(
                    "There are more than {most_entries:,} files, and some were not looked at. Name "
                    "folders that hold little else than models (llm.model_folders).",
                    most_entries=_MOST_ENTRIES,
                )
            )
        if not self._unread:
            self._cache.forget_all_but(self._paths)
        self._cache.save()
        self._models.sort(key=lambda model: model.name.casefold())
        return Shelf(tuple(self._models), tuple(self._problems), sum(self._blocks.values()))

    # --- Ollama -------------------------------------------------------------------------------------------

    def _ollama(self, place: Place) -> None:
        for model in ollama_models(place.path):
            found = self._state(model.blob, model.name)
            if found is None:
                continue
            self._cache.tell_sha256(found.path, found.state, model.sha256)
            # Several tags may name one blob: each is a model there, the file counts once.
            self._add([found], model.name, place.source, model.projector)

    # --- Folders of files ---------------------------------------------------------------------------------

    def _folder(self, place: Place) -> None:
        for folder, entries in self._walk(place.path):
            found = (self._file(entry, place) for entry in entries)
            self._models_in(folder, [file for file in found if file is not None], place)

    def _file(self, entry: os.DirEntry[str], place: Place) -> _Found | None:
        """The file of an entry; None where that is on the list already, or is to be listed elsewhere."""
        path = real = entry.path
        if entry.is_symlink():
            real = os.path.realpath(path)
            home = self._home_of(Path(real))
            if home is not None and home != place:
                return None
            path = real if home is not None else path
        found = self._state(Path(path), entry.name) if real not in self._seen else None
        self._seen.add(real)
        return found

    def _home_of(self, path: Path) -> Place | None:
        """The innermost place that a file lies in."""
        around = [place for place in self._places if path.is_relative_to(place.path)]
        return max(around, key=lambda place: len(place.path.parts), default=None)

    def _walk(self, root: Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """The folders below `root` with their files that may be models. Links to folders are not followed,
        and other places come in their turn.
        """
        waiting = [(os.fspath(root), 0)]
        others = {os.fspath(place.path) for place in self._places if place.path != root}
        while waiting and self._left:
            at, depth = waiting.pop()
            try:
                with os.scandir(at) as entries:
                    found = sorted(islice(entries, self._left), key=lambda entry: entry.name)
            except OSError as error:
                if not depth:
                    raise
                self._cannot_read(at, error)
                continue
            self._left -= len(found)
            files = []
            for entry in found:
                if entry.name.lower().endswith(".gguf") and not entry.is_dir(follow_symlinks=False):
                    files.append(entry)
                elif (
                    depth < _DEPTH
                    and not entry.name.startswith(".")
                    and entry.path not in others
                    and entry.is_dir(follow_symlinks=False)
                ):
                    waiting.append((entry.path, depth + 1))
            if files:
                yield at, files

    def _models_in(self, folder: str, files: Sequence[_Found], place: Place) -> None:
        projectors = [found for found in files if is_projector(found.shown)]
        for found in projectors:
            self._count(found)
        groups = _groups(found for found in files if found not in projectors)
        for stem, parts, missing in groups:
            if missing:
                self._problems.append(
                    trn(
                        "{name} is not whole: {parts} is not in {folder}. Download the model again; what is "
                        "there is kept.",
                        "{name} is not whole: {parts} are not in {folder}. Download the model again; what is "
                        "there is kept.",
                        len(missing),
                        name=printable(stem),
                        parts=_named(missing),
                        folder=printable(folder),
                    )
                )
                continue
            fitting = (
                found.path for found in projectors if len(groups) == 1 or projects_for(found.shown, stem)
            )
            self._add(parts, _called(stem, folder, place), place.source, next(fitting, None))

    # --- One model ----------------------------------------------------------------------------------------

    def _add(self, parts: Sequence[_Found], name: str, source: Source, projector: Path | None) -> None:
        first = parts[0]
        try:
            facts = self._cache.facts(first.path, first.state)
        except ModelFileError as error:
            self._paths.append(first.path)
            self._problems.append(printable(f"{error}"))
            return
        for part in parts:
            self._count(part)
        if not facts.is_model:
            return
        self._models.append(
            ShelfModel(
                name=printable(name),
                files=tuple(part.path for part in parts),
                size_bytes=sum(part.state.size for part in parts),
                on_disk_bytes=sum(part.state.on_disk for part in parts),
                source=source,
                type=_type(facts, projector),
                quant=facts.quant or quant_in(name),
                architecture=facts.architecture,
                train_ctx=facts.train_ctx,
                projector=projector,
                sha256=self._cache.sha256(first.path, first.state) if len(parts) == 1 else "",
                last_used=self._used.get(str(first.path)),
            )
        )

    def _state(self, path: Path, shown: str) -> _Found | None:
        """The file at `path`; None where it is gone or no file."""
        try:
            return _Found(path, shown, FileState.of(path))
        except OSError:
            return None

    def _cannot_read(self, path: str, error: OSError) -> None:
        self._unread = True
        self._problems.append(
            tr(
                "{printable} cannot be read. The system says: {strerror}. See whether its drive is "
                "connected, and whether you may read it.",
                printable=printable(path),
                strerror=error.strerror,
            )
        )

    def _count(self, found: _Found) -> None:
        self._paths.append(found.path)
        self._blocks[(found.state.device, found.state.inode)] = found.state.on_disk


def _groups(files: Iterable[_Found]) -> list[tuple[str, list[_Found], list[int]]]:
    """The files that make up one model, in order, with its name and the first parts that are missing."""
    groups: dict[tuple[str, int], dict[int, _Found]] = {}
    for found in sorted(files, key=lambda each: each.shown):
        part = part_in(found.shown)
        groups.setdefault((part.stem, part.count), {})[part.number] = found
    return [
        (
            stem,
            list(parts.values()),
            list(islice((number for number in range(1, count + 1) if number not in parts), _MOST_NAMED + 1)),
        )
        for (stem, count), parts in groups.items()
    ]


def _named(parts: Sequence[int]) -> str:
    """A few of these parts of a model, as words."""
    words = [tr("part {number}", number=number) for number in parts[:_MOST_NAMED]]
    return listed([*words, tr("more")] if len(parts) > _MOST_NAMED else words)


def _called(stem: str, folder: str, place: Place) -> str:
    """What its program calls it: Hugging Face by its repository, the others by the file."""
    if place.source == "hugging_face":
        for part in Path(folder).relative_to(place.path).parts:
            if match := _REPOSITORY.fullmatch(part):
                return f"{match['owner']}/{match['name']}/{stem}"
    return stem


def _type(facts: FileFacts, projector: Path | None) -> ModelType:
    """With a projector beside it, a model that chats sees images, too."""
    sees = projector is not None and facts.type in (ModelType.CHAT, ModelType.COMPLETION)
    return ModelType.VISION if sees else facts.type
