"""The whole app on a real X server: tray icon clicked, backend switched by menu, chat streamed, quit."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.engines.tiny_model import write_tiny_model
from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.ui.desktop.screen import ROOT, Program, Screen, missing_tools, wait_for

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {', '.join(missing_tools())}")

CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}


@pytest.fixture
def screen() -> Iterator[Screen]:
    with Screen() as screen:
        yield screen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose app finds nothing on this computer."""
    for name in ("LMSTUDIO", "LLAMACPP"):
        monkeypatch.setenv(f"WHISPER_LLM__{name}__PORT", str(closed_port()))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    return tmp_path / "home"


@pytest.fixture
def known_home(home: Path) -> Path:
    """A home folder in which the setup was done."""
    (home / "config").mkdir(parents=True)
    (home / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")
    return home


def kinds(program: Program) -> list[str]:
    """The kinds of the visible windows."""
    return [window["kind"] for window in program.ask("windows")]


def choices(home: Path) -> dict[str, dict[str, object]]:
    file = home / "config" / "choices.yaml"
    return yaml.safe_load(file.read_text("utf-8")) or {} if file.exists() else {}


def test_the_first_start_shows_the_wizard_and_not_now_leads_to_the_guide(screen: Screen, home: Path) -> None:
    with Program(screen, home) as program:
        wait_for("icon", lambda: program.ask("tray"))
        program.window("setup")
        program.click("button Not now", "answer to Not now", lambda: "setup" not in kinds(program))
        guide = program.window("guide")
        assert any("only knows this app" in text for text in guide["texts"])
        wait_for("setting", lambda: choices(home).get("ui", {}).get("setup_done"))


def test_a_click_on_the_icon_opens_a_chat_and_the_answer_streams_from_a_real_server(
    screen: Screen, known_home: Path, servers: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm_studio = servers("lm_studio", models=[CHAT_MODEL])
    monkeypatch.setenv("WHISPER_LLM__LMSTUDIO__PORT", str(lm_studio.port))
    with Program(screen, known_home, "--background") as program:
        program.click("tray", "chat", lambda: "chat" in kinds(program))
        wait_for("active chat", lambda: program.window("chat")["active"])
        program.write("Hello there")
        screen.keys("Return")
        wait_for(
            "answer", lambda: [row["by"] for row in program.window("chat")["rows"]] == [None, "LM Studio"]
        )
        question, answer = program.window("chat")["rows"]
        assert question["text"] == "Hello there"
        assert answer["text"]
        assert lm_studio.requests("/v1/chat/completions")


def test_the_backend_is_switched_by_the_menu_and_remembered(screen: Screen, known_home: Path) -> None:
    with Program(screen, known_home) as program:
        program.window("chat")
        # New chat, Quick ask, Backend, into it: Automatic, LM Studio, Ollama.
        program.choose("Down", "Down", "Down", "Right", "Down", "Down", "Return")
        wait_for("choice", lambda: choices(known_home).get("llm", {}).get("backend") == "ollama")
        wait_for("name in the window", lambda: "Ollama" in program.window("chat")["buttons"])


def test_a_model_is_found_and_downloaded_and_the_download_outlives_its_window(
    screen: Screen, known_home: Path, servers: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "hub" / "org" / "Zebra-GGUF"
    repo.mkdir(parents=True)
    write_tiny_model(repo / "zebra-Q4_K_M.gguf")
    hub = servers("hub", "--folder", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with Program(screen, known_home, "--background") as program:
        program.choose("Up", "Up", "Up", "Up", "Up", "Return")  # Quit, Logs, Settings, Setup, Models
        wait_for("active window", lambda: program.window("models")["active"])
        source = "org/Zebra-GGUF/zebra-Q4_K_M.gguf"
        screen.write(source)
        screen.keys("Return")
        wait_for("result", lambda: source in program.window("models")["texts"])
        wait_for("fit", lambda: any("Fits in" in text for text in program.window("models")["texts"]))
        hub.set_fault("slow", 50_000, on="cdn")  # two seconds
        program.click(
            "button Download", "download", lambda: "Download" not in program.window("models")["buttons"]
        )
        screen.keys("alt+F4")
        wait_for("closed window", lambda: not kinds(program))
        arrived = known_home / "data" / "models" / "org" / "Zebra-GGUF" / "zebra-Q4_K_M.gguf"
        wait_for("file", arrived.is_file)
        assert arrived.read_bytes() == (repo / "zebra-Q4_K_M.gguf").read_bytes()


def test_quit_in_the_menu_ends_everything(screen: Screen, known_home: Path) -> None:
    with Program(screen, known_home) as program:
        program.window("chat")
        children = psutil.Process(program.process.pid).children(recursive=True)
        program.choose("Up", "Return")
        assert program.ended() == 0
        assert program.said == ""
        assert not psutil.wait_procs(children, timeout=3)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_quits_in_the_ordinary_way(screen: Screen, known_home: Path, number: signal.Signals) -> None:
    with Program(screen, known_home) as program:
        program.window("chat")
        program.process.send_signal(number)
        assert program.ended() == 0
        assert program.said == ""


def test_a_second_start_raises_the_first_and_ends(screen: Screen, known_home: Path) -> None:
    with Program(screen, known_home, "--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        second = subprocess.run(
            [sys.executable, "-m", "whisper_desktop"],
            cwd=ROOT,
            env={**screen.env, "WHISPER_HOME": str(known_home)},
            timeout=20,
            check=False,
        )
        assert second.returncode == 0
        program.window("chat")


def test_without_a_tray_host_a_window_stands_in_until_the_host_comes(known_home: Path) -> None:
    with Screen(tray=False) as screen, Program(screen, known_home) as program:
        stand_in = program.window("StandIn")
        expected = {
            "New chat",
            "Quick ask",
            "Backend",
            "Model",
            "Recent chats",
            "Setup…",
            "Settings…",
            "Quit",
        }
        assert expected <= {text.split(" (")[0] for text in stand_in["buttons"]}
        screen.start_tray()
        wait_for("icon", lambda: program.ask("tray"))
        wait_for(
            "end of the stand-in", lambda: "StandIn" not in [each["kind"] for each in program.ask("windows")]
        )


def test_when_the_tray_host_dies_the_stand_in_comes(screen: Screen, known_home: Path) -> None:
    with Program(screen, known_home, "--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        screen.stop_tray()
        program.window("StandIn")


def test_quit_from_the_stand_in_ends_the_app(known_home: Path) -> None:
    with Screen(tray=False) as screen, Program(screen, known_home, "--background") as program:
        program.window("StandIn")
        program.click("button Quit", "end", lambda: program.process.poll() is not None)
        assert program.ended() == 0
