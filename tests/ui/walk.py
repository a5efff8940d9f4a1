"""What a person meets in a window, widget by widget: words, their colours, and their room."""

import gettext
import re
from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QComboBox,
    QGroupBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QTabBar,
    QTabWidget,
    QTextEdit,
    QWidget,
)

from whisper_desktop.ui.theme import contrast, flattened

Role = QPalette.ColorRole


class PseudoLanguage(gettext.NullTranslations):
    """A language in which every sentence is put into brackets, so that an untranslated one is seen."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


@dataclass(frozen=True, slots=True)
class Words:
    """A text that is shown or read out, and where."""

    place: str
    text: str


def words_of(window: QWidget) -> Iterator[Words]:
    """Every text of a window that is not a person's own or a model's."""
    yield Words("title", window.windowTitle())
    for widget in (window, *window.findChildren(QWidget)):
        of_qt = widget.objectName().startswith("qt_") or isinstance(widget.parent(), QTabBar)
        if widget.window() is not window or of_qt:
            continue
        name = type(widget).__name__
        yield Words(f"tooltip of {name}", widget.toolTip())
        yield Words(f"name of {name}", widget.accessibleName())
        yield Words(f"description of {name}", widget.accessibleDescription())
        yield from (Words(f"{name}", text) for text in _own_words(widget))


def _own_words(widget: QWidget) -> Iterator[str]:
    match widget:
        case QLabel():
            yield re.sub(r"<[^>]*>", " ", widget.text())
        case QAbstractButton():
            yield widget.text()
            menu = widget.menu() if isinstance(widget, QPushButton) else None
            if menu is not None:
                yield from _menu_words(menu)
        case QGroupBox():
            yield widget.title()
        case QLineEdit() | QPlainTextEdit() | QTextEdit():
            yield widget.placeholderText()
        case QComboBox():
            yield from (widget.itemText(number) for number in range(widget.count()))
        case QTabWidget():
            yield from (widget.tabText(number) for number in range(widget.count()))
        case QHeaderView():
            model = widget.model()
            if model is not None and not widget.isHidden():
                yield from (
                    str(model.headerData(number, widget.orientation()) or "")
                    for number in range(widget.count())
                )
        case QMenu():
            yield from _menu_words(widget)


def _menu_words(menu: QMenu) -> Iterator[str]:
    for action in menu.actions():
        yield action.text()


def unclear(window: QWidget) -> list[str]:
    """The texts that have too little contrast with what is behind them, as WCAG counts it; 4.5 is enough."""
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or not widget.isEnabled() or widget.window() is not window:
            continue
        for what, front, behind in _colours(widget):
            ratio = contrast(flattened(front, behind), behind)
            if ratio < 4.5:
                found.append(f"{type(widget).__name__} {what}: {ratio:.2f}")
    return found


def _colours(widget: QWidget) -> Iterator[tuple[str, QColor, QColor]]:
    palette = widget.palette()
    match widget:
        case QLabel() if widget.text():
            yield repr(widget.text()[:40]), palette.color(widget.foregroundRole()), background(widget)
        case QPushButton() if widget.isFlat():
            yield repr(widget.text()), palette.color(Role.ButtonText), background(widget)
        case QPushButton() | QComboBox():
            yield "button", palette.color(Role.ButtonText), palette.color(Role.Button)
        case QAbstractButton() if widget.text():
            yield repr(widget.text()), palette.color(widget.foregroundRole()), background(widget)
        case QLineEdit() | QPlainTextEdit() | QTextEdit():
            is_bare = palette.brush(Role.Base).style() == Qt.BrushStyle.NoBrush
            behind = background(widget) if is_bare else palette.color(Role.Base)
            yield "text", palette.color(Role.Text), behind
            if widget.placeholderText():
                yield "placeholder", palette.color(Role.PlaceholderText), behind
        case QAbstractItemView():
            yield "items", palette.color(Role.Text), palette.color(Role.Base)
            yield "chosen item", palette.color(Role.HighlightedText), palette.color(Role.Highlight)


def background(widget: QWidget) -> QColor:
    """What is painted behind a widget: by itself, or by the nearest one around it that paints."""
    around: QWidget | None = widget
    while around is not None:
        if around.autoFillBackground() or around.isWindow() or isinstance(around, QAbstractItemView):
            return around.palette().color(around.backgroundRole())
        around = around.parentWidget()
    return widget.palette().color(Role.Window)


def clipped(window: QWidget) -> list[str]:
    """The words that have less room than they need."""
    buttons = [each for each in window.findChildren(QAbstractButton) if each.isVisible() and each.text()]
    labels = [each for each in window.findChildren(QLabel) if each.isVisible() and not each.wordWrap()]
    narrow = [button.text() for button in buttons if button.width() < button.minimumSizeHint().width()]
    return narrow + [label.text() for label in labels if label.width() < label.sizeHint().width()]
