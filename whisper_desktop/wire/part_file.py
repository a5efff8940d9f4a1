"""What has arrived of a file that is being downloaded: `.part` beside its place, with a note of its source.

Everything here blocks, and is called by one thread at a time; only `stop` may come from another.
"""

import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from whisper_desktop.errors import TransferError
from whisper_desktop.wire.files import sync_folder, try_lock

_CHUNK = 2**20
_LARGEST_NOTE = 10_000
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part comes from: what decides whether more of the same can be had.

    `address` is a digest of the URL, which may be secret. `validator` is what the server called this version
    of the file ("" where it did not), `total` its size in bytes (None unknown). `sha256` is the checksum that
    the whole file is to have, in hex ("" unknown).
    """

    address: str
    validator: str
    total: int | None
    sha256: str


class PartFile:
    """The part of the file at `target`, locked against every other download while it is open.

    `size` is how many bytes are there, `source` where they come from; None where nothing can be resumed. With
    `hashing` the checksum is computed on the way.
    """

    def __init__(self, target: Path, *, hashing: bool) -> None:
        self.target = target
        self.size = 0
        self.source: Source | None = None
        self._path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._file: IO[bytes]
        self._is_open = False
        self._hashing = hashing
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._stop = threading.Event()

    def open(self) -> None:
        """Take what is there, if anything; the folder is made where it is missing.

        Raises `TransferError` where somebody else is downloading this file, and `OSError`.
        """
        if self.target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.target.parent.mkdir(parents=True, exist_ok=True)
        while not self._is_open:
            file = os.fdopen(os.open(self._path, _FLAGS, 0o666), "r+b", 0)
            try:
                if not try_lock(file.fileno()):
                    raise TransferError(
                        f"{self.target.name} is being downloaded already.",
                        "Another window or program of this app does it.",
                        "Wait until it is done.",
                    )
                # Before it was locked, its last owner may have finished it and moved it to its place.
                self._is_open = _is_at(file, self._path)
            finally:
                if not self._is_open:
                    file.close()
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self.source = _read_note(self._note) if self.size else None

    def is_done(self, sha256: str) -> bool:
        """Whether the file is in its place already, with this checksum. False after `stop`."""
        if not self.target.is_file():
            return False
        digest = hashlib.sha256()
        with self.target.open("rb", buffering=0) as file:
            while not self._stop.is_set() and (chunk := file.read(_CHUNK)):
                digest.update(chunk)
        return digest.hexdigest() == sha256

    def begin(self, source: Source) -> None:
        """From the first byte: what was there is dropped, and what comes now is from this `source`."""
        self.discard()
        self._note.write_text(json.dumps(asdict(source)), "utf-8")
        self.source = source

    def append(self, pieces: Iterable[bytes]) -> None:
        """The next bytes. Raises `OSError`; what was written before it stays."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            if self._hashing and self._hashed == self.size:
                self._hash.update(piece)
                self._hashed += len(piece)
            self.size += len(piece)

    @property
    def is_hashed(self) -> bool:
        """Whether the checksum of all that is there is known."""
        return self._hashing and self._hashed == self.size

    def catch_up(self) -> None:
        """Compute the checksum of what was there from the start. Ends early after `stop`."""
        self._file.seek(self._hashed)
        while not self._stop.is_set() and (chunk := self._file.read(_CHUNK)):
            self._hash.update(chunk)
            self._hashed += len(chunk)
        self._file.seek(self.size)

    def stop(self) -> None:
        """From any thread: nobody waits for a checksum any more."""
        self._stop.set()

    @property
    def sha256(self) -> str:
        """The checksum of all that is there, in hex; "" where it was not computed."""
        return self._hash.hexdigest() if self.is_hashed else ""

    def discard(self) -> None:
        """Drop all of it."""
        self.source = None
        self._note.unlink(missing_ok=True)
        if self.size:
            self._file.seek(0)
            self._file.truncate()
        self.size = self._hashed = 0
        self._hash = hashlib.sha256()

    def commit(self) -> None:
        """All of it is there: to its place, in one step that a power cut does not halve. Raises `OSError`."""
        os.fsync(self._file.fileno())
        if sys.platform == "win32":  # What is open cannot be renamed there.
            self._file.close()
        os.replace(self._path, self.target)
        self._is_open = False
        self._file.close()
        self._note.unlink(missing_ok=True)
        sync_folder(self.target.parent)

    def close(self) -> None:
        """Let go of it. It stays for the next time, unless it is empty."""
        if not self._is_open:
            return
        self._is_open = False
        if sys.platform == "win32":
            self._file.close()
        if not self.size:
            with suppress(OSError):
                self._note.unlink(missing_ok=True)
                self._path.unlink()
        self._file.close()


def not_written(error: OSError, path: Path) -> TransferError:
    """The sentence for a disk that does not take `path`."""
    title = f"{path.name} could not be written to the disk."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(title, "The disk is full.", "Free some space and try again.")
    if error.errno == errno.EFBIG:
        return TransferError(
            title, "The file is larger than this disk, or its format, allows.", "Choose another folder."
        )
    said = error.strerror or type(error).__name__
    return TransferError(
        title, f"The system says: {said}.", f"Check the folder {path.parent}, or choose another."
    )


def _read_note(path: Path) -> Source | None:
    """What `begin` noted; None for whatever else may stand there."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_LARGEST_NOTE))
        source = Source(**{each.name: value[each.name] for each in fields(Source)})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (source.address, source.validator, source.sha256)
    if not all(isinstance(text, str) for text in texts) or type(source.total) not in (int, type(None)):
        return None
    return source


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
