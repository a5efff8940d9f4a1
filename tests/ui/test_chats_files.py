"""Chats into files and out of them, on paper, and what was sent along: all through the window."""

import base64
import json
from pathlib import Path

import pytest
from PySide6.QtCore import QBuffer, QIODevice, QUrl
from PySide6.QtGui import QColor, QImage, QTextDocument
from PySide6.QtWidgets import QDialog, QFileDialog, QLabel, QPlainTextEdit
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Chats, Shown
from whisper_desktop.app import App
from whisper_desktop.chat.importing import ImportReport
from whisper_desktop.chat.records import Attachment
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.importing import summary
from whisper_desktop.ui.chat.printing import page_of
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.ui.chat.window_attachment import read_image


@pytest.fixture
def window(app: App, bridge: Bridge, shown: Shown, qtbot: QtBot) -> ChatWindow:
    window = shown(ChatWindow(bridge, app))
    qtbot.waitUntil(lambda: window.conversation is not None, timeout=WAIT)
    return window


@pytest.fixture
def trip(window: ChatWindow, chats: Chats, qtbot: QtBot) -> str:
    """A conversation that is shown."""
    made = chats("Trip: Lisbon?", "By **train**?")
    window.open_chat(made)
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    return made


def choose(window: ChatWindow, qtbot: QtBot, file: Path) -> None:
    """Answer the dialog that asks for a file."""
    qtbot.waitUntil(lambda: bool(window.findChildren(QFileDialog)), timeout=WAIT)
    dialog = window.findChildren(QFileDialog)[-1]
    dialog.fileSelected.emit(str(file))
    dialog.done(int(QDialog.DialogCode.Accepted))


@pytest.mark.parametrize(
    ("kind", "wanted"), [("markdown", "By **train**?"), ("html", "<html"), ("json", '"By **train**?"')]
)
def test_a_chat_is_exported_where_the_person_says(
    kind: str, wanted: str, window: ChatWindow, trip: str, qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "chat.txt"
    window.header.chosen.emit("export", kind)
    choose(window, qtbot, file)
    qtbot.waitUntil(file.exists, timeout=WAIT)
    qtbot.waitUntil(lambda: window.notice.text == "The chat is in chat.txt.", timeout=WAIT)
    assert wanted in file.read_text("utf-8")


def test_a_place_that_cannot_be_written_is_told_in_words(
    window: ChatWindow, trip: str, qtbot: QtBot, tmp_path: Path
) -> None:
    for action, value in (("export", "markdown"), ("pdf", None)):
        window.notice.say("")
        window.header.chosen.emit(action, value)
        choose(window, qtbot, tmp_path / "no such folder" / "chat.txt")
        qtbot.waitUntil(lambda: "chat.txt" in window.notice.text, timeout=WAIT)
        assert "cannot be written" in window.notice.text


def test_what_was_exported_can_be_taken_in_again(
    window: ChatWindow, trip: str, app: App, chats: Chats, qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "chats.json"
    chats.do(app.chats.export([trip], "json", file))
    chats.do(app.chats.purge(trip))
    window.header.chosen.emit("import", None)
    choose(window, qtbot, file)
    qtbot.waitUntil(lambda: window.notice.text == "One chat was imported.", timeout=WAIT)
    assert [each.title for each in chats.do(app.chats.list())] == ["Trip: Lisbon?"]


def test_a_file_without_chats_is_told_in_words(window: ChatWindow, qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"nothing": "here"}), "utf-8")
    window.header.chosen.emit("import", None)
    choose(window, qtbot, file)
    qtbot.waitUntil(lambda: window.notice.text not in ("", "Reading the file…"), timeout=WAIT)
    assert "other.json" in window.notice.text


def test_an_import_is_told_in_one_line() -> None:
    assert summary(ImportReport("ChatGPT", 0, 0, already=3)) == "There is nothing new in this file."
    assert summary(ImportReport("ChatGPT", 2, 40)) == "2 chats were imported."
    assert summary(ImportReport("ChatGPT", 1, 9, grown=2)) == (
        "One chat was imported. 2 chats have new messages."
    )


def test_a_chat_becomes_a_pdf(window: ChatWindow, trip: str, qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "chat.pdf"
    window.header.chosen.emit("pdf", None)
    choose(window, qtbot, file)
    qtbot.waitUntil(lambda: window.notice.text == "The chat is in chat.pdf.", timeout=WAIT)
    assert file.read_bytes().startswith(b"%PDF-")


def png(side: int = 4) -> bytes:
    image = QImage(side, side, QImage.Format.Format_RGB32)
    image.fill(QColor("red"))
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]  # PySide's stub wants bytes
    return bytes(buffer.data().data())


def test_a_page_shows_only_pictures_that_are_in_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    page = page_of("<p>x</p>")
    image = QTextDocument.ResourceType.ImageResource.value
    inside = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    assert isinstance(page.resource(image, QUrl(inside)), QImage)
    for address in (secret.as_uri(), "http://127.0.0.1:1/x.png", "data:image/png;base64,@@@", "x.png"):
        assert not isinstance(page.resource(image, QUrl(address)), QImage)


def test_a_large_picture_is_read_no_larger_than_it_is_shown() -> None:
    assert read_image(png(400), 100).width() == 100
    assert read_image(b"no picture").isNull()


def sheet(window: ChatWindow, name: str, qtbot: QtBot) -> QDialog:
    """The window in which something that was sent along is shown."""

    def found() -> list[QDialog]:
        return [each for each in window.findChildren(QDialog) if each.windowTitle() == name]

    qtbot.waitUntil(lambda: bool(found()), timeout=WAIT)
    return found()[0]


def test_a_picture_that_was_sent_along_can_be_looked_at(
    window: ChatWindow, trip: str, app: App, chats: Chats, qtbot: QtBot
) -> None:
    picture = chats.do(app.chats.attach_bytes(png(), "red.png", "image/png"))
    window.view.action.emit(0, "open_attachment", picture)
    pictures = sheet(window, "red.png", qtbot).findChildren(QLabel)
    assert [each.pixmap().isNull() for each in pictures] == [False]


def test_of_a_text_that_was_sent_along_it_is_shown_what_the_model_reads(
    window: ChatWindow, trip: str, qtbot: QtBot
) -> None:
    notes = Attachment("x", "notes.txt", "text/plain", 5, "hello")
    window.view.action.emit(0, "open_attachment", notes)
    (shown,) = sheet(window, "notes.txt", qtbot).findChildren(QPlainTextEdit)
    assert (shown.toPlainText(), shown.isReadOnly()) == ("hello", True)


def test_a_file_and_a_picture_go_along_with_a_message(
    window: ChatWindow, app: App, qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("by train", "utf-8")
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    image.fill(QColor("red"))
    window.composer.attach([file, image])
    qtbot.waitUntil(lambda: len(window.composer.draft.attachments) == 2, timeout=WAIT)
    window.composer.editor.setPlainText("How?")
    window.composer.button.click()
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    sent = window.model.row(0).attachments
    assert {(each.is_image, each.text) for each in sent} == {(False, "by train"), (True, "")}


def test_a_file_that_cannot_be_sent_along_is_told_in_words(
    window: ChatWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    window.composer.attach([tmp_path / "missing.txt"])
    said = window.composer.findChildren(QLabel)
    qtbot.waitUntil(lambda: any("missing.txt" in each.text() for each in said), timeout=WAIT)
    assert window.composer.draft.attachments == ()
