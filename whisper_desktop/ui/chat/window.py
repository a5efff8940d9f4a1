"""The chat window: conversations at the left, one of them in the middle, a panel that folds at the right.

It is kept alive while it is hidden, and so are the answers that are being written in it: what is shown, and
whether anything is shown, has no say in them.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QCloseEvent,
    QKeyEvent,
    QKeySequence,
    QPalette,
    QResizeEvent,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Attachment, ChatWishes, Draft, Hit, TitleSource
from whisper_desktop.errors import WhisperError
from whisper_desktop.events import ConversationsChanged
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat import conversation_work as work
from whisper_desktop.ui.chat.composer import Composer
from whisper_desktop.ui.chat.composer_desk import ComposerDesk
from whisper_desktop.ui.chat.composer_panels import SidePanels
from whisper_desktop.ui.chat.conversation import Conversation
from whisper_desktop.ui.chat.empty import EmptyState
from whisper_desktop.ui.chat.header import Header
from whisper_desktop.ui.chat.layout import Style
from whisper_desktop.ui.chat.rows import Kind, Row
from whisper_desktop.ui.chat.sidebar import Sidebar
from whisper_desktop.ui.chat.sidebar_actions import ChatActions, named
from whisper_desktop.ui.chat.sidebar_model import title_of
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.chat.window_drafts import Drafts
from whisper_desktop.ui.chat.window_editing import EditingBar
from whisper_desktop.ui.chat.window_find import FindBar
from whisper_desktop.ui.chat.window_messages import Messages
from whisper_desktop.ui.chat.window_notice import NoticeBar
from whisper_desktop.ui.chat.window_panes import Panes
from whisper_desktop.ui.chat.window_shortcuts import SHORTCUTS, ShortcutsSheet
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import Banner
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.choices import AppState, BackendChoice
    from whisper_desktop.ui.chat.compare import CompareView

_PAGES = (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
_LONGEST_TITLE = 48  # characters of the window's title


class ChatWindow(AppWindow):
    """All conversations in one window; `guide` is one with the guide, which is kept nowhere.

    Signals:
        backend_chosen: the id of a backend and a model for all new chats, None for automatic.
        finished_behind: an answer has ended that nobody sees: the chat's title, one sentence, its id.
        session_shown: the `Session` of the conversation that is shown now.
    """

    kept = True

    backend_chosen = Signal(object, object)
    finished_behind = Signal(str, str, str)
    session_shown = Signal(object)

    def __init__(self, bridge: Bridge, app: "App", *, guide: bool = False) -> None:
        super().__init__("guide" if guide else "chat", "Whisper Desktop", bridge)
        self._app = app
        self._guide = guide
        self._conversations: dict[str, Conversation] = {}
        self._unread: set[str] = set()
        self._opening = 0
        self._waiting: tuple[str, tuple[Attachment, ...]] | None = None
        self._edited: str | None = None
        self._added: dict[str, Callable[[], object]] = {}
        self.conversation: Conversation | None = None
        self.compare: CompareView | None = None
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.model = TranscriptModel(self)
        self.view = TranscriptView(self.model)
        self.composer = Composer(tr("Ask about this app…") if guide else "", plain=guide)
        self.header = Header(guide=guide)
        self.empty = EmptyState(guide=guide)
        self.find_bar = FindBar(self.view)
        self.editing_bar = EditingBar()
        self.notice = NoticeBar()
        self.actions_on_chats = ChatActions(bridge, app, self.spawn, self.notice.say)
        self.sidebar = None if guide else Sidebar(bridge, app, self.spawn, self.actions_on_chats)
        self.messages = Messages(self, bridge, app, self.spawn, self.view, self.notice.say)
        self.drafts = Drafts(bridge, self.composer)
        self.desk = None if guide else ComposerDesk(bridge, app, self.spawn, self.composer)
        self._stack = QStackedWidget()
        self._lay_out()
        self._connect()
        self._add_shortcuts()
        self._show_title()
        self.side = None if guide else SidePanels(self, bridge, app)
        self.spawn(self._open_new())

    # --- how it is built ------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.setMinimumSize(QSize(420, 360))
        self.resize(QSize(760 if self._guide else 1000, 680))
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.view)
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.find_bar)
        column.addWidget(self._stack, 1)
        self._foot = QVBoxLayout()
        self._foot.setSpacing(XS)
        for widget in (self.editing_bar, self.composer, self.notice):
            self._foot.addWidget(widget)
        column.addLayout(self._foot)
        self.panes = Panes(self.sidebar, middle)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        guide_words = tr("A tiny demo model inside this app. It only knows this app, and can be wrong.")
        self.banner = Banner(tr("Guide"), guide_words) if self._guide else None
        self._whole = whole
        if self.banner is not None:
            whole.addWidget(self.banner)
        whole.addWidget(self.panes, 1)
        self.setFocusProxy(self.composer)

    def _connect(self) -> None:
        self.composer.sent.connect(self._on_sent)
        self.composer.stop_requested.connect(self._stop)
        self.composer.edit_last_wanted.connect(self._edit_last)
        if self.desk is not None:
            self.session_shown.connect(self.desk.follow)
        self.composer.editor.installEventFilter(self)
        self._stack.installEventFilter(self)
        self.editing_bar.cancelled.connect(self._cancel_editing)
        self.messages.quoted.connect(self._quote)
        self.messages.edit_wanted.connect(self._edit)
        self.messages.tree_wanted.connect(self._show_tree)
        self.messages.requested.connect(self._on_request)
        self.view.copied.connect(self.notice.say)
        self.view.left.connect(self.composer.setFocus)
        self.find_bar.left.connect(self.composer.setFocus)
        self.empty.starter_chosen.connect(self.ask)
        self.empty.requested.connect(self.requested)
        self.header.renamed.connect(self._rename)
        self.header.wishes_changed.connect(self._use)
        self.header.for_all_wanted.connect(self.backend_chosen)
        self.header.chosen.connect(self._on_more)
        self.header.sidebar_wanted.connect(self.panes.toggle_sidebar)
        self.panes.sidebar_hidden.connect(self.header.sidebar_button.setVisible)
        self.panes.panel_closed.connect(self.composer.setFocus)
        self.put_away.connect(self._keep_all)
        for changed in (self.model.rowsInserted, self.model.rowsRemoved, self.model.modelReset):
            changed.connect(self._show_page)
        self.bridge.event_arrived.connect(self._on_event)
        if self.sidebar is not None:
            self.sidebar.chosen.connect(self.open_chat)
            self.sidebar.duplicated.connect(self.open_chat)
            self.sidebar.new_wanted.connect(self.new_chat)
            self.sidebar.hit_chosen.connect(self._go_to_hit)
            self.sidebar.export_wanted.connect(self._export)
            self.sidebar.loaded.connect(self._on_loaded)

    def _toggle_side(self, name: str) -> None:
        if self.side is not None:
            self.side.toggle(name)

    def _add_shortcuts(self) -> None:
        done: dict[str, Callable[[], object]] = {
            "new_chat": self.new_chat,
            "search": self._search,
            "find": self.find_bar.begin,
            "sidebar": self.panes.toggle_sidebar,
            "composer": self.composer.setFocus,
            "next_pane": partial(self._next_pane, 1),
            "pane_before": partial(self._next_pane, -1),
            "rename": self._rename_here,
            "parameters": partial(self._toggle_side, "parameters"),
            "branches": partial(self._toggle_side, "tree"),
            "compare": partial(self._toggle_side, "compare"),
            "close": self.close,
            "shortcuts": lambda: ShortcutsSheet(self).show(),
        }
        for shortcut in SHORTCUTS:
            if shortcut.action and (shortcut.for_guide or not self._guide):
                for keys in shortcut.keys:
                    QShortcut(QKeySequence(keys), self, done[shortcut.action])
        for number in range(1, 10) if self.sidebar is not None else ():
            QShortcut(QKeySequence(f"Ctrl+{number}"), self, partial(self._open_nth, number))

    # --- what the desktop tells -----------------------------------------------------------------------------

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """Who would answer the next message."""
        self.messages.choices = choices
        if self.compare is not None:
            self.compare.show_choices(choices)
        if not self._guide:
            self.header.show_choices(choices)
            self.empty.show_state(state)
            self._show_wishes()

    def _on_event(self, event: object) -> None:
        if not isinstance(event, ConversationsChanged) or self.conversation is None:
            return
        session = self.conversation.session
        if event.ids and session.id not in event.ids:
            return
        if session.conversation.deleted is not None:
            self._stop()
            self._conversations.pop(session.id, None)
            self.spawn(self._open_new())
            return
        self._show_title()
        self._show_wishes()

    def _on_loaded(self, why_not_kept: str) -> None:
        """The list is there. Where chats are not kept, that is said quietly, and for as long as it is so."""
        if self.banner is not None:
            self.banner.hide()
            self.banner.deleteLater()
            self.banner = None
        if why_not_kept:
            self.banner = Banner(tr("Chats are not kept"), why_not_kept)
            self._whole.insertWidget(0, self.banner)

    # --- which conversation ---------------------------------------------------------------------------------

    @property
    def engaged(self) -> bool:
        """Whether an answer is coming, or something is written or said that is kept nowhere."""
        if self._edited is not None or (self.compare is not None and self.compare.active):
            return True
        asked = self.model.rowCount() > 0
        unkept = asked if self._guide or not self._app.chats.kept else self.composer.draft != Draft()
        return unkept or any(each.busy for each in self._conversations.values())

    @property
    def place(self) -> str:
        """The conversation, once something was asked in it."""
        return self.conversation.session.id if self.conversation and self.model.rowCount() else ""

    def new_chat(self) -> None:
        """An empty conversation; the one that is shown, where nothing was asked in it and it has no draft."""
        self.panes.show_middle()
        self.composer.setFocus()
        if self.conversation is None or not self.model.rowCount():
            return
        self.spawn(self._open_new())

    def open_chat(self, conversation_id: str) -> None:
        """Show a conversation that is kept."""
        self.panes.show_middle()
        self.composer.setFocus()
        if self.conversation is None or self.conversation.session.id != conversation_id:
            self._show_kept(conversation_id)

    def add_to_menu(self, action: str, words: str, do: Callable[[], object]) -> None:
        """One more entry of the conversation's menu; "tree" is also what the signs of a branch lead to."""
        self._added[action] = do
        self.header.add_entry(action, words)

    def begin(self, text: str) -> None:
        """Put a text into the composer, before what is written there."""
        self.composer.put_before(text)
        self.composer.setFocus()

    def _show_kept(self, conversation_id: str, then: Callable[[], None] | None = None) -> None:
        """At once where it is being answered in this window, else when it has been read."""
        known = self._conversations.get(conversation_id)
        if known is None:
            self.spawn(self._open(conversation_id, then))
            return
        self.show_session(known.session)
        if then is not None:
            then()

    async def _open_new(self) -> None:
        self._opening += 1
        number = self._opening
        with suppress(WhisperError):  # the list says what is wrong with the store
            session = await self.bridge.run(self._app.chats.new(guide=self._guide))
            if number == self._opening:
                self.show_session(session)

    async def _open(self, conversation_id: str, then: Callable[[], None] | None = None) -> None:
        self._opening += 1
        number = self._opening
        try:
            session, rows = await self.bridge.run(work.opened(self._app.chats, conversation_id))
        except KeyError:
            self.notice.say(tr("That chat is not there any more."))
            return
        except WhisperError as error:
            self.notice.say(str(error))
            return
        if number == self._opening:
            self.show_session(session, rows)
            if then is not None:
                then()

    def show_session(self, session: Session, rows: list[Row] | None = None) -> None:
        """Show this conversation (`rows`: made already); the one that was shown goes on if it is busy."""
        self._opening += 1  # what is still on its way comes too late
        self._leave()
        known = self._conversations.get(session.id)
        conversation = known if known is not None and known.session is session else self._made(session)
        self._conversations[session.id] = self.conversation = conversation
        self.messages.conversation = conversation
        self._unread.discard(session.id)
        conversation.show(rows)
        self.drafts.follow(session)
        self.composer.set_busy(conversation.busy)
        self._show_page()
        self._show_title()
        self._show_wishes()
        self._show_signs()
        self.session_shown.emit(session)
        if conversation.place is not None:
            self.view.go_to(conversation.place.message, conversation.place.above)
        if self._waiting is not None:
            (text, attachments), self._waiting = self._waiting, None
            self.ask(text, attachments)

    def _made(self, session: Session) -> Conversation:
        conversation = Conversation(self.bridge, self.spawn, session, self.model)
        conversation.busy_changed.connect(self._on_busy)
        conversation.answer_ended.connect(self._on_ended)
        conversation.given_back.connect(self._on_given_back)
        return conversation

    def _leave(self) -> None:
        """Keep what belongs to the conversation that is shown, and let go of it unless it is busy."""
        if self.conversation is None:
            return
        if self.compare is not None:
            self.compare.leave()
        self._cancel_editing()
        self.find_bar.leave()
        self.drafts.keep()
        self.conversation.hide(self.view.place())
        if not self.conversation.busy:
            self._conversations.pop(self.conversation.session.id, None)
        self.conversation = self.messages.conversation = None

    def _keep_all(self) -> None:
        """The window leaves the screen, perhaps for good."""
        self.drafts.keep()
        if self.conversation is not None:
            self.conversation.keep_place(self.view.place())

    def _open_nth(self, number: int) -> None:
        if self.sidebar is not None and (conversation_id := self.sidebar.nth(number)):
            self.open_chat(conversation_id)

    def _go_to_hit(self, hit: Hit, words: str) -> None:
        then = partial(self._go_to_message, hit.message, words)
        self.panes.show_middle()
        if self.conversation is not None and self.conversation.session.id == hit.conversation:
            then()
        else:
            self._show_kept(hit.conversation, then)

    def _go_to_message(self, message: str | None, words: str) -> None:
        if self.conversation is None or message is None:
            return
        if self.conversation.number_of(message) is None:
            self.spawn(self._show_then_go(self.conversation, message, words))
        else:
            self.find_bar.begin(words)
            self.view.go_to(message)

    async def _show_then_go(self, conversation: Conversation, message: str, words: str) -> None:
        await conversation.go_to_branch(message)
        if conversation is self.conversation and conversation.number_of(message) is not None:
            self.find_bar.begin(words)
            self.view.go_to(message)

    # --- what the person writes -----------------------------------------------------------------------------

    def ask(self, question: str, attachments: Sequence[Attachment] = ()) -> None:
        """Send a question as if it had been written in the composer."""
        if self.conversation is None:
            self._waiting = (question, tuple(attachments))
            return
        self.conversation.ask(question, attachments)
        self.composer.setFocus()

    def _on_sent(self, text: str, attachments: Sequence[Attachment] = ()) -> None:
        if self.compare is not None and self.compare.active:
            self.compare.ask(text, attachments)
            self.drafts.keep()
            return
        edited, self._edited = self._edited, None
        if edited is not None and self.conversation is not None:
            self.editing_bar.hide()
            self.drafts.give_back()
            self._send_edited(self.conversation, edited, text, attachments)
        else:
            self.ask(text, attachments)
            self.drafts.keep()

    def _send_edited(
        self, conversation: Conversation, node: str, text: str, attachments: Sequence[Attachment]
    ) -> None:
        """Ask it beside the question that was changed, also where another branch is shown by now."""
        if conversation.number_of(node) is not None:
            conversation.edit(node, text, attachments)
        elif node in conversation.session.nodes:
            self.spawn(self._show_then_edit(conversation, node, text, attachments))
        else:  # it was deleted meanwhile
            conversation.ask(text, attachments)

    async def _show_then_edit(
        self, conversation: Conversation, node: str, text: str, attachments: Sequence[Attachment]
    ) -> None:
        await conversation.go_to_branch(node)
        conversation.edit(node, text, attachments)

    def begin_compare(self) -> None:
        """Ask two side by side, from the next question on."""
        if self.conversation is None or self.conversation.busy:
            return
        if self.compare is None:
            from whisper_desktop.ui.chat.compare import CompareView

            self.compare = CompareView(self.bridge, self._app, self.spawn)
            self.compare.busy_changed.connect(self.composer.set_busy)
            self.compare.ended.connect(self._end_compare)
            self.compare.text_wanted.connect(self._take_text)
            self.compare.requested.connect(self._on_request)
            self._stack.addWidget(self.compare)
        self._cancel_editing()
        self.compare.begin(self.conversation.session, self.messages.choices)
        self._show_page()
        self.composer.setFocus()

    def _end_compare(self, node: str) -> None:
        """Go on from this message; "" where nothing was asked."""
        self.composer.set_busy(False)
        if self.conversation is not None and node:
            self.spawn(self.conversation.go_to_branch(node))
        self._show_wishes()
        self._show_page()
        self.composer.setFocus()

    def _take_text(self, text: str, quoted: bool) -> None:  # noqa: FBT001 - a slot
        if quoted:
            self.composer.quote(text)
        else:
            self.composer.put_before(text)
        self.composer.setFocus()

    def _stop(self) -> None:
        if self.compare is not None and self.compare.active:
            self.compare.stop()
            return
        if self.conversation is not None:
            self.conversation.stop()

    def _edit(self, number: int) -> None:
        """An earlier question goes into the composer; what is sent then stands beside it."""
        row = self.model.row(number)
        if row.node:
            self._edited = row.node
            self.drafts.lend(Draft(row.text, row.attachments))
            self.editing_bar.show()
            self.composer.setFocus()

    def _edit_last(self) -> None:
        """The last question, to word it otherwise."""
        numbers = reversed(range(self.model.rowCount()))
        last = next((each for each in numbers if self.model.row(each).kind is Kind.QUESTION), None)
        if last is not None:
            self._edit(last)

    def _cancel_editing(self) -> None:
        if self._edited is not None:
            self._edited = None
            self.editing_bar.hide()
            self.drafts.give_back()

    def _on_given_back(
        self, conversation: Conversation, text: str, attachments: tuple[Attachment, ...]
    ) -> None:
        if conversation is self.conversation:
            self._show_title()
            self.composer.put_before(text)
            self.composer.put_attachments(attachments)
            self.composer.setFocus()

    def _quote(self, text: str) -> None:
        self.composer.quote(text)
        self.composer.setFocus()

    def _on_request(self, action: str) -> None:
        """A message leads elsewhere."""
        if action == "chat":
            self.new_chat()
        else:
            self.requested.emit(action)

    def _show_tree(self) -> None:
        if (tree := self._added.get("tree")) is not None:
            tree()

    # --- what the person does with the conversation ---------------------------------------------------------

    def _rename(self, title: str) -> None:
        if self.conversation is not None:
            self.actions_on_chats.do(work.rename(self.conversation.session, title))
            self._show_title(title)

    def _use(self, wishes: ChatWishes) -> None:
        if self.conversation is not None:
            self.actions_on_chats.do(
                work.use(self.conversation.session, wishes), lambda _done: self._show_wishes()
            )

    def _on_more(self, action: str, value: str | None) -> None:
        if (added := self._added.get(action)) is not None:
            added()
        elif action == "shortcuts":
            ShortcutsSheet(self).show()
        elif action == "import":
            from whisper_desktop.ui.chat.importing import import_chats

            import_chats(self, self._app, self.actions_on_chats)
        elif self.conversation is not None:
            self._on_more_of(self.conversation.session, action, value)

    def _on_more_of(self, session: Session, action: str, value: str | None) -> None:
        match action:
            case "export":
                self._export(session.id, str(value))
            case "pdf":
                from whisper_desktop.ui.chat.printing import save_pdf

                save_pdf(self, self._app, self.actions_on_chats, session)
            case "print":
                from whisper_desktop.ui.chat.printing import print_chat

                print_chat(self, self._app, self.actions_on_chats, session)
            case "duplicate":
                self.actions_on_chats.duplicate(session.id, lambda copy: self.open_chat(copy.id))
            case "delete":
                self.actions_on_chats.delete(session.id, named(session.conversation))

    def _export(self, conversation_id: str, kind: str) -> None:
        from whisper_desktop.ui.chat.exporting import export

        def ask(session: Session) -> None:
            title = title_of(session.conversation)
            export(self, self._app, self.actions_on_chats, conversation_id, title, kind)

        self.actions_on_chats.do(self._app.chats.open(conversation_id), ask)

    # --- what is shown --------------------------------------------------------------------------------------

    def _show_page(self) -> None:
        if self.compare is not None and self.compare.active:
            self._stack.setCurrentWidget(self.compare)
            return
        asked = self.model.rowCount() > 0
        self._stack.setCurrentWidget(self.view if asked else self.empty)
        self.header.show_messages(asked)

    def _show_title(self, title: str = "") -> None:
        known = title or self._known_title()
        shown = " ".join(known.split()) or (tr("Guide") if self._guide else tr("New chat"))
        self.header.show_title(shown)
        short = shown if len(shown) <= _LONGEST_TITLE else shown[: _LONGEST_TITLE - 1].rstrip() + "…"
        if self._guide and known:
            short = tr("Guide: {title}", title=short)
        self.setWindowTitle(tr("{title} – Whisper Desktop", title=short))

    def _known_title(self) -> str:
        """The title of what is shown; that of a question which was taken back is none."""
        if self.conversation is None:
            return ""
        head = self.conversation.session.conversation
        compared = self.compare is not None and self.compare.active
        named = compared or self.model.rowCount() > 0 or head.title_source is TitleSource.PERSON
        return head.title if named else ""

    def _show_wishes(self) -> None:
        if self.conversation is not None:
            session = self.conversation.session
            self.header.show_wishes(session.wishes, session.reach)
        if self.desk is not None:
            self.desk.measure()

    def _show_signs(self) -> None:
        if self.sidebar is not None:
            answering = [each for each, known in self._conversations.items() if known.busy]
            self.sidebar.model.set_signs(answering=answering, unread=self._unread)
            self.sidebar.tree.set_current(self.conversation.session.id if self.conversation else "")

    def _on_busy(self, conversation: Conversation, busy: bool) -> None:
        if conversation is self.conversation:
            self.composer.set_busy(busy)
            self._show_title()
            self._show_wishes()
        self._show_signs()

    def _on_ended(self, conversation: Conversation, sentence: str) -> None:
        """Told to a screen reader where it is seen, by a sign in the list or by a notification elsewhere."""
        session = conversation.session
        shown = conversation is self.conversation
        in_front = self.isVisible() and self.isActiveWindow()
        title = named(session.conversation)
        if not in_front:
            self.finished_behind.emit(title, sentence, session.id)
        elif shown:
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self.view, sentence))
        else:
            words = tr("“{title}”: {sentence}", title=title, sentence=sentence)
            self.notice.say(words, tr("Show"), partial(self.open_chat, session.id))
        if not shown:
            self._unread.add(session.id)
            self._conversations.pop(session.id, None)
        self._show_signs()

    # --- keys and room --------------------------------------------------------------------------------------

    def _search(self) -> None:
        if self.sidebar is not None:
            self.panes.show_sidebar()
            self.sidebar.begin_search()

    def _rename_here(self) -> None:
        """What the keyboard is at: an entry of the list, else the conversation that is shown."""
        if self.sidebar is not None and self.sidebar.tree.hasFocus():
            self.sidebar.tree.edit(self.sidebar.tree.currentIndex())
        else:
            self.header.title.edit()

    def _next_pane(self, step: int) -> None:
        """The keyboard goes on to the next part of the window that is in sight."""
        lists: list[QWidget] = [self.sidebar.tree] if self.sidebar is not None else []
        panel = [self.panes.panel.current] if self.panes.panel.current is not None else []
        parts = [each for each in (*lists, self.view, self.composer.editor, *panel) if each.isVisible()]
        here = self.focusWidget()
        at = next((n for n, part in enumerate(parts) if part is here or part.isAncestorOf(here)), -1)
        parts[(at + step) % len(parts)].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """The conversation scrolls while the person writes, and Esc leaves the changing of a question."""
        if watched is self._stack:
            if event.type() == QEvent.Type.Resize:
                self._fit_foot()
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in _PAGES and not event.modifiers():
                bar = self.view.verticalScrollBar()
                step = bar.pageStep() if event.key() == Qt.Key.Key_PageDown else -bar.pageStep()
                bar.setValue(bar.value() + step)
                return True
            if event.key() == Qt.Key.Key_Escape and self._edited is not None:
                self._cancel_editing()
                return True
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self.composer.setFocus()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """What was said to the guide is gone with its window."""
        self._leaving = self._leaving or self._guide
        super().closeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.panes.fit(self.width())

    def _fit_foot(self) -> None:
        """The composer stands below the column of text."""
        room = self._stack.width()
        bar = self.view.verticalScrollBar().sizeHint().width()
        left, width = Style.of(self.font(), self.palette(), float(room - bar)).column
        self._foot.setContentsMargins(int(left), S, max(int(room - left - width), 0), S)
