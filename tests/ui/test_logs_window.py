"""The logs window with the real core: followed, copied, diagnosed, and a report seen before it is saved."""

import zipfile
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.app import App
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.logbook import log_file
from whisper_desktop.ui.logs.report_dialog import ReportDialog
from whisper_desktop.ui.logs.window import LogsWindow

KEY = "sk-or-v1-0123456789abcdef"


def words(window: LogsWindow) -> str:
    return "\n".join(label.text() for label in window.findChildren(QLabel))


def test_empty_logs_say_what_will_be_here(bridge: Bridge, app: App, shown: Shown, qtbot: QtBot) -> None:
    window = shown(LogsWindow(bridge, app))
    qtbot.waitUntil(lambda: "engine" in window.engine.toPlainText(), timeout=WAIT)
    assert window.program.toPlainText() == "Nothing has gone wrong in the app."


def test_the_apps_log_is_shown_and_copied(bridge: Bridge, app: App, shown: Shown, qtbot: QtBot) -> None:
    log_file().write_text("first line\nsecond line\n", encoding="utf-8")
    window = shown(LogsWindow(bridge, app))
    qtbot.waitUntil(lambda: "second line" in window.program.toPlainText(), timeout=WAIT)
    window.tabs.setCurrentWidget(window.program)
    window.copy.click()
    assert QGuiApplication.clipboard().text() == "first line\nsecond line\n"


def test_a_huge_log_is_shown_from_a_whole_line_near_its_end(
    bridge: Bridge, app: App, shown: Shown, qtbot: QtBot
) -> None:
    log_file().write_text("".join(f"line {number}\n" for number in range(50_000)), encoding="utf-8")
    window = shown(LogsWindow(bridge, app))
    qtbot.waitUntil(lambda: "line 49999" in window.program.toPlainText(), timeout=WAIT)
    assert len(window.program.toPlainText()) <= 100_000
    assert window.program.toPlainText().startswith("line ")


def test_the_diagnosis_looks_when_it_is_opened_and_is_copied_whole(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, servers: ServerFactory
) -> None:
    lm_studio = servers("lm_studio", models=[{"id": "qwen3.5-4b", "loaded": True}])
    window = shown(LogsWindow(bridge, world(lm_studio=lm_studio.port)))
    assert window.diagnosis.diagnosis is None
    window.show_diagnosis()
    qtbot.waitUntil(lambda: "can answer: LM Studio" in words(window), timeout=WAIT)
    assert "Who answers" in words(window)
    window.copy.click()
    assert "can answer: LM Studio" in QGuiApplication.clipboard().text()


def test_looking_again_sees_what_has_changed(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, servers: ServerFactory
) -> None:
    lm_studio = servers("lm_studio", models=[{"id": "qwen3.5-4b", "loaded": True}])
    window = shown(LogsWindow(bridge, world(lm_studio=lm_studio.port)))
    window.show_diagnosis()
    qtbot.waitUntil(lambda: "can answer: LM Studio" in words(window), timeout=WAIT)
    lm_studio.kill()
    window.look_again.click()
    qtbot.waitUntil(lambda: "none that can answer" in words(window), timeout=WAIT)


def opened_report(window: LogsWindow, qtbot: QtBot) -> ReportDialog:
    window.report.click()
    qtbot.waitUntil(lambda: window.findChild(ReportDialog) is not None, timeout=WAIT)
    dialog = window.findChild(ReportDialog)
    assert dialog is not None
    return dialog


def test_the_report_is_seen_before_it_is_saved_and_holds_no_key(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot, tmp_path: Path
) -> None:
    app = world()
    world.wait(bridge.run(app.set_key("openrouter", KEY)))
    log_file().write_text(f"refused {KEY}\nstill here\n", encoding="utf-8")
    window = shown(LogsWindow(bridge, app))
    dialog = opened_report(window, qtbot)
    listed = [dialog.list.item(number).text() for number in range(dialog.list.count())]
    assert listed[0].startswith("diagnosis.txt\nwhat Diagnosis shows")
    dialog.list.setCurrentRow(next(n for n, text in enumerate(listed) if "desktop.log" in text))
    assert dialog.text.toPlainText() == "refused [hidden]\nstill here\n"
    file = tmp_path / "report.zip"
    dialog._chosen(str(file))  # what the system's dialog tells
    qtbot.waitUntil(lambda: f"Saved: {file}" in words(window), timeout=WAIT)
    assert zipfile.is_zipfile(file)
    assert KEY.encode() not in file.read_bytes()


def test_thinking_better_of_it_saves_nothing(bridge: Bridge, app: App, shown: Shown, qtbot: QtBot) -> None:
    window = shown(LogsWindow(bridge, app))
    opened_report(window, qtbot).reject()
    qtbot.waitUntil(lambda: window.findChild(ReportDialog) is None, timeout=WAIT)
    assert "Saved" not in words(window)


def test_a_report_that_cannot_be_saved_says_why(
    bridge: Bridge, app: App, shown: Shown, qtbot: QtBot, tmp_path: Path
) -> None:
    window = shown(LogsWindow(bridge, app))
    opened_report(window, qtbot)._chosen(str(tmp_path / "nowhere" / "report.zip"))
    qtbot.waitUntil(lambda: "cannot be saved there" in words(window), timeout=WAIT)
