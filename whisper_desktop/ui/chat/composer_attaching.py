"""Reads what is to be attached, on the core's loop and off every loop; large pictures are made smaller."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt
from PySide6.QtGui import QImage

from whisper_desktop.chat.images import image_facts
from whisper_desktop.chat.records import Attachment
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.window_attachment import read_image

if TYPE_CHECKING:
    from whisper_desktop.app.chats import ChatHost

LONGEST_SIDE = 2048
"""Pixels. Models that see scale what is larger down themselves, and it would be sent with every question."""

THUMBNAIL = 128
"""Pixels: the longer side of the small picture."""

_JPEG_QUALITY = 90


async def attach(chats: "ChatHost", wanted: Path | QImage) -> tuple[Attachment, QImage | None]:
    """An attachment, and a small picture of it where it is one. Raises `WhisperError` in words."""
    if isinstance(wanted, QImage):
        name = tr("Pasted picture.png")
        data = await asyncio.to_thread(_encoded, wanted, "PNG")
        attachment = await chats.attach_bytes(data, name, "image/png")
        return attachment, await asyncio.to_thread(_within, wanted, THUMBNAIL)
    attachment = await chats.attach(wanted)
    if not attachment.is_image:
        return attachment, None
    data = await chats.data(attachment.id) or b""
    smaller, thumbnail = await asyncio.to_thread(_smaller, data, attachment.media_type)
    if smaller:
        attachment = await chats.attach_bytes(smaller, attachment.name)
    return attachment, thumbnail


async def thumbnail_of(chats: "ChatHost", attachment_id: str) -> QImage:
    """A small picture of an attachment that is kept; a null one where it is gone."""
    data = await chats.data(attachment_id)
    return QImage() if data is None else await asyncio.to_thread(read_image, data, THUMBNAIL)


def _smaller(data: bytes, media_type: str) -> tuple[bytes, QImage]:
    """The bytes of a smaller picture, b"" where it is small enough or cannot be decoded; a small picture."""
    facts, image = image_facts(data), read_image(data, LONGEST_SIDE)
    large = facts is not None and max(facts.width or 0, facts.height or 0) > LONGEST_SIDE
    photograph = media_type == "image/jpeg" and not image.hasAlphaChannel()
    smaller = _encoded(image, "JPEG" if photograph else "PNG") if large and not image.isNull() else b""
    return smaller, _within(image, THUMBNAIL)


def _encoded(image: QImage, kind: str) -> bytes:
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    _within(image, LONGEST_SIDE).save(buffer, kind, _JPEG_QUALITY if kind == "JPEG" else -1)  # type: ignore[call-overload]  # PySide's stub wants bytes
    buffer.close()
    return bytes(data.data())


def _within(image: QImage, longest: int) -> QImage:
    if max(image.width(), image.height()) <= longest:
        return image
    how = Qt.TransformationMode.SmoothTransformation
    return image.scaled(QSize(longest, longest), Qt.AspectRatioMode.KeepAspectRatio, how)
