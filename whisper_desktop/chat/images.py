"""Which image some bytes are, and how large it is, from its first bytes: nothing is decoded."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """A kind of image that models and windows take. `pixels` is None where its header does not say."""

    media_type: str
    width: int | None = None
    height: int | None = None

    @property
    def pixels(self) -> int | None:
        return None if self.width is None or self.height is None else self.width * self.height


def image_facts(data: bytes) -> ImageFacts | None:
    """What image this is: PNG, JPEG, WebP or GIF; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _facts("image/png", _png(data))
    if data.startswith(b"\xff\xd8\xff"):
        return _facts("image/jpeg", _jpeg(data))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _facts("image/gif", struct.unpack_from("<HH", data, 6) if len(data) >= 10 else None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _facts("image/webp", _webp(data))
    return None


def _facts(media_type: str, size: tuple[int, int] | None) -> ImageFacts:
    return ImageFacts(media_type, *size) if size is not None and all(size) else ImageFacts(media_type)


def _png(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The size stands in the frame's header (SOF0 to SOF15, without DHT, JPG and DAC): ITU-T T.81, B.2.2."""
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length
            place += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker in (0xD9, 0xDA):
            return None
        place += 2 + max(2, struct.unpack_from(">H", data, place + 2)[0])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """RFC 9649, sections 2.5 (VP8), 2.6 (VP8L) and 2.7 (VP8X)."""
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
