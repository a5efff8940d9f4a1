"""What llama-servers have told of themselves, kept between runs: no start of the app waits for it again.

Only what cannot change unseen is kept. A small file may be a script or a launcher, and a link may lead to one
with another name (as those of snap do): these run programs that are exchanged while they stay the same.
"""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.paths import cache_dir

Mark = tuple[str, int, int, int]
"""One version of a file: its path, its size in bytes, and when its contents and anything of it changed."""

_FILE = "llama-servers.json"
_LIMIT = 1_000_000
_MOST = 8
_LAUNCHERS_SIZE = 1_000_000
"""Bytes. What only starts another program is far smaller; a llama-server without libraries has 15 MB."""


@dataclass(frozen=True, slots=True)
class Binary:
    """What a llama-server says of itself. `flags` are those that its help lists, with and without values."""

    version: str
    flags: frozenset[str]


def mark_of(binary: Path) -> Mark:
    """Tells this version of the file from all others. Raises `OSError`."""
    stat = binary.stat()
    # The change time too: files from an archive keep their time of modification, whatever they replace.
    return str(binary), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def recall(mark: Mark) -> Binary | None:
    """What this very file has told, in this run of the app or an earlier one. It may block on the disk."""
    return _entries().get(mark)


def remember(mark: Mark, told: Binary) -> None:
    """Keep it for the next time. What cannot be written is asked again then. It may block on the disk."""
    if mark[1] < _LAUNCHERS_SIZE or os.path.basename(os.path.realpath(mark[0])) != os.path.basename(mark[0]):
        return
    others = [(each, kept) for each, kept in _entries().items() if each[0] != mark[0]]
    listed = [
        {"mark": each, "version": kept.version, "flags": sorted(kept.flags)}
        for each, kept in [(mark, told), *others][:_MOST]
    ]
    with suppress(OSError, SettingsError):
        path = cache_dir() / _FILE
        fresh = path.with_name(f".{_FILE}-{secrets.token_hex(4)}")
        try:
            fresh.write_text(json.dumps(listed), encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _entries() -> dict[Mark, Binary]:
    """All that is kept, the newest first; nothing where the file is not ours any more."""
    found: dict[Mark, Binary] = {}
    with suppress(OSError, SettingsError, ValueError, KeyError, TypeError, RecursionError):
        with (cache_dir() / _FILE).open("rb") as file:
            listed = json.loads(file.read(_LIMIT))
        for entry in listed:
            path, size, written, changed = entry["mark"]
            flags = frozenset(str(flag) for flag in entry["flags"])
            found[str(path), int(size), int(written), int(changed)] = Binary(str(entry["version"]), flags)
    return found
