"""The composer as a person uses it: keys, paste, drop, prompts, drafts; files are read by the real core."""

from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QColor, QDropEvent, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QListWidget, QPlainTextEdit
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Shown, Waiter
from whisper_desktop.app import App
from whisper_desktop.chat import Session
from whisper_desktop.chat.context import ContextUse
from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt
from whisper_desktop.chat.records import Attachment, Draft
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.composer import Composer
from whisper_desktop.ui.chat.composer_attaching import LONGEST_SIDE
from whisper_desktop.ui.chat.composer_desk import ComposerDesk
from whisper_desktop.ui.chat.prompts import asked_for, matching
from whisper_desktop.ui.window import AppWindow

NOTES = Attachment("a" * 64, "notes.txt", "text/plain", 2048, "some notes")
PICTURE = Attachment("b" * 64, "train.png", "image/png", 5_000_000)
PROMPTS = (
    Prompt("Explain", "Explain {{subject}} for {{reader}}.", "A subject in simple words."),
    Prompt("Greeting", "Good morning."),
    Prompt("Complain", "Write a complaint."),
)


@pytest.fixture
def composer(qtbot: QtBot) -> Composer:
    return on_screen(Composer(), qtbot)


def on_screen(composer: Composer, qtbot: QtBot) -> Composer:
    qtbot.addWidget(composer)
    composer.resize(600, 200)
    with qtbot.waitExposed(composer):
        composer.show()
    composer.editor.setFocus()
    return composer


@pytest.fixture
def window(app: App, bridge: Bridge, shown: Shown) -> AppWindow:
    """A window with nothing in it: what a composer's work belongs to."""
    return shown(AppWindow("chat", "", bridge))


@pytest.fixture
def served(composer: Composer, window: AppWindow, app: App, bridge: Bridge, wait: Waiter) -> Composer:
    """A composer with the real core behind it, at an empty conversation."""
    desk = ComposerDesk(bridge, app, window.spawn, composer)
    desk.follow(wait(bridge.run(app.chats.new())))
    return composer


def words(composer: Composer) -> str:
    """What is said above the field."""
    labels = [each for each in composer.findChildren(QLabel) if each.isVisible()]
    return " ".join(each.text() for each in labels if each.parent() is composer)


def image(width: int, height: int) -> QImage:
    made = QImage(width, height, QImage.Format.Format_RGB32)
    made.fill(QColor("teal"))
    return made


# --- writing and sending ------------------------------------------------------------------------------------


def test_enter_sends_and_shift_enter_begins_a_line(composer: Composer, qtbot: QtBot) -> None:
    QTest.keyClicks(composer.editor, "one")
    QTest.keyClick(composer.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(composer.editor, "two")
    with qtbot.waitSignal(composer.sent) as sent:
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    assert sent.args == ["one\ntwo", ()]
    assert composer.draft == Draft()


def test_what_is_attached_goes_along_and_may_go_alone(composer: Composer, qtbot: QtBot) -> None:
    composer.add_attachment(NOTES)
    with qtbot.waitSignal(composer.sent) as sent:
        QTest.mouseClick(composer.button, Qt.MouseButton.LeftButton)
    assert sent.args == ["", (NOTES,)]
    assert composer.attachments.shown == ()


def test_nothing_is_not_sent(composer: Composer, qtbot: QtBot) -> None:
    QTest.keyClicks(composer.editor, "   ")
    with qtbot.assertNotEmitted(composer.sent):
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    assert not composer.button.isEnabled()


def test_while_an_answer_comes_the_button_stops_it_and_enter_waits(composer: Composer, qtbot: QtBot) -> None:
    composer.set_busy(True)
    QTest.keyClicks(composer.editor, "later")
    with qtbot.assertNotEmitted(composer.sent):
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    with qtbot.waitSignal(composer.stop_requested):
        QTest.mouseClick(composer.button, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(composer.stop_requested):
        QTest.keyClick(composer.editor, Qt.Key.Key_Escape)
    assert composer.editor.toPlainText() == "later"


def test_the_field_grows_up_to_eight_lines_and_shrinks_again(composer: Composer) -> None:
    heights = []
    for count in (1, 3, 8, 9, 40, 1):
        composer.editor.setPlainText("\n".join(["line"] * count))
        heights.append(composer.editor.height())
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] == heights[3] == heights[4]
    assert heights[5] == heights[0]


def test_up_in_an_empty_field_asks_for_the_last_question(composer: Composer, qtbot: QtBot) -> None:
    with qtbot.waitSignal(composer.edit_last_wanted):
        QTest.keyClick(composer.editor, Qt.Key.Key_Up)
    QTest.keyClicks(composer.editor, "a")
    with qtbot.assertNotEmitted(composer.edit_last_wanted):
        QTest.keyClick(composer.editor, Qt.Key.Key_Up)
    composer.clear()
    composer.set_busy(True)
    with qtbot.assertNotEmitted(composer.edit_last_wanted):
        QTest.keyClick(composer.editor, Qt.Key.Key_Up)


def test_up_leaves_what_is_attached_where_it_is(composer: Composer, qtbot: QtBot) -> None:
    composer.add_attachment(NOTES)
    with qtbot.assertNotEmitted(composer.edit_last_wanted):
        QTest.keyClick(composer.editor, Qt.Key.Key_Up)


@pytest.mark.parametrize(
    ("before", "at", "after"),
    [
        ("", 0, "> two\n> lines\n"),
        ("first", 5, "first\n> two\n> lines\n"),
        ("first", 0, "> two\n> lines\n\nfirst"),
    ],
)
def test_a_quote_stands_at_the_cursor_on_lines_of_its_own(
    composer: Composer, before: str, at: int, after: str
) -> None:
    composer.editor.setPlainText(before)
    cursor = composer.editor.textCursor()
    cursor.setPosition(at)
    composer.editor.setTextCursor(cursor)
    composer.quote("two\nlines\n")
    assert composer.editor.toPlainText() == after


# --- drafts -------------------------------------------------------------------------------------------------


def test_a_draft_is_told_a_moment_after_the_last_change(composer: Composer, qtbot: QtBot) -> None:
    told: list[Draft] = []
    composer.draft_changed.connect(told.append)
    with qtbot.waitSignal(composer.draft_changed, timeout=WAIT):
        QTest.keyClicks(composer.editor, "a draft")
        composer.add_attachment(NOTES)
    assert told == [Draft("a draft", (NOTES,))]


def test_a_draft_comes_back_whole_with_the_cursor_at_its_end(composer: Composer, qtbot: QtBot) -> None:
    with qtbot.waitSignal(composer.image_wanted) as wanted:
        composer.set_draft(Draft("a draft", (NOTES, PICTURE)))
    assert wanted.args == [PICTURE.id]
    assert composer.draft == Draft("a draft", (NOTES, PICTURE))
    QTest.keyClicks(composer.editor, "!")
    assert composer.editor.toPlainText() == "a draft!"


def test_another_draft_takes_nothing_over(composer: Composer) -> None:
    composer.set_draft(Draft("first", (NOTES,)))
    composer.refuse("No.")
    composer.set_draft(Draft("second"))
    assert composer.draft == Draft("second")
    assert words(composer) == ""


# --- attachments --------------------------------------------------------------------------------------------


def test_a_file_that_is_dropped_is_read_and_copied_never_moved(
    served: Composer, tmp_path: Path, qtbot: QtBot
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("some notes")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier  # asks to move it
    actions = Qt.DropAction.MoveAction | Qt.DropAction.CopyAction
    drop = QDropEvent(QPointF(5, 5), actions, mime, buttons, keys)
    assert drop.dropAction() == Qt.DropAction.MoveAction
    served.editor.dropEvent(drop)
    assert drop.dropAction() == Qt.DropAction.CopyAction
    qtbot.waitUntil(lambda: bool(served.attachments.shown), timeout=WAIT)
    assert served.attachments.shown[0].text == "some notes"
    assert served.editor.toPlainText() == ""


def test_a_picture_that_is_pasted_is_attached_with_a_small_picture(
    served: Composer, app: App, qtbot: QtBot
) -> None:
    QApplication.clipboard().setImage(image(40, 30))
    served.editor.paste()
    qtbot.waitUntil(lambda: bool(served.attachments.shown), timeout=WAIT)
    (chip,) = served.attachments.chips
    assert chip.attachment.media_type == "image/png"
    assert chip.picture.pixmap().toImage().pixelColor(3, 3) == QColor("teal")


def test_what_is_text_as_well_is_pasted_as_text(served: Composer, qtbot: QtBot) -> None:
    mime = QMimeData()
    mime.setText("1\t2")
    mime.setImageData(image(4, 4))
    QApplication.clipboard().setMimeData(mime)
    served.editor.paste()
    assert served.editor.toPlainText() == "1\t2"
    assert served.attachments.shown == ()


@pytest.mark.parametrize(("kind", "name"), [("PNG", "big.png"), ("JPEG", "big.jpg")])
def test_a_large_picture_is_made_smaller_before_it_is_attached(
    served: Composer,
    app: App,
    bridge: Bridge,
    wait: Waiter,
    tmp_path: Path,
    qtbot: QtBot,
    kind: str,
    name: str,
) -> None:
    file = tmp_path / name
    assert image(3000, 1500).save(str(file), kind)  # type: ignore[call-overload]  # PySide's stub wants bytes
    served.attach([file])
    qtbot.waitUntil(lambda: bool(served.attachments.shown), timeout=WAIT)
    (attachment,) = served.attachments.shown
    data = wait(bridge.run(app.chats.data(attachment.id)))
    read = QImage.fromData(QByteArray(data))
    assert (read.width(), read.height()) == (LONGEST_SIDE, LONGEST_SIDE // 2)
    assert attachment.name == name
    assert attachment.media_type == f"image/{kind.lower()}"


def test_a_small_picture_goes_along_as_it_is(
    served: Composer, app: App, bridge: Bridge, wait: Waiter, tmp_path: Path, qtbot: QtBot
) -> None:
    file = tmp_path / "small.png"
    image(LONGEST_SIDE, 10).save(str(file))
    served.attach([file])
    qtbot.waitUntil(lambda: bool(served.attachments.shown), timeout=WAIT)
    assert wait(bridge.run(app.chats.data(served.attachments.shown[0].id))) == file.read_bytes()


def test_what_cannot_be_read_is_said_until_something_changes(
    served: Composer, tmp_path: Path, qtbot: QtBot
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(64))
    served.attach([file])
    qtbot.waitUntil(lambda: "Models window" in words(served), timeout=WAIT)
    QTest.keyClicks(served.editor, "a")
    assert words(served) == ""


def test_nothing_is_sent_while_a_file_is_still_read(composer: Composer, tmp_path: Path, qtbot: QtBot) -> None:
    QTest.keyClicks(composer.editor, "What is in it?")
    composer.attach([tmp_path / "notes.txt"])
    assert not composer.button.isEnabled()
    assert words(composer) == "Reading 1 file…"
    with qtbot.assertNotEmitted(composer.sent):
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    composer.add_attachment(NOTES)
    assert composer.button.isEnabled()


def test_more_than_twenty_files_are_not_taken(composer: Composer, tmp_path: Path, qtbot: QtBot) -> None:
    with qtbot.waitSignal(composer.attach_requested) as asked:
        composer.attach([tmp_path / str(number) for number in range(30)])
    assert len(asked.args[0]) == 20
    assert "20 files" in words(composer)


def test_a_file_that_is_read_when_another_chat_is_shown_waits_in_its_own_draft(
    composer: Composer,
    window: AppWindow,
    app: App,
    bridge: Bridge,
    wait: Waiter,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("some notes")
    first: Session = wait(bridge.run(app.chats.new()))
    second: Session = wait(bridge.run(app.chats.new()))
    desk = ComposerDesk(bridge, app, window.spawn, composer)
    desk.follow(first)
    composer.attach([file])
    desk.follow(second)
    composer.set_draft(Draft("another chat"))
    qtbot.waitUntil(lambda: bool(first.conversation.draft.attachments), timeout=WAIT)
    assert composer.draft == Draft("another chat")


def test_files_are_chosen_in_a_window_that_blocks_nothing(
    composer: Composer, tmp_path: Path, qtbot: QtBot
) -> None:
    QTest.mouseClick(composer.attach_button, Qt.MouseButton.LeftButton)
    (dialog,) = composer.findChildren(QFileDialog)
    with qtbot.waitSignal(composer.attach_requested) as asked:
        dialog.filesSelected.emit([str(tmp_path / "a"), str(tmp_path / "b")])
    assert asked.args == [(tmp_path / "a", tmp_path / "b")]
    dialog.close()


def test_who_reads_no_files_is_offered_none(qtbot: QtBot, tmp_path: Path) -> None:
    composer = on_screen(Composer("Ask the guide…", plain=True), qtbot)
    assert not composer.attach_button.isVisible()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    with qtbot.assertNotEmitted(composer.attach_requested):
        composer.editor.insertFromMimeData(mime)
    with qtbot.assertNotEmitted(composer.prompts_wanted):
        QTest.keyClicks(composer.editor, "/")


# --- prompts ------------------------------------------------------------------------------------------------


def test_a_slash_at_the_beginning_offers_the_prompts_of_this_person(
    served: Composer, app: App, bridge: Bridge, wait: Waiter, qtbot: QtBot
) -> None:
    wait(bridge.run(app.chats.save_prompt(Prompt("Weekly report", "Write the weekly report.", own=True))))
    QTest.keyClicks(served.editor, "/week")
    qtbot.waitUntil(lambda: [each.name for each in served.prompts.offered] == ["Weekly report"], timeout=WAIT)
    QTest.keyClick(served.editor, Qt.Key.Key_Return)
    assert served.editor.toPlainText() == "Write the weekly report."


def test_what_begins_so_comes_before_what_has_it_elsewhere() -> None:
    assert [each.name for each in matching(PROMPTS, "")] == ["Explain", "Greeting", "Complain"]
    assert [each.name for each in matching(PROMPTS, "plain"[:1])] == ["Explain", "Complain"]
    assert [each.name for each in matching(PROMPTS, "co")] == ["Complain"]


@pytest.mark.parametrize("text", ["", "a /", "/two\nlines", "/" + "x" * 100])
def test_a_slash_elsewhere_is_text(text: str) -> None:
    assert asked_for(text) is None


def test_the_arrows_choose_a_prompt_and_escape_leaves_the_list(composer: Composer, qtbot: QtBot) -> None:
    composer.show_prompts(PROMPTS)
    QTest.keyClicks(composer.editor, "/")
    QTest.keyClick(composer.editor, Qt.Key.Key_Down)
    QTest.keyClick(composer.editor, Qt.Key.Key_Tab)
    assert composer.editor.toPlainText() == "Good morning."
    composer.clear()
    QTest.keyClicks(composer.editor, "/")
    assert composer.prompts.open
    with qtbot.assertNotEmitted(composer.stop_requested):
        QTest.keyClick(composer.editor, Qt.Key.Key_Escape)
    assert composer.prompts.offered == ()
    with qtbot.waitSignal(composer.sent) as sent:
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    assert sent.args == ["/", ()]


def test_a_path_is_sent_as_it_is_written(composer: Composer, qtbot: QtBot) -> None:
    composer.show_prompts(PROMPTS)
    QTest.keyClicks(composer.editor, "/usr/bin")
    assert not composer.prompts.open
    with qtbot.waitSignal(composer.sent) as sent:
        QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    assert sent.args == ["/usr/bin", ()]


def form_fields(composer: Composer) -> tuple[QPlainTextEdit, ...]:
    assert composer.prompts.form is not None
    return composer.prompts.form.fields


def test_what_a_prompt_leaves_open_is_asked_for_field_by_field(composer: Composer) -> None:
    composer.show_prompts(PROMPTS)
    QTest.keyClicks(composer.editor, "/ex")
    QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    subject, reader = form_fields(composer)
    assert subject.hasFocus()
    QTest.keyClicks(subject, "tides")
    QTest.keyClick(subject, Qt.Key.Key_Tab)
    assert reader.hasFocus()
    QTest.keyClicks(reader, "a child")
    QTest.keyClick(reader, Qt.Key.Key_Return)
    assert composer.editor.toPlainText() == "Explain tides for a child."
    assert composer.editor.hasFocus()
    assert composer.prompts.form is None


def test_escape_leaves_the_form_with_nothing_inserted(composer: Composer, qtbot: QtBot) -> None:
    composer.show_prompts(PROMPTS)
    QTest.keyClicks(composer.editor, "/ex")
    QTest.keyClick(composer.editor, Qt.Key.Key_Return)
    QTest.keyClick(form_fields(composer)[0], Qt.Key.Key_Escape)
    assert composer.prompts.form is None
    assert composer.draft == Draft()


def test_a_click_chooses_a_prompt(composer: Composer) -> None:
    composer.show_prompts(PROMPTS)
    QTest.keyClicks(composer.editor, "/gree")
    (shown,) = composer.window().findChildren(QListWidget)
    QTest.mouseClick(
        shown.viewport(), Qt.MouseButton.LeftButton, pos=shown.visualItemRect(shown.item(0)).center()
    )
    assert composer.editor.toPlainText() == "Good morning."


# --- context ------------------------------------------------------------------------------------------------


def test_the_draft_is_weighed_while_it_is_written(served: Composer, qtbot: QtBot) -> None:
    assert not served.meter.isVisible()
    served.set_draft(Draft("word " * 400, (NOTES,)))
    qtbot.waitUntil(lambda: served.meter.isVisible(), timeout=WAIT)
    assert "adds about" in served.meter.toolTip()


def test_what_does_not_fit_is_said_before_and_may_be_sent(composer: Composer, qtbot: QtBot) -> None:
    QTest.keyClicks(composer.editor, "long")
    composer.show_context(ContextUse(20_000, 16_000), ContextUse(100, 16_000), "Shorten the message.")
    assert words(composer) == "Shorten the message."
    assert composer.button.isEnabled()
    composer.show_context(ContextUse(100, 16_000))
    assert words(composer) == ""


def test_a_persona_file_has_what_the_composer_needs() -> None:
    """The built-in prompts are offered without any file."""
    file = PersonaFile(personas=(Persona("x", "y"),)).with_built_in()
    assert matching(file.prompts, "sum")
