"""Text from another program that may go along with a question: bounded, shown, and quoted when sent."""

from dataclasses import dataclass

from PySide6.QtGui import QClipboard, QGuiApplication

from whisper_desktop.app.links import without_unseen
from whisper_desktop.language import tr, trn

_MOST = 20_000  # characters
_SHOWN = 120  # characters of it on the chip


@dataclass(frozen=True, slots=True)
class Quote:
    """What goes along. `cut`: it is the beginning of something longer."""

    text: str
    cut: bool = False

    @property
    def excerpt(self) -> str:
        """Its beginning, in one line."""
        line = " ".join(self.text[: 4 * _SHOWN].split())
        return line if len(line) <= _SHOWN and len(self.text) <= 4 * _SHOWN else f"{line[:_SHOWN].rstrip()}…"

    @property
    def size(self) -> str:
        """How much it is."""
        words = len(self.text.split())
        if self.cut:
            return trn("the first {count} word", "the first {count} words", words)
        return trn("{count} word", "{count} words", words)

    def with_question(self, question: str) -> str:
        """What is sent: the text as a quotation, then the question about it."""
        quoted = "\n".join(f"> {line}".rstrip() for line in self.text.split("\n"))
        return f"{quoted}\n\n{question}"


def quote_of(text: str) -> Quote | None:
    """A text as a quote; None where there is nothing in it to read."""
    plain = without_unseen(text[: 2 * _MOST]).strip("\n").rstrip()
    if not plain.strip():
        return None
    return Quote(plain[:_MOST], cut=len(plain) > _MOST or len(text) > 2 * _MOST)


class Selections:
    """What is selected in other programs, where the system tells that without being asked to copy it.

    A selection stays there for hours, so each is offered once.
    """

    def __init__(self) -> None:
        self._offered = ""

    def new(self) -> Quote | None:
        """What was selected since the last time; None where nothing was, or it is selected in our own."""
        clipboard = QGuiApplication.clipboard()
        if not clipboard.supportsSelection() or clipboard.ownsSelection():
            return None
        text = clipboard.text(QClipboard.Mode.Selection)
        if text == self._offered:
            return None
        self._offered = text
        return quote_of(text)


def copied() -> Quote | None:
    """What is on the clipboard. Only for when the person says so: it may be a password."""
    return quote_of(QGuiApplication.clipboard().text())


def nothing_copied() -> str:
    return tr("There is no text on the clipboard.")
