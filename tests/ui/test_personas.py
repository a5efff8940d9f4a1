"""The window of personas and prompts: what is made, changed and deleted there is kept."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Chats
from whisper_desktop.app import App
from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt
from whisper_desktop.chat.records import Parameters
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.personas import PersonasDialog


@pytest.fixture
def dialog(app: App, bridge: Bridge, chats: Chats, qtbot: QtBot) -> PersonasDialog:
    chats.do(app.chats.save_persona(Persona("Pirate", "Arr.", "Arr.", Parameters(seed=1), own=True)))
    return opened(app, bridge, qtbot)


def opened(app: App, bridge: Bridge, qtbot: QtBot) -> PersonasDialog:
    dialog = PersonasDialog(bridge, app)
    with qtbot.waitExposed(dialog):
        dialog.show()
    qtbot.waitUntil(lambda: dialog.list.count() > 3, timeout=WAIT)
    return dialog


def names(dialog: PersonasDialog) -> list[str]:
    return [dialog.list.item(row).text() for row in range(dialog.list.count())]


def pick(dialog: PersonasDialog, name: str) -> None:
    dialog.list.setCurrentRow(names(dialog).index(name))


def kept(app: App, chats: Chats) -> PersonaFile:
    file: PersonaFile = chats.do(app.chats.personas())
    own = [each for each in file.personas if each.own]
    return PersonaFile(tuple(own), tuple(each for each in file.prompts if each.own))


def test_those_of_the_app_and_of_the_person_stand_in_one_list(dialog: PersonasDialog) -> None:
    shown = names(dialog)
    assert shown[0] == "Personas"
    assert shown.index("Assistant") < shown.index("Pirate") < shown.index("Prompts") < shown.index("Explain")
    assert not dialog.list.item(0).flags()


def test_one_of_ones_own_is_changed_and_keeps_what_is_not_shown(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    pick(dialog, "Pirate")
    assert not dialog.save.isEnabled()
    dialog.text.setPlainText("Arr, {{name}}.")
    with qtbot.waitSignal(dialog.changed, timeout=WAIT):
        dialog.save.click()
    assert kept(app, chats).personas == (
        Persona("Pirate", "Arr, {{name}}.", "Arr.", Parameters(seed=1), own=True),
    )


def test_another_name_is_the_same_persona(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    pick(dialog, "Pirate")
    dialog.name.setText("Captain")
    dialog.save.click()
    qtbot.waitUntil(lambda: "Captain" in names(dialog), timeout=WAIT)
    assert [each.name for each in kept(app, chats).personas] == ["Captain"]
    assert dialog.list.currentItem().text() == "Captain"


def test_one_of_the_app_becomes_ones_own(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    pick(dialog, "Assistant")
    assert not dialog.delete.isEnabled()
    dialog.text.setPlainText("Be brief.")
    assert dialog.save.text() == "Save as your own"
    with qtbot.waitSignal(dialog.changed, timeout=WAIT):
        dialog.save.click()
    assert ("Assistant", "Be brief.") in [(each.name, each.text) for each in kept(app, chats).personas]


def test_a_new_prompt_is_made_by_keyboard(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    dialog.new_prompt.setFocus()
    QTest.keyClick(dialog.new_prompt, Qt.Key.Key_Space)
    assert dialog.name.hasFocus()
    QTest.keyClicks(dialog.name, "Weekly report")
    assert not dialog.save.isEnabled()
    QTest.keyClick(dialog.name, Qt.Key.Key_Tab)
    QTest.keyClick(dialog.description, Qt.Key.Key_Tab)
    QTest.keyClicks(dialog.text, "Write it.")
    with qtbot.waitSignal(dialog.changed, timeout=WAIT):
        dialog.save.click()
    assert kept(app, chats).prompts == (Prompt("Weekly report", "Write it.", own=True),)


def test_one_is_deleted(dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot) -> None:
    pick(dialog, "Pirate")
    with qtbot.waitSignal(dialog.changed, timeout=WAIT):
        dialog.delete.click()
    qtbot.waitUntil(lambda: "Pirate" not in names(dialog), timeout=WAIT)
    assert kept(app, chats) == PersonaFile()


def test_what_cannot_be_kept_is_said_and_stays_written(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    pick(dialog, "Pirate")
    dialog.text.setPlainText("x" * 100_001)
    dialog.save.click()
    qtbot.waitUntil(lambda: "100,000" in dialog.said.text(), timeout=WAIT)
    assert len(dialog.text.toPlainText()) == 100_001


def test_what_was_saved_is_kept_although_the_window_is_closed_at_once(
    dialog: PersonasDialog, app: App, chats: Chats, qtbot: QtBot
) -> None:
    pick(dialog, "Pirate")
    dialog.name.setText("Captain")
    with qtbot.waitSignal(dialog.destroyed, timeout=WAIT):
        dialog.save.click()
        dialog.close()
    assert [each.name for each in kept(app, chats).personas] == ["Captain"]
