"""Quick ask in the whole app on a real X server: keys, a selection, a link and a command open it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from tests.ui.desktop.other import Other, Selecting
from tests.ui.desktop.panel import Bus
from tests.ui.desktop.screen import ROOT, Program, Screen, missing_tools, wait_for
from tests.ui.test_hotkey import PortalService, needs_bus

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {', '.join(missing_tools())}")

CHAT_MODEL = {"id": "qwen3.5-4b", "loaded": True, "context_length": 8192, "size_bytes": 2_740_000_000}
SHORTCUT = "ctrl+alt+space"


@pytest.fixture
def screen() -> Iterator[Screen]:
    with Screen() as screen:
        yield screen


@pytest.fixture
def server(servers: ServerFactory) -> RunningServer:
    """A server with a model."""
    return servers("lm_studio", models=[CHAT_MODEL])


@pytest.fixture
def home(tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which the setup was done, and the server is all there is."""
    monkeypatch.setenv("WHISPER_LLM__LMSTUDIO__PORT", str(server.port))
    monkeypatch.setenv("WHISPER_LLM__LLAMACPP__PORT", str(closed_port()))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / "home" / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")
    return tmp_path / "home"


def shown(program: Program, kind: str = "ask") -> dict[str, Any] | None:
    """The window, where it is on the screen."""
    return next((window for window in program.ask("windows") if window["kind"] == kind), None)


def open_by_keys(screen: Screen, program: Program) -> None:
    """Press the keys until the window is in front: at the start it takes a moment before they work."""

    def look() -> bool:
        window = shown(program)
        if window is None or not window["active"]:
            screen.keys(SHORTCUT)
        return window is not None and window["active"]

    wait_for("window by the keys", look)


def asked(program: Program, kind: str = "ask") -> list[str]:
    window = shown(program, kind)
    return [row["text"] for row in window["rows"]] if window is not None else []


def answered(program: Program, kind: str = "ask") -> bool:
    window = shown(program, kind)
    return window is not None and [row["by"] for row in window["rows"]][1::2] == ["LM Studio"]


def test_the_keys_open_it_over_another_program_and_its_selection_goes_along(
    screen: Screen, home: Path
) -> None:
    with Program(screen, home, "--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        other = Other(screen)
        with Selecting(screen, "The train leaves at 7:04."):
            open_by_keys(screen, program)
            wait_for("quote", lambda: "“The train leaves at 7:04.”" in program.window("ask")["texts"])
            screen.write("When is that")
            screen.keys("Return")
            wait_for("answer", lambda: answered(program))
        assert asked(program)[0] == "> The train leaves at 7:04.\n\nWhen is that"

        screen.keys("Escape")
        wait_for("nothing on the screen", lambda: shown(program) is None)
        other.take_focus()
        open_by_keys(screen, program)
        assert asked(program)[0].endswith("When is that")

        screen.keys("ctrl+Return")
        wait_for(
            "chat", lambda: asked(program, "chat")[:1] == ["> The train leaves at 7:04.\n\nWhen is that"]
        )
        assert shown(program) is None
        other.close()


def whisper(screen: Screen, home: Path, *words: str, piped: str = "") -> "subprocess.CompletedProcess[str]":
    """A command in a terminal on this screen."""
    return subprocess.run(
        [sys.executable, "-m", "whisper_desktop", *words],
        cwd=ROOT,
        env={**os.environ, **screen.env, "WHISPER_HOME": str(home)},
        input=piped,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_command_and_a_link_put_a_text_into_it_and_send_nothing(
    screen: Screen, home: Path, server: RunningServer
) -> None:
    with Program(screen, home, "--background") as program:
        wait_for("icon", lambda: program.ask("tray"))
        wait_for("owner", lambda: (home / "run" / "owner.json").exists())
        done = whisper(screen, home, "ask", "Translate", "this:", piped="Guten Tag")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_for("text", lambda: program.window("ask")["fields"] == ["Translate this:\n\nGuten Tag"])

        assert whisper(screen, home, "ask", piped="Only this").returncode == 0
        wait_for("text", lambda: program.window("ask")["fields"] == ["Only this"])

        assert whisper(screen, home, "whisper://ask?text=What%20is%20GGUF%3F").returncode == 0
        wait_for("text", lambda: program.window("ask")["fields"] == ["What is GGUF?"])
        assert whisper(screen, home, "whisper://settings/ui.theme").returncode == 0
        wait_for("settings", lambda: shown(program, "settings"))
        assert whisper(screen, home, "whisper://cellar").returncode == 0
        assert server.requests("/v1/chat/completions") == []


def test_a_link_starts_the_app_where_it_does_not_run(
    screen: Screen, home: Path, server: RunningServer
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "whisper_desktop", "whisper://ask?text=Hello"],
        cwd=ROOT,
        env={**os.environ, **screen.env, "WHISPER_HOME": str(home)},
    )
    try:
        wait_for("window", lambda: screen.xdotool("search", "--onlyvisible", "--name", "^Quick ask"))
        assert server.requests("/v1/chat/completions") == []
    finally:
        process.terminate()
        assert process.wait(20) == 0


@needs_bus
def test_where_the_desktop_hands_out_keys_its_portal_opens_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")  # as under Xwayland, where X11 tells no keys
    with Bus() as bus, Screen(bus=bus.address) as screen:
        portal = PortalService(bus.address, "allow")
        try:
            with Program(screen, home, "--background") as program:
                assert portal.asked() == [["quick-ask", "CTRL+ALT+space"]]
                wait_for("icon", lambda: program.ask("tray"))
                portal.do("press")
                wait_for("window by the portal", lambda: shown(program))
        finally:
            portal.end()
