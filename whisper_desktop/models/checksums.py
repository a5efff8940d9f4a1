"""SHA-256 of model files: worked out once for each state of a file, and stopped at any moment."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from whisper_desktop.models.shelf_cache import FileState, ShelfCache

_CHUNK = 4 * 2**20
_PROBE = 2**20


class Stopped(Exception):
    """The person gave up waiting."""


def sha256_of(
    path: Path,
    cache: ShelfCache,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> str:
    """The checksum of a file in hex, from the cache while the file is as it was. Blocks.

    `on_progress` is told the bytes read so far. Raises `OSError`, and `Stopped` once `stop` is set.
    """
    state = FileState.of(path)
    if known := cache.sha256(path, state):
        return known
    digest, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(_CHUNK)
        while count := file.readinto(buffer):
            if stop is not None and stop.is_set():
                raise Stopped
            digest.update(memoryview(buffer)[:count])
            done += count
            if on_progress is not None:
                on_progress(done)
    found = digest.hexdigest()
    if FileState.of(path).key == state.key:
        cache.tell_sha256(path, state, found)
    return found


def probe(path: Path) -> bytes:
    """A digest of a file's beginning, middle and end; where it differs, files differ. Raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size = path.stat().st_size
        for at in (0, max(0, size // 2), max(0, size - _PROBE)):
            file.seek(at)
            digest.update(file.read(_PROBE))
    return digest.digest()
