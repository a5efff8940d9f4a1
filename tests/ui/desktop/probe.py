"""The whole desktop app, which also says what it shows: one JSON line for each question on standard input.

`python -m tests.ui.desktop.probe` runs `run_desktop` as it is; a test's hands are xdotool, its eyes are
`windows` (kind, title, draft and rows of a chat, texts), `menu` (what an open menu says), `entries` (what the
tray's menu has, open or not), `tray` (the icon's place) and `button TEXT` (the middle of one).
"""

import json
import os
import sys
import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, QPoint, Qt, Signal, Slot
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QMenu, QPlainTextEdit, QWidget

from whisper_desktop.ui.main import run_desktop
from whisper_desktop.ui.tray.menu import LiveMenu


class Probe(QObject):
    """Reads questions in a thread and answers them on the Qt thread."""

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.asked.connect(self._answer, Qt.ConnectionType.QueuedConnection)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Not through sys.stdin: a thread that waits inside it holds its lock, and Python aborts at the end
        # of a program where it needs that lock.
        rest = b""
        while data := os.read(0, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.asked.emit(line.decode().strip())

    @Slot(str)
    def _answer(self, question: str) -> None:
        name, _, rest = question.partition(" ")
        answers: dict[str, Callable[[], object]] = {
            "windows": windows,
            "menu": menu,
            "entries": entries,
            "tray": tray,
            "button": lambda: button(rest),
        }
        answer = answers[name]()
        print(json.dumps(answer), flush=True)


def windows() -> list[dict[str, object]]:
    """Every visible window of ours."""
    return [
        described(widget) for widget in QApplication.topLevelWidgets() if widget.isVisible() and named(widget)
    ]


def menu() -> list[str] | None:
    """What the open menu says, the entry under the keyboard marked with ">"; None while none is open."""
    popup = QApplication.activePopupWidget()
    if not isinstance(popup, QMenu):
        return None
    return [(">" if each is popup.activeAction() else "") + each.text() for each in popup.actions()]


def entries() -> list[str]:
    """What the tray's menu has, also where the tray host shows a copy of it."""
    menus = [
        each for each in QApplication.topLevelWidgets() if isinstance(each, LiveMenu) and not each.parent()
    ]
    return [action.text() for menu in menus for action in menu.actions()]


def named(widget: QWidget) -> bool:
    """Whether it is a window of ours: not the tray icon, not a menu."""
    return bool(widget.windowTitle())


def described(widget: QWidget) -> dict[str, object]:
    """One window as values."""
    model = getattr(widget, "model", None)
    rows = [model.row(number) for number in range(model.rowCount())] if model is not None else []
    composer = getattr(widget, "composer", None)
    return {
        "kind": getattr(widget, "kind", type(widget).__name__),
        "title": widget.windowTitle(),
        "active": widget.isActiveWindow(),
        "frame": rectangle(widget),
        "draft": composer.editor.toPlainText() if composer is not None else "",
        "fields": [each.toPlainText() for each in widget.findChildren(QPlainTextEdit) if each.isVisible()],
        "rows": [
            {
                "kind": row.kind.value,
                "text": row.text,
                "active": row.active,
                "by": row.provenance.server_name if row.provenance else None,
            }
            for row in rows
        ],
        "texts": [label.text() for label in widget.findChildren(QLabel) if label.isVisible()],
        "buttons": [each.text() for each in widget.findChildren(QAbstractButton) if each.isVisible()],
    }


def rectangle(widget: QWidget) -> list[int]:
    """Left, top, width and height of a window with its frame."""
    frame = widget.frameGeometry()
    return [frame.x(), frame.y(), frame.width(), frame.height()]


def tray() -> list[int] | None:
    """The middle of the tray icon on the screen, None while it is not docked."""
    for widget in QApplication.topLevelWidgets():
        if widget.metaObject().className() == "QSystemTrayIconSys" and widget.isVisible():
            place = widget.mapToGlobal(QPoint(widget.width() // 2, widget.height() // 2))
            return [place.x(), place.y()]
    return None


def button(text: str) -> list[int] | None:
    """The middle of the visible button with this text."""
    for window in QApplication.topLevelWidgets():
        for each in window.findChildren(QAbstractButton):
            if each.text() == text and each.isVisible():
                place = each.mapToGlobal(each.rect().center())
                return [place.x(), place.y()]
    return None


if __name__ == "__main__":
    probe = Probe()
    sys.exit(run_desktop(background="--background" in sys.argv))
