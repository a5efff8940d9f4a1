"""The computer stays awake while we want it, and not a moment longer: logind's lock on a real bus."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisper_desktop.machine import stay_awake
from whisper_desktop.machine.stay_awake import StayAwake

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds for something that takes milliseconds

_MISSING = [tool for tool in ("systemd-inhibit", "dbus-daemon") if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")


class Logind:
    """The lock on a bus of its own; `said` is what happened to it next."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._lines: queue.Queue[list[str]] = queue.Queue()
        assert process.stdout is not None
        self._stream = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put(line.rstrip("\n").split("\t"))

    def said(self) -> list[str]:
        return self._lines.get(timeout=PATIENCE)


@pytest.fixture
def logind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logind]:
    config = ROOT / "packaging" / "dev_bus.conf"
    bus = subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--print-address", "--nofork"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bus.stdout is not None
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.stdout.readline().strip())
    service = subprocess.Popen(
        [sys.executable, "-m", "tests.machine.logind"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        lock = Logind(service)
        assert lock.said() == ["ready"]
        yield lock
    finally:
        for process in (service, bus):
            process.terminate()
            process.wait(PATIENCE)
            assert process.stdout is not None
            process.stdout.close()


def test_sleep_is_held_off_with_a_reason_and_let_go(logind: Logind) -> None:
    awake = StayAwake()
    awake.hold("A model is being downloaded")
    assert logind.said() == ["held", "idle:sleep", "Whisper Desktop", "A model is being downloaded", "block"]
    assert awake.is_held
    awake.release()
    assert logind.said() == ["released"]
    assert not awake.is_held


def test_holding_twice_is_holding_once(logind: Logind) -> None:
    awake = StayAwake()
    awake.hold("First")
    awake.hold("Second")
    assert logind.said()[3] == "First"
    awake.release()
    assert logind.said() == ["released"]


def test_a_crash_of_ours_lets_go(logind: Logind) -> None:
    program = "import time; from whisper_desktop.machine.stay_awake import StayAwake; "
    program += "awake = StayAwake(); awake.hold('Long work'); time.sleep(600)"
    ours = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    assert logind.said()[0] == "held"
    ours.kill()
    ours.wait(PATIENCE)
    assert logind.said() == ["released"]


def test_without_such_a_service_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
    awake = StayAwake()
    awake.hold("Long work")
    awake.release()
    assert capfd.readouterr() == ("", "")


def test_without_the_program_nothing_is_held() -> None:
    assert stay_awake.command("Long work", platform="linux", which=lambda _name: None) is None


def test_macos_waits_for_the_end_of_this_program() -> None:
    command = stay_awake.command("Long work", platform="darwin", which=lambda name: f"/usr/bin/{name}")
    assert command == ("/usr/bin/caffeinate", "-i", "-w", str(os.getpid()))
