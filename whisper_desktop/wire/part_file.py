"""What has arrived of a file that is being downloaded: `.part` beside its place, and its journal.

Everything here blocks. Several threads may write at once; all else is called by one at a time, but for
`stop`, which may come from any.
"""

import errno
import hashlib
import os
import shutil
import sys
import threading
import zlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from whisper_desktop.errors import TransferError
from whisper_desktop.language import tr
from whisper_desktop.wire.files import read_at, sync_data, sync_folder, try_lock, write_at
from whisper_desktop.wire.journal import Bad, Entry, Get, Journal, Put, Source, Synced, in_force, suspects
from whisper_desktop.wire.kept_notes import keep_note
from whisper_desktop.wire.spans import Spans

_CHUNK = 2**20
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class PartFile:
    """The part of the file at `target`, locked against every other download while it is open.

    `have` is what is there; whoever writes or drops a range changes it too, so that one thread alone does.
    `source` is where it comes from; None where nothing can be resumed. `unsynced` is how many bytes a power
    cut may take. `revision` is another one after something was taken back.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.have = Spans()
        self.source: Source | None = None
        self.unsynced = 0
        self.revision = 0
        self._path = part_of(target)
        self._journal = Journal(_note(target))
        self._file: IO[bytes]
        self._is_open = False
        self._is_known = False
        self._requests = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # The system lets one at a time; others would wait for it busily.
        self._stop = threading.Event()

    def open(self) -> None:
        """Take what is there, if anything; the folder is made where it is missing.

        What may have suffered from a power cut is compared with the journal. Raises `TransferError` where
        somebody else is downloading this file, and `OSError`.
        """
        if self.target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.target.parent.mkdir(parents=True, exist_ok=True)
        while not self._is_open:
            file = os.fdopen(os.open(self._path, _FLAGS, 0o666), "r+b", 0)
            try:
                if not try_lock(file.fileno()):
                    raise TransferError(
                        tr("{target_name} is being downloaded already.", target_name=self.target.name),
                        tr("Another window or program of this app does it."),
                        tr("Wait until it is done."),
                    )
                # Before it was locked, its last owner may have finished it and moved it to its place.
                self._is_open = _is_at(file, self._path)
            finally:
                if not self._is_open:
                    file.close()
        self._file = file
        size = file.seek(0, os.SEEK_END)
        self.source, noted = self._journal.read() if size else (None, False)
        if self.source is not None:
            self._take_up(self.source, size, noted=noted)
        self._is_known = True

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return self.have.size

    def placed(self) -> int | None:
        """The size of the file that is in its place already, if any."""
        return self.target.stat().st_size if self.target.is_file() else None

    def is_done(self, sha256: str) -> bool:
        """Whether the file that is in its place has this checksum. False after `stop`. Raises `OSError`."""
        digest = hashlib.sha256()
        with self.target.open("rb", buffering=0) as file:
            while not self._stop.is_set() and (chunk := file.read(_CHUNK)):
                digest.update(chunk)
        return digest.hexdigest() == sha256

    def take_back(self, note: Path, sha256: str) -> bool:
        """Make the file that is in its place the part, by the note that was kept of it. Raises `OSError`.

        False where there is none, where something has arrived already, or where the file has other names,
        which may be those of other programs.
        """
        source, noted = Journal(note).read()
        if self.size or source is None or not noted or source.sha256 != sha256:
            return False
        if sys.platform == "win32":  # What is open, and so locked, cannot be renamed there.
            return False
        if self.target.is_symlink() or self.target.stat().st_nlink > 1:
            return False
        file = self.target.open("r+b", 0)
        try:
            if not try_lock(file.fileno()):
                return False
            shutil.copyfile(note, _note(self.target))
            os.replace(self.target, self._path)
            # Only now: whoever waits for the lock sees that what it opened is no part any more.
            self._file, file = file, self._file
        finally:
            file.close()
        self.source = source
        self._take_up(source, self._file.seek(0, os.SEEK_END), noted=True)
        return True

    def begin(self, source: Source) -> None:
        """From the first byte: what was there is dropped, and what comes now is from this `source`."""
        self.discard()
        self._journal.begin(source)
        self.source = source

    def request(self, start: int, end: int | None, way: str) -> int:
        """The number of a request that has been answered; `way` is a digest of where it comes from."""
        with self._lock:
            self._requests += 1
            self._journal.append(Get(self._requests, start, end, way))
            return self._requests

    def write(self, start: int, pieces: Sequence[bytes], request: int) -> None:
        """These bytes have arrived. Raises `OSError`; then they count as missing."""
        crc = length = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            length += len(piece)
        at = start
        with self._writing:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    written = write_at(self._file.fileno(), at, rest)
                    rest, at = rest[written:], at + written
        with self._lock:
            self._journal.append(Put(start, length, crc, request))
            self.unsynced += length

    def sync(self) -> None:
        """What is noted now survives a power cut. Raises `OSError`."""
        with self._lock:
            lines, revision, self.unsynced = self._journal.lines, self.revision, 0
        sync_data(self._file.fileno())
        with self._lock:
            if self.revision != revision:
                return  # The lines are not those any more.
            self._journal.append(Synced(lines))
            journal = os.dup(self._journal.descriptor)
        try:
            sync_data(journal)
        finally:
            os.close(journal)

    def drop(self, start: int, end: int) -> None:
        """These bytes count as missing from now on. Raises `OSError`."""
        with self._lock:
            self._journal.append(Bad(start, end - start))
            self.revision += 1

    def read(self, start: int, length: int) -> bytes:
        """What the disk has there. Raises `OSError`."""
        return read_at(self._file.fileno(), start, length)

    def damaged(self) -> list[tuple[int, int]]:
        """What is not on the disk as it arrived. Ends early after `stop`. Raises `OSError`."""
        return self._differing(list(self._journal.entries()))

    def suspects(self) -> list[tuple[int, int]]:
        """What may have arrived wrong, the likeliest first; half of the file at most. Raises `OSError`."""
        return suspects(list(self._journal.entries()), self.have.end // 2)

    def stop(self) -> None:
        """From any thread: nobody waits for a checksum any more."""
        self._stop.set()

    def discard(self) -> None:
        """Drop all of it."""
        self.source = None
        with self._lock:
            self._journal.drop()
            if self._file.seek(0, os.SEEK_END):
                self._file.truncate(0)
            self.unsynced = 0
            self.revision += 1
        self.have = Spans()

    def commit(self, notes: Path | None = None) -> None:
        """All of it is there: to its place, in one step that a power cut does not halve. Raises `OSError`.

        Its note is kept in the folder `notes`, where it has a checksum.
        """
        if notes is not None and self.source is not None and self.source.sha256:
            keep_note(_note(self.target), notes, self.source.sha256)
        if self._file.seek(0, os.SEEK_END) > self.have.end:  # Nobody looked at what stands behind it.
            self._file.truncate(self.have.end)
        os.fsync(self._file.fileno())
        if sys.platform == "win32":  # What is open cannot be renamed there.
            self._file.close()
        os.replace(self._path, self.target)
        self._is_open = False
        self._file.close()
        self._journal.drop()
        sync_folder(self.target.parent)

    def close(self) -> None:
        """Let go of it. It stays for the next time, unless it is empty."""
        if not self._is_open:
            return
        self._is_open = False
        self._journal.close()
        if sys.platform == "win32":
            self._file.close()
        if self._is_known and not self.size:
            with suppress(OSError):
                self._journal.drop()
                self._path.unlink()
        self._file.close()

    def _take_up(self, source: Source, size: int, *, noted: bool) -> None:
        if not noted:  # An older version wrote from the front to the end, and nothing else.
            self._journal.begin(source)
            self._journal.append(Put(0, size, None, 0))
            self.have.add(0, size)
            return
        sure, unsure = 0, deque[Entry]()
        for entry in self._journal.go_on():
            unsure.append(entry)
            match entry:
                case Put(start, length):
                    self.have.add(start, start + length)
                case Bad(start, length):
                    self.have.remove(start, start + length)
                case Get(request):
                    self._requests = max(self._requests, request)
                case Synced(lines):
                    while sure < lines and unsure:
                        unsure.popleft()
                        sure += 1
        for start, end in self._differing(list(unsure)):
            self.have.remove(start, end)
            self.drop(start, end)
        self.have.remove(size, self.have.end)

    def _differing(self, entries: Sequence[Entry]) -> list[tuple[int, int]]:
        found = []
        for put in in_force(entries):
            if self._stop.is_set():
                break
            if put.crc is not None and self._crc(put.start, put.length) != put.crc:
                found.append((put.start, put.start + put.length))
        return found

    def _crc(self, start: int, length: int) -> int:
        crc, end = 0, start + length
        while start < end and (chunk := self.read(start, min(_CHUNK, end - start))):
            crc = zlib.crc32(chunk, crc)
            start += len(chunk)
        return crc


def remove_part(target: Path) -> None:
    """What has arrived of this file and is not to be gone on with. Raises `OSError`."""
    _note(target).unlink(missing_ok=True)
    part_of(target).unlink(missing_ok=True)


def not_written(error: OSError, path: Path) -> TransferError:
    """The sentence for a disk that does not take `path`."""
    title = tr("{path_name} could not be written to the disk.", path_name=path.name)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(title, tr("The disk is full."), tr("Free some space and try again."))
    if error.errno == errno.EFBIG:
        return TransferError(
            title,
            tr("The file is larger than this disk, or its format, allows."),
            tr("Choose another folder."),
        )
    said = error.strerror or type(error).__name__
    return TransferError(
        title,
        tr("The system says: {said}.", said=said),
        tr("Check the folder {parent}, or choose another.", parent=path.parent),
    )


def part_of(target: Path) -> Path:
    """Where what has arrived of `target` is kept until all is there."""
    return target.with_name(f"{target.name}.part")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
