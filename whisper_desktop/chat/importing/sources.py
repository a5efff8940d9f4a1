"""Where an import comes from: one file, a folder, or an archive that is read in memory. All are bounded."""

import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from whisper_desktop.chat.files import FileError, read_file, shown_name, shown_size, unreadable
from whisper_desktop.language import tr

LARGEST = 400_000_000
"""Bytes that are read of one import, unpacked. The exports of years of daily use have half of it."""
MOST_FILES = 50_000


class Source(AbstractContextManager["Source"]):
    """The files of an import, by the name that each has there."""

    def __init__(
        self, title: str, names: tuple[str, ...], read: Callable[[str, int], bytes], close: Callable[[], None]
    ) -> None:
        self.title = title
        self.names = names
        self._read = read
        self._close = close
        self._left = LARGEST

    def read(self, name: str) -> bytes:
        """All bytes of a file; all together are bounded, whatever an archive says. Raises `FileError`."""
        data = self._read(name, self._left)
        self._left -= len(data)
        return data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def open_source(path: Path) -> Source:
    """The files of a path. Raises `FileError`."""
    title = shown_name(path)
    try:
        if path.is_dir():
            return _folder(path, title)
        if path.name in ("thread.json", "messages.jsonl"):  # the two halves of one conversation of Jan's
            return _folder(path.parent, title, ("thread.json", "messages.jsonl"))
        if path.is_file() and zipfile.is_zipfile(path):
            return _archive(path, title)
    except (OSError, ValueError) as error:
        raise unreadable(title, error if isinstance(error, OSError) else FileNotFoundError()) from None
    return Source(title, (path.name,), lambda _name, most: read_file(path, most, smaller()), _nothing)


def _folder(path: Path, title: str, names: tuple[str, ...] | None = None) -> Source:
    if names is None:
        names = tuple(_files_below(path))
    return Source(title, names, lambda name, most: read_file(path / name, most, smaller()), _nothing)


def _files_below(path: Path) -> list[str]:
    found: list[str] = []
    for folder, below, names in os.walk(path):  # links to folders are not followed, so that it ends
        below.sort()
        found += [str((Path(folder) / name).relative_to(path)) for name in sorted(names)]
        if len(found) > MOST_FILES:
            raise _too_many(shown_name(path))
    return found


def _archive(path: Path, title: str) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError):
        raise _broken(title) from None
    if len(archive.infolist()) > MOST_FILES:
        archive.close()
        raise _too_many(title)

    def read(name: str, most: int) -> bytes:
        try:
            with archive.open(name) as file:
                data = file.read(most + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, KeyError):
            raise _broken(title) from None
        except (zlib.error, lzma.LZMAError):
            raise _broken(title) from None
        except OSError as error:
            raise unreadable(title, error) from None
        if len(data) > most:
            raise FileError(
                tr(
                    "{name} is larger than {limit} when it is unpacked.",
                    name=title,
                    limit=shown_size(LARGEST),
                ),
                "",
                smaller(),
            )
        return data

    names = tuple(entry.filename for entry in archive.infolist() if not entry.is_dir())
    return Source(title, names, read, archive.close)


def _nothing() -> None:
    """A file that is read at once needs no closing."""


def smaller() -> str:
    """What is to be done about an import that is too much."""
    return tr("Export fewer conversations at a time, and import those files one by one.")


def _too_many(name: str) -> FileError:
    return FileError(
        tr("{name} has more than {count} files.", name=name, count=f"{MOST_FILES:,}"),
        "",
        tr("Choose the export itself: a .json or .zip file, or the folder of the conversations."),
    )


def _broken(name: str) -> FileError:
    return FileError(
        tr("{name} is a damaged or locked archive.", name=name),
        "",
        tr("Download it again, or unpack it and choose the .json file in it."),
    )
