"""The settings window with the real core: found, changed at once, refused in words, taken back."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDesktopServices, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QSpinBox
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.app import App
from whisper_desktop.settings import paths
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.settings.fields import Choice, Keys, Line, Number, PathLine, Switch
from whisper_desktop.ui.settings.lists import Consents, Kept, Values
from whisper_desktop.ui.settings.pages import SectionPage
from whisper_desktop.ui.settings.row import SettingRow
from whisper_desktop.ui.settings.window import SettingsWindow
from whisper_desktop.values import Reach


@pytest.fixture
def window(bridge: Bridge, app: App, shown: Shown) -> SettingsWindow:
    return shown(SettingsWindow(bridge, app))


def row(window: SettingsWindow, key: str) -> SettingRow:
    """The row of a setting, brought to sight."""
    window.show_setting(key)
    return next(each for each in window.findChildren(SettingRow) if each.info.key == key and each.isVisible())


def control(window: SettingsWindow, key: str) -> Any:
    return row(window, key).control


def words(window: SettingsWindow) -> str:
    return "\n".join(label.text() for label in window.findChildren(QLabel) if label.isVisible())


def chosen() -> Any:
    """What the app has written down."""
    file = Path(paths.config_dir()) / paths.CHOICES_FILE
    return yaml.safe_load(file.read_text("utf-8")) or {} if file.exists() else {}


def write_config(text: str) -> None:
    (paths.config_dir() / paths.CONFIG_FILE).write_text(text, encoding="utf-8")


# --- Opening and finding ------------------------------------------------------------------------------------


def test_it_opens_at_once_although_there_are_many_settings(bridge: Bridge, app: App, shown: Shown) -> None:
    shown(SettingsWindow(bridge, app)).close()  # what is imported once is imported
    begun = time.perf_counter()
    shown(SettingsWindow(bridge, app))
    assert time.perf_counter() - begun < 0.15


def test_only_the_section_that_is_seen_is_made(window: SettingsWindow) -> None:
    assert {each.info.path[0] for each in window.findChildren(SettingRow)} == {"chat"}


def test_searching_shows_what_fits_from_every_section(window: SettingsWindow, qtbot: QtBot) -> None:
    QTest.keyClicks(window.search, "fallback chain")
    qtbot.waitUntil(lambda: list(window.found.rows) == ["llm.fallback_chain"])
    assert window.sections.currentRow() == -1
    QTest.keyClicks(window.search, " nothing has this")
    qtbot.waitUntil(lambda: "No setting has these words." in words(window))
    window.search.clear()
    qtbot.waitUntil(lambda: window.sections.currentRow() == 0)
    assert "Keep conversations" in {
        each.control.field.accessibleName() for each in window.findChildren(SettingRow) if each.isVisible()
    }


def test_a_wide_search_is_cut_and_says_so(window: SettingsWindow, qtbot: QtBot) -> None:
    QTest.keyClicks(window.search, "the")
    qtbot.waitUntil(lambda: "more fit. Write another word." in words(window))


def test_searching_for_keys_leads_to_their_page(window: SettingsWindow, qtbot: QtBot) -> None:
    QTest.keyClicks(window.search, "keys of services")

    def ways() -> list[QPushButton]:
        return [each for each in window.found.findChildren(QPushButton) if each.text() == "Keys of services"]

    qtbot.waitUntil(lambda: bool(ways()))
    ways()[0].click()
    current = window.sections.currentItem()
    assert current is not None
    assert current.text() == "Keys"


def test_a_setting_that_is_folded_away_can_be_shown_at_once(window: SettingsWindow, qtbot: QtBot) -> None:
    shown = row(window, "llm.llamacpp.extra_args")
    assert window.focusWidget() is shown.control.field
    page = shown
    while not isinstance(page, SectionPage):
        page = page.parentWidget()  # type: ignore[assignment]
    view = page.viewport()
    qtbot.waitUntil(lambda: view.rect().contains(shown.mapTo(view, shown.rect().center())))


def test_an_unknown_setting_changes_nothing(window: SettingsWindow) -> None:
    window.show_setting("no.such.setting")
    assert window.sections.currentRow() == 0


# --- Where a value comes from -------------------------------------------------------------------------------


def test_the_file_and_line_of_a_value_are_told(bridge: Bridge, world: World, shown: Shown) -> None:
    write_config("chat:\n  bin_days: 7\n")
    window = shown(SettingsWindow(bridge, world()))
    days = row(window, "chat.bin_days")
    assert control(window, "chat.bin_days").box.value() == 7
    assert "From config.yaml, line 2." in words(window)
    assert days.back.isVisible()


def test_what_the_environment_says_cannot_be_changed_here(window: SettingsWindow) -> None:
    stub = row(window, "llm.stub")
    assert not stub.control.isEnabled()
    assert not stub.back.isVisible()
    assert "Fixed: the environment variable WHISPER_LLM_STUB says so." in words(window)


def test_a_default_says_nothing_of_its_origin(window: SettingsWindow) -> None:
    keep = row(window, "chat.keep")
    assert not keep.back.isVisible()
    assert "Changed here." not in words(window)


def test_a_bad_value_is_named_with_its_place(bridge: Bridge, world: World, shown: Shown) -> None:
    write_config("llm:\n  lmstudio:\n    use_xvfb: perhaps\n")
    window = shown(SettingsWindow(bridge, world()))
    assert "use_xvfb" in words(window)


# --- Changing -----------------------------------------------------------------------------------------------


def test_a_switch_takes_effect_at_once_and_is_remembered(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    switch = control(window, "chat.keep")
    assert isinstance(switch, Switch)
    with qtbot.waitSignal(window.changed, timeout=WAIT) as told:
        switch.box.click()
    assert told.args == ["chat.keep"]
    assert not app.loaded.settings.chat.keep
    assert chosen() == {"chat": {"keep": False}}
    assert "Changed here." in words(window)


def test_a_change_counts_also_where_the_window_is_closed_right_after_it(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    control(window, "chat.keep").box.click()
    window.close()
    qtbot.waitUntil(lambda: not app.loaded.settings.chat.keep, timeout=WAIT)


def test_a_choice_is_made_with_the_keyboard(window: SettingsWindow, app: App, qtbot: QtBot) -> None:
    choice = control(window, "llm.reach")
    assert isinstance(choice, Choice)
    choice.box.setFocus()
    QTest.keyClick(choice.box, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: app.loaded.settings.llm.reach is Reach.MY_NETWORK, timeout=WAIT)


def test_a_number_is_taken_when_it_is_finished(window: SettingsWindow, app: App, qtbot: QtBot) -> None:
    number = control(window, "llm.llamacpp.n_ctx")
    assert isinstance(number, Number)
    assert isinstance(number.box, QSpinBox)
    assert number.box.text() == "Automatic"
    number.box.setFocus()
    number.box.selectAll()
    QTest.keyClicks(number.box, "8192")
    assert app.loaded.settings.llm.llamacpp.n_ctx == "auto"
    QTest.keyClick(number.box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: app.loaded.settings.llm.llamacpp.n_ctx == 8192, timeout=WAIT)
    number.box.setValue(number.box.minimum())
    qtbot.waitUntil(lambda: app.loaded.settings.llm.llamacpp.n_ctx == "auto", timeout=WAIT)


def test_an_amount_shows_no_zeros_that_say_nothing(window: SettingsWindow) -> None:
    assert control(window, "llm.llamacpp.idle_minutes").box.text() == "15 min"


def test_the_wheel_scrolls_the_page_and_changes_no_number_on_the_way(window: SettingsWindow) -> None:
    number = control(window, "llm.llamacpp.idle_minutes")
    window.search.setFocus()
    place = number.box.rect().center()
    wheel = QWheelEvent(
        QPointF(place),
        QPointF(number.box.mapToGlobal(place)),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(number.box, wheel)
    assert number.box.value() == 15


def test_what_is_refused_is_told_at_the_control_and_the_old_value_stays(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    shown = row(window, "llm.base_url")
    line = shown.control
    assert isinstance(line, Line)
    line.line.setText("ftp://wrong")
    line.line.editingFinished.emit()
    qtbot.waitUntil(lambda: bool(shown.error), timeout=WAIT)
    assert "Nothing was changed." in shown.error
    assert line.line.text() == ""
    assert app.loaded.get("llm.base_url") is None
    shown.show_setting(app.loaded)
    assert shown.error, "it stays while the person reads"
    with qtbot.waitSignal(window.changed, timeout=WAIT):
        line.line.setText("http://127.0.0.1:9999")
        line.line.editingFinished.emit()
    assert app.loaded.get("llm.base_url") == "http://127.0.0.1:9999"
    assert shown.error == ""


def test_what_is_being_written_stays_when_something_else_changes(
    window: SettingsWindow, bridge: Bridge, app: App, world: World, qtbot: QtBot
) -> None:
    line, backend = control(window, "llm.openrouter.model"), control(window, "llm.backend")
    assert isinstance(backend, Choice)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=WAIT)
    line.line.setFocus()
    qtbot.waitUntil(line.line.hasFocus, timeout=WAIT)
    QTest.keyClicks(line.line, "half a na")
    world.wait(bridge.run(app.choose("ollama")))
    qtbot.waitUntil(lambda: backend.box.currentText() == "Ollama", timeout=WAIT)
    assert line.line.text() == "half a na"


def test_a_line_only_gives_way_to_another_value(window: SettingsWindow) -> None:
    line = Line()
    line.show_value("one")
    line.line.setText("one and a ha")
    line.show_value("one")
    assert line.line.text() == "one and a ha"
    line.show_value("two")
    assert line.line.text() == "two"
    line.deleteLater()


def test_a_path_can_be_written_and_one_that_is_looked_for_is_taken(
    window: SettingsWindow, app: App, qtbot: QtBot, tmp_path: Path
) -> None:
    path = control(window, "llm.model_cache_dir")
    assert isinstance(path, PathLine)
    path._take(str(tmp_path))  # what the system's dialog tells
    qtbot.waitUntil(lambda: app.loaded.settings.llm.model_cache_dir == tmp_path, timeout=WAIT)


def test_the_order_of_the_chain_is_changed_and_given_back(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    def after(act: Callable[[], None]) -> tuple[str, ...] | None:
        with qtbot.waitSignal(window.changed, timeout=WAIT):
            act()
        return app.loaded.settings.llm.fallback_chain

    values = control(window, "llm.fallback_chain")
    assert isinstance(values, Values)
    assert not values.add.isEnabled()
    assert after(values.automatic.click) == ("lm_studio",)
    assert values._box is not None
    values._box.setCurrentIndex(values._box.findData("ollama"))
    assert after(values.add.click) == ("lm_studio", "ollama")
    values.list.setCurrentRow(1)
    assert after(values.up.click) == ("ollama", "lm_studio")
    assert values.list.currentRow() == 0
    assert after(values.remove.click) == ("lm_studio",)
    assert after(values.automatic.click) is None


def test_addresses_are_added_by_writing_them(window: SettingsWindow, app: App, qtbot: QtBot) -> None:
    values = control(window, "llm.addresses")
    assert values._line is not None
    QTest.keyClicks(values._line, "http://127.0.0.1:9999")
    QTest.keyClick(values._line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: app.loaded.settings.llm.addresses == ("http://127.0.0.1:9999",), timeout=WAIT)


def test_keys_are_set_by_pressing_them_and_can_be_none(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    keys = control(window, "ui.quick_ask_shortcut")
    assert isinstance(keys, Keys)
    keys.edit.setFocus()
    QTest.keyClick(
        keys.edit, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    qtbot.waitUntil(lambda: app.loaded.settings.ui.quick_ask_shortcut == "Ctrl+Shift+K", timeout=WAIT)
    keys.edit.clear()
    keys.edit.editingFinished.emit()
    qtbot.waitUntil(lambda: app.loaded.settings.ui.quick_ask_shortcut is None, timeout=WAIT)


def test_the_tab_key_leaves_the_field_that_records_keys(window: SettingsWindow) -> None:
    keys = control(window, "ui.quick_ask_shortcut")
    keys.edit.setFocus()
    before = window.focusWidget()
    QTest.keyClick(before, Qt.Key.Key_Tab)
    assert window.focusWidget() is not before


def test_a_consent_can_be_taken_back(bridge: Bridge, world: World, shown: Shown, qtbot: QtBot) -> None:
    app = world()
    given = {"http://127.0.0.1:8080": "cloud", "http://127.0.0.1:8081": "my_network"}
    world.wait(bridge.run(app.remember({"privacy.server_reach": given})))
    window = shown(SettingsWindow(bridge, app))
    consents = control(window, "privacy.server_reach")
    assert isinstance(consents, Consents)
    remove = next(
        each
        for each in consents.findChildren(QPushButton)
        if each.accessibleName() == "Remove: http://127.0.0.1:8080"
    )
    remove.click()
    left = {"http://127.0.0.1:8081": Reach.MY_NETWORK}
    qtbot.waitUntil(lambda: app.loaded.settings.privacy.server_reach == left, timeout=WAIT)


def test_what_the_app_keeps_can_be_forgotten(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    app = world()
    world.wait(bridge.run(app.remember({"ui.geometry": {"chat": "0,0,10,10"}})))
    window = shown(SettingsWindow(bridge, app))
    kept = control(window, "ui.geometry")
    assert isinstance(kept, Kept)
    kept.forget.click()
    qtbot.waitUntil(lambda: app.loaded.settings.ui.geometry == {}, timeout=WAIT)


def test_back_to_default_takes_the_choice_back(window: SettingsWindow, app: App, qtbot: QtBot) -> None:
    days = row(window, "chat.bin_days")
    with qtbot.waitSignal(window.changed, timeout=WAIT):
        control(window, "chat.bin_days").box.setValue(3)
    assert days.back.isVisible()
    with qtbot.waitSignal(window.changed, timeout=WAIT):
        days.back.click()
    assert app.loaded.settings.chat.bin_days == 30
    assert chosen() == {}
    assert not days.back.isVisible()


def test_back_to_default_wins_over_the_persons_own_file_without_touching_it(
    bridge: Bridge, world: World, shown: Shown, qtbot: QtBot
) -> None:
    write_config("chat:\n  bin_days: 7\n")
    app = world()
    window = shown(SettingsWindow(bridge, app))
    with qtbot.waitSignal(window.changed, timeout=WAIT):
        row(window, "chat.bin_days").back.click()
    assert app.loaded.settings.chat.bin_days == 30
    assert (paths.config_dir() / paths.CONFIG_FILE).read_text("utf-8") == "chat:\n  bin_days: 7\n"


def test_reading_again_shows_what_was_written_meanwhile(
    window: SettingsWindow, app: App, qtbot: QtBot
) -> None:
    days = control(window, "chat.bin_days")
    write_config("chat:\n  bin_days: 7\n")
    with qtbot.waitSignal(window.changed, timeout=WAIT) as told:
        next(each for each in window.findChildren(QPushButton) if each.text() == "Read again").click()
    assert told.args == ["chat.bin_days"]
    assert days.box.value() == 7


def test_opening_the_settings_file_makes_an_explained_one(
    window: SettingsWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    next(each for each in window.findChildren(QPushButton) if each.text() == "Open config.yaml").click()
    qtbot.waitUntil(lambda: bool(opened), timeout=WAIT)
    assert "fallback_chain" in Path(opened[0]).read_text("utf-8")
    assert Path(opened[0]) == paths.config_dir() / paths.CONFIG_FILE
