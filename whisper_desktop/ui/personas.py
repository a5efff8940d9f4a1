"""The personas and prompts: a list, and a form for the one that is chosen."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat.personas import Persona, PersonaFile, Prompt
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.theme import XS, L, M, S, colors
from whisper_desktop.ui.widgets import heading, secondary, toned

if TYPE_CHECKING:
    from whisper_desktop.app import App

_LONGEST_NAME = 80  # characters
_ENTRY = int(Qt.ItemDataRole.UserRole)

Entry = Persona | Prompt


class PersonasDialog(QDialog):
    """A window of its own beside the chat; what is saved is kept at once.

    Signals:
        changed: the file has other personas or prompts now.
    """

    changed = Signal()

    def __init__(self, bridge: Bridge, app: "App", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._app = app
        self._shown: Entry | None = None
        self._waiting: Entry | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._ended = False
        self.setWindowTitle(tr("Personas and prompts"))
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Personas and prompts"))
        self.list.currentItemChanged.connect(self._on_chosen)
        self.new_persona, self.new_prompt = QPushButton(tr("New persona")), QPushButton(tr("New prompt"))
        self.new_persona.clicked.connect(lambda: self.begin(Persona("", "", own=True)))
        self.new_prompt.clicked.connect(lambda: self.begin(Prompt("", "", own=True)))
        self.kind = heading("", 1.0)
        self.name, self.description, self.text = QLineEdit(), QLineEdit(), QPlainTextEdit()
        self.name.setMaxLength(_LONGEST_NAME)
        self.description.setMaxLength(4 * _LONGEST_NAME)
        self.text.setTabChangesFocus(True)
        self.said = toned("", "bad")
        self.said.hide()
        self.delete = QPushButton(tr("Delete"))
        self.delete.clicked.connect(self._delete)
        self.save = QPushButton(tr("Save"))
        self.save.setDefault(True)
        self.save.clicked.connect(self._save)
        for changed in (self.name.textChanged, self.description.textChanged, self.text.textChanged):
            changed.connect(self._show_what_can_be_done)
        self._lay_out()
        self._spawn(self._read())

    def _lay_out(self) -> None:
        left = QVBoxLayout()
        left.setSpacing(S)
        left.addWidget(self.list, 1)
        left.addWidget(self.new_persona)
        left.addWidget(self.new_prompt)
        right = QVBoxLayout()
        right.setSpacing(XS)
        right.addWidget(self.kind)
        for words, field in (
            (tr("Name"), self.name),
            (tr("What it is for"), self.description),
            (tr("Text"), self.text),
        ):
            label = QLabel(words)
            label.setBuddy(field)
            field.setAccessibleName(words)
            right.addSpacing(XS)
            right.addWidget(label)
            right.addWidget(field, 1 if field is self.text else 0)
        about = secondary(
            tr(
                "{{name}} in the text is asked for when it is used; {{date}}, {{time}} and {{language}} are "
                "filled in by themselves."
            )
        )
        right.addWidget(about)
        right.addWidget(self.said)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addWidget(self.delete)
        buttons.addStretch(1)
        close = QPushButton(tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.close)
        buttons.addWidget(close)
        buttons.addWidget(self.save)
        right.addLayout(buttons)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(L, L, L, L)
        whole.setSpacing(M)
        whole.addLayout(left, 2)
        whole.addLayout(right, 5)
        width = self.fontMetrics().averageCharWidth() * 100
        self.resize(QSize(width, width * 2 // 3))

    # --- what it shows --------------------------------------------------------------------------------------

    async def _read(self, then: str = "") -> None:
        file = await self._bridge.run(self._app.chats.personas())
        self._fill(file, then)
        if file.problem:
            self._say(file.problem)

    def _fill(self, file: PersonaFile, then: str) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        self._head(tr("Personas"))
        self._add(file.personas)
        self._head(tr("Prompts"))
        self._add(file.prompts)
        self.list.blockSignals(False)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.begin(waiting)
            return
        entries = [item for row in range(self.list.count()) if _entry(item := self.list.item(row))]
        wanted = next((item for item in entries if item.text() == then), entries[0] if entries else None)
        if wanted is not None:
            self.list.setCurrentItem(wanted)

    def _head(self, words: str) -> None:
        item = QListWidgetItem(words)
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        item.setForeground(colors(self.palette()).secondary)
        self.list.addItem(item)

    def _add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            item = QListWidgetItem(entry.name)
            item.setData(_ENTRY, entry)
            item.setToolTip(entry.description)
            self.list.addItem(item)

    def _on_chosen(self, item: QListWidgetItem | None) -> None:
        entry = _entry(item)
        if entry is not None:
            self._show(entry)

    def begin(self, new: Entry) -> None:
        """A new one, with what is given of it."""
        if not self.list.count():  # the list is still being read
            self._waiting = new
        self.list.blockSignals(True)
        self.list.setCurrentItem(None)  # type: ignore[call-overload]  # PySide's stub wants one
        self.list.blockSignals(False)
        self._show(new)
        self.name.setFocus()

    def _show(self, entry: Entry) -> None:
        self._shown = entry
        persona = isinstance(entry, Persona)
        self.name.setText(entry.name)
        self.description.setText(entry.description)
        self.text.setPlainText(entry.text)
        self.kind.setText(
            tr("Persona: what an assistant is told before the chat")
            if persona
            else tr("Prompt: a text that “/” offers while you write")
        )
        self._say("")
        self._show_what_can_be_done()

    def _show_what_can_be_done(self) -> None:
        entry = self._shown
        written = self._written()
        self.delete.setEnabled(entry is not None and entry.own and bool(entry.name))
        complete = bool(written is not None and written.name and written.text.strip())
        self.save.setEnabled(complete and written != entry)
        own = entry is None or entry.own
        self.save.setText(tr("Save") if own else tr("Save as your own"))

    def _written(self) -> Entry | None:
        if self._shown is None:
            return None
        name = " ".join(self.name.text().split())
        description = " ".join(self.description.text().split())
        return replace(self._shown, name=name, description=description, text=self.text.toPlainText())

    def _say(self, sentence: str) -> None:
        self.said.setText(sentence)
        self.said.setVisible(bool(sentence))

    # --- what is changed ------------------------------------------------------------------------------------

    def _save(self) -> None:
        written = self._written()
        if written is not None and self._shown is not None and self.save.isEnabled():
            self._spawn(self._keep(replace(written, own=True), self._shown))

    async def _keep(self, entry: Entry, before: Entry) -> None:
        chats = self._app.chats
        keep = chats.save_persona(entry) if isinstance(entry, Persona) else chats.save_prompt(entry)
        try:
            await self._bridge.run(keep)
            if before.own and before.name and before.name != entry.name:
                await self._bridge.run(_remove(self._app, before))
        except WhisperError as error:
            self._say(str(error))
            return
        self.changed.emit()
        await self._read(entry.name)

    def _delete(self) -> None:
        if self._shown is not None:
            self._spawn(self._forget(self._shown))

    async def _forget(self, entry: Entry) -> None:
        try:
            await self._bridge.run(_remove(self._app, entry))
        except WhisperError as error:
            self._say(str(error))
            return
        self.changed.emit()
        await self._read()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """What was begun is finished, also where the window is closed meanwhile; only then is it deleted."""
        task = self._bridge.spawn(work)
        self._work.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._delete_when_idle()

    def _delete_when_idle(self) -> None:
        if self._ended and not self._work:
            self.deleteLater()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        super().hideEvent(event)
        if not event.spontaneous():
            self._ended = True
            self._delete_when_idle()


async def _remove(app: "App", entry: Entry) -> None:
    if isinstance(entry, Persona):
        await app.chats.remove_persona(entry.name)
    else:
        await app.chats.remove_prompt(entry.name)


def _entry(item: QListWidgetItem | None) -> Entry | None:
    found = item.data(_ENTRY) if item is not None else None
    return found if isinstance(found, Persona | Prompt) else None
