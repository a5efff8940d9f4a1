"""How long from the start of the program until the tray icon is on the screen, against a bare tray program.

Both are started in turns on one Xvfb with a real tray host, and watched from outside: the time is taken when
the tray host shows the icon's window. Run it with `python3 packaging/dev.py bench tray_start` on an idle
machine; the ratio must not be above 1.5.
"""

import ctypes
import ctypes.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.ui.desktop.screen import ROOT, Screen, missing_tools

RUNS = 11
DEADLINE = 30.0  # seconds for one start
LIMIT = 1.5

BARE = """
import sys
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication, QMenu, QSystemTrayIcon
app = QApplication(sys.argv)
app.setQuitOnLastWindowClosed(False)
menu = QMenu()
menu.addAction("Quit", app.quit)
tray = QSystemTrayIcon(QIcon(sys.argv[1]))
tray.setContextMenu(menu)
tray.show()
app.exec()
"""
ICON = ROOT / "resources" / "icons" / "tray-starting-color.svg"

PROGRAMS: dict[str, Sequence[str]] = {
    "bare PySide6 tray program": [sys.executable, "-c", BARE, str(ICON)],
    "whisper-desktop": [sys.executable, "-m", "whisper_desktop", "--background"],
}

_VIEWABLE = 2  # IsViewable of X.h


class _Attributes(ctypes.Structure):
    """XWindowAttributes of Xlib.h, as far as `map_state`."""

    _fields_ = [
        ("geometry", ctypes.c_int * 5),
        ("visual", ctypes.c_void_p),
        ("root", ctypes.c_ulong),
        ("classes", ctypes.c_int * 4),
        ("planes", ctypes.c_ulong * 2),
        ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        ("map_installed", ctypes.c_int),
        ("map_state", ctypes.c_int),
        ("rest", ctypes.c_char * 64),
    ]


class Watcher:
    """Looks at the windows of a display through Xlib, a thousand times a second and more."""

    def __init__(self, display: str) -> None:
        self._x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._x.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
        # Windows may vanish between two calls; the default handler would end the program.
        self._ignore = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
        self._x.XSetErrorHandler(self._ignore)
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(display.encode()))
        self._root = self._x.XDefaultRootWindow(self._display)

    def viewable(self) -> int:
        """How many windows can be seen, icons in the tray host included."""
        return sum(self._is_viewable(window) for window in self._below(self._root))

    def settle(self) -> int:
        """Wait until nothing has appeared or gone for half a second; how many windows there are then."""
        known, since = self.viewable(), time.perf_counter()
        while time.perf_counter() - since < 0.5:
            time.sleep(0.02)
            if (now := self.viewable()) != known:
                known, since = now, time.perf_counter()
        return known

    def _below(self, window: int) -> Iterator[int]:
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        found = self._x.XQueryTree(
            self._display,
            ctypes.c_ulong(window),
            ctypes.byref(root),
            ctypes.byref(parent),
            ctypes.byref(children),
            ctypes.byref(count),
        )
        if not found:
            return
        windows = [children[number] for number in range(count.value)]
        if children:
            self._x.XFree(children)
        for child in windows:
            yield child
            yield from self._below(child)

    def _is_viewable(self, window: int) -> bool:
        attributes = _Attributes()
        known = self._x.XGetWindowAttributes(self._display, ctypes.c_ulong(window), ctypes.byref(attributes))
        return bool(known) and attributes.map_state == _VIEWABLE


def seconds(command: Sequence[str], screen: Screen, watcher: Watcher, home: Path) -> float:
    """From the start of the program until its icon can be seen. The program is ended afterwards."""
    before = watcher.settle()
    environment = {**screen.env, "WHISPER_HOME": str(home)}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        while watcher.viewable() <= before:
            taken = time.perf_counter() - started
            if taken > DEADLINE or process.poll() is not None:
                raise TimeoutError(f"{command[1:3]} showed no icon in {taken:.1f} s.")
            time.sleep(0.001)
        return time.perf_counter() - started
    finally:
        process.kill()  # an ordinary quit is not what is measured
        process.wait()


def main() -> int:
    """Measure, and print one line each. Exit code 1 when the ratio is above the limit."""
    if missing := missing_tools():
        print(f"Not measured: {', '.join(missing)} must be installed.")
        return 0
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with Screen() as screen, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "config").mkdir()
        (home / "config" / "choices.yaml").write_text("ui:\n  setup_done: true\n", encoding="utf-8")
        watcher = Watcher(screen.display)
        for run in range(RUNS + 1):
            for name, command in PROGRAMS.items():
                taken = seconds(command, screen, watcher, home)
                if run > 0:  # the first round warms the caches
                    times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        low, high = min(times[name]) * 1000, max(times[name]) * 1000
        print(f"{median * 1000:7.0f} ms  {name}   ({low:.0f} to {high:.0f})")
    bare, ours = medians.values()
    print(f"ratio {ours / bare:.2f} (must not be above {LIMIT}), load {os.getloadavg()[0]:.1f}")
    return 0 if ours / bare <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
