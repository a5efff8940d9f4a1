"""The chat window: title and backend at the top, the transcript or an invitation, the composer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QKeySequence,
    QPalette,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat import Session
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.composer import Composer
from whisper_desktop.ui.chat.conversation import Conversation
from whisper_desktop.ui.chat.layout import Style
from whisper_desktop.ui.chat.rows import REPAIR
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.theme import XL, XS, L, M, S
from whisper_desktop.ui.tray.entries import backend_entries
from whisper_desktop.ui.tray.menu import LiveMenu
from whisper_desktop.ui.widgets import Banner, heading, secondary
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app.choices import AppState, BackendChoice


STARTERS = (
    "Explain how a language model works, in simple words",
    "Write a friendly reminder about an unpaid invoice",
    "Give me three ideas for a rainy Sunday",
)
GUIDE_STARTERS = (  # questions it was trained on
    "What is this app?",
    "How do I add Ollama?",
    "Does my data leave this computer?",
)
_NOTICE_TIME = 4000  # ms a short notice stays below the composer


class ChatWindow(AppWindow):
    """One conversation in a window.

    Signals:
        backend_chosen: the id of a backend, None for automatic.
    """

    backend_chosen = Signal(object)

    def __init__(self, bridge: Bridge, session: Session) -> None:
        super().__init__("guide" if session.guide else "chat", "Whisper Desktop", bridge)
        self._guide = session.guide
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.setMinimumSize(QSize(420, 360))
        self.resize(QSize(760, 640))
        self.model = TranscriptModel(self)
        self.conversation = Conversation(bridge, self.spawn, session, self.model)
        self.view = TranscriptView(self.model)
        self.composer = Composer("Ask about this app…" if self._guide else "Ask anything…")
        self._stack = QStackedWidget()
        self.empty = EmptyState(guide=self._guide)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.view)
        self._notice = secondary("")
        self._notice_timer = QTimer(self, singleShot=True, interval=_NOTICE_TIME)
        self._lay_out()
        self._connect()
        self._begin_empty()
        self.setTabOrder(self.composer.editor, self.composer.button)
        self.composer.setFocus()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._header())
        if self._guide:
            column.addWidget(
                Banner(
                    "Guide", "A tiny demo model inside this app. It only knows this app, and can be wrong."
                )
            )
        column.addWidget(self._stack, 1)
        self._foot = QVBoxLayout()
        self._foot.setSpacing(XS)
        self._foot.addWidget(self.composer)
        self._foot.addWidget(self._notice)
        column.addLayout(self._foot)

    def _header(self) -> QWidget:
        header = QFrame()
        row = QHBoxLayout(header)
        row.setContentsMargins(L, M, L, M)
        row.setSpacing(S)
        self._title = heading("")
        self._backend = QPushButton()
        self._backend.setAccessibleName("Backend for the next message")
        self._backend.setToolTip("Who answers the next message")
        self.backend_menu = LiveMenu(self._backend)
        self.backend_menu.chosen.connect(lambda _action, value: self.backend_chosen.emit(value))
        self._backend.setMenu(self.backend_menu)
        self._backend.setVisible(not self._guide)
        self._place = secondary("")
        row.addWidget(self._title, 1)
        row.addWidget(self._place)
        row.addWidget(self._backend)
        return header

    def _connect(self) -> None:
        self.composer.sent.connect(self.ask)
        self.composer.stop_requested.connect(self.conversation.stop)
        self.conversation.busy_changed.connect(self.composer.set_busy)
        self.conversation.answer_ended.connect(self._announce)
        self.view.failure_action.connect(self._on_failure_action)
        self.view.copied.connect(self._tell)
        self.empty.starter_chosen.connect(self.ask)
        self.empty.requested.connect(self.requested)
        self._notice_timer.timeout.connect(lambda: self._notice.setText(""))
        QShortcut(QKeySequence.StandardKey.New, self, lambda: self.requested.emit("chat"))
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)

    @property
    def reusable(self) -> bool:
        """A chat in which something was asked is not a new chat."""
        return self.model.rowCount() == 0

    # --- what the desktop tells -----------------------------------------------------------------------------

    def show_state(self, state: "AppState", choices: "Sequence[BackendChoice]") -> None:
        """Who would answer the next message, and how far it goes."""
        if self._guide:
            self._place.setText("this computer")
            return
        chosen = next((choice for choice in choices if choice.chosen), None)
        self._backend.setText(chosen.name if chosen is not None else "Automatic")
        self._place.setText(_place(state, choices))
        self.backend_menu.show_entries(backend_entries(choices))
        self.empty.show_state(state)

    # --- what the person does -------------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        """Send a question as if it had been written in the composer."""
        if self._stack.currentWidget() is self.empty:
            self._stack.setCurrentWidget(self.view)
            self._set_title(question)
        self.conversation.ask(question)
        self.composer.setFocus()

    def _on_failure_action(self, number: int, action: str) -> None:
        if action == "retry":
            self.conversation.again()
        elif action == "allow":
            self.conversation.allow(self.model.row(number).error)
        elif action.startswith(REPAIR):
            self.conversation.repair(action.removeprefix(REPAIR))
        elif action == "edit":
            self._edit_last()
        else:
            self.requested.emit(action)

    def _edit_last(self) -> None:
        """The last question goes back to where it was written, before anything written since."""
        if question := self.conversation.take_back():
            self.composer.put_before(question)
        if self.reusable:
            self._begin_empty()
        self.composer.setFocus()

    def _begin_empty(self) -> None:
        """A conversation in which nothing was asked."""
        self._stack.setCurrentWidget(self.empty)
        self._set_title("Guide" if self._guide else "New chat")

    def _announce(self, sentence: str) -> None:
        """Screen readers are told when an answer has ended, not every word of it."""
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self.view, sentence))

    def _tell(self, sentence: str) -> None:
        self._notice.setText(sentence)
        self._notice_timer.start()

    def _set_title(self, text: str) -> None:
        short = " ".join(text.split())
        short = short if len(short) <= 48 else short[:47].rstrip() + "…"
        shown = f"Guide: {short}" if self._guide and short != "Guide" else short
        self._title.setText(shown)
        self.setWindowTitle(f"{shown} – Whisper Desktop")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """The composer stands below the column of text."""
        super().resizeEvent(event)
        bar = self.view.verticalScrollBar().sizeHint().width()
        left, width = Style.of(self.font(), self.palette(), float(self.width() - bar)).column
        self._foot.setContentsMargins(int(left), S, int(self.width() - left - width), S)


class EmptyState(QWidget):
    """What stands where the conversation will be: what this is, and three first steps.

    Signals:
        starter_chosen: the text of a starter.
        requested: "setup" or "guide", offered while nothing can answer.
    """

    starter_chosen = Signal(str)
    requested = Signal(str)

    def __init__(self, *, guide: bool) -> None:
        super().__init__()
        self._guide = guide
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, L, XL, L)
        column.setSpacing(S)
        column.addStretch(2)
        self._headline = heading("Ask me about this app" if guide else "What is on your mind?", 1.5)
        self._headline.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        words = (
            "I am a tiny demo model inside this app. I only know this app."
            if guide
            else "Your conversation will be here. It stays on this computer unless you allow more."
        )
        self._words = secondary(words)
        self._words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self._headline)
        column.addWidget(self._words)
        column.addSpacing(S)
        for starter in GUIDE_STARTERS if guide else STARTERS:
            column.addWidget(self._button(starter, starter), 0, Qt.AlignmentFlag.AlignHCenter)
        self._help = self._nothing_answers()
        column.addWidget(self._help, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)

    def _button(self, label: str, text: str) -> QPushButton:
        button = QPushButton(label)
        button.clicked.connect(lambda: self.starter_chosen.emit(text))
        button.setMinimumWidth(360)
        return button

    def _nothing_answers(self) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, L, 0, 0)
        words = secondary("No model was found yet.")
        words.setWordWrap(False)
        row.addWidget(words)
        for action, label in (("setup", "Open setup"), ("guide", "Ask the guide")):
            button = QPushButton(label)
            button.clicked.connect(lambda _checked=False, name=action: self.requested.emit(name))
            row.addWidget(button)
        box.hide()
        return box

    def show_state(self, state: "AppState") -> None:
        """Offer a way out where no model can answer."""
        self._help.setVisible(state.backend is None and state.activity == "needs_attention")


def _place(state: "AppState", choices: "Sequence[BackendChoice]") -> str:
    """Where the next message would go: "this computer", "cloud", or nothing while nobody can answer."""
    answering = next((choice for choice in choices if choice.id == state.backend and choice.id), None)
    if answering is None or answering.reach is None:
        return ""
    return answering.reach.words
