"""How this program is started by the system: the command for autostart and menu entries."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

APP_ID = "whisper-desktop"
"""The name of the desktop entry, of its icon, and of the windows' application id."""

NAME = "Whisper Desktop"


def own_command(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The words that start this program from anywhere, absolute: AppImage, frozen program, script, module."""
    environ = os.environ if env is None else env
    if image := environ.get("APPIMAGE"):
        return (image,)
    if getattr(sys, "frozen", False):
        return (sys.executable,)
    python = Path(sys.executable)
    script = python.with_name(APP_ID + (".exe" if sys.platform == "win32" else ""))
    if script.is_file():
        return (str(script),)
    windowless = python.with_name("pythonw.exe")
    return (str(windowless if windowless.is_file() else python), "-m", "whisper_desktop")
