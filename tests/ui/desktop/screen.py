"""A real X server with a window manager and a tray host, and the app on it: what a person has before them."""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("Xvfb", "openbox", "trayer", "xdotool")
DEADLINE = 20.0  # seconds: how long a step may take on a busy machine
_PATIENCE = 1.0  # seconds before a click is repeated
SIZE = (1280, 900)


def missing_tools() -> list[str]:
    """What has to be installed before these tests can run."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    """Look again until there is something, and return it."""
    end = time.monotonic() + DEADLINE
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"In {DEADLINE} s there was no {what}.")
        time.sleep(0.02)
    return found


class Screen:
    """Xvfb with openbox and, unless `tray` is false, a trayer at the top right. Use as a context manager.

    `bus` is the address of the session bus of what runs on it.
    """

    def __init__(self, *, tray: bool = True, size: tuple[int, int] = SIZE, bus: str = "disabled:") -> None:
        self._size = size
        self._bus = bus
        self._processes: list[subprocess.Popen[bytes]] = []
        self._tray: subprocess.Popen[bytes] | None = None
        self._wants_tray = tray
        self.display = ""

    def __enter__(self) -> "Screen":
        read, write = os.pipe()
        geometry = f"{self._size[0]}x{self._size[1]}x24"
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", geometry, "-nolisten", "tcp", "-wr"],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(server)
        os.close(write)
        with os.fdopen(read) as told:  # Xvfb picks a free number and writes it when it is ready
            self.display = f":{told.readline().strip()}"
        self._start("openbox")
        wait_for("window manager", self._has_window_manager)
        if self._wants_tray:
            self.start_tray()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_tray()
        for process in reversed(self._processes):
            process.terminate()
            process.wait(5)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a program on this screen."""
        foreign = ("WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP")
        env = {name: value for name, value in os.environ.items() if name not in foreign}
        return {
            **env,
            "DISPLAY": self.display,
            "QT_QPA_PLATFORM": "xcb",
            "DBUS_SESSION_BUS_ADDRESS": self._bus,
        }

    def start_tray(self) -> None:
        """Start the tray host."""
        options = [
            "--edge",
            "top",
            "--align",
            "right",
            "--widthtype",
            "request",
            "--height",
            "26",
            "--SetDockType",
            "true",
        ]
        self._tray = self._start("trayer", *options)

    def stop_tray(self) -> None:
        """The tray host ends, as when a desktop's panel crashes."""
        if self._tray is not None:
            self._tray.terminate()
            self._tray.wait(5)
            self._processes.remove(self._tray)
            self._tray = None

    def xdotool(self, *words: str | int) -> str:
        """One xdotool command; what it said."""
        command = ["xdotool", *(str(word) for word in words)]
        done = subprocess.run(
            command, env=self.env, check=False, capture_output=True, text=True, timeout=DEADLINE
        )
        return done.stdout

    def click(self, place: list[int], button: int = 1) -> None:
        """Move there and click."""
        self.xdotool("mousemove", *place, "click", button)

    def keys(self, *names: str) -> None:
        """Press keys, one after the other."""
        self.xdotool("key", "--delay", 40, *names)

    def write(self, text: str) -> None:
        """Type a text."""
        self.xdotool("type", "--delay", 5, text)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def _has_window_manager(self) -> bool:
        return bool(self.xdotool("get_desktop").strip())


class Program:
    """The app as a process on a screen, with the probe's answers. Use as a context manager."""

    def __init__(self, screen: Screen, home: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        self._screen = screen
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.desktop.probe", *args],
            cwd=ROOT,
            env={**screen.env, "WHISPER_HOME": str(home), **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for pipe in (self.process.stdin, self.process.stdout, self._errors):
                if pipe is not None:
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    @property
    def said(self) -> str:
        """What the app wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    def ask(self, question: str) -> Any:
        """The probe's answer. Raises `AssertionError` where the app has ended."""
        assert self.process.poll() is None, f"The app has ended: {self.said}"
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return json.loads(self._lines.get(timeout=DEADLINE))

    def window(self, kind: str) -> dict[str, Any]:
        """The window of this kind, waited for."""
        found: dict[str, Any] = wait_for(f"window {kind}", lambda: self._find(kind))
        return found

    def _find(self, kind: str) -> dict[str, Any] | None:
        return next((window for window in self.ask("windows") if window["kind"] == kind), None)

    def click(self, target: str, what: str, done: Callable[[], Any], button: int = 1) -> Any:
        """Click on a target (a question that is answered with a place) until it has the effect, as people do.

        Once is not always enough: window manager and tray host move windows shortly after they have appeared.
        """

        def look() -> Any:
            if (place := self.ask(target)) is not None:
                self._screen.click(place, button)
            end = time.monotonic() + _PATIENCE
            while time.monotonic() < end:
                if found := done():
                    return found
                time.sleep(0.02)
            return None

        return wait_for(what, look)

    def write(self, text: str) -> None:
        """Type a text into the chat until it stands there: a key that comes as the focus changes is lost."""

        def look() -> bool:
            self._screen.keys("ctrl+a")
            self._screen.write(text)
            end = time.monotonic() + _PATIENCE
            while (written := self.window("chat")["draft"]) != text and time.monotonic() < end:
                time.sleep(0.02)
            return bool(written == text)

        wait_for(f"draft {text!r}", look)

    def choose(self, *keys: str) -> None:
        """Open the tray's menu and press these keys."""
        self.click("tray", "menu", lambda: self.ask("menu"), button=3)
        self._screen.keys(*keys)

    def ended(self) -> int:
        """The exit code, waited for."""
        return self.process.wait(DEADLINE)
