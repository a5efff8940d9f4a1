"""The menu of a message: everything that can be done with it, for those who do not point."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu

from whisper_desktop.language import tr
from whisper_desktop.ui.chat.layout import Spot
from whisper_desktop.ui.chat.rows import Row, actions, attachment_line, is_long, offers

if TYPE_CHECKING:
    from whisper_desktop.ui.chat.view import TranscriptView

_Entry = tuple[str, Callable[[], None]]
_LONGEST_ADDRESS = 60  # characters


def menu_for(view: "TranscriptView", number: int) -> QMenu:
    """The menu of a row. Parts of it stand between separators: the selection, the message, what is in it."""
    row = view.rows.row(number)
    layout = view.delegate.layout_of(number, row)
    spots = [spot for spot in layout.spots if spot.action == "copy_code"]
    groups: list[list[_Entry]] = [[], [], [], []]
    if view.delegate.selection is not None:
        groups[0].append((tr("Copy selection"), view.copy))
        groups[0].append((tr("Quote selection"), view.quote_selection))
    again = [each for each in offers(row) if each[0] != "continue"]
    retried = any(action == "retry" for action, _label in again)  # one "Try again" is enough
    once = [each for each in actions(row) if not (retried and each[0] == "regenerate")]
    offered = [*once, *again]
    groups[1] = [(label, partial(view.do, number, action)) for action, label in offered]
    if row.set_aside:
        groups[1].append((tr("Copy what came first"), partial(view.do, number, "copy_aside")))
    for position, spot in enumerate(spots, 1):
        name = tr("Copy code block {number}", number=position) if len(spots) > 1 else tr("Copy code")
        groups[2].append((name, partial(view.do, number, "copy_code", spot.value)))
    for link in layout.links():
        shown = link if len(link) <= _LONGEST_ADDRESS else link[: _LONGEST_ADDRESS - 1] + "…"
        groups[2].append((tr("Open {address}", address=shown), partial(view.open_address, link)))
        groups[2].append((tr("Copy {address}", address=shown), partial(view.copy_address, link)))
    for attachment in row.attachments:
        words = tr("Open {name}", name=attachment_line(attachment))
        groups[2].append((words, partial(view.do, number, "open_attachment", attachment.id)))
    for each in layout.own_spots:
        if (folded := _folded(each, row)) is not None:
            groups[3].append((folded, partial(view.do, number, each.action)))
    menu = QMenu(view)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for group in groups:
        if group and menu.actions():
            menu.addSeparator()
        for name, action in group:
            menu.addAction(name.replace("&", "&&")).triggered.connect(action)
    return menu


def _folded(spot: Spot, row: Row) -> str | None:
    """A place that opens or closes something, as an entry."""
    match spot.action:
        case "details" if is_long(row):
            return tr("Show less") if row.open else tr("Show all of it")
        case "details":
            return tr("Hide attempts") if row.open else tr("Show every attempt")
        case "reasoning":
            return tr("Hide reasoning") if row.reasoning_open else tr("Show reasoning")
        case "aside":
            return tr("Hide what came first") if row.aside_open else tr("Show what came first")
        case _:
            return None
