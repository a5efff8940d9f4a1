"""The app always ends, completely: whatever hangs, whoever ends it, and what it has kept is kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.worlds import closed_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0  # seconds: far more than all stages of quitting may take
WHEN_READY = """
from PySide6.QtCore import QTimer
from whisper_desktop.app import App
from whisper_desktop.ui import main
from whisper_desktop.ui.desktop import Desktop

class Told(App):
    async def stop(self):
        await super().stop()
        print("stopped", flush=True)

make_app, ready = Told, lambda desktop: print("ready", flush=True)
{change}
started = Desktop._on_started

def on_started(self, app):
    started(self, app)
    QTimer.singleShot(0, lambda: ready(self))

Desktop._on_started = on_started
raise SystemExit(main.run_desktop(background={background}, make_app=lambda: make_app()))
"""


def program(change: str, home: Path, *, background: bool = True) -> "subprocess.Popen[str]":
    """The desktop, offscreen, with one thing changed."""
    ports = {f"WHISPER_LLM__{name}__PORT": str(closed_port()) for name in ("LMSTUDIO", "LLAMACPP")}
    env: Mapping[str, str] = {
        **os.environ,
        **ports,
        "OLLAMA_HOST": f"127.0.0.1:{closed_port()}",
        "QT_QPA_PLATFORM": "offscreen",
        "WHISPER_HOME": str(home),
        "WHISPER_UI__SETUP_DONE": "1",
        "WHISPER_LLM_STUB": "1",
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    return subprocess.Popen(
        [sys.executable, "-c", WHEN_READY.format(change=change, background=background)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """The exit code, and what it said."""
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, said.splitlines()


def test_an_ordinary_quit_stops_the_core(tmp_path: Path) -> None:
    assert ended(program("ready = lambda desktop: desktop.quit()", tmp_path)) == (0, ["stopped"])


def test_when_the_session_ends_qt_quits_and_the_core_is_stopped_all_the_same(tmp_path: Path) -> None:
    change = "from PySide6.QtCore import QCoreApplication\nready = lambda desktop: QCoreApplication.quit()"
    assert ended(program(change, tmp_path)) == (0, ["stopped"])


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_stops_the_core(number: str, tmp_path: Path) -> None:
    process = program("", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, number))
    assert ended(process) == (0, ["stopped"])


def test_a_core_that_hangs_does_not_keep_the_program(tmp_path: Path) -> None:
    change = """
import time
class Hanging(App):
    async def stop(self):
        time.sleep(600)  # blocks the whole core, as a system library might
make_app, ready = Hanging, lambda desktop: desktop.quit()
"""
    assert ended(program(change, tmp_path))[0] == 0


def test_a_window_that_hangs_does_not_keep_the_program(tmp_path: Path) -> None:
    change = """
import time
from whisper_desktop.ui.windows import Windows
Windows.leave = lambda self: time.sleep(600)
main._LONGEST_END = 2.0
ready = lambda desktop: desktop.quit()
"""
    begun = time.monotonic()
    code, _said = ended(program(change, tmp_path))
    assert code == 1
    assert time.monotonic() - begun < PATIENCE


def test_a_stage_that_fails_does_not_keep_the_next_from_ending(tmp_path: Path) -> None:
    change = """
async def fails(self):
    raise ZeroDivisionError
Desktop._keep_places = fails
ready = lambda desktop: desktop.quit()
"""
    assert ended(program(change, tmp_path)) == (0, ["stopped"])
