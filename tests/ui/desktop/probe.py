"""The whole desktop app, which also says what it shows: one JSON line for each question on standard input.

`python -m tests.ui.desktop.probe` runs `run_desktop` as it is; a test's hands are xdotool, its eyes are
`windows` (kind, title, draft and rows of a chat, texts), `menu` (what an open menu says), `entries` (what the
tray's menu has, open or not) and `focus` (the name of what has the keyboard). These are the places of things
on the screen: `tray`, `menus` (all that are open), `button TEXT`, `entry TEXT` (of an open menu),
`field NAME`, `item TEXT` (a line of a list), `message NUMBER` and `spot NUMBER ACTION` (what can be clicked
in a message of the chat in front). `theme NAME` has the windows look light or dark from then on.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from PySide6.QtCore import QModelIndex, QObject, QPoint, QPointF, QRect, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QWidget,
)

from whisper_desktop.ui import theme
from whisper_desktop.ui.main import run_desktop
from whisper_desktop.ui.tray.menu import LiveMenu

_Widget = TypeVar("_Widget", bound=QWidget)


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
            "entry": lambda: entry(rest),
            "field": lambda: field(rest),
            "item": lambda: item(rest),
            "message": lambda: message(int(rest)),
            "spot": lambda: spot(*rest.split(" ", 1)),
            "focus": focus,
            "menus": menus,
            "theme": lambda: theme.follow(rest),
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


def menus() -> list[list[int]]:
    """Where the open menus are: left, top, width and height of each."""
    return [
        rectangle(each)
        for each in QApplication.topLevelWidgets()
        if isinstance(each, QMenu) and each.isVisible()
    ]


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
        "current": view.currentIndex().row() if (view := getattr(widget, "view", None)) is not None else -1,
        "rows": [
            {
                "kind": row.kind.value,
                "text": row.text,
                "active": row.active,
                "seam": row.seam,
                "set_aside": [each.text for each in row.set_aside],
                "branch": list(row.branch),
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
    return _found(QAbstractButton, lambda each: each.text() == text)


def field(name: str) -> list[int] | None:
    """The middle of the visible field with this name."""
    kinds = (QLineEdit, QPlainTextEdit)
    found = (_found(kind, lambda each: each.accessibleName() == name) for kind in kinds)
    return next((place for place in found if place is not None), None)


def entry(text: str) -> list[int] | None:
    """The middle of the entry that begins with this text, in a menu that is open."""
    for menu in QApplication.topLevelWidgets():
        if isinstance(menu, QMenu) and menu.isVisible():
            for action in menu.actions():
                if action.text().startswith(text):
                    return _place(menu, menu.actionGeometry(action))
    return None


def item(text: str) -> list[int] | None:
    """The middle of the first visible line with this text, in any list."""
    for window in QApplication.topLevelWidgets():
        for each in window.findChildren(QAbstractItemView):
            if each.isVisible() and each is not getattr(window, "view", None):
                for index in _lines(each, QModelIndex()):
                    if text in str(index.data()) and not each.visualRect(index).isEmpty():
                        return _place(each.viewport(), each.visualRect(index))
    return None


def _lines(shown_in: QAbstractItemView, parent: QModelIndex) -> Iterator[QModelIndex]:
    model = shown_in.model()
    for number in range(model.rowCount(parent)):
        index = model.index(number, 0, parent)
        yield index
        yield from _lines(shown_in, index)


def message(number: int) -> list[int] | None:
    """The upper part of a message of the chat in front, where its text begins."""
    view = getattr(QApplication.activeWindow(), "view", None)
    if view is None or number >= view.rows.rowCount():
        return None
    rect = view.visualRect(view.rows.index(number)).intersected(view.viewport().rect())
    left, width = view.delegate.style().column
    at = QPoint(int(left + width / 2), rect.top() + min(12, rect.height() // 2))
    return None if rect.isEmpty() else _place(view.viewport(), QRect(at, at))


def spot(number: str, action: str) -> list[int] | None:
    """What does this in a message of the chat in front."""
    view = getattr(QApplication.activeWindow(), "view", None)
    if view is None or int(number) >= view.rows.rowCount():
        return None
    row = view.rows.row(int(number))
    corner = QPointF(view.visualRect(view.rows.index(int(number))).topLeft())
    corner += QPointF(view.delegate.style().column[0], 0)
    spots = view.delegate.layout_of(int(number), row).spots
    found = next((each for each in spots if each.action == action), None)
    return _place(view.viewport(), found.rect.translated(corner).toRect()) if found is not None else None


def focus() -> str:
    """The name of what has the keyboard, or the text on it; "" without either."""
    widget = QApplication.focusWidget()
    if isinstance(widget, QAbstractButton):
        return widget.text()
    return widget.accessibleName() if widget is not None else ""


def _found(kind: type[_Widget], is_meant: Callable[[_Widget], bool]) -> list[int] | None:
    for window in QApplication.topLevelWidgets():
        for each in window.findChildren(kind):
            if each.isVisible() and is_meant(each):
                return _place(each, each.rect())
    return None


def _place(within: QWidget, rect: QRect) -> list[int]:
    place = within.mapToGlobal(rect.center())
    return [place.x(), place.y()]


if __name__ == "__main__":
    probe = Probe()
    sys.exit(run_desktop(background="--background" in sys.argv))
