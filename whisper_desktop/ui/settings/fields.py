"""The controls of one value: switch, choice, number, text, path, keys."""

import shlex
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QKeySequenceEdit,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from whisper_desktop.language import tr
from whisper_desktop.settings import SettingInfo
from whisper_desktop.ui.settings.control import Control, leave_wheel
from whisper_desktop.ui.settings.shapes import Kind, Shape, choice_words, word_for
from whisper_desktop.ui.theme import S

_LEAST_CHARACTERS = 12
_NOTHING_YET = object()


def _row(parent: QWidget) -> QHBoxLayout:
    row = QHBoxLayout(parent)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    return row


def least_width(field: QWidget) -> int:
    """How narrow a field may become where letters are large and the window is not, in pixels."""
    return _LEAST_CHARACTERS * field.fontMetrics().averageCharWidth()


class Switch(Control):
    """On or off; the title stands beside the box, as everywhere."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.box = QCheckBox(title.replace("&", "&&"))
        self.box.clicked.connect(lambda on: self.chosen.emit(on))
        _row(self).addWidget(self.box)

    def show_value(self, value: object) -> None:
        """Show it."""
        self.box.setChecked(bool(value))

    @property
    def field(self) -> QWidget:
        """The box."""
        return self.box


class Choice(Control):
    """One of a few."""

    def __init__(self, choices: Sequence[object]) -> None:
        super().__init__()
        self._choices = tuple(choices)
        self.box = QComboBox()
        for value in self._choices:
            self.box.addItem(choice_words(value))
        self.box.setMinimumWidth(least_width(self.box))
        leave_wheel(self.box)
        self.box.activated.connect(lambda number: self.chosen.emit(self._choices[number]))
        _row(self).addWidget(self.box)

    def show_value(self, value: object) -> None:
        """Show it."""
        self.box.setCurrentIndex(self._choices.index(value) if value in self._choices else -1)

    @property
    def field(self) -> QWidget:
        """The list that drops down."""
        return self.box


class _Whole(QSpinBox):
    def textFromValue(self, value: int) -> str:  # noqa: N802
        return self.locale().toString(value)


class _Amount(QDoubleSpinBox):
    """Shows no zeros that say nothing."""

    def textFromValue(self, value: float) -> str:  # noqa: N802
        locale = self.locale()
        text = locale.toString(value, "f", self.decimals())
        point = locale.decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text


class Number(Control):
    """A number within its bounds; below the least one stands the word for none, where there is one."""

    def __init__(self, info: SettingInfo, shape: Shape) -> None:
        super().__init__()
        self._shape = shape
        whole = shape.kind is Kind.WHOLE
        least = shape.least - (1 if shape.has_word else 0)
        box: QSpinBox | QDoubleSpinBox
        if whole:
            box = _Whole()
            box.setRange(int(least), int(shape.most))
        else:
            box = _Amount()
            box.setDecimals(2)
            box.setRange(least, shape.most)
        if shape.has_word:
            box.setSpecialValueText(word_for(info, shape))
        if shape.unit:
            box.setSuffix(f" {tr(shape.unit)}")
        box.setKeyboardTracking(False)
        box.setGroupSeparatorShown(False)
        box.setAccelerated(True)
        leave_wheel(box)
        self.box = box
        self._shown: object = _NOTHING_YET
        box.editingFinished.connect(self._tell)
        box.valueChanged.connect(self._tell)
        _row(self).addWidget(box)

    def show_value(self, value: object) -> None:
        """Show it; what is being written over it stays."""
        if value == self._shown:
            return
        self._shown = value
        self.box.blockSignals(True)
        if isinstance(value, int | float):
            self.box.setValue(value)  # type: ignore[arg-type]  # a whole box only ever has whole values
        else:
            self.box.setValue(self.box.minimum())  # type: ignore[arg-type]  # its own kind of number
        self.box.blockSignals(False)

    def _tell(self) -> None:
        at_word = self._shape.has_word and self.box.value() <= self.box.minimum()
        value: object = self._shape.word if at_word else self.box.value()
        if value != self._shown:
            self._shown = value
            self.chosen.emit(value)

    @property
    def field(self) -> QWidget:
        """The number's field."""
        return self.box


class Line(Control):
    """A line of text, told when the person leaves it; empty stands for none."""

    wide = True

    def __init__(self, placeholder: str = "") -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText(placeholder)
        self.line.editingFinished.connect(self._tell)
        self._shown = ""  # as the line itself is
        self.layout_row = _row(self)
        self.layout_row.addWidget(self.line, 1)

    def show_value(self, value: object) -> None:
        """Show it; what is being written over it stays."""
        text = self._text_of(value)
        if text != self._shown:
            self._shown = text
            self.line.setText(text)

    def _text_of(self, value: object) -> str:
        return "" if value is None else str(value)

    def _value_of(self, text: str) -> object:
        return text or None

    def _tell(self) -> None:
        text = self.line.text().strip()
        if text != self._shown:
            self._shown = text
            self.chosen.emit(self._value_of(text))

    @property
    def field(self) -> QWidget:
        """The line."""
        return self.line


class OptionsLine(Line):
    """Options as on a command line."""

    def _text_of(self, value: object) -> str:
        return shlex.join(str(word) for word in value) if isinstance(value, list | tuple) else ""

    def _value_of(self, text: str) -> object:
        return text


class PathLine(Line):
    """A file or a folder, written or looked for."""

    def __init__(self, title: str, *, folder: bool) -> None:
        super().__init__()
        self._title = title
        self._folder = folder
        self.browse = QPushButton(tr("Browse…"))
        self.browse.setAutoDefault(False)
        self.browse.setAccessibleName(tr("Browse for: {title}", title=title))
        self.browse.clicked.connect(self._look)
        self.layout_row.addWidget(self.browse)

    def _look(self) -> None:
        dialog = path_dialog(self, self._title, folder=self._folder, at=self.line.text())
        dialog.fileSelected.connect(self._take)
        dialog.open()

    def _take(self, path: str) -> None:
        self.line.setText(path)
        self._tell()


def path_dialog(parent: QWidget, title: str, *, folder: bool, at: str = "") -> QFileDialog:
    """The system's dialog for a file or a folder; `open` it."""
    dialog = QFileDialog(parent, title, at)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFile)
    return dialog


class Keys(Control):
    """Keys, set by pressing them."""

    def __init__(self) -> None:
        super().__init__()
        self.edit = QKeySequenceEdit()
        self.edit.setMaximumSequenceLength(1)
        self.edit.setClearButtonEnabled(True)
        self.edit.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.edit.editingFinished.connect(self._tell)
        self._shown: str | None = None
        _row(self).addWidget(self.edit)

    def show_value(self, value: object) -> None:
        """Show it."""
        self._shown = str(value) if value else None
        self.edit.setKeySequence(QKeySequence(self._shown or ""))

    def _tell(self) -> None:
        text = self.edit.keySequence().toString(QKeySequence.SequenceFormat.PortableText) or None
        if text != self._shown:
            self._shown = text
            self.chosen.emit(text)

    @property
    def field(self) -> QWidget:
        """The field that records."""
        return self.edit
