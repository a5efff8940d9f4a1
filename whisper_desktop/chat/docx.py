"""The text of a Word document (.docx: ECMA-376, an archive with XML in it). It is untrusted, and bounded."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

_BODY = "word/document.xml"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LARGEST_BODY = 60_000_000  # bytes of XML, unpacked: a book of a thousand pages has a tenth


def docx_text(data: bytes, most: int) -> str:
    """Its text, at most `most` characters of it; "" for what is no Word document."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_BODY) as body:
            xml = body.read(_LARGEST_BODY)  # what is cut off here is no XML any more
        # Word writes no document type; with one, a few lines can unfold to gigabytes.
        if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
            return ""
        return "".join(_pieces(xml)).strip()[:most]
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error):
        return ""  # no archive, another one, locked, or broken
    except (ElementTree.ParseError, ValueError):
        return ""


def _pieces(xml: bytes) -> Iterator[str]:
    for _event, element in ElementTree.iterparse(io.BytesIO(xml)):
        if element.tag == f"{_W}t":
            yield element.text or ""
        elif element.tag == f"{_W}tab":
            yield "\t"
        elif element.tag in (f"{_W}br", f"{_W}p", f"{_W}cr"):
            yield "\n"
        elif element.tag == f"{_W}tc":
            yield "\t"
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            element.clear()
