"""A real panel that shows StatusNotifier icons (xfce4-panel), on a message bus of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.ui.desktop.screen import DEADLINE, ROOT, wait_for

_XFCONFD = (
    "/usr/lib/*/xfce4/xfconf/xfconfd",
    "/usr/lib/xfce4/xfconf/xfconfd",
    "/usr/libexec/xfce4/xfconf/xfconfd",
)
_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="{dark}"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="28"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"""
WATCHER = "org.kde.StatusNotifierWatcher"


def missing_panel() -> list[str]:
    """What has to be installed before these tests can run."""
    missing = [
        tool for tool in ("xfce4-panel", "dbus-daemon", "gdbus", "import") if shutil.which(tool) is None
    ]
    return missing if _xfconfd() else [*missing, "xfconfd"]


def _xfconfd() -> str | None:
    found = [str(path) for pattern in _XFCONFD for path in Path("/").glob(pattern.lstrip("/"))]
    return found[0] if found else None


class Bus:
    """A session bus for one test, as `packaging/dev_bus.conf` has it. Use as a context manager."""

    def __enter__(self) -> "Bus":
        command = ["dbus-daemon", f"--config-file={ROOT / 'packaging' / 'dev_bus.conf'}", "--print-address"]
        self._process = subprocess.Popen(
            [*command, "--nofork"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait(DEADLINE)

    def names(self) -> str:
        """The names on the bus, as one text."""
        return self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.ListNames")

    def call(self, name: str, path: str, method: str, *arguments: str) -> str:
        """A method's answer, as gdbus writes it; "" where there is none."""
        command = ["gdbus", "call", "--session", "--dest", name, "--object-path", path, "--method", method]
        env = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}
        done = subprocess.run(
            [*command, *arguments], env=env, check=False, capture_output=True, text=True, timeout=DEADLINE
        )
        return done.stdout


class Panel:
    """A panel at the top edge; its first icon is at the left. Use as a context manager, on a `Screen`."""

    place = (12, 14)
    """The middle of the first icon."""

    def __init__(self, bus: Bus, env: Mapping[str, str], *, dark: bool = False) -> None:
        self._bus = bus
        self._dark = dark
        self._env = {**env, "XDG_CURRENT_DESKTOP": "XFCE", "NO_AT_BRIDGE": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Panel":
        self._folder = tempfile.TemporaryDirectory()
        config = Path(self._folder.name) / "xfce4" / "xfconf" / "xfce-perchannel-xml"
        config.mkdir(parents=True)
        text = _CONFIG.format(dark=str(self._dark).lower())
        (config / "xfce4-panel.xml").write_text(text, encoding="utf-8")
        self._env["XDG_CONFIG_HOME"] = self._folder.name
        settings = _xfconfd()
        assert settings is not None
        self._settings = self._started(settings)
        wait_for("settings daemon", lambda: "org.xfce.Xfconf" in self._bus.names())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._settings.terminate()
        self._settings.wait(DEADLINE)
        self._folder.cleanup()

    def start(self) -> None:
        """Show the panel; returns when icons can register."""
        self._process = self._started("xfce4-panel", "--disable-wm-check")
        wait_for("panel", lambda: WATCHER in self._bus.names())

    def stop(self) -> None:
        """The panel ends at once, as when it crashes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None
            wait_for("end of the panel", lambda: WATCHER not in self._bus.names())

    def icons(self) -> str:
        """The icons that are registered, as one text: "" without any."""
        answer = self._bus.call(
            WATCHER,
            "/StatusNotifierWatcher",
            "org.freedesktop.DBus.Properties.Get",
            WATCHER,
            "RegisteredStatusNotifierItems",
        )
        return answer if "StatusNotifierItem" in answer else ""

    def picture(self) -> bytes:
        """What can be seen at the place of the first icon."""
        command = ["import", "-window", "root", "-crop", "22x22+1+3", "-depth", "8", "rgb:-"]
        done = subprocess.run(command, env=self._env, check=True, capture_output=True, timeout=DEADLINE)
        return done.stdout

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
