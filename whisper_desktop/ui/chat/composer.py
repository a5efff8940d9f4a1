"""Where the person writes: text, what goes along with it, and what it takes of the model's context."""

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QImage, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.chat.context import ContextUse
from whisper_desktop.chat.personas import Prompt
from whisper_desktop.chat.records import Attachment, Draft
from whisper_desktop.language import tr, trn
from whisper_desktop.ui.chat.attachments_bar import AttachmentsBar
from whisper_desktop.ui.chat.composer_box import Box
from whisper_desktop.ui.chat.composer_editor import Editor
from whisper_desktop.ui.chat.context_meter import ContextMeter
from whisper_desktop.ui.chat.prompts import PromptPicker
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import toned

_PAUSE = 300  # ms without a change before the draft is told
_MOST_ATTACHMENTS = 20


class Composer(QWidget):
    """An editor that grows with its text, chips of what is attached, and *Send*, or *Stop* while an answer
    comes. `plain`: text only, for who reads no files and has no prompts.

    Signals:
        sent: the text, without surrounding space, and the attachments; one of them may be empty.
        stop_requested: *Stop* or Escape.
        draft_changed: the `Draft`, a moment after the last change.
        attach_requested: what is to be read, in a tuple: `Path`s and `QImage`s. `add_attachment` or `refuse`
            answers each of them.
        image_wanted: the id of an attached image; `show_image` takes it.
        prompts_wanted: "/" was typed; `show_prompts` takes them.
        edit_last_wanted: Up, while nothing is written.
    """

    sent = Signal(str, tuple)
    stop_requested = Signal()
    draft_changed = Signal(object)
    attach_requested = Signal(tuple)
    image_wanted = Signal(str)
    prompts_wanted = Signal()
    edit_last_wanted = Signal()

    def __init__(self, placeholder: str = "", *, plain: bool = False) -> None:
        super().__init__()
        self._busy = False
        self._reading = 0
        self._refused = self._too_long = ""
        self._editor = Editor(placeholder or tr("Ask anything…"), plain=plain)
        self._button = QPushButton(tr("Send"))
        self.attach_button = QPushButton(tr("Attach…"))
        self.attach_button.setFlat(True)
        self.attach_button.setToolTip(
            tr("Send pictures, texts or PDFs along. You can also drop or paste them.")
        )
        self.attach_button.setVisible(not plain)
        self.attachments = AttachmentsBar()
        self.meter = ContextMeter()
        self.prompts = PromptPicker(self._editor)
        self._words = toned("", "warn")
        self._words.hide()
        self._pause = QTimer(self, singleShot=True, interval=_PAUSE)
        self._pause.timeout.connect(lambda: self.draft_changed.emit(self.draft))
        self._lay_out()
        self._connect(plain=plain)
        self.set_busy(False)

    def _lay_out(self) -> None:
        box = Box(self._editor)
        inside = QVBoxLayout(box)
        inside.setContentsMargins(S, XS, S, S)
        inside.setSpacing(XS)
        foot = QHBoxLayout()
        foot.setSpacing(S)
        foot.addWidget(self.attach_button)
        foot.addStretch(1)
        foot.addWidget(self.meter)
        foot.addWidget(self._button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        inside.addWidget(self.attachments)
        inside.addWidget(self._editor)
        inside.addLayout(foot)
        for widget in (self.prompts.form_place, self._words, box):
            column.addWidget(widget)
        self.setFocusProxy(self._editor)
        QWidget.setTabOrder(self._editor, self._button)
        QWidget.setTabOrder(self._button, self.attach_button)
        QWidget.setTabOrder(self.attach_button, self.meter)

    def _connect(self, *, plain: bool) -> None:
        self._editor.textChanged.connect(self._on_changed)
        # The lines of a long text are known only after the text has changed.
        self._editor.document().documentLayout().documentSizeChanged.connect(self._editor.fit)
        self._editor.submitted.connect(self._send)
        self._editor.emptied_up.connect(self._up)
        self._editor.brought.connect(self.attach)
        self._button.clicked.connect(self._on_button)
        self.attach_button.clicked.connect(self._choose_files)
        self.attachments.changed.connect(self._on_changed)
        self.attachments.left.connect(self._editor.setFocus)
        self.attachments.image_wanted.connect(self.image_wanted)
        if not plain:
            self.prompts.wanted.connect(self.prompts_wanted)

    @property
    def editor(self) -> QPlainTextEdit:
        """The text field."""
        return self._editor

    @property
    def button(self) -> QPushButton:
        """*Send* or *Stop*."""
        return self._button

    @property
    def draft(self) -> Draft:
        """What is written and attached now."""
        return Draft(self._editor.toPlainText(), self.attachments.shown)

    # --- what is put into it --------------------------------------------------------------------------------

    def set_draft(self, draft: Draft) -> None:
        """Hold this in place of what is there, the cursor at its end."""
        self._reading = 0
        self._refused = self._too_long = ""
        self.prompts.leave()
        self._editor.fit_words(draft.text)
        self._editor.setPlainText(draft.text)
        self._editor.moveCursor(self._editor.textCursor().MoveOperation.End)
        self.attachments.show_all(draft.attachments)
        self._on_changed()

    def clear(self) -> None:
        """Hold nothing."""
        self.set_draft(Draft())

    def put_before(self, text: str) -> None:
        """Put a text before what is written there already, the cursor at its end."""
        cursor = self._editor.textCursor()
        cursor.movePosition(cursor.MoveOperation.Start)
        cursor.insertText(f"{text}\n" if self._editor.toPlainText() else text)
        self._editor.setTextCursor(cursor)

    def quote(self, text: str) -> None:
        """Put somebody's words at the cursor as a quote in markdown, on lines of their own."""
        quoted = "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())
        cursor = self._editor.textCursor()
        cursor.setPosition(cursor.selectionEnd())
        begins = "" if cursor.atBlockStart() else "\n"
        ends = "\n" if cursor.atBlockEnd() else "\n\n"
        cursor.insertText(f"{begins}{quoted}{ends}")
        self._editor.setTextCursor(cursor)

    def put_attachments(self, attachments: Sequence[Attachment]) -> None:
        """Attach these besides what is attached already."""
        for each in attachments:
            self.attachments.add(each)

    # --- attachments ----------------------------------------------------------------------------------------

    def attach(self, wanted: Sequence[Path | QImage]) -> None:
        """Have these read and attached."""
        room = _MOST_ATTACHMENTS - len(self.attachments.shown) - self._reading
        given = tuple(wanted)[: max(room, 0)]
        self._refused = ""
        if len(given) < len(wanted):
            self._say_refused(
                trn(
                    "Up to {count} file goes along with a message.",
                    "Up to {count} files go along with a message.",
                    _MOST_ATTACHMENTS,
                )
            )
        if given:
            self._reading += len(given)
            self._show()
            self.attach_requested.emit(given)

    def add_attachment(self, attachment: Attachment, image: QImage | None = None) -> None:
        """One that was to be read. `image` is a small picture of it."""
        self._reading = max(self._reading - 1, 0)
        if image is not None:
            self.attachments.show_image(attachment.id, image)
        self.attachments.add(attachment)
        self._show()

    def refuse(self, sentence: str) -> None:
        """One cannot be read: why, and what to do."""
        self._reading = max(self._reading - 1, 0)
        self._say_refused(sentence)

    def show_image(self, attachment_id: str, image: QImage) -> None:
        """A small picture that was wanted."""
        self.attachments.show_image(attachment_id, image)

    def _say_refused(self, sentence: str) -> None:
        self._refused = sentence
        self._show()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self._editor, sentence))

    def _choose_files(self) -> None:
        dialog = QFileDialog(self, tr("Attach files"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda files: self.attach([Path(each) for each in files]))
        dialog.open()

    # --- prompts and context --------------------------------------------------------------------------------

    def show_prompts(self, prompts: Sequence[Prompt]) -> None:
        """The prompts that "/" offers."""
        self.prompts.show_prompts(prompts)

    def show_context(self, use: ContextUse, before: ContextUse | None = None, too_long: str = "") -> None:
        """What the next message would take, and what is taken `before` it; `too_long` says what to do where
        it does not fit.
        """
        self.meter.show_use(use, before)
        if too_long and not self._too_long:
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self._editor, too_long))
        self._too_long = too_long
        self._show()

    # --- sending --------------------------------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """Whether an answer is coming: the button stops it, and Enter waits."""
        self._busy = busy
        self._button.setText(tr("Stop") if busy else tr("Send"))
        self._show()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape and self._busy:
            self.stop_requested.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._editor.fit()

    def _on_button(self) -> None:
        if self._busy:
            self.stop_requested.emit()
        else:
            self._send()

    def _send(self) -> None:
        text, attachments = self._editor.toPlainText().strip(), self.attachments.shown
        if (text or attachments) and not self._busy and not self._reading:
            self.clear()
            self.sent.emit(text, attachments)

    def _up(self) -> None:
        if not self._busy and not self.attachments.shown:
            self.edit_last_wanted.emit()

    def _on_changed(self) -> None:
        self._refused = ""
        self._editor.fit()
        self._pause.start()
        self._show()

    def _show(self) -> None:
        """Show what can be done, and what is to be said about it."""
        something = bool(self._editor.toPlainText().strip() or self.attachments.shown)
        self._button.setEnabled(self._busy or (something and not self._reading))
        reading = (
            trn("Reading {count} file…", "Reading {count} files…", self._reading) if self._reading else ""
        )
        tip = tr("Stop the answer (Esc)") if self._busy else reading or tr("Send (Enter)")
        self._button.setToolTip(tip)
        said = self._refused or reading or self._too_long
        self._words.setText(said)
        self._words.setVisible(bool(said))
