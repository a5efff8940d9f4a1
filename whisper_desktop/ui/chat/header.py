"""Above a conversation: its title, who answers, how far it may go, and what else can be done with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QToolButton

from whisper_desktop.chat.records import ChatWishes
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.header_entries import (
    chat_entries,
    chosen_of,
    reach_entries,
    reach_explained,
    reach_words,
    who_answers,
)
from whisper_desktop.ui.chat.header_title import TitleField
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.tray.entries import SEPARATOR, Entry
from whisper_desktop.ui.tray.menu import LiveMenu
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from whisper_desktop.app.choices import BackendChoice


class Header(QFrame):
    """One row. `guide` has a title and a place, and nothing to choose.

    Signals:
        sidebar_wanted: the list of conversations is wanted, or wanted no more.
        renamed: the title that the person wrote.
        wishes_changed: what the person chose for this conversation.
        for_all_wanted: the backend and model of this conversation are to be those of all new ones.
        chosen: an entry of the last menu ("export", "print", "pdf", "import", "duplicate", "delete",
            "shortcuts", and those of `add_entry`) and its value.
    """

    sidebar_wanted = Signal()
    renamed = Signal(str)
    wishes_changed = Signal(object)
    for_all_wanted = Signal(object, object)
    chosen = Signal(str, object)

    def __init__(self, *, guide: bool) -> None:
        super().__init__()
        self._guide = guide
        self._wishes = ChatWishes()
        self._reach = Reach.THIS_MACHINE
        self._choices: tuple[BackendChoice, ...] = ()
        self._has_messages = False
        self._added: tuple[Entry, ...] = ()
        self.sidebar_button = self._tool("☰", tr("List of chats"))
        self.sidebar_button.clicked.connect(self.sidebar_wanted)
        self.sidebar_button.hide()
        self.title = TitleField()
        self.title.changeable = not guide
        self.title.renamed.connect(self.renamed)
        self.backend = QPushButton()
        self.backend.setToolTip(tr("Who answers the next message"))
        self.backend.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.backend_menu = LiveMenu(self.backend)
        self.backend_menu.chosen.connect(self._choose)
        self.backend.setMenu(self.backend_menu)
        self.reach = QPushButton()
        self.reach.setFlat(True)
        self.reach.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.reach_menu = LiveMenu(self.reach)
        self.reach_menu.chosen.connect(self._allow)
        self.reach.setMenu(self.reach_menu)
        self.more = self._tool("⋯", tr("More about this chat"))
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more_menu = LiveMenu(self.more)
        self.more_menu.chosen.connect(self.chosen)
        self.more.setMenu(self.more_menu)
        self._lay_out()
        self.show_wishes(self._wishes, self._reach)
        self.show_messages(False)

    def _tool(self, sign: str, name: str) -> QToolButton:
        button = QToolButton()
        button.setText(sign)
        button.setAutoRaise(True)
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return button

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(L, M, L, M)
        row.setSpacing(S)
        row.addWidget(self.sidebar_button)
        row.addWidget(self.title, 1)
        for widget in (self.backend, self.reach, self.more):
            row.addWidget(widget)
            widget.setVisible(not self._guide)

    # --- what it shows --------------------------------------------------------------------------------------

    def show_title(self, title: str) -> None:
        """What the conversation is called."""
        self.title.show_title(title)

    def show_wishes(self, wishes: ChatWishes, reach: Reach) -> None:
        """What was chosen for this conversation; `reach` is what holds, also where nothing was chosen."""
        self._wishes, self._reach = wishes, reach
        self._show_reach()
        self.reach.setToolTip(reach_explained(reach))
        self.reach.setAccessibleName(tr("How far this chat may go: {where}", where=reach_words(reach)))
        self.reach_menu.show_entries(reach_entries(reach))
        self._show_who()

    def _show_reach(self) -> None:
        """The sign alone where there is little room; the words are its tooltip."""
        words = reach_words(self._reach)
        narrow = self.width() < self.fontMetrics().averageCharWidth() * _NARROW
        self.reach.setText(words.partition(" ")[0] if narrow else words)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._show_reach()

    def show_choices(self, choices: "Sequence[BackendChoice]") -> None:
        """Who can be chosen now."""
        self._choices = tuple(choices)
        self._show_who()

    def _show_who(self) -> None:
        who = who_answers(self._choices, self._wishes)
        width = self.fontMetrics().averageCharWidth() * _LONGEST_NAME
        shown = self.fontMetrics().elidedText(who, Qt.TextElideMode.ElideMiddle, width)
        self.backend.setText(shown.replace("&", "&&"))
        self.backend.setAccessibleName(tr("Who answers the next message: {who}", who=who))
        self.backend_menu.show_entries(chat_entries(self._choices, self._wishes))

    def show_messages(self, has_messages: bool) -> None:
        """Whether there is something to export, to print and to delete."""
        self._has_messages = has_messages
        self.more_menu.show_entries(_more(has_messages, self._added))

    def add_entry(self, action: str, words: str) -> None:
        """One more thing that can be done with a conversation."""
        self._added = (*self._added, Entry(words, action))
        self.show_messages(self._has_messages)

    # --- what the person chooses ----------------------------------------------------------------------------

    def _choose(self, action: str, value: str | None) -> None:
        if action == "for_all":
            self.for_all_wanted.emit(self._wishes.backend, self._wishes.model)
            return
        backend, model = chosen_of(action, value)
        self.wishes_changed.emit(replace(self._wishes, backend=backend, model=model))

    def _allow(self, _action: str, value: str | None) -> None:
        self.wishes_changed.emit(replace(self._wishes, reach=Reach(str(value))))


_LONGEST_NAME = 28  # characters of who answers
_NARROW = 80  # characters: the width below which the sign stands without words


def _more(has_messages: bool, added: tuple[Entry, ...]) -> tuple[Entry, ...]:
    def there(action: str) -> str | None:
        return action if has_messages else None

    exports = (
        Entry(tr("Text with marks (Markdown)…"), "export", "markdown"),
        Entry(tr("Web page (HTML)…"), "export", "html"),
        Entry(tr("Everything, to take in again (JSON)…"), "export", "json"),
    )
    return (
        Entry(tr("Export"), children=exports) if has_messages else Entry(tr("Export")),
        Entry(tr("Save as PDF…"), there("pdf")),
        Entry(tr("Print…"), there("print")),
        Entry(tr("Import chats…"), "import"),
        SEPARATOR,
        *((*added, SEPARATOR) if added else ()),
        Entry(tr("Duplicate"), there("duplicate")),
        Entry(tr("Delete"), there("delete")),
        SEPARATOR,
        Entry(tr("Keyboard shortcuts"), "shortcuts", detail="Ctrl+/"),
    )
