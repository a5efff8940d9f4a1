"""One setting: its title and sentence, its control, where its value comes from, the way back."""

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from whisper_desktop.language import tr
from whisper_desktop.settings import SettingInfo
from whisper_desktop.ui.settings.control import Control
from whisper_desktop.ui.settings.fields import Choice, Keys, Line, Number, OptionsLine, PathLine, Switch
from whisper_desktop.ui.settings.lists import Consents, Kept, Values
from whisper_desktop.ui.settings.shapes import Kind, shape_of
from whisper_desktop.ui.settings.words import is_changed, is_fixed, origin_words
from whisper_desktop.ui.theme import XS, M, S
from whisper_desktop.ui.widgets import secondary, toned

if TYPE_CHECKING:
    from whisper_desktop.settings import LoadedSettings


class SettingRow(QFrame):
    """A row of the window.

    Signals:
        chosen: the new value.
        default_wanted: it is to go back to its default.
    """

    chosen = Signal(object)
    default_wanted = Signal()

    def __init__(self, info: SettingInfo) -> None:
        super().__init__()
        self.info = info
        title = tr(info.title)
        self.control = control_for(info)
        self.control.chosen.connect(self._on_chosen)
        self._value: object = None
        self.control.field.setAccessibleName(title)
        self.control.field.setAccessibleDescription(tr(info.description))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        head = QHBoxLayout()
        head.setSpacing(M)
        if isinstance(self.control, Switch):
            head.addWidget(self.control, 1)
        else:
            label = QLabel(title)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            head.addWidget(label, 1)
            if not self.control.wide:
                head.addWidget(self.control)
        column.addLayout(head)
        about = secondary(tr(info.description))
        about.setToolTip(
            tr("In config.yaml: {key}. In the environment: {name}.", key=info.key, name=info.variable)
        )
        column.addWidget(about)
        if self.control.wide:
            column.addWidget(self.control)
        column.addLayout(self._foot(title))
        self._error = toned("", "bad")
        self._error.hide()
        column.addWidget(self._error)

    def _foot(self, title: str) -> QHBoxLayout:
        foot = QHBoxLayout()
        foot.setSpacing(S)
        self._origin = secondary("")
        self.back = QPushButton(tr("Back to default"))
        self.back.setAutoDefault(False)
        self.back.setFlat(True)
        self.back.setAccessibleName(tr("Back to default: {title}", title=title))
        self.back.clicked.connect(lambda: self.default_wanted.emit())
        foot.addWidget(self._origin, 1)
        foot.addWidget(self.back)
        return foot

    def show_setting(self, loaded: "LoadedSettings") -> None:
        """Show the value as it is now, and who says so."""
        fixed, value = is_fixed(loaded, self.info), loaded.get(self.info.key)
        if value != self._value:  # what is said to be wrong stays until something changes
            self._value = value
            self._error.hide()
        self.control.show_value(value)
        self.control.setEnabled(not fixed)
        words = origin_words(loaded, self.info)
        self._origin.setText(words)
        self._origin.setVisible(bool(words))
        self.back.setVisible(not fixed and is_changed(loaded, self.info))

    def _on_chosen(self, value: object) -> None:
        self._error.hide()
        self.chosen.emit(value)

    def fail(self, sentence: str) -> None:
        """Say why the new value was not taken."""
        self._error.setText(sentence)
        self._error.show()

    @property
    def error(self) -> str:
        """What it says is wrong; "" where nothing is."""
        return self._error.text() if self._error.isVisibleTo(self) else ""


def control_for(info: SettingInfo) -> Control:
    """The control that a setting takes."""
    shape, title = shape_of(info), tr(info.title)
    match shape.kind:
        case Kind.SWITCH:
            return Switch(title)
        case Kind.CHOICE:
            return Choice(shape.choices)
        case Kind.WHOLE | Kind.AMOUNT:
            return Number(info, shape)
        case Kind.OPTIONS:
            return OptionsLine()
        case Kind.FILE | Kind.FOLDER:
            return PathLine(title, folder=shape.kind is Kind.FOLDER)
        case Kind.LIST | Kind.FOLDERS:
            return Values(title, shape, folders=shape.kind is Kind.FOLDERS)
        case Kind.KEYS:
            return Keys()
        case Kind.CONSENTS:
            return Consents()
        case Kind.KEPT:
            return Kept(title)
        case _:
            return Line()
