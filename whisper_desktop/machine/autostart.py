"""Whether the app starts with the computer: kept where the system keeps such things, and read from there.

Linux: an entry in `~/.config/autostart` (https://specifications.freedesktop.org/autostart-spec/latest/).
macOS: an agent of launchd. Windows: a value under the key `Run`, which the task manager may switch off
elsewhere. Written for macOS and Windows from their documents, and not run there so far.
"""

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.machine import desktop_entry
from whisper_desktop.machine.own_program import APP_ID, NAME, own_command

BACKGROUND = "--background"

_AGENT = "app.whisper-desktop"
_RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
_APPROVED = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
_SANDBOX = "/.flatpak-info"


def is_on(env: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> bool:
    """Whether the system will start the app. What cannot be read counts as no."""
    environ = os.environ if env is None else env
    try:
        if platform == "win32":
            return _is_on_windows()
        if platform == "darwin":
            return agent_is_on(_agent(environ).read_bytes())
        text = _entry(environ).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    return entry_is_on(text, environ.get("XDG_CURRENT_DESKTOP", ""))


def set_on(wanted: bool, env: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> None:
    """Let the system start the app, or not any more. Raises `SettingsError`, in words."""
    environ = os.environ if env is None else env
    if reason := why_not(env, platform=platform):
        raise SettingsError(tr("The app cannot be started with the computer."), reason)
    try:
        if platform == "win32":
            _set_windows(wanted)
        elif platform == "darwin":
            _put(_agent(environ), agent() if wanted else None)
        else:
            _put(_entry(environ), entry(env).encode() if wanted else None)
    except OSError as error:
        raise SettingsError(
            tr("Starting with the computer could not be changed."),
            tr("The system says: {reason}.", reason=error.strerror or str(error)),
            tr("Change it in your system's settings, under startup applications."),
        ) from error


def why_not(env: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> str:
    """A sentence that says why it cannot be set here; "" where it can."""
    if platform in ("win32", "darwin"):
        return ""
    if not platform.startswith("linux") and "bsd" not in platform:
        return tr("This app does not know how this system starts programs.")
    if os.path.exists(_SANDBOX):
        return tr("It runs in a sandbox. Add it to the startup applications in your system's settings.")
    folder = _entry(os.environ if env is None else env).parent
    while not folder.exists():
        folder = folder.parent
    return "" if os.access(folder, os.W_OK) else tr("The folder {folder} cannot be written.", folder=folder)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- Linux ------------------------------------------------------------------------------------------------


def entry(env: Mapping[str, str] | None = None) -> str:
    """The autostart entry."""
    command = own_command(env)
    keys = {
        "Type": "Application",
        "Name": NAME,
        "Exec": desktop_entry.exec_line([*command, BACKGROUND]),
        "TryExec": desktop_entry.escaped(command[0]),
        "Icon": APP_ID,
        "Terminal": "false",
        "X-GNOME-Autostart-enabled": "true",
    }
    return desktop_entry.written({"Desktop Entry": keys})


def entry_is_on(text: str, desktop: str) -> bool:
    """Whether a desktop (`XDG_CURRENT_DESKTOP`) starts what this entry says: it may be switched off in it."""
    keys = desktop_entry.read(text)
    if not keys.get("Exec") or "true" in (keys.get("Hidden"), keys.get("X-KDE-autostart-disabled")):
        return False
    if keys.get("X-GNOME-Autostart-enabled", "true").lower() == "false":
        return False
    tried = keys.get("TryExec", "").replace("\\\\", "\\")
    if tried and shutil.which(tried) is None:
        return False
    here = {name.casefold() for name in desktop.split(":") if name}
    only, never = (_listed(keys.get(key, "")) for key in ("OnlyShowIn", "NotShowIn"))
    return not here & never and (not only or bool(here & only))


def _listed(value: str) -> set[str]:
    return {name.casefold() for name in value.split(";") if name}


def _entry(env: Mapping[str, str]) -> Path:
    named = env.get("XDG_CONFIG_HOME", "")
    folder = Path(named) if os.path.isabs(named) else Path(env.get("HOME") or Path.home(), ".config")
    return folder / "autostart" / desktop_entry.FILE


# --- macOS ------------------------------------------------------------------------------------------------


def agent() -> bytes:
    """The agent of launchd: launchd.plist(5)."""
    keys = {
        "Label": _AGENT,
        "ProgramArguments": [*own_command(), BACKGROUND],
        "RunAtLoad": True,
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": "Aqua",
    }
    return plistlib.dumps(keys)


def agent_is_on(data: bytes) -> bool:
    """Whether launchd starts what this agent says. Raises `ValueError` for what is no agent."""
    try:
        keys = plistlib.loads(data)
    except Exception as error:  # the parser of XML lets its own errors out
        raise ValueError("no property list") from error
    if not isinstance(keys, dict) or not keys.get("ProgramArguments"):
        return False
    return keys.get("RunAtLoad") is True and keys.get("Disabled") is not True


def _agent(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home(), "Library", "LaunchAgents", f"{_AGENT}.plist")


# --- Windows ----------------------------------------------------------------------------------------------


def is_approved(data: bytes) -> bool:
    """Whether the task manager lets an entry start: an odd first byte is a no, an unknown entry is a yes."""
    return not data or data[0] % 2 == 0


if sys.platform == "win32":
    import winreg

    def _is_on_windows() -> bool:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
            winreg.QueryValueEx(key, NAME)
        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _APPROVED) as key:
                return is_approved(bytes(winreg.QueryValueEx(key, NAME)[0]))
        except OSError:  # nobody has ever switched it
            return True

    def _set_windows(wanted: bool) -> None:
        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
            if wanted:
                line = subprocess.list2cmdline([*own_command(), BACKGROUND])
                winreg.SetValueEx(key, NAME, 0, winreg.REG_SZ, line)
            else:
                _forget(key)
        if wanted:
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _APPROVED) as key:
                _forget(key)  # the person has just said yes, so an old no of the task manager is over

    def _forget(key: winreg.HKEYType) -> None:
        with suppress(FileNotFoundError):
            winreg.DeleteValue(key, NAME)

else:

    def _is_on_windows() -> bool:
        return False

    def _set_windows(wanted: bool) -> None:
        raise OSError("no registry")
