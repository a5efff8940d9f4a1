"""The keys of the chat window, and the sheet that shows them."""

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from whisper_desktop.language import mark, tr
from whisper_desktop.ui.theme import XL, L, S
from whisper_desktop.ui.widgets import plain, secondary


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What a key does: `action` is its name in the window, "" for one that a part of it handles itself."""

    keys: tuple[str, ...]
    words: str
    action: str = ""
    for_guide: bool = True


SHORTCUTS = (
    Shortcut(("Ctrl+N",), mark("New chat"), "new_chat"),
    Shortcut(("Ctrl+K", "Ctrl+Shift+F"), mark("Search all chats"), "search", for_guide=False),
    Shortcut(("Ctrl+F",), mark("Find in this chat"), "find"),
    Shortcut(("Ctrl+1", "…", "Ctrl+9"), mark("Open a chat of the list"), for_guide=False),
    Shortcut(("Ctrl+B",), mark("Show or hide the list of chats"), "sidebar", for_guide=False),
    Shortcut(("Ctrl+L",), mark("Write a message"), "composer"),
    Shortcut(("F6",), mark("Go on to the next part of the window"), "next_pane"),
    Shortcut(("Shift+F6",), mark("Go back to the part before"), "pane_before"),
    Shortcut(("Enter",), mark("Send")),
    Shortcut(("Shift+Enter",), mark("New line")),
    Shortcut(("Esc",), mark("Stop the answer")),
    Shortcut(("PgUp", "PgDown"), mark("Scroll the conversation")),
    Shortcut(("F2",), mark("Rename this chat"), "rename", for_guide=False),
    Shortcut(("Ctrl+Shift+P",), mark("Settings of this chat"), "parameters", for_guide=False),
    Shortcut(("Ctrl+T",), mark("Branches of this chat"), "branches", for_guide=False),
    Shortcut(("Ctrl+Shift+D",), mark("Ask two side by side"), "compare", for_guide=False),
    Shortcut(("Up",), mark("Word the last question otherwise, while nothing is written")),
    Shortcut(("/",), mark("Insert a prompt, at the beginning of a message")),
    Shortcut(("Ctrl+W",), mark("Close the window"), "close"),
    Shortcut(("Ctrl+/",), mark("Keyboard shortcuts"), "shortcuts"),
)
"""In the order of the sheet."""


def keys_text(shortcut: Shortcut) -> str:
    """The keys as this system writes them."""
    native = QKeySequence.SequenceFormat.NativeText
    shown = [each if each == "…" else QKeySequence(each).toString(native) for each in shortcut.keys]
    return " ".join(shown) if "…" in shown else ", ".join(shown)


class ShortcutsSheet(QDialog):
    """A small table, gone with Esc."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Keyboard shortcuts"))
        inside = QWidget()
        table = QGridLayout(inside)
        table.setHorizontalSpacing(XL)
        table.setVerticalSpacing(S)
        for row, shortcut in enumerate(SHORTCUTS):
            keys, words = secondary(keys_text(shortcut)), plain(tr(shortcut.words))
            for label in (keys, words):
                label.setWordWrap(False)
            table.addWidget(words, row, 0)
            table.addWidget(keys, row, 1)
        scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setMinimumWidth(inside.sizeHint().width() + XL)
        scroll.setAccessibleName(tr("Keyboard shortcuts"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.addWidget(scroll)
        column.addWidget(buttons)
        # All lines at once where there is room: a scroll area by itself stops at a third of the screen.
        below = buttons.sizeHint().height() + column.spacing() + 2 * L
        room = parent.screen().availableGeometry().height() - 2 * XL
        self.resize(self.sizeHint().width(), min(inside.sizeHint().height() + below, room))
