"""Unpacks a downloaded archive without trusting it: .zip and .tar.gz, told by their first bytes.

The standard library reads the formats; nothing of its extraction is used. `zipfile` checks next to nothing,
and `tarfile.data_filter` is missing in the first releases of Python 3.11, is led out by links in those up to
3.11.12, and knows neither sizes nor names that other systems take for something else. So the rules are our
own, the same for both formats (`tree.py` has those about names and links), and refuse all that it refuses.
Links are made last: while files are written there is none that could lead anywhere. Of the permissions only
"executable" is kept; owners, times and the like are not.
"""

import gzip
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from whisper_desktop.engines.builds.tree import Kind, Parts, Tree, Unsafe, parts_of
from whisper_desktop.errors import TransferError
from whisper_desktop.language import mark, tr
from whisper_desktop.wire.part_file import not_written

_MOST_RATIO = 100  # Programs shrink to a third, seldom to a tenth.
_ANY_RATIO = 16 * 2**20  # Bytes that may come out of however little.
_MOST_AT_ONCE = 4 * 2**20  # A table of contents, or a long name: what the libraries hold in memory.
_PER_HEADER = 4096
_LONGEST_LINK = 1024
_CHUNK = 2**20
_ENCRYPTED = 0x41
_TOO_LARGE = mark("It is larger inside than expected.")
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,  # headers within headers, a compression that is not implemented
)


def unpack(archive: Path, folder: Path, *, most_bytes: int, most_files: int) -> None:
    """Unpack all of it into `folder`, which must be empty or not exist. Blocks: call it in a thread.

    No more than `most_bytes` are written, and no more than `most_files` files, folders and links made. Raises
    `TransferError`; then nothing of it is left.
    """
    with _writing(folder):
        existed = folder.exists()
        if existed and (not folder.is_dir() or any(folder.iterdir())):
            raise _not_unpacked(
                archive, tr("{folder} is not an empty folder.", folder=folder), tr("Choose another folder.")
            )
    try:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with archive.open("rb") as file:
            most = min(most_bytes, max(_ANY_RATIO, os.fstat(file.fileno()).st_size * _MOST_RATIO))
            with closing(_entries(file, most, most_files)) as entries:
                _Unpacking(folder, most, most_files).all_of(entries)
    except BaseException as error:
        _remove(folder, existed=existed)
        if isinstance(error, _Refused):
            step = tr("It was not made for this app, or to do harm. Get it from its own project's page.")
            raise _not_unpacked(archive, str(error), step) from None
        if isinstance(error, _BROKEN):
            raise _not_unpacked(
                archive,
                tr("It is damaged, or packed in a way that is not known here."),
                tr("Download it again."),
            ) from error
        raise


class _Refused(Exception):
    """Why an archive is not unpacked, as a sentence."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry, before anybody believed it: `name` and `target` are as they stand in the archive.

    `target` is that of a link, or, of a file without an `open`, the one whose bytes it has too. `refused` is
    why it cannot be had.
    """

    name: str
    kind: Kind
    size: int = 0
    executable: bool = False
    target: str = ""
    refused: str = ""
    open: Callable[[], IO[bytes]] | None = None


class _Unpacking:
    """One archive on its way into a folder. It may write `most` bytes yet, and have `files` entries."""

    def __init__(self, folder: Path, most: int, files: int) -> None:
        self._folder = folder
        self._most = most
        self._files = files
        self._tree = Tree()

    def all_of(self, entries: Iterator[_Entry]) -> None:
        """Raises `_Refused`, or whatever a broken archive makes its reader raise."""
        links: list[tuple[Parts, str]] = []
        for entry in entries:
            self._files -= 1
            if self._files < 0:
                raise _Refused(tr("It holds more files than expected."))
            with _about(entry.name):
                path = self._one(entry)
            if entry.kind is Kind.LINK:
                links.append((path, entry.target))
        for path, _ in links:
            with _about("/".join(path)):
                self._tree.check_link(path)
        with _writing(self._folder):
            for path, target in links:
                os.symlink(target, self._folder.joinpath(*path))

    def _one(self, entry: _Entry) -> Parts:
        if entry.refused:
            raise Unsafe(entry.refused)
        path = parts_of(entry.name)
        self._tree.add(path, entry.kind, entry.target)
        place = self._folder.joinpath(*path)
        with _writing(self._folder):
            (place if entry.kind is Kind.FOLDER else place.parent).mkdir(parents=True, exist_ok=True)
        if entry.kind is Kind.FILE:
            with entry.open() if entry.open is not None else self._twin(entry.target) as source:
                self._write(place, source, entry)
        return path

    def _twin(self, name: str) -> IO[bytes]:
        """A file that came before, if there was one: no link is there yet that could lead elsewhere."""
        return self._folder.joinpath(*parts_of(name)).open("rb")

    def _write(self, place: Path, source: IO[bytes], entry: _Entry) -> None:
        if entry.size > self._most:
            raise _Refused(_TOO_LARGE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with _writing(self._folder):
            file = os.fdopen(os.open(place, flags, 0o777 if entry.executable else 0o666), "wb", 0)
        with file:
            while chunk := source.read(_CHUNK):
                self._most -= len(chunk)
                if self._most < 0:
                    raise _Refused(_TOO_LARGE)
                rest = memoryview(chunk)
                with _writing(self._folder):
                    while rest:
                        rest = rest[file.write(rest) :]


class _Reader:
    """A file that is not read beyond `most` bytes, nor much of it at once. `last` is what was read last."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._file = file
        self._most = most
        self.last = b""
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        """See `IO.read`."""
        self.last = self._file.read(_MOST_AT_ONCE + 1 if count < 0 else min(count, _MOST_AT_ONCE + 1))
        if len(self.last) > _MOST_AT_ONCE or self._file.tell() > self._most:
            raise _Refused(_TOO_LARGE)
        return self.last


def _entries(file: IO[bytes], most: int, most_files: int) -> Generator[_Entry, None, None]:
    magic = file.read(2)
    file.seek(0)
    if magic == b"PK":
        return _zip_entries(_Reader(file, os.fstat(file.fileno()).st_size))
    return _tar_entries(_Reader(gzip.GzipFile(fileobj=file), most + most_files * _PER_HEADER + _MOST_AT_ONCE))


def _zip_entries(reader: _Reader) -> Generator[_Entry, None, None]:
    with zipfile.ZipFile(cast(IO[bytes], reader)) as archive:
        for info in archive.infolist():
            yield _zip_entry(archive, info)


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Entry:
    name = info.orig_filename  # `filename` ends at a NUL, and has other slashes on Windows.
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.flag_bits & _ENCRYPTED:
        return _Entry(name, Kind.FILE, refused=tr("is encrypted"))
    if kind == stat.S_IFLNK:
        with archive.open(info) as source:
            return _Entry(name, Kind.LINK, target=source.read(_LONGEST_LINK + 1).decode())
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return _Entry(name, Kind.FILE, refused=tr("is a device or another special file"))
    if name.endswith("/"):
        return _Entry(name, Kind.FOLDER)
    executable = bool(mode & stat.S_IXUSR)
    return _Entry(name, Kind.FILE, info.file_size, executable, open=lambda: archive.open(info))


def _tar_entries(reader: _Reader) -> Generator[_Entry, None, None]:
    with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r:") as archive:
        while (member := archive.next()) is not None:
            yield _tar_entry(archive, member)
    # `tarfile` takes a damaged header for the end. After the real one there are zeros only, and what checks
    # the compressed bytes comes last.
    while not reader.last.strip(b"\0"):
        if not reader.read(_CHUNK):
            return
    raise tarfile.ReadError(tr("a damaged header"))


def _tar_entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> _Entry:
    name, executable = member.name, bool(member.mode & stat.S_IXUSR)
    if member.isdir():
        return _Entry(name, Kind.FOLDER)
    if member.issym():
        return _Entry(name, Kind.LINK, target=member.linkname)
    if member.islnk():
        return _Entry(name, Kind.FILE, 0, executable, member.linkname)
    if not member.isreg():
        return _Entry(name, Kind.FILE, refused=tr("is a device or another special file"))

    def contents() -> IO[bytes]:
        file = archive.extractfile(member)
        assert file is not None  # It is, for what is neither a file nor a link.
        return file

    return _Entry(name, Kind.FILE, member.size, executable, open=contents)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """What is `Unsafe` inside is refused, in a sentence about this entry."""
    try:
        yield
    except Unsafe as error:
        shown = "".join(each if each.isprintable() else "?" for each in name[:80])
        raise _Refused(tr("“{shown}” in it {error}.", shown=shown, error=error)) from None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """An `OSError` inside is the disk's, not the archive's."""
    try:
        yield
    except OSError as error:
        raise not_written(error, folder) from error


def _remove(folder: Path, *, existed: bool) -> None:
    if not existed:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _not_unpacked(archive: Path, why: str, next_step: str) -> TransferError:
    return TransferError(tr("{archive_name} was not unpacked.", archive_name=archive.name), why, next_step)
