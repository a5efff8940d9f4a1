"""Entries of the XDG desktops: how one is written and read, and the one for the menu of applications.

https://specifications.freedesktop.org/desktop-entry-spec/latest/
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from whisper_desktop.language import tr
from whisper_desktop.machine.own_program import APP_ID, NAME, own_command

FILE = f"{APP_ID}.desktop"

_RESERVED = set(" \t\n\"'\\><~|&;$*?#()`")


def install(icon: Path, env: Mapping[str, str] | None = None) -> Path:
    """Put the app into the menu of applications of this account; where its entry is then. Raises `OSError`.

    `icon` is a scalable picture.
    """
    data = _data_home(os.environ if env is None else env)
    pictures = data / "icons" / "hicolor" / "scalable" / "apps"
    entries = data / "applications"
    for folder in (pictures, entries):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(icon, pictures / f"{APP_ID}.svg")
    entry = entries / FILE
    entry.write_text(menu_entry(own_command(env)), encoding="utf-8")
    return entry


def remove(env: Mapping[str, str] | None = None) -> None:
    """Take it out again. Raises `OSError`."""
    data = _data_home(os.environ if env is None else env)
    (data / "applications" / FILE).unlink(missing_ok=True)
    (data / "icons" / "hicolor" / "scalable" / "apps" / f"{APP_ID}.svg").unlink(missing_ok=True)


def menu_entry(command: Sequence[str]) -> str:
    """The entry for the menu of applications, which also opens `whisper://` links."""
    groups = {
        "Desktop Entry": {
            "Type": "Application",
            "Name": NAME,
            "GenericName": tr("Local AI"),
            "Comment": tr("Chat with a model that runs on this computer"),
            "Exec": f"{exec_line(command)} %u",
            "TryExec": escaped(command[0]),
            "Icon": APP_ID,
            "Terminal": "false",
            "Categories": "Utility;",
            "MimeType": "x-scheme-handler/whisper;",
            "StartupNotify": "true",
            "StartupWMClass": APP_ID,
            "Actions": "ask;",
        },
        "Desktop Action ask": {"Name": tr("Quick ask"), "Exec": exec_line([*command, "ask"])},
    }
    return written(groups)


def written(groups: Mapping[str, Mapping[str, str]]) -> str:
    """The text of an entry."""
    parts = (
        "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in group.items())])
        for name, group in groups.items()
    )
    return "\n\n".join(parts) + "\n"


def read(text: str) -> dict[str, str]:
    """The keys of an entry's main group; those of a language, and lines that are none, are left out."""
    group, found = "", dict[str, str]()
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif group == "Desktop Entry" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    return found


def exec_line(command: Sequence[str]) -> str:
    """A command as the key Exec has it: each word quoted where it must be, and "%" doubled."""
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    word = word.replace("%", "%%")
    if not word or _RESERVED & set(word):
        for reserved in ("\\", '"', "`", "$"):
            word = word.replace(reserved, f"\\{reserved}")
        word = f'"{word}"'
    return escaped(word)


def escaped(text: str) -> str:
    """Any text as a value: backslashes and line breaks are escaped, before anything else reads it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _data_home(env: Mapping[str, str]) -> Path:
    named = env.get("XDG_DATA_HOME", "")
    return Path(named) if os.path.isabs(named) else Path(env.get("HOME") or Path.home(), ".local", "share")
