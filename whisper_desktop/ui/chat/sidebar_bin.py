"""The bin: conversations that were deleted, to be brought back or to be gone for good."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat.records import Conversation
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.sidebar_actions import ChatActions, named
from whisper_desktop.ui.chat.sidebar_model import title_of
from whisper_desktop.ui.theme import M, S
from whisper_desktop.ui.widgets import heading, secondary

_ID = int(Qt.ItemDataRole.UserRole)


class BinPage(QWidget):
    """A list and two buttons."""

    def __init__(self, actions: ChatActions) -> None:
        super().__init__()
        self._actions = actions
        self._shown: tuple[Conversation, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(M, 0, M, 0)
        column.setSpacing(S)
        column.addWidget(heading(tr("Bin"), 1.0))
        self._empty = secondary(tr("Deleted chats stay here for a while, and can be brought back."))
        column.addWidget(self._empty)
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Deleted chats"))
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentItemChanged.connect(lambda *_: self._show_buttons())
        column.addWidget(self.list, 1)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.restore = QPushButton(tr("Bring back"))
        self.restore.clicked.connect(self._restore)
        self.purge = QPushButton(tr("Delete for good"))
        self.purge.clicked.connect(self._purge)
        column.addLayout(row)
        for button in (self.restore, self.purge):
            row.addWidget(button)
        self._show_buttons()

    def show_deleted(self, deleted: Sequence[Conversation]) -> None:
        """What is in the bin."""
        if tuple(deleted) == self._shown:
            return
        current = self._current()
        self._shown = tuple(deleted)
        self.list.clear()
        for conversation in deleted:
            item = QListWidgetItem(title_of(conversation), self.list)
            item.setData(_ID, conversation.id)
            if current is not None and conversation.id == current.id:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0 and self.list.count():
            self.list.setCurrentRow(0)
        self._show_buttons()

    def _current(self) -> Conversation | None:
        item = self.list.currentItem()
        wanted = item.data(_ID) if item is not None else None
        return next((each for each in self._shown if each.id == wanted), None)

    def _show_buttons(self) -> None:
        self._empty.setVisible(not self._shown)
        for button in (self.restore, self.purge):
            button.setEnabled(self._current() is not None)

    def _restore(self) -> None:
        if (conversation := self._current()) is not None:
            self._actions.restore(conversation.id)

    def _purge(self) -> None:
        if (conversation := self._current()) is not None:
            self._actions.purge(conversation.id, named(conversation))
