"""The same model more than once: found by content, and kept once.

A copy is replaced by a link to another copy, at once or not at all: the link is made beside it under another
name and then takes its place in one step, so that a failure or a power cut leaves both as they were. Where a
Linux file system can share the blocks of two files (Btrfs, XFS), each stays a file of its own; else both
names are one file, which lasts until the last of them is deleted.
"""

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.errors import ModelFileError
from whisper_desktop.language import tr
from whisper_desktop.models.checksums import probe, sha256_of
from whisper_desktop.models.places import Source
from whisper_desktop.models.shelf import Shelf, ShelfModel
from whisper_desktop.models.shelf_cache import FileState, ShelfCache

OTHERS: frozenset[Source] = frozenset({"lm_studio", "ollama", "hugging_face"})
"""Whose files belong to other programs: nothing there is touched without the person's consent."""

PROGRAMS: dict[Source, str] = {"lm_studio": "LM Studio", "ollama": "Ollama", "hugging_face": "Hugging Face"}

_LEAST = 1_000_000  # bytes: smaller copies are not worth a question
_FRESH = ".link-new"
_FICLONE = 0x40049409  # linux/fs.h


@dataclass(frozen=True, slots=True)
class Copy:
    """One of several files with the same content, and the model it belongs to."""

    path: Path
    model: ShelfModel

    @property
    def belongs_to_other(self) -> bool:
        """Whether another program keeps it."""
        return self.model.source in OTHERS


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Files with the same content. `keep` is the one that the others could be links to; sizes are bytes."""

    keep: Copy
    copies: tuple[Copy, ...]
    size_bytes: int

    @property
    def saves_bytes(self) -> int:
        """What is freed when all others are links."""
        return self.size_bytes * len(self.copies)


def find_duplicates(
    shelf: Shelf,
    cache: ShelfCache,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[Path, int], None] | None = None,
) -> tuple[Duplicate, ...]:
    """The files on the shelf that are there more than once, the largest first.

    Only files of one size are read, and wholly only where their beginnings, middles and ends agree. Blocks,
    for minutes on a slow disk; `on_progress` is told the file and the bytes read of it. Files that cannot be
    read are passed over, and so are those that only a link leads to. Raises `Stopped`.
    """
    _tidy({path.parent for model in shelf.models for path in model.files})
    by_size: dict[int, dict[tuple[int, int], Copy]] = {}
    for model in shelf.models:
        for path in model.files:
            with suppress(OSError):
                state = FileState.of(path)
                if state.size >= _LEAST and not path.is_symlink():
                    # Names of one file are no copies; with a name of another program's, it is that one's.
                    files, copy = by_size.setdefault(state.size, {}), Copy(path, model)
                    known = files.setdefault((state.device, state.inode), copy)
                    if copy.belongs_to_other and not known.belongs_to_other:
                        files[(state.device, state.inode)] = copy
    found: list[Duplicate] = []
    for size, files in by_size.items():
        alike = _grouped(files.values(), lambda copy: probe(copy.path))

        def checksum(copy: Copy) -> str:
            told = None if on_progress is None else (lambda done: on_progress(copy.path, done))
            return sha256_of(copy.path, cache, stop=stop, on_progress=told)

        for group in alike:
            found += (_duplicate(same, size) for same in _grouped(group, checksum))
    cache.save()
    return tuple(sorted(found, key=lambda duplicate: -duplicate.saves_bytes))


def _grouped(copies: Iterable[Copy], key: Callable[[Copy], object]) -> list[list[Copy]]:
    """Those that agree, where there are at least two."""
    candidates = list(copies)
    if len(candidates) < 2:
        return []
    groups: dict[object, list[Copy]] = {}
    for copy in candidates:
        with suppress(OSError):
            groups.setdefault(key(copy), []).append(copy)
    return [group for group in groups.values() if len(group) > 1]


def _duplicate(copies: Sequence[Copy], size: int) -> Duplicate:
    """Another program's file is kept first: then ours is the link, and nothing of theirs is touched.

    Of equals that with the most names: when one of them moved to another file, the others would stay.
    """

    def rank(copy: Copy) -> tuple[bool, int, str]:
        return not copy.belongs_to_other, -_names(copy.path), os.fspath(copy.path)

    ordered = sorted(copies, key=rank)
    return Duplicate(ordered[0], tuple(ordered[1:]), size)


def _names(path: Path) -> int:
    try:
        return FileState.of(path).names
    except OSError:
        return 0


def link(
    duplicate: Duplicate,
    copy: Copy,
    cache: ShelfCache,
    *,
    consent: bool = False,
    in_use: Callable[[Path], bool] | None = None,
) -> int:
    """Make `copy` a link to the file that is kept. Returns the bytes that became free.

    `consent` says that the person allows this for a file of another program. Both are compared again before,
    by their checksums. Blocks. Raises `ModelFileError`, and then both files are as they were.
    """
    kept = duplicate.keep.path
    if copy.belongs_to_other and not consent:
        raise _refused(
            copy.path,
            tr(
                "It belongs to {programs}, whose files are not touched unasked.",
                programs=PROGRAMS[copy.model.source],
            ),
            tr("Allow it, or leave the copy as it is."),
        )
    if in_use is not None and in_use(copy.path):
        raise _refused(copy.path, tr("An engine uses it right now."), tr("Stop the engine and try again."))
    fresh = fresh_link(copy.path)
    try:
        before, as_kept = FileState.of(copy.path), FileState.of(kept)
        if (before.device, before.inode) == (as_kept.device, as_kept.inode):
            return 0
        if sha256_of(kept, cache) != sha256_of(copy.path, cache):
            raise _refused(
                copy.path,
                tr("It is not the same as {kept} any more.", kept=kept),
                tr("Look for duplicates again."),
            )
        fresh.unlink(missing_ok=True)
        _linked(kept, fresh)
        # Neither may have changed since they were compared; that it has a name more shows on the kept one.
        if FileState.of(copy.path).key != before.key or _content(FileState.of(kept)) != _content(as_kept):
            raise _refused(copy.path, tr("It was changed meanwhile."), tr("Look for duplicates again."))
        os.replace(fresh, copy.path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise _refused(copy.path, _why(error, kept), tr("Both files are as they were.")) from None
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    return before.on_disk if before.names == 1 else 0


def fresh_link(path: Path) -> Path:
    """Where the link is made that is to replace this file; a killed `link` leaves it behind."""
    return path.with_name(f".{path.name}{_FRESH}")


def _tidy(folders: Iterable[Path]) -> None:
    """Remove what killed ones left: it would hold on to the room of what it is a name of."""
    for folder in folders:
        with suppress(OSError):
            for left in folder.glob(f".*{_FRESH}"):
                left.unlink(missing_ok=True)


def _content(state: FileState) -> tuple[int, int, int]:
    return state.size, state.written_ns, state.inode


def _linked(kept: Path, fresh: Path) -> None:
    if sys.platform == "linux" and _blocks_shared(kept, fresh):
        return
    os.link(kept, fresh)


if sys.platform == "linux":

    def _blocks_shared(kept: Path, fresh: Path) -> bool:
        """Make `fresh` a file that shares the blocks of `kept`; False where that is not possible."""
        import fcntl

        with kept.open("rb") as source, fresh.open("xb") as target:
            try:
                fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
                return True
            except OSError:
                pass
        fresh.unlink()
        return False


def _why(error: OSError, kept: Path) -> str:
    if error.errno == errno.EXDEV:
        return tr("{kept} is on another disk, and links do not reach across disks.", kept=kept)
    if error.errno in (errno.EPERM, errno.EACCES):
        return tr("The system does not allow a link to {kept}, which may belong to another user.", kept=kept)
    return tr("The system says: {strerror}.", strerror=error.strerror)


def _refused(path: Path, why: str, next_step: str) -> ModelFileError:
    return ModelFileError(tr("{path_name} was not replaced by a link.", path_name=path.name), why, next_step)
