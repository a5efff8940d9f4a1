"""What a download is to bring: what is known of the file before anybody is asked, and what that rules out."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from whisper_desktop.errors import TransferError
from whisper_desktop.language import gigabytes, tr
from whisper_desktop.values import GB
from whisper_desktop.wire.download_answers import Failure, try_again
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
            raise self.failed(
                tr("No address is known that has it."), tr("Check the mirrors in the settings.")
            )
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise self.failed(tr("The checksum that was announced for it is none."), try_again())
        if self.size is not None and self.size > self.limit:
            raise self.failed(*self._too_large(self.size))

    def check_size(self, total: int | None) -> None:
        """Raises `Failure` where a server offers a file of this size and that cannot be the one."""
        if self.size is not None and self.size != total:
            raise Failure(
                tr("It should have {size} bytes, but {total} are offered.", size=self.size, total=total),
                try_again(),
            )
        if total is not None and total > self.limit:
            raise Failure(*self._too_large(total))

    def check_room(self, total: int | None, part: PartFile) -> None:
        """Raises `TransferError` where the disk has no room for the rest. Blocks."""
        if total is None:
            return
        missing, free = total - part.size, shutil.disk_usage(part.target.parent).free
        if missing > free:
            short = tr(
                "{size_words} are needed, {size_words2} are free.",
                size_words=size_words(missing),
                size_words2=size_words(free),
            )
            raise self.failed(
                tr("The disk has no room for it: {short}", short=short),
                tr("Free at least {size_words} and try again.", size_words=size_words(missing - free)),
            )

    def failed(self, why: str, next_step: str) -> TransferError:
        """The error for a person."""
        return TransferError(tr("{self_name} could not be downloaded.", self_name=self.name), why, next_step)

    def _too_large(self, total: int) -> tuple[str, str]:
        return (
            tr(
                "It has {size_words}, and no more than {size_words2} are expected.",
                size_words=size_words(total),
                size_words2=size_words(self.limit),
            ),
            tr("Whoever offers the file has changed it. Check its page before you go on."),
        )


def size_words(count: int) -> str:
    """A number of bytes, for a person."""
    if count < 10**6:
        return tr("{count} bytes", count=count)
    return gigabytes(count) if count >= GB else tr("{size:.0f} MB", size=count / 10**6)
