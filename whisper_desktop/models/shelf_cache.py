"""What was read of model files before, so that a list of a thousand takes no longer than looking at them.

A file counts as the same while its size, the times of its last change and its number on the disk are. The
cache is one JSON file; a damaged one is begun anew, and of two processes the one that writes last wins.
"""

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from whisper_desktop.errors import ModelFileError, SettingsError
from whisper_desktop.language import tr
from whisper_desktop.models.facts import FileFacts, facts_of
from whisper_desktop.models.kept_json import read_json
from whisper_desktop.settings.files import write_text
from whisper_desktop.values import ModelType

_VERSION = 1
_MOST_FILES = 20_000
_LARGEST = 20_000_000  # bytes
_FACTS: Mapping[str, tuple[type, ...]] = {
    name: get_args(kind) or (kind,) for name, kind in get_type_hints(FileFacts).items()
}


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells one state of a file from another. Sizes are bytes; `on_disk` is what it really takes.

    `names` counts the hard links to it: its room is free when the last one is gone.
    """

    size: int
    written_ns: int
    changed_ns: int
    inode: int
    device: int
    on_disk: int
    names: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """The state of the file at `path`, links followed. Raises `OSError`, also for what is no file."""
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, tr("It is not a file"), os.fspath(path))
        on_disk = getattr(found, "st_blocks", None)
        return cls(
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,  # the other one can be set back
            found.st_ino,
            found.st_dev,
            found.st_size if on_disk is None else on_disk * 512,
            found.st_nlink,
        )

    @property
    def key(self) -> tuple[int, ...]:
        """What must be the same for the file to be the same."""
        return self.size, self.written_ns, self.changed_ns, self.inode


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of one file. `broken` is the sentence why it cannot be read, "" where it can."""

    key: tuple[int, ...]
    facts: FileFacts | None = None
    broken: str = ""
    sha256: str = ""


class ShelfCache:
    """The facts and checksums of files. `path` is where it is kept, None to keep nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, _Entry] = _read(path) if path is not None else {}
        self._changed = False

    def facts(self, path: Path, state: FileState) -> FileFacts:
        """What the file says of itself, read only where it has changed. Raises `ModelFileError`."""
        entry = self._entry(path, state)
        if entry is None or (entry.facts is None and not entry.broken):
            sha256 = entry.sha256 if entry is not None else ""
            try:
                entry = _Entry(state.key, facts_of(path), "", sha256)
            except ModelFileError as error:
                entry = _Entry(state.key, None, f"{error}", sha256)
            self._keep(path, entry)
        if entry.facts is None:
            raise ModelFileError(entry.broken)
        return entry.facts

    def sha256(self, path: Path, state: FileState) -> str:
        """The checksum that was told before, in hex; "" where none was, or the file has changed."""
        entry = self._entry(path, state)
        return entry.sha256 if entry is not None else ""

    def tell_sha256(self, path: Path, state: FileState, sha256: str) -> None:
        """Keep the checksum of a file, which was in `state` before and after it was read."""
        entry = self._entry(path, state) or _Entry(state.key)
        if entry.sha256 != sha256:
            self._keep(path, replace(entry, sha256=sha256))

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Drop the files that are there no more."""
        wanted = {str(path) for path in paths}
        gone = self._entries.keys() - wanted
        for name in gone:
            del self._entries[name]
        self._changed = self._changed or bool(gone)

    def save(self) -> None:
        """Write what is new. That it cannot be written costs time later, and nothing else."""
        if self._path is None or not self._changed:
            return
        files = {name: _written(entry) for name, entry in list(self._entries.items())[-_MOST_FILES:]}
        with suppress(SettingsError, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps({"version": _VERSION, "files": files}))
            self._changed = False

    def _entry(self, path: Path, state: FileState) -> _Entry | None:
        entry = self._entries.get(str(path))
        return entry if entry is not None and entry.key == state.key else None

    def _keep(self, path: Path, entry: _Entry) -> None:
        self._entries[str(path)] = entry
        self._changed = True


def _written(entry: _Entry) -> dict[str, Any]:
    facts = {name: getattr(entry.facts, name) for name in _FACTS} if entry.facts is not None else None
    return {"key": entry.key, "facts": facts, "broken": entry.broken, "sha256": entry.sha256}


def _read(path: Path) -> dict[str, _Entry]:
    try:
        told = read_json(path, _LARGEST)
        if not isinstance(told, dict) or told["version"] != _VERSION:
            return {}
        return {name: _read_entry(entry) for name, entry in told["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _read_entry(told: dict[str, Any]) -> _Entry:
    facts = told["facts"]
    if facts is not None:
        facts = FileFacts(**facts | {"type": ModelType(facts["type"])})
        if not all(isinstance(getattr(facts, name), kind) for name, kind in _FACTS.items()):
            raise TypeError
    return _Entry(tuple(told["key"]), facts, str(told["broken"]), str(told["sha256"]))
