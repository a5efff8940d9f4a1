"""The chips of what is attached: what they say, and how they are removed."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from whisper_desktop.chat.records import Attachment
from whisper_desktop.ui.chat.attachments_bar import AttachmentsBar

NOTES = Attachment("a" * 64, "notes.txt", "text/plain", 2048, "some notes")
REPORT = Attachment("b" * 64, "report.pdf", "application/pdf", 4_900_000, "text", "Page 3 has no text.")
PICTURE = Attachment("c" * 64, "train.png", "image/png", 5_000_000)


@pytest.fixture
def bar(qtbot: QtBot) -> AttachmentsBar:
    bar = AttachmentsBar()
    qtbot.addWidget(bar)
    bar.resize(400, 80)
    bar.show_all((NOTES, REPORT))
    with qtbot.waitExposed(bar):
        bar.show()
    return bar


def test_a_chip_says_what_it_is_and_what_was_left_out(bar: AttachmentsBar) -> None:
    notes, report = bar.chips
    assert notes.accessibleName() == "Attached: notes.txt, 2 kB"
    assert report.accessibleDescription() == "Page 3 has no text."
    assert "Page 3 has no text." in report.toolTip()


def test_the_mouse_removes_one(bar: AttachmentsBar, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.changed):
        QTest.mouseClick(bar.chips[0].remove, Qt.MouseButton.LeftButton)
    assert bar.shown == (REPORT,)


@pytest.mark.parametrize("key", [Qt.Key.Key_Delete, Qt.Key.Key_Backspace])
def test_the_keyboard_removes_one_after_the_other_and_goes_back_to_the_text(
    bar: AttachmentsBar, qtbot: QtBot, key: Qt.Key
) -> None:
    bar.chips[0].setFocus()
    QTest.keyClick(bar.chips[0], key)
    assert bar.shown == (REPORT,)
    assert bar.chips[0].hasFocus()
    with qtbot.waitSignal(bar.left):
        QTest.keyClick(bar.chips[0], key)
    assert bar.isHidden()


def test_the_keyboard_stays_at_the_chips_where_the_last_one_is_removed(bar: AttachmentsBar) -> None:
    bar.chips[1].setFocus()
    QTest.keyClick(bar.chips[1], Qt.Key.Key_Delete)
    assert bar.chips[0].hasFocus()


def test_what_is_attached_already_stays_once(bar: AttachmentsBar) -> None:
    bar.add(NOTES)
    assert bar.shown == (NOTES, REPORT)


def test_a_picture_is_wanted_once_and_shown_when_it_comes(bar: AttachmentsBar, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.image_wanted) as wanted:
        bar.add(PICTURE)
    assert wanted.args == [PICTURE.id]
    image = QImage(20, 20, QImage.Format.Format_RGB32)
    image.fill(QColor("teal"))
    bar.show_image(PICTURE.id, image)
    assert bar.chips[2].picture.pixmap().toImage().pixelColor(2, 2) == QColor("teal")
    with qtbot.assertNotEmitted(bar.image_wanted):
        bar.show_all((PICTURE,))


def test_a_chip_out_of_sight_scrolls_to_the_keyboard(bar: AttachmentsBar, qtbot: QtBot) -> None:
    bar.show_all([Attachment(f"{n:064}", f"file number {n}.txt", "text/plain", 9) for n in range(9)])
    qtbot.waitUntil(lambda: bar.horizontalScrollBar().maximum() > 0)
    bar.chips[8].setFocus()
    qtbot.waitUntil(lambda: bar.horizontalScrollBar().value() == bar.horizontalScrollBar().maximum())
