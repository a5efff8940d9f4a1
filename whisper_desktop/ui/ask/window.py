"""The Quick ask window: a field, the answer below it, and away again with Esc.

It is made once and only hidden, so that it is there as soon as it is called. What is asked in it is a
conversation like any other, which the chat window can go on with.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QCloseEvent,
    QCursor,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from whisper_desktop.chat.records import Draft
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.ui.ask import quote as quotes
from whisper_desktop.ui.ask.field import AskField
from whisper_desktop.ui.ask.quote import Quote, Selections
from whisper_desktop.ui.ask.quote_bar import QuoteBar
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, XL, M, S, colors
from whisper_desktop.ui.widgets import secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.choices import AppState, BackendChoice
    from whisper_desktop.chat import Session
    from whisper_desktop.ui.chat.conversation import Conversation
    from whisper_desktop.ui.chat.transcript import TranscriptModel
    from whisper_desktop.ui.chat.view import TranscriptView

_FRESH_AFTER = 600.0  # seconds after which a call begins a new conversation
_SHARE = 0.45  # of the screen's height that answers may take
_FROM_TOP = 0.2  # of the screen's height
_NOTICE = 4000  # ms
_WINDOWS = ("setup", "settings", "models", "logs", "guide")
_ASK = mark("Ask anything…")
_ASK_ON = mark("Ask on…")


class QuickAskWindow(AppWindow):
    """`clock` tells seconds; it says when a call begins anew.

    Signals:
        open_in_chat: the id of the conversation that the chat window is to go on with.
    """

    kept: ClassVar[bool] = True

    open_in_chat = QtSignal(str)

    def __init__(self, bridge: Bridge, app: "App", *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("ask", tr("Quick ask – Whisper Desktop"), bridge)
        self._app = app
        self._clock = clock
        self._used = clock()
        self._conversation: Conversation | None = None
        self._opening: asyncio.Task[None] | None = None
        self._quote: Quote | None = None
        self._selections = Selections()
        self._selection_due = False
        self._trouble = ""
        self.setWindowFlags(
            Qt.WindowType.Window | Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint
        )
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.model: TranscriptModel | None = None
        self.view: TranscriptView | None = None
        self.field = AskField()
        self.field.setPlaceholderText(tr(_ASK))
        self.field.setAccessibleName(tr("Your question"))
        self.quote_bar = QuoteBar()
        self.send = QPushButton(tr("Send"))
        self.copy = QPushButton(tr("Copy"))
        self.chat = QPushButton(tr("Open in chat"))
        self.clipboard = QPushButton(tr("Quote the clipboard"))
        self._who = secondary("")
        self._notice = secondary("")
        self._notice.hide()
        self._notice_over = QTimer(self, singleShot=True, interval=_NOTICE)
        self._lay_out()
        self._connect()
        self._show_busy(False)

    def _lay_out(self) -> None:
        self.send.setToolTip(tr("Send (Enter)"))
        self.copy.setToolTip(tr("Copy the answer (Ctrl+Shift+C)"))
        self.chat.setToolTip(tr("Go on in the chat window (Ctrl+Enter)"))
        self.clipboard.setToolTip(tr("Have what you copied last go along with the question"))
        for button in (self.copy, self.chat, self.clipboard):
            button.setFlat(True)
            button.setAutoDefault(False)
        top = QHBoxLayout()
        top.setSpacing(S)
        top.addWidget(self.field, 1)
        top.addWidget(self.send, 0, Qt.AlignmentFlag.AlignBottom)
        foot = QHBoxLayout()
        foot.setSpacing(S)
        foot.addWidget(self._who, 1)
        for button in (self.clipboard, self.copy, self.chat):
            foot.addWidget(button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(M, M, M, M)
        self._column.setSpacing(S)
        self._column.addWidget(self.quote_bar)
        self._column.addLayout(top)
        self._column.addWidget(self._notice)
        self._column.addLayout(foot)

    def _connect(self) -> None:
        self.field.submitted.connect(self._submit)
        self.field.chat_wanted.connect(self._go_on_in_chat)
        self.field.grown.connect(self._fit)
        self.field.textChanged.connect(self._show_enabled)
        self.send.clicked.connect(self._on_send)
        self.copy.clicked.connect(self._copy)
        self.chat.clicked.connect(self._go_on_in_chat)
        self.clipboard.clicked.connect(self._quote_clipboard)
        self.quote_bar.removed.connect(self._leave_quote_out)
        self._notice_over.timeout.connect(self._show_trouble)
        QShortcut(QKeySequence("Ctrl+Shift+C"), self, self._copy)
        QShortcut(QKeySequence.StandardKey.Close, self, self.put_aside)

    # --- what others want of it -----------------------------------------------------------------------------

    def begin(self, text: str = "") -> None:
        """Write a text into the field, where the person sees it. It is not sent."""
        if text:
            self.field.put(text)
        self.field.setFocus()

    def show_trouble(self, sentence: str) -> None:
        """Why its keys do not work; "" while they do."""
        self._trouble = sentence
        if not self._notice_over.isActive():
            self._show_trouble()

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """Who would answer, and how far the question goes."""
        chosen = next((choice for choice in choices if choice.chosen), None)
        answering = next((each for each in choices if each.id == state.backend and each.id), None)
        name = chosen.name if chosen is not None else ""
        if state.backend is None:
            self._who.setText(state.headline)
        elif answering is None or answering.reach is None:
            self._who.setText(name)
        else:
            self._who.setText(tr("{backend} · {place}", backend=name, place=answering.reach.words))

    def put_aside(self) -> None:
        """Gone, and an answer that is coming is stopped; what was answered stays in the conversation."""
        self.close()

    # --- coming and going -----------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        if not event.spontaneous():
            if self._clock() - self._used > _FRESH_AFTER:
                self.begin_anew()
            self._selection_due = True
            self._place()
            self.field.setFocus()
        super().showEvent(event)

    def event(self, event: QEvent) -> bool:
        # On Wayland a selection can only be read by the window that has the focus.
        if event.type() == QEvent.Type.WindowActivate and self._selection_due:
            self._selection_due = False
            QTimer.singleShot(0, self, self._offer_selection)
        return super().event(event)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if self._opening is not None:
            self._opening.cancel()
        if not self._leaving and self._conversation is not None and self._conversation.busy:
            self._conversation.stop()  # where it leaves for good, its work is ended anyway
        super().closeEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        super().hideEvent(event)
        self._used = self._clock()

    def begin_anew(self) -> None:
        """The conversation so far is left; the next question begins another one."""
        if self._conversation is not None:
            self._conversation.hide(None)
            self._conversation = None
        if self.model is not None:
            self.model.set_rows([])
        if self.view is not None:
            self.view.hide()
        self._set_quote(None)
        self.field.clear()
        self.field.setPlaceholderText(tr(_ASK))
        self._show_busy(False)
        self._fit()

    def _place(self) -> None:
        """In the middle of the screen that the pointer is on, somewhat above."""
        screen = QGuiApplication.screenAt(QCursor.pos()) or QGuiApplication.primaryScreen()
        self.setScreen(screen)
        self._fit()
        room = screen.availableGeometry()
        left = room.x() + (room.width() - self.width()) // 2
        self.move(left, room.y() + int(room.height() * _FROM_TOP))

    def _fit(self) -> None:
        """As wide as a line of text, as high as what there is to show."""
        self.send.setMinimumHeight(self.field.line_height)
        room = self.screen().availableGeometry()
        wide = self.fontMetrics().averageCharWidth() * COLUMN_CHARACTERS + 4 * XL
        width = min(wide, int(room.width() * 0.9))
        self._column.activate()
        height = self._column.totalHeightForWidth(width)
        if height < 0:
            height = self._column.totalSizeHint().height()
        if self.view is not None and self.view.isVisibleTo(self):
            height += int(room.height() * _SHARE) - self.view.sizeHint().height()
        self.setMinimumWidth(0)
        self.resize(width, min(height, int(room.height() * (1 - _FROM_TOP) * 0.95)))

    # --- asking ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an answer is coming."""
        return self._opening is not None or (self._conversation is not None and self._conversation.busy)

    @property
    def engaged(self) -> bool:
        """Whether an answer is coming, or a question is half written."""
        return self.busy or bool(self.field.text)

    def _on_send(self) -> None:
        if not self.busy:
            self._submit()
        elif self._conversation is not None:
            self._conversation.stop()

    def _submit(self) -> None:
        if self.field.text and not self.busy:
            self._open_and(self._ask)

    def _ask(self, conversation: "Conversation") -> None:
        question = self.field.text
        if self._quote is not None:
            question = self._quote.with_question(question)
        self.field.clear()
        self.field.setPlaceholderText(tr(_ASK_ON))
        self._set_quote(None)
        self._show_view()
        conversation.ask(question)

    def _open_and(self, then: "Callable[[Conversation], None]") -> None:
        if self._conversation is not None:
            then(self._conversation)
        else:
            self._opening = self.spawn(self._open(then))
            self._opening.add_done_callback(self._on_opened)
            self._show_busy(True)

    def _on_opened(self, _task: "asyncio.Task[None]") -> None:
        self._opening = None
        self._show_busy(self.busy)

    async def _open(self, then: "Callable[[Conversation], None]") -> None:
        try:
            session = await self.bridge.run(self._app.chats.new())
        except WhisperError as error:
            self._tell(str(error))
            return
        self._opening = None
        then(self._adopt(session))

    def _adopt(self, session: "Session") -> "Conversation":
        from whisper_desktop.ui.chat.conversation import Conversation

        conversation = Conversation(self.bridge, self.spawn, session, self._transcript())
        conversation.busy_changed.connect(self._on_busy_changed)
        conversation.answer_ended.connect(self._on_ended)
        conversation.given_back.connect(lambda _conversation, text, _attachments: self.begin(text))
        conversation.show()
        self._conversation = conversation
        return conversation

    def _transcript(self) -> "TranscriptModel":
        """The model of the answers. It and its view are made with the first question."""
        if self.model is None:
            from whisper_desktop.ui.chat.transcript import TranscriptModel
            from whisper_desktop.ui.chat.view import TranscriptView

            self.model = TranscriptModel(self)
            self.view = TranscriptView(self.model)
            self.view.hide()
            self.view.failure_action.connect(lambda number, action: self._do(number, action))
            self.view.action.connect(lambda number, action, value: self._do(number, action, value))
            self.view.copied.connect(self._tell)
            self.view.left.connect(self.field.setFocus)
            self._column.insertWidget(2, self.view, 1)
            for before, after in (
                (self.send, self.view),
                (self.view, self.clipboard),
                (self.clipboard, self.copy),
                (self.copy, self.chat),
            ):
                self.setTabOrder(before, after)
        return self.model

    def _show_view(self) -> None:
        if self.view is not None and not self.view.isVisibleTo(self):
            self.view.show()
            self._fit()

    def _on_busy_changed(self, conversation: "Conversation", _busy: bool) -> None:
        if conversation is self._conversation:
            self._used = self._clock()
            self._show_busy(self.busy)

    def _on_ended(self, conversation: "Conversation", words: str) -> None:
        if conversation is self._conversation and self.view is not None and self.isVisible():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self.view, words))

    def _show_busy(self, busy: bool) -> None:
        self.send.setText(tr("Stop") if busy else tr("Send"))
        self.send.setToolTip(tr("Stop the answer") if busy else tr("Send (Enter)"))
        self._show_enabled()

    def _show_enabled(self) -> None:
        self.send.setEnabled(self.busy or bool(self.field.text))
        self.copy.setEnabled(bool(self._answer()))
        self.chat.setEnabled(self._conversation is not None or bool(self.field.text))

    # --- what the person does -------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.put_aside()
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """It has no title to move it by, so its own empty places are that."""
        if event.button() == Qt.MouseButton.LeftButton and (handle := self.windowHandle()) is not None:
            handle.startSystemMove()

    def _go_on_in_chat(self) -> None:
        """The chat window takes over, also an answer that is coming. What is written is asked there."""
        if self._opening is not None:
            return
        if self.field.text and not self.busy:
            self._open_and(self._ask_and_hand_over)
        elif self._conversation is not None:
            self._hand_over(self._conversation)

    def _ask_and_hand_over(self, conversation: "Conversation") -> None:
        self._ask(conversation)
        self._hand_over(conversation)

    def _hand_over(self, conversation: "Conversation") -> None:
        if left := self.field.text:  # written while an answer comes
            conversation.session.keep_draft(Draft(left))
        self.begin_anew()
        self.hide()
        self.open_in_chat.emit(conversation.session.id)

    def _do(self, number: int, action: str, value: object = None) -> None:
        """What was clicked in the transcript. What needs more room is done in the chat window."""
        conversation = self._conversation
        if conversation is None:
            return
        if action == "retry":
            conversation.again()
        elif action == "regenerate":
            conversation.regenerate(number)
        elif action == "continue":
            conversation.continue_(number)
        elif action in ("branch_back", "branch_on"):
            conversation.neighbour(number, -1 if action == "branch_back" else 1)
        elif action == "quote":
            self._set_quote(quotes.quote_of(str(value)))
            self.field.setFocus()
        elif action in _WINDOWS:
            self.hide()
            self.requested.emit(action)
        elif action == "chat":
            self.begin_anew()
            self.field.setFocus()
        else:
            self._hand_over(conversation)

    def _answer(self) -> str:
        """The last answer, as far as it has come."""
        if self.model is None or not self.model.rowCount():
            return ""
        from whisper_desktop.ui.chat.rows import Kind, whole_text

        row = self.model.row(self.model.rowCount() - 1)
        return whole_text(row) if row.kind is Kind.ANSWER else ""

    def _copy(self) -> None:
        if text := self._answer():
            QGuiApplication.clipboard().setText(text)
            self._tell(tr("The answer was copied."))

    # --- what goes along ------------------------------------------------------------------------------------

    def _offer_selection(self) -> None:
        if self.isVisible() and self._quote is None and (found := self._selections.new()) is not None:
            self._set_quote(found)

    def _quote_clipboard(self) -> None:
        if (found := quotes.copied()) is not None:
            self._set_quote(found)
        else:
            self._tell(quotes.nothing_copied())
        self.field.setFocus()

    def _leave_quote_out(self) -> None:
        self._set_quote(None)
        self.field.setFocus()

    def _set_quote(self, quote: Quote | None) -> None:
        self._quote = quote
        self.quote_bar.show_quote(quote)
        self.clipboard.setVisible(quote is None)
        self._fit()

    # --- on the screen --------------------------------------------------------------------------------------

    def _tell(self, sentence: str) -> None:
        self._notice.setText(sentence)
        self._notice.show()
        self._notice_over.start()
        self._fit()

    def _show_trouble(self) -> None:
        self._notice.setText(self._trouble)
        self._notice.setVisible(bool(self._trouble))
        self._fit()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """It has no frame of the system's, so it draws the line around itself."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setPen(colors(self.palette()).border)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
