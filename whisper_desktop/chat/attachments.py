"""Files and pasted bytes as attachments: recognised by what is in them, bounded, refused in words.

What a file is called does not decide what it is; only among texts does it say which language to name.
"""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

from whisper_desktop.chat.docx import docx_text
from whisper_desktop.chat.files import FileError, clean_text, read_file, shown_name, shown_size
from whisper_desktop.chat.images import ImageFacts, image_facts
from whisper_desktop.chat.pdf_text import SECONDS, pdf_text
from whisper_desktop.chat.records import Attachment
from whisper_desktop.language import mark, tr

LARGEST_TEXT = 4_000_000
LARGEST_IMAGE = 20_000_000
LARGEST_DOCUMENT = 50_000_000
MOST_PIXELS = 2**26
"""Decoded for the screen, each takes four bytes: 256 MiB together, which is also the most that Qt decodes."""

_PDF = "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_TEXT_TYPES = {
    ".csv": "text/csv",
    ".css": "text/css",
    ".htm": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".svg": "application/xml",  # its text goes to the model, so that it is no image here
    ".tsv": "text/tab-separated-values",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_KNOWN = (
    # first bytes, from where, what it is, what to do
    (b"II*\0", 0, mark("It is a TIFF image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"MM\0*", 0, mark("It is a TIFF image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"BM", 0, mark("It is a BMP image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"ftyphei", 4, mark("It is a HEIC image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"ftypmif1", 4, mark("It is a HEIC image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"ftypavif", 4, mark("It is an AVIF image."), mark("Save it as PNG or JPEG, and attach that.")),
    (b"ftyp", 4, mark("It is a video or a sound."), mark("Attach pictures from it, or a text about it.")),
    (b"ID3", 0, mark("It is a sound."), mark("Attach a text of what is said.")),
    (b"OggS", 0, mark("It is a video or a sound."), mark("Attach pictures from it, or a text about it.")),
    (b"RIFF", 0, mark("It is a video or a sound."), mark("Attach pictures from it, or a text about it.")),
    (
        b"\x1aE\xdf\xa3",
        0,
        mark("It is a video or a sound."),
        mark("Attach pictures from it, or a text about it."),
    ),
    (
        b"PK\x03\x04",
        0,
        mark("It is an archive or an office document."),
        mark("Unpack it, or save the document as PDF or text, and attach that."),
    ),
    (b"\x1f\x8b", 0, mark("It is an archive."), mark("Unpack it, and attach the files in it.")),
    (b"7z\xbc\xaf", 0, mark("It is an archive."), mark("Unpack it, and attach the files in it.")),
    (b"Rar!", 0, mark("It is an archive."), mark("Unpack it, and attach the files in it.")),
    (
        b"\xd0\xcf\x11\xe0",
        0,
        mark("It is an old office document."),
        mark("Save it as PDF or text, and attach that."),
    ),
    (b"GGUF", 0, mark("It is a model."), mark("Add it in the Models window.")),
    (
        b"SQLite format 3\0",
        0,
        mark("It is a database."),
        mark("Export the part you need as CSV, and attach that."),
    ),
    (b"\x7fELF", 0, mark("It is a program."), mark("Attach a text, an image or a PDF.")),
    (b"MZ", 0, mark("It is a program."), mark("Attach a text, an image or a PDF.")),
)


async def read_attachment(path: Path, *, seconds: float = SECONDS) -> tuple[Attachment, bytes]:
    """Read a file to send along: an image, a text, a PDF or a Word document.

    `seconds` is the most that reading a PDF may take. Raises `FileError` in words for a file that cannot be
    read, is too large, or is nothing that a model reads.
    """
    words = tr("Attach a smaller file, or the part of it that you need.")
    data = await asyncio.to_thread(read_file, path, LARGEST_DOCUMENT, words)
    return await attachment_of(data, shown_name(path), seconds=seconds)


async def attachment_of(
    data: bytes, name: str, media_type: str = "", *, seconds: float = SECONDS
) -> tuple[Attachment, bytes]:
    """The same for bytes that are here already, such as an image from the clipboard.

    `media_type` is what whoever gave them says; it decides only how a text is named.
    """
    attachment = await asyncio.to_thread(_recognised, data, shown_name(name), media_type)
    if attachment.media_type == _PDF:
        read = await pdf_text(data, attachment.name, seconds=seconds)
        attachment = replace(attachment, text=read.text, note=read.note)
    return attachment, data


def _recognised(data: bytes, name: str, media_type: str) -> Attachment:
    """The attachment that some bytes are; that of a PDF still without its text."""
    if not data:
        raise FileError(tr("{name} is empty.", name=name), "", tr("Choose a file with something in it."))
    if (image := image_facts(data)) is not None:
        _check_image(image, data, name)
        return _attachment(data, name, image.media_type)
    if b"%PDF-" in data[:1024]:
        _check_size(data, name, LARGEST_DOCUMENT)
        return _attachment(data, name, _PDF)
    if data.startswith(b"PK\x03\x04") and (found := docx_text(data, LARGEST_TEXT)):
        return _attachment(data, name, _DOCX, found)
    text, note = _text_of(data, name)
    said = media_type.partition(";")[0].strip().lower()
    of_name = _TEXT_TYPES.get(Path(name).suffix.lower(), "text/plain")
    return _attachment(data, name, said if said.startswith("text/") else of_name, text, note)


def _attachment(data: bytes, name: str, media_type: str, text: str = "", note: str = "") -> Attachment:
    return Attachment(hashlib.sha256(data).hexdigest(), name, media_type, len(data), text, note)


def _check_image(image: ImageFacts, data: bytes, name: str) -> None:
    _check_size(data, name, LARGEST_IMAGE)
    if image.pixels is None:
        raise FileError(
            tr("{name} is a damaged image.", name=name),
            tr("It does not say how large it is."),
            tr("Open it in an image program, save it again, and attach that."),
        )
    if image.pixels > MOST_PIXELS:
        raise FileError(
            tr("{name} has too many pixels.", name=name),
            tr(
                "It is {width} × {height}; up to {most} million are read.",
                width=image.width,
                height=image.height,
                most=MOST_PIXELS // 10**6,
            ),
            tr("Make it smaller in an image program, and attach that."),
        )


def _check_size(data: bytes, name: str, most: int) -> None:
    if len(data) > most:
        raise FileError(
            tr("{name} is larger than {limit}.", name=name, limit=shown_size(most)),
            "",
            tr("Attach a smaller file, or the part of it that you need."),
        )


def _text_of(data: bytes, name: str) -> tuple[str, str]:
    """A text file's text, and a sentence where its encoding had to be guessed."""
    for first, place, what, then in _KNOWN:
        if data.startswith(first, place) and (b"\0" in data[:4096] or len(first) > 2):
            raise _no_text(name, tr(what), tr(then))
    _check_size(data, name, LARGEST_TEXT)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text, note = data.decode("utf-16", "replace"), ""
    else:
        try:
            text, note = data.decode("utf-8-sig"), ""
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
            note = tr("Its encoding was guessed (Western European), so some letters may be wrong.")
    # A text has no control characters but those that lay it out; bytes of anything else are full of them.
    odd = sum(text.count(chr(code)) for code in (*range(9), *range(14, 27), *range(28, 32)))
    if odd * 100 > len(text) or "\0" in text:
        raise _no_text(name, tr("What is in it is not text."), tr("Attach a text, an image or a PDF."))
    if not text.strip():
        raise FileError(tr("{name} is empty.", name=name), "", tr("Choose a file with something in it."))
    return clean_text(text.replace("\r\n", "\n").replace("\r", "\n")), note


def _no_text(name: str, why: str, then: str) -> FileError:
    return FileError(tr("{name} cannot be read by a model.", name=name), why, then)
