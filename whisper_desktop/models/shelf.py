"""One list of all models on this computer, whichever program brought them.

    places -> files that are models -> what each says of itself (kept in a cache) -> Shelf

A model in several files is one model, a projector for images belongs to the model beside it, and what is not
whole is not on the list: `problems` says so.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.errors import ModelFileError
from whisper_desktop.models.facts import FileFacts, quant_in
from whisper_desktop.models.ollama_blobs import ollama_models
from whisper_desktop.models.places import Place, Source
from whisper_desktop.models.shelf_cache import FileState, ShelfCache
from whisper_desktop.values import ModelType

_DEPTH = 8  # folders below a place
_MOST_ENTRIES = 200_000  # of folders, in all: a person may name a whole disk
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
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
    """What is in `places`; `used` tells when a file was used last. Blocks, and writes the cache."""
    return _Scan(cache, used or {}).run(places)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that was found: its real path, the name it is shown by, and its state."""

    path: Path
    shown: str
    state: FileState


class _Scan:
    def __init__(self, cache: ShelfCache, used: Mapping[str, float]) -> None:
        self._cache = cache
        self._used = used
        self._models: list[ShelfModel] = []
        self._problems: list[str] = []
        self._seen: set[Path] = set()
        self._unread = False
        self._blocks: dict[tuple[int, int], int] = {}
        self._paths: list[Path] = []
        self._left = _MOST_ENTRIES

    def run(self, places: Sequence[Place]) -> Shelf:
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
            self._problems.append(f"There are more than {_MOST_ENTRIES:,} files; some were not looked at.")
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
            files = []
            for entry in entries:
                found = self._state(Path(entry.path), entry.name, linked=entry.is_symlink())
                # A link is the model it leads to, which may be on the list already.
                if found is not None and found.path not in self._seen:
                    self._seen.add(found.path)
                    files.append(found)
            self._models_in(Path(folder), files, place)

    def _walk(self, root: Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """The folders below `root` with their files that may be models. Links to folders are not followed."""
        waiting = [(os.fspath(root), 0)]
        while waiting and self._left:
            at, depth = waiting.pop()
            try:
                with os.scandir(at) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                if not depth:
                    raise
                self._cannot_read(at, error)
                continue
            self._left = max(0, self._left - len(found))
            files = []
            for entry in found:
                if entry.name.lower().endswith(".gguf") and not entry.is_dir(follow_symlinks=False):
                    files.append(entry)
                elif (
                    depth < _DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                ):
                    waiting.append((entry.path, depth + 1))
            if files:
                yield at, files

    def _models_in(self, folder: Path, files: Sequence[_Found], place: Place) -> None:
        projectors = [found for found in files if _PROJECTOR.search(found.shown)]
        projector = projectors[0].path if projectors else None
        for found in projectors:
            self._count(found)
        for name, parts in _groups(found for found in files if found not in projectors).items():
            missing = _missing(parts)
            if missing:
                verb = "is" if len(missing) == 1 else "are"
                self._problems.append(f"{name} is not whole: {_list(missing)} {verb} not in {folder}.")
                continue
            self._add(parts, _called(name, folder, place), place.source, projector)

    # --- One model ----------------------------------------------------------------------------------------

    def _add(self, parts: Sequence[_Found], name: str, source: Source, projector: Path | None) -> None:
        first = parts[0]
        try:
            facts = self._cache.facts(first.path, first.state)
        except ModelFileError as error:
            self._paths.append(first.path)
            self._problems.append(f"{error}")
            return
        for part in parts:
            self._count(part)
        if not facts.is_model:
            return
        self._models.append(
            ShelfModel(
                name=name,
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

    def _state(self, path: Path, shown: str, *, linked: bool = False) -> _Found | None:
        """The file behind `path`; None where it is gone or no file."""
        try:
            real = path.resolve() if linked else path
            return _Found(real, shown, FileState.of(real))
        except (OSError, RuntimeError):
            return None

    def _cannot_read(self, path: str, error: OSError) -> None:
        self._unread = True
        self._problems.append(f"{path} cannot be read. The system says: {error.strerror}.")

    def _count(self, found: _Found) -> None:
        self._paths.append(found.path)
        self._blocks[(found.state.device, found.state.inode)] = found.state.on_disk


def _groups(files: Iterable[_Found]) -> dict[str, list[_Found]]:
    """The files that make up one model, in their order, by its name."""
    groups: dict[str, list[_Found]] = {}
    for found in sorted(files, key=lambda each: each.shown):
        match = _PART.fullmatch(found.shown)
        groups.setdefault(match["stem"] if match else found.shown[: -len(".gguf")], []).append(found)
    return groups


def _missing(parts: Sequence[_Found]) -> list[str]:
    """Which parts of a model in several files are not there, as words; [] where all are."""
    matches = [match for part in parts if (match := _PART.fullmatch(part.shown))]
    if not matches:
        return []
    count = int(matches[0]["count"])
    have = {int(match["number"]) for match in matches}
    gone = [number for number in range(1, count + 1) if number not in have]
    return [f"part {number}" for number in gone[:3]] + (["more"] if len(gone) > 3 else [])


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _called(stem: str, folder: Path, place: Place) -> str:
    """What its program calls it: Hugging Face by its repository, the others by the file."""
    if place.source == "hugging_face":
        for part in folder.relative_to(place.path).parts:
            if match := _REPOSITORY.fullmatch(part):
                return f"{match['owner']}/{match['name']}/{stem}"
    return stem


def _type(facts: FileFacts, projector: Path | None) -> ModelType:
    """With a projector beside it, a model that chats sees images, too."""
    sees = projector is not None and facts.type in (ModelType.CHAT, ModelType.COMPLETION)
    return ModelType.VISION if sees else facts.type
