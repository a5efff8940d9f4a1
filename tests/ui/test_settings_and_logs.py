"""The settings and logs windows with the real core."""

from pathlib import Path

import pytest
import yaml
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton, QTreeWidgetItem
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.app import App
from whisper_desktop.settings import paths
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.logbook import log_file
from whisper_desktop.ui.logs_window import LogsWindow
from whisper_desktop.ui.settings_window import SettingsWindow
from whisper_desktop.values import Reach


def texts(window: SettingsWindow | LogsWindow) -> list[str]:
    """The words on the labels."""
    return [label.text() for label in window.findChildren(QLabel)]


def line(window: SettingsWindow, key: str) -> QTreeWidgetItem:
    """The line of a setting."""
    items = [window.table.topLevelItem(number) for number in range(window.table.topLevelItemCount())]
    return next(item for item in items if item is not None and item.data(0, Qt.ItemDataRole.UserRole) == key)


def test_every_setting_shows_its_value_and_the_winning_layer(bridge: Bridge, app: App, shown: Shown) -> None:
    window = shown(SettingsWindow(bridge, app))
    assert [line(window, "llm.stub").text(column) for column in range(3)] == ["Stub", "on", "environment"]
    assert line(window, "llm.auto_detect").text(2) == "default"
    window.table.setCurrentItem(line(window, "llm.stub"))
    assert any("WHISPER_LLM_STUB" in text for text in texts(window))


def test_searching_hides_what_does_not_fit(bridge: Bridge, app: App, shown: Shown) -> None:
    window = shown(SettingsWindow(bridge, app))
    QTest.keyClicks(window.search, "fallback")
    visible = [
        item.data(0, Qt.ItemDataRole.UserRole)
        for number in range(window.table.topLevelItemCount())
        if (item := window.table.topLevelItem(number)) is not None and not item.isHidden()
    ]
    assert visible == ["llm.fallback_chain"]


def test_the_reach_is_changed_and_remembered(bridge: Bridge, app: App, shown: Shown, qtbot: QtBot) -> None:
    window = shown(SettingsWindow(bridge, app))
    window.reach.setFocus()
    QTest.keyClick(window.reach, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: app.loaded.settings.llm.reach is Reach.MY_NETWORK, timeout=WAIT)
    written = yaml.safe_load((paths.config_dir() / paths.CHOICES_FILE).read_text("utf-8"))
    assert written["llm"]["reach"] == "my_network"
    qtbot.waitUntil(lambda: line(window, "llm.reach").text(2) == paths.CHOICES_FILE, timeout=WAIT)


def test_a_reach_from_the_environment_cannot_be_changed_here(
    bridge: Bridge, world: World, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_LLM__REACH", "my_network")
    window = shown(SettingsWindow(bridge, world()))
    assert not window.reach.isEnabled()
    assert window.reach.currentText() == "my network"
    assert "Fixed by environment (WHISPER_LLM__REACH)." in texts(window)


def test_a_bad_value_is_named_with_its_place(bridge: Bridge, world: World, shown: Shown) -> None:
    file = paths.config_dir() / paths.CONFIG_FILE
    file.write_text("llm:\n  lmstudio:\n    use_xvfb: perhaps\n", encoding="utf-8")
    window = shown(SettingsWindow(bridge, world()))
    words = " ".join(texts(window))
    assert "use_xvfb" in words
    assert "perhaps" in words or "Expected" in words


def test_keys_are_listed_by_origin_and_removed(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    app = world()
    world.wait(bridge.run(app.set_key("openrouter", "sk-or-v1-0123456789abcdef")))
    window = shown(SettingsWindow(bridge, app))
    qtbot.waitUntil(lambda: "https://openrouter.ai" in texts(window), timeout=WAIT)
    assert not any("0123456789abcdef" in text for text in texts(window))
    next(button for button in window.findChildren(QPushButton) if button.text() == "Remove").click()
    qtbot.waitUntil(lambda: "https://openrouter.ai" not in texts(window), timeout=WAIT)
    assert world.wait(bridge.run(app.keys())) == ()


def test_opening_the_settings_file_makes_an_explained_one(
    bridge: Bridge, app: App, shown: Shown, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    window = shown(SettingsWindow(bridge, app))
    next(button for button in window.findChildren(QPushButton) if button.text() == "Open config.yaml").click()
    qtbot.waitUntil(lambda: bool(opened), timeout=WAIT)
    assert "fallback_chain" in Path(opened[0]).read_text("utf-8")
    assert Path(opened[0]) == paths.config_dir() / paths.CONFIG_FILE


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
