"""Stand-ins for other makers' programs: real executables that behave as LM Studio's and Ollama's do.

`install` writes them into a home folder of a test; `script.json` beside them says how they misbehave:
`{"hang": ["ps"], ...}`. None of them outlives its test: each ends by itself after a minute, and `end_all`
ends those that were started by others.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
LIFE_S = 60


class Home:
    """A person's home folder with some of the programs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lm_studio = folder / ".lmstudio"
        self.bin = folder / "bin"
        for each in (self.lm_studio / "bin", self.lm_studio / ".internal", self.bin):
            each.mkdir(parents=True, exist_ok=True)

    @property
    def env(self) -> dict[str, str]:
        """An environment in which only these programs, and those of the system, are found."""
        system = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "HOME")}
        return {**system, "HOME": str(self.folder), "PATH": f"{self.bin}:/usr/bin:/bin"}

    def script(self, **behaviour: object) -> None:
        """Says how the programs behave from now on: see each of them."""
        (self.folder / "script.json").write_text(json.dumps(behaviour))

    def install_lms(self) -> Path:
        """LM Studio with its tool `lms`, as it is after its first start."""
        return self._install(self.lm_studio / "bin" / "lms", "lms.py")

    def install_appimage(self) -> Path:
        """LM Studio's AppImage, allowed to run."""
        return self._install(self.folder / "LM-Studio-1.1.7-x64.AppImage", "appimage.py")

    def install_ollama(self) -> Path:
        """Ollama's program on PATH."""
        return self._install(self.bin / "ollama", "ollama_program.py")

    def install_systemctl(self) -> Path:
        """A service manager that knows one service of this user: Ollama."""
        unit = self.folder / ".config" / "systemd" / "user" / "ollama.service"
        unit.parent.mkdir(parents=True)
        unit.write_text("[Service]\nExecStart=ollama serve\n")
        return self._install(self.bin / "systemctl", "systemctl.py")

    def _install(self, path: Path, program: str) -> Path:
        command = f'exec "{sys.executable}" -S -E "{HERE / program}" "{self.folder}" "$@"'
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)
        return path

    def wake(self) -> int:
        """LM Studio without a window, as if the person had started it; its process id."""
        info = self.lm_studio / ".internal" / "http-server.json"
        pid = detach(self.folder, "studio.py", "daemon")
        until = time.monotonic() + LIFE_S
        while not (info.exists() and info.read_text()):
            assert time.monotonic() < until, "it does not start"
            time.sleep(0.01)
        return pid

    def calls(self) -> list[list[str]]:
        """The commands that were given to the programs so far, oldest first."""
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def pids(self, name: str = "*") -> list[int]:
        """Processes that the programs have left running on their own."""
        return [int(path.suffix[1:]) for path in self.folder.glob(f"pid-{name}.*")]

    def end_all(self) -> None:
        """Ends what was left running."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)  # where we started it
        shutil.rmtree(self.lm_studio, ignore_errors=True)


# --- For the programs themselves --------------------------------------------------------------------------


def behaviour(home: Path) -> dict[str, Any]:
    """How they are to behave."""
    try:
        found: dict[str, Any] = json.loads((home / "script.json").read_text())
    except OSError:
        return {}
    return found


def note_call(home: Path, words: list[str]) -> None:
    """Keeps the words that a program was called with."""
    with (home / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")


def note_pid(home: Path, name: str) -> None:
    """Keeps the process id of one that lives on its own, and sets its end."""
    (home / f"pid-{name}.{os.getpid()}").touch()
    signal.alarm(LIFE_S)


def detach(home: Path, program: str, *words: str) -> int:
    """Starts another stand-in that lives on its own, without our streams."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-E", str(HERE / program), str(home), *words],
        dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)],
        setsid=True,
    )
    os.close(nowhere)
    return pid
