"""The controls of the parameters: each is at its default, or has a value of the person's."""

import math

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QPlainTextEdit,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.language import tr
from whisper_desktop.ui.settings.control import leave_wheel
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import secondary

_STEPS = 100  # of a slider
_MOST_STOPS = 16
_LONGEST_STOP = 200  # characters
_MOST_SEED = 2**31 - 1


class Field(QWidget):
    """A parameter: ticked it has a value, else the default holds, which is said in its place.

    Signals:
        changed: the person gave it a value, another one, or none. `value` says which.
    """

    changed = Signal()

    def __init__(self, name: str, about: str) -> None:
        super().__init__()
        self.name = name
        self.tick = QCheckBox(name)
        self.tick.setToolTip(about)
        self.tick.setAccessibleDescription(about)
        self.tick.toggled.connect(self._on_tick)
        self.default = secondary("")
        self.inside = QWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        column.addWidget(self.tick)
        column.addWidget(self.default)
        column.addWidget(self.inside)
        self.show_default("")
        self.inside.hide()

    @property
    def value(self) -> object:
        """What the person wants; None for the default."""
        return self.given() if self.tick.isChecked() else None

    def given(self) -> object:
        """What the controls say."""
        raise NotImplementedError

    def take(self, value: object) -> None:
        """Let the controls say this; never None."""
        raise NotImplementedError

    def clear(self) -> None:
        """Show that the default holds. Nothing is told of it."""
        blocked = QSignalBlocker(self)
        self.tick.setChecked(False)
        blocked.unblock()

    def show_value(self, value: object) -> None:
        """Show what holds now; None for the default. Nothing is told of it."""
        blocked = QSignalBlocker(self)
        self.tick.setChecked(value is not None)
        if value is not None and value != self.value:
            self.take(value)
        blocked.unblock()

    def show_default(self, words: str) -> None:
        """What the default is, where that is known."""
        self.default.setText(
            tr("Default: {value}", value=words) if words else tr("Default: as the server has it")
        )

    def _on_tick(self, ticked: bool) -> None:  # noqa: FBT001 - a slot
        self.default.setVisible(not ticked)
        self.inside.setVisible(ticked)
        self.changed.emit()


class Amount(Field):
    """A number with a slider beside it. `by_doubling`: each part of the slider is twice the one before."""

    def __init__(
        self,
        name: str,
        about: str,
        least: float,
        most: float,
        usual: float,
        *,
        decimals: int = 0,
        by_doubling: bool = False,
    ) -> None:
        super().__init__(name, about)
        self._least, self._most, self._by_doubling = least, most, by_doubling
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setPageStep(_STEPS // 10)
        self.slider.setAccessibleName(name)
        self.number = QDoubleSpinBox()
        self.number.setDecimals(decimals)
        self.number.setRange(least, most)
        self.number.setSingleStep(0.05 if decimals else 256)
        self.number.setGroupSeparatorShown(not decimals)
        self.number.setAccessibleName(name)
        self.number.setKeyboardTracking(False)
        for control in (self.slider, self.number):
            leave_wheel(control)
        row = QHBoxLayout(self.inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        self.take(usual)
        self.slider.valueChanged.connect(self._on_slider)
        self.number.valueChanged.connect(self._on_number)

    def given(self) -> float | int:
        """The number."""
        value = round(self.number.value(), self.number.decimals())
        return value if self.number.decimals() else int(value)

    def take(self, value: object) -> None:
        assert isinstance(value, int | float)
        blocked = QSignalBlocker(self.number)
        self.number.setValue(value)
        blocked.unblock()
        self._place_slider()

    def _on_number(self) -> None:
        self._place_slider()
        self.changed.emit()

    def _on_slider(self, step: int) -> None:
        share = step / _STEPS
        if self._by_doubling:
            value = round(self._least * (self._most / self._least) ** share)
            value = _rounded(value)
        else:
            value = self._least + (self._most - self._least) * share
        blocked = QSignalBlocker(self.number)
        self.number.setValue(value)
        blocked.unblock()
        self.changed.emit()

    def _place_slider(self) -> None:
        value = self.number.value()
        if self._by_doubling:
            share = math.log(value / self._least) / math.log(self._most / self._least)
        else:
            share = (value - self._least) / (self._most - self._least)
        blocked = QSignalBlocker(self.slider)
        self.slider.setValue(round(share * _STEPS))
        blocked.unblock()


def _rounded(value: int) -> int:
    """A number with two digits that count, in binary: 1024, 1536, 2048 …"""
    unit = 1 << max(value.bit_length() - 2, 0)
    return round(value / unit) * unit


class Seed(Field):
    """A whole number that makes the same question give the same answer."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, about)
        self.number = QSpinBox()
        self.number.setRange(0, _MOST_SEED)
        self.number.setAccessibleName(name)
        self.number.setKeyboardTracking(False)
        leave_wheel(self.number)
        row = QHBoxLayout(self.inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.number)
        row.addStretch(1)
        self.number.valueChanged.connect(self.changed)
        self.show_default(tr("another one for every answer"))

    def given(self) -> int:
        """The number."""
        return self.number.value()

    def take(self, value: object) -> None:
        assert isinstance(value, int)
        self.number.setValue(value)


class Stops(Field):
    """Texts at which an answer ends, one a line."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, about)
        self.text = QPlainTextEdit()
        self.text.setAccessibleName(name)
        self.text.setTabChangesFocus(True)
        self.text.setPlaceholderText(tr("One a line"))
        self.text.setFixedHeight(4 * self.fontMetrics().lineSpacing())
        column = QVBoxLayout(self.inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        self.text.textChanged.connect(self.changed)
        self.show_default(tr("none"))

    @property
    def value(self) -> tuple[str, ...]:
        """None is the same as no text."""
        return self.given() if self.tick.isChecked() else ()

    def given(self) -> tuple[str, ...]:
        """The lines that are not empty."""
        lines = self.text.toPlainText().splitlines()
        return tuple(each[:_LONGEST_STOP] for each in lines if each)[:_MOST_STOPS]

    def show_value(self, value: object) -> None:
        """Ticked and still empty stays as it is."""
        if value or value != self.value:
            super().show_value(value or None)

    def take(self, value: object) -> None:
        assert isinstance(value, tuple)
        self.text.setPlainText("\n".join(value))


class Reasoning(Field):
    """How long a model that can think may do so."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, about)
        self.choice = QComboBox()
        self.choice.setAccessibleName(name)
        for words, value in (
            (tr("Off"), "off"),
            (tr("Short"), "low"),
            (tr("Medium"), "medium"),
            (tr("Long"), "high"),
        ):
            self.choice.addItem(words, value)
        leave_wheel(self.choice)
        row = QHBoxLayout(self.inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.choice)
        row.addStretch(1)
        self.choice.currentIndexChanged.connect(self.changed)
        self.show_default(tr("as the model does"))

    def given(self) -> str:
        """The word a client takes."""
        return str(self.choice.currentData())

    def take(self, value: object) -> None:
        self.choice.setCurrentIndex(max(self.choice.findData(value), 0))
