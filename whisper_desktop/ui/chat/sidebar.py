"""The left side of the chat window: all conversations, the search over everything, and the bin."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QPalette
from PySide6.QtWidgets import (
    QHBoxLayout,
    QMenu,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat.records import Conversation, Folder
from whisper_desktop.errors import WhisperError
from whisper_desktop.events import ConversationsChanged
from whisper_desktop.language import in_use, tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.search_results import SearchField, SearchResults
from whisper_desktop.ui.chat.sidebar_actions import ChatActions, Spawn, add_folders, named
from whisper_desktop.ui.chat.sidebar_bin import BinPage
from whisper_desktop.ui.chat.sidebar_model import SidebarModel
from whisper_desktop.ui.chat.sidebar_sections import sections
from whisper_desktop.ui.chat.sidebar_tree import SidebarTree
from whisper_desktop.ui.theme import M, S
from whisper_desktop.ui.widgets import secondary

if TYPE_CHECKING:
    from whisper_desktop.app import App

_TOGETHER = 50  # ms: news that come together are shown once
_TYPED = 150  # ms without a key before a search begins


class Sidebar(QWidget):
    """Follows the core's news while it lives, shown or not.

    Signals:
        chosen: the id of a conversation to open.
        hit_chosen: a `Hit` to go to, and the words that were looked for.
        new_wanted: a new chat.
        duplicated: the id of a copy that was made.
        export_wanted: the id of a conversation and a format.
        loaded: the list is there; a sentence says why chats are not kept, "" where they are.
    """

    chosen = Signal(str)
    hit_chosen = Signal(object, str)
    new_wanted = Signal()
    duplicated = Signal(str)
    export_wanted = Signal(str, str)
    loaded = Signal(str)

    def __init__(self, bridge: Bridge, app: "App", spawn: Spawn, actions: ChatActions) -> None:
        super().__init__()
        self._bridge = bridge
        self._chats = app.chats
        self._spawn = spawn
        self._actions = actions
        self.folders: tuple[Folder, ...] = ()
        self.model = SidebarModel(self)
        self.tree = SidebarTree(self.model)
        self.search = SearchField()
        self.results = SearchResults()
        self.bin = BinPage(actions)
        self.new = QPushButton(tr("+ New chat"))
        self.new.setToolTip(f"{tr('New chat')} ({QKeySequence(QKeySequence.StandardKey.New).toString()})")
        self._stack = QStackedWidget()
        self._looking = 0
        self._found = False
        self._soon = QTimer(self, singleShot=True, interval=_TOGETHER)
        self._search_soon = QTimer(self, singleShot=True, interval=_TYPED)
        self._midnight = QTimer(self, singleShot=True)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, M, 0, S)
        column.setSpacing(S)
        top = QVBoxLayout()
        top.setContentsMargins(M, 0, M, 0)
        top.setSpacing(S)
        top.addWidget(self.new)
        top.addWidget(self.search)
        column.addLayout(top)
        self._empty = secondary(tr("Your chats will be listed here, the newest first."))
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._empty.setContentsMargins(M, S, M, 0)
        for page in (self._empty, self.tree, self.results, self.bin):
            self._stack.addWidget(page)
        for each in (self.tree, self.results.list, self.bin.list):  # one quiet surface
            each.viewport().setBackgroundRole(QPalette.ColorRole.Window)
        column.addWidget(self._stack, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(M, 0, M, 0)
        self.bin_button = self._quiet(tr("Bin"))
        self.bin_button.setCheckable(True)
        self.folder_button = self._quiet(tr("New folder"))
        foot.addWidget(self.bin_button)
        foot.addStretch(1)
        foot.addWidget(self.folder_button)
        column.addLayout(foot)

    def _quiet(self, text: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return button

    def _connect(self) -> None:
        self._soon.timeout.connect(self.refresh)
        self._midnight.timeout.connect(self.refresh)
        self._search_soon.timeout.connect(self._search_now)
        self._bridge.event_arrived.connect(self._on_event)
        self.new.clicked.connect(self.new_wanted)
        self.tree.chosen.connect(self.chosen)
        self.tree.delete_wanted.connect(self.delete)
        self.tree.menu_wanted.connect(self._show_menu)
        self.model.renamed.connect(self._actions.rename)
        self.model.folder_renamed.connect(self._actions.rename_folder)
        self.model.dropped.connect(self._actions.move)
        self.model.pin_wanted.connect(self._actions.pin)
        self.search.textChanged.connect(self._on_typed)
        self.search.left.connect(self.leave_search)
        self.search.keyed.connect(self.results.press)
        self.results.chosen.connect(self._on_hit)
        self.bin_button.toggled.connect(lambda _on: self._show_page())
        self.folder_button.clicked.connect(self.new_folder)

    # --- what is listed -------------------------------------------------------------------------------------

    def _on_event(self, event: object) -> None:
        if isinstance(event, ConversationsChanged) and not self._soon.isActive():
            self._soon.start()

    def refresh(self) -> None:
        """Look at all conversations again."""
        self._spawn(self._refresh())

    async def _refresh(self) -> None:
        try:
            listed, folders, deleted = await self._bridge.run(self._look())
        except WhisperError as error:
            self.loaded.emit(str(error))
            return
        self.folders = folders
        now = datetime.now().astimezone()
        self.tree.show_sections(sections(listed, folders, now, _month_name))
        self.bin.show_deleted(deleted)
        self._show_page()
        self._wake_at_midnight(now)
        self.loaded.emit("" if self._chats.kept else self._chats.why_not)

    async def _look(
        self,
    ) -> tuple[tuple[Conversation, ...], tuple[Folder, ...], tuple[Conversation, ...]]:
        return await self._chats.list(), await self._chats.folders(), await self._chats.deleted()

    def _wake_at_midnight(self, now: datetime) -> None:
        """ "Today" is "Yesterday" then."""
        next_day = (now + timedelta(days=1)).replace(hour=0, minute=0, second=1)
        self._midnight.start(int((next_day - now).total_seconds() * 1000))

    def _show_page(self) -> None:
        if self.bin_button.isChecked():
            self._stack.setCurrentWidget(self.bin)
        elif self._found:
            self._stack.setCurrentWidget(self.results)
        else:
            self._stack.setCurrentWidget(self.tree if self.model.rowCount() else self._empty)

    def nth(self, number: int) -> str:
        """The id of the conversation at this place of the list, from 1; "" where there is none."""
        listed = self.model.in_order()
        return listed[number - 1].id if 0 < number <= len(listed) else ""

    # --- what is done with one ------------------------------------------------------------------------------

    def _listed(self, conversation_id: str) -> Conversation | None:
        return self.model.conversation(self.model.index_of(conversation_id))

    def delete(self, conversation_id: str) -> None:
        """Into the bin."""
        if (conversation := self._listed(conversation_id)) is not None:
            self._actions.delete(conversation_id, named(conversation))

    def duplicate(self, conversation_id: str) -> None:
        """A copy of it."""
        self._actions.duplicate(conversation_id, lambda copy: self.duplicated.emit(copy.id))

    def new_folder(self) -> None:
        """A folder, to be named at once."""
        self.bin_button.setChecked(False)
        self._actions.new_folder(self._name_later)

    def _name_later(self, folder: Folder) -> None:
        self._spawn(self._name_folder(folder.id))

    async def _name_folder(self, folder_id: str) -> None:
        await self._refresh()
        self.tree.rename_folder(folder_id)

    def _show_menu(self, conversation_id: str, folder_id: str, where: QPoint) -> None:
        menu = self.menu_for(conversation_id) if conversation_id else self.folder_menu(folder_id)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(where)

    def menu_for(self, conversation_id: str) -> QMenu:
        """Everything that can be done with a conversation."""
        menu = QMenu(self)
        conversation = self._listed(conversation_id)
        if conversation is None:
            return menu
        actions, folder = self._actions, conversation.folder
        pinned = conversation.pinned
        _add(menu, tr("Rename"), partial(self.tree.rename, conversation_id), "F2")
        _add(menu, tr("Unpin") if pinned else tr("Pin"), partial(actions.pin, conversation_id, not pinned))
        folders = menu.addMenu(tr("Move to folder"))
        add_folders(folders, self.folders, folder, partial(actions.move, conversation_id))
        _add(folders, tr("New folder…"), partial(self._move_to_new, conversation_id))
        menu.addSeparator()
        _add(menu, tr("Duplicate"), partial(self.duplicate, conversation_id))
        export = menu.addMenu(tr("Export"))
        for format_name, words in (
            ("markdown", tr("Markdown…")),
            ("html", tr("HTML…")),
            ("json", tr("JSON…")),
        ):
            _add(export, words, partial(self.export_wanted.emit, conversation_id, format_name))
        menu.addSeparator()
        _add(menu, tr("Delete"), partial(self.delete, conversation_id), "Del")
        return menu

    def _move_to_new(self, conversation_id: str) -> None:
        def moved(folder: Folder) -> None:
            self._actions.move(conversation_id, folder.id)
            self._name_later(folder)

        self._actions.new_folder(moved)

    def folder_menu(self, folder_id: str) -> QMenu:
        """Everything that can be done with a folder."""
        menu = QMenu(self)
        name = str(self.model.index_of_folder(folder_id).data() or "")
        _add(menu, tr("Rename"), partial(self.tree.rename_folder, folder_id), "F2")
        _add(menu, tr("Remove the folder"), partial(self._actions.remove_folder, folder_id, name))
        return menu

    # --- the search over everything -------------------------------------------------------------------------

    def begin_search(self) -> None:
        """The person wants to look for something."""
        self.bin_button.setChecked(False)
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def leave_search(self) -> None:
        """Back to the list."""
        self.search.clear()
        self.tree.setFocus()

    def _on_typed(self) -> None:
        self.bin_button.setChecked(False)
        if self.search.text().strip():
            self._search_soon.start()
        else:
            self._search_soon.stop()
            self._found = False
            self._show_page()

    def _search_now(self) -> None:
        if words := self.search.text().strip():
            self._looking += 1
            self._spawn(self._search(words, self._looking))

    async def _search(self, words: str, number: int) -> None:
        try:
            hits = await self._bridge.run(self._chats.search(words))
        except WhisperError as error:
            self._actions.say(str(error))
            return
        if number == self._looking and words == self.search.text().strip():  # nothing newer is asked for
            self._found = True
            self.results.show_hits(hits, words)
            self._show_page()

    def _on_hit(self, hit: object) -> None:
        self.hit_chosen.emit(hit, self.search.text().strip())


def _add(menu: QMenu, text: str, action: Callable[[], object], key: str = "") -> None:
    entry = menu.addAction(text)
    if key:  # shown beside it; the list itself handles the key
        entry.setShortcut(QKeySequence(key))
        entry.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
    entry.triggered.connect(lambda _checked=False: action())


def _month_name(year: int, month: int) -> str:
    """ "October 2026" in the language in use."""
    words = QLocale(in_use()).standaloneMonthName(month)
    shown = tr("{month} {year}", month=words, year=year)
    return shown[:1].upper() + shown[1:]
