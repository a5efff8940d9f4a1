"""Rows read from the pages of a damaged SQLite file, without SQLite, which stops at the first bad page.

Every page that looks like a leaf of a table is read, wherever the tree above it has gone. Pages that were
written to the log (-wal) and not yet to the file come from there. Format: https://www.sqlite.org/fileformat2.html
"""

import struct
from collections.abc import Iterator
from pathlib import Path

Value = int | float | str | bytes | None

_LEAF = 0x0D
_USUAL_PAGE = 4096
_MOST_COLUMNS = 64
_WAL_HEADER, _FRAME_HEADER = 32, 24


class Pages:
    """The pages of a file, the newest of each that was committed. Close it with `with`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._bytes = path.stat().st_size
        header = self._file.read(100)
        said = int.from_bytes(header[16:18], "big") if header.startswith(b"SQLite format 3\0") else 0
        size = 65536 if said == 1 else said
        self.size = size if size >= 512 and size & (size - 1) == 0 else _USUAL_PAGE
        self._logged = _logged(path.with_name(path.name + "-wal"), self.size)

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def rows(self) -> Iterator[tuple[int, tuple[Value, ...]]]:
        """Every row of every table, with its rowid, in no order. What cannot be read is left out."""
        count = max(-(-self._bytes // self.size), max(self._logged, default=0))
        for number in range(1, count + 1):
            page = self._page(number)
            start = 100 if number == 1 else 0
            if len(page) < start + 8 or page[start] != _LEAF:
                continue
            cells = int.from_bytes(page[start + 3 : start + 5], "big")
            for cell in range(min(cells, self.size // 4)):
                place = int.from_bytes(page[start + 8 + 2 * cell : start + 10 + 2 * cell], "big")
                row = self._row(page, place) if 0 < place < len(page) else None
                if row is not None:
                    yield row

    def _page(self, number: int) -> bytes:
        if number in self._logged:
            return self._logged[number]
        self._file.seek((number - 1) * self.size)
        return self._file.read(self.size)

    def _row(self, page: bytes, place: int) -> tuple[int, tuple[Value, ...]] | None:
        try:
            length, place = _varint(page, place)
            rowid, place = _varint(page, place)
            if length > self._bytes + len(self._logged) * self.size:
                return None
            return rowid, _record(self._payload(page, place, length))
        except (IndexError, struct.error, ValueError):
            return None

    def _payload(self, page: bytes, place: int, length: int) -> bytes:
        """What a cell holds, as far as it is there."""
        most = self.size - 35
        if length <= most:
            return page[place : place + length]
        least = (self.size - 12) * 32 // 255 - 23
        here = least + (length - least) % (self.size - 4)
        here = here if here <= most else least
        found = bytearray(page[place : place + here])
        following = int.from_bytes(page[place + here : place + here + 4], "big")
        while following and len(found) < length:
            page = self._page(following)
            found += page[4 : 4 + length - len(found)]
            following = int.from_bytes(page[:4], "big") if len(page) > 4 else 0
        return bytes(found)


def _logged(wal: Path, size: int) -> dict[int, bytes]:
    """The pages in the log, up to its last commit."""
    if not wal.is_file():
        return {}
    pages: dict[int, bytes] = {}
    begun: dict[int, bytes] = {}
    with wal.open("rb") as file:
        header = file.read(_WAL_HEADER)
        while len(frame := file.read(_FRAME_HEADER + size)) == _FRAME_HEADER + size:
            if frame[8:16] != header[16:24]:  # of a time before the log was begun anew
                break
            number, pages_after_commit = struct.unpack(">II", frame[:8])
            begun[number] = frame[_FRAME_HEADER:]
            if pages_after_commit:
                pages |= begun
                begun = {}
    return pages


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = data[place + count]
        if count == 8:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return (value - (1 << 64) if value >= 1 << 63 else value), place + count + 1


_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _record(payload: bytes) -> tuple[Value, ...]:
    """The columns of a record. What is missing at its end is missing in its last columns."""
    body, place = _varint(payload, 0)
    kinds = []
    while place < body:
        kind, place = _varint(payload, place)
        kinds.append(kind)
        if len(kinds) > _MOST_COLUMNS:
            raise ValueError
    values: list[Value] = []
    for kind in kinds:
        value, length = _value(payload, place, kind)
        values.append(value)
        place += length
    return tuple(values)


def _value(payload: bytes, place: int, kind: int) -> tuple[Value, int]:
    if kind in _INTEGERS:
        length = _INTEGERS[kind]
        return int.from_bytes(payload[place : place + length], "big", signed=True), length
    if kind == 7:
        return struct.unpack(">d", payload[place : place + 8])[0], 8
    if kind < 10:
        return (None, 0, 1)[kind - 7 if kind > 7 else 0], 0
    if kind < 12:
        raise ValueError
    length = (kind - 12) // 2
    data = payload[place : place + length]
    return (data.decode("utf-8", "replace") if kind % 2 else data), length
