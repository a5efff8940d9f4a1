"""The notes of files that are whole: should the disk damage one later, only its damaged pieces are fetched.

They lie in a folder of their own, named by the checksum of the file; the newest are kept. All of it blocks.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

_MOST = 64  # Each of less than 1 MB, as a rule.


def keep_note(note: Path, folder: Path, sha256: str) -> None:
    """Keep a copy of this journal. Where the disk does not take it, there is none."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        coming = folder / f"{sha256}.new"
        shutil.copyfile(note, coming)
        os.replace(coming, kept_note(folder, sha256))
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-_MOST]:
            old.unlink()


def kept_note(folder: Path, sha256: str) -> Path:
    """Where the note of the file with this checksum is, if it was kept."""
    return folder / sha256
