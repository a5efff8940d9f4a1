"""What a download is to bring: what is known of the file before anybody is asked, and what that rules out."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.errors import TransferError
from whisper_desktop.values import GB
from whisper_desktop.wire.download_answers import TRY_AGAIN, Failure
from whisper_desktop.wire.part_file import PartFile

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`sha256` is "" and `size` None where they are not known; no more than `limit` bytes are taken."""

    name: str
    sha256: str
    size: int | None
    limit: int

    def check(self, urls: Sequence[str]) -> None:
        """Raises `TransferError` for what cannot succeed."""
        if not urls:
            raise self.failed("No address is known that has it.", "Check the mirrors in the settings.")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise self.failed("The checksum that was announced for it is none.", TRY_AGAIN)
        if self.size is not None and self.size > self.limit:
            raise self.failed(*self._too_large(self.size))

    def check_size(self, total: int | None) -> None:
        """Raises `Failure` where a server offers a file of this size and that cannot be the one."""
        if self.size is not None and self.size != total:
            raise Failure(f"It should have {self.size} bytes, but {total} are offered.", TRY_AGAIN)
        if total is not None and total > self.limit:
            raise Failure(*self._too_large(total))

    def check_room(self, total: int | None, part: PartFile) -> None:
        """Raises `TransferError` where the disk has no room for the rest. Blocks."""
        if total is None:
            return
        missing, free = total - part.size, shutil.disk_usage(part.target.parent).free
        if missing > free:
            short = f"{size_words(missing)} are needed, {size_words(free)} are free."
            raise self.failed(
                f"The disk has no room for it: {short}",
                f"Free at least {size_words(missing - free)} and try again.",
            )

    def failed(self, why: str, next_step: str) -> TransferError:
        """The error for a person."""
        return TransferError(f"{self.name} could not be downloaded.", why, next_step)

    def _too_large(self, total: int) -> tuple[str, str]:
        return (
            f"It has {size_words(total)}, and no more than {size_words(self.limit)} are expected.",
            "Whoever offers the file has changed it. Check its page before you go on.",
        )


def size_words(count: int) -> str:
    """A number of bytes, for a person."""
    if count < 10**6:
        return f"{count} bytes"
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / 10**6:.0f} MB"
