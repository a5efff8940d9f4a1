"""Conversations into files: asks where, writes on the core's loop, says what was done."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QStandardPaths
from PySide6.QtWidgets import QFileDialog, QWidget

from whisper_desktop.language import mark, tr
from whisper_desktop.ui.chat.sidebar_actions import ChatActions

if TYPE_CHECKING:
    from collections.abc import Callable

    from whisper_desktop.app import App

_KINDS = {
    "markdown": (mark("Markdown"), "md"),
    "html": (mark("Web page"), "html"),
    "json": (mark("Chats of Whisper Desktop"), "json"),
    "pdf": (mark("PDF"), "pdf"),
}


def ask_where(parent: QWidget, title: str, kind: str, then: "Callable[[Path], None]") -> QFileDialog:
    """Ask for a place in the system's own dialog, without waiting for it; `then` is given the file."""
    from whisper_desktop.chat.exporting.files import file_name

    words, ending = _KINDS[kind]
    folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    dialog = QFileDialog(parent, tr("Export this chat"), folder, f"{tr(words)} (*.{ending})")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(ending)
    dialog.selectFile(file_name(title, f".{ending}"))
    dialog.fileSelected.connect(lambda file: then(Path(file)))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def export(
    parent: QWidget, app: "App", actions: ChatActions, conversation_id: str, title: str, kind: str
) -> QFileDialog:
    """Export one conversation as "markdown", "html" or "json", wherever the person says."""

    def write(file: Path) -> None:
        told = partial(_told, actions, file)
        actions.do(app.chats.export([conversation_id], kind, file), told)

    return ask_where(parent, title, kind, write)


def _told(actions: ChatActions, file: Path, _result: object) -> None:
    actions.say(tr("The chat is in {file}.", file=file.name))
