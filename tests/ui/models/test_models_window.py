"""The models window with the real core, real model files and a hub on this computer."""

import os
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from tests.engines.tiny_model import write_tiny_model
from tests.ui.conftest import WAIT, World
from tests.ui.models.conftest import Hub, Opener, words
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.models.downloads_page import JobCard
from whisper_desktop.ui.models.search_page import ResultCard
from whisper_desktop.ui.models.window import ModelsWindow


def names(window: ModelsWindow) -> list[str]:
    """The first column of the table."""
    return [window.shelf.table.row(number).cells[0] for number in range(window.shelf.table.rowCount())]


def press(window: ModelsWindow, text: str) -> None:
    """Press a button of the question that is open."""
    box = window.findChild(QMessageBox)
    assert box is not None
    next(button for button in box.findChildren(QPushButton) if button.text() == text).click()


def asked(window: ModelsWindow) -> QMessageBox | None:
    """The question that is open."""
    boxes = [box for box in window.findChildren(QMessageBox) if box.isVisible()]
    return boxes[0] if boxes else None


# --- On this computer ---------------------------------------------------------------------------------------


def test_an_empty_shelf_says_what_will_be_here_and_leads_to_suggestions(window: ModelsWindow) -> None:
    assert "No models here yet" in words(window.shelf)
    next(
        button for button in window.shelf.findChildren(QPushButton) if button.text().startswith("See what")
    ).click()
    assert window.tabs.currentWidget() is window.choices


def test_a_model_says_whose_it_is_and_how_it_runs_here(
    world: World, opened: Opener, own_folder: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    theirs = tmp_path / ".lmstudio" / "models" / "org" / "repo"
    theirs.mkdir(parents=True)
    write_tiny_model(theirs / "theirs-Q4_K_M.gguf")
    window = opened(world())
    assert names(window) == ["mine-Q4_K_M", "theirs-Q4_K_M"]
    assert [window.shelf.table.row(number).cells[3] for number in (0, 1)] == ["this app", "LM Studio"]
    qtbot.waitUntil(lambda: "Fits in memory" in words(window.shelf), timeout=WAIT)
    qtbot.waitUntil(lambda: window.shelf.table.row(1).cells[-1].startswith("fits"), timeout=WAIT)


def test_using_a_model_makes_it_the_engines_where_it_lies(
    world: World, opened: Opener, own_folder: Path, qtbot: QtBot
) -> None:
    file = write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    app = world()
    window = opened(app)
    window.shelf.use.click()
    qtbot.waitUntil(lambda: names(window) == ["mine-Q4_K_M (in use)"], timeout=WAIT)
    assert app.loaded.settings.llm.own_model == file
    assert "from now on" in window.shelf.remark.text
    assert not window.shelf.use.isEnabled()


def test_deleting_asks_first_and_names_the_model_and_what_it_frees(
    world: World, opened: Opener, own_folder: Path, qtbot: QtBot
) -> None:
    file = write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    window = opened(world())
    window.shelf.delete.click()
    qtbot.waitUntil(lambda: asked(window) is not None, timeout=WAIT)
    box = asked(window)
    assert box is not None
    assert box.text() == "Delete mine-Q4_K_M?"
    assert "frees" in box.informativeText()
    assert str(own_folder) in box.informativeText()
    assert box.defaultButton().text() != "Delete", "what cannot be undone is never the default"
    press(window, "Delete")
    qtbot.waitUntil(lambda: names(window) == [], timeout=WAIT)
    assert not file.exists()


def test_thinking_better_of_it_deletes_nothing(
    world: World, opened: Opener, own_folder: Path, qtbot: QtBot
) -> None:
    file = write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    window = opened(world())
    window.shelf.delete.click()
    qtbot.waitUntil(lambda: asked(window) is not None, timeout=WAIT)
    box = asked(window)
    assert box is not None
    QTest.keyClick(box, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: asked(window) is None, timeout=WAIT)
    window.shelf.verify.click()  # what has been begun before is over when this is
    qtbot.waitUntil(lambda: "structure" in window.shelf.remark.text, timeout=WAIT)
    assert file.exists()
    assert names(window) == ["mine-Q4_K_M"]


def test_verifying_ends_in_a_sentence(world: World, opened: Opener, own_folder: Path, qtbot: QtBot) -> None:
    write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    window = opened(world())
    window.shelf.verify.click()
    qtbot.waitUntil(lambda: "structure" in window.shelf.remark.text, timeout=WAIT)
    assert window.shelf.verify.text() == "Verify"


def test_a_model_that_was_cut_short_is_called_damaged(
    world: World, opened: Opener, own_folder: Path, qtbot: QtBot
) -> None:
    file = write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    os.truncate(file, file.stat().st_size - 10)
    window = opened(world())
    window.shelf.verify.click()
    qtbot.waitUntil(lambda: "damaged" in window.shelf.remark.text, timeout=WAIT)


def test_the_folder_of_a_model_is_shown(
    world: World, opened: Opener, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()))
    write_tiny_model(own_folder / "mine-Q4_K_M.gguf")
    opened(world()).shelf.folder.click()
    assert shown == [str(own_folder)]


def test_a_thousand_models_are_shown_and_only_those_on_the_screen_are_looked_into(
    world: World, opened: Opener, own_folder: Path, qtbot: QtBot
) -> None:
    first = write_tiny_model(own_folder / "model-0000-Q4_K_M.gguf")
    for number in range(1, 1000):
        os.link(first, own_folder / f"model-{number:04}-Q4_K_M.gguf")
    window = opened(world())
    assert len(names(window)) == 1000
    qtbot.waitUntil(lambda: not window.shelf.busy, timeout=WAIT)
    looked_into = [window.shelf.table.row(number).cells[-1] != "…" for number in range(1000)]
    assert looked_into[0]
    assert sum(looked_into) < 100
    window.shelf.view.scrollToBottom()
    qtbot.waitUntil(lambda: window.shelf.table.row(999).cells[-1] != "…", timeout=WAIT)


def test_what_cannot_be_listed_is_said_in_a_few_words(world: World, opened: Opener, own_folder: Path) -> None:
    for number in range(40):
        (own_folder / f"broken-{number}.gguf").write_bytes(b"no model at all")
    window = opened(world())
    assert "39 more files are not listed" in words(window.shelf)


# --- Recommended --------------------------------------------------------------------------------------------


def test_the_choices_come_best_first_with_reasons_memory_and_a_way_to_get_them(
    window: ModelsWindow, qtbot: QtBot
) -> None:
    qtbot.waitUntil(lambda: bool(window.choices.cards), timeout=WAIT)
    first = window.choices.cards[0]
    told = words(first)
    assert first.choice.model.id in told
    assert "to spare" in told
    assert "tokens/s" in told
    assert first.choice.model.licence in told
    assert first.getting.button.text() == "Download"
    assert "Counted with" in words(window.choices)


def test_another_purpose_is_another_ranking(window: ModelsWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: bool(window.choices.cards), timeout=WAIT)
    before = [card.choice.model.id for card in window.choices.cards]
    window.choices.purpose.setFocus()
    QTest.keyClicks(window.choices.purpose, "the least")
    qtbot.waitUntil(lambda: [card.choice.model.id for card in window.choices.cards] != before, timeout=WAIT)


def test_a_choice_goes_on_to_be_downloaded_and_used(window: ModelsWindow, hub: Hub, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: bool(window.choices.cards), timeout=WAIT)
    card = window.choices.cards[0]
    model = card.choice.model
    hub.offer(model.repo, model.file)
    card.getting.button.click()
    qtbot.waitUntil(lambda: card.getting.button.text() == "Use", timeout=WAIT)
    card.getting.button.click()
    qtbot.waitUntil(lambda: "from now on" in card.getting.text, timeout=WAIT)


# --- Search -------------------------------------------------------------------------------------------------


def found(window: ModelsWindow, text: str, qtbot: QtBot) -> list[ResultCard]:
    """What a search comes to."""
    window.search.setText(text)
    QTest.keyClick(window.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not window.results.looking, timeout=WAIT)
    return window.results.cards


def test_a_result_says_whether_it_fits_before_anything_is_downloaded(
    window: ModelsWindow, hub: Hub, own_folder: Path, qtbot: QtBot
) -> None:
    hub.offer("org/Zebra-1B-GGUF", "zebra-Q4_K_M.gguf", "zebra-Q8_0.gguf")
    (card,) = found(window, "zebra", qtbot)
    assert not card.getting.button.isVisible(), "which file is not known yet"
    card.look.click()
    qtbot.waitUntil(lambda: "Fits in memory" in card.fit.text, timeout=WAIT)
    assert card.form.count() == 2
    assert card.form.currentText().startswith("Q4_K_M")
    assert list(own_folder.iterdir()) == []


def test_a_named_file_is_looked_at_at_once_and_downloaded(
    window: ModelsWindow, hub: Hub, own_folder: Path, qtbot: QtBot
) -> None:
    hub.offer("org/Zebra-1B-GGUF", "zebra-Q4_K_M.gguf")
    (card,) = found(window, "org/Zebra-1B-GGUF/zebra-Q4_K_M.gguf", qtbot)
    qtbot.waitUntil(lambda: "Fits in memory" in card.fit.text, timeout=WAIT)
    card.getting.button.click()
    qtbot.waitUntil(lambda: card.getting.button.text() == "Use", timeout=WAIT)
    qtbot.waitUntil(lambda: names(window) == ["zebra-Q4_K_M"], timeout=WAIT)
    assert (own_folder / "org" / "Zebra-1B-GGUF" / "zebra-Q4_K_M.gguf").is_file()


def test_what_names_nothing_is_answered_with_what_would(window: ModelsWindow, qtbot: QtBot) -> None:
    assert found(window, "https://example.org/page.html", qtbot) == []
    assert "GGUF" in words(window.results)


def test_a_hub_that_cannot_be_asked_is_told_beside_what_we_know(
    window: ModelsWindow, hub: Hub, qtbot: QtBot
) -> None:
    hub.server.stop()
    cards = found(window, "qwen", qtbot)
    assert cards
    assert "127.0.0.1" in words(window.results)


def test_an_empty_field_leads_back(window: ModelsWindow, hub: Hub, qtbot: QtBot) -> None:
    found(window, "qwen", qtbot)
    assert window.results.isVisible()
    window.search.clear()
    assert window.tabs.isVisible()


# --- Downloads ----------------------------------------------------------------------------------------------


@pytest.fixture
def slow(window: ModelsWindow, hub: Hub, qtbot: QtBot) -> JobCard:
    """A download that takes a while."""
    folder = hub.offer("org/Slow-GGUF", "slow-Q4_K_M.gguf")
    with (folder / "slow-Q4_K_M.gguf").open("ab") as file:
        file.write(os.urandom(1_000_000))
    hub.server.set_fault("slow", 400_000, on="cdn")
    (card,) = found(window, "org/Slow-GGUF/slow-Q4_K_M.gguf", qtbot)
    card.getting.button.click()
    window.tabs.setCurrentWidget(window.downloads)
    qtbot.waitUntil(lambda: len(window.downloads.cards) == 1, timeout=WAIT)
    (job,) = window.downloads.cards.values()
    qtbot.waitUntil(lambda: job.bar.value() > 0, timeout=WAIT)
    return job


def test_a_download_shows_how_far_it_is_how_fast_and_how_long_it_takes(
    window: ModelsWindow, slow: JobCard, qtbot: QtBot
) -> None:
    qtbot.waitUntil(lambda: "left" in slow.status.text and "B/s" in slow.status.text, timeout=WAIT)
    assert window.tabs.tabText(2) == "Downloads (1)"


def test_a_paused_download_stands_still_and_goes_on(
    window: ModelsWindow, slow: JobCard, hub: Hub, qtbot: QtBot
) -> None:
    slow.buttons["pause"].click()
    qtbot.waitUntil(lambda: slow.status.text.startswith("paused"), timeout=WAIT)
    assert not slow.buttons["pause"].isVisibleTo(slow)
    hub.server.set_fault()
    slow.buttons["resume"].click()
    qtbot.waitUntil(lambda: slow.buttons["use"].isVisibleTo(slow), timeout=WAIT)


def test_what_was_paused_in_an_earlier_run_goes_on_when_it_is_asked_to(
    window: ModelsWindow, slow: JobCard, hub: Hub, opened: Opener, world: World, bridge: Bridge, qtbot: QtBot
) -> None:
    slow.buttons["pause"].click()
    qtbot.waitUntil(lambda: slow.status.text.startswith("paused"), timeout=WAIT)
    window.close()
    world.wait(bridge.run(world.started[0].stop()))
    hub.server.set_fault()
    again = opened(world())
    qtbot.waitUntil(lambda: len(again.downloads.cards) == 1, timeout=WAIT)
    (card,) = again.downloads.cards.values()
    assert card.status.text.startswith("paused"), "nobody asked it to go on"
    card.buttons["resume"].click()
    qtbot.waitUntil(lambda: card.buttons["use"].isVisibleTo(card), timeout=WAIT)


def test_a_cancelled_download_keeps_or_removes_what_has_arrived_as_the_person_says(
    window: ModelsWindow, slow: JobCard, own_folder: Path, qtbot: QtBot
) -> None:
    slow.buttons["cancel"].click()
    qtbot.waitUntil(lambda: asked(window) is not None, timeout=WAIT)
    press(window, "Remove it")
    qtbot.waitUntil(lambda: not window.downloads.cards, timeout=WAIT)
    said = "What had arrived is removed."
    qtbot.waitUntil(lambda: window.downloads.remark.text == said, timeout=WAIT)
    assert not [file for file in own_folder.rglob("*") if file.is_file()]


def test_closing_the_window_stops_no_download(
    window: ModelsWindow, slow: JobCard, hub: Hub, opened: Opener, world: World, qtbot: QtBot
) -> None:
    app = world.started[0]
    window.close()
    hub.server.set_fault()
    qtbot.waitUntil(lambda: [job.state for job in app.models.downloads.jobs()] == ["done"], timeout=WAIT)
    assert names(opened(app)) == ["slow-Q4_K_M"]


def test_a_download_that_fails_says_why_and_can_be_tried_again(
    window: ModelsWindow, slow: JobCard, hub: Hub, qtbot: QtBot
) -> None:
    slow.buttons["pause"].click()
    qtbot.waitUntil(lambda: slow.status.text.startswith("paused"), timeout=WAIT)
    hub.server.set_fault("error_500", on="all")
    slow.buttons["resume"].click()
    qtbot.waitUntil(lambda: slow.buttons["retry"].isVisibleTo(slow), timeout=WAIT)
    assert slow.status.text
    hub.server.set_fault()
    slow.buttons["retry"].click()
    qtbot.waitUntil(lambda: slow.buttons["use"].isVisibleTo(slow), timeout=WAIT)
