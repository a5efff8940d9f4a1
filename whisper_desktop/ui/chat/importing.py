"""Conversations out of files: exports of this app and of others."""

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from whisper_desktop.language import tr, trn
from whisper_desktop.ui.chat.sidebar_actions import ChatActions

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.chat.importing import ImportReport

_MOST_SAID = 12  # sentences about what was left out


def import_chats(parent: QWidget, app: "App", actions: ChatActions) -> QFileDialog:
    """Ask for a file and take in its conversations."""
    dialog = QFileDialog(parent, tr("Import chats"))
    dialog.setNameFilters([tr("Exports (*.json *.zip *.jsonl)"), tr("All files (*)")])
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)

    def take_in(file: str) -> None:
        actions.say(tr("Reading the file…"))
        actions.do(app.chats.import_file(Path(file)), lambda report: _tell(parent, actions, report))

    dialog.fileSelected.connect(take_in)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def _tell(parent: QWidget, actions: ChatActions, report: "ImportReport") -> None:
    words = summary(report)
    if report.skipped:
        actions.say(words, tr("What was left out"), lambda: _show_skipped(parent, words, report.skipped))
    else:
        actions.say(words)


def summary(report: "ImportReport") -> str:
    """What an import did, in one line."""
    if not report.conversations and not report.grown:
        return tr("There is nothing new in this file.")
    chats = trn("One chat was imported.", "{count} chats were imported.", report.conversations)
    grown = trn("One chat has new messages.", "{count} chats have new messages.", report.grown)
    if not report.grown:
        return chats
    return tr("{first} {second}", first=chats, second=grown) if report.conversations else grown


def _show_skipped(parent: QWidget, words: str, skipped: tuple[str, ...]) -> None:
    box = QMessageBox(QMessageBox.Icon.NoIcon, tr("Import chats"), words, parent=parent)
    said = list(skipped[:_MOST_SAID])
    if more := len(skipped) - len(said):
        said.append(trn("And one more.", "And {count} more.", more))
    box.setInformativeText("\n".join(said))
    box.finished.connect(box.deleteLater)
    box.open()
