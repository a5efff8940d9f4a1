"""Where windows were: kept for each screen, and given back so that the whole window can be seen.

What is kept is text (the setting `ui.geometry`): for each kind of window a JSON list of its places, the
newest first, one for each screen. Places are relative to their screen, so screens may be rearranged.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from whisper_desktop.ui.window import AppWindow

_MOST_SCREENS = 6
_MOST_PIXELS = 65_535
_MAXIMISED = Qt.WindowState.WindowMaximized
_TITLE_BAR = 40  # px kept free above the contents: a frame's height is only known once there is one


@dataclass(frozen=True, slots=True)
class Place:
    """Where a window was on one screen: left and top of its frame from the screen's corner, size inside."""

    screen: str
    x: int
    y: int
    width: int
    height: int
    maximised: bool = False


def read(text: str) -> tuple[Place, ...]:
    """The places in a text, the newest first. What is no place is left out."""
    try:
        listed = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    places = (_place(each) for each in (listed[:_MOST_SCREENS] if isinstance(listed, list) else ()))
    return tuple(place for place in places if place is not None)


def _place(given: object) -> Place | None:
    match given:
        case [str(screen), int(x), int(y), int(width), int(height), bool(maximised)]:
            numbers_fit = all(abs(number) <= _MOST_PIXELS for number in (x, y, width, height))
            if numbers_fit and width > 0 and height > 0:
                return Place(screen, x, y, width, height, maximised)
    return None


def written(places: Sequence[Place]) -> str:
    """The text that `read` reads."""
    listed = [[each.screen, each.x, each.y, each.width, each.height, each.maximised] for each in places]
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":"))


def with_newest(places: Sequence[Place], newest: Place) -> tuple[Place, ...]:
    """The places after a window was seen at this one."""
    others = (each for each in places if each.screen != newest.screen)
    return (newest, *others)[:_MOST_SCREENS]


def chosen(places: Sequence[Place], screens: Mapping[str, QRect], primary: str) -> Place | None:
    """The place to go back to: the newest on a screen that is there, else its size in the middle of
    `primary`; None where nothing is known.
    """
    here = next((each for each in places if each.screen in screens), None)
    if here is not None or not places:
        return here
    lost, area = places[0], screens[primary]
    left = (area.width() - lost.width) // 2
    top = (area.height() - lost.height) // 2
    return Place(primary, left, top, lost.width, lost.height, lost.maximised)


def fitted(wanted: QRect, area: QRect) -> QRect:
    """A frame's corner and a size, changed as little as need be for the whole window to lie in `area`."""
    size = QSize(wanted.width(), wanted.height() + _TITLE_BAR).boundedTo(area.size())
    left = min(max(wanted.left(), area.left()), area.left() + area.width() - size.width())
    top = min(max(wanted.top(), area.top()), area.top() + area.height() - size.height())
    return QRect(QPoint(left, top), QSize(size.width(), max(1, size.height() - _TITLE_BAR)))


class WindowPlaces(QObject):
    """Puts windows where they were, and notes where they are when they leave the screen.

    `texts` is what was kept, by the window's kind; `positions` is false where the system alone places windows
    (Wayland).

    Signals:
        changed: `texts` has something new that is worth keeping.
    """

    changed = Signal()

    def __init__(self, texts: Mapping[str, str], *, positions: bool) -> None:
        super().__init__()
        self.texts = dict(texts)
        self._positions = positions

    def restore(self, window: AppWindow) -> None:
        """Before it is shown for the first time."""
        areas = {screen.name(): screen.availableGeometry() for screen in QGuiApplication.screens()}
        primary = QGuiApplication.primaryScreen().name()
        place = chosen(read(self.texts.get(window.kind, "")), areas, primary)
        if place is None:
            self._put(window, centred(window.size(), areas[primary]), areas[primary])
            return
        corner = areas[place.screen].topLeft() + QPoint(place.x, place.y)
        self._put(window, QRect(corner, QSize(place.width, place.height)), areas[place.screen])
        if place.maximised:
            window.setWindowState(window.windowState() | _MAXIMISED)

    def _put(self, window: QWidget, wanted: QRect, area: QRect) -> None:
        placed = fitted(wanted, area)
        window.resize(placed.size())
        if self._positions:
            window.move(placed.topLeft())

    def note(self, window: AppWindow) -> None:
        """Where it is now."""
        screen = window.screen()
        normal = window.normalGeometry() if window.isMaximized() else QRect(window.pos(), window.size())
        corner = normal.topLeft() - screen.availableGeometry().topLeft()
        place = Place(
            screen.name(), corner.x(), corner.y(), normal.width(), normal.height(), window.isMaximized()
        )
        before = self.texts.get(window.kind, "")
        self.texts[window.kind] = written(with_newest(read(before), place))
        if self.texts[window.kind] != before:
            self.changed.emit()


def centred(size: QSize, area: QRect) -> QRect:
    """A window of this size in the middle of `area`."""
    spare = area.size() - size
    return QRect(area.topLeft() + QPoint(spare.width() // 2, spare.height() // 2), size)
