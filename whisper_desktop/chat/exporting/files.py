"""Export files: one for one conversation, an archive for several, and never half of one."""

import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from whisper_desktop.chat.exporting.document import export_json
from whisper_desktop.chat.exporting.html import export_html
from whisper_desktop.chat.exporting.kept import Kept, title_of
from whisper_desktop.chat.exporting.markdown import export_markdown
from whisper_desktop.chat.files import FileError, shown_name
from whisper_desktop.language import tr

_LONGEST_NAME = 80  # characters: at four bytes each it also fits where a name may have 255 bytes with its end
_FORBIDDEN = dict.fromkeys(map(ord, '<>:"/\\|?*'), "-")
_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{name}{number}" for name in ("com", "lpt") for number in range(10)),
}


class ExportFormat(StrEnum):
    """What a conversation can be written as."""

    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"

    @property
    def ending(self) -> str:
        """How its files end."""
        return {"markdown": ".md", "json": ".json", "html": ".html"}[self.value]


def file_name(title: str, ending: str) -> str:
    """A name for a conversation's file that every system takes."""
    name = "".join(letter for letter in title.translate(_FORBIDDEN) if letter.isprintable())
    name = name.encode("utf-8", "ignore").decode()  # half a character has no bytes
    name = " ".join(name.split())[:_LONGEST_NAME].strip(" .-")
    while len(name.encode()) > 230 - len(ending):
        name = name[:-1]
    if not name or name.partition(".")[0].lower() in _DEVICES:
        name = f"chat {name}".strip()
    return name + ending


def write(kept: Sequence[Kept], format: ExportFormat, file: Path) -> None:  # noqa: A002
    """Write conversations into a file (blocks: call it in a thread); what was there before is replaced.

    JSON holds all of them in one document; of the others, several become an archive (.zip) of one file each.
    Raises `FileError` in words; then the old file is still there, or none.
    """
    replace_file(file, exported(kept, format))


def exported(kept: Sequence[Kept], format: ExportFormat) -> bytes:  # noqa: A002
    """What `write` writes."""
    if format is ExportFormat.JSON:
        return _bytes(export_json(kept))
    as_text = export_markdown if format is ExportFormat.MARKDOWN else export_html
    if len(kept) == 1:
        return _bytes(as_text(kept[0]))
    packed, taken = io.BytesIO(), set[str]()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in kept:
            archive.writestr(_free(title_of(each.conversation), format.ending, taken), _bytes(as_text(each)))
    return packed.getvalue()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _free(title: str, ending: str, taken: set[str]) -> str:
    """A name that no other file of the archive has, also where capital letters are the same as small ones."""
    name, number = file_name(title, ending), 1
    while name.casefold() in taken:
        number += 1
        name = f"{file_name(title, '')} ({number}){ending}"
    taken.add(name.casefold())
    return name


def replace_file(file: Path, data: bytes) -> None:
    """Write a file as a whole: whatever happens, there is the old one or the new one. Raises `FileError`."""
    target = Path(os.path.realpath(file))
    fresh: Path | None = None
    try:
        # A name of its own, and for its owner alone: others, and other exports, may write into this folder.
        descriptor, name = tempfile.mkstemp(".new", ".whisper-desktop-", target.parent)
        fresh = Path(name)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
        os.replace(fresh, target)
    except OSError as error:
        raise FileError(
            tr("{name} cannot be written.", name=shown_name(file)),
            tr("The system says: {reason}.", reason=error.strerror or type(error).__name__),
            tr("Choose another folder, or make room there."),
        ) from None
    finally:
        if fresh is not None:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
