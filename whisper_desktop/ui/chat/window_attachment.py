"""What was sent along with a message, to look at: a picture, or the text that the model reads.

It is shown inside the app and never handed to another program: an imported file is anybody's.
"""

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt
from PySide6.QtGui import QImage, QImageReader, QPixmap
from PySide6.QtWidgets import QDialog, QLabel, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from whisper_desktop.chat.records import Attachment
from whisper_desktop.language import tr

if TYPE_CHECKING:
    from whisper_desktop.app.chats import ChatHost

_MOST_SHOWN = 1600  # px: the longer side of a picture as it is shown
_MOST_TEXT = 500_000  # characters


def read_image(data: bytes, longest: int = _MOST_SHOWN) -> QImage:
    """A picture, no larger than it can be shown; a null one where the bytes are none. For any thread."""
    buffer = QBuffer()
    buffer.setData(QByteArray(data))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(buffer)
    reader.setAutoTransform(True)
    size = reader.size()
    if size.isValid() and max(size.width(), size.height()) > longest:
        reader.setScaledSize(size.scaled(QSize(longest, longest), Qt.AspectRatioMode.KeepAspectRatio))
    return reader.read()


class AttachmentSheet(QDialog):
    """A window with one attachment in it, gone with Esc. `image` None: its text is shown."""

    def __init__(self, attachment: Attachment, image: QImage | None, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(attachment.name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._text(attachment) if image is None else self._picture(attachment, image))
        self.resize(QSize(720, 560).boundedTo(parent.size()))

    def _text(self, attachment: Attachment) -> QWidget:
        text = QPlainTextEdit(attachment.text[:_MOST_TEXT])
        text.setReadOnly(True)
        text.setAccessibleName(tr("What the model reads of {name}", name=attachment.name))
        return text

    def _picture(self, attachment: Attachment, image: QImage) -> QWidget:
        picture = QLabel()
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        if image.isNull():
            picture.setText(tr("This picture cannot be shown."))
        else:
            picture.setPixmap(QPixmap.fromImage(image))
        picture.setAccessibleName(attachment.name)
        scroll = QScrollArea()
        scroll.setWidget(picture)
        scroll.setWidgetResizable(True)
        scroll.setAccessibleName(attachment.name)
        return scroll


async def load_image(chats: "ChatHost", attachment_id: str, longest: int = _MOST_SHOWN) -> QImage:
    """On the core's loop: an attached picture; a null one where it is gone."""
    data = await chats.data(attachment_id)
    return QImage() if data is None else await asyncio.to_thread(read_image, data, longest)
