"""The note beside a `.part`: where it comes from, and every piece that has arrived.

Text: a line of JSON about the source, and then a line for each thing that happened. It is appended to after
the bytes are written, so that a process that is killed loses only what it had not written. What a line
promises after a power cut is another matter: lines up to a `synced` one are sure, later ones are checked.

    get 3 8388608 16777216 5d41402a     request 3 asks for this range, on this way (a digest of its source)
    put 8388608 131072 9ae0daaf 3       bytes that request 3 brought, and their CRC-32 (`-`: not computed)
    bad 8388608 131072                  these are not there after all
    synced 17                           what the first 17 lines say has reached the disk
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from whisper_desktop.wire.spans import Spans

_LONGEST_HEAD = 10_000
_LONGEST_LINE = 100
_LARGEST = 2**26  # Bytes of a whole note: what a file of 1 TB needs.
_FORMAT = 2
_TAIL = 2**20  # Bytes before the end of a request that broke off.
_LINE = re.compile(
    r"(?:get (\d{1,9}) (\d{1,18}) (\d{1,18}|-) ([0-9a-f]{8})"
    r"|put (\d{1,18}) (\d{1,18}) ([0-9a-f]{8}|-) (\d{1,9})"
    r"|bad (\d{1,18}) (\d{1,18})"
    r"|synced (\d{1,9}))\n"
)


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


@dataclass(frozen=True, slots=True)
class Get:
    """A request, and the range that it asked for; `end` is None where nobody knew it."""

    request: int
    start: int
    end: int | None
    way: str


@dataclass(frozen=True, slots=True)
class Put:
    """Bytes that arrived. `crc` is None where it was not computed."""

    start: int
    length: int
    crc: int | None
    request: int


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that are not there any more."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Synced:
    """What the first `lines` lines say survives a power cut."""

    lines: int


Entry = Get | Put | Bad | Synced


class Journal:
    """The file at `path`. Everything blocks; one thread at a time appends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.lines = 0

    def read(self) -> tuple[Source | None, bool]:
        """The source, and whether pieces are noted: older versions noted none, and left no gaps.

        Raises `OSError` for a note that is there and cannot be read now.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > _LARGEST:
                    return None, False
                value = json.loads(file.readline(_LONGEST_HEAD))
            noted = value.pop("format", None) == _FORMAT
            source = Source(**{each.name: value[each.name] for each in fields(Source)})
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None, False
        texts = (source.address, source.validator, source.sha256)
        is_size = source.total is None or (type(source.total) is int and source.total >= 0)
        return (source, noted) if is_size and all(isinstance(text, str) for text in texts) else (None, False)

    def entries(self) -> Iterator[Entry]:
        """What happened, up to the first line that cannot be read. Raises `OSError`."""
        for entry, _end in self._readable():
            yield entry

    def begin(self, source: Source) -> None:
        """From now on it is about this source. Raises `OSError`."""
        self.drop()
        self._file = self._path.open("xb", buffering=0)
        self._file.write(json.dumps({"format": _FORMAT, **asdict(source)}).encode() + b"\n")

    def go_on(self) -> Iterator[Entry]:
        """What happened; after the last of it, more can be appended. Raises `OSError`.

        What stands behind the last readable line goes.
        """
        self.lines = 0
        with self._path.open("rb") as file:
            end = len(file.readline(_LONGEST_HEAD))
        for entry, end in self._readable():  # noqa: B007 - the last one counts
            self.lines += 1
            yield entry
        os.truncate(self._path, end)
        self._file = self._path.open("ab", buffering=0)

    def _readable(self) -> Iterator[tuple[Entry, int]]:
        """Each entry, and where its line ends."""
        with self._path.open("rb") as file:
            end = len(file.readline(_LONGEST_HEAD))
            while line := file.readline(_LONGEST_LINE):
                entry = _entry(line)
                if entry is None:
                    return
                end += len(line)
                yield entry, end

    def append(self, entry: Entry) -> None:
        """Raises `OSError`."""
        assert self._file is not None
        line = _line(entry)
        written = self._file.write(line)
        if written != len(line):  # The disk is full in the middle of a line.
            self._file.write(line[written:])
        self.lines += 1

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        assert self._file is not None
        return self._file.fileno()

    def close(self) -> None:
        """It stays where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def drop(self) -> None:
        """Nothing is noted any more."""
        self.close()
        self.lines = 0
        self._path.unlink(missing_ok=True)


def in_force(entries: Sequence[Entry]) -> Iterator[Put]:
    """The pieces that nothing later took back or wrote over, the last one first."""
    later = Spans()
    for entry in reversed(entries):
        if isinstance(entry, Put | Bad):
            end = entry.start + entry.length
            if isinstance(entry, Put) and not later.overlaps(entry.start, end):
                yield entry
            later.add(entry.start, end)


def suspects(entries: Sequence[Entry], most: int) -> list[tuple[int, int]]:
    """Ranges that may be wrong although they are as they arrived, the likeliest first; `most` bytes in all.

    First how requests ended that broke off, then what did not come on the way that most came on, then the
    rest of those that broke off.
    """
    asked = {entry.request: entry for entry in entries if isinstance(entry, Get)}
    puts = list(in_force(entries))
    reached: dict[int, int] = {}
    brought: Counter[str] = Counter()
    for put in puts:
        reached[put.request] = max(reached.get(put.request, 0), put.start + put.length)
        brought[_way(asked, put)] += put.length
    main = brought.most_common(1)[0][0] if brought else ""
    broken = {
        request
        for request, end in reached.items()
        if request in asked and (goal := asked[request].end) is not None and end < goal
    }

    def rank(put: Put) -> int | None:
        tail = reached[put.request] - put.start <= _TAIL
        if put.request in broken and tail:
            return 0
        if _way(asked, put) != main:
            return 1
        return 2 if put.request in broken else None

    ranked = sorted((order, put.start, put.length) for put in puts if (order := rank(put)) is not None)
    found, size = [], 0
    for _order, start, length in ranked:
        size += length
        if size > most:
            break
        found.append((start, start + length))
    return found


def _way(asked: Mapping[int, Get], put: Put) -> str:
    get = asked.get(put.request)
    return get.way if get is not None else ""


def _line(entry: Entry) -> bytes:
    match entry:
        case Get(request, start, end, way):
            text = f"get {request} {start} {'-' if end is None else end} {way}"
        case Put(start, length, crc, request):
            text = f"put {start} {length} {'-' if crc is None else f'{crc:08x}'} {request}"
        case Bad(start, length):
            text = f"bad {start} {length}"
        case Synced(lines):
            text = f"synced {lines}"
    return text.encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    found = _LINE.fullmatch(line.decode("ascii", "replace"))
    if found is None:
        return None
    request, start, end, way, put, length, crc, by, bad, gone, lines = found.groups()
    if request is not None:
        return Get(int(request), int(start), None if end == "-" else int(end), way)
    if put is not None:
        return Put(int(put), int(length), None if crc == "-" else int(crc, 16), int(by))
    return Bad(int(bad), int(gone)) if bad is not None else Synced(int(lines))
