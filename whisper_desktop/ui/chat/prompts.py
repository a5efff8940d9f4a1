"""Prompts in the composer: "/" at its beginning offers them, and what one leaves open is asked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from whisper_desktop.chat.personas import Prompt, filled, variables
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.composer_editor import Editor
from whisper_desktop.ui.theme import XS

if TYPE_CHECKING:
    from whisper_desktop.ui.chat.prompts_form import VariablesForm

_LONGEST_QUERY = 60  # characters
_MOST_LINES = 8


def asked_for(text: str) -> str | None:
    """What of a prompt's name was typed after "/" so far; None where the text is something else."""
    if not text.startswith("/") or "\n" in text or len(text) > _LONGEST_QUERY:
        return None
    return text[1:].strip().casefold()


def matching(prompts: Sequence[Prompt], typed: str) -> tuple[Prompt, ...]:
    """Those whose name begins with what was typed, then those with it elsewhere."""
    first = [each for each in prompts if each.name.casefold().startswith(typed)]
    others = [each for each in prompts if typed in each.name.casefold() and each not in first]
    return (*first, *others)


class PromptPicker(QObject):
    """Follows an editor. The list stands above it, and the editor keeps the keyboard.

    Signals:
        wanted: "/" was typed; `show_prompts` takes what there is.
    """

    wanted = Signal()

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor)
        self._editor = editor
        self._prompts: tuple[Prompt, ...] = ()
        self._found: tuple[Prompt, ...] = ()
        self._asking = self._left = False
        self._list: QListWidget | None = None
        self.form: VariablesForm | None = None
        self.form_place = QWidget()
        place = QVBoxLayout(self.form_place)
        place.setContentsMargins(0, 0, 0, 0)
        self.form_place.hide()
        editor.textChanged.connect(self._look)
        editor.list_key.connect(self._on_key)
        editor.installEventFilter(self)

    @property
    def open(self) -> bool:
        """Whether the list is in sight."""
        return self._list is not None and not self._list.isHidden()

    @property
    def offered(self) -> tuple[Prompt, ...]:
        """What the list shows."""
        return self._found if self.open else ()

    def show_prompts(self, prompts: Sequence[Prompt]) -> None:
        """All there are."""
        self._prompts = tuple(prompts)
        self._look()

    def leave(self) -> None:
        """No list, and nothing asked for."""
        self._close()
        if self.form is not None:
            self.form.deleteLater()
            self.form = None
            self.form_place.hide()

    # --- the list -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        typed = asked_for(self._editor.toPlainText())
        if typed is None:
            self._asking = self._left = False
            self._close()
            return
        if not self._asking:
            self._asking = True
            self.wanted.emit()
        self._found = () if self._left else matching(self._prompts, typed)
        if self._found and self._editor.isVisible():
            self._show()
        else:
            self._close()

    def _show(self) -> None:
        shown = self._list if self._list is not None else self._made()
        shown.clear()
        for prompt in self._found:
            words = (
                tr("{name}   {description}", name=prompt.name, description=prompt.description)
                if prompt.description
                else prompt.name
            )
            shown.addItem(QListWidgetItem(words))
        shown.setCurrentRow(0)
        self._place()
        shown.show()
        shown.raise_()
        self._editor.list_open = True
        self._announce()

    def _made(self) -> QListWidget:
        """Inside the window, not one of its own: it can neither lose its place nor take the keyboard."""
        self._list = made = QListWidget(self._editor.window())
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        made.setAutoFillBackground(True)
        made.setAccessibleName(tr("Prompts"))
        made.setUniformItemSizes(True)
        made.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        made.setTextElideMode(Qt.TextElideMode.ElideRight)
        made.itemClicked.connect(lambda item: self._choose(made.row(item)))
        above: QWidget | None = self._editor.parentWidget()
        while above is not None:  # it stands where the editor stands
            above.installEventFilter(self)
            above = above.parentWidget()
        return made

    def _place(self) -> None:
        if self._list is None:
            return
        lines = min(len(self._found), _MOST_LINES)
        height = lines * max(self._list.sizeHintForRow(0), 1) + 2 * self._list.frameWidth()
        top = self._editor.mapTo(self._editor.window(), QPoint(0, 0))
        height = min(height, max(top.y() - XS, 0))
        self._list.setGeometry(top.x(), top.y() - height - XS, self._editor.width(), height)

    def _close(self) -> None:
        self._editor.list_open = False
        if self._list is not None:
            self._list.hide()

    def _announce(self) -> None:
        """A screen reader is at the editor, and hears what the list is at."""
        if self._list is None or not (0 <= (row := self._list.currentRow()) < len(self._found)):
            return
        words = tr(
            "Prompt {number} of {count}: {name}",
            number=row + 1,
            count=len(self._found),
            name=self._list.item(row).text(),
        )
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self._editor, words))

    def _on_key(self, key: int) -> None:
        assert self._list is not None
        if key == Qt.Key.Key_Escape:
            self._left = True
            self._close()
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            step = 1 if key == Qt.Key.Key_Down else -1
            self._list.setCurrentRow((self._list.currentRow() + step) % len(self._found))
            self._announce()
        else:
            self._choose(self._list.currentRow())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if self.open:
            if watched is self._editor and event.type() == QEvent.Type.FocusOut:
                self._close()
            elif event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
                self._place()
        return super().eventFilter(watched, event)

    # --- a prompt -------------------------------------------------------------------------------------------

    def _choose(self, row: int) -> None:
        prompt = self._found[row]
        self._close()
        if not variables(prompt.text):
            self._editor.replace_all(filled(prompt.text))
            self._editor.setFocus()
            return
        from whisper_desktop.ui.chat.prompts_form import VariablesForm

        self._editor.replace_all("")
        self.form = form = VariablesForm(prompt.name, prompt.text, tr("Insert"))
        form.filled.connect(self._insert)
        form.cancelled.connect(self._cancel)
        layout = self.form_place.layout()
        assert layout is not None
        layout.addWidget(form)
        self.form_place.show()
        form.setFocus()

    def _insert(self, text: str) -> None:
        self.leave()
        self._editor.replace_all(text)
        self._editor.setFocus()

    def _cancel(self) -> None:
        self.leave()
        self._editor.setFocus()
