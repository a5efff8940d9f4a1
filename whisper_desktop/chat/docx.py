"""The text of a Word document (.docx: ECMA-376, an archive with XML in it). It is untrusted, and bounded."""

import io
import lzma
import zipfile
import zlib
from xml.etree import ElementTree

_BODY = "word/document.xml"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LARGEST_BODY = 60_000_000  # bytes of XML, unpacked: a book of a thousand pages has a tenth
_AFTER = {f"{_W}tab": "\t", f"{_W}tc": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}p": "\n"}


def docx_text(data: bytes, most: int) -> str:
    """Its text, at most `most` characters of it; "" for what is no Word document."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_BODY) as body:
            xml = body.read(_LARGEST_BODY)  # what is cut off here is no XML any more
        parser = ElementTree.XMLParser(target=_Words())
        parser.feed(xml)
        return str(parser.close())[:most]
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError):
        return ""  # no archive, another one, locked, or broken
    except (zlib.error, lzma.LZMAError, ElementTree.ParseError, ValueError):
        return ""


class _Words:
    """Takes the words as the parser meets them: no tree is built, which can be thirty times the XML."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._in_text = False

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        """Word writes no document type; with one, a few lines can unfold to gigabytes."""
        raise ValueError

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._in_text = tag == f"{_W}t"

    def data(self, text: str) -> None:
        if self._in_text:
            self._pieces.append(text)

    def end(self, tag: str) -> None:
        self._in_text = False
        if after := _AFTER.get(tag):
            self._pieces.append(after)

    def close(self) -> str:
        return "".join(self._pieces).strip()
