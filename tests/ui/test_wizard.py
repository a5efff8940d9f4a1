"""The wizard with the real core and real servers: found, chosen, noticed, tested, written once at the end."""

import asyncio
import os
import socket
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QRadioButton, QWidget
from pytestqt.qtbot import QtBot

from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.advice.flow import FlowState, Option, Page
from whisper_desktop.app import App
from whisper_desktop.machine import autostart
from whisper_desktop.models.catalogue import load
from whisper_desktop.settings import paths
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.wizard.facts import facts, progress
from whisper_desktop.ui.wizard.window import SetupWindow
from whisper_desktop.values import GpuInfo, Reach, ResourceInfo, ServerInfo, ServerStatus

CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}

_POOL = ThreadPoolExecutor(1)  # the browser

AUTOMATIC = {"backend": None, "model_name": None, "reach": "this_machine"}

MACHINE = ResourceInfo(
    os_name="Linux",
    os_version="6.1",
    arch="x86_64",
    cpu_name="A processor",
    cores_physical=4,
    cores_logical=8,
    ram_total_bytes=16_000_000_000,
    ram_available_bytes=9_800_000_000,
    gpus=(GpuInfo("nvidia", "RTX 3060", 12_900_000_000),),
)


# --- Facts: values ------------------------------------------------------------------------------------------


def test_at_first_every_row_is_waiting() -> None:
    rows = facts(FlowState())
    assert [row.name for row in rows] == [
        "Memory",
        "Processor",
        "Graphics",
        "LM Studio",
        "Ollama",
        "OpenRouter",
    ]
    assert {row.tone for row in rows} == {"waiting"}


def test_rows_keep_their_places_while_results_come_in() -> None:
    first = FlowState()
    second = replace(first, resources=MACHINE)
    third = replace(
        second, servers=(ServerInfo("ollama", "Ollama", "", ServerStatus.NO_MODELS),), scanning=False
    )
    orders = [[row.name for row in facts(state)] for state in (first, second, third)]
    assert orders[0] == orders[1] == orders[2]


def test_rows_end_in_facts() -> None:
    servers = (
        ServerInfo("ollama", "Ollama", "", ServerStatus.NO_MODELS),
        ServerInfo("vllm", "vLLM", "", ServerStatus.UNREACHABLE),
        ServerInfo("jan", "Jan", "", ServerStatus.SOMETHING_ELSE),
    )
    state = FlowState(resources=MACHINE, servers=servers, scanning=False)
    assert {row.name: (row.text, row.tone) for row in facts(state)} == {
        "Memory": ("16.0 GB, 9.8 GB free", "good"),
        "Processor": ("A processor, 4 cores", "good"),
        "Graphics": ("RTX 3060, 12.9 GB", "good"),
        "LM Studio": ("not running", "neutral"),
        "Ollama": ("running, has no model yet", "warn"),
        "OpenRouter": ("no key yet", "neutral"),
        "Jan": ("another program answers at its address", "warn"),
    }


STRANGER = ServerInfo(
    "unknown",
    "Unknown",
    "http://127.0.0.1:11434",
    ServerStatus.SOMETHING_ELSE,
    detail="Port 11434, where Ollama usually listens, is taken by another program.",
)


def test_a_stranger_at_a_usual_port_is_told_in_the_row_of_the_server_that_belongs_there() -> None:
    rows = {row.name: row.text for row in facts(FlowState(servers=(STRANGER,), scanning=False))}
    assert rows["Ollama"] == "another program uses its port 11434"
    assert "Unknown" not in rows


@pytest.mark.parametrize(
    ("server", "begins", "more"),
    [
        (None, "Waiting for Ollama to answer…", ""),
        (STRANGER, "Ollama cannot answer yet: another program", STRANGER.detail),
        (
            ServerInfo(
                "ollama",
                "Ollama",
                "http://127.0.0.1:59819",
                ServerStatus.UNREACHABLE,
                as_given=True,
                detail="Nothing answers at 127.0.0.1:59819. No program listens on this port.",
            ),
            "Waiting for Ollama to answer…",
            "Looked for at http://127.0.0.1:59819.",
        ),
        (ServerInfo("ollama", "Ollama", "", ServerStatus.LOADING), "Ollama is loading a model…", ""),
        (
            ServerInfo("ollama", "Ollama", "", ServerStatus.NO_MODELS),
            "Ollama is running, without a model",
            "",
        ),
        (
            ServerInfo("ollama", "Ollama", "", ServerStatus.NEEDS_KEY, detail="Run `x`."),
            "Ollama is running and asks for a key.",
            "Run x.",
        ),
    ],
)
def test_while_waiting_the_page_says_calmly_what_for(
    server: ServerInfo | None, begins: str, more: str
) -> None:
    servers = (server,) if server is not None else ()
    sentence, detail = progress(FlowState(servers=servers, choice=Option("ollama", None, "Ollama", "")))
    assert sentence.startswith(begins)
    assert detail == more


# --- The window ---------------------------------------------------------------------------------------------


Opener = Callable[[App], SetupWindow]


@pytest.fixture
def opened(bridge: Bridge, shown: Shown, qtbot: QtBot) -> Opener:
    def open_it(app: App) -> SetupWindow:
        window = shown(SetupWindow(bridge, app))
        qtbot.waitUntil(lambda: window.state.recommendation is not None, timeout=WAIT)
        if page(window) is Page.WELCOME:
            window.next.click()
        return window

    return open_it


def to_the_end(window: SetupWindow) -> None:
    """From a test that went well to the last page, with everything as it is proposed."""
    while page(window) is not Page.DONE:
        before = page(window)
        window.next.click()
        assert page(window) is not before, f"stuck at {before}"


def page(window: SetupWindow) -> Page:
    """Where the wizard stands."""
    return window.state.page


def choices() -> dict[str, object]:
    """What the app has written down."""
    file = Path(paths.config_dir()) / paths.CHOICES_FILE
    return yaml.safe_load(file.read_text("utf-8")) or {} if file.exists() else {}


def pick(window: SetupWindow, words: str) -> None:
    button = next(button for button in window.found.findChildren(QRadioButton) if words in button.text())
    button.click()


def test_the_recommendation_is_already_chosen_with_its_reasons(world: World, opened: Opener) -> None:
    window = opened(world())
    recommendation = window.state.recommendation
    assert recommendation is not None
    words = " ".join(label.text() for label in window.found.findChildren(QLabel))
    assert all(without_marks(reason) in words for reason in recommendation.reasons)
    assert next(button for button in window.found.findChildren(QRadioButton)).isChecked()
    assert window.next.isEnabled()


def test_from_a_running_server_to_a_first_answer(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    app = world(lm_studio=lm_studio.port)
    window = opened(app)
    assert window.next.text() == "Test it"
    window.next.click()
    assert page(window) is Page.TEST
    qtbot.waitUntil(lambda: window.state.test is not None, timeout=WAIT)
    assert window.state.test is not None
    assert window.state.test.ok, window.state.test
    words = " ".join(label.text() for label in window.test.findChildren(QLabel))
    assert "qwen3.5-4b · LM Studio · this computer" in words
    assert choices() == {}, "the wizard must not write before its end"
    to_the_end(window)
    assert choices() == {}, "nor on the pages after the test"
    with qtbot.waitSignal(window.requested, timeout=WAIT) as said:
        window.next.click()
    assert said.args == ["chat"]
    assert choices() == {
        "llm": {"backend": "lm_studio", "model_name": "qwen3.5-4b", "reach": "this_machine"},
        "ui": {"setup_done": True},
    }


def test_a_failed_test_says_why_and_can_be_repeated(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    window = opened(world(lm_studio=lm_studio.port))
    lm_studio.set_fault("payment_402")
    window.next.click()
    qtbot.waitUntil(lambda: window.state.test is not None, timeout=WAIT)
    assert window.state.test is not None
    assert not window.state.test.ok
    assert window.state.test.title
    assert not window.next.isEnabled()
    lm_studio.set_fault()
    window.test.again.click()
    qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)


def test_a_server_that_is_started_meanwhile_is_noticed(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    port = closed_port()
    window = opened(world(ollama=port))
    pick(window, "Ollama")
    window.next.click()
    assert page(window) is Page.DO
    assert not window.next.isEnabled()
    servers("ollama", port=port, models=[{"id": "llama3.2:3b", "size_bytes": 2_000_000_000}])
    qtbot.waitUntil(window.do.instead.isVisible, timeout=WAIT)
    assert not window.next.isEnabled(), "the model that was chosen is not there"
    assert window.do.instead.text() == "Use llama3.2:3b instead"
    window.do.instead.click()
    assert window.next.isEnabled()
    window.next.click()
    assert window.state.choice is not None
    assert window.state.choice.model == "llama3.2:3b"


def test_the_chosen_model_is_noticed_when_it_arrives(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    ollama = servers("ollama", models=[])
    window = opened(world(ollama=ollama.port))
    pick(window, "Ollama")
    window.next.click()
    assert page(window) is Page.DO
    wanted = window.state.choice.model if window.state.choice is not None else None
    assert wanted is not None
    ollama.set_models(["nomic-embed-text", wanted])
    qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)


def test_a_model_is_downloaded_right_there_and_answers_through_the_built_in_engine(
    world: World,
    opened: Opener,
    servers: ServerFactory,
    bridge: Bridge,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("xllamacpp")
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    app = world()
    window = opened(app)
    pick(window, "on Built-in")
    assert window.state.choice is not None
    model = load().find(window.state.choice.model or "")
    assert model is not None
    folder = tmp_path / "hub" / model.repo
    folder.mkdir(parents=True)
    write_tiny_model(folder / model.file)
    window.next.click()
    assert page(window) is Page.DO
    assert not window.next.isEnabled()
    assert choices() == {}, "nothing is decided before something is downloaded"
    with qtbot.waitSignal(window.downloading, timeout=WAIT):
        window.do.download.button.click()
    qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)
    window.next.click()
    qtbot.waitUntil(lambda: window.state.test is not None, timeout=60_000)
    assert window.state.test is not None
    assert window.state.test.ok, window.state.test
    window.back.click()
    arrived = app.loaded.settings.llm.own_model
    assert arrived is not None
    assert window.do.download.away.text() == "Remove"
    window.do.download.away.click()
    qtbot.waitUntil(lambda: "is deleted" in window.do.download.remark.text, timeout=WAIT)
    assert not arrived.exists()
    assert app.loaded.settings.llm.own_model is None
    qtbot.waitUntil(lambda: not window.next.isEnabled(), timeout=WAIT)
    assert window.do.download.button.isEnabled(), "it can be fetched again"


def test_a_download_that_cannot_begin_says_why_and_can_be_tried_again(
    world: World,
    opened: Opener,
    servers: ServerFactory,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "hub").mkdir()
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    window = opened(world())
    pick(window, "on Built-in")
    window.next.click()
    window.do.download.button.click()
    qtbot.waitUntil(lambda: bool(window.do.download.remark.text), timeout=WAIT)
    assert window.do.download.button.isEnabled()


def test_the_guide_answers_through_the_real_engine(world: World, opened: Opener, qtbot: QtBot) -> None:
    pytest.importorskip("xllamacpp")
    window = opened(world())
    pick(window, "Only the guide")
    window.next.click()
    qtbot.waitUntil(lambda: window.state.test is not None, timeout=60_000)
    assert window.state.test is not None
    assert window.state.test.ok, window.state.test
    to_the_end(window)
    with qtbot.waitSignal(window.requested, timeout=WAIT) as said:
        window.next.click()
    assert said.args == ["guide"]
    assert choices() == {"llm": AUTOMATIC, "ui": {"setup_done": True}}


def test_enter_alone_leads_through_the_wizard(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    window = opened(world(lm_studio=lm_studio.port))
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert page(window) is Page.TEST
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert page(window) is Page.TEST, "the test is not over yet"
    qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)
    for expected in (Page.PRIVACY, Page.START, Page.DONE):
        QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Return)
        assert page(window) is expected
    with qtbot.waitSignal(window.requested, timeout=WAIT):
        QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Return)


def test_enter_presses_the_button_that_has_the_focus(world: World, opened: Opener) -> None:
    window = opened(world())
    pick(window, "Ollama")
    window.next.click()
    assert page(window) is Page.DO
    window.back.setFocus()
    QTest.keyClick(window.back, Qt.Key.Key_Return)
    assert page(window) is Page.FOUND


def test_back_keeps_what_was_chosen(world: World, opened: Opener) -> None:
    window = opened(world())
    pick(window, "OpenRouter")
    window.next.click()
    assert page(window) is Page.DO
    window.back.click()
    assert page(window) is Page.FOUND
    assert window.state.choice is not None
    assert window.state.choice.backend == "openrouter"


def test_a_key_is_kept_by_the_core_and_leaves_the_window(world: World, opened: Opener, qtbot: QtBot) -> None:
    app = world()
    window = opened(app)
    pick(window, "OpenRouter")
    window.next.click()
    cloud = window.do.cloud
    assert window.focusWidget() is cloud.sign_in
    cloud.by_key.button.click()
    cloud.key.field.setFocus()
    QTest.keyClicks(cloud.key.field, "sk-or-v1-0123456789abcdef")
    QTest.keyClick(cloud.key.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.state.key_stored, timeout=WAIT)
    assert cloud.key.field.text() == ""
    cloud.model.clear()
    assert not window.next.isEnabled(), "which model is still open"
    cloud.model.setText("meta/llama-3.1-8b-instruct")
    assert window.next.isEnabled()
    for file in Path(paths.config_dir()).glob("*"):
        assert "0123456789abcdef" not in file.read_text("utf-8")


def test_a_bad_key_is_refused_with_a_reason(world: World, opened: Opener, qtbot: QtBot) -> None:
    window = opened(world())
    pick(window, "OpenRouter")
    window.next.click()
    window.do.cloud.by_key.button.click()
    key = window.do.cloud.key
    key.field.setFocus()
    key.field.setText("two words")
    QTest.keyClick(key.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: any("two words" not in text and "key" in text.lower() for text in _words(key)))
    assert not window.state.key_stored
    assert key.field.text() == "two words"


def _words(widget: QWidget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel)]


def test_not_now_is_remembered_the_first_time(world: World, opened: Opener, qtbot: QtBot) -> None:
    window = opened(world())
    with qtbot.waitSignal(window.requested, timeout=WAIT) as said:
        window.not_now.click()
    assert said.args == ["guide"], "without a server, the guide is what answers"
    assert choices() == {"ui": {"setup_done": True}}


def test_not_now_changes_nothing_when_setup_was_done_before(
    world: World, opened: Opener, bridge: Bridge, qtbot: QtBot
) -> None:
    app = world()
    world.wait(bridge.run(app.remember({"ui.setup_done": True, "llm.backend": "ollama"})))
    before = choices()
    window = opened(app)
    pick(window, "OpenRouter")
    with qtbot.waitSignal(window.requested, timeout=WAIT):
        window.not_now.click()
    assert choices() == before


def test_closing_the_window_writes_nothing(world: World, opened: Opener) -> None:
    window = opened(world())
    window.close()
    assert choices() == {}


# --- Welcome, privacy, the start, and going on later --------------------------------------------------------


def test_the_first_time_it_begins_with_a_welcome_and_later_with_what_was_found(
    world: World, shown: Shown, bridge: Bridge
) -> None:
    app = world()
    first = shown(SetupWindow(bridge, app))
    assert page(first) is Page.WELCOME
    assert first.next.isEnabled()
    first.close()
    again = world()
    world.wait(bridge.run(again.remember({"ui.setup_done": True})))
    assert page(shown(SetupWindow(bridge, again))) is Page.FOUND


def at_privacy(window: SetupWindow, qtbot: QtBot) -> None:
    """On to how far prompts may go, with a first answer on the way."""
    while page(window) is not Page.PRIVACY:
        qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)
        window.next.click()


def test_what_is_written_stays_here_unless_the_person_says_otherwise(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    window = opened(world(lm_studio=lm_studio.port))
    at_privacy(window, qtbot)
    assert window.privacy.buttons[Reach.THIS_MACHINE].isChecked()
    window.privacy.buttons[Reach.MY_NETWORK].click()
    window.back.click()
    window.next.click()
    assert window.privacy.buttons[Reach.MY_NETWORK].isChecked(), "going back loses nothing"
    to_the_end(window)
    with qtbot.waitSignal(window.requested, timeout=WAIT):
        window.next.click()
    assert choices()["llm"] == {
        "backend": "lm_studio",
        "model_name": "qwen3.5-4b",
        "reach": "my_network",
    }


def test_starting_with_the_computer_is_off_at_first_and_set_at_the_end(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    window = opened(world(lm_studio=lm_studio.port))
    at_privacy(window, qtbot)
    window.next.click()
    assert page(window) is Page.START
    assert not window.start.box.isChecked()
    window.start.box.click()
    window.next.click()
    assert not autostart.is_on(), "not before the end"
    with qtbot.waitSignal(window.requested, timeout=WAIT):
        window.next.click()
    try:
        assert autostart.is_on()
    finally:
        autostart.set_on(False)


def test_closed_in_the_middle_it_goes_on_there(
    world: World, opened: Opener, shown: Shown, bridge: Bridge, qtbot: QtBot
) -> None:
    app = world()
    window = opened(app)
    pick(window, "Ollama")
    window.next.click()
    window.close()
    again = shown(SetupWindow(bridge, app))
    assert page(again) is Page.DO
    assert again.state.choice is not None
    assert again.state.choice.backend == "ollama"
    again.back.click()
    assert page(again) is Page.FOUND


def test_a_wizard_that_was_left_on_purpose_begins_anew(
    world: World, opened: Opener, shown: Shown, bridge: Bridge, qtbot: QtBot
) -> None:
    app = world()
    window = opened(app)
    pick(window, "Ollama")
    window.next.click()
    with qtbot.waitSignal(window.requested, timeout=WAIT):
        window.not_now.click()
    assert page(shown(SetupWindow(bridge, app))) is Page.FOUND


def test_after_a_restart_the_download_that_was_begun_is_the_choice(
    world: World,
    opened: Opener,
    servers: ServerFactory,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = servers("hub", "--folder", str(tmp_path / "hub"), "--fault", '{"mode": "hang", "on": "cdn"}')
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    window = opened(world())
    pick(window, "on Built-in")
    choice = window.state.choice
    assert choice is not None
    model = load().find(choice.model or "")
    assert model is not None
    folder = tmp_path / "hub" / model.repo
    folder.mkdir(parents=True)
    write_tiny_model(folder / model.file)
    window.next.click()
    with qtbot.waitSignal(window.downloading, timeout=WAIT):
        window.do.download.button.click()
    window.close()
    later = opened(world())
    qtbot.waitUntil(lambda: later.state.choice == choice, timeout=WAIT)


# --- Signing in in the browser ------------------------------------------------------------------------------


Browser = list[str]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """The addresses that a browser was opened at; `visit` is the person in it."""
    opened: Browser = []

    def open_url(url: QUrl) -> bool:
        opened.append(url.toString(QUrl.ComponentFormattingOption.FullyEncoded))
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", open_url)
    return opened


def visit(address: str) -> None:
    with urllib.request.urlopen(address) as reply:
        reply.read()


def at_openrouter(world: World, opened: Opener, url: str) -> SetupWindow:
    os.environ["WHISPER_LLM__OPENROUTER__BASE_URL"] = url
    try:
        window = opened(world())
    finally:
        del os.environ["WHISPER_LLM__OPENROUTER__BASE_URL"]
    pick(window, "OpenRouter")
    window.next.click()
    assert page(window) is Page.DO
    return window


def test_signing_in_ends_in_a_key_and_a_first_answer(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot, browser: Browser
) -> None:
    server = servers("openrouter")
    window = at_openrouter(world, opened, server.url)
    window.do.cloud.sign_in.click()
    qtbot.waitUntil(lambda: bool(browser), timeout=WAIT)
    world.wait(asyncio.wrap_future(_POOL.submit(visit, browser[0]), loop=window.bridge.loop))
    qtbot.waitUntil(lambda: window.state.key_stored, timeout=WAIT)
    window.do.cloud.model.setText("openai/gpt-4o-mini")
    window.next.click()
    qtbot.waitUntil(lambda: window.state.test is not None, timeout=WAIT)
    assert window.state.test is not None
    assert window.state.test.ok, window.state.test
    at_privacy(window, qtbot)
    assert window.privacy.buttons[Reach.CLOUD].isChecked()
    window.privacy.buttons[Reach.THIS_MACHINE].click()
    words = " ".join(label.text() for label in window.privacy.findChildren(QLabel))
    assert "OpenRouter is farther away, so it asks before each conversation." in words


def test_a_sign_in_that_is_refused_says_so_and_can_be_begun_again(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot, browser: Browser
) -> None:
    server = servers("openrouter", "--sign-in", "deny")
    window = at_openrouter(world, opened, server.url)
    cloud = window.do.cloud
    cloud.sign_in.click()
    qtbot.waitUntil(lambda: bool(browser), timeout=WAIT)
    world.wait(asyncio.wrap_future(_POOL.submit(visit, browser[0]), loop=window.bridge.loop))
    qtbot.waitUntil(lambda: any("not allowed" in text for text in _words(cloud)), timeout=WAIT)
    assert cloud.sign_in.isVisible()
    assert not window.state.key_stored


def test_where_no_browser_can_be_opened_the_address_can_be_copied_and_all_called_off(
    world: World,
    opened: Opener,
    servers: ServerFactory,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: False)
    server = servers("openrouter")
    window = at_openrouter(world, opened, server.url)
    cloud = window.do.cloud
    cloud.sign_in.click()
    qtbot.waitUntil(cloud.copy.isVisible, timeout=WAIT)
    assert any("No browser could be opened." in text for text in _words(cloud))
    cloud.copy.click()
    assert QGuiApplication.clipboard().text().startswith(f"{server.url}/auth?callback_url=")
    cloud.cancel.click()
    qtbot.waitUntil(cloud.sign_in.isVisible, timeout=WAIT)


def test_leaving_the_page_ends_the_sign_in(
    world: World, opened: Opener, servers: ServerFactory, qtbot: QtBot, browser: Browser
) -> None:
    window = at_openrouter(world, opened, servers("openrouter").url)
    window.do.cloud.sign_in.click()
    qtbot.waitUntil(lambda: bool(browser), timeout=WAIT)
    callback = parse_qs(urlsplit(browser[0]).query)["callback_url"][0]
    window.back.click()

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", urlsplit(callback).port or 0)) != 0

    qtbot.waitUntil(closed, timeout=WAIT)
