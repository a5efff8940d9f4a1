"""The wizard with the real core and real servers: found, chosen, noticed, tested, written once at the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QRadioButton
from pytestqt.qtbot import QtBot

from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.ui.conftest import WAIT, Shown, World
from whisper_desktop.advice.flow import FlowState, Option, Page
from whisper_desktop.app import App
from whisper_desktop.models.catalogue import load
from whisper_desktop.settings import paths
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.code_spans import without_marks
from whisper_desktop.ui.wizard.facts import facts, progress
from whisper_desktop.ui.wizard.pages import KeyField, ModelField
from whisper_desktop.ui.wizard.window import SetupWindow
from whisper_desktop.values import GpuInfo, ResourceInfo, ServerInfo, ServerStatus

CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}

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
        return window

    return open_it


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
    window.next.click()
    assert page(window) is Page.DONE
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
    qtbot.waitUntil(window.next.isEnabled, timeout=WAIT)
    window.next.click()
    assert window.state.choice is not None
    assert window.state.choice.model == "llama3.2:3b", "what is there is tested, not what was recommended"


def test_a_model_is_downloaded_right_there_and_answers_through_the_built_in_engine(
    world: World,
    opened: Opener,
    servers: ServerFactory,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("xllamacpp")
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    window = opened(world())
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
    window.next.click()
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
    QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Return)
    assert page(window) is Page.DONE
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
    field = window.do.findChild(KeyField)
    assert field is not None
    assert window.focusWidget() is field.field
    QTest.keyClicks(field.field, "sk-or-v1-0123456789abcdef")
    QTest.keyClick(field.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.state.key_stored, timeout=WAIT)
    assert field.field.text() == ""
    assert not window.next.isEnabled(), "which model is still open"
    model = window.do.findChild(ModelField)
    assert model is not None
    model.field.setText("meta/llama-3.1-8b-instruct")
    assert window.next.isEnabled()
    for file in Path(paths.config_dir()).glob("*"):
        assert "0123456789abcdef" not in file.read_text("utf-8")


def test_a_bad_key_is_refused_with_a_reason(world: World, opened: Opener, qtbot: QtBot) -> None:
    window = opened(world())
    pick(window, "OpenRouter")
    window.next.click()
    field = window.do.findChild(KeyField)
    assert field is not None
    field.field.setText("two words")
    QTest.keyClick(field.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: any("two words" not in text and "key" in text.lower() for text in _words(field)))
    assert not window.state.key_stored
    assert field.field.text() == "two words"


def _words(widget: KeyField) -> list[str]:
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
