"""A conversation on paper, or in a PDF file: the same page as its HTML export, laid out by Qt."""

import asyncio
import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QIODevice, QMarginsF, Qt, QUrl
from PySide6.QtGui import QFont, QImage, QPagedPaintDevice, QPageLayout, QPageSize, QPdfWriter, QTextDocument
from PySide6.QtWidgets import QWidget

from whisper_desktop.chat import Session
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.exporting import ask_where
from whisper_desktop.ui.chat.sidebar_actions import ChatActions

if TYPE_CHECKING:
    from whisper_desktop.app import App

_MARGIN = 18.0  # mm
_POINTS = 10.5
_WIDEST = 460  # px: of a picture on a page


class _Page(QTextDocument):
    """Shows pictures that are in the page itself, and fetches nothing: a model wrote some of it."""

    def loadResource(self, type: int, name: QUrl | str) -> object:  # noqa: A002, N802
        address = name.toString() if isinstance(name, QUrl) else name
        head, _, data = address.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            return None
        try:
            image = QImage.fromData(base64.b64decode(data, validate=True))
        except (binascii.Error, ValueError):
            return None
        return image.scaledToWidth(_WIDEST) if image.width() > _WIDEST else image


def page_of(html: str) -> QTextDocument:
    """A page that can be printed, black on white whatever the screen looks like."""
    page = _Page()
    font = QFont(page.defaultFont())
    font.setPointSizeF(_POINTS)
    page.setDefaultFont(font)
    page.setHtml(html)
    return page


def put_on(device: QPagedPaintDevice, html: str) -> None:
    """Lay the page out for a device and write it there."""
    device.setPageMargins(QMarginsF(_MARGIN, _MARGIN, _MARGIN, _MARGIN), QPageLayout.Unit.Millimeter)
    page_of(html).print_(device)


async def html_of(app: "App", session: Session) -> str:
    """On the core's loop: the path that is shown as a page, with its pictures."""
    from whisper_desktop.chat.exporting import Kept, export_html

    data = {}
    for node in session.path:
        for attachment in node.attachments:
            if attachment.is_image and (content := await app.chats.data(attachment.id)) is not None:
                data[attachment.id] = content
    kept = Kept(session.conversation, tuple(session.nodes.values()), data)
    return await asyncio.to_thread(export_html, kept)


async def _write_pdf(app: "App", session: Session, file: Path) -> None:
    html = await html_of(app, session)
    await asyncio.to_thread(_write, html, session.conversation.title, file)


def _write(html: str, title: str, file: Path) -> None:
    """In a thread. Raises `FileError` in words."""
    from whisper_desktop.chat.exporting.files import replace_file

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setTitle(title)
    writer.setPageSize(QPageSize(QPageSize.PageSizeId.A4))
    put_on(writer, html)
    del writer  # its end is what completes the file
    replace_file(file, bytes(buffer.data().data()))


def save_pdf(parent: QWidget, app: "App", actions: ChatActions, session: Session) -> None:
    """Ask where, and write the conversation there as PDF."""

    def write(file: Path) -> None:
        words = tr("The chat is in {file}.", file=file.name)
        actions.do(_write_pdf(app, session, file), lambda _done: actions.say(words))

    ask_where(parent, session.conversation.title, "pdf", write)


def print_chat(parent: QWidget, app: "App", actions: ChatActions, session: Session) -> None:
    """Ask for a printer, and print the conversation there."""
    actions.do(html_of(app, session), lambda html: _ask_for_printer(parent, html, session.conversation.title))


def _ask_for_printer(parent: QWidget, html: str, title: str) -> None:
    from PySide6.QtPrintSupport import QPrintDialog, QPrinter  # late: few people print

    printer = QPrinter(QPrinter.PrinterMode.HighResolution)
    printer.setDocName(title)
    dialog = QPrintDialog(printer, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowModality(Qt.WindowModality.WindowModal)
    dialog.accepted.connect(lambda: put_on(printer, html))
    dialog.show()
